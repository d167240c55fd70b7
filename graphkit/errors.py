"""Errors that a person can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["DataWarning", "SaidByFirst", "UserError", "nearest"]


_LONGEST = 6000


class UserError(ValueError):
    """A mistake in what was handed in: the message says what was wrong, what was expected and what to do.

    The command line prints the message alone and exits with status 2. Messages quote what they complain of; of one with more
    than 6000 characters the middle is left out.

    Example:
        >>> raise UserError("lr is -1, expected a number above 0")
        Traceback (most recent call last):
        graphkit.errors.UserError: lr is -1, expected a number above 0
    """

    def __str__(self) -> str:
        text = super().__str__()
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 3 :]}"


class DataWarning(UserWarning):
    """Something about the data that a person should know and that stops nothing; the command line prints it.

    Example:
        >>> issubclass(DataWarning, UserWarning)
        True
    """


class SaidByFirst(UserError):
    """A mistake that the first of several processes has met; the command line lets that one say it."""


def nearest(name: str, known: Iterable[str], what: str) -> str:
    """A sentence fragment that names the closest known spelling, or lists a few known names.

    Example:
        >>> nearest("umsl", ["umls", "nations"], "data set")
        "unknown data set 'umsl'; did you mean 'umls'?"
    """
    known, name = sorted(known), str(name)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"unknown {what} {name!r}; did you mean {close[0]!r}?"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"unknown {what} {name!r}; known: {shown}"
