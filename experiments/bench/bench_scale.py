"""Time and memory of every operator from 10^4 to 10^7 edges, and what divides into parts without changing results.

    python experiments/bench/bench_scale.py [--edges 1e4 1e5 1e6 1e7] [--only csr orbits ...] [--threads 1] [--rounds 3]
           [--seconds 300] [--memory_gib 12] [--name scale] [--add]

Each operator and size runs in a process of its own: seconds of a call (median of the rounds), nanoseconds a unit of work, and
the memory above that before the call, above what its input takes. A process that takes longer than --seconds (graph
included) or more memory than --memory_gib is stopped, and larger sizes of that operator are left out. With --add, a
measurement goes on where another one of the same commit has ended, with other operators or sizes.

Then work is divided into parts, here one after the other, and put together again: equal bits or the largest difference
(scale_shards.py), and how many nodes of others the parts need.

Results: results/scale.json. docs/scale.md says what follows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import scale_cases
import torch
from peak import RESULTS, commit, peak_of, resident, write
from scale_cases import CASES
from scale_shards import CHECKS, ghosts

Row = dict[str, Any]


def measured(name: str, edges: int, rounds: int, seconds: float) -> Row:
    """One operator at one size, in this process."""
    before, begin = resident(), time.perf_counter()
    case = CASES[name](edges)
    made = time.perf_counter() - begin
    call_begin = time.perf_counter()
    peak = peak_of(case.call)
    found = [time.perf_counter() - call_begin]
    # the first call warms up; it stands alone where there is no time for another
    if 2 * found[0] + made < seconds / 2:
        found = []
        for _ in range(rounds):
            call_begin = time.perf_counter()
            case.call()
            found.append(time.perf_counter() - call_begin)
            if sum(found) > seconds / 4:
                break
    took = statistics.median(found)
    return {
        "what": "cost", "case": name, "edges": edges, "unit": case.unit, "units": case.units, "rounds": len(found),
        "seconds": took, "ns_per_unit": 1e9 * took / case.units, "peak_mib": peak / 2**20,
        "input_mib": max(resident() - before, 0) / 2**20, "setup_seconds": made,
        "units_of_1e9": case.units * 1e9 / edges if case.whole is None else case.whole(1e9),
        "sampled": case.whole is not None,
    }  # fmt: skip


def bounded(name: str, edges: int, options: argparse.Namespace) -> Row:
    """The same in a process of its own, which is stopped where it takes too long or too much."""
    words = [sys.executable, __file__, "--case", name, "--edges", str(edges), "--threads", str(options.threads)]
    words += ["--rounds", str(options.rounds), "--seconds", str(options.seconds), "--graphs", str(options.graphs)]
    stopped = {"what": "cost", "case": name, "edges": edges}
    begin = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            if time.perf_counter() - begin > options.seconds:
                child.kill()
                return {**stopped, "stopped": f"more than {options.seconds:g} s"}
            if _size(child.pid) > options.memory_gib * 2**30:
                child.kill()
                return {**stopped, "stopped": f"more than {options.memory_gib:g} GiB"}
            time.sleep(0.01)
        said = child.stdout.read() if child.stdout else ""
    if child.returncode:
        return {**stopped, "stopped": f"exit status {child.returncode}"}
    return json.loads(said.splitlines()[-1])


def measured_before(name: str, threads: int) -> list[Row]:
    """The rows of results/NAME.json.

    Raises:
        SystemExit: where they are of another commit, or of another number of threads.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    for key, own in (("commit", commit()), ("threads", threads)):
        if found["machine"][key] != own:
            sys.exit(f"{path} was measured with {key} {found['machine'][key]}, this is {own}; leave out --add")
    return found["rows"]


def _size(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", nargs="+", type=float, default=[1e4, 1e5, 1e6, 1e7])
    parser.add_argument("--only", nargs="+", choices=[*CASES, "shards"], default=[*CASES, "shards"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=300.0, help="for one operator and size, the graph included")
    parser.add_argument("--memory_gib", type=float, default=12.0, help="of one process, the graph included")
    parser.add_argument("--name", default="scale", help="results/NAME.json")
    parser.add_argument("--add", action="store_true", help="keep what results/NAME.json has of other operators and sizes")
    parser.add_argument("--case", choices=list(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--graphs", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sizes = sorted(round(edges) for edges in options.edges)
    if options.case is not None:
        scale_cases.FOLDER = options.graphs
        print(json.dumps(measured(options.case, sizes[0], options.rounds, options.seconds)))
        return
    rows = measured_before(options.name, options.threads) if options.add else []

    def told(row: Row) -> None:
        same = ("what", "case", "edges", "check", "graph", "parts", "hops")
        rows[:] = [one for one in rows if any(one.get(key) != row.get(key) for key in same)]
        rows.append(row)
        print(json.dumps(row), flush=True)
        write(options.name, rows)  # type: ignore[arg-type]

    with tempfile.TemporaryDirectory() as folder:
        options.graphs = Path(folder)
        for edges in sizes if {*CASES} & {*options.only} else []:
            scale_cases.entries(edges, options.graphs)
        for name in [name for name in CASES if name in options.only]:
            for edges in sizes:
                row = bounded(name, edges, options)
                told(row)
                if "stopped" in row:
                    break
    if "shards" in options.only:
        for name, check in CHECKS.items():
            told({"what": "shards", "check": name, **check(4)})
        for row in ghosts(sizes[0]):
            told({"what": "ghosts", **row})


if __name__ == "__main__":
    main()
