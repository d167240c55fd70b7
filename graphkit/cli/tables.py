"""Tables for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from graphkit.engine.result_table import Row

__all__ = ["console", "pairs", "print_table", "result_table"]


def console() -> Console:
    """Standard output, wide enough for whole lines when it is not a terminal."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=240)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print a table; columns whose name ends in ``>`` are right-aligned."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    console().print(table)


def pairs(title: str, rows: Iterable[tuple[str, Any]]) -> None:
    """Print a table of names and values."""
    table = Table(title=title, box=box.SIMPLE, title_justify="left", pad_edge=False, show_header=False, show_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(escape(name), escape("" if value is None else str(value)))
    console().print(table, "")


def result_table(rows: Iterable[Row], title: str) -> None:
    """Print rows of the result table: ours beside the paper's figure and beside cited baselines."""
    cells = []
    for row in rows:
        cells.append(
            (
                row.metric,
                row.label or "paper",
                None if row.paper is None else f"{row.paper:.{row.paper_decimals}f}",
                _ours(row),
                row.n if row.n == row.planned else f"{row.n} of {row.planned}",
                None if row.difference is None else f"{row.difference:+.{row.decimals}f}",
                row.verdict,
            )
        )
    if any(cell[2] is not None for cell in cells):
        print_table(("metric", "beside", "published>", "ours>", "seeds>", "difference>", "verdict"), cells, title)
    else:
        print_table(("metric", "ours>", "seeds>"), [(cell[0], cell[3], cell[4]) for cell in cells], title)


def _ours(row: Row) -> str | None:
    if row.ours is None:
        return None
    spread = "" if row.std is None else f" ± {row.std:.{row.decimals}f}"
    return f"{row.ours:.{row.decimals}f}{spread}"
