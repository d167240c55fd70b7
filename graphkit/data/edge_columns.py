"""Which columns of a table of edges are what."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from graphkit.errors import DataWarning, UserError, nearest

__all__ = ["SPLIT_WORDS", "Columns", "cell_name", "choose_columns", "is_header", "split_number"]

#: names by which a header calls a column, lower case, without ":" and with "_" for blanks
_WORDS = {
    "head": ("head", "head_id", "head_entity", "subject", "source", "source_id", "src", "from", "start_id", "start"),
    "relation": (
        "relation", "relation_type", "relation_id", "relationship", "rel", "predicate", "type", "edge_type",
        "edge_label", "interaction", "label",
    ),
    "tail": ("tail", "tail_id", "tail_entity", "object", "target", "target_id", "dst", "to", "end_id", "end"),
    "split": ("split", "partition"),
}  # fmt: skip

SPLIT_WORDS = {
    "train": 0, "training": 0, "valid": 1, "validation": 1, "val": 1, "dev": 1, "test": 2, "testing": 2, "test_facts": 3,
}  # fmt: skip


class Columns(NamedTuple):
    """Positions of the columns; None: there is none.

    Example:
        >>> Columns(0, 1, 2, None).tail
        2
    """

    head: int
    relation: int | None
    tail: int
    split: int | None


def is_header(fields: Sequence[str]) -> bool:
    """Whether a first line names the columns: some field is a word for heads and another one a word for tails.

    Example:
        >>> is_header(["Subject", "predicate", "object"]), is_header(["rome", "in", "italy"])
        (True, False)
    """
    found = _recognised(fields)
    return "head" in found and "tail" in found


def choose_columns(
    names: Sequence[str] | None, width: int, asked: Mapping[str, int | str | None], where: str
) -> Columns:
    """The columns that are asked for by name or by number from 0, the others by the words of a header or by position.

    Args:
        names: the header, or None.
        width: number of columns.
        asked: column of ``"head"``, ``"relation"``, ``"tail"``, ``"split"``; None: find it.
        where: how messages call the table.

    Raises:
        UserError: for a column that is not there (the nearest one is suggested), one asked for twice, or when head and
            tail cannot be told.

    Example:
        >>> choose_columns(None, 3, {"head": None, "relation": None, "tail": None, "split": None}, "x.tsv")
        Columns(head=0, relation=1, tail=2, split=None)
    """
    found = {role: _position(role, column, names, width, where) for role, column in asked.items() if column is not None}
    twice = next((role for role, place in found.items() if list(found.values()).count(place) > 1), None)
    if twice is not None:
        raise UserError(f"{where}: {twice}={asked[twice]!r} is asked for twice; give every column once")
    if names is not None:
        for role, place in _recognised(names).items():
            if role not in found and place not in found.values():
                found[role] = place
    if not {"head", "tail", "relation"} & found.keys() and "split" not in found and width in (2, 3):
        found.update({"head": 0, "tail": 1} if width == 2 else {"head": 0, "relation": 1, "tail": 2})
    if not {"head", "tail"} <= found.keys():
        raise UserError(f"{where}: {_untold(names, width)}")
    chosen = Columns(found["head"], found.get("relation"), found["tail"], found.get("split"))
    if names is not None and chosen.relation is None and len(names) > len(found):
        unread = ", ".join(name for place, name in enumerate(names) if place not in found.values())
        warnings.warn(
            f"{where}: every edge gets the one relation 'edge'; of the columns not read ({unread}) name the one that "
            "holds relations with relation=, if any does",
            DataWarning,
            stacklevel=2,
        )
    return chosen


def _untold(names: Sequence[str] | None, width: int) -> str:
    if names is not None:
        return f"cannot tell heads and tails among the columns {', '.join(names)}; name them with head= and tail="
    if width == 1:
        return (
            "there is one column, expected head and tail, or head, relation and tail; say what stands between them with "
            "delimiter=, such as 'blanks'"
        )
    return (
        f"there are {width} columns and no header that names them, expected head and tail, or head, relation and tail; "
        "add a header, or number the columns from 0 with head=, relation= and tail="
    )


def _recognised(names: Sequence[str]) -> dict[str, int]:
    words = [name.strip().lower().replace(":", "").replace(" ", "_") for name in names]
    found: dict[str, int] = {}
    for role, known in _WORDS.items():
        place = next((words.index(word) for word in known if word in words), None)
        if place is not None:
            found[role] = place
    return found


def _position(role: str, column: int | str, names: Sequence[str] | None, width: int, where: str) -> int:
    if isinstance(column, str):
        if names is None:
            raise UserError(f"{where}: {role}={column!r} names a column, but there is no header; number it from 0")
        stripped = [name.strip() for name in names]
        if column not in stripped:
            raise UserError(f"{where}: {role}: {nearest(column, stripped, 'column')}")
        return stripped.index(column)
    if isinstance(column, bool) or not isinstance(column, numbers.Integral) or not 0 <= column < width:
        raise UserError(f"{where}: {role}={column!r}, expected the name of a column or a number from 0 to {width - 1}")
    return int(column)


def cell_name(value: Any, what: str) -> str:
    """The name in a cell of a table: text without blanks around it, or a whole number.

    Raises:
        UserError: for an empty or missing value, and for anything but text and whole numbers.

    Example:
        >>> cell_name(" rome ", "row 0: head"), cell_name(7, "row 1: head")
        ('rome', '7')
    """
    if isinstance(value, str):
        name = value.strip()
        if name:
            return name
        raise UserError(f"{what} is empty")
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return str(int(value))
    if str(value) in ("None", "nan", "NaT", "<NA>"):  # what tables hold where nothing is
        raise UserError(f"{what} is empty")
    raise UserError(f"{what} is {value!r}, expected text or a whole number")


def split_number(word: str, what: str) -> int:
    """0, 1, 2 or 3 for the words for train, valid, test and test_facts.

    Raises:
        UserError: for another word.

    Example:
        >>> split_number("Validation", "line 2")
        1
    """
    number = SPLIT_WORDS.get(word.strip().lower())
    if number is None:
        raise UserError(f"{what}: split is {word!r}, expected train, valid or test (or test_facts)")
    return number
