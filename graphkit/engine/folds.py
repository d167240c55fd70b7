"""Trainings on several splits of one task, and what they give together."""

from __future__ import annotations

import copy
import dataclasses
import os
import statistics
from collections.abc import Sequence
from typing import Any

import torch

from graphkit.engine.fit import Run, fit
from graphkit.engine.seeding import seed_of, seeded
from graphkit.engine.state import selection_score
from graphkit.errors import UserError

__all__ = ["FoldedRun", "fit_folds", "folds_of"]


@dataclasses.dataclass
class FoldedRun(Run):
    """What trainings on several splits gave: ``test`` and ``valid`` are means over them.

    ``best_epoch``, ``history`` and ``model`` are those of the fold with the best validation metric (the first on a tie), so that
    there is a model to go on with: the one that was handed in, with these weights. ``seconds`` and ``steps`` are sums.

    Args:
        std: unbiased standard deviation of each test metric over the folds; empty for one fold.
        folds: the Run of each fold.
        numbers: numbers of the folds, in the same order.
    """

    std: dict[str, float] = dataclasses.field(default_factory=dict)
    folds: list[Run] = dataclasses.field(default_factory=list, repr=False)
    numbers: list[int] = dataclasses.field(default_factory=list)


def folds_of(task: Any, splits: str | Sequence[int] | None) -> list[int | None]:
    """Numbers of the splits to train on; for None the one in use, which is None where the task has only one.

    Raises:
        UserError: for a task without several splits, a split that it does not have, or one twice.

    Example:
        >>> class Task:
        ...     name, fold, num_folds = "toy", 0, 3
        >>> folds_of(Task(), "all"), folds_of(Task(), [2]), folds_of(Task(), None)
        ([0, 1, 2], [2], [0])
    """
    fold = getattr(task, "fold", None)
    if splits is None:
        return [fold]
    if fold is None:
        raise UserError(f"splits is {splits!r}, but {task.name} has one split only; leave it out")
    if splits == "all":
        return list(range(task.num_folds))
    numbers: list[Any] = list(splits) if isinstance(splits, (list, tuple, range)) else [splits]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < task.num_folds:
            raise UserError(
                f"splits names {number!r}; {task.name} has the splits 0 .. {task.num_folds - 1}, or say 'all'"
            )
    if len(set(numbers)) != len(numbers) or not numbers:
        raise UserError(f"splits is {splits!r}, which names {'a split twice' if numbers else 'no split'}")
    return numbers


def fit_folds(
    model: torch.nn.Module,
    task: Any,
    splits: str | Sequence[int],
    *,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    select: str | None = None,
    **options: Any,
) -> FoldedRun:
    """:func:`graphkit.fit` on several splits in turn; see its option ``splits``.

    Raises:
        UserError: as in :func:`graphkit.fit` and :func:`folds_of`.
    """
    runs, numbers = [], folds_of(task, splits)
    for fold in numbers:
        assert fold is not None
        run = fit(_afresh(model, seed, fold), task.at_fold(fold), seed=seed, out=out, select=select, **options)
        runs.append(run)
    whole = folded(runs, numbers, select or task.primary_metric)
    model.load_state_dict(whole.model.state_dict())
    return dataclasses.replace(whole, model=model.eval())


def folded(runs: Sequence[Run], numbers: Sequence[int | None], select: str) -> FoldedRun:
    """The Runs of several folds as one."""
    best = max(runs, key=lambda run: selection_score(run.valid, select))
    fields = {field.name: getattr(best, field.name) for field in dataclasses.fields(Run)}
    fields |= {"seconds": sum(run.seconds for run in runs), "steps": sum(run.steps for run in runs)}
    fields |= {split: _means([getattr(run, split) for run in runs]) for split in ("valid", "test")}
    std = _means([run.test for run in runs], statistics.stdev) if len(runs) > 1 else {}
    return FoldedRun(**fields, std=std, folds=list(runs), numbers=[fold for fold in numbers if fold is not None])


def _means(metrics: Sequence[dict[str, float]], over: Any = statistics.fmean) -> dict[str, float]:
    """Over the folds that have a metric; of the deviation at least two."""
    found: dict[str, float] = {}
    for name in dict.fromkeys(name for one in metrics for name in one):
        values = [one[name] for one in metrics if name in one]
        if over is statistics.fmean or len(values) > 1:
            found[name] = float(over(values))
    return found


def _afresh(model: torch.nn.Module, seed: int, fold: int) -> torch.nn.Module:
    """Untrained weights of a fold's own; a model that does not say how it was made is copied as it is."""
    config = getattr(model, "config", None)
    if not isinstance(config, dict):
        return copy.deepcopy(model)
    with seeded(seed_of(seed, fold)):
        return type(model)(**config)
