"""Tables of edges in text files: tabs, commas, quotes, comments, headers."""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from graphkit.data.edge_columns import Columns, choose_columns, is_header, split_number
from graphkit.data.triples import text_lines
from graphkit.errors import DataWarning, UserError, nearest

__all__ = ["Edge", "delimiter_of", "text_edges", "text_table"]

#: words for delimiters, also those that a shell or YAML would swallow; None is any run of blanks
DELIMITERS: dict[str, str | None] = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "blanks": None}
_SAMPLE = 50  # lines looked at to tell the delimiter
_ENOUGH = 20  # edges from which a first line that has nothing to do with the others is conspicuous
_DIGIT = re.compile(r"\d")
_WEIGHT = re.compile(r"[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?")


class Edge(NamedTuple):
    """One row of a table of edges, in names; ``split`` is 0, 1 or 2 for train, valid and test, or None.

    Example:
        >>> Edge("rome", "in", "italy", None).tail
        'italy'
    """

    head: str
    relation: str
    tail: str
    split: int | None


def text_edges(
    data: bytes,
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, int | str | None],
    delimiter: str | None = None,
    header: bool | None = None,
    comment: str | None = "#",
    one_relation: str = "edge",
) -> Iterator[Edge]:
    """The edges in the content of a text file, see :meth:`EdgeTable.read`.

    Raises:
        UserError: naming file and line.
    """
    names, rows = text_table(data, path, columns=columns, delimiter=delimiter, header=header, comment=comment)
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        raise UserError(f"{path} holds no edge; expected one a line: head, relation, tail, or head, tail")
    place = choose_columns(names, len(first[1]), columns, str(path))
    rest: list[tuple[int, list[str]]] = []
    if names is None and len(first[1]) == 3 and not any(column is not None for column in columns.values()):
        rest = [row for row, _ in zip(rows, range(_SAMPLE), strict=False)]
        _refuse_weights([first, *rest], path)
    edges = _edges([first, *rest], rows, place, one_relation, path)
    if names is None and header is None:
        edges = _noticing_header(edges, first[0], place, path)
    yield from edges


def _edges(
    begin: Sequence[tuple[int, list[str]]],
    rows: Iterator[tuple[int, list[str]]],
    place: Columns,
    one_relation: str,
    path: str | os.PathLike[str],
) -> Iterator[Edge]:
    for chunk in (begin, rows):
        for number, row in chunk:
            head, tail = row[place.head], row[place.tail]
            relation = one_relation if place.relation is None else row[place.relation]
            if not (head and tail and relation):
                empty = "head" if not head else "tail" if not tail else "relation"
                raise UserError(f"{path}, line {number}: the {empty} is empty")
            split = None if place.split is None else split_number(row[place.split], f"{path}, line {number}")
            yield Edge(head, relation, tail, split)


def _noticing_header(
    edges: Iterator[Edge], line: int, place: Columns, path: str | os.PathLike[str]
) -> Iterator[Edge]:
    """The edges; a warning behind them where the first one seems to be a header in words that are not known.

    No word of a header occurs again. Without relations, an edge apart from all others may look like that, so there all other
    names have to have digits, and those of the first line none.
    """
    first = next(edges)
    yield first
    words = {first.head, first.tail} if place.relation is None else {first.head, first.relation, first.tail}
    apart = place.relation is not None or not _DIGIT.search(first.head + first.tail)
    count = 1
    for edge in edges:
        yield edge
        count += 1
        apart = apart and not (edge.head in words or edge.relation in words or edge.tail in words)
        apart = apart and (place.relation is not None or bool(_DIGIT.search(edge.head) and _DIGIT.search(edge.tail)))
        if not apart:
            yield from edges
            return
    if apart and count >= _ENOUGH:
        names = [("head", first.head), ("relation", first.relation), ("tail", first.tail)]
        named = ", ".join(f"{role} {word!r}" for role, word in names if role != "relation" or place.relation is not None)
        warnings.warn(
            f"{path}: line {line} looks like a header, as none of its words occurs again, but is read as an edge; name the columns "
            f"({named}), or say header=False where it is an edge",
            DataWarning,
            stacklevel=2,
        )


def text_table(
    data: bytes,
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, int | str | None],
    delimiter: str | None = None,
    header: bool | None = None,
    comment: str | None = "#",
) -> tuple[list[str] | None, Iterator[tuple[int, list[str]]]]:
    """The header, if there is one, and the rows (line number, fields) of a text file; all rows are equally long."""
    lines = text_lines(data, path)
    kept = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    comments = [] if comment is None else [one for one in kept if one[1].lstrip().startswith(comment)]
    if comments:
        kept = [one for one in kept if not one[1].lstrip().startswith(str(comment))]
    if not kept:
        return None, iter(())
    between = delimiter_of(path, [line for _, line in kept[:_SAMPLE]], delimiter)
    rows = _rows(kept, between, path)
    first = next(rows)
    _warn_of_comments(comments, kept[0][0], between, len(first[1]), comment, path)
    named = header
    if header is None:
        named = is_header(first[1]) or any(isinstance(column, str) for column in columns.values())
    names = first[1] if named else None
    return names, rows if named else _chained(first, rows)


