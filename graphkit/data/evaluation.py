"""Filtered ranking of all entities for the queries of a split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphkit.data.fact_index import FactIndex
from graphkit.data.message_graph import MessageGraph
from graphkit.data.query_batches import device_of, evaluation_mode, in_batches, scores_of
from graphkit.errors import UserError
from graphkit.metrics import check_ties, rank_from_counts

__all__ = ["count_negatives", "rank_triples"]

Progress = Callable[[int, int], object]

# Elements of the widest temporary when targets are compared with all candidates (a few megabytes).
_COMPARE = 2**21


@dataclass(frozen=True)
class _Targets:
    """The 2n (query, target) pairs of n triples, grouped by query; pair p of query q is in ptr[q] .. ptr[q + 1]."""

    head: Tensor  # [Q]
    relation: Tensor  # [Q]
    ptr: Tensor  # [Q + 1]
    entity: Tensor  # [2n], sorted by query
    place: Tensor  # [2n], which pair of the input; tails first, then heads

    @classmethod
    def of(cls, triples: Tensor, num_relations: int) -> _Targets:
        h, r, t = triples.t()
        key = torch.cat([h, t]) * num_relations + torch.cat([r, r + num_relations // 2])
        unique, query, count = torch.unique(key, return_inverse=True, return_counts=True)
        place = torch.argsort(query, stable=True)
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        entity = torch.cat([t, h])[place]
        return cls(torch.div(unique, num_relations, rounding_mode="floor"), unique % num_relations, ptr, entity, place)


@torch.no_grad()
def rank_triples(
    model: Any,
    graph: MessageGraph,
    triples: Tensor,
    index: FactIndex | None,
    *,
    ties: str = "pessimistic",
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """Ranks of the tail and of the head of every triple among all entities.

    A head query (?, r, t) is scored as the tail query (t, r + R, ?). Queries that several triples share are scored
    once. The rank counts the candidates v that are no known answer and not the target:
    1 + #{v: s(v) >= s(target)} for pessimistic ties.

    Args:
        model: has ``score_queries(graph, heads [q], relations [q]) -> [q, N]``; put in evaluation mode meanwhile.
        graph: message graph, on any device.
        triples: [n, 3] int64.
        index: known facts whose entities are no candidates; None: no filter.
        ties: tie rule of :mod:`graphkit.metrics`.
        batch_size: queries at once; None: by free memory, at most 256. Halved whenever memory runs out.
        progress: called with (queries done, queries in all).

    Returns:
        (tail ranks [n], head ranks [n]) on the CPU; int64, for mean ties float64.

    Raises:
        UserError: for no triples, an unknown tie rule, scores of a wrong shape, a NaN score (the query is named), or
            when a single query does not fit in memory.

    Example:
        >>> class Constant:
        ...     def score_queries(self, graph, heads, relations):
        ...         return torch.zeros(len(heads), graph.num_nodes)
        >>> facts = torch.tensor([[0, 0, 1]])
        >>> graph = MessageGraph.from_triples(facts, 4, 1)
        >>> rank_triples(Constant(), graph, facts, FactIndex.build(facts, 4, 1))
        (tensor([4]), tensor([4]))
    """
    check_ties(ties)
    if triples.size(0) == 0:
        raise UserError("there are no triples to rank; choose a split that has some")
    graph = graph.to(device_of(model, graph))
    targets = _Targets.of(triples.cpu(), graph.num_relations)
    index = None if index is None else index.to(graph.device)
    sorted_ranks = torch.empty(targets.entity.numel(), dtype=torch.float64 if ties == "mean" else torch.int64)

    def work(start: int, stop: int) -> None:
        begin, end = int(targets.ptr[start]), int(targets.ptr[stop])
        sorted_ranks[begin:end] = _rank_batch(model, graph, targets, index, ties, start, stop)

    with evaluation_mode(model):
        in_batches(model, graph, targets.head.numel(), work, batch_size=batch_size, progress=progress)
    ranks = torch.empty_like(sorted_ranks)
    ranks[targets.place] = sorted_ranks
    n = triples.size(0)
    return ranks[:n], ranks[n:]


def count_negatives(triples: Tensor, index: FactIndex | None, num_entities: int) -> tuple[Tensor, Tensor]:
    """How many candidates the tail and the head of every triple are ranked against.

    These are the entities that are no known answer of the query and not the target; a rank is at most one more.

    Args:
        triples: [n, 3] int64.
        index: known facts whose entities are no candidates; None: no filter.
        num_entities: N.

    Returns:
        (tail side [n], head side [n]) int64.

    Example:
        >>> facts = torch.tensor([[0, 0, 1], [0, 0, 2]])
        >>> count_negatives(torch.tensor([[0, 0, 3]]), FactIndex.build(facts, 5, 1), 5)
        (tensor([2]), tensor([4]))
    """
    head, relation, tail = triples.cpu().t()
    if index is None:
        others = torch.full_like(head, num_entities - 1)
        return others, others.clone()
    index = index.to("cpu")
    # A target that is a known answer is set aside with the answers; any other one is taken off besides.
    target = (~index.contains(head, relation, tail)).long()
    inverse = relation + index.num_relations // 2
    return (
        num_entities - index.find(head, relation)[1] - target,
        num_entities - index.find(tail, inverse)[1] - target,
    )


def _rank_batch(
    model: Any, graph: MessageGraph, targets: _Targets, index: FactIndex | None, ties: str, start: int, stop: int
) -> Tensor:
    heads, relations = targets.head[start:stop].to(graph.device), targets.relation[start:stop].to(graph.device)
    scores = scores_of(model, graph, heads, relations)
    begin, end = int(targets.ptr[start]), int(targets.ptr[stop])
    count = (targets.ptr[start + 1 : stop + 1] - targets.ptr[start:stop]).to(graph.device)
    row = torch.repeat_interleave(torch.arange(stop - start, device=graph.device), count)
    entity = targets.entity[begin:end].to(graph.device)
    level = scores[row, entity]
    if index is not None:
        # Known answers become NaN, which no comparison counts; no [targets, N] mask is ever made.
        known_row, known = index.answers(heads, relations)
        scores = scores.index_put((known_row, known), scores.new_full((), float("nan")))
    # The target counts against itself where it was not set aside.
    own = (scores[row, entity] == level).long()
    greater, equal = _counts(scores, row, level, ties)
    return rank_from_counts(greater, equal - own, ties).cpu()


def _counts(scores: Tensor, row: Tensor, level: Tensor, ties: str) -> tuple[Tensor, Tensor]:
    """Candidates above, and level with, each target [p]; a piece of the targets at a time."""
    greater, equal = torch.zeros_like(row), torch.zeros_like(row)
    piece = max(1, _COMPARE // scores.size(1))
    for first in range(0, row.numel(), piece):
        part = slice(first, first + piece)
        candidates, bar = scores[row[part]], level[part].unsqueeze(1)
        # One comparison is enough unless ties count half: (>=) gives both numbers together, (>) the first alone.
        if ties != "pessimistic":
            greater[part] = (candidates > bar).sum(1)
        if ties != "optimistic":
            equal[part] = (candidates >= bar).sum(1) - greater[part]
    return greater, equal
