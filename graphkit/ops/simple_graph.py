"""The undirected simple graph behind any list of edges, in the form that the operators on undirected graphs read."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import call, define, public
from graphkit.ops.csr import CSRGraph, _check_edges

__all__ = ["Dropped", "Masked", "SimpleGraph", "as_simple"]

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


class Masked(NamedTuple):
    """Edges taken out of a simple graph for a while, in the form that the kernels read.

    Attributes:
        gone: uint8 ``[2 M]``, 1 for the two entries of every removed edge.
        degree: int64 ``[N]``, neighbours that are left.

    Example:
        >>> graph = SimpleGraph(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
        >>> graph.masked(torch.tensor([True, False]))
        Masked(gone=tensor([1, 1, 0, 0], dtype=torch.uint8), degree=tensor([0, 1, 1]))
    """

    gone: Tensor
    degree: Tensor


class SimpleGraph:
    """An undirected graph without loops and parallel edges; every edge is stored in both directions, rows sorted.

    Edges have numbers from 0 to M - 1, in the order of their (smaller end, larger end).

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

    @property
    def edge(self) -> Tensor:
        """Number of the undirected edge of each entry, int32 ``[2 M]``; made when first asked for.

        Example:
            >>> SimpleGraph(torch.tensor([[0, 1], [1, 2]]), num_nodes=3).edge.tolist()
            [0, 0, 1, 1]
        """
        return self._numbers()[0]

    @property
    def reverse(self) -> Tensor:
        """The entry of the same edge in the other row, int32 ``[2 M]``; made when first asked for.

        Example:
            >>> SimpleGraph(torch.tensor([[0, 1], [1, 2]]), num_nodes=3).reverse.tolist()
            [1, 0, 3, 2]
        """
        return self._numbers()[1]

    def _numbers(self) -> tuple[Tensor, Tensor]:
        kept = self.derived.get("numbers")
        if kept is None:
            with torch.inference_mode(False):
                kept = self.derived["numbers"] = call("simple_graph_numbers", self.ptr, self.col)
        return kept

    def _first(self) -> Tensor:
        """Number of the first edge from each node to a larger one, int64 ``[N + 1]``."""
        kept = self.derived.get("first")
        if kept is None:
            with torch.inference_mode(False):
                kept = self.derived["first"] = call("simple_graph_first", self.ptr, self.col)
        return kept

    def edge_ids(self, pairs: Tensor) -> Tensor:
        """The edge between the nodes of each pair, in either direction.

        Args:
            pairs: int64 ``[2, P]``.

        Returns:
            int64 ``[P]``, numbers of edges, or -1 where there is none.

        Raises:
            UserError: wrong shape or dtype, ids out of range.

        Example:
            >>> graph = SimpleGraph(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
            >>> graph.edge_ids(torch.tensor([[1, 2, 0, 1], [0, 1, 2, 1]])).tolist()
            [0, 1, -1, -1]
        """
        return call("simple_graph_find", self.ptr, self.col, self._first(), check_pairs(pairs, self))

    def removed_by(self, pairs: Tensor) -> Tensor:
        """A set of removed edges: those between the nodes of any pair. Pairs without an edge remove nothing.

        Args:
            pairs: int64 ``[2, P]``, in either direction, in any number of copies.

        Returns:
            uint8 ``[M]``, 1 for removed edges.

        Raises:
            UserError: wrong shape or dtype, ids out of range.

        Example:
            >>> graph = SimpleGraph(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
            >>> graph.removed_by(torch.tensor([[2, 1, 0], [1, 2, 2]])).tolist()
            [0, 1]
        """
        ids = self.edge_ids(pairs)
        removed = torch.zeros(self.num_edges, dtype=torch.uint8, device=self.col.device)
        removed[ids[ids >= 0]] = 1
        return removed

    def masked(self, removed: Tensor) -> Masked:
        """A set of removed edges in the form that the kernels read; remembered while ``removed`` lives unchanged.

        Args:
            removed: bool or uint8 ``[M]``, not 0 for the edges that are taken out.

        Raises:
            UserError: wrong shape, dtype or device.
        """
        if not isinstance(removed, Tensor) or removed.dtype not in (torch.bool, torch.uint8):
            kind = removed.dtype if isinstance(removed, Tensor) else type(removed).__name__
            raise UserError(
                f"removed is {kind}, expected a bool or uint8 tensor [M]; make it with SimpleGraph.removed_by"
            )
        if removed.shape != (self.num_edges,):
            raise UserError(
                f"removed has shape {tuple(removed.shape)}, expected [{self.num_edges}], one flag per undirected edge; make it"
                " with SimpleGraph.removed_by"
            )
        if removed.device != self.col.device:
            raise UserError(f"removed is on {removed.device}, the graph on {self.col.device}; move them to one device")
        key = None if removed.is_inference() else removed._version  # what inference mode made counts no versions
        kept = self.derived.get("masked")
        if kept is not None and kept[0]() is removed and key is not None and kept[1] == key:
            return kept[2]
        with torch.inference_mode(False):
            flags = removed.detach().to(torch.uint8)
            made = Masked(*call("simple_graph_mask", self.ptr, self.col, self._first(), flags.contiguous()))
        self.derived["masked"] = (weakref.ref(removed), key, made)
        return made

    def __repr__(self) -> str:
        return f"SimpleGraph(num_nodes={self.num_nodes}, num_edges={self.num_edges})"


def check_pairs(pairs: Tensor, graph: SimpleGraph) -> Tensor:
    """Pairs of nodes of a graph, int64 ``[2, P]``, as a contiguous plain tensor; UserError for anything else."""
    if not isinstance(pairs, Tensor) or pairs.dim() != 2 or pairs.shape[0] != 2:
        shape = tuple(pairs.shape) if isinstance(pairs, Tensor) else type(pairs).__name__
        raise UserError(f"pairs is {shape}, expected an int64 tensor of shape [2, P]")
    if pairs.dtype != torch.int64:
        raise UserError(f"pairs has dtype {pairs.dtype}, expected torch.int64; convert it with .long()")
    if pairs.device != graph.ptr.device:
        raise UserError(f"pairs is on {pairs.device}, the graph on {graph.ptr.device}; move them to one device")
    plain = (pairs.as_subclass(Tensor) if type(pairs) is not Tensor else pairs).contiguous()
    if plain.numel():
        low, high = (int(v) for v in plain.aminmax())
        if low < 0 or high >= graph.num_nodes:
            raise UserError(f"pairs hold node id {low if low < 0 else high}, expected ids in [0, {graph.num_nodes})")
    return plain


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


def _row(ptr: Tensor) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(ptr) - 1, device=ptr.device), ptr.diff())


