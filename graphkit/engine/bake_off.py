"""Recommended models against baselines on validation, within some minutes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from graphkit.data import NodeTask
from graphkit.engine.fit import fit
from graphkit.engine.recommendation import Recommendation
from graphkit.engine.seeding import seeded
from graphkit.errors import UserError
from graphkit.models import registry

__all__ = ["Trial", "bake_off"]

_EPOCHS = {"node": 300, "other": 20}
_WARM_UP = 1.2  # the first epochs are slower, and the last one is followed by a validation


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

    One epoch tells how many fit into the share. The test split is not read.

    Args:
        task: what the models are made for.
        models: which ones, with their options.
        minutes: for all together; a first epoch that takes longer than its share is let finish.
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
    if not model.trainable:
        return fit(model, task, epochs=0, seed=seed, score_test=False).valid[task.primary_metric], 0
    start = {name: value.clone() for name, value in model.state_dict().items()}
    begin = time.monotonic()
    first = fit(model, task, epochs=1, seed=seed, score_test=False, **one.train)
    each = (time.monotonic() - begin) * _WARM_UP
    most = _EPOCHS["node" if isinstance(task, NodeTask) else "other"]
    epochs = max(1, min(most, int((seconds - (time.monotonic() - begin)) / max(each, 1e-6))))
    if epochs == 1:
        return first.valid[task.primary_metric], 1
    model.load_state_dict(start)
    with torch.no_grad():
        model.train()
    run = fit(model, task, epochs=epochs, patience=max(10, epochs // 3), seed=seed, score_test=False, **one.train)
    return run.valid[task.primary_metric], len(run.history)
