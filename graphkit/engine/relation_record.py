"""The breakdown of a run's test ranks by relation: one JSON file per seed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from graphkit.engine.run_directory import RunDirectory, writing
from graphkit.errors import UserError

__all__ = ["mean_over_seeds", "read_relations", "write_relations"]

_SIDES = ("tail", "head")


def write_relations(directory: RunDirectory, seed: int, task: Any, ranks: Mapping[str, Any]) -> None:
    """Write ``seed-K/test_relations.json``; tasks without relations (no ``by_relation``) have no such file."""
    if not hasattr(task, "by_relation"):
        return
    found = {"split": "test", "counted_over": "train", **task.by_relation(ranks, "test")}
    with writing(directory.test_relations(seed)) as file:
        file.write((json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))


def read_relations(folder: str | os.PathLike[str], seeds: Iterable[int]) -> dict[int, dict[str, Any]]:
    """The breakdowns of a run by seed; seeds without a file are left out.

    Raises:
        UserError: where a file is damaged.

    Example:
        >>> read_relations("runs/nbfnet/umls", [0])[0]["relations"][0]["category"]      # doctest: +SKIP
        'N-N'
    """
    found = {}
    for seed in seeds:
        path = RunDirectory(folder).test_relations(seed)
        if path.is_file():
            found[seed] = _read(path)
    return found


def mean_over_seeds(breakdowns: Iterable[Mapping[str, Any]], level: str, name: str) -> list[dict[str, Any]]:
    """Rows of one level with the mean over seeds of every metric, and the metric of each seed beside it.

    Args:
        breakdowns: one per seed, over the same test triples.
        level: ``"categories"`` or ``"relations"``.
        name: the key that names a row, ``"category"`` or ``"relation"``.

    Returns:
        The rows of the first seed; ``row[side][metric]`` is the mean, ``row["seeds"][side][metric]`` the list.

    Example:
        >>> row = {"category": "1-N", "tail": {"mrr": 0.5}, "head": {"mrr": 1.0}}
        >>> other = {"category": "1-N", "tail": {"mrr": 0.7}, "head": {"mrr": 1.0}}
        >>> breakdowns = [{"categories": [row]}, {"categories": [other]}]
        >>> mean_over_seeds(breakdowns, "categories", "category")[0]["tail"]["mrr"]
        0.6
    """
    tables = [{row[name]: row for row in breakdown[level]} for breakdown in breakdowns]
    rows = []
    for key, first in tables[0].items():
        same = [table[key] for table in tables if key in table]
        seeds = {side: {metric: [row[side][metric] for row in same] for metric in first[side]} for side in _SIDES}
        means = {
            side: {metric: sum(values) / len(values) for metric, values in metrics.items()}
            for side, metrics in seeds.items()
        }
        rows.append({**first, **means, "seeds": seeds})
    return rows


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
        for level, name in (("categories", "category"), ("relations", "relation")):
            for row in content[level]:
                _ = row[name], row["triples"] + 1, *(row[side]["mrr"] + 0.0 for side in _SIDES)
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}); restore it, or remove it to report without it") from error
    return content
