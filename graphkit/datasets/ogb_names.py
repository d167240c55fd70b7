"""Names in the small text files of the Open Graph Benchmark."""

from __future__ import annotations

import csv
import gzip
import zlib
from pathlib import Path

from graphkit.errors import UserError

__all__ = ["read_mapping", "read_rows", "whole_number"]

_BLANK = 1000
_DIGITS = 18  # so many fit into 64 bits


def whole_number(text: str) -> int | None:
    """The number that a text of digits names, None where it names none or one of more than 64 bits.

    Example:
        >>> whole_number("12"), whole_number("-1"), whole_number("9" * 30)
        (12, None, None)
    """
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def read_mapping(path: Path) -> list[str]:
    """Names in the order of their numbers, from a title and then a number and a name a line.

    Raises:
        UserError: for a missing or damaged file, and a line of another form (it is named).
    """
    rows = read_rows(path)[1:]
    names: list[str | None] = [None] * len(rows)
    for line, row in enumerate(rows, start=2):
        number = whole_number(row[0]) if len(row) == 2 else None
        if number is None or not number < len(names) or names[number] is not None:
            raise UserError(
                f"{path}, line {line}: found {','.join(row)!r}, expected a number below {len(rows)}, each once, and a name"
            )
        names[number] = row[1]
    return [str(name) for name in names]


def read_rows(path: Path) -> list[list[str]]:
    """The fields of a file ``*.csv.gz``, line by line.

    Raises:
        UserError: for a missing, damaged or empty file.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            rows, blank = [], 0
            for row in csv.reader(file):
                rows += [row] if row else []
                blank += not row
                if blank > _BLANK:
                    raise UserError(f"{path} holds more than {_BLANK} blank lines; unpack OGB's archive anew")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; unpack OGB's archive as a whole") from None
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}); unpack OGB's archive anew") from None
    if not rows:
        raise UserError(f"{path} is empty; unpack OGB's archive anew")
    return rows
