"""The citation networks of Planetoid, from their raw files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.data import undirected_edges
from graphkit.datasets.restricted_pickle import read_arrays
from graphkit.errors import UserError

__all__ = ["CitationGraph", "read_planetoid"]


@dataclass(frozen=True, eq=False)
class CitationGraph:
    """A citation network.

    Args:
        x: [N, F] float32 bags of words, as they are, not normalised; zero for documents that the files leave out.
        y: [N] int64 classes; -1 for documents that the files leave out.
        edges: [2, M] int64 undirected edges, each once, u < v, without self-loops.

    Example:
        >>> CitationGraph(torch.zeros(2, 3), torch.tensor([0, -1]), torch.tensor([[0], [1]])).num_nodes
        2
    """

    x: Tensor
    y: Tensor
    edges: Tensor

    @property
    def num_nodes(self) -> int:
        """Number of documents N."""
        return int(self.x.size(0))


def read_planetoid(paths: Mapping[str, Path]) -> CitationGraph:
    """The graph in ``ind.NAME.{allx,ally,tx,ty,graph,test.index}``.

    ``allx`` and ``ally`` hold the first documents in order. ``test.index`` says which documents the rows of ``tx`` and
    ``ty`` are. CiteSeer's leaves out 15 ids below its largest one: these documents exist, without words and class.

    Args:
        paths: the files by name.

    Raises:
        UserError: for a missing file, or files that do not fit together.

    Source:
        Yang, Cohen, Salakhutdinov: Revisiting Semi-Supervised Learning with Graph Embeddings (ICML 2016).

    Example:
        >>> read_planetoid(paths).num_nodes  # doctest: +SKIP
        2708
    """
    files = {name.split(".", 2)[-1]: path for name, path in paths.items()}
    missing = {"allx", "ally", "tx", "ty", "graph", "test.index"} - set(files)
    if missing:
        raise UserError(f"a Planetoid data set lacks {', '.join(sorted(missing))}")
    allx, ally, tx, ty, graph = (read_arrays(files[name]) for name in ("allx", "ally", "tx", "ty", "graph"))
    index = _test_index(files["test.index"])
    try:
        known, total = allx.shape[0], int(index.max()) + 1
        if not (len(index) == len(np.unique(index)) == tx.shape[0] == ty.shape[0]) or ally.shape[0] != known:
            raise ValueError(f"{len(index)} test documents, {tx.shape} words of them and {ty.shape} classes")
        if int(index.min()) < known:
            raise ValueError(f"test document {int(index.min())} is among the first {known}")
        x, y = np.zeros((total, allx.shape[1]), dtype=np.float32), np.full(total, -1, dtype=np.int64)
        x[:known], x[index] = allx.toarray(), tx.toarray()
        for rows, labels in ((np.arange(known), ally), (index, ty)):
            labelled = labels.sum(1) > 0
            y[rows[labelled]] = labels[labelled].argmax(1)
        edges = _edges(graph, total)
    except (AttributeError, ValueError, IndexError, TypeError) as error:
        raise UserError(f"the files beside {files['graph']} do not fit together ({error})") from None
    return CitationGraph(torch.from_numpy(x), torch.from_numpy(y), edges)


def _test_index(path: Path) -> np.ndarray:
    try:
        index = np.array([int(line) for line in path.read_text("ascii").split()], dtype=np.int64)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no list of document numbers ({error})") from None
    if index.size == 0 or int(index.min()) < 0:
        raise UserError(f"{path} is no list of document numbers; expected one a line, from 0 upwards")
    return index


def _edges(graph: Any, num_nodes: int) -> Tensor:
    pairs = [(int(u), int(v)) for u, neighbours in graph.items() for v in neighbours]
    edge_index = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t()
    if edge_index.numel() and not (int(edge_index.min()) >= 0 and int(edge_index.max()) < num_nodes):
        raise ValueError(f"a citation leads to a document outside of 0 .. {num_nodes - 1}")
    return undirected_edges(edge_index)
