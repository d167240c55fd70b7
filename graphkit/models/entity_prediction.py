"""Which entities complete a triple: for every model that scores the entities of a knowledge graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from graphkit.data import top_entities
from graphkit.errors import UserError
from graphkit.models.relation_names import relation_number

__all__ = ["EntityPrediction", "Query"]

#: (head, relation, tail) by name or id; the side that is asked for is None
Query = Sequence[str | int | None]


class EntityPrediction:
    """Gives a model that has ``score_queries(graph, heads [B], relations [B]) -> [B, N]`` its answers by name.

    Example:
        >>> from graphkit.data import KnowledgeGraphTask
        >>> class Rising(EntityPrediction):
        ...     def score_queries(self, graph, heads, relations):
        ...         return torch.arange(float(graph.num_nodes)).expand(len(heads), -1)
        >>> task = KnowledgeGraphTask.from_names("toy", [("a", "likes", "c"), ("b", "likes", "a")], [], [])
        >>> Rising().top_tails(task, "a", "likes", k=2)
        [('b', 1.0), ('a', 0.0)]
    """

    def top_tails(
        self, task: Any, head: str | int, relation: str | int, k: int = 10, filtered: bool = True, split: str = "test"
    ) -> list[tuple[str, float]]:
        """The k likeliest tails of (head, relation, ?), best first, as (name, score); equal scores by rising id.

        Args:
            task: the knowledge graph.
            head: name or id.
            relation: name or id; a name with ``^-1`` at its end means the inverse.
            k: most answers; where there are fewer candidates, fewer are given.
            filtered: whether the tails that train, valid and test facts (of the split's graph) give are left out.
            split: whose message graph, and for inductive tasks whose entities.

        Raises:
            UserError: for an unknown name (the nearest one is suggested), an id out of range, k below 1, an unknown
                split, or a model that gives NaN.

        Example:
            >>> import graphkit as gk
            >>> gk.load_model("runs/umls").top_tails(gk.load("umls"), "virus", "causes", k=3)  # doctest: +SKIP
            [('injury_or_poisoning', -1.67), ('congenital_abnormality', -3.97), ('organism_function', -4.14)]
        """
        return self.answer_queries(task, [(head, relation, None)], k, filtered, split)[0]

    def top_heads(
        self, task: Any, tail: str | int, relation: str | int, k: int = 10, filtered: bool = True, split: str = "test"
    ) -> list[tuple[str, float]]:
        """The k likeliest heads of (?, relation, tail), best first, as (name, score); see :meth:`top_tails`.

        Raises:
            UserError: as :meth:`top_tails`.

        Example:
            >>> import graphkit as gk
            >>> gk.load_model("runs/umls").top_heads(gk.load("umls"), "virus", "causes", k=1)  # doctest: +SKIP
            [('body_substance', 0.37)]
        """
        return self.answer_queries(task, [(None, relation, tail)], k, filtered, split)[0]

    def answer_queries(
        self,
        task: Any,
        queries: Sequence[Query],
        k: int = 10,
        filtered: bool = True,
        split: str = "test",
        *,
        batch_size: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[list[tuple[str, float]]]:
        """The k likeliest answers of many queries; each different one is scored once, a batch at a time.

        Args:
            task: the knowledge graph.
            queries: triples of names or ids with None for what is asked: ``("a", "likes", None)``.
            k, filtered, split: as :meth:`top_tails`.
            batch_size: queries at once; None: by free memory.
            progress: called with (queries done, different queries in all).

        Returns:
            for each query its (name, score) pairs.

        Raises:
            UserError: as :meth:`top_tails`, or for a triple without exactly one None at its ends.

        Example:
            >>> import graphkit as gk
            >>> queries = [("virus", "causes", None), (None, "causes", "virus")]
            >>> gk.load_model("runs/umls").answer_queries(gk.load("umls"), queries, k=1)  # doctest: +SKIP
            [[('injury_or_poisoning', -1.67)], [('body_substance', 0.37)]]
        """
        names = task.entities_of(split)
        numbers = torch.tensor([query_numbers(task, query, split) for query in queries], dtype=torch.int64).view(-1, 2)
        found = top_entities(
            self, task.graph(split), numbers[:, 0], numbers[:, 1], k, task.fact_index(split) if filtered else None,
            batch_size=batch_size, progress=progress,
        )  # fmt: skip
        return [
            [(names[entity], score) for entity, score in zip(entities.tolist(), scores.tolist(), strict=True)]
            for entities, scores in found
        ]


def query_numbers(task: Any, query: Query, split: str) -> tuple[int, int]:
    """(entity, relation in [0, 2R)) of a query, one for heads turned round.

    Raises:
        UserError: for an unknown name, an id out of range, or a triple without exactly one None at its ends.

    Example:
        >>> from graphkit.data import KnowledgeGraphTask
        >>> query_numbers(KnowledgeGraphTask.from_names("toy", [("a", "r", "b")], [], []), (None, "r", "b"), "test")
        (1, 1)
    """
    head, relation, tail = query if len(query) == 3 else (None, None, None)
    if relation is None or (head is None) == (tail is None):
        raise UserError(
            f"{tuple(query)!r} is no query; expected (head, relation, None) for tails or (None, relation, tail) for heads"
        )
    number, base = relation_number(task, relation), len(task.relations)
    if head is not None:
        return task.entity_id(head, split=split), number
    return task.entity_id(tail, split=split), (number + base) % (2 * base)
