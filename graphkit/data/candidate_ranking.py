"""Ranking among candidates that the data set gives, instead of among all entities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphkit.data.evaluation import _Targets
from graphkit.data.message_graph import MessageGraph
from graphkit.data.query_batches import device_of, evaluation_mode, in_batches, scores_of
from graphkit.errors import UserError
from graphkit.metrics import check_ties, rank_from_counts

__all__ = ["check_candidates", "rank_candidates"]

# Elements of the widest temporary when targets are compared with their candidates (a few megabytes).
_COMPARE = 2**21


@torch.no_grad()
def rank_candidates(
    model: Any,
    graph: MessageGraph,
    triples: Tensor,
    tail_negatives: Tensor,
    head_negatives: Tensor,
    *,
    ties: str = "mean",
    batch_size: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Tensor, Tensor]:
    """Ranks of the tail and of the head of every triple among negatives of its own.

    One pass of the model scores all entities for a query; queries that several triples share are scored once, and the
    scores of the candidates are gathered. Nothing is filtered: the negatives count as they are given.

    Args:
        model: has ``score_queries(graph, heads [q], relations [q]) -> [q, N]``; put in evaluation mode meanwhile.
        graph: message graph, on any device.
        triples: [n, 3] int64.
        tail_negatives: [n, K], entities that the tail of each triple is ranked among, of any integer type.
        head_negatives: [n, K'], the same for the head.
        ties: tie rule of :mod:`graphkit.metrics`; ``"mean"`` is OGB's.
        batch_size: queries at once; None: by free memory, at most 256. Halved whenever memory runs out.
        progress: called with (queries done, queries in all).

    Returns:
        (tail ranks [n] in 1 .. K + 1, head ranks [n]) on the CPU; int64, for mean ties float64.

    Raises:
        UserError: for no triples, negatives of a wrong shape or out of range, an unknown tie rule, scores of a wrong
            shape, a NaN score, or when a single query does not fit in memory.

    Example:
        >>> class Constant:
        ...     def score_queries(self, graph, heads, relations):
        ...         return torch.zeros(len(heads), graph.num_nodes)
        >>> facts = torch.tensor([[0, 0, 1]])
        >>> graph, negatives = MessageGraph.from_triples(facts, 4, 1), torch.tensor([[2, 3]])
        >>> rank_candidates(Constant(), graph, facts, negatives, negatives)
        (tensor([2.], dtype=torch.float64), tensor([2.], dtype=torch.float64))
    """
    check_ties(ties)
    if triples.size(0) == 0:
        raise UserError("there are no triples to rank; choose a split that has some")
    sides = (tail_negatives.cpu(), head_negatives.cpu())
    for side, negatives in zip(("tail", "head"), sides, strict=True):
        check_candidates(negatives, triples.size(0), graph.num_nodes, f"{side} negatives")
    graph = graph.to(device_of(model, graph))
    targets = _Targets.of(triples.cpu(), graph.num_relations)
    n = triples.size(0)
    ranks = torch.empty(2 * n, dtype=torch.float64 if ties == "mean" else torch.int64)

    def work(start: int, stop: int) -> None:
        heads, relations = targets.head[start:stop].to(graph.device), targets.relation[start:stop].to(graph.device)
        scores = scores_of(model, graph, heads, relations)
        begin, end = int(targets.ptr[start]), int(targets.ptr[stop])
        count = targets.ptr[start + 1 : stop + 1] - targets.ptr[start:stop]
        query = torch.repeat_interleave(torch.arange(stop - start), count)
        place, entity = targets.place[begin:end], targets.entity[begin:end]
        # Places below n ask for tails, the others for heads.
        for side, negatives in enumerate(sides):
            mine = ((place >= n).long() == side).nonzero().squeeze(1)
            piece = max(1, _COMPARE // max(negatives.size(1), 1))
            for part in mine.split(piece):
                chosen = negatives[place[part] - side * n].to(graph.device, torch.int64)
                row = query[part].to(graph.device).unsqueeze(1)
                level = scores[row, entity[part].to(graph.device).unsqueeze(1)]
                candidates = scores[row, chosen]
                greater, equal = (candidates > level).sum(1), (candidates == level).sum(1)
                ranks[place[part]] = rank_from_counts(greater, equal, ties).cpu()

    with evaluation_mode(model):
        in_batches(model, graph, targets.head.numel(), work, batch_size=batch_size, progress=progress)
    return ranks[:n], ranks[n:]


def check_candidates(candidates: Tensor, rows: int, num_entities: int, what: str) -> None:
    """Refuse candidates that are no whole numbers [rows, K] of entities.

    Raises:
        UserError: naming what was wrong and what was expected.

    Example:
        >>> check_candidates(torch.tensor([[3]]), 1, 4, "tail negatives")
    """
    if candidates.dim() != 2 or candidates.size(0) != rows or candidates.is_floating_point():
        raise UserError(
            f"{what} are {candidates.dtype} {list(candidates.shape)}, expected whole numbers [{rows}, K], a row a triple"
        )
    if candidates.numel() and not (int(candidates.min()) >= 0 and int(candidates.max()) < num_entities):
        raise UserError(f"{what} name entities outside of 0 .. {num_entities - 1}")
