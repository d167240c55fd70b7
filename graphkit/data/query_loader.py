"""Training batches: shuffled facts with sampled negatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphkit.data.fact_index import FactIndex
from graphkit.data.queries import QueryBatch
from graphkit.data.random_streams import permutation, uniform_below
from graphkit.errors import UserError

if TYPE_CHECKING:
    from graphkit.data.message_graph import MessageGraph

__all__ = ["QueryLoader", "corrupt"]


def corrupt(
    positive: Tensor,
    index: FactIndex | None,
    num_entities: int,
    num_negatives: int,
    *,
    seed: int,
    epoch: int,
    step: int,
    type_ptr: Tensor | None = None,
) -> Tensor:
    """Positive triples and their negatives: the first B // 2 rows get other tails, the others other heads.

    With an index the negatives are strict: uniform, with replacement, over the entities that do not complete a fact.
    With types they are uniform over those of the type of the entity that they replace.

    Args:
        positive: [B, 3] int64.
        index: the facts that are no negatives; None: any entity may be drawn.
        num_entities: N.
        num_negatives: n.
        seed: with ``epoch`` and ``step``, the only things the draw depends on.
        epoch: see ``seed``.
        step: see ``seed``.
        type_ptr: [T + 1] int64; the entities of type i are type_ptr[i] .. type_ptr[i + 1] - 1. None: all are alike.

    Returns:
        [B, 1 + n, 3] int64.

    Raises:
        UserError: when a query is completed by every entity (of the type).

    Example:
        >>> positive = torch.tensor([[0, 0, 1], [0, 0, 1]])
        >>> index = FactIndex.build(positive, num_entities=3, num_base_relations=1)
        >>> corrupt(positive, index, 3, 1, seed=0, epoch=0, step=0).shape
        torch.Size([2, 2, 3])
    """
    size = positive.size(0)
    half = size // 2
    low, high = torch.zeros(size, dtype=torch.int64), torch.full((size,), num_entities)
    if type_ptr is not None:
        replaced = torch.cat([positive[:half, 2], positive[half:, 0]])
        kind = torch.searchsorted(type_ptr, replaced, right=True)
        low, high = type_ptr[kind - 1], type_ptr[kind]
    if index is None:
        draw = uniform_below(high - low, num_negatives, seed=seed, epoch=epoch, step=step)
        entity = low.unsqueeze(1) + draw
    else:
        base = index.num_relations // 2
        anchor = torch.cat([positive[:half, 0], positive[half:, 2]])
        relation = torch.cat([positive[:half, 1], positive[half:, 1] + base])
        first, bound = index.others_between(anchor, relation, low, high)
        if bound.numel() and int(bound.min()) <= 0:
            row = int(bound.argmin())
            side, of_type = "tail" if row < half else "head", "" if type_ptr is None else " of its type"
            raise UserError(_saturated(positive[row].tolist(), side, of_type))
        draw = uniform_below(bound, num_negatives, seed=seed, epoch=epoch, step=step)
        entity = index.nth_other(anchor, relation, first.unsqueeze(1) + draw)
    triples = positive.unsqueeze(1).repeat(1, 1 + num_negatives, 1)
    triples[:half, 1:, 2] = entity[:half]
    triples[half:, 1:, 0] = entity[half:]
    return triples


def _saturated(triple: list[int], side: str, of_type: str) -> str:
    head, relation, tail = triple
    query = f"({head}, {relation}, ?)" if side == "tail" else f"(?, {relation}, {tail})"
    return (
        f"every entity{of_type} is a known {side} of the query {query}, so it has no strict negative; pass strict=False"
    )


class QueryLoader:
    """An epoch of batches that can be begun anywhere.

    The order depends on (seed, epoch), the negatives of a step on (seed, epoch, step): with ``start=s`` the loader
    gives exactly what an uninterrupted one gives from step s on. Iterating again gives the same batches again.

    Args:
        graph: the message graph handed out with every batch.
        positive: [n, 3] int64 triples to train on.
        index: facts that strict negatives must avoid; None for plain uniform negatives.
        num_entities: N.
        batch_size: triples a batch; the last one of a pass may be smaller.
        num_negatives: negatives a triple.
        seed: seed of the run.
        epoch: number of the pass.
        start: first step.
        steps: most steps of a pass (from step 0); None: all triples once.
        type_ptr: where each type of entity begins, see :func:`corrupt`; None: no types.

    Raises:
        UserError: for sizes below 1, no triples, or a start beyond the end.

    Example:
        >>> facts = torch.tensor([[0, 0, 1], [1, 0, 2]])
        >>> from graphkit.data import MessageGraph
        >>> loader = QueryLoader(MessageGraph.from_triples(facts, 3, 1), facts, None, 3, batch_size=2, num_negatives=4)
        >>> len(loader), next(iter(loader)).triples.shape
        (1, torch.Size([2, 5, 3]))
    """

    def __init__(
        self,
        graph: MessageGraph,
        positive: Tensor,
        index: FactIndex | None,
        num_entities: int,
        *,
        batch_size: int = 32,
        num_negatives: int = 32,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
        steps: int | None = None,
        type_ptr: Tensor | None = None,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("num_negatives", num_negatives, 1),
            ("start", start, 0),
            ("steps", 1 if steps is None else steps, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UserError(f"{name} is {value!r}, expected a whole number from {least} upwards")
        if positive.size(0) == 0:
            raise UserError("there are no triples to load; choose a split that has some")
        self.graph, self.positive, self.index = graph, positive, index
        self.num_entities, self.batch_size, self.num_negatives = num_entities, batch_size, num_negatives
        self.seed, self.epoch, self.start, self.type_ptr = seed, epoch, start, type_ptr
        whole = -(-positive.size(0) // batch_size)
        self.stop = whole if steps is None else min(whole, steps)
        if start > self.stop:
            raise UserError(f"start is {start}, but the pass has {self.stop} steps of {batch_size} triples")

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[QueryBatch]:
        order = permutation(self.positive.size(0), seed=self.seed, epoch=self.epoch)
        for step in range(self.start, self.stop):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            place = {"seed": self.seed, "epoch": self.epoch, "step": step}
            yield QueryBatch(
                self.graph,
                corrupt(
                    self.positive[rows],
                    self.index,
                    self.num_entities,
                    self.num_negatives,
                    type_ptr=self.type_ptr,
                    **place,
                ),
            )
