"""``graphkit report``."""

from __future__ import annotations

import sys
from pathlib import Path

from graphkit.cli.parser import CommandParser
from graphkit.errors import UserError, nearest

__all__ = ["main"]

_FORMATS = ("md", "csv", "json", "html", "ogb")


def main(words: list[str]) -> int:
    """Print or write the result table over runs."""
    parser = CommandParser("report")
    parser.add_argument(
        "run_dirs",
        nargs="*",
        metavar="RUN_DIR",
        help="what graphkit run wrote; with --all folders of runs (default: runs)",
    )
    parser.add_argument(
        "--all", action="store_true", help="one page over all runs in and below the folders, by data set"
    )
    parser.add_argument(
        "--format",
        default="md",
        metavar="FORMAT",
        help="md, csv, json, html, or ogb: the form of OGB's leaderboards (default: md)",
    )
    parser.add_argument("--out", metavar="FILE", help="write to a file rather than standard output")
    arguments = parser.parse(words)
    if arguments.format not in _FORMATS:
        raise UserError(nearest(arguments.format, _FORMATS, "format"))

    if arguments.all and arguments.format == "ogb":
        raise UserError("--all has no form for OGB; give the folder of one run and --format ogb")
    if not arguments.run_dirs and not arguments.all:
        raise UserError(
            "name a run directory, or pass --all for all runs in and below runs (see graphkit report --help)"
        )

    from graphkit.engine.report import render
    from graphkit.engine.report_all import render_all
    from graphkit.engine.run_directory import writing

    text = (
        render_all(arguments.run_dirs or ["runs"], arguments.format)
        if arguments.all
        else render(arguments.run_dirs, arguments.format)
    )
    if arguments.out is None:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    else:
        with writing(Path(arguments.out)) as file:
            file.write(text.encode("utf-8"))
    return 0
