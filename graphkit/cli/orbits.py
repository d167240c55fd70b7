"""``graphkit orbits``."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphkit.cli.parser import CommandParser
from graphkit.cli.tables import console
from graphkit.errors import SaidByFirst, UserError

if TYPE_CHECKING:
    from graphkit.data import EdgeTable
    from graphkit.engine.distributed import OneProcess
    from graphkit.ops import SimpleGraph

__all__ = ["main"]

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def main(words: list[str]) -> int:
    """Count orbits on the edges of a file: of nodes, of edges, or as matrices of pairs."""
    parser = CommandParser("orbits")
    parser.add_argument("edges", metavar="EDGES", help="file of edges: .tsv, .csv, text, .graphml, .parquet; also .gz")
    parser.add_argument(
        "--out", required=True, metavar="FILE",
        help="FILE.npz; FILE.tsv or FILE.csv for counts of nodes; a folder gets matrices in blocks of rows and can be"
        " gone on with by the same command",
    )  # fmt: skip
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--counts", action="store_true", help="how often each node lies on each of 15 orbits (default)")
    what.add_argument("--edge-counts", action="store_true", help="how often each edge lies on each of 12 edge orbits")
    what.add_argument("--adjacency", metavar="KEYS", help="matrices: all, or keys hop:i:j with commas between them")
    parser.add_argument(
        "--memory", metavar="SIZE", help="for matrices, such as 4G (default: what is free; 256M a folder)"
    )
    parser.add_argument("--head", metavar="COLUMN", help="column of one end of an edge, by name or number from 0")
    parser.add_argument("--tail", metavar="COLUMN", help="column of the other end")
    parser.add_argument("--delimiter", metavar="WORD", help="tab, comma, semicolon, pipe, blanks or a character")
    parser.add_argument(
        "--header", choices=("yes", "no"), help="whether the first line names columns (default: by its look)"
    )
    parser.add_argument(
        "--comment", default="#", metavar="TEXT", help="what begins a line to leave out; '' for nothing"
    )
    arguments = parser.parse(words)
    kind = _kind(arguments.out, arguments.adjacency is not None, arguments.edge_counts)
    if arguments.memory is not None and arguments.adjacency is None:
        raise UserError("--memory is for matrices; give --adjacency KEYS with it")
    memory = None if arguments.memory is None else _bytes(arguments.memory)

    from graphkit.data.orbit_files import parse_keys
    from graphkit.engine import joined

    keys = None if arguments.adjacency is None else parse_keys(arguments.adjacency)
    table = _read(arguments)
    graph, processes = _graph(table), joined()
    if keys is not None and kind == "folder":
        return _write_blocks(table, graph, Path(arguments.out), keys, memory or 2**28, processes)
    out = Path(arguments.out)
    if keys is None:
        processes.on_first(lambda: _write_counts(table, graph, out, kind, arguments.edge_counts))
    elif processes.size > 1:
        raise SaidByFirst("several processes write a folder of blocks; give one with --out")
    else:
        _write_matrices(table, graph, out, keys, memory)
    return 0


def _kind(out: str, matrices: bool, of_edges: bool) -> str:
    """``npz``, ``tsv``, ``csv`` or ``folder``: what is to be written."""
    path = Path(out)
    suffix = path.suffix.lower()
    if path.is_dir() or out.endswith("/") or not suffix:
        if not matrices:
            raise UserError(
                f"--out {out} is a folder, which is for matrices (--adjacency); counts go to a .npz, .tsv or .csv"
            )
        return "folder"
    allowed = (".npz",) if matrices or of_edges else (".npz", ".tsv", ".csv")
    if suffix not in allowed:
        also = ", or a folder (a name without an ending)" if matrices else ""
        raise UserError(f"--out {out} ends in {suffix}, expected {' or '.join(allowed)}{also}")
    return suffix[1:]


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if found is None or float(found[1]) == 0:
        raise UserError(f"--memory {text}: expected a size such as 500M or 4G")
    return int(float(found[1]) * _UNITS[found[2]])


def _read(arguments: Any) -> EdgeTable:
    from graphkit.data import EdgeTable

    columns = {
        name: int(given) if given is not None and given.isdigit() else given
        for name, given in (("head", arguments.head), ("tail", arguments.tail))
    }
    options: dict[str, Any] = {**columns, "delimiter": arguments.delimiter}
    if arguments.header is not None:
        options["header"] = arguments.header == "yes"
    if arguments.comment != "#":
        options["comment"] = arguments.comment or None
    return EdgeTable.read(arguments.edges, **options)


def _graph(table: EdgeTable) -> SimpleGraph:
    from graphkit.ops import SimpleGraph

    return SimpleGraph(table.triples[:, [0, 2]].t().contiguous(), num_nodes=len(table.entities))


def _write_counts(table: EdgeTable, graph: SimpleGraph, out: Path, kind: str, edges: bool) -> None:
    from graphkit.data.orbit_files import save_orbit_counts, write_orbit_table
    from graphkit.engine.run_directory import writing
    from graphkit.ops import edge_orbit_counts, orbit_counts

    with _bar("counting orbits"):
        if edges:
            ends, counts = edge_orbit_counts(graph, num_nodes=graph.num_nodes)
            arrays = {"edges": ends, "counts": counts}
        else:
            counts = orbit_counts(graph, num_nodes=graph.num_nodes)
            arrays = {"counts": counts}
    with writing(out, "give the command again") as file:
        if kind == "npz":
            save_orbit_counts(file, arrays, table.entities, graph)
        else:
            write_orbit_table(file, counts, table.entities, "\t" if kind == "tsv" else ",")
    _say(table, graph, out, "12 edge orbits" if edges else "15 orbits")


def _write_matrices(table: EdgeTable, graph: SimpleGraph, out: Path, keys: list[Any], memory: int | None) -> None:
    from graphkit.data.orbit_files import save_orbit_adjacency
    from graphkit.engine.run_directory import writing
    from graphkit.ops import orbit_adjacency

    with _bar("counting orbits"):
        try:
            found = orbit_adjacency(graph, num_nodes=graph.num_nodes, keys=keys, memory=memory)
        except UserError as error:
            message = str(error).replace(
                "use orbit_adjacency_blocks", "give a folder with --out, which gets blocks of rows"
            )
            raise UserError(message) from None
    with writing(out, "give the command again") as file:
        save_orbit_adjacency(file, found, table.entities, graph)
    _say(table, graph, out, _matrices(keys))


def _write_blocks(
    table: EdgeTable, graph: SimpleGraph, out: Path, keys: list[Any], memory: int, processes: OneProcess
) -> int:
    from graphkit.engine.orbit_blocks import write_orbit_blocks

    try:
        with _bar("rows", processes.first) as progress:
            write_orbit_blocks(
                graph, out, keys=keys, names=table.entities, memory=memory, processes=processes, progress=progress
            )
    except KeyboardInterrupt:
        if processes.first:
            sys.stderr.write(f"graphkit: the blocks written so far stay in {out}; the same command goes on\n")
        raise
    if processes.first:
        _say(table, graph, out, _matrices(keys))
    return 0


def _matrices(keys: list[Any]) -> str:
    return "1 orbit adjacency" if len(keys) == 1 else f"{len(keys)} orbit adjacencies"


def _say(table: EdgeTable, graph: SimpleGraph, out: Path, what: str) -> None:
    dropped = {"self-loops": graph.info.self_loops, "copies": table.duplicates + graph.info.duplicates}
    text = ", ".join(f"{count:,} {name}" for name, count in dropped.items() if count)
    console().print(
        f"{out}: {what} of {graph.num_nodes:,} nodes and {graph.num_edges:,} edges{f' (dropped: {text})' if text else ''}",
        soft_wrap=True,
        markup=False,
    )


@contextlib.contextmanager
def _bar(what: str, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; without a total it only shows that something goes on."""
    if not shown or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None, note="")
        yield lambda done, total: progress.update(task, completed=done, total=total, note=f"{done:,}/{total:,}")
