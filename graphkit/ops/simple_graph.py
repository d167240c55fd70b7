"""The undirected simple graph behind any list of edges, in the form that the operators on undirected graphs read."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import call, define, public
from graphkit.ops.csr import CSRGraph, _check_edges

__all__ = ["Dropped", "SimpleGraph", "as_simple"]

public("SimpleGraph", "simple_graph")


class Dropped(NamedTuple):
    """What became of the edges that a simple graph cannot hold.

    Attributes:
        self_loops: edges from a node to itself, dropped.
        duplicates: further copies of an edge in the same direction, dropped.
        one_way: edges stored in one direction only, taken as undirected.

    Example:
        >>> SimpleGraph(torch.tensor([[0, 1, 0, 2], [1, 0, 1, 2]]), num_nodes=3).info
        Dropped(self_loops=1, duplicates=1, one_way=0)
    """

    self_loops: int
    duplicates: int
    one_way: int


class SimpleGraph:
    """An undirected graph without loops and parallel edges; every edge is stored in both directions, rows sorted.

    Args:
        edge_index: int64 ``[2, E]``, whichever directions it stores.
        num_nodes: N; ids lie in ``[0, N)``.

    Attributes:
        ptr: int64 ``[N + 1]``, the first entry of each row.
        col: int32 ``[2 M]``, the neighbours.
        max_degree: most neighbours of one node.
        info: what was dropped, :class:`Dropped`.

    Raises:
        UserError: wrong shape or dtype, ids out of range, more than 2^30 - 1 edges.

    Example:
        >>> graph = SimpleGraph(torch.tensor([[0, 1, 1], [1, 2, 1]]), num_nodes=3)
        >>> graph.ptr.tolist(), graph.col.tolist()
        ([0, 1, 3, 4], [1, 0, 2, 1])
    """

    def __init__(self, edge_index: Tensor, *, num_nodes: int) -> None:
        _check_edges(edge_index, num_nodes)
        if edge_index.shape[1] >= 2**31:
            raise UserError(f"{edge_index.shape[1]} edges, expected fewer than 2^31; split the graph")
        plain = edge_index.as_subclass(Tensor) if type(edge_index) is not Tensor else edge_index
        with torch.inference_mode(False):
            self.ptr, self.col, info = call("simple_graph", plain.clone() if plain.is_inference() else plain, num_nodes)
        loops, duplicates, one_way, self.max_degree = (int(v) for v in info)
        self.num_nodes, self.info = num_nodes, Dropped(loops, duplicates, one_way)
        #: sums derived from the graph once and used again, by name
        self.derived: dict[Any, Any] = {}

    @property
    def num_edges(self) -> int:
        """M, each edge counted once."""
        return len(self.col) // 2

    @property
    def degree(self) -> Tensor:
        """Neighbours of each node, int64 ``[N]``."""
        return self.ptr.diff()

    def row(self) -> Tensor:
        """The node whose row each entry is in, int64 ``[2 M]``."""
        return torch.repeat_interleave(torch.arange(self.num_nodes, device=self.ptr.device), self.degree)

    def __repr__(self) -> str:
        return f"SimpleGraph(num_nodes={self.num_nodes}, num_edges={self.num_edges})"


def as_simple(edge_index: Tensor | CSRGraph | SimpleGraph, num_nodes: int) -> SimpleGraph:
    """A :class:`SimpleGraph` of whatever holds the edges; kept on ``EdgeIndex`` and ``CSRGraph`` so that it is built once."""
    if isinstance(edge_index, SimpleGraph):
        if edge_index.num_nodes != num_nodes:
            raise UserError(f"num_nodes is {num_nodes}, but the SimpleGraph was made for {edge_index.num_nodes} nodes")
        return edge_index
    if isinstance(edge_index, CSRGraph):
        if edge_index.num_nodes != num_nodes:
            raise UserError(f"num_nodes is {num_nodes}, but the CSRGraph was made for {edge_index.num_nodes} nodes")
        kept = getattr(edge_index, "_simple", None)
        if kept is None:
            kept = SimpleGraph(edge_index.edge_index, num_nodes=num_nodes)
            edge_index._simple = kept  # type: ignore[attr-defined]
        return kept
    if type(edge_index) is Tensor or not isinstance(edge_index, Tensor):
        return SimpleGraph(edge_index, num_nodes=num_nodes)
    known = getattr(edge_index, "_graphkit_simple", None)
    if known is None or known[0] != (edge_index._version, num_nodes):
        known = ((edge_index._version, num_nodes), SimpleGraph(edge_index, num_nodes=num_nodes))
        edge_index._graphkit_simple = known  # type: ignore[attr-defined]
    return known[1]


def _simple_graph(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    source, target = edge_index
    loops = source == target
    low, high = torch.minimum(source, target)[~loops], torch.maximum(source, target)[~loops]
    backward = (source > target)[~loops]
    directed, copies = torch.unique((low * num_nodes + high) * 2 + backward, return_counts=True)
    edge, ways = torch.unique_consecutive(directed >> 1, return_counts=True)
    if len(edge):
        low, high = edge // num_nodes, edge % num_nodes
    else:
        low = high = edge
    key = torch.sort(torch.cat([low * num_nodes + high, high * num_nodes + low])).values
    row = key // max(num_nodes, 1)
    degree = torch.bincount(row, minlength=num_nodes)
    ptr = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    info = torch.stack([loops.sum(), (copies - 1).sum(), (ways == 1).sum(), degree.max() if num_nodes else ptr[0]])
    return ptr, (key - row * num_nodes).to(torch.int32), info


def _fake(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    entries = torch.library.get_ctx().new_dynamic_size()
    return (
        edge_index.new_empty(num_nodes + 1),
        edge_index.new_empty(entries, dtype=torch.int32),
        edge_index.new_empty(4),
    )


define("simple_graph(Tensor edge_index, int num_nodes) -> (Tensor, Tensor, Tensor)", _simple_graph, fake=_fake)
