"""Runs again what fits into the time and compares it with the committed results.

    python experiments/reproduce.py                                what fits into 30 CPU minutes, the cheapest first
    python experiments/reproduce.py --minutes 5 --only "ncn/*"     some of it
    python experiments/reproduce.py --list                         only what would be run, and what it cost when it was recorded

An experiment costs the seconds that its committed trainings took, times their threads and processes, and what it takes to
start. All its committed seeds and splits are trained again, with as many threads as then. Runs go to runs/reproduce/COMMIT,
and what is finished there is not run again, so that the same command goes on after a stop.

Compared are the selecting metric and those with a published figure, on the test split:

exact            every metric of every training has the same bits
within error     the means differ by at most two standard errors of the committed trainings (--errors)
differs          by more; or a model that is not trained, or a single training on the same processor type, threads and torch,
                 is not equal (up to 1e-6)
no error known   a single training was committed, elsewhere, and the figure differs

Two independent means, as another processor may give them, differ by more than two standard errors of one of them in about one
case of six, so a lone "differs" by little is no proof on another machine; on the same one, trainings are exact.

Exit status 1 where a figure differs or an experiment fails, 2 for a mistake in the call.
"""

from __future__ import annotations

import argparse
import fnmatch
import math
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from experiments.committed import Experiment, committed  # noqa: E402
from graphkit.engine.environment import git_commit  # noqa: E402
from graphkit.engine.result_table import Row, result_rows  # noqa: E402
from graphkit.engine.run_record import read_run  # noqa: E402
from graphkit.engine.table_formats import (  # noqa: E402
    DASH,
    duration,
    markdown_table,
    metric_name,
    number,
    spans,
)
from graphkit.errors import UserError, nearest  # noqa: E402

START = 10.0  # seconds to start Python, load the data and write the report
EQUAL = 1e-6  # of models that are not trained; kernels may round differently on another processor
BAD = ("differs", "failed")
HEADER = ("Experiment", "Metric", "Committed", "Here", "Difference", "Allowed", "Verdict", "Then", "Now")
Line = Mapping[str, Any]
Runner = Callable[[str, Experiment, Path], str]


@dataclass(frozen=True)
class Comparison:
    """One metric of one experiment, committed and here."""

    experiment: str
    metric: str
    committed: Row | None
    here: Row | None
    allowed: float | None
    verdict: str
    note: str = ""


def tests(lines: Iterable[Line]) -> dict[tuple[int, int | None], Line]:
    """Test lines by seed and fold."""
    return {(line["seed"], line.get("fold")): line for line in lines if line["split"] == "test"}


def cost(experiment: Experiment) -> float:
    """CPU seconds that the committed trainings took, and a start."""
    return START + sum(
        float(line.get("seconds") or 0) * int(line.get("threads") or 1) * int(line.get("processes") or 1)
        for line in tests(experiment.results).values()
    )


