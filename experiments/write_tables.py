"""Write the result tables of README.md and the documentation from the committed results.

    python experiments/write_tables.py            rewrite the tables
    python experiments/write_tables.py --check    change nothing; exit status 1 and a diff where a table is out of date

A table stands between the lines `<!-- results:begin -->` and `<!-- results:end -->`; the first may name the experiments
to show, as in `<!-- results:begin nbfnet/* -->`, and ask for one line an experiment: `<!-- results:begin * headlines -->`, or
for the lines with a published figure alone: `<!-- results:begin * compared -->`.
README.md must hold one; pages under docs/ may. experiments/README.md is written as a whole: every experiment with its
command, its budget and whether it was run. Figures come from experiments/results/*.jsonl, what to compare them with from
experiments/*/*.yaml.
"""

from __future__ import annotations

import argparse
import difflib
import fnmatch
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from experiments.committed import committed  # noqa: E402
from experiments.overview import NOTICE, leading, overview, shown_rows  # noqa: E402
from graphkit.engine.result_table import VERDICT_RULE, Row  # noqa: E402
from graphkit.engine.table_formats import COLUMNS, cells, markdown_table, numeric_columns  # noqa: E402
from graphkit.errors import UserError  # noqa: E402
from graphkit.files import atomic_write  # noqa: E402

BEGIN = re.compile(r"^<!-- results:begin(?: +(?P<pattern>\S+))?(?: +(?P<kind>headlines|compared))? -->[ \t]*$", re.MULTILINE)
END = re.compile(r"^<!-- results:end -->[ \t]*$", re.MULTILINE)


def experiments(root: Path) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Configuration and committed results of every experiment by name; those on a graph of one's own are left out.

    Raises:
        UserError: as :func:`experiments.committed.committed`.
    """
    return {name: (one.config, one.results) for name, one in committed(root).items() if not one.own_data}


def table(root: Path, pattern: str = "*", kind: str | None = None) -> str:
    """The result table (test split) of the experiments whose name matches a pattern, in Markdown.

    It holds the metrics that a published figure is given for, and MRR, Hits@1, Hits@10 and Hits@10(50); an experiment with
    none of these shows all its metrics. With ``"headlines"``, one line for each experiment that has run, and the names of
    those that have not; with ``"compared"``, those lines of them that have a published figure, and how many there are of each.
    """
    rows: list[Row] = []
    waiting: list[str] = []
    for name, experiment in committed(root).items():
        if fnmatch.fnmatchcase(name, pattern) and not experiment.own_data:
            shown = shown_rows(name, experiment)
            if kind is None:
                rows += shown
            elif experiment.results:
                rows.append(leading(shown))
            else:
                waiting.append(name)
    if not rows and not waiting:
        raise UserError(
            f"no experiment matches {pattern!r}; expected one under {root / 'experiments'}/<method>/<data>.yaml"
        )
    if kind == "compared":
        without, rows = sum(row.paper is None for row in rows), [row for row in rows if row.paper is not None]
    header = [column.capitalize() for column in COLUMNS]
    text = f"{markdown_table(header, [cells(row) for row in rows], numeric_columns())}\n\n{VERDICT_RULE}"
    if kind == "compared":
        verdicts = Counter(row.verdict for row in rows)
        counts = ", ".join(f"{verdict} {verdicts[verdict]}" for verdict in sorted(verdicts))
        return (
            f"{text}\n\nOf these {len(rows)}: {counts}. Run without a published figure: {without}. Not run: {len(waiting)}. "
            "[docs/results.md](docs/results.md) names them all."
        )
    return f"{text}\n\nNot run: {', '.join(waiting)}." if waiting else text


def rewrite(text: str, root: Path, where: str) -> str:
    """A page's text with each table between the markers written anew.

    Raises:
        UserError: where a marker is missing its partner.
    """
    written, position = [], 0
    for begin in BEGIN.finditer(text):
        end = END.search(text, begin.end())
        another = BEGIN.search(text, begin.end())
        if end is None or (another is not None and another.start() < end.start()):
            line = text.count("\n", 0, begin.start()) + 1
            raise UserError(
                f"{where}, line {line}: '<!-- results:begin -->' without '<!-- results:end -->' on a line below it"
            )
        shown = table(root, begin["pattern"] or "*", begin["kind"])
        written.append(f"{text[position : begin.end()]}\n{NOTICE}\n\n{shown}\n\n")
        position = end.start()
    return "".join(written) + text[position:]


def pages(root: Path) -> list[Path]:
    """README.md and the pages under docs/ that hold a marker.

    Raises:
        UserError: where README.md is missing or holds no marker.
    """
    readme = root / "README.md"
    if not readme.is_file():
        raise UserError(f"{readme} is missing; it holds the result table")
    if BEGIN.search(readme.read_text("utf-8")) is None:
        raise UserError(
            f"{readme} holds no result table; put '<!-- results:begin -->' and '<!-- results:end -->' on lines of "
            "their own where it shall stand"
        )
    docs = sorted((root / "docs").rglob("*.md"))
    return [readme, *(page for page in docs if BEGIN.search(page.read_text("utf-8")))]


def outdated(root: Path) -> dict[Path, tuple[str, str]]:
    """Pages that differ from what the results give: (text as it stands, text as it should be)."""
    texts = {page: page.read_text("utf-8") for page in pages(root)}
    fresh = {page: rewrite(text, root, page.relative_to(root).as_posix()) for page, text in texts.items()}
    listed = root / "experiments" / "README.md"
    texts[listed] = listed.read_text("utf-8") if listed.is_file() else ""
    fresh[listed] = overview(root)
    return {page: (texts[page], fresh[page]) for page in texts if texts[page] != fresh[page]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; the exit status."""
    parser = argparse.ArgumentParser(
        description="Write the result tables of README.md and docs/ from the committed results."
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail and show a diff where a table is out of date"
    )
    parser.add_argument("--root", type=Path, default=ROOT, help="top of the checkout (default: this one)")
    options = parser.parse_args(arguments)
    try:
        changes = outdated(options.root)
        for page, (before, after) in changes.items():
            name = page.relative_to(options.root).as_posix()
            if options.check:
                sys.stdout.writelines(
                    difflib.unified_diff(
                        before.splitlines(True), after.splitlines(True), name, f"{name} (from the results)"
                    )
                )
            else:
                with atomic_write(page) as file:
                    file.write(after.encode("utf-8"))
                print(f"{name}: written")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    if options.check and changes:
        print("result tables are out of date; run: python experiments/write_tables.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
