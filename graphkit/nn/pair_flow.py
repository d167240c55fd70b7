"""The part of a generalized Bellman-Ford pass on which given pairs depend."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.nn.bellman_ford import BellmanFordConv
from graphkit.ops import CSRGraph, DegreeClasses, classes_of_degrees, relational_spmm

__all__ = ["PairFlow"]

_ZERO, _QUERY, _FIXED = 0, 1, 2  # rows before those of the background


@dataclass(frozen=True, eq=False)
class _Layer:
    """One layer's rows, each a node in a pass.

    Rows of the layer before are numbered: 0 a row of zeros, 1 the query, then the N nodes of the background, then
    the rows that the layer before holds.
    """

    graph: CSRGraph  # from the rows before to the rows of this layer
    edge_type: Tensor
    own: Tensor  # int64 [M], the row before of the same node in the same pass
    classes: DegreeClasses
    answer: Tensor  # int64 [J], the row of this layer that each pair reads


class PairFlow:
    r"""The states that decide h_q(u, v) for given pairs (u, v), and no others.

    Far from its source a pass does not know the source: where v is more than t hops from u, the state of v after t
    layers is that of a pass with a zero boundary, the same for all sources. And h_q(u, v) after T layers depends, of the
    states after t layers, on those within T - t hops of v alone. So per pair only the nodes x with
    :math:`d(u, x) \le t` and :math:`d(x, v) \le T - t` are computed, beside one background pass for all; every number
    is the one of the whole pass, up to the order of sums. Passes of one source are shared by all its pairs.

    It needs relation vectors and a query that are the same for all passes.

    Args:
        graph: N nodes, with a self-loop at each, in which every edge has its opposite.
        edge_type: int64 ``[E]``.
        sources: int64 ``[P]``, all different: a pass each.
        row: int64 ``[J]``, the pass of each pair.
        target: int64 ``[J]``, the node that each pair reads.
        num_layers: T.
        edge_mask: bool ``[E]``, False takes an edge out; opposite edges go together, self-loops stay.

    Example:
        >>> edges = torch.tensor([[0, 1, 1, 2, 0, 1, 2], [1, 0, 2, 1, 0, 1, 2]])
        >>> flow = PairFlow(
        ...     CSRGraph(edges, num_nodes=3), torch.zeros(7, dtype=torch.int64), torch.tensor([0]), torch.tensor([0]),
        ...     torch.tensor([2]), num_layers=2,
        ... )
        >>> flow.size()  # after one layer node 1 is reached from 0 and is a neighbour of 2; after two layers, node 2
        2
    """

    def __init__(
        self,
        graph: CSRGraph,
        edge_type: Tensor,
        sources: Tensor,
        row: Tensor,
        target: Tensor,
        num_layers: int,
        *,
        edge_mask: Tensor | None = None,
    ) -> None:
        self.graph, self.edge_type, self.edge_mask = graph, edge_type, edge_mask
        self._sources, self._row, self._target, self._depth = sources, row, target, num_layers
        self._active = self._rows_by_layer()

    def size(self) -> int:
        """Rows in all layers together; a whole pass has N rows a layer for each source."""
        return sum(len(keys) for keys in self._active[1:])

    def _rows_by_layer(self) -> list[Tensor]:
        """Keys pass * N + node, sorted, of what is computed after 0 .. T layers; after 0 it is the sources."""
        nodes, passes = self.graph.num_nodes, len(self._sources)
        ends, place = torch.unique(torch.cat([self._sources, self._target]), return_inverse=True)
        of_source, of_target = place[:passes], place[passes:]
        within = torch.zeros(nodes, len(ends), device=ends.device)
        within[ends, torch.arange(len(ends), device=ends.device)] = 1.0
        balls = [within.bool()]
        kind, one = torch.zeros_like(self.edge_type), within.new_ones(1, len(ends))
        for _ in range(self._depth):
            # self-loops keep what has been reached
            within = relational_spmm(
                self.graph, kind, within.unsqueeze(0), one, num_nodes=nodes, reduce="max", edge_mask=self.edge_mask
            )[0]
            balls.append(within.bool())
        keys = []
        for layer in range(self._depth + 1):
            near = torch.zeros(nodes, passes, dtype=torch.int32, device=ends.device)
            near.index_add_(1, self._row, balls[self._depth - layer][:, of_target].to(torch.int32))
            chosen = (balls[layer][:, of_source] & (near > 0)).t().nonzero()
            keys.append(chosen[:, 0] * nodes + chosen[:, 1])
        return keys

    def layers(self) -> list[_Layer]:
        """The layers' rows and edges."""
        kept = self.graph.in_degree(self.edge_mask)
        if self.edge_mask is None:
            source, kind = self.graph.source.long(), self.edge_type[self.graph.perm]
        else:
            position = self.edge_mask[self.graph.perm]
            source, kind = self.graph.source[position].long(), self.edge_type[self.graph.perm][position]
        ptr = F.pad(kept.cumsum(0), (1, 0))
        result = []
        for before, keys in zip(self._active, self._active[1:], strict=False):
            result.append(self._layer(before, keys, kept, ptr, source, kind))
        return result

    def _layer(self, before: Tensor, keys: Tensor, degree: Tensor, ptr: Tensor, source: Tensor, kind: Tensor) -> _Layer:
        nodes, device = self.graph.num_nodes, keys.device
        which, node = torch.div(keys, nodes, rounding_mode="floor"), keys % nodes
        count = degree[node]
        to = torch.repeat_interleave(torch.arange(len(keys), device=device), count)
        edge = torch.arange(len(to), device=device) + (ptr[node] - (count.cumsum(0) - count))[to]
        start = _row_of(which[to], source[edge], before, nodes)
        # the boundary is one more message, from the zero row or the query, with a relation that changes nothing
        at_source = node == self._sources[which]
        boundary = torch.where(at_source, _QUERY, _ZERO)
        unchanged = kind.new_full((len(keys),), -1)
        everything = torch.stack(
            [torch.cat([boundary, start]), torch.cat([torch.arange(len(keys), device=device), to])]
        )
        rows = max(_FIXED + nodes + len(before), len(keys))
        return _Layer(
            CSRGraph(everything, num_nodes=rows),
            torch.cat([unchanged, kind[edge]]),
            _row_of(which, node, before, nodes),
            classes_of_degrees(count + 1, degree + 1),
            _row_of(self._row, self._target, keys, nodes),
        )

    def states(self, layers: Iterable[Any], query: Tensor) -> list[Tensor]:
        """States of the pairs' targets after each layer, a list of ``[J, d]``.

        Args:
            layers: T :class:`BellmanFordConv` with ``dependent=False``.
            query: ``[d]``, the boundary value at the source.
        """
        nodes, width = self.graph.num_nodes, query.shape[0]
        nowhere = torch.zeros(1, dtype=torch.int64, device=query.device)
        background = query.new_zeros(1, nodes, width)
        zero = query.new_zeros(1, width)
        # after 0 layers: a source holds the query where a pair can still read it
        local = query.expand(len(self._active[0]), -1)
        degree = self.graph.in_degree(self.edge_mask) + 1
        everywhere = classes_of_degrees(degree, degree)
        found = []
        for layer, flow in zip(layers, self.layers(), strict=True):
            before = torch.cat([zero, query.unsqueeze(0), background[0], local])
            local = _step(layer, flow, before)
            background = layer(
                background,
                zero,
                nowhere,
                zero,
                self.graph,
                self.edge_type,
                edge_mask=self.edge_mask,
                classes=everywhere,
            )
            found.append(torch.cat([zero, query.unsqueeze(0), background[0], local])[flow.answer])
        return found


def _row_of(which: Tensor, node: Tensor, keys: Tensor, nodes: int) -> Tensor:
    """The row that holds a node in a pass: its own where it has one, else the background's."""
    wanted = which * nodes + node
    if len(keys) == 0:
        return node + _FIXED
    place = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, place + _FIXED + nodes, node + _FIXED)


def _step(layer: BellmanFordConv, flow: _Layer, before: Tensor) -> Tensor:
    """The states of the rows of a layer, [M, d]."""
    rows = len(flow.own)
    if rows == 0:
        return before[:0]
    table = layer.relations(before[:1])
    unchanged = torch.ones_like(table[:1]) if layer.message == "distmult" else torch.zeros_like(table[:1])
    if layer.message == "rotate":
        unchanged[:, : table.shape[1] // 2] = 1.0
    relation = torch.cat([table, unchanged])
    kind = torch.where(flow.edge_type < 0, len(table), flow.edge_type)
    x = F.pad(before, (0, 0, 0, flow.graph.num_nodes - len(before))).unsqueeze(0)
    features = layer.messages(x, relation, flow.graph, kind)[:, :rows]
    return layer.update(before[flow.own].unsqueeze(0), features, flow.classes)[0]
