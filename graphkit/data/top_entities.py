"""The entities that a model scores highest for each query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphkit.data.fact_index import FactIndex
from graphkit.data.message_graph import MessageGraph
from graphkit.data.query_batches import device_of, evaluation_mode, in_batches, scores_of
from graphkit.errors import UserError

__all__ = ["top_entities"]


@torch.no_grad()
def top_entities(
    model: Any,
    graph: MessageGraph,
    heads: Tensor,
    relations: Tensor,
    k: int = 10,
    index: FactIndex | None = None,
    *,
    batch_size: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """The k entities with the highest scores as tails of each query, best first; equal scores by rising id.

    Queries that occur several times are scored once, a batch at a time, so the memory does not grow with their number
    (k entities a query aside).

    Args:
        model: has ``score_queries(graph, heads [q], relations [q]) -> [q, N]``; put in evaluation mode meanwhile.
        graph: message graph, on any device.
        heads: int64 ``[Q]``.
        relations: int64 ``[Q]`` in ``[0, 2R)``; r + R asks for heads.
        k: most entities a query.
        index: known facts whose entities are no candidates; None: all entities are.
        batch_size: queries at once; None: by free memory, at most 256. Halved whenever memory runs out.
        progress: called with (queries done, different queries in all).

    Returns:
        per query ``(entity int64 [n], score float64 [n])`` on the CPU, n = k or the number of candidates where that is less.

    Raises:
        UserError: for k below 1, scores of a wrong shape, a NaN score, or when a single query does not fit in memory.

    Example:
        >>> class Rising:
        ...     def score_queries(self, graph, heads, relations):
        ...         return torch.arange(float(graph.num_nodes)).expand(len(heads), -1)
        >>> facts = torch.tensor([[0, 0, 3]])
        >>> graph, index = MessageGraph.from_triples(facts, 4, 1), FactIndex.build(facts, 4, 1)
        >>> top_entities(Rising(), graph, torch.tensor([0]), torch.tensor([0]), 2, index)
        [(tensor([2, 1]), tensor([2., 1.], dtype=torch.float64))]
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise UserError(f"k is {k!r}, expected a whole number from 1 upwards")
    graph = graph.to(device_of(model, graph))
    index = None if index is None else index.to(graph.device)
    key, place = torch.unique(heads.cpu() * graph.num_relations + relations.cpu(), return_inverse=True)
    head, relation = torch.div(key, graph.num_relations, rounding_mode="floor"), key % graph.num_relations
    # Filled in place: small results kept from each batch would lie between the large blocks of memory that a batch frees,
    # so that these could not be used again and the memory would grow with the number of batches.
    width = min(k, graph.num_nodes)
    entities, scores = (
        torch.zeros(len(key), width, dtype=torch.int64),
        torch.zeros(len(key), width, dtype=torch.float64),
    )
    count = torch.zeros(len(key), dtype=torch.int64)

    def work(start: int, stop: int) -> None:
        begin = head[start:stop].to(graph.device), relation[start:stop].to(graph.device)
        known = None if index is None else index.answers(*begin)
        row, place, entity, score = _best(scores_of(model, graph, *begin), width, known)
        entities[start + row, place], scores[start + row, place] = entity, score.double()
        count[start:stop] = torch.bincount(row, minlength=stop - start)

    with evaluation_mode(model):
        in_batches(model, graph, len(key), work, batch_size=batch_size, progress=progress)
    return [(entities[q, :n], scores[q, :n]) for q, n in zip(place.tolist(), count[place].tolist(), strict=True)]


def _best(scores: Tensor, k: int, known: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The k best of each row of ``[q, N]``, the known (row, entity) pairs set aside: row, place, entity, score, on the CPU."""
    rows = scores.shape[0]
    bar = scores if known is None else scores.index_put(known, scores.new_full((), -torch.inf))
    lowest = bar.topk(k, dim=1, sorted=True).values[:, -1:]
    chosen = bar >= lowest  # all that are level with the last, so that ids decide between them
    if known is not None:
        chosen[known] = False
    row, entity = chosen.nonzero(as_tuple=True)
    score = scores[row, entity]
    order = torch.argsort(score, descending=True, stable=True)
    order = order[torch.argsort(row[order], stable=True)]
    row, entity, score = row[order], entity[order], score[order]
    count = torch.bincount(row, minlength=rows)
    place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
    kept = place < k
    return row[kept].cpu(), place[kept].cpu(), entity[kept].cpu(), score[kept].cpu()
