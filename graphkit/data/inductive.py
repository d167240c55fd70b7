"""Link prediction on a graph of entities that no training has seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit.data.fact_index import FactIndex
from graphkit.data.knowledge_graph import KnowledgeGraphTask
from graphkit.data.names import identify, numbered, sorted_names, triple_ids
from graphkit.data.triples import check_triples
from graphkit.errors import UserError
from graphkit.metrics import sampled_hits

__all__ = ["InductiveKnowledgeGraphTask"]


class InductiveKnowledgeGraphTask(KnowledgeGraphTask):
    """Inductive link prediction: training and validation on one graph, test on another one with the same relations.

    Each graph has its own entities, numbered from 0, and its own facts, along which messages flow. The candidates of a
    query are the entities of its graph, and only the facts of that graph filter them: the train facts in training and
    validation, the test facts in test; answers that other queries of the split ask for stay candidates. This is the
    protocol of the literature since GraIL (Teru et al., ICML 2020).

    :meth:`evaluate` gives one metric more than a transductive task, ``hits@10(50)``: Hits@10 among 50 negatives in
    expectation, see :func:`graphkit.metrics.sampled_hits`. The epoch is selected by ``mrr`` on validation, which is on the
    training graph, unless another metric is asked for.

    Args:
        name: name of the data set.
        train: [n, 3] int64 facts (head, relation, tail) of the training graph.
        valid: [n, 3] int64 queries on the training graph.
        test_facts: [n, 3] int64 facts of the test graph, known when it is queried.
        test: [n, 3] int64 queries on the test graph.
        entities: names of the training graph's entities; id i is the i-th.
        test_entities: names of the test graph's entities.
        relations: names of the R base relations, shared by both graphs.
        provenance: where the data come from (plain values).

    Raises:
        UserError: for tensors that are not [n, 3] int64, ids out of range, or a name that occurs twice in one graph.

    Example:
        >>> task = InductiveKnowledgeGraphTask.from_names(
        ...     "toy", [("rome", "in", "italy")], [], [("lima", "in", "peru")], [("cusco", "in", "peru")]
        ... )
        >>> task.entities_of("train"), task.entities_of("test")
        (['italy', 'rome'], ['cusco', 'lima', 'peru'])
    """

    selectable = (*KnowledgeGraphTask.selectable, "hits@10(50)")

    def __init__(
        self,
        name: str,
        train: Tensor,
        valid: Tensor,
        test_facts: Tensor,
        test: Tensor,
        entities: Sequence[str],
        test_entities: Sequence[str],
        relations: Sequence[str],
        provenance: dict[str, Any] | None = None,
    ) -> None:
        none = torch.empty((0, 3), dtype=torch.int64)
        super().__init__(name, train, valid, none, entities, relations, provenance)
        self.test_entities = list(test_entities)
        self._test_entity_ids = numbered(self.test_entities, "test entity", name)
        for what, triples in (("test fact", test_facts), ("test triple", test)):
            check_triples(triples, len(self.test_entities), self.num_relations, what, name)
        self.test_facts, self.test = test_facts, test

    @classmethod
    def from_names(  # type: ignore[override]
        cls,
        name: str,
        train: Iterable[Sequence[str]],
        valid: Iterable[Sequence[str]],
        test_facts: Iterable[Sequence[str]],
        test: Iterable[Sequence[str]],
        provenance: dict[str, Any] | None = None,
    ) -> InductiveKnowledgeGraphTask:
        """A task from triples of names.

        Ids follow the sorted names: entities in each graph, relations over both.

        Example:
            >>> InductiveKnowledgeGraphTask.from_names(
            ...     "toy", [("b", "r", "a")], [], [("y", "r", "z")], [("x", "q", "y")]
            ... ).test.tolist()
            [[0, 0, 1]]
        """
        seen, unseen = [list(train), list(valid)], [list(test_facts), list(test)]
        entities, _ = sorted_names(seen)
        test_entities, _ = sorted_names(unseen)
        _, relations = sorted_names(seen + unseen)
        train_ids, valid_ids = (triple_ids(rows, entities, relations) for rows in seen)
        fact_ids, test_ids = (triple_ids(rows, test_entities, relations) for rows in unseen)
        return cls(
            name, train_ids, valid_ids, fact_ids, test_ids, entities, test_entities, relations, provenance
        )  # fmt: skip

    def statistics(self) -> dict[str, int]:
        """Sizes: entities, relations, train, valid, test_entities, test_facts, test.

        Example:
            >>> InductiveKnowledgeGraphTask.from_names("toy", [("b", "r", "a")], [], [("y", "r", "z")], []).statistics()
            {'entities': 2, 'relations': 1, 'train': 1, 'valid': 0, 'test_entities': 2, 'test_facts': 1, 'test': 0}
        """
        sizes = super().statistics()
        test = sizes.pop("test")
        return {**sizes, "test_entities": len(self.test_entities), "test_facts": self.test_facts.size(0), "test": test}

    def entities_of(self, split: str = "train") -> list[str]:
        """Names of the entities of a split's graph, the candidates of its queries; id i is the i-th.

        Raises:
            UserError: for an unknown split.

        Example:
            >>> task = InductiveKnowledgeGraphTask.from_names("toy", [("b", "r", "a")], [], [("y", "r", "z")], [])
            >>> task.entities_of("test")
            ['y', 'z']
        """
        self.triples(split)
        return self.test_entities if split == "test" else self.entities

    def message_facts(self, split: str = "train") -> Tensor:
        """The facts [n, 3] of a split's message graph: the test facts for test, else the train facts.

        Raises:
            UserError: for an unknown split.
        """
        self.triples(split)
        return self.test_facts if split == "test" else self.train

    def facts(self, split: str = "train") -> Tensor:
        """All triples [n, 3] that filter the candidates of a split: the facts of its graph.

        Raises:
            UserError: for an unknown split.
        """
        return self.message_facts(split)

    def _facts_of(self, split: str) -> str:
        self.triples(split)
        return self._graph_of(split)

    def _graph_of(self, split: str) -> str:
        return "test" if split == "test" else "train"

    def _avoided(self, split: str) -> FactIndex:
        if split == "train":
            return self.fact_index(split)
        known = torch.cat([self.facts(split), self.triples(split)])
        return FactIndex.build(known, len(self.entities_of(split)), self.num_relations)

    def shared_entities(self) -> list[str]:
        """Names of entities that both graphs have; none where the data set is inductive in the strict sense.

        Example:
            >>> InductiveKnowledgeGraphTask.from_names("toy", [("b", "r", "a")], [], [("a", "r", "z")], []).shared_entities()
            ['a']
        """
        return [name for name in self.test_entities if name in self._entity_ids]

    def entity_id(self, name_or_id: str | int, split: str = "train") -> int:
        """Id of an entity given by name or id, in the graph of a split.

        Raises:
            UserError: for a name that this graph has not (the nearest one is suggested), an id out of range, or an
                unknown split.

        Example:
            >>> task = InductiveKnowledgeGraphTask.from_names("toy", [("b", "r", "a")], [], [("y", "r", "z")], [])
            >>> task.entity_id("z", split="test")
            1
        """
        self.triples(split)
        graphs = {"training": self._entity_ids, "test": self._test_entity_ids}
        here, other = ("test", "training") if split == "test" else ("training", "test")
        if isinstance(name_or_id, str) and name_or_id not in graphs[here] and name_or_id in graphs[other]:
            where = "test" if other == "test" else "train"
            raise UserError(
                f"the entity {name_or_id!r} is in the {other} graph of {self.name}, not in its {here} graph; "
                f"pass split={where!r}"
            )
        return identify(name_or_id, graphs[here], f"entity of the {here} graph")

    def _further_metrics(self, tail: Tensor, head: Tensor, negatives: tuple[Tensor, Tensor]) -> dict[str, float]:
        return {"hits@10(50)": sampled_hits(torch.cat([tail, head]), torch.cat(negatives), k=10, n=50)}
