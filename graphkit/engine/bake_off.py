"""Recommended models against baselines on validation, within some minutes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphkit.data import NodeTask
from graphkit.engine.fit import fit
from graphkit.engine.progress import SilentReporter, duration
from graphkit.engine.recommendation import Recommendation
from graphkit.engine.seeding import seeded
from graphkit.engine.state import TrainingState
from graphkit.errors import UserError
from graphkit.models import registry

__all__ = ["Trial", "bake_off"]

_NODE_EPOCHS, _EPOCHS = 300, 20


@dataclass(frozen=True)
class Trial:
    """How one model did.

    Attributes:
        recommendation: which one.
        metric: its name.
        value: on validation, of the best epoch; None where it could not be had.
        epochs: that were trained.
        seconds: that it took.
        note: why there is no value.

    Example:
        >>> Trial(Recommendation("MLP", ""), "accuracy", 0.8, 10, 1.0).value
        0.8
    """

    recommendation: Recommendation
    metric: str
    value: float | None
    epochs: int
    seconds: float
    note: str = ""


def bake_off(task: Any, models: Sequence[Recommendation], *, minutes: float, seed: int = 0) -> list[Trial]:
    """Train each model for an equal share of the time; its value is that of the best epoch on validation.

    A training is ended in the middle of an epoch when its share is over. The test split is not read.

    Args:
        task: what the models are made for.
        models: which ones, with their options.
        minutes: for all together; a model whose first epoch and its validation take longer than its share has no value, and the
            note of its trial says how long an epoch takes.
        seed: of initial weights and training.

    Raises:
        UserError: minutes that are no positive number.

    Example:
        >>> import graphkit as gk
        >>> some = [Recommendation("MLP", "", options={"hidden_channels": 8})]
        >>> bake_off(gk.load("cora", task="node"), some, minutes=1)  # doctest: +SKIP
        [Trial(...)]
    """
    if not minutes > 0:
        raise UserError(f"minutes is {minutes}, expected a positive number")
    end, trials = time.monotonic() + 60 * minutes, []
    for position, one in enumerate(models):
        share = max(end - time.monotonic(), 0.0) / (len(models) - position)
        begin = time.monotonic()
        try:
            value, epochs = _best(task, one, share, seed)
            trials.append(Trial(one, task.primary_metric, value, epochs, time.monotonic() - begin))
        except (
            UserError,
            AttributeError,
        ) as error:  # a model of another kind of task, or one that does not fit into memory
            trials.append(Trial(one, task.primary_metric, None, 0, time.monotonic() - begin, str(error)))
    return trials


def _best(task: Any, one: Recommendation, seconds: float, seed: int) -> tuple[float, int]:
    made = registry()[one.model]
    with seeded(seed):
        model = made.for_task(task, **one.options)
    box = _TimeBox(seconds, task.primary_metric)
    epochs = (_NODE_EPOCHS if isinstance(task, NodeTask) else _EPOCHS) if model.trainable else 0
    patience = None if epochs == 0 else max(10, epochs // 3)
    try:
        run = fit(model, task, epochs=epochs, patience=patience, seed=seed, score_test=False, reporter=box, **one.train)
    except _OutOfTimeError as out:
        if box.value is None:
            raise UserError(str(out)) from None
        return box.value, box.epochs
    return run.valid[task.primary_metric], len(run.history)


class _OutOfTimeError(Exception):
    pass


class _TimeBox(SilentReporter):
    """Ends a training between two steps when its time is over, and keeps the validation of the best epoch until then."""

    def __init__(self, seconds: float, metric: str) -> None:
        self.begun, self.seconds, self.metric = time.monotonic(), seconds, metric
        self.value: float | None = None
        self.epochs = 0

    def step(self, state: TrainingState, total: int) -> None:
        each = (time.monotonic() - self.begun) / max(state.steps, 1)
        self._check(f"an epoch takes about {duration(each * total)}, its share is {duration(self.seconds)}")

    def evaluating(self, split: str, done: int, total: int) -> None:
        self._check(f"one epoch and its validation take more than {duration(self.seconds)}, its share")

    def epoch(self, state: TrainingState, select: str, improved: bool) -> None:
        self.epochs = len(state.history)
        if improved:
            self.value = state.history[-1]["valid"][self.metric]
        self._check("")

    def _check(self, why: str) -> None:
        if time.monotonic() - self.begun > self.seconds:
            raise _OutOfTimeError(why)
