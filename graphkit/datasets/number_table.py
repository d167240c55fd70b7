"""Tables of numbers from compressed text, read in pieces: no more memory than the table itself and one piece."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.errors import UserError

__all__ = ["read_numbers"]

_PIECE = 2**24  # bytes of text at once
_BLOCK = 4096  # lines
_DENSEST = 1100  # bytes that one byte of gzip may stand for
_COMMA, _NEWLINE = 44, 10


def read_numbers(
    path: Path, dtype: Any, *, columns: int | None = None, rows: int | None = None, piece: int = _PIECE
) -> np.ndarray:
    """The numbers of a file ``*.csv.gz`` without a header, one row a line.

    Args:
        path: the file.
        dtype: NumPy type of the numbers; whole numbers are read as whole numbers, never by way of floats.
        columns: numbers a line; None: as many as the first line has.
        rows: lines; None: however many there are.
        piece: bytes of text that are parsed at once.

    Returns:
        [rows, columns] of the type.

    Raises:
        UserError: for a missing or damaged file, and for a line that is not as expected (it is named).

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "edge.csv.gz"
        >>> with gzip.open(path, "wt") as file:
        ...     _ = file.write("0,1\\n2,0\\n")
        >>> read_numbers(path, np.int64).tolist()
        [[0, 1], [2, 0]]
    """
    result: np.ndarray | None = None
    parts: list[np.ndarray] = []
    done = 0
    if rows and path.exists() and rows > _DENSEST * path.stat().st_size:
        raise UserError(f"{path} cannot hold {rows} lines, the number that the files beside it name")
    for text in _pieces(path, piece):
        if columns is None:
            columns = text[: text.index(b"\n")].count(b",") + 1
        part = _parsed(text, columns, dtype, path, done)
        done += len(part)
        if rows is None:
            parts.append(part)
        elif done > rows:
            raise UserError(f"{path} has more than {rows} lines, the number that the files beside it name")
        else:
            if result is None:
                result = np.empty((rows, columns), dtype)
            result[done - len(part) : done] = part
    if rows is not None and done != rows:
        raise UserError(
            f"{path} has {done} lines, but the files beside it name {rows}; it was cut off, or is another one"
        )
    if result is not None:
        return result
    return np.concatenate(parts) if parts else np.empty((0, columns or 0), dtype)


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    """The text of a file in pieces of whole lines, each ended by a newline."""
    rest = b""
    try:
        with gzip.open(path, "rb") as file:
            while block := file.read(size):
                cut = block.rfind(b"\n") + 1
                if cut:
                    yield (rest + block[:cut]).replace(b"\r\n", b"\n")
                    rest = block[cut:]
                else:
                    rest += block
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; unpack OGB's archive as a whole") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}); unpack OGB's archive anew") from None
    if rest.strip():
        yield rest.replace(b"\r\n", b"\n") + b"\n"


def _parsed(text: bytes, columns: int, dtype: Any, path: Path, before: int) -> np.ndarray:
    values = _table(text, columns, dtype)
    if values is None:
        raise _bad_line(text, columns, dtype, path, before)
    return values


def _table(text: bytes, columns: int, dtype: Any) -> np.ndarray | None:
    """[lines, columns] from whole lines, None where a line is no such line."""
    raw = np.frombuffer(text, np.uint8)
    ends = raw[(raw == _COMMA) | (raw == _NEWLINE)]
    if len(ends) % columns:
        return None
    table = ends.reshape(-1, columns)
    if not (table[:, :-1] == _COMMA).all() or not (table[:, -1] == _NEWLINE).all():
        return None
    values = _numbers(text, dtype)
    return None if values is None or len(values) != len(ends) else values.reshape(-1, columns)


def _numbers(text: bytes, dtype: Any) -> np.ndarray | None:
    """All numbers in order, between commas and newlines; None where something else stands."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # text that is no number is only warned of
        try:
            return np.fromstring(text.replace(b",", b"\n"), dtype=dtype, sep="\n")
        except (DeprecationWarning, ValueError, OverflowError):
            return None


def _bad_line(text: bytes, columns: int, dtype: Any, path: Path, before: int) -> UserError:
    kind = "whole number" if np.issubdtype(dtype, np.integer) else "number"
    expected = f"expected {columns} {kind}{'' if columns == 1 else 's'} between commas"
    # of a long text only the block of lines with the first bad one is looked at line by line
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _NEWLINE)[_BLOCK - 1 :: _BLOCK] + 1
    begin = 0
    for end in ends.tolist():
        if _table(text[begin:end], columns, dtype) is None:
            break
        begin, before = end, before + _BLOCK
    for number, line in enumerate(text[begin:].split(b"\n", _BLOCK)[:_BLOCK], start=before + 1):
        values = _numbers(line + b"\n", dtype)
        if values is None or len(values) != columns or line.count(b",") != columns - 1:
            shown = line[:60].decode("utf-8", "replace")
            return UserError(f"{path}, line {number}: found {shown!r}, {expected}")
    return UserError(f"{path}, after line {before}: {expected}")
