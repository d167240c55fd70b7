"""What the searches of ADPA and its baselines cost, and what they gained on validation.

    python experiments/adpa/searches.py            write the table into docs/adpa.md
    python experiments/adpa/searches.py --check    change nothing; exit status 1 where it is out of date

Read from experiments/results/searches, where the files of `graphkit run NAME --tune` lie: GROUP-NAME.jsonl has the trials,
GROUP-NAME-finalists.jsonl those that were judged again by all splits, beside the options that the experiment had before.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from experiments.marked_page import write_between  # noqa: E402
from graphkit.engine.run_directory import read_lines  # noqa: E402
from graphkit.engine.table_formats import duration, markdown_table  # noqa: E402
from graphkit.engine.tune import best_trial, ranked  # noqa: E402

SEARCHES = ROOT / "experiments" / "results" / "searches"
PAGE = ROOT / "docs" / "adpa.md"
BEGIN, END = "<!-- searches:begin -->", "<!-- searches:end -->"
HEADER = (
    "Search", "Trials", "Training", "Best trial, three splits", "Finalists", "Best finalist, all splits", "Options before", "Kept"
)  # fmt: skip


def line(name: str, trials: Sequence[dict[str, Any]], finals: Sequence[dict[str, Any]]) -> list[str]:
    """A row: accuracies are means over validation nodes."""
    found = [*finals, *trials]
    select = found[0]["select"]
    drawn = [one for one in finals if one["trial"] >= 0]
    before = [one for one in finals if one["trial"] < 0]
    best = best_trial(finals, select)
    return [
        name,
        str(len(trials)),
        duration(sum(one["seconds"] for one in found)),
        f"{best_trial(trials, select)['valid'][select]:.3f}",
        str(len(drawn)),
        f"{ranked(drawn, select)[0]['valid'][select]:.3f}",
        "".join(f"{one['valid'][select]:.3f}" for one in before),
        "options before" if best["trial"] < 0 else f"trial {best['trial']}",
    ]


def table(folder: Path) -> str:
    """Every search that has finalists, in Markdown."""
    rows = []
    for path in sorted(folder.glob("*-finalists.jsonl")):
        trials = list(read_lines(path.with_name(path.name.replace("-finalists", ""))))
        rows.append(line(path.name.removesuffix("-finalists.jsonl").replace("-", "/", 1), trials, list(read_lines(path))))
    return markdown_table(HEADER, rows, numeric=(1, 2, 3, 4, 5, 6)) if rows else "No search has finalists."


def main(argv: Sequence[str] | None = None, folder: Path = SEARCHES, page: Path = PAGE) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args(argv).check
    return write_between(page, BEGIN, END, table(folder), check=check, command="experiments/adpa/searches.py")


if __name__ == "__main__":
    sys.exit(main())
