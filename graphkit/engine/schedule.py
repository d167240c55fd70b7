"""Learning rates that change from epoch to epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from graphkit.errors import UserError, nearest

__all__ = ["RateSchedule", "check_schedule", "rate_factor"]

_OPTIONS = ("floor", "kind", "warmup")
_KINDS = ("constant", "cosine")


def rate_factor(epoch: int, epochs: int, schedule: Mapping[str, Any] | None = None) -> float:
    r"""What the learning rates are multiplied by in an epoch.

    With W epochs of warm-up out of T and t = epoch - 1:

    .. math:: \frac{t + 1}{W + 1} \text{ for } t < W, \qquad
        f + (1 - f)\, \tfrac12 \Bigl(1 + \cos \pi \frac{t - W}{T - W}\Bigr) \text{ after it}

    so the full rate stands in epoch W + 1. ``constant`` stays there.

    Args:
        epoch: number of the epoch, from 1.
        epochs: epochs in all T, whether or not the training stops earlier.
        schedule: ``kind`` (``"cosine"`` or ``"constant"``), ``warmup`` W (0) and ``floor`` f (0); None: 1 throughout.

    Source:
        Loshchilov and Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts (ICLR 2017), equation 5, without restarts.

    Example:
        >>> [round(rate_factor(epoch, 6, {"kind": "cosine", "warmup": 2}), 3) for epoch in range(1, 7)]
        [0.333, 0.667, 1.0, 0.854, 0.5, 0.146]
    """
    if schedule is None:
        return 1.0
    done, warmup, floor = epoch - 1, schedule.get("warmup", 0), schedule.get("floor", 0.0)
    if done < warmup:
        return (done + 1) / (warmup + 1)
    if schedule["kind"] == "constant":
        return 1.0
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(1, epochs - warmup)))


def check_schedule(schedule: Any, where: str = "schedule") -> None:
    """Refuse a schedule that :func:`rate_factor` does not know; None is none.

    Raises:
        UserError: naming the option, its value and what was expected.

    Example:
        >>> check_schedule({"kind": "cosine", "warmup": 10})
    """
    if schedule is None:
        return
    if not isinstance(schedule, Mapping):
        raise UserError(f"{where} is {schedule!r}, expected a mapping such as {{kind: cosine, warmup: 10}}")
    for name in schedule:
        if name not in _OPTIONS:
            raise UserError(f"{where}: {nearest(str(name), _OPTIONS, 'option')}")
    if schedule.get("kind") not in _KINDS:
        raise UserError(f"{where}.kind is {schedule.get('kind')!r}, expected one of {', '.join(_KINDS)}")
    warmup, floor = schedule.get("warmup", 0), schedule.get("floor", 0.0)
    if isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 0:
        raise UserError(f"{where}.warmup is {warmup!r}, expected a whole number of epochs of at least 0")
    if isinstance(floor, bool) or not isinstance(floor, (int, float)) or not 0 <= floor <= 1:
        raise UserError(f"{where}.floor is {floor!r}, expected a share of the learning rate from 0 to 1")


class RateSchedule:
    """Sets an optimizer's learning rates for an epoch; they depend on its number alone, so a resume has the same ones.

    Args:
        optimizer: its groups' rates are the full ones when this is made.
        epochs: epochs in all.
        schedule: as in :func:`rate_factor`.

    Example:
        >>> optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
        >>> RateSchedule(optimizer, 4, {"kind": "cosine", "warmup": 1}).begin_epoch(1)
        >>> optimizer.param_groups[0]["lr"]
        0.25
    """

    def __init__(self, optimizer: torch.optim.Optimizer, epochs: int, schedule: Mapping[str, Any] | None) -> None:
        self.optimizer, self.epochs, self.schedule = optimizer, epochs, schedule
        self.full = [group["lr"] for group in optimizer.param_groups]

    def begin_epoch(self, epoch: int) -> None:
        """Set the rates of an epoch, counted from 1; without a schedule nothing is touched."""
        if self.schedule is not None:
            factor = rate_factor(epoch, self.epochs, self.schedule)
            for group, rate in zip(self.optimizer.param_groups, self.full, strict=True):
                group["lr"] = rate * factor
