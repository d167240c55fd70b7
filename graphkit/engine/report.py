"""Reports of runs: a page per run, and one table over several runs."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from graphkit.engine.ogb_submission import submission_forms
from graphkit.engine.report_blocks import Drawing, Headline, Section, markdown_page
from graphkit.engine.report_html import html_page
from graphkit.engine.report_sections import headline, result_blocks, sections
from graphkit.engine.result_table import Row, result_rows
from graphkit.engine.run_record import RunRecord, read_run
from graphkit.engine.table_formats import rows_csv, rows_json
from graphkit.errors import UserError, nearest
from graphkit.files import atomic_write

__all__ = ["render", "told_apart", "write_report"]


def write_report(run_dir: str | os.PathLike[str]) -> Path:
    """Write ``report.md``, its plots (``plots/*.png``) and ``report.html`` into a run directory.

    The same run gives the same files, byte for byte. Without matplotlib the plots are left out and the report says so.

    Args:
        run_dir: what ``graphkit run`` or ``graphkit.fit(..., out=...)`` wrote; an unfinished run is shown with the
            seeds it has.

    Returns:
        Path of ``report.html``.

    Raises:
        UserError: where the folder is no run directory or one of its files is damaged.

    Example:
        >>> write_report("runs/nbfnet/umls").name       # doctest: +SKIP
        'report.html'
    """
    run = read_run(run_dir)
    leading, parts = headline(run), sections(run)
    plots = {}
    for block in (block for part in parts for block in part.blocks):
        if isinstance(block, Drawing):
            plots[block.name] = f"plots/{block.name}.png"
            with atomic_write(run.folder / plots[block.name]) as file:
                file.write(block.plot.png)
    for name, text in (
        ("report.md", markdown_page(leading, parts, plots=plots)),
        ("report.html", html_page(leading, parts)),
    ):
        with atomic_write(run.folder / name) as file:
            file.write(text.encode("utf-8"))
    return run.folder / "report.html"


def render(run_dirs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], format: str = "md") -> str:
    """The result table over one or several runs; for a single run and ``"html"`` its whole report.

    Args:
        run_dirs: run directories; where two bear the same name of an experiment, the folder is added to it.
        format: ``"md"``, ``"html"`` (a page that stands alone), ``"csv"`` and ``"json"`` (full precision,
            all splits), or ``"ogb"`` (the form of OGB's leaderboards, see
            :func:`graphkit.engine.ogb_submission.submission_forms`).

    Raises:
        UserError: for an unknown format, no run at all, a folder that is no run directory, or a damaged file.

    Example:
        >>> print(render(["runs/nbfnet/umls", "runs/distmult/umls"]))      # doctest: +SKIP
    """
    known: dict[str, Callable[[Sequence[Row]], str]] = {
        "md": _markdown,
        "html": _html,
        "csv": rows_csv,
        "json": rows_json,
    }
    if format not in (*known, "ogb"):
        raise UserError(nearest(format, (*known, "ogb"), "format"))
    folders = [run_dirs] if isinstance(run_dirs, (str, os.PathLike)) else list(run_dirs)
    if not folders:
        raise UserError("no run directory given; give at least one folder that `graphkit run` wrote")
    if format == "ogb":
        return submission_forms(folders)
    runs = told_apart([read_run(folder) for folder in folders])
    if format == "html" and len(runs) == 1:
        return html_page(headline(runs[0]), sections(runs[0]))
    splits = sorted({line["split"] for run in runs for line in run.results} | {"test"}, key=lambda s: (s != "test", s))
    rows = [
        row for split in splits for run in runs for row in result_rows(run.name, run.config, run.results, split=split)
    ]
    return known[format]([row for row in rows if row.n or row.split == "test"])


def told_apart(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Runs with names of their own: where two bear the same name, the folder is added to it.

    Example:
        >>> [run.name for run in told_apart([RunRecord(Path(f), "umls", {}, "", []) for f in ("a", "b")])]
        ['umls (a)', 'umls (b)']
    """
    count = Counter(run.name for run in runs)
    return [
        run if count[run.name] == 1 else dataclasses.replace(run, name=f"{run.name} ({run.folder.as_posix()})")
        for run in runs
    ]


def _markdown(rows: Sequence[Row]) -> str:
    return markdown_page(_title(rows), _tables(rows), plots={})


def _html(rows: Sequence[Row]) -> str:
    return html_page(_title(rows), _tables(rows))


def _title(rows: Sequence[Row]) -> Headline:
    runs = len({row.experiment for row in rows})
    return Headline(f"{runs} runs" if runs > 1 else rows[0].experiment)


def _tables(rows: Sequence[Row]) -> list[Section]:
    titles = {"test": "Result", "valid": "Validation"}
    return [
        Section(titles.get(split, f"Split {split}"), result_blocks([row for row in rows if row.split == split]))
        for split in dict.fromkeys(row.split for row in rows)
    ]