def _numbers(ptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    row, far = _row(ptr), col.long()
    lower, upper = (row < far).nonzero().squeeze(1), (row > far).nonzero().squeeze(1)
    # upper entries are sorted by (larger end, smaller end); edges by (smaller end, larger end)
    upper = upper[torch.sort(far[upper], stable=True).indices]
    edge, reverse = torch.empty_like(col), torch.empty_like(col)
    number = torch.arange(len(lower), dtype=torch.int32, device=col.device)
    edge[lower], edge[upper] = number, number
    reverse[lower], reverse[upper] = upper.to(torch.int32), lower.to(torch.int32)
    return edge, reverse


def _first(ptr: Tensor, col: Tensor) -> Tensor:
    row = _row(ptr)
    count = torch.bincount(row[row < col], minlength=len(ptr) - 1)
    return torch.cat([count.new_zeros(1), count.cumsum(0)])


def _find(ptr: Tensor, col: Tensor, first: Tensor, pairs: Tensor) -> Tensor:
    if not len(col):
        return pairs.new_full((pairs.shape[1],), -1)
    n, row, far = len(ptr) - 1, _row(ptr), col.long()
    lower = row < far
    key = row[lower] * n + far[lower]
    wanted = pairs.amin(0) * n + pairs.amax(0)
    at = torch.searchsorted(key, wanted).clamp(max=len(key) - 1)
    return torch.where(key[at] == wanted, at, -1)


def _mask(ptr: Tensor, col: Tensor, first: Tensor, removed: Tensor) -> tuple[Tensor, Tensor]:
    gone = (removed != 0)[_numbers(ptr, col)[0].long()]
    left = torch.zeros(len(col) + 1, dtype=torch.int64, device=col.device)
    torch.cumsum(~gone, 0, out=left[1:])
    return gone.to(torch.uint8), left[ptr].diff()


def _fake(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    entries = torch.library.get_ctx().new_dynamic_size()
    return (
        edge_index.new_empty(num_nodes + 1),
        edge_index.new_empty(entries, dtype=torch.int32),
        edge_index.new_empty(4),
    )


define("simple_graph(Tensor edge_index, int num_nodes) -> (Tensor, Tensor, Tensor)", _simple_graph, fake=_fake)
define(
    "simple_graph_numbers(Tensor ptr, Tensor col) -> (Tensor, Tensor)",
    _numbers,
    fake=lambda ptr, col: (torch.empty_like(col), torch.empty_like(col)),
)
define("simple_graph_first(Tensor ptr, Tensor col) -> Tensor", _first, fake=lambda ptr, col: torch.empty_like(ptr))
define(
    "simple_graph_find(Tensor ptr, Tensor col, Tensor first, Tensor pairs) -> Tensor",
    _find,
    fake=lambda ptr, col, first, pairs: pairs.new_empty(pairs.shape[1]),
)
define(
    "simple_graph_mask(Tensor ptr, Tensor col, Tensor first, Tensor removed) -> (Tensor, Tensor)",
    _mask,
    fake=lambda ptr, col, first, removed: (
        torch.empty_like(col, dtype=torch.uint8),
        ptr.new_empty(ptr.shape[0] - 1),
    ),
)
