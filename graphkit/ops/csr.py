"""A graph in the two sorted forms that the kernels read."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError

__all__ = ["CSRGraph", "as_csr"]

_LIMIT = 2**31 - 1  # positions and node ids are stored as int32


class CSRGraph:
    """Edges sorted once: by (target, source), and again by source.

    An edge is named by its *position* in the first order. Equal (target, source) pairs keep the order in which they were
    given. The object holds nothing that depends on edge values, so one graph serves any relation ids, weights and masks.

    Args:
        edge_index: int64 ``[2, E]``, row 0 sources, row 1 targets.
        num_nodes: N; ids lie in ``[0, N)``.

    Attributes:
        ptr: int64 ``[N + 1]``, the first position of each target.
        source: int32 ``[E]``, by position.
        perm: int64 ``[E]``, the column of ``edge_index`` at each position.
        t_ptr: int64 ``[N + 1]``, the first entry of each source in the order by source.
        t_target, t_position: int32 ``[E]``, target and position of the entries of that order.

    Raises:
        UserError: wrong shape or dtype, ids out of range, more than 2^31 - 1 nodes or edges.

    Example:
        >>> graph = CSRGraph(torch.tensor([[0, 2, 1], [1, 1, 0]]), num_nodes=3)
        >>> graph.ptr.tolist(), graph.source.tolist()
        ([0, 1, 3, 3], [1, 0, 2])
    """

    def __init__(self, edge_index: Tensor, *, num_nodes: int) -> None:
        _check_edges(edge_index, num_nodes)
        # what is remembered must serve training too, also when first asked for inside inference mode
        with torch.inference_mode(False):
            self._sort(edge_index, num_nodes)

    def _sort(self, edge_index: Tensor, num_nodes: int) -> None:
        source, target = (
            row.as_tensor() if hasattr(row, "as_tensor") else row for row in edge_index
        )  # PyG's Index is a subclass
        self.num_nodes, self.num_edges = num_nodes, edge_index.shape[1]
        key = target * num_nodes + source
        self.key, self.perm = torch.sort(key, stable=True)
        self.source = source[self.perm].to(torch.int32)
        self.ptr = _pointers(target, num_nodes)
        order = torch.sort(source[self.perm], stable=True).indices
        self.t_ptr = _pointers(source, num_nodes)
        self.t_target = target[self.perm][order].to(torch.int32)
        self.t_position = order.to(torch.int32)
        self._t_edge: Tensor | None = None
        self._sorted: dict[tuple[Any, ...], tuple[weakref.ref[Tensor], Tensor]] = {}

    @property
    def device(self) -> torch.device:
        return self.perm.device

    @property
    def edge_index(self) -> Tensor:
        """The edges in the order in which they were given, int64 ``[2, E]``."""
        target = torch.repeat_interleave(torch.arange(self.num_nodes, device=self.device), self.ptr.diff())
        edges = torch.empty(2, self.num_edges, dtype=torch.int64, device=self.device)
        edges[:, self.perm] = torch.stack([self.source.long(), target])
        return edges

    @property
    def t_edge(self) -> Tensor:
        """The column of ``edge_index`` at each entry of the order by source, int64 ``[E]``; made when first asked for.

        Example:
            >>> CSRGraph(torch.tensor([[2, 0, 0], [1, 2, 1]]), num_nodes=3).t_edge.tolist()
            [2, 1, 0]
        """
        if self._t_edge is None:
            with torch.inference_mode(False):
                self._t_edge = self.perm[self.t_position.long()]
        return self._t_edge

    def by_position(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        """Edge values ``[E]`` put in the order of positions and cast; differentiable.

        The result is remembered while ``values`` lives unchanged: the layers of a model share one sort.
        """
        if values.requires_grad or values.is_inference():  # an inference tensor has no version to know a change by
            return values[self.perm].to(dtype)
        key = (id(values), values._version, dtype)
        known = self._sorted.get(key)
        if known is not None and known[0]() is values:
            return known[1]
        with torch.inference_mode(False):
            result = values[self.perm].to(dtype)
        if len(self._sorted) >= 8:
            self._sorted = {k: v for k, v in self._sorted.items() if v[0]() is not None}
            while len(self._sorted) >= 8:
                self._sorted.pop(next(iter(self._sorted)))
        self._sorted[key] = (weakref.ref(values), result)
        return result

    def in_degree(self, edge_mask: Tensor | None = None) -> Tensor:
        """Number of (kept) edges into each node, int64 ``[N]``.

        Example:
            >>> CSRGraph(torch.tensor([[0, 2], [1, 1]]), num_nodes=3).in_degree().tolist()
            [0, 2, 0]
        """
        if edge_mask is None:
            return self.ptr.diff()
        kept = torch.zeros(self.num_edges + 1, dtype=torch.int64, device=self.device)
        torch.cumsum(self.by_position(edge_mask, torch.uint8), 0, dtype=torch.int64, out=kept[1:])
        return kept[self.ptr].diff()

    def edges_between(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """All edges source[i] -> target[i], by bisection: no pass over the graph.

        Args:
            source, target: int64 ``[P]``.

        Returns:
            pair: int64 ``[M]``, which i; edge: int64 ``[M]``, columns of ``edge_index``.

        Raises:
            UserError: ids out of range.

        Example:
            >>> graph = CSRGraph(torch.tensor([[0, 2, 0], [1, 1, 1]]), num_nodes=3)
            >>> pair, edge = graph.edges_between(torch.tensor([2, 0]), torch.tensor([1, 1]))
            >>> pair.tolist(), edge.tolist()
            ([0, 1, 1], [1, 0, 2])
        """
        for ids in (source, target):
            low, high = (int(v) for v in ids.aminmax()) if len(ids) else (0, -1)
            if low < 0 or high >= self.num_nodes:
                # one id too large would name another pair
                raise UserError(f"pairs hold node id {low if low < 0 else high}, expected ids in [0, {self.num_nodes})")
        wanted = target * self.num_nodes + source
        first = torch.searchsorted(self.key, wanted)
        count = torch.searchsorted(self.key, wanted, right=True) - first
        pair = torch.repeat_interleave(torch.arange(len(wanted), device=wanted.device), count)
        offset = torch.arange(len(pair), device=wanted.device) - (count.cumsum(0) - count)[pair]
        return pair, self.perm[first[pair] + offset]

    def to(self, device: torch.device | str) -> CSRGraph:
        """The same graph on another device."""
        moved = CSRGraph.__new__(CSRGraph)
        moved.__dict__ = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in self.__dict__.items()}
        moved._sorted = {}
        return moved

    def __repr__(self) -> str:
        return f"CSRGraph(num_nodes={self.num_nodes}, num_edges={self.num_edges}, device={str(self.device)!r})"


def _pointers(ids: Tensor, num_nodes: int) -> Tensor:
    counts = torch.bincount(ids, minlength=num_nodes)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _check_edges(edge_index: Tensor, num_nodes: int) -> None:
    if not isinstance(edge_index, Tensor) or edge_index.dim() != 2 or edge_index.shape[0] != 2:
        shape = tuple(edge_index.shape) if isinstance(edge_index, Tensor) else type(edge_index).__name__
        raise UserError(f"edge_index is {shape}, expected an int64 tensor of shape [2, E] (sources, targets)")
    if edge_index.dtype != torch.int64:
        raise UserError(f"edge_index has dtype {edge_index.dtype}, expected torch.int64; convert it with .long()")
    if num_nodes < 0 or max(num_nodes, edge_index.shape[1]) > _LIMIT:
        raise UserError(f"num_nodes={num_nodes} and {edge_index.shape[1]} edges: both must lie in [0, 2^31)")
    if edge_index.numel():
        low, high = (int(v) for v in edge_index.as_subclass(Tensor).aminmax())
        if low < 0 or high >= num_nodes:
            raise UserError(
                f"edge_index holds node id {low if low < 0 else high}, expected ids in [0, {num_nodes}); "
                "pass the right num_nodes or renumber the nodes"
            )


def as_csr(edge_index: Tensor | CSRGraph, num_nodes: int) -> CSRGraph:
    """A :class:`CSRGraph` of whatever holds the edges; kept on PyG's ``EdgeIndex`` so that it is sorted once."""
    if isinstance(edge_index, CSRGraph):
        if edge_index.num_nodes != num_nodes:
            raise UserError(f"num_nodes is {num_nodes}, but the CSRGraph was made for {edge_index.num_nodes} nodes")
        return edge_index
    if type(edge_index) is Tensor or not isinstance(edge_index, Tensor):
        return CSRGraph(edge_index, num_nodes=num_nodes)
    known = getattr(edge_index, "_graphkit_csr", None)
    if known is None or known[0] != (edge_index._version, num_nodes):
        known = ((edge_index._version, num_nodes), CSRGraph(edge_index, num_nodes=num_nodes))
        edge_index._graphkit_csr = known  # type: ignore[attr-defined]
    return known[1]
