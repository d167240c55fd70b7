"""What a training shows while it runs: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

import torch

from graphkit.engine.state import TrainingState

__all__ = ["BarReporter", "PlainReporter", "Reporter", "SilentReporter", "default_reporter", "duration"]


class Reporter(Protocol):
    """Gets the progress of a training; a context manager around it."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *error: object) -> None: ...

    def begin(self, model: torch.nn.Module, device: torch.device, seed: int, epochs: int, state: TrainingState) -> None:
        """The training starts or goes on at ``state``."""

    def step(self, state: TrainingState, total: int) -> None:
        """An optimizer step is done; ``total`` steps make the epoch."""

    def evaluating(self, split: str, done: int, total: int) -> None:
        """``done`` of ``total`` queries are scored."""

    def epoch(self, state: TrainingState, select: str, improved: bool) -> None:
        """An epoch is closed: ``state.history[-1]``."""

    def end(self, run: dict[str, Any], select: str) -> None:
        """The training is over: the fields of its Run."""

    def message(self, text: str) -> None:
        """Something else to say."""


class SilentReporter:
    """Shows nothing; a base for reporters that want only some of the calls."""

    def __enter__(self) -> SilentReporter:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def begin(self, model: torch.nn.Module, device: torch.device, seed: int, epochs: int, state: TrainingState) -> None:
        pass

    def step(self, state: TrainingState, total: int) -> None:
        pass

    def evaluating(self, split: str, done: int, total: int) -> None:
        pass

    def epoch(self, state: TrainingState, select: str, improved: bool) -> None:
        pass

    def end(self, run: dict[str, Any], select: str) -> None:
        pass

    def message(self, text: str) -> None:
        pass


class PlainReporter(SilentReporter):
    """One line per epoch, and within long epochs one line every ``every`` seconds, with the time left.

    Args:
        write: gets each line; None writes to standard error.
        every: least seconds between two lines within an epoch.
    """

    def __init__(self, write: Any = None, every: float = 10.0) -> None:
        self._write = write or _to_stderr
        self.every = every
        self._last = self._start = time.monotonic()
        self._done = 0
        self.epochs = 1

    def begin(self, model: torch.nn.Module, device: torch.device, seed: int, epochs: int, state: TrainingState) -> None:
        self.epochs, self._done = epochs, state.steps
        self._last = self._start = time.monotonic()
        self.message(headline(model, device, seed, state))

    def step(self, state: TrainingState, total: int) -> None:
        if time.monotonic() - self._last < self.every:
            return
        rate = (state.steps - self._done) / max(time.monotonic() - self._start, 1e-9)
        left = (total - state.step + (self.epochs - state.epoch) * total) / max(rate, 1e-9)
        self._say(
            f"epoch {state.epoch:>3}/{self.epochs}  step {state.step}/{total}  loss {state.loss_sum / state.step:.4f}  "
            f"{rate:.1f} steps/s  eta {duration(left)}"
        )

    def evaluating(self, split: str, done: int, total: int) -> None:
        if time.monotonic() - self._last >= self.every:
            self._say(f"{split}: {done}/{total}")

    def epoch(self, state: TrainingState, select: str, improved: bool) -> None:
        self._say(epoch_text(state, self.epochs, select, improved))

    def end(self, run: dict[str, Any], select: str) -> None:
        self._say(end_text(run, select))

    def message(self, text: str) -> None:
        self._say(text)

    def _say(self, text: str) -> None:
        self._write(text)
        self._last = time.monotonic()


class BarReporter(SilentReporter):
    """A bar with loss, steps per second and the time left; a line per epoch above it.

    Args:
        console: a ``rich.console.Console``; None writes to standard error.
    """

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console or Console(stderr=True), transient=True)
        self._task = self._progress.add_task("", total=None, note="")
        self.epochs = 1
        self._done = 0
        self._start = time.monotonic()

    def __enter__(self) -> BarReporter:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def begin(self, model: torch.nn.Module, device: torch.device, seed: int, epochs: int, state: TrainingState) -> None:
        self.epochs, self._done, self._start = epochs, state.steps, time.monotonic()
        self.message(headline(model, device, seed, state))
        self._progress.reset(self._task, total=None, note="")

    def step(self, state: TrainingState, total: int) -> None:
        rate = (state.steps - self._done) / max(time.monotonic() - self._start, 1e-9)
        self._progress.update(
            self._task,
            description=f"epoch {state.epoch}/{self.epochs}",
            total=total * self.epochs,
            completed=(state.epoch - 1) * total + state.step,
            note=f"loss {state.loss_sum / state.step:.4f}  {rate:.1f} steps/s",
        )

    def evaluating(self, split: str, done: int, total: int) -> None:
        self._progress.update(self._task, note=f"{split} {done}/{total}")

    def epoch(self, state: TrainingState, select: str, improved: bool) -> None:
        self.message(epoch_text(state, self.epochs, select, improved))

    def end(self, run: dict[str, Any], select: str) -> None:
        self.message(end_text(run, select))

    def message(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)


def default_reporter() -> Reporter:
    """A bar when standard error is a terminal, silence otherwise."""
    return BarReporter() if sys.stderr.isatty() else SilentReporter()


def duration(seconds: float) -> str:
    """A time for people.

    Example:
        >>> duration(70), duration(3.21), duration(7300)
        ('1m10s', '3.2s', '2h01m')
    """
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    return f"{whole // 60}m{whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def headline(model: torch.nn.Module, device: torch.device, seed: int, state: TrainingState) -> str:
    """The line that opens a training."""
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    threads = f" ({torch.get_num_threads()} threads)" if device.type == "cpu" else ""
    text = f"{type(model).__name__}  seed {seed}  device {device}{threads}  params {parameters:,}"
    if state.finished:
        return text + "  (trained already)"
    return text + (f"  (goes on in epoch {state.epoch} at step {state.step})" if state.steps else "")


def epoch_text(state: TrainingState, epochs: int, select: str, improved: bool) -> str:
    """The line that closes an epoch; ``*`` marks the best validation so far."""
    record = state.history[-1]
    text = f"epoch {record['epoch']:>3}/{epochs}  loss {record['loss']:.4f}"
    if "valid" in record:
        text += f"  valid {select} {record['valid'][select]:.4f}{' *' if improved else '  '}"
    text += f"  {duration(record['seconds'])}"
    if state.finished:
        return text
    left = (epochs - record["epoch"]) * sum(r["seconds"] for r in state.history) / len(state.history)
    return text + f"  eta {duration(left)}"


def end_text(run: dict[str, Any], select: str) -> str:
    """The line that closes a training."""
    shown = "  ".join(f"{name} {run['test'][name]:.4f}" for name in _few(run["test"], select))
    return f"best epoch {run['best_epoch']}  test {shown}  ({duration(run['seconds'])})"


def _few(metrics: dict[str, float], select: str) -> list[str]:
    return [name for name in dict.fromkeys((select, "mrr", "hits@1", "hits@10", "hits@10(50)")) if name in metrics]


def _to_stderr(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
