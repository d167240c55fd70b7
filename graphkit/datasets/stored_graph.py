"""A graph as the files of a data set store it, whatever it is to be used for."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from graphkit.data import undirected_edges

__all__ = ["Masks", "StoredGraph"]

Masks = dict[str, Tensor]
"""Masks [S, N] bool of ``train``, ``valid`` and ``test``."""


@dataclass(frozen=True, eq=False)
class StoredGraph:
    """A graph with what its files say of the nodes.

    Args:
        edge_index: [2, E] int64 as stored: directions, repeats and self-loops are the file's.
        num_nodes: N.
        x: [N, F] float32 features as they are, not normalised; None where the files have none.
        y: [N] int64 classes, -1 where unknown; or [N, T] float32 labels of 0 and 1, NaN where unknown; None without labels.
        splits: official splits by name: for ``train``, ``valid`` and ``test`` a mask [S, N] bool of S folds.
        nodes: names of the nodes, or None.
        classes: names of the classes, or None.
        pos: [N, 2] positions of the nodes, or None.
        numeric: columns of x that hold quantities of different units, for ``features="standardized"``; None: all columns.
        ordered: whether the classes are ordered, 0 the least.
        score: [N] float, what ordered classes were cut from, or None.

    Example:
        >>> import torch
        >>> graph = StoredGraph(torch.tensor([[1, 0, 0], [0, 1, 0]]), 2)
        >>> graph.edges.tolist()
        [[0], [1]]
    """

    edge_index: Tensor
    num_nodes: int
    x: Tensor | None = None
    y: Tensor | None = None
    splits: dict[str, Masks] = field(default_factory=dict)
    nodes: list[str] | None = None
    classes: list[str] | None = None
    pos: Tensor | None = None
    numeric: tuple[int, ...] | None = None
    ordered: bool = False
    score: Tensor | None = None

    @property
    def edges(self) -> Tensor:
        """[2, M] int64: the edges without direction, each once, u < v, without self-loops."""
        return undirected_edges(self.edge_index)
