"""The claims about GMoPE that can be tested, from the record of leave_one_out.py, with paired tests.

    python experiments/gmope/claims.py              write the tables into docs/gmope.md
    python experiments/gmope/claims.py --check      change nothing; exit status 1 where they are out of date
    python experiments/gmope/claims.py --print      only show them

A difference is paired by (target, k, draw, seed); seeds of pre-training are averaged first, so that a test counts each draw
of each target once. Targets weigh the same.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from scipy import stats  # noqa: E402

from experiments.marked_page import write_between  # noqa: E402
from graphkit.engine.run_directory import read_lines  # noqa: E402

RECORD = ROOT / "experiments" / "results" / "gmope" / "leave_one_out.jsonl"
PAGE = ROOT / "docs" / "gmope.md"
BEGIN, END = "<!-- claims:begin -->", "<!-- claims:end -->"
Row = dict[str, Any]


def differences(rows: Sequence[Row], first: str, second: str, k: int | None = None) -> dict[str, list[float]]:
    """Accuracy of ``first`` minus that of ``second`` in points, by target, one number for each (k, draw)."""
    by: dict[tuple[Any, ...], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["accuracy"] is not None and (k is None or row["k"] == k):
            by[row["target"], row["k"], row["draw"], row["seed"]][row["method"]] = 100 * row["accuracy"]
    seeds: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for (target, labels, draw, _), found in by.items():
        if first in found and second in found:
            seeds[target, labels, draw].append(found[first] - found[second])
    out: dict[str, list[float]] = defaultdict(list)
    for (target, _, _), values in seeds.items():
        out[target].append(statistics.fmean(values))
    return dict(out)


def compared(found: dict[str, list[float]], bound: float = 0.0) -> dict[str, Any] | None:
    """Mean over targets, its 95 % interval, and the chance of such a mean were the true one ``bound`` (two-sided t test).

    The standard error is that of a mean of targets' means, each over its own draws.
    """
    if not found or any(len(values) < 2 for values in found.values()):
        return None
    means = [statistics.fmean(values) for values in found.values()]
    mean = statistics.fmean(means)
    error = math.sqrt(sum(statistics.variance(v) / len(v) for v in found.values())) / len(found)
    count = sum(map(len, found.values()))
    freedom = count - len(found)
    reach = float(stats.t.ppf(0.975, freedom)) * error
    p = (
        1.0
        if error == 0 and mean == bound
        else 0.0
        if error == 0
        else float(2 * stats.t.sf(abs(mean - bound) / error, freedom))
    )
    return {
        "mean": mean, "low": mean - reach, "high": mean + reach, "p": p, "n": count, "targets": len(found),
        "better": sum(m > bound for m in means),
    }  # fmt: skip


def _line(claim: str, source: str, mark: str, found: dict[str, Any] | None, passed: bool | None) -> list[str]:
    if found is None:
        return [claim, source, mark, "not run", "", "", "", "not run"]
    return [
        claim, source, mark, f"{found['mean']:+.2f} [{found['low']:+.2f}, {found['high']:+.2f}]", f"{found['p']:.2g}",
        f"{found['better']} of {found['targets']}", str(found["n"]), "report" if passed is None else "pass" if passed else "fail",
    ]  # fmt: skip


def claims(rows: Sequence[Row]) -> list[list[str]]:
    """A line for each claim: claim, source, pass mark, mean difference in points with its interval, p, targets, pairs, verdict."""
    lines = []
    for k in sorted({row["k"] for row in rows} | {5, 100}):
        found = compared(differences(rows, "full", "prompt", k), 1.0)
        lines.append(_line(
            f"prompts alone compare with full tuning, k = {k}", "paper", "full minus prompt <= 1.0 (p: against 1.0)", found,
            found and found["mean"] <= 1.0,
        ))  # fmt: skip
    for other, mark, least in (
        ("single", "prompt minus single >= 0.5", 0.5),
        ("uniform", "prompt minus uniform >= 0", 0.0),
    ):
        found = compared(differences(rows, "prompt", other), 0.0)
        what = {
            "single": "the mixture beats one expert of equal size",
            "uniform": "confidence is worth as much as equal weights",
        }
        lines.append(_line(what[other], "implied", mark, found, found and found["mean"] >= least))
    found = compared(differences(rows, "prompt", "lambda-0"), 0.0)
    lines.append(
        _line("orthogonality costs no accuracy", "paper", "lambda 1 minus 0 >= 0", found, found and found["mean"] >= 0)
    )
    lines.append(_balance(rows))
    for other in ("random", "head", "mlp", "scratch-mixture"):
        found = compared(differences(rows, "prompt", other))
        lines.append(_line(f"prompt tuning against {other}", "not claimed", "none", found, None))
    for other in ("scratch-gcn", "scratch-sage"):
        for k in sorted({row["k"] for row in rows} | {5, 100}):
            found = compared(differences(rows, "prompt", other, k))
            lines.append(_line(f"prompt tuning against {other}, k = {k}", "not claimed", "none", found, None))
    return lines + _costs(rows)


def _balance(rows: Sequence[Row]) -> list[str]:
    """Effective number of experts with and without the orthogonality loss, over mixtures."""
    found: dict[str, dict[tuple[str, int], float]] = {"mixture": {}, "lambda-0": {}}
    for row in rows:
        if row["variant"] in found and row["effective_experts"] is not None:
            found[row["variant"]][row["target"], row["seed"]] = row["effective_experts"]
    both = sorted(set(found["mixture"]) & set(found["lambda-0"]))
    claim = ["orthogonality balances the load", "paper", "more effective experts with lambda 1 than 0, p < 0.05"]
    if len(both) < 2:
        return [*claim, "not run", "", "", "", "not run"]
    gaps = [found["mixture"][key] - found["lambda-0"][key] for key in both]
    mean, error = statistics.fmean(gaps), statistics.stdev(gaps) / math.sqrt(len(gaps))
    p = float(2 * stats.t.sf(abs(mean) / error, len(gaps) - 1)) if error else 1.0
    better = sum(gap > 0 for gap in gaps)
    return [
        *claim,
        f"{mean:+.4f} experts, to {statistics.fmean(found['lambda-0'][key] for key in both):.4f}",
        f"{p:.2g}",
        f"{better} of {len(gaps)} mixtures",
        str(len(gaps)),
        "pass" if mean > 0 and p < 0.05 else "fail",
    ]


def _costs(rows: Sequence[Row]) -> list[list[str]]:
    """Share of trained numbers, and time of a step against full tuning on the same draws."""
    lines = []
    shares = [
        row["trainable"] / row["parameters"]
        for row in rows
        if row["method"] == "prompt" and row["accuracy"] is not None
    ]
    claim = ["prompts are a small part of all parameters", "paper", "trained <= 1 % in each run"]
    if shares:
        verdict = "pass" if max(shares) <= 0.01 else "fail"
        lines.append(
            [*claim, f"{100 * min(shares):.2f} to {100 * max(shares):.2f} %", "", "", str(len(shares)), verdict]
        )
    else:
        lines.append([*claim, "not run", "", "", "", "not run"])
    step: dict[tuple[Any, ...], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["method"] in ("prompt", "full") and row.get("steps"):
            step[row["target"], row["k"], row["draw"], row["seed"]][row["method"]] = row["seconds"] / row["steps"]
    ratios = [found["prompt"] / found["full"] for found in step.values() if len(found) == 2]
    claim = ["a step of prompt tuning is cheap", "paper", "median time <= 0.5 of full tuning"]
    if ratios:
        middle = statistics.median(ratios)
        lines.append([*claim, f"{middle:.2f}", "", "", str(len(ratios)), "pass" if middle <= 0.5 else "fail"])
    else:
        lines.append([*claim, "not run", "", "", "", "not run"])
    return lines


def accuracies(rows: Sequence[Row]) -> list[list[str]]:
    """Mean accuracy of each method by target and k, with deviations over draws and over seeds of pre-training apart."""
    cells: dict[tuple[str, int, str], dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row["accuracy"] is not None:
            cells[row["target"], row["k"], row["method"]][row["draw"]][row["seed"]] = 100 * row["accuracy"]
    lines = []
    for (target, k, method), draws in sorted(cells.items()):
        over_draws = [statistics.fmean(seeds.values()) for seeds in draws.values()]
        by_seed: dict[int, list[float]] = defaultdict(list)
        for seeds in draws.values():
            for seed, value in seeds.items():
                by_seed[seed].append(value)
        means = [statistics.fmean(values) for values in by_seed.values()]
        lines.append([
            target, str(k), method, f"{statistics.fmean(over_draws):.1f}",
            f"{statistics.stdev(over_draws):.1f}" if len(over_draws) > 1 else "", str(len(over_draws)),
            f"{statistics.stdev(means):.1f}" if len(means) > 1 else "", str(len(means)),
        ])  # fmt: skip
    return lines


def _table(heads: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, ["---"] * len(heads), *lines])


def text(rows: Sequence[Row]) -> str:
    """Both tables in Markdown."""
    heads = ["claim", "source", "pass if", "difference in points [95 %]", "p", "targets above", "pairs", "verdict"]
    parts = [_table(heads, claims(rows))]
    if rows:
        heads = ["target", "k", "method", "accuracy", "std over draws", "draws", "std over seeds", "seeds"]
        parts.append(_table(heads, accuracies(rows)))
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None, record: Path = RECORD, page: Path = PAGE) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--print", action="store_true", dest="show")
    arguments = parser.parse_args(argv)
    new = text(read_lines(record))
    if arguments.show:
        print(new)
        return 0
    return write_between(page, BEGIN, END, new, check=arguments.check, command="experiments/gmope/claims.py")


if __name__ == "__main__":
    sys.exit(main())
