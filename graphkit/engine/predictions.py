"""Queries from a file and their answers: the entities that complete a triple."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch

from graphkit.data import KnowledgeGraphTask
from graphkit.errors import UserError
from graphkit.models import EntityPrediction
from graphkit.models.entity_prediction import Query, query_numbers

__all__ = ["ASKED", "answers", "answers_csv", "answers_json", "check_predicts", "read_queries"]

#: what stands in a query file for the entity that is asked for
ASKED = "?"
# a suggestion compares with every name: of many wrong lines, only the first get one
_SUGGESTIONS = 20


def check_predicts(model: Any, task: Any) -> None:
    """Refuse a model or a task without entities to predict.

    Raises:
        UserError: naming what does not fit.

    Example:
        >>> check_predicts(torch.nn.Linear(1, 1), None)
        Traceback (most recent call last):
        graphkit.errors.UserError: Linear on NoneType predicts no entities; expected a run on a knowledge graph
    """
    if not (isinstance(model, EntityPrediction) and isinstance(task, KnowledgeGraphTask)):
        raise UserError(
            f"{type(model).__name__} on {getattr(task, 'name', type(task).__name__)} predicts no entities; "
            "expected a run on a knowledge graph"
        )


def read_queries(
    content: bytes, task: Any, split: str = "test"
) -> tuple[list[tuple[int, Query]], list[tuple[int, str]]]:
    """Queries of a file, one a line: ``head<TAB>relation<TAB>?`` for tails, ``?<TAB>relation<TAB>tail`` for heads.

    Args:
        content: the file, UTF-8; empty lines are skipped.
        task: knows the names.
        split: whose entities.

    Returns:
        the queries, and what is wrong with the other lines; each with the number of its line, from 1.

    Example:
        >>> task = KnowledgeGraphTask.from_names("toy", [("ann", "knows", "bob")], [], [])
        >>> good, bad = read_queries(b"ann\\tknows\\t?\\nann\\tknwos\\t?\\nann knows", task)
        >>> good
        [(1, ('ann', 'knows', None))]
        >>> bad[0]
        (2, "unknown relation 'knwos'; did you mean 'knows'?")
        >>> bad[1][1]
        "expected head<TAB>relation<TAB>? or ?<TAB>relation<TAB>tail, found 1 field: 'ann knows'"
    """
    known = {name for name in task.entities_of(split)}
    queries: list[tuple[int, Query]] = []
    faults: list[tuple[int, str]] = []
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        raw = raw.removesuffix(b"\r")
        if not raw.strip():
            continue
        try:
            query = _query(raw)
            entity = query[2] if query[0] is None else query[0]
            if len(faults) >= _SUGGESTIONS and entity not in known:
                raise UserError(f"unknown entity {entity!r}")
            query_numbers(task, query, split)
        except UserError as error:
            faults.append((number, str(error)))
        else:
            queries.append((number, query))
    return queries, faults


def _query(raw: bytes) -> Query:
    try:
        fields = raw.decode("utf-8").split("\t")
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 text ({error.reason} at byte {error.start})") from error
    expected = "expected head<TAB>relation<TAB>? or ?<TAB>relation<TAB>tail"
    if len(fields) != 3:
        shown = "\t".join(fields)
        count = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
        raise UserError(f"{expected}, found {count}: {shown[:80]!r}")
    head, relation, tail = fields
    if (head == ASKED) == (tail == ASKED):
        found = "two" if head == ASKED else "no"
        raise UserError(f"{expected}, found {found} {ASKED!r} for an entity")
    return (None, relation, tail) if head == ASKED else (head, relation, None)


def answers(
    model: Any,
    task: Any,
    queries: Sequence[Query],
    k: int = 10,
    *,
    filtered: bool = True,
    split: str = "test",
    progress: Callable[[int, int], object] | None = None,
) -> list[dict[str, Any]]:
    """The likeliest entities of each query, as plain values.

    Args:
        model, task, queries, k, filtered, split, progress: as
            :meth:`graphkit.models.EntityPrediction.answer_queries`.

    Returns:
        for each query ``query`` (``head``, ``relation``, ``tail``; what is asked for is None) and ``top``: ``entity``,
        ``score`` and ``known``, whether train, valid and test facts say so already.

    Raises:
        UserError: as :meth:`graphkit.models.EntityPrediction.answer_queries`.

    Example:
        >>> answers(model, task, [("virus", "causes", None)], k=1)  # doctest: +SKIP
        [{'query': {...}, 'top': [{'entity': 'injury_or_poisoning', 'score': -1.67, 'known': False}]}]
    """
    found = model.answer_queries(task, queries, k, filtered, split, progress=progress)
    numbers = torch.tensor([query_numbers(task, query, split) for query in queries], dtype=torch.int64).view(-1, 2)
    counts = torch.tensor([len(top) for top in found], dtype=torch.int64)
    entities = [task.entity_id(name, split=split) for top in found for name, _ in top]
    begin = numbers.repeat_interleave(counts, 0)
    known = iter(
        task.fact_index(split).contains(begin[:, 0], begin[:, 1], torch.tensor(entities, dtype=torch.int64)).tolist()
    )
    return [
        {
            "query": dict(zip(("head", "relation", "tail"), query, strict=True)),
            "top": [{"entity": name, "score": score, "known": next(known)} for name, score in top],
        }
        for query, top in zip(queries, found, strict=True)
    ]


def answers_json(entries: Sequence[dict[str, Any]]) -> str:
    """Answers as JSON, a list with an object for each query.

    Example:
        >>> answers_json([])
        '[]\\n'
    """
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def answers_csv(entries: Sequence[dict[str, Any]]) -> str:
    """Answers as CSV, a line for each: head, relation, tail, asked, rank, score, known.

    Example:
        >>> query = {"head": "ann", "relation": "knows", "tail": None}
        >>> print(answers_csv([{"query": query, "top": [{"entity": "bob", "score": 1.5, "known": True}]}]))
        head,relation,tail,asked,rank,score,known
        ann,knows,bob,tail,1,1.5,true
        <BLANKLINE>
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["head", "relation", "tail", "asked", "rank", "score", "known"])
    for entry in entries:
        asked = "head" if entry["query"]["head"] is None else "tail"
        for rank, row in enumerate(entry["top"], start=1):
            triple = {**entry["query"], asked: row["entity"]}
            writer.writerow([*triple.values(), asked, rank, row["score"], "true" if row["known"] else "false"])
    return text.getvalue()
