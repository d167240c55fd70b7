"""``graphkit analyze``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from graphkit.cli.parser import CommandParser
from graphkit.cli.tables import console, pairs, print_table

if TYPE_CHECKING:
    from graphkit.engine.report_blocks import Section

__all__ = ["main"]


def main(words: list[str]) -> int:
    """Print what a graph is like, where link prediction fails on it, or how far its labels and a model look."""
    parser = CommandParser("analyze")
    parser.add_argument("name", metavar="NAME", help="a data set, a file of edges, or what graphkit run wrote")
    parser.add_argument("--task", metavar="TASK", help="of a data set, link or node (default: link)")
    parser.add_argument("--html", metavar="FILE", help="write the analysis with its plots to one HTML file")
    parser.add_argument(
        "--hops", type=int, default=1, metavar="K", help="hops of topological concentration (default: 1)"
    )
    parser.add_argument("--norm", metavar="NORM", help="its norm: source, product, min or union (default: source)")
    parser.add_argument("--approximate", action="store_true", help="estimate it from random features")
    parser.add_argument("--k", type=int, default=20, metavar="K", help="cut-off of the metrics (default: 20)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="SEED", help="seed of what is drawn at random (default: 0)"
    )
    parser.add_argument(
        "--try", dest="minutes", type=float, default=0.0, metavar="MINUTES", help="train the recommended models on validation"
    )
    parser.add_argument("--split", metavar="A/B/C", help="percentages of train, valid and test (default: 85/5/10)")
    parser.add_argument("--split_seed", type=int, metavar="SEED", help="seed of that split (default: 0)")
    parser.add_argument("--root", metavar="DIR", help="folder with files of data sets in the public layout")
    for column in ("head", "tail", "relation", "delimiter"):
        parser.add_argument(f"--{column}", metavar="TEXT", help=f"{column} of a file of edges, see graphkit run --data")
    arguments = parser.parse(words)

    from graphkit.engine.analysis_sections import analysis_headline, analysis_sections
    from graphkit.engine.analysis_subject import subject_of
    from graphkit.engine.report_html import html_page
    from graphkit.engine.run_directory import writing

    subject = subject_of(
        arguments.name, root=arguments.root, task=arguments.task, split=arguments.split, split_seed=arguments.split_seed,
        columns={key: _column(getattr(arguments, key)) for key in ("head", "tail", "relation", "delimiter")},
        hops=arguments.hops, norm=arguments.norm, approximate=arguments.approximate, k=arguments.k, seed=arguments.seed,
        minutes=arguments.minutes,
    )  # fmt: skip
    sections = analysis_sections(subject)
    if arguments.html is not None:  # first, for a reader of the text may leave early
        with writing(Path(arguments.html)) as file:
            file.write(html_page(analysis_headline(subject), sections).encode("utf-8"))
    for section in sections:
        _show(section)
    if arguments.html is not None:
        console().print(f"with plots: {arguments.html}", markup=False)
    return 0


def _column(text: str | None) -> str | int | None:
    """A column by number where the text is one."""
    return int(text) if text is not None and text.isdecimal() else text


def _show(section: Section) -> None:
    from graphkit.engine.report_blocks import Code, Paragraph, Table

    sys.stdout.write(f"{section.title}\n{'-' * len(section.title)}\n")
    for block in section.blocks:
        if isinstance(block, Table) and not any(block.header):
            pairs(block.caption, [(row[0], row[1]) for row in block.rows])
        elif isinstance(block, Table):
            columns = [f"{name}>" if place in block.numeric else name for place, name in enumerate(block.header)]
            print_table(columns, block.rows, block.caption or None)
        elif isinstance(block, (Code, Paragraph)):
            sees = f" (see {', '.join(block.sees)})" if isinstance(block, Paragraph) and block.sees else ""
            console().print(block.text + sees, markup=False, width=100)
            sys.stdout.write("\n")
