"""Triples: reading names from text files, checking ids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from graphkit.errors import UserError

__all__ = ["check_triples", "file_bytes", "read_triples", "text_lines"]

_COLUMNS = ("head", "relation", "tail")


def read_triples(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] = _COLUMNS,
    delimiter: str | None = "\t",
    skip_first: bool = False,
) -> list[tuple[str, str, str]]:
    """Triples of names from a UTF-8 text file, one triple a line, in the order of the file.

    Line ends may be LF or CRLF; the last line may lack its end, and blank lines at the end of the file are skipped.

    Args:
        path: the file.
        columns: the order in which a line holds "head", "relation" and "tail".
        delimiter: what stands between the names; None is any run of blanks.
        skip_first: whether the first line is no triple (a count or a title).

    Returns:
        A list of (head, relation, tail), whatever the order in the file.

    Raises:
        UserError: for a missing or empty file, for bytes that are not UTF-8, and for a line without exactly three
            non-empty names; file and line number are named.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "facts.tsv"
        >>> _ = file.write_text("rome\\tcapital_of\\titaly\\n")
        >>> read_triples(file)
        [('rome', 'capital_of', 'italy')]
    """
    if sorted(columns) != sorted(_COLUMNS):
        raise UserError(f"columns are {list(columns)}, expected an order of {list(_COLUMNS)}")
    lines = text_lines(file_bytes(path), path)
    first = 1 if skip_first else 0
    if len(lines) <= first:
        raise UserError(f"{path} holds no triple; expected one per line: {_shape(columns, delimiter)}")
    names = _split(lines[first:], delimiter)
    if names is None:
        number, row = next(
            (number, row)
            for number, row in enumerate((line.split(delimiter) for line in lines[first:]), start=first + 1)
            if len(row) != 3 or "" in row
        )
        raise UserError(_malformed(path, number, row, columns, delimiter))
    h, r, t = (list(columns).index(name) for name in _COLUMNS)
    return list(zip(names[h::3], names[r::3], names[t::3], strict=True))


def _split(lines: list[str], delimiter: str | None) -> list[str] | None:
    """All names of all lines one after the other, or None if any line has not three. One split is far faster than n."""
    if delimiter is None:
        rows = [line.split() for line in lines]
        return [name for row in rows for name in row] if all(len(row) == 3 for row in rows) else None
    if any(line.count(delimiter) != 2 for line in lines):
        return None
    names = delimiter.join(lines).split(delimiter)
    return None if "" in names else names


def file_bytes(path: str | os.PathLike[str]) -> bytes:
    """Content of a file of triples.

    Raises:
        UserError: for a missing file, a folder, or a file that may not be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; expected a file of triples") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; expected a file of triples") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def text_lines(data: bytes, path: str | os.PathLike[str]) -> list[str]:
    """Lines of UTF-8 text, without their ends and without the blank ones at the end of the file.

    Raises:
        UserError: for bytes that are not UTF-8; file and line are named.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {number}: not UTF-8 text; save the file as UTF-8") from None
    # blank lines at the end may be millions: they are cut off before there is an object for each
    end = text.find("\n", len(text.rstrip()))
    text = text if end < 0 else text[:end]
    # Not splitlines(): names may hold characters that it takes for line ends, such as U+0085.
    lines = text.removeprefix("\ufeff").split("\n")
    if "\r" in text:
        lines = [line.removesuffix("\r") for line in lines]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _shape(columns: Sequence[str], delimiter: str | None) -> str:
    between = {"\t": "tabs", " ": "single spaces", None: "blanks"}.get(delimiter, repr(delimiter))
    return f"{', '.join(columns)} separated by {between}"


def _malformed(
    path: str | os.PathLike[str], number: int, row: list[str], columns: Sequence[str], delimiter: str | None
) -> str:
    found = "an empty name" if len(row) == 3 else f"{len(row)} {'name' if len(row) == 1 else 'names'}"
    return f"{path}, line {number}: found {found}, expected three: {_shape(columns, delimiter)}"


def check_triples(triples: Any, num_entities: int, num_relations: int, what: str, task: str) -> None:
    """Refuse triples that are not [n, 3] int64 (head, relation, tail) with ids in range.

    Raises:
        UserError: naming the first bad triple.

    Example:
        >>> check_triples(torch.tensor([[0, 0, 1]]), 2, 1, "train triple", "toy")
    """
    if not isinstance(triples, torch.Tensor) or triples.dtype != torch.int64 or triples.shape[1:] != (3,):
        raise UserError(f"{what}s of {task} must be an int64 tensor [n, 3] (head, relation, tail)")
    bad = ((triples < 0) | (triples >= torch.tensor([num_entities, num_relations, num_entities]))).any(1)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        raise UserError(
            f"{what} {row} of {task} is {triples[row].tolist()}, but entities are numbered up to {num_entities - 1} "
            f"and relations up to {num_relations - 1}"
        )
