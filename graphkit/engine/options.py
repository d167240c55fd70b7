"""Keyword options checked against a Python signature before they are used."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from graphkit.errors import UserError, nearest

__all__ = ["accepted", "check_options"]


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
