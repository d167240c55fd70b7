"""Knowledge graphs of the Open Graph Benchmark: entities with types, and negatives that come with the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from graphkit.data.candidate_ranking import check_candidates, rank_candidates
from graphkit.data.knowledge_graph import KnowledgeGraphTask
from graphkit.data.leaks import Certificate
from graphkit.data.query_loader import QueryLoader
from graphkit.errors import UserError
from graphkit.metrics import ranking_metrics, reciprocal_rank

__all__ = ["OGBKnowledgeGraphTask"]

_EVALUATED = ("valid", "test")
# Triples of a split whose negatives the leak check compares with all facts, evenly spaced.
_COMPARED = 1000


class OGBKnowledgeGraphTask(KnowledgeGraphTask):
    """Link prediction under OGB's protocol: tail and head of a triple are each ranked among negatives given with it.

    Args:
        name: name of the data set.
        train: [n, 3] int64 facts (head, relation, tail).
        valid: [n, 3] int64.
        test: [n, 3] int64.
        entities: names of the N entities; id i is the i-th.
        relations: names of the R base relations.
        negatives: for ``"valid"`` and ``"test"`` each the pair (tail negatives [n, K], head negatives [n, K]) of whole
            numbers.
        entity_types: number of entities of each type, in the order of their ids; None: entities have no types.
        provenance: where the data come from (plain values).

    Raises:
        UserError: as :class:`KnowledgeGraphTask`; for negatives of a wrong shape or out of range, and for types that do
            not cover the entities.

    Source:
        Hu et al., Open Graph Benchmark: Datasets for Machine Learning on Graphs, NeurIPS 2020 (ogbl-biokg,
        ogbl-wikikg2).

    Example:
        >>> splits = [torch.tensor([[0, 0, 2]]), torch.tensor([[1, 0, 2]]), torch.tensor([[0, 0, 3]])]
        >>> given = (torch.tensor([[3, 4]]), torch.tensor([[0, 0]]))
        >>> task = OGBKnowledgeGraphTask("toy", *splits, list("abcde"), ["treats"], {"valid": given, "test": given},
        ...                              entity_types={"drug": 2, "disease": 3})
        >>> class Constant:
        ...     def score_queries(self, graph, heads, relations):
        ...         return torch.zeros(len(heads), graph.num_nodes)
        >>> task.evaluate(Constant(), "valid")["mrr"]
        0.5
    """

    candidates = "ranked among the negatives given with the data; nothing is filtered"
    """What an answer is ranked among, in the words of a report."""

    def __init__(
        self,
        name: str,
        train: Tensor,
        valid: Tensor,
        test: Tensor,
        entities: Sequence[str],
        relations: Sequence[str],
        negatives: Mapping[str, tuple[Tensor, Tensor]],
        entity_types: Mapping[str, int] | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(name, train, valid, test, entities, relations, provenance)
        self.entity_types = None if entity_types is None else dict(entity_types)
        self.type_ptr: Tensor | None = None
        if self.entity_types is not None:
            self.type_ptr = torch.tensor([0, *accumulate(self.entity_types.values())])
            if int(self.type_ptr[-1]) != self.num_entities or min(self.entity_types.values(), default=0) < 0:
                raise UserError(
                    f"the types of {name} count {int(self.type_ptr[-1])} entities, but there are {self.num_entities}"
                )
        self.negatives = {split: self._checked(negatives, split) for split in _EVALUATED}
        # What a sample of the validation split leaves out stays a known fact.
        self._unsampled = valid

    def _checked(self, negatives: Mapping[str, tuple[Tensor, Tensor]], split: str) -> tuple[Tensor, Tensor]:
        if split not in negatives:
            raise UserError(f"{self.name} has no negatives for {split}; expected those of valid and test")
        tail, head = negatives[split]
        for side, given in (("tail", tail), ("head", head)):
            what = f"the {side} negatives of {split} of {self.name}"
            check_candidates(given, self.triples(split).size(0), self.num_entities, what)
        return tail, head

    def facts(self, split: str = "train") -> Tensor:
        """All triples [n, 3] that are known for a split; a sampled validation split counts as a whole.

        Raises:
            UserError: for an unknown split.
        """
        return self.train if self._facts_of(split) == "train" else torch.cat([self.train, self._unsampled, self.test])

    def sample_valid(self, size: int, seed: int = 1024) -> OGBKnowledgeGraphTask:
        """The task with a fixed sample of the validation triples, to select epochs on; train and test stay whole.

        The triples are the first ones of torch's random order of all under the seed.

        Args:
            size: how many; all where there are no more.
            seed: seed of the order.

        Raises:
            UserError: for a size below 1.

        Example:
            >>> splits = [torch.tensor([[0, 0, 2]]), torch.tensor([[1, 0, 2], [1, 0, 0]]), torch.tensor([[0, 0, 1]])]
            >>> given = {"valid": (torch.zeros(2, 1).long(),) * 2, "test": (torch.zeros(1, 1).long(),) * 2}
            >>> OGBKnowledgeGraphTask("toy", *splits, list("abc"), ["r"], given).sample_valid(1).statistics()["valid"]
            1
        """
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise UserError(f"valid_triples is {size!r}, expected a whole number from 1 upwards")
        order = torch.randperm(self.valid.size(0), generator=torch.Generator().manual_seed(seed))[:size]
        tail, head = self.negatives["valid"]
        sampled = OGBKnowledgeGraphTask(
            self.name, self.train, self.valid[order], self.test, self.entities, self.relations,
            {**self.negatives, "valid": (tail[order], head[order])}, self.entity_types, self.provenance,
        )  # fmt: skip
        sampled._unsampled = self._unsampled
        return sampled

    def loader(
        self,
        split: str = "train",
        *,
        batch_size: int = 32,
        num_negatives: int = 32,
        strict: bool = True,
        same_type: bool = True,
        steps_per_epoch: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
        steps: int | None = None,
    ) -> QueryLoader:
        """One pass of shuffled training batches, see :class:`graphkit.data.QueryLoader`.

        Args:
            split: whose triples are the positives.
            batch_size: triples a batch.
            num_negatives: negatives a triple, drawn with replacement.
            strict: whether negatives avoid all facts of the split (the train facts in training).
            same_type: whether a negative has the type of the entity that it replaces; without effect where entities
                have no types.
            steps_per_epoch: batches of a pass, each pass another random part of the triples; None: all triples once.
            seed: seed of the run.
            epoch: number of the pass.
            start: first step; the batches are those an uninterrupted pass would have given.
            steps: most steps of a pass, whatever ``steps_per_epoch`` allows.

        Raises:
            UserError: for an unknown split, sizes below 1, or (while iterating) a query that every entity of the type
                completes.

        Example:
            >>> splits = [torch.tensor([[0, 0, 2]]), torch.tensor([[1, 0, 2]]), torch.tensor([[0, 0, 1]])]
            >>> given = {split: (torch.zeros(1, 1).long(),) * 2 for split in ("valid", "test")}
            >>> task = OGBKnowledgeGraphTask("toy", *splits, list("abc"), ["r"], given, {"x": 2, "y": 1})
            >>> next(iter(task.loader(num_negatives=2))).triples[0, 1:].tolist()
            [[1, 0, 2], [1, 0, 2]]
        """
        if steps_per_epoch is not None and (isinstance(steps_per_epoch, bool) or steps_per_epoch < 1):
            raise UserError(f"steps_per_epoch is {steps_per_epoch!r}, expected a whole number from 1 upwards, or null")
        return QueryLoader(
            self.graph(split),
            self.triples(split),
            self.fact_index(split) if strict else None,
            self.num_entities,
            batch_size=batch_size,
            num_negatives=num_negatives,
            seed=seed,
            epoch=epoch,
            start=start,
            steps=min((most for most in (steps, steps_per_epoch) if most is not None), default=None),
            type_ptr=self.type_ptr if same_type else None,
        )

    def evaluate(  # type: ignore[override]  # nothing is filtered: the negatives are given
        self,
        model: Any,
        split: str = "valid",
        *,
        ties: str = "mean",
        batch_size: int | None = None,
        return_ranks: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> dict[str, Any]:
        """Rank the tail and the head of every triple among the negatives given with it.

        With the tie rule ``"mean"``, the default, these are the figures of OGB's evaluator: rank = 1 + (negatives above
        + negatives at least level) / 2. See :func:`graphkit.data.rank_candidates`.

        Args:
            model: has ``score_queries(graph, heads [Q], relations [Q]) -> [Q, N]``, relations in [0, 2R).
            split: ``"valid"`` or ``"test"``; OGB gives no negatives for train.
            ties: ``"mean"``, ``"pessimistic"`` or ``"optimistic"``.
            batch_size: queries at once; None: by free memory, at most 256.
            return_ranks: whether to add ``"ranks": {"tail": [n], "head": [n]}``.
            progress: called with (queries done, queries in all).

        Returns:
            ``mr``, ``mrr``, ``hits@1``, ``hits@3``, ``hits@10``, ``count`` (ranks: two a triple), ``tail_mrr``,
            ``head_mrr``; floats.

        Raises:
            UserError: for a split without negatives or triples, an unknown tie rule, NaN scores, or too little memory.
        """
        triples = self.triples(split)
        if split not in self.negatives:
            raise UserError(f"{self.name} gives no negatives for {split}; evaluate valid or test")
        if triples.size(0) == 0:
            raise UserError(f"{self.name} has no {split} triples to evaluate")
        tail, head = rank_candidates(
            model,
            self.graph(split),
            triples,
            *self.negatives[split],
            ties=ties,
            batch_size=batch_size,
            progress=progress,
        )
        result: dict[str, Any] = dict(ranking_metrics(torch.cat([tail, head])))
        result["tail_mrr"], result["head_mrr"] = reciprocal_rank(tail), reciprocal_rank(head)
        if return_ranks:
            result["ranks"] = {"tail": tail, "head": head}
        return result

    def leak_check(self) -> Certificate:
        """The certificate of :meth:`KnowledgeGraphTask.leak_check`, with notes on the given negatives.

        Noted, because they are OGB's to answer for: negatives that are the answer itself, negatives of another type than
        the answer, and negatives that are known facts (of 1,000 triples a split).

        Raises:
            LeakError: naming what leaks.
        """
        found = super().leak_check()
        notes = list(found.notes)
        for split in _EVALUATED:
            triples = self.triples(split)
            for side, column, given in zip(("tail", "head"), (2, 0), self.negatives[split], strict=True):
                answer = triples[:, column].contiguous().unsqueeze(1)
                rows: list[tuple[str, int]] = [("that are the answer", int((given == answer).sum()))]
                if self.type_ptr is not None:
                    kind = torch.searchsorted(self.type_ptr, answer, right=True)
                    strange = (given < self.type_ptr[kind - 1]) | (given >= self.type_ptr[kind])
                    rows.append(("of another type than the answer", int(strange.sum())))
                rows.append(("that are known facts", self._known(split, triples, given, side)))
                notes += [
                    (f"given {side} negatives of {split} {what}", count, f"of {given.numel():,}")
                    for what, count in rows
                    if count
                ]
        return Certificate(found.task, found.checks, notes)

    def _known(self, split: str, triples: Tensor, given: Tensor, side: str) -> int:
        """Given negatives of evenly spaced triples that complete a fact."""
        chosen = torch.arange(0, triples.size(0), max(1, -(-triples.size(0) // _COMPARED)))
        head, relation, tail = (column.unsqueeze(1).expand(-1, given.size(1)) for column in triples[chosen].t())
        candidates = given[chosen].long()
        head, tail = (head, candidates) if side == "tail" else (candidates, tail)
        known = self.fact_index(split).contains(head.reshape(-1), relation.reshape(-1), tail.reshape(-1))
        return int(known.sum())
