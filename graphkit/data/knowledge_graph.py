"""Link prediction on a knowledge graph: facts, queries, evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit.data.evaluation import count_negatives, rank_triples
from graphkit.data.fact_index import FactIndex
from graphkit.data.leaks import SPLITS, Certificate, check_leaks
from graphkit.data.message_graph import MessageGraph
from graphkit.data.names import identify, numbered, sorted_names, triple_ids
from graphkit.data.query_loader import QueryLoader
from graphkit.data.relation_categories import relation_metrics
from graphkit.data.sharding import Processes
from graphkit.data.triples import check_triples
from graphkit.errors import UserError, nearest
from graphkit.metrics import ranking_metrics, reciprocal_rank

__all__ = ["KnowledgeGraphTask"]


class KnowledgeGraphTask:
    """Transductive link prediction: messages flow along the train facts, every entity is a candidate.

    Args:
        name: name of the data set.
        train: [n, 3] int64 facts (head, relation, tail).
        valid: [n, 3] int64.
        test: [n, 3] int64.
        entities: names of the N entities; id i is the i-th.
        relations: names of the R base relations.
        provenance: where the data come from (plain values).

    Raises:
        UserError: for tensors that are not [n, 3] int64, ids out of range, or a name that occurs twice.

    Example:
        >>> facts = [("rome", "in", "italy"), ("paris", "in", "france"), ("milan", "in", "italy")]
        >>> task = KnowledgeGraphTask.from_names("toy", facts[:1], facts[1:2], facts[2:])
        >>> task.num_entities, task.num_relations, task.train.tolist()
        (5, 1, [[4, 0, 1]])
    """

    primary_metric = "mrr"
    """The metric that selects the best epoch; higher is better."""
    selectable: tuple[str, ...] = ("mrr", "hits@1", "hits@3", "hits@10", "tail_mrr", "head_mrr")
    """Metrics that can select an epoch."""

    def __init__(
        self,
        name: str,
        train: Tensor,
        valid: Tensor,
        test: Tensor,
        entities: Sequence[str],
        relations: Sequence[str],
        provenance: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.entities, self.relations = list(entities), list(relations)
        self.provenance = dict(provenance or {})
        self._entity_ids = numbered(self.entities, "entity", name)
        self._relation_ids = numbered(self.relations, "relation", name)
        for split, triples in zip(SPLITS, (train, valid, test), strict=True):
            check_triples(triples, self.num_entities, self.num_relations, f"{split} triple", name)
        self.train, self.valid, self.test = train, valid, test
        self._graphs: dict[str, MessageGraph] = {}
        self._indices: dict[str, FactIndex] = {}

    @classmethod
    def from_names(
        cls,
        name: str,
        train: Iterable[Sequence[str]],
        valid: Iterable[Sequence[str]],
        test: Iterable[Sequence[str]],
        provenance: dict[str, Any] | None = None,
    ) -> KnowledgeGraphTask:
        """A task from triples of names.

        Ids follow the sorted names (by code point), over all splits together, so they depend neither on the order of
        the lines nor on which split an entity occurs in.

        Example:
            >>> KnowledgeGraphTask.from_names("toy", [("b", "r", "a")], [], []).train.tolist()
            [[1, 0, 0]]
        """
        splits = [list(rows) for rows in (train, valid, test)]
        entities, relations = sorted_names(splits)
        train_ids, valid_ids, test_ids = (triple_ids(rows, entities, relations) for rows in splits)
        return cls(name, train_ids, valid_ids, test_ids, entities, relations, provenance)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{key}={value}" for key, value in self.statistics().items())
        return f"{type(self).__name__}({self.name!r}, {sizes})"

    @property
    def num_entities(self) -> int:
        """Number of entities N, those of valid and test counted."""
        return len(self.entities)

    @property
    def num_relations(self) -> int:
        """Number of base relations R, without inverses."""
        return len(self.relations)

    def statistics(self) -> dict[str, int]:
        """Sizes: entities, relations, train, valid, test.

        Example:
            >>> KnowledgeGraphTask.from_names("toy", [("b", "r", "a")], [], []).statistics()["entities"]
            2
        """
        sizes = {split: self.triples(split).size(0) for split in SPLITS}
        return {"entities": self.num_entities, "relations": self.num_relations, **sizes}

    def entities_of(self, split: str = "train") -> list[str]:
        """Names of the entities of a split's graph, the candidates of its queries; id i is the i-th.

        Raises:
            UserError: for an unknown split.
        """
        self.triples(split)
        return self.entities

    def message_facts(self, split: str = "train") -> Tensor:
        """The facts [n, 3] of a split's message graph: here the train facts, for every split.

        Raises:
            UserError: for an unknown split.
        """
        self.triples(split)
        return self.train

    def triples(self, split: str) -> Tensor:
        """The triples [n, 3] of a split.

        Raises:
            UserError: for an unknown split.
        """
        if split not in SPLITS:
            raise UserError(nearest(str(split), SPLITS, "split"))
        return getattr(self, split)

    def facts(self, split: str = "train") -> Tensor:
        """All triples [n, 3] that filter the candidates of a split: for train the train facts, else all three splits.

        Raises:
            UserError: for an unknown split.
        """
        return self.train if self._facts_of(split) == "train" else torch.cat([self.train, self.valid, self.test])

    def _facts_of(self, split: str) -> str:
        self.triples(split)
        return "train" if split == "train" else "all"

    def graph(self, split: str = "train") -> MessageGraph:
        """The message graph of a split: its :meth:`message_facts` and their inverses, built once.

        Raises:
            UserError: for an unknown split.
        """
        facts, key = self.message_facts(split), self._graph_of(split)
        if key not in self._graphs:
            self._graphs[key] = MessageGraph.from_triples(facts, len(self.entities_of(split)), self.num_relations)
        return self._graphs[key]

    def _graph_of(self, split: str) -> str:
        """Splits of one value have one graph."""
        return "train"

    def fact_index(self, split: str = "train") -> FactIndex:
        """Index of :meth:`facts`, built once.

        Raises:
            UserError: for an unknown split.
        """
        key = self._facts_of(split)
        if key not in self._indices:
            self._indices[key] = FactIndex.build(self.facts(split), len(self.entities_of(split)), self.num_relations)
        return self._indices[key]

    def _avoided(self, split: str) -> FactIndex:
        """What strict negatives of a split avoid."""
        return self.fact_index(split)

    def loader(
        self,
        split: str = "train",
        *,
        batch_size: int = 32,
        num_negatives: int = 32,
        strict: bool = True,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
        steps: int | None = None,
    ) -> QueryLoader:
        """One pass of shuffled training batches, see :class:`QueryLoader`.

        Args:
            split: whose triples are the positives.
            batch_size: triples a batch.
            num_negatives: negatives a triple, drawn with replacement.
            strict: whether negatives avoid all facts of the split (the train facts in training).
            seed: seed of the run.
            epoch: number of the pass.
            start: first step; the batches are those an uninterrupted pass would have given.
            steps: most steps of a pass; None: all triples once.

        Raises:
            UserError: for an unknown split, sizes below 1, or (while iterating) a query that every entity completes.

        Example:
            >>> task = KnowledgeGraphTask.from_names("toy", [("b", "r", "a"), ("c", "r", "b")], [], [])
            >>> [batch.triples.shape for batch in task.loader(batch_size=2, num_negatives=5)]
            [torch.Size([2, 6, 3])]
        """
        return QueryLoader(
            self.graph(split),
            self.triples(split),
            self._avoided(split) if strict else None,
            len(self.entities_of(split)),
            batch_size=batch_size,
            num_negatives=num_negatives,
            seed=seed,
            epoch=epoch,
            start=start,
            steps=steps,
        )

    def evaluate(
        self,
        model: Any,
        split: str = "valid",
        *,
        ties: str = "pessimistic",
        filtered: bool = True,
        batch_size: int | None = None,
        return_ranks: bool = False,
        progress: Callable[[int, int], object] | None = None,
        processes: Processes | None = None,
    ) -> dict[str, Any]:
        """Rank the tail and the head of every triple of a split among all entities.

        The protocol of Bordes et al. (TransE, NeurIPS 2013), filtered: known answers other than the target are no
        candidates. See :func:`graphkit.data.rank_triples`.

        Args:
            model: has ``score_queries(graph, heads [Q], relations [Q]) -> [Q, N]``, relations in [0, 2R).
            split: which triples.
            ties: ``"pessimistic"``, ``"optimistic"`` or ``"mean"``.
            filtered: whether known answers are set aside.
            batch_size: queries at once; None: by free memory, at most 256.
            return_ranks: whether to add ``"ranks": {"tail": [n], "head": [n]}``.
            progress: called with (queries done, queries in all).
            processes: processes that divide the queries, set by the engine.

        Returns:
            ``mr``, ``mrr``, ``hits@1``, ``hits@3``, ``hits@10``, ``count`` (ranks: two a triple), ``tail_mrr``,
            ``head_mrr``; floats.

        Raises:
            UserError: for an unknown or empty split, an unknown tie rule, NaN scores, or too little memory.

        Example:
            >>> class Constant:
            ...     def score_queries(self, graph, heads, relations):
            ...         return torch.zeros(len(heads), graph.num_nodes)
            >>> task = KnowledgeGraphTask.from_names("toy", [("b", "r", "a")], [("a", "r", "c")], [])
            >>> task.evaluate(Constant(), "valid")["mr"]
            3.0
        """
        triples = self.triples(split)
        if triples.size(0) == 0:
            raise UserError(f"{self.name} has no {split} triples to evaluate")
        graph, index = self.graph(split), self.fact_index(split) if filtered else None
        tail, head = rank_triples(
            model, graph, triples, index, ties=ties, batch_size=batch_size, progress=progress, processes=processes
        )
        result: dict[str, Any] = dict(ranking_metrics(torch.cat([tail, head])))
        result["tail_mrr"], result["head_mrr"] = reciprocal_rank(tail), reciprocal_rank(head)
        result.update(self._further_metrics(tail, head, count_negatives(triples, index, graph.num_nodes)))
        if return_ranks:
            result["ranks"] = {"tail": tail, "head": head}
        return result

    def by_relation(self, ranks: Mapping[str, Tensor], split: str = "test") -> dict[str, Any]:
        """Ranks broken down by category of relation (counted over the train facts) and by relation.

        Args:
            ranks: what ``evaluate(model, split, return_ranks=True)["ranks"]`` holds.
            split: the split they belong to.

        Returns:
            Plain values, see :func:`graphkit.data.relation_metrics`.

        Raises:
            UserError: when the ranks are not those of the split.

        Example:
            >>> task = KnowledgeGraphTask.from_names("toy", [("b", "r", "a")], [], [("a", "r", "b")])
            >>> task.by_relation({"tail": torch.tensor([1]), "head": torch.tensor([2])})["relations"][0]["category"]
            '1-1'
        """
        return relation_metrics(self.train, self.triples(split), ranks, self.relations)

    def _further_metrics(self, tail: Tensor, head: Tensor, negatives: tuple[Tensor, Tensor]) -> dict[str, float]:
        """Metrics of one kind of task, from the ranks [n] and the numbers of negatives [n] on both sides."""
        return {}

    def leak_check(self) -> Certificate:
        """A printable certificate that no split gives its answers away.

        Checked: ids in range; no triple in two splits; every message edge has its inverse r + R; no valid or test
        triple is an edge of its message graph, in either direction; the negatives of a sampled batch are no facts.
        Noted: repeated triples, entities and relations that messages cannot reach, and test triples whose entities a
        train fact joins (redundant inverse relations, Toutanova and Chen, CVSC 2015).

        Raises:
            LeakError: naming what leaks.

        Example:
            >>> print(KnowledgeGraphTask.from_names("toy", [("b", "r", "a")], [], []).leak_check().checks[1][0])
            no triple in two splits
        """
        return check_leaks(self)

    def entity_id(self, name_or_id: str | int, split: str = "train") -> int:
        """Id of an entity given by name or id, in the graph of a split.

        Raises:
            UserError: for an unknown name (the nearest one is suggested), an id out of range, or an unknown split.

        Example:
            >>> KnowledgeGraphTask.from_names("toy", [("b", "r", "a")], [], []).entity_id("b")
            1
        """
        self.triples(split)
        return identify(name_or_id, self._entity_ids, "entity")

    def relation_id(self, name_or_id: str | int) -> int:
        """Id of a base relation given by name or id.

        Raises:
            UserError: for an unknown name (the nearest one is suggested) or an id out of range.

        Example:
            >>> KnowledgeGraphTask.from_names("toy", [("b", "r", "a")], [], []).relation_id("r")
            0
        """
        return identify(name_or_id, self._relation_ids, "relation")
