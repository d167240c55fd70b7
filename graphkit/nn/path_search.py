"""Beam search for the walks between two nodes whose edges weigh most."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops import CSRGraph
from graphkit.ops.csr import as_csr

__all__ = ["Walk", "heaviest_walks"]


class Walk(NamedTuple):
    """A walk and what it weighs.

    Attributes:
        edges: its edges in order, columns of ``edge_index``.
        weight: mean importance of its edges.

    Example:
        >>> Walk([4, 0], 0.5).edges
        [4, 0]
    """

    edges: list[int]
    weight: float


class _Beams(NamedTuple):
    """The best walks of one length at every node, W a node, best first; -1 where there are fewer."""

    edge: Tensor  # [N, W], last edge of the walk
    rank: Tensor  # [N, W], which walk at that edge's source it prolongs


@torch.no_grad()
def heaviest_walks(
    edge_index: Tensor | CSRGraph,
    importance: Tensor,
    source: int,
    target: int,
    *,
    num_nodes: int,
    beam_width: int = 10,
    edge_mask: Tensor | None = None,
) -> list[Walk]:
    r"""Walks of at most T edges from source to target with the largest mean importance, heaviest first.

    The t-th edge of a walk counts with its importance at position t. A node keeps its ``beam_width`` heaviest walks of
    each length, so what is found is a lower bound unless the beam holds all walks. Edges that leave the target are left
    out: a walk ends when it first arrives, and there is none from a node to itself.

    .. math:: weight(e_1, \dots, e_\ell) = \tfrac1\ell \sum_{t=1}^{\ell} I^{(t)}_{e_t}

    Equal totals are told apart by the order of the edges' sources, then by the order in which edges were given.

    Args:
        edge_index: int64 ``[2, E]`` (source, target) or a :class:`~graphkit.ops.CSRGraph`.
        importance: floating point ``[T, E]``, importance of each edge as the t-th of a walk; summed in float64.
        source: where walks begin.
        target: where they end.
        num_nodes: N.
        beam_width: walks of each length that a node keeps.
        edge_mask: bool ``[E]``, False takes an edge out.

    Returns:
        at most T * beam_width different walks; equal weights: the shorter first. Empty if no walk arrives.

    Raises:
        UserError: shapes that do not fit, ids out of range, a beam width below 1, importances that are not finite.

    Source:
        Zhu et al., Neural Bellman-Ford Networks (NeurIPS 2021), interpretation of predictions by paths.

    Example:
        >>> edges = torch.tensor([[0, 1, 0], [1, 2, 2]])
        >>> importance = torch.tensor([[3.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
        >>> heaviest_walks(edges, importance, 0, 2, num_nodes=3)
        [Walk(edges=[0, 1], weight=2.5), Walk(edges=[2], weight=1.0)]
    """
    csr = as_csr(edge_index, num_nodes)
    _check(csr, importance, source, target, beam_width, edge_mask)
    begin, end = csr.source.long(), torch.repeat_interleave(torch.arange(num_nodes, device=csr.device), csr.ptr.diff())
    usable = begin != target
    if edge_mask is not None:
        usable &= edge_mask[csr.perm]
    begin, end, edge = begin[usable], end[usable], csr.perm[usable]
    total = torch.full((num_nodes, beam_width), -torch.inf, dtype=torch.float64, device=csr.device)
    total[source, 0] = 0.0
    beams: list[_Beams] = []
    walks: list[Walk] = []
    for position in range(len(importance)):
        total, beam = _prolonged(total, begin, end, importance[position][edge].double())
        beams.append(beam)
        arrived = total[target].tolist()
        for rank in range(int(torch.isfinite(total[target]).sum())):
            walks.append(Walk(_traced(beams, begin, edge, target, rank), arrived[rank] / len(beams)))
    return sorted(walks, key=lambda walk: -walk.weight)  # stable: shorter walks stand first already


def _prolonged(total: Tensor, begin: Tensor, end: Tensor, step: Tensor) -> tuple[Tensor, _Beams]:
    """Totals ``[N, W]`` of the heaviest walks that are longer by an edge, and how they came about.

    The walks at an edge's source are sorted, so an edge offers them in turn: in each of W rounds every node takes the
    heaviest offer of its incoming edges, and the edge taken goes on to its next one. No [E, W] table is sorted.
    """
    nodes, width = total.shape
    longer = torch.full_like(total, -torch.inf)
    edge, rank = torch.full_like(total, -1, dtype=torch.int64), torch.full_like(total, -1, dtype=torch.int64)
    live = (total[begin, 0] > -torch.inf).nonzero().squeeze(1)
    begin, end, step = begin[live], end[live], step[live]
    offered = torch.zeros_like(live)  # which walk of its source each edge offers
    offer = total[begin, 0] + step
    for place in range(width):
        best = longer.new_full((nodes,), -torch.inf).scatter_reduce_(0, end, offer, "amax")
        level = ((offer == best[end]) & (offer > -torch.inf)).nonzero().squeeze(1)
        first = torch.full_like(best, len(live), dtype=torch.int64).scatter_reduce_(0, end[level], level, "amin")
        node = (first < len(live)).nonzero().squeeze(1)
        if len(node) == 0:
            break
        taken = first[node]
        longer[node, place], edge[node, place], rank[node, place] = best[node], live[taken], offered[taken]
        offered[taken] += 1
        following = total[begin[taken], offered[taken].clamp(max=width - 1)]
        offer[taken] = torch.where(offered[taken] < width, following, -torch.inf) + step[taken]
    return longer, _Beams(edge, rank)


def _traced(beams: list[_Beams], begin: Tensor, edge: Tensor, target: int, rank: int) -> list[int]:
    """The edges of a walk of the last beams, from the source on."""
    node, found = target, []
    for beam in reversed(beams):
        last = int(beam.edge[node, rank])
        found.append(int(edge[last]))
        node, rank = int(begin[last]), int(beam.rank[node, rank])
    return found[::-1]


def _check(
    csr: CSRGraph, importance: Tensor, source: int, target: int, beam_width: int, edge_mask: Tensor | None
) -> None:
    if importance.dim() != 2 or importance.shape[1] != csr.num_edges or not importance.is_floating_point():
        raise UserError(
            f"importance is {importance.dtype} {tuple(importance.shape)}, expected floating point [T, {csr.num_edges}], "
            "a value for every edge at each position of a walk"
        )
    if edge_mask is not None and (edge_mask.shape != (csr.num_edges,) or edge_mask.dtype != torch.bool):
        raise UserError(f"edge_mask is {edge_mask.dtype} {tuple(edge_mask.shape)}, expected bool [{csr.num_edges}]")
    for what, node in (("source", source), ("target", target)):
        if not 0 <= node < csr.num_nodes:
            raise UserError(f"{what} is {node}, expected a node id in [0, {csr.num_nodes})")
    if isinstance(beam_width, bool) or not isinstance(beam_width, int) or beam_width < 1:
        raise UserError(f"beam_width is {beam_width!r}, expected a whole number from 1 upwards")
    if not bool(torch.isfinite(importance).all()):
        raise UserError("importance holds NaN or an infinity, expected finite numbers; has the model diverged?")
