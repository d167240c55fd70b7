"""Where a training stands: position, sums of the epoch under way, best epoch, history."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

from graphkit.errors import UserError, nearest
from graphkit.metrics import goodness

__all__ = ["TrainingState", "selection_score"]

_UNFIT = {"mr", "tail_mr", "head_mr", "loss", "count"}  # a mean rank is the whim of the worst cases


@dataclasses.dataclass
class TrainingState:
    """Everything about a training besides weights, optimizer and random streams; plain JSON values only.

    Args:
        epoch: the epoch under way, counted from 1.
        step: batches of that epoch already used.
        steps: optimizer steps in all.
        loss_sum: sum of the losses of that epoch, so that its mean is the same after a resume.
        epoch_seconds: seconds spent in that epoch so far, over all processes that worked on it.
        seconds: seconds spent in all.
        best: ``{"epoch": int, "metrics": {...}}`` of the best validation so far.
        stale: validations since the best one.
        history: one record per finished epoch, as written to ``log.jsonl``.
        finished: no training step is left.
    """

    epoch: int = 1
    step: int = 0
    steps: int = 0
    loss_sum: float = 0.0
    epoch_seconds: float = 0.0
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    stale: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    finished: bool = False

    def __post_init__(self) -> None:
        self._mark = time.perf_counter()

    def to_json(self) -> dict[str, Any]:
        self.tick()
        # not asdict, which would copy the whole history every time
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def tick(self) -> None:
        """Add the time since the last call to the clocks."""
        now = time.perf_counter()
        self.epoch_seconds += now - self._mark
        self.seconds += now - self._mark
        self._mark = now

    def count(self, loss: float) -> None:
        """Count one optimizer step.

        Raises:
            UserError: when the loss is not finite.
        """
        if not math.isfinite(loss):
            raise UserError(
                f"the loss is {loss} at epoch {self.epoch}, step {self.step + 1}: the training has diverged; lower lr "
                "or set clip_norm (say 1.0), and look for values that are not finite in the data"
            )
        self.step += 1
        self.steps += 1
        self.loss_sum += loss

    def end_untrained(self, valid: dict[str, float], select: str) -> None:
        """Close a training of no epochs: the weights are what they were, and this is their validation."""
        selection_score(valid, select)
        self.tick()
        self.best, self.finished = {"epoch": 0, "metrics": valid}, True

    def end_epoch(self, valid: dict[str, float] | None, select: str, patience: int | None, last: bool) -> bool:
        """Close the epoch; True when its validation is the best so far (the earliest wins a tie)."""
        if self.step == 0:
            raise UserError(
                "the loader of the training split gave no batch; is the split empty, or batch_size too large?"
            )
        improved = False
        if valid is not None:
            score = selection_score(valid, select)
            improved = self.best is None or score > selection_score(self.best["metrics"], select)
            self.stale = 0 if improved else self.stale + 1
            if improved:
                self.best = {"epoch": self.epoch, "metrics": valid}
        self.tick()
        record: dict[str, Any] = {"epoch": self.epoch, "loss": self.loss_sum / self.step, "seconds": self.epoch_seconds}
        self.history.append(record if valid is None else {**record, "valid": valid})
        self.finished = last or (patience is not None and self.stale >= patience)
        self.epoch, self.step, self.loss_sum, self.epoch_seconds = self.epoch + 1, 0, 0.0, 0.0
        return improved


def selection_score(metrics: dict[str, float], select: str) -> float:
    """The metric that selects the epoch, negated where less is better; higher is better.

    Example:
        >>> selection_score({"accuracy": 0.5}, "accuracy"), selection_score({"mae": 0.5}, "mae")
        (0.5, -0.5)

    Raises:
        UserError: for an unknown metric, one that no epoch should be selected by, or a value that is not a number.
    """
    if select not in metrics:
        raise UserError(f"select: {nearest(select, metrics, 'metric')}")
    if select in _UNFIT:
        raise UserError(f"select is {select!r}, which does not rise as a model improves; choose a metric that does")
    if math.isnan(metrics[select]):
        raise UserError(
            f"the validation metric {select!r} is not a number; the weights or the data hold non-finite values"
        )
    return goodness(select, metrics[select])
