"""Losses and metrics for TensorBoard, beside whatever else a training shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from graphkit.engine.progress import Reporter
from graphkit.engine.run_directory import RunDirectory, told
from graphkit.engine.state import TrainingState
from graphkit.errors import UserError

__all__ = ["TensorBoardReporter", "summary_writer", "with_tensorboard"]


class TensorBoardReporter:
    """Hands every call on to another reporter, and writes a training's curves for TensorBoard.

    Per epoch: ``train/loss``, ``train/seconds`` and each validation metric as ``valid/<name>``; at the end each test
    metric as ``test/<name>``, at the best epoch. The events of an epoch are on the disk before its checkpoint, and a
    resumed training withdraws those after its checkpoint, so each epoch counts once.

    Args:
        inner: what else shows the training.
        folder: where the events go, one folder a seed; ``tensorboard --logdir`` takes it or any folder above it.

    Raises:
        UserError: the package tensorboard is missing.

    Example:
        >>> from graphkit.engine.progress import SilentReporter
        >>> reporter = TensorBoardReporter(SilentReporter(), Path("runs/umls/seed-0"))  # doctest: +SKIP
    """

    def __init__(self, inner: Reporter, folder: Path) -> None:
        self._inner, self._folder, self._open = inner, folder, summary_writer()
        self._writer: Any = None

    def __enter__(self) -> TensorBoardReporter:
        self._inner.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            self._inner.__exit__(*error)

    def begin(self, model: torch.nn.Module, device: torch.device, seed: int, epochs: int, state: TrainingState) -> None:
        self._inner.begin(model, device, seed, epochs, state)
        if not state.finished:
            with told(self._folder):
                self._writer = self._open(str(self._folder), purge_step=state.epoch)

    def step(self, state: TrainingState, total: int) -> None:
        self._inner.step(state, total)

    def evaluating(self, split: str, done: int, total: int) -> None:
        self._inner.evaluating(split, done, total)

    def epoch(self, state: TrainingState, select: str, improved: bool) -> None:
        self._inner.epoch(state, select, improved)
        record = state.history[-1]
        values = {"train/loss": record["loss"], "train/seconds": record["seconds"]}
        self._write({**values, **_named("valid", record.get("valid", {}))}, record["epoch"])

    def end(self, run: dict[str, Any], select: str) -> None:
        self._inner.end(run, select)
        self._write(_named("test", run["test"]), run["best_epoch"])

    def message(self, text: str) -> None:
        self._inner.message(text)

    def _write(self, values: dict[str, float], epoch: int) -> None:
        if self._writer is None:  # of a finished training the results are only read back
            return
        with told(self._folder):
            for name, value in values.items():
                self._writer.add_scalar(name, value, epoch)
            self._writer.flush()


def summary_writer() -> Any:
    """``torch.utils.tensorboard.SummaryWriter``.

    Raises:
        UserError: the package tensorboard is missing.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            f"tensorboard=True needs the package tensorboard, which cannot be imported ({error}); install it with "
            "pip install tensorboard, or leave the option out"
        ) from error
    return SummaryWriter


def with_tensorboard(reporter: Reporter, directory: RunDirectory | None, seed: int) -> TensorBoardReporter:
    """A reporter that also writes for TensorBoard, into the folder of a seed in a run directory.

    Raises:
        UserError: there is no run directory, or the package tensorboard is missing.
    """
    if directory is None:
        raise UserError("tensorboard=True writes into the run directory; give one with out=...")
    return TensorBoardReporter(reporter, directory.checkpoint(seed).parent)


def _named(split: str, metrics: dict[str, float]) -> dict[str, float]:
    return {f"{split}/{name}": value for name, value in metrics.items()}
