"""One page over all runs below a folder, grouped by data set."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from graphkit.engine.report import told_apart
from graphkit.engine.report_blocks import Headline, Paragraph, Section, Table, markdown_page
from graphkit.engine.report_html import html_page
from graphkit.engine.report_sections import result_blocks, selected
from graphkit.engine.result_table import VERDICT_RULE, Row, result_rows
from graphkit.engine.run_record import RunRecord, read_run
from graphkit.engine.table_formats import COLUMNS, cells, judged, rows_csv, rows_json
from graphkit.errors import UserError, nearest

__all__ = ["find_runs", "render_all"]

_FORMATS = ("md", "html", "csv", "json")
_OVERVIEW = ("data", "experiment", "metric", "paper", "ours", "difference", "verdict")


def find_runs(folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Run directories in or below folders: those with a ``results.jsonl``, or with ``config.yaml`` and
    ``environment.json`` where nothing has finished yet.

    Folders inside a run directory, and those whose name begins with a dot, are not looked into. Links are not followed.

    Args:
        folders: one folder or several.

    Raises:
        UserError: where a folder does not exist.

    Example:
        >>> import tempfile
        >>> top = Path(tempfile.mkdtemp())
        >>> (top / "nbfnet" / "umls").mkdir(parents=True)
        >>> _ = (top / "nbfnet" / "umls" / "results.jsonl").write_text("")
        >>> [run.relative_to(top).as_posix() for run in find_runs(top)]
        ['nbfnet/umls']
    """
    tops = [Path(folders)] if isinstance(folders, (str, os.PathLike)) else [Path(folder) for folder in folders]
    found: dict[Path, None] = {}
    for top in tops:
        if not top.is_dir():
            raise UserError(f"{top} is not a folder; give one that holds what `graphkit run` wrote, such as runs")
        for place, below, files in os.walk(top):
            below[:] = sorted(name for name in below if not name.startswith("."))
            if "results.jsonl" in files or {"config.yaml", "environment.json"} <= set(files):
                found[Path(place)] = None
                below.clear()
    return list(found)


def render_all(folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], format: str = "md") -> str:
    """One page over all runs in or below folders: an overview with verdicts, then the test results of each data set.

    A run that has no result yet or is damaged does not stop the page; it stands at its end with the reason.

    Args:
        folders: one folder or several.
        format: ``"md"`` or ``"html"`` (a page that stands alone); ``"csv"`` and ``"json"`` hold the rows of all splits in
            full precision.

    Raises:
        UserError: for an unknown format, a folder that does not exist, or no run with a result.

    Example:
        >>> print(render_all("runs"))           # doctest: +SKIP
    """
    if format not in _FORMATS:
        raise UserError(nearest(format, _FORMATS, "format"))
    runs, faults = [], []
    for folder in find_runs(folders):
        try:
            runs.append(read_run(folder))
        except UserError as error:
            faults.append((folder.as_posix(), str(error)))
    if not runs:
        said = f"; {faults[0][1]}" if faults else ""
        raise UserError(f"no run with a result below {_named(folders)}{said}")
    runs = sorted(told_apart(runs), key=lambda run: run.name)
    if format in ("csv", "json"):
        rows = [row for run in runs for split in _splits(run) for row in _rows(run, split)]
        return (rows_csv if format == "csv" else rows_json)(rows)
    title, sections = _page(runs, faults)
    return markdown_page(title, sections, plots={}) if format == "md" else html_page(title, sections)


def _page(runs: Sequence[RunRecord], faults: Sequence[tuple[str, str]]) -> tuple[Headline, list[Section]]:
    by_data: dict[str, list[list[Row]]] = {}
    leading: list[Row] = []
    for run in runs:
        rows = _rows(run, "test")
        if not any(row.n for row in rows):
            faults = [*faults, (run.folder.as_posix(), "no result on the test split")]
            continue
        leading.append(selected(run, rows))
        by_data.setdefault(rows[0].data or "unnamed data", []).append(rows)
    sections = []
    if leading:
        sections.append(_overview(sorted(leading, key=lambda row: (row.data, row.experiment))))
    for data in sorted(by_data):
        rows = [row for group in by_data[data] for row in group]
        sections.append(Section(data, result_blocks(rows, leave_out=("data",))[:1]))
    if faults:
        sections.append(Section("Not shown", [Table(["Folder", "Why"], [list(fault) for fault in faults])]))
    count = len(leading)
    return Headline(f"{count} run{'' if count == 1 else 's'} on {_counted(len(by_data), 'data set')}"), sections


def _overview(rows: Sequence[Row]) -> Section:
    """The leading metric of every run, and how many verdicts there are of each kind."""
    count = Counter(judged(row) for row in rows)
    shown = [dict(zip(COLUMNS, cells(row), strict=True)) for row in rows]
    table = Table(
        [column.capitalize() for column in _OVERVIEW],
        [[line[column] for column in _OVERVIEW] for line in shown],
        [_OVERVIEW.index(column) for column in ("paper", "ours", "difference")],
        _OVERVIEW.index("verdict"),
    )
    said = ", ".join(f"{number} {verdict}" for verdict, number in count.most_common())
    words = f"The leading metric of each run on the test split: {said}."
    return Section("Overview", [Paragraph(words), table, Paragraph(VERDICT_RULE, note=True)])


def _rows(run: RunRecord, split: str) -> list[Row]:
    return result_rows(run.name, run.config, run.results, split=split)


def _splits(run: RunRecord) -> list[str]:
    return sorted({line["split"] for line in run.results}, key=lambda split: (split != "test", split))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _named(folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> str:
    many = [folders] if isinstance(folders, (str, os.PathLike)) else list(folders)
    return ", ".join(str(folder) for folder in many)