def _chained(first: tuple[int, list[str]], rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rows


def delimiter_of(path: str | os.PathLike[str], lines: Sequence[str], asked: str | None) -> str | None:
    """What stands between the fields: as asked for, by the ending of the file, or by its first lines; None: blanks.

    Raises:
        UserError: for a delimiter that is neither one character nor a known word.

    Example:
        >>> delimiter_of("x.csv", ["a;r;b"], None), delimiter_of("x.txt", ["a r b"], None)
        (';', None)
    """
    if asked is not None:
        if asked in DELIMITERS:
            return DELIMITERS[asked]
        if len(asked) == 1 and asked not in '"\n\r':
            return None if asked == " " else asked
        raise UserError(f"{nearest(asked, DELIMITERS, 'delimiter')} (or any single character)")
    name = os.fspath(path).lower().removesuffix(".gz")
    if name.endswith((".tsv", ".tab")):
        return "\t"
    candidates = [",", ";", "\t"] if name.endswith(".csv") else ["\t", ",", ";", "|", None]
    for candidate in candidates:
        widths = {len(_split(line, candidate)) for line in lines}
        if len(widths) == 1 and widths.pop() > 1:
            return candidate
    # no candidate fits all lines: take one that fits the first, and let the bad line be named
    return next((candidate for candidate in candidates if len(_split(lines[0], candidate)) > 1), candidates[0])


def _split(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []


def _rows(
    numbered: Sequence[tuple[int, str]], delimiter: str | None, path: str | os.PathLike[str]
) -> Iterator[tuple[int, list[str]]]:
    """Fields of each line, without the blanks around them."""
    tabs = delimiter == "\t"
    # Between tabs a quote may belong to a name ("Weird Al" Yankovic): only a field quoted as a whole is unquoted.
    lines = (line for _, line in numbered)
    reader = csv.reader(
        lines,
        delimiter=delimiter or " ",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        strict=True,
        skipinitialspace=not tabs,
    )
    width = 0
    for index, (number, line) in enumerate(numbered, start=1):
        if delimiter is None:
            row = line.split()
        else:
            try:
                row = [field.strip() for field in next(reader)]
            except csv.Error as error:
                fault = "a quoted field does not end" if "unexpected end" in str(error) else str(error)
                raise UserError(f"{path}, line {number}: {fault}; double the quotes inside quoted fields") from None
            if reader.line_num != index:
                raise UserError(f"{path}, line {number}: a quoted field does not end on its line")
            if tabs and '"' in line:
                row = [_unquoted(field) for field in row]
        width = width or len(row)
        if len(row) != width:
            columns = "one column" if len(row) == 1 else f"{len(row)} columns"
            raise UserError(
                f"{path}, line {number}: found {columns}, expected {width} as in the lines before, separated by "
                f"{_words(delimiter)}"
            )
        yield number, row


def _unquoted(field: str) -> str:
    inner = field[1:-1]
    if len(field) >= 2 and field[0] == field[-1] == '"' and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"').strip()
    return field


def _words(delimiter: str | None) -> str:
    return {"\t": "tabs", ",": "commas", ";": "semicolons", None: "blanks"}.get(delimiter, repr(delimiter))


def _refuse_weights(rows: Sequence[tuple[int, list[str]]], path: str | os.PathLike[str]) -> None:
    """Three columns without a header may be source, target, weight; read as head, relation, tail they are nonsense."""
    if all(_WEIGHT.fullmatch(row[2]) for _, row in rows):
        raise UserError(
            f"{path}: the third column holds decimal numbers, so it seems to be a weight and no tail; say which columns "
            "are what, from 0: head=0, tail=1 (or head=0, relation=1, tail=2 where they are names)"
        )


def _warn_of_comments(
    comments: Sequence[tuple[int, str]],
    begin: int,
    delimiter: str | None,
    width: int,
    comment: str | None,
    path: str | os.PathLike[str],
) -> None:
    """Lines that look like data may be data: names such as hashtags begin with # too."""
    doubtful = [number for number, line in comments if number > begin and len(_split(line, delimiter)) == width]
    if doubtful:
        warnings.warn(
            f"{path}: {len(doubtful)} lines after the first edge, such as line {doubtful[0]}, begin with {comment!r} and "
            "are left out as comments, but look like edges; comment=None reads them",
            DataWarning,
            stacklevel=2,
        )
