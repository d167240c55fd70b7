"""Does ADPA gain from directions on filtered chameleon? Its two readings of the graph, compared split by split.

    python experiments/adpa/directions.py            write the line into docs/adpa.md
    python experiments/adpa/directions.py --check    change nothing; exit status 1 where it is out of date

Splits share nodes, so their differences are not independent: beside the plain paired test stands the one whose variance is
corrected for that (Nadeau and Bengio, Inference for the Generalization Error, 2003).
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from scipy import stats  # noqa: E402

from experiments.marked_page import write_between  # noqa: E402
from graphkit.datasets import card  # noqa: E402
from graphkit.engine.run_directory import read_lines  # noqa: E402

RESULTS = ROOT / "experiments" / "results"
PAGE = ROOT / "docs" / "adpa.md"
BEGIN, END = "<!-- directions:begin -->", "<!-- directions:end -->"
DIRECTED, UNDIRECTED = "adpa-chameleon-filtered", "adpa-chameleon-filtered-undirected"


def accuracies(rows: Sequence[dict[str, Any]], split: str = "test") -> dict[tuple[int, int], float]:
    """Accuracy by (seed, fold)."""
    return {(row["seed"], row["fold"]): row["metrics"]["accuracy"] for row in rows if row["split"] == split}


def paired(first: dict[tuple[int, int], float], second: dict[tuple[int, int], float], ratio: float) -> dict[str, float]:
    """Mean difference, and its standard error and p, plain and corrected for ``ratio`` test nodes to a training node."""
    gaps = [first[key] - second[key] for key in sorted(first.keys() & second.keys())]
    mean, spread, count = statistics.fmean(gaps), statistics.stdev(gaps), len(gaps)
    found: dict[str, float] = {"mean": mean, "count": count, "above": sum(gap > 0 for gap in gaps)}
    for name, factor in (("plain", 1 / count), ("corrected", 1 / count + ratio)):
        error = spread * math.sqrt(factor)
        found[f"{name}_error"] = error
        found[f"{name}_p"] = float(2 * stats.t.sf(abs(mean) / error, count - 1)) if error else float(mean == 0)
    return found


def text(directed: Sequence[dict[str, Any]], undirected: Sequence[dict[str, Any]], nodes: int) -> str:
    """One sentence in Markdown."""
    if not directed or not undirected:
        return "Directed against undirected reading of filtered chameleon: not run."
    test = next(int(row["metrics"]["count"]) for row in directed if row["split"] == "test")
    valid = next(int(row["metrics"]["count"]) for row in directed if row["split"] == "valid")
    found = paired(accuracies(directed), accuracies(undirected), test / (nodes - test - valid))
    plain, corrected = (f"{100 * found[f'{name}_error']:.2f} (p = {found[f'{name}_p']:.2f})" for name in ("plain", "corrected"))
    return (
        f"Directed against undirected reading of filtered chameleon, each with the best options of its own search, "
        f"{found['count']} splits: "
        f"{100 * found['mean']:+.2f} points of accuracy with a standard error of {plain}, "
        f"and of {corrected} where the variance is corrected for the nodes that splits share. "
        f"Above in {found['above']} splits of {found['count']}."
    )


def main(argv: Sequence[str] | None = None, results: Path = RESULTS, page: Path = PAGE) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args(argv)
    rows = [list(read_lines(results / f"{name}.jsonl")) for name in (DIRECTED, UNDIRECTED)]
    new = text(*rows, nodes=int(card("chameleon/filtered_directed").statistics["nodes"]))
    return write_between(page, BEGIN, END, new, check=arguments.check, command="experiments/adpa/directions.py")


if __name__ == "__main__":
    sys.exit(main())
