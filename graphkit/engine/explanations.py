"""Explained predictions of a run: which paths a model's scores rest on, computed, recorded and read back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from graphkit.data import KnowledgeGraphTask, rank_triples
from graphkit.engine.run_directory import RunDirectory, writing
from graphkit.errors import UserError
from graphkit.models import PathExplanation
from graphkit.models.path_explanation import triple_edges
from graphkit.models.relation_names import relation_name, relation_number

__all__ = ["can_explain", "explained", "read_explanations", "record_explanations", "step_text"]

#: test triples that a run explains, and paths of each
RECORDED_TRIPLES, RECORDED_PATHS = 3, 5


def can_explain(model: Any, task: Any) -> bool:
    """Whether the model explains the triples of the task by paths.

    Example:
        >>> can_explain(torch.nn.Linear(1, 1), None)
        False
    """
    return isinstance(model, PathExplanation) and isinstance(task, KnowledgeGraphTask)


def explained(
    model: Any,
    task: Any,
    head: str | int,
    relation: str | int,
    tail: str | int,
    k: int = RECORDED_PATHS,
    *,
    split: str = "test",
    exclude_triple: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """A triple with the paths that speak for it, as plain values.

    Args:
        model: has ``explain``.
        task: the knowledge graph.
        head, relation, tail, k, split, exclude_triple, options: as :meth:`graphkit.models.PathExplanation.explain`.

    Returns:
        ``triple`` (names); ``rank`` of its tail among the candidates, filtered, ties counted against it, or None where
        the message graph holds the triple, so that its rank says nothing; ``paths``, the heaviest first, each with
        ``weight`` and ``edges`` (triples of names); ``exclude_triple``.

    Raises:
        UserError: as :meth:`graphkit.models.PathExplanation.explain`.

    Example:
        >>> explained(model, task, "virus", "causes", "mental_process")["rank"]  # doctest: +SKIP
        1
    """
    paths = model.explain(task, head, relation, tail, k, split=split, exclude_triple=exclude_triple, **options)
    source, target = task.entity_id(head, split=split), task.entity_id(tail, split=split)
    number, graph, names = relation_number(task, relation), task.graph(split), task.entities_of(split)
    base, rank = graph.num_base_relations, None
    if len(triple_edges(graph, source, number, target)) == 0:
        # the tail of (h, r^-1, t) is the head of (t, r, h)
        turned = number >= base
        triple = torch.tensor([[target, number - base, source] if turned else [source, number, target]])
        rank = int(rank_triples(model, graph, triple, task.fact_index(split))[turned])
    return {
        "triple": [names[source], relation_name(task, number), names[target]],
        "rank": rank,
        "exclude_triple": exclude_triple,
        "paths": [{"weight": weight, "edges": [list(step) for step in path]} for path, weight in paths],
    }


def record_explanations(directory: RunDirectory, seed: int, model: Any, task: Any) -> None:
    """Explain a few test triples, evenly spaced over the split, and write ``seed-K/explanations.json``.

    Nothing is done where the file exists, or where the model or the task knows no paths.

    Raises:
        UserError: when the file cannot be written.

    Example:
        >>> record_explanations(RunDirectory("runs/umls"), 0, model, task)  # doctest: +SKIP
    """
    path = directory.explanations(seed)
    if path.exists() or not can_explain(model, task):
        return
    triples = task.triples("test").tolist()
    places = sorted({place * len(triples) // RECORDED_TRIPLES for place in range(RECORDED_TRIPLES)} if triples else ())
    entries = [explained(model, task, *triples[place]) for place in places]
    with writing(path) as file:
        file.write((json.dumps({"split": "test", "explanations": entries}, indent=1) + "\n").encode())


def read_explanations(folder: str | os.PathLike[str], seeds: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """What :func:`record_explanations` wrote, by seed; seeds without a file are left out.

    Raises:
        UserError: where a file is damaged.

    Example:
        >>> read_explanations("runs/nbfnet/umls", seeds=[0])[0][0]["rank"]  # doctest: +SKIP
        1
    """
    directory, found = RunDirectory(folder), {}
    for seed in seeds:
        path = directory.explanations(seed)
        if path.is_file():
            found[seed] = _read(path)
    return found


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(path.read_bytes().decode("utf-8"))["explanations"]
        sound = all(
            len(entry["triple"]) == 3
            and (entry["rank"] is None or isinstance(entry["rank"], int))
            and all(
                isinstance(found["weight"], (int, float))
                and found["edges"]
                and all(len(e) == 3 for e in found["edges"])
                for found in entry["paths"]
            )
            for entry in entries
        )
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); remove it and go on with the run to write it anew") from error
    if not sound:
        raise UserError(f"{path} does not hold explained triples; remove it and go on with the run to write it anew")
    return entries


def step_text(edges: Sequence[Sequence[str]], arrow: tuple[str, str] = ("-[", "]->")) -> str:
    """A path on one line.

    Example:
        >>> step_text([("ann", "knows", "bob"), ("bob", "likes^-1", "cid")])
        'ann -[knows]-> bob -[likes^-1]-> cid'
    """
    begin, end = arrow
    return str(edges[0][0]) + "".join(f" {begin}{relation}{end} {tail}" for _, relation, tail in edges)
