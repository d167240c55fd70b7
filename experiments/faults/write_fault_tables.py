"""Writes what fuzzing, kills and sanitizers came to between the markers of docs/faults.md.

python experiments/faults/write_fault_tables.py [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / "results"
PAGE = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"
SANITIZERS = {"address,undefined": "addresses, undefined behaviour", "thread": "data races"}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fuzzed(found: dict[str, Any]) -> list[str]:
    readers = found["readers"].values()
    told = sum(one["read"] for one in readers), sum(one["refused"] for one in readers)
    outcome = f"{told[0]:,} read, {told[1]:,} refused, {len(found['findings'])} open findings"
    return ["fuzzing", f"{found['inputs']:,} inputs to {len(readers)} readers", outcome]


def killed(found: dict[str, Any]) -> list[str]:
    works = len({trial["work"] for trial in found["trials"]})
    return [
        "kills",
        f"{found['kills']:,} kills of {works} kinds of work",
        f"{found['survived']:,} gone on with to equal results",
    ]


def sanitized(found: dict[str, Any]) -> str:
    """A row for each sanitizer, also for one that has not run."""
    heads = [
        "sanitizer",
        "for",
        "files",
        "tests passed",
        "skipped",
        "failed",
        "findings",
        "left out",
        "planted faults",
        "made with",
    ]
    rows = []
    for name, purpose in SANITIZERS.items():
        one = found.get(name)
        if one is None:
            rows.append([name, purpose, "not run", *[""] * 7])
            continue
        planted = sum(said != "no report" for said in one["planted"].values())
        made = f"{one['compiler']}, torch {one['torch']}, {one['date']}, commit {one['commit']}"
        numbers = (
            len(one["files"]),
            one["passed"],
            one["skipped"],
            one["failed"],
            len(one["findings"]),
            len(one["left_out"]),
        )
        rows.append([name, purpose, *(f"{number:,}" for number in numbers), f"all {planted} found", made])
    parts = [table(heads, rows)]
    for name, one in found.items():
        ends = {file: row["ended"].splitlines()[0] for file, row in one["files"].items() if "ended" in row}
        ends = {file: text for file, text in ends.items() if not one["files"][file]["failed"]}
        ends |= dict.fromkeys(one.get("not_run", ()), "not run yet")
        left = [f"`{what}`: {why}" for what, why in sorted({**one["left_out"], **ends}.items())]
        if left:
            parts.append(
                f"Left out, or ended before the end, with {name}:\n\n" + "\n".join(f"* {line}" for line in left)
            )
    return "\n\n".join(parts)


def text() -> str:
    found = {
        name: json.loads(path.read_text())
        for name in ("fuzz", "kills", "sanitizers")
        if (path := RESULTS / f"{name}.json").exists()
    }
    rows = [show(found[name]) for name, show in (("fuzz", fuzzed), ("kills", killed)) if name in found]
    return table(["what", "how much", "outcome"], rows) + "\n\n" + sanitized(found.get("sanitizers", {}))


def written(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{PAGE.name} lacks the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text()}\n{END}{after}"


if __name__ == "__main__":
    page = PAGE.read_text("utf-8")
    new = written(page)
    if new != page and "--check" in sys.argv:
        sys.exit(f"docs/faults.md is outdated; run {Path(__file__).name}")
    PAGE.write_text(new, "utf-8")
