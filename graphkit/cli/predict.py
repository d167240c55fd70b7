"""``graphkit predict``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphkit.cli.parser import CommandParser
from graphkit.cli.tables import console, print_table
from graphkit.errors import UserError, nearest

__all__ = ["main"]

_EPILOG = """\
graphkit predict runs/umls --head virus --relation causes
graphkit predict runs/umls --relation causes --tail virus --k 3
graphkit predict runs/umls --queries queries.tsv --out answers.csv

A query file has a query a line, tabs between the fields and ? for what is asked:
head<TAB>relation<TAB>? or ?<TAB>relation<TAB>tail. Lines that are no such query are named on standard error, the others
are answered, and the exit status is 2."""


def main(words: list[str]) -> int:
    """Print or write the entities that complete triples."""
    parser = CommandParser("predict", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", metavar="RUN_DIR", help="what graphkit run wrote")
    parser.add_argument("--head", metavar="NAME", help="known head; tails are asked for")
    parser.add_argument("--tail", metavar="NAME", help="known tail; heads are asked for")
    parser.add_argument("--relation", metavar="NAME", help="the relation; a name with ^-1 at its end means the inverse")
    parser.add_argument("--queries", metavar="FILE", help="answer the queries of a file (- for standard input)")
    parser.add_argument("--k", type=int, default=10, metavar="K", help="answers to each query (default: 10)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--filtered", action="store_true", help="leave known facts out (the default)")
    which.add_argument("--all", action="store_true", help="known facts too, marked as such")
    parser.add_argument("--split", default="test", metavar="SPLIT", help="whose message graph (default: test)")
    parser.add_argument("--seed", type=int, metavar="SEED", help="whose weights (default: the best on validation)")
    parser.add_argument("--device", metavar="DEVICE", help="cpu or cuda")
    parser.add_argument("--out", metavar="FILE", help="write a .csv or .json file rather than a table")
    arguments = parser.parse(words)
    content = _asked(arguments)
    write = _writer(arguments.out)

    from graphkit.engine.predictions import answers, check_predicts, read_queries
    from graphkit.engine.recorded import recorded_run

    model, task, _ = recorded_run(arguments.run_dir, arguments.seed, arguments.device)
    check_predicts(model, task)
    found: list[tuple[int | None, Any]] = [(None, (arguments.head, arguments.relation, arguments.tail))]
    faults: list[tuple[int, str]] = []
    if content is not None:
        found, faults = read_queries(content, task, arguments.split)  # type: ignore[assignment]
    for number, fault in faults:
        sys.stderr.write(f"graphkit: {arguments.queries}, line {number}: {fault}\n")
    queries, options = [query for _, query in found], {"filtered": not arguments.all, "split": arguments.split}
    entries = answers(model, task, queries, arguments.k, **options, progress=_progress())
    for entry, (line, _) in zip(entries, found, strict=True):
        if line is not None:
            entry["line"] = line
    if write is None:
        _show(entries, arguments.all)
    else:
        write(entries)
        console().print(
            f"{arguments.out}: {sum(len(entry['top']) for entry in entries)} answers to {len(entries)} queries"
        )
    return 2 if faults else 0


def _asked(arguments: argparse.Namespace) -> bytes | None:
    """The query file, or None where the query stands on the command line."""
    single = arguments.head is not None, arguments.relation is not None, arguments.tail is not None
    if arguments.queries is None:
        if single not in ((True, True, False), (False, True, True)):
            raise UserError("name a query: --head and --relation, or --relation and --tail, or --queries FILE")
        return None
    if any(single):
        raise UserError("--queries takes its queries from a file; leave --head, --relation and --tail out")
    if arguments.queries == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(arguments.queries).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {arguments.queries}: {error.strerror or error}") from error


def _writer(out: str | None) -> Callable[[list[dict[str, Any]]], None] | None:
    if out is None:
        return None
    path = Path(out)
    if path.suffix not in (".csv", ".json"):
        raise UserError(f"{nearest(path.suffix, ('.csv', '.json'), 'ending')} (--out {out})")

    def write(entries: list[dict[str, Any]]) -> None:
        from graphkit.engine.predictions import answers_csv, answers_json
        from graphkit.engine.run_directory import writing

        with writing(path) as file:
            file.write((answers_csv if path.suffix == ".csv" else answers_json)(entries).encode("utf-8"))

    return write


def _show(entries: list[dict[str, Any]], with_known: bool) -> None:
    rows = []
    for entry in entries:
        triple = ["?" if name is None else name for name in entry["query"].values()]
        for rank, row in enumerate(entry["top"], start=1):
            known = ["yes" if row["known"] else ""] if with_known else []
            rows.append([*(triple if rank == 1 else ("", "", "")), rank, row["entity"], f"{row['score']:.4f}", *known])
        if not entry["top"]:
            rows.append([*triple, "", "(no candidate is left)", "", *([""] if with_known else [])])
    if rows:
        print_table(("head", "relation", "tail", "rank>", "entity", "score>", *(["known"] if with_known else [])), rows)


def _progress() -> Callable[[int, int], None] | None:
    """On a terminal, a line that is rewritten with every batch; nothing where one batch is enough."""
    if not sys.stderr.isatty():
        return None
    batches = 0

    def progress(done: int, total: int) -> None:
        nonlocal batches
        batches += 1
        if batches > 1 or done < total:
            sys.stderr.write(f"\r{done} of {total} queries" + ("\n" if done == total else ""))
            sys.stderr.flush()

    return progress
