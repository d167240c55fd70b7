"""Keyword options checked against a Python signature before they are used."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from graphkit.engine.schedule import check_schedule
from graphkit.errors import UserError, nearest

__all__ = ["OPTIMIZERS", "accepted", "check_options", "check_ranges", "check_selection"]

OPTIMIZERS = ("adam", "adamw")


def accepted(function: Callable[..., Any], without: Collection[str] = ()) -> set[str] | None:
    """Names a function takes by keyword, or None when it takes any.

    Example:
        >>> sorted(accepted(lambda a, *, b=1: None, without=["a"]))
        ['b']
    """
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name for p in parameters if p.kind in named and p.name not in without}


def check_options(
    function: Callable[..., Any], options: Mapping[str, Any], what: str, without: Collection[str] = ()
) -> None:
    """Refuse options that a function does not take.

    Args:
        function: the function that will get the options.
        options: the options.
        what: how the message calls them, such as ``"loader option"``.
        without: names that the caller passes itself.

    Raises:
        UserError: naming the option and the nearest known one.
    """
    known = accepted(function, without)
    for name in options:
        if name in without:
            raise UserError(f"{what} {name!r} is set by the engine; leave it out")
        if known is not None and name not in known:
            raise UserError(nearest(name, known, what))


def check_ranges(options: Mapping[str, Any], where: Callable[[str], str] = str) -> None:
    """Refuse options of :func:`graphkit.fit` out of range, before anything is computed or written.

    Args:
        options: options by name; absent ones are not looked at.
        where: from the name of an option to the words that locate it.

    Raises:
        UserError: naming the option, its value and what was expected.
    """
    for name, least in (("epochs", 0), ("evaluate_every", 1), ("patience", 1), ("max_steps", 1), ("accumulate", 1)):
        value = options.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise UserError(f"{where(name)} is {value!r}, expected a whole number of at least {least}")
    for name, zero in (("lr", False), ("clip_norm", False), ("weight_decay", True), ("checkpoint_every", True)):
        value = options.get(name)
        if value is not None and not (0 < value < math.inf or (zero and value == 0)):
            raise UserError(f"{where(name)} is {value!r}, expected a number {'of at least' if zero else 'above'} 0")
    for part, value in (options.get("lr_of") or {}).items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise UserError(f"{where('lr_of')}: {part!r} is {value!r}, expected a number of at least 0")
    if options.get("optimizer", "adam") not in OPTIMIZERS:
        raise UserError(f"{where('optimizer')} is {options['optimizer']!r}, expected one of {', '.join(OPTIMIZERS)}")
    check_schedule(options.get("schedule"), where("schedule"))
    if options.get("amp", "auto") not in (True, False, "auto"):
        raise UserError(f"{where('amp')} is {options['amp']!r}, expected true, false or 'auto'")


def check_selection(task: Any, metric: str) -> None:
    """Refuse a metric that cannot select an epoch, before anything is computed; a task that lists none decides itself.

    Raises:
        UserError: naming the metric and the nearest one that can.
    """
    known = getattr(task, "selectable", None)
    if known is not None and metric not in known:
        raise UserError(nearest(metric, known, "metric to select epochs by"))