def chosen(found: Mapping[str, Experiment], minutes: float, only: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Names to run, the cheapest first, and why the others with results are left out.

    Raises:
        UserError: for a pattern that fits no experiment with results.
    """
    known = [name for name, experiment in found.items() if tests(experiment.results)]
    for pattern in only:
        if not fnmatch.filter(known, pattern):
            raise UserError(f"--only: {nearest(pattern, known, 'experiment with committed results')}")
    asked = [name for name in known if not only or any(fnmatch.fnmatchcase(name, pattern) for pattern in only)]
    taken, left, spent = [], {}, 0.0
    for name in sorted(asked, key=lambda name: (cost(found[name]), name)):
        lines, needed = tests(found[name].results).values(), cost(found[name])
        if any(int(line.get("processes") or 1) > 1 for line in lines):
            left[name] = "was run by several processes"
        elif any(not str(line.get("device") or "cpu").startswith("cpu") for line in lines):
            left[name] = "was not run on a CPU"
        elif spent + needed > 60 * minutes:
            left[name] = f"took {duration(needed)}"
        else:
            taken.append(name)
            spent += needed
    return taken, left


def command(experiment: Experiment, out: Path) -> list[str]:
    """The call of graphkit that trains the committed seeds and splits again."""
    trainings = tests(experiment.results)
    folds = {fold for _, fold in trainings if fold is not None}
    words = [sys.executable, "-m", "graphkit", "run", str(experiment.path), "--out", str(out), "--resume"]
    words += ["--seeds", spans({seed for seed, _ in trainings})]
    return words + (["--splits", spans(folds)] if folds else [])


def run(name: str, experiment: Experiment, out: Path) -> str:
    """Train again in a process of its own; what went wrong, or nothing."""
    threads = max(int(line.get("threads") or 1) for line in tests(experiment.results).values())
    log = out.parent.parent / "log" / f"{name.replace('/', '-')}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(_paths())}
    with log.open("w") as file:
        words = command(experiment, out)
        file.write(shlex.join(words) + "\n")
        file.flush()
        status = subprocess.run(words, stdout=file, stderr=subprocess.STDOUT, env=environment).returncode
    if status == 0:
        return ""
    said = [line for line in log.read_text("utf-8", "replace").splitlines()[1:] if line.strip()]
    return f"exit status {status}: {said[-1] if said else 'nothing said'} ({log})"


def _paths() -> list[str]:
    return [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def finished(experiment: Experiment, out: Path) -> bool:
    """Whether a run directory holds a result of every committed training."""
    if not (out / "results.jsonl").is_file():
        return False
    return tests(experiment.results).keys() <= tests(read_run(out).results).keys()


def compare(name: str, experiment: Experiment, lines: Iterable[Line], errors: float = 2.0) -> list[Comparison]:
    """The committed results beside those of here."""
    before, after = tests(experiment.results), tests(lines)
    after = {key: line for key, line in after.items() if key in before}
    if len(after) < len(before):
        note = f"{len(before) - len(after)} of {len(before)} trainings have no result"
        return [Comparison(name, "", None, None, None, "failed", note)]
    rows = [_rows(name, experiment, part) for part in (before.values(), after.values())]
    exact = all(after[key]["metrics"] == before[key]["metrics"] for key in before)
    found = []
    for metric in _compared(experiment, before, rows[0]):
        old, new = (part.get(metric) for part in rows)
        if old is None or old.ours is None or new is None or new.ours is None:
            found.append(Comparison(name, metric, old, new, None, "failed", f"no {metric_name(metric)} on both sides"))
            continue
        allowed = _allowed(old, before, after, errors)
        verdict = "within error"
        if exact:
            verdict = "exact"
        elif allowed is None:
            verdict = "no error known"
        elif not abs(new.ours - old.ours) <= allowed:
            verdict = "differs"
        found.append(Comparison(name, metric, old, new, allowed, verdict))
    return found


def _rows(name: str, experiment: Experiment, lines: Iterable[Line]) -> dict[str, Row]:
    found = result_rows(name, experiment.config, lines)
    return {row.metric: row for row in found if row.kind == "experiment" and row.n}


def _compared(experiment: Experiment, before: Mapping[Any, Line], rows: Mapping[str, Row]) -> list[str]:
    """The metric that selects the epoch, and those with a published figure."""
    selecting = next((line.get("select") for line in before.values()), None)
    named = [metric for metric, row in rows.items() if row.paper is not None or metric == selecting]
    return named or list(rows)[:1]


def _allowed(old: Row, before: Mapping[Any, Line], after: Mapping[Any, Line], errors: float) -> float | None:
    if not any(line.get("steps", 1) for line in before.values()):
        return EQUAL
    if old.std is not None:
        return max(errors * old.std / math.sqrt(old.n), EQUAL)
    return EQUAL if [_where(line) for line in before.values()] == [_where(line) for line in after.values()] else None


def _where(line: Line) -> tuple[Any, ...]:
    """What has to be the same for the same bits, so far as results tell."""
    return line.get("device"), line.get("threads"), (line.get("versions") or {}).get("torch")


def shown(found: Iterable[Comparison], then: Mapping[str, float], now: Mapping[str, float]) -> str:
    """The comparisons as a table."""
    rows = []
    for one in found:
        old, new = one.committed, one.here
        both = old is not None and new is not None and old.ours is not None and new.ours is not None
        rows.append(
            [
                one.experiment, metric_name(one.metric) if one.metric else DASH, _figure(old), _figure(new),
                number(new.ours - old.ours, 5, sign=True) if both else DASH,
                DASH if one.allowed is None else f"{one.allowed:.2g}",
                f"{one.verdict}: {one.note}" if one.note else one.verdict,
                duration(then[one.experiment]), duration(now.get(one.experiment)),
            ]
        )  # fmt: skip
    return markdown_table(HEADER, rows, numeric=(2, 3, 4, 5, 7, 8))


def _figure(row: Row | None) -> str:
    if row is None or row.ours is None:
        return DASH
    spread = "" if row.std is None else f" ± {number(row.std, 4)}"
    return f"{number(row.ours, 4)}{spread} (n={row.n})"


def reproduce(
    found: Mapping[str, Experiment],
    names: Sequence[str],
    out: Path,
    errors: float = 2.0,
    runner: Runner = run,
    told: Callable[[str], None] = print,
) -> tuple[list[Comparison], dict[str, float]]:
    """Run and compare the named experiments; the comparisons, and the seconds spent on each."""
    comparisons, seconds = [], {}
    for place, name in enumerate(names, start=1):
        experiment, folder = found[name], out / name
        told(
            f"[{place}/{len(names)}] {name}: {len(tests(experiment.results))} trainings, recorded {duration(cost(experiment))}"
        )
        begin = time.perf_counter()
        fault = "" if finished(experiment, folder) else runner(name, experiment, folder)
        seconds[name] = time.perf_counter() - begin
        if fault:
            comparisons.append(Comparison(name, "", None, None, None, "failed", fault))
        else:
            comparisons += compare(name, experiment, read_run(folder).results, errors)
    return comparisons, seconds


def main(arguments: Sequence[str] | None = None, runner: Runner = run) -> int:
    """Run from the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="CPU minutes in all, as recorded (default: 30)")
    parser.add_argument("--only", nargs="+", default=[], metavar="PATTERN", help='names or patterns such as "ncn/*"')
    parser.add_argument("--errors", type=float, default=2.0, help="standard errors that are allowed (default: 2)")
    parser.add_argument("--out", type=Path, help="where the runs go (default: runs/reproduce/COMMIT)")
    parser.add_argument("--list", action="store_true", help="show what would be run and leave")
    parser.add_argument("--root", type=Path, default=ROOT, help="top of the checkout (default: this one)")
    options = parser.parse_args(arguments)
    try:
        found = committed(options.root)
        names, left = chosen(found, options.minutes, options.only)
        then = {name: cost(found[name]) for name in names}
        if options.list:
            print(markdown_table(("Experiment", "Recorded"), [[name, duration(then[name])] for name in names], (1,)))
        print(f"{len(names)} experiments, {duration(sum(then.values()))} as recorded")
        for name, why in left.items():
            print(f"left out: {name} ({why})")
        if options.list:
            return 0
        if not names:
            raise UserError(f"nothing fits into {options.minutes:g} minutes; raise --minutes")
        out = options.out or options.root / "runs" / "reproduce" / (git_commit() or "unversioned")
        comparisons, now = reproduce(found, names, out, options.errors, runner, lambda text: print(text, flush=True))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n" + shown(comparisons, then, now) + "\n")
    count = {
        word: sum(one.verdict == word for one in comparisons) for word in dict.fromkeys(c.verdict for c in comparisons)
    }
    print(", ".join(f"{number} {word}" for word, number in count.items()) + f"; runs: {out}")
    return 1 if any(one.verdict in BAD for one in comparisons) else 0


if __name__ == "__main__":
    sys.exit(main())
