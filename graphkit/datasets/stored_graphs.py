"""Many graphs as the files of a data set store them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from torch import Tensor

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["StoredGraphs"]


@dataclass(frozen=True, eq=False)
class StoredGraphs:
    """Graphs with labels, and what their files say besides.

    Args:
        graphs: PyG's ``Data`` with ``y`` and, where there are any, ``x`` and ``edge_attr``.
        level: what ``y`` is about.
        target: what ``y`` is, see :class:`graphkit.data.GraphTask`.
        attributes: further features of the nodes, one [n, K] a graph, used on request or where there is no ``x``; None: none.
        splits: official splits by name: for ``train``, ``valid`` and ``test`` numbers of graphs [g] int64.
        categories: numbers of categories of the columns of ``x`` and ``edge_attr``, where they hold categories.
        classes: names of the classes, labels or values, or None.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> StoredGraphs([Data(edge_index=torch.tensor([[0], [1]]), y=torch.tensor([0]))]).level
        'graph'
    """

    graphs: list[Data]
    level: Literal["graph", "node"] = "graph"
    target: Literal["classes", "labels", "values"] = "classes"
    attributes: list[Tensor] | None = None
    splits: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    categories: dict[str, list[int]] = field(default_factory=dict)
    classes: list[str] | None = None
