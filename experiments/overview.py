"""experiments/README.md: every experiment by group, with its command, its budget, whether it was run, and its leading figure."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from experiments.committed import NO_EXPERIMENTS, Experiment, committed  # noqa: E402
from graphkit.engine.result_table import VERDICT_RULE, Row, result_rows  # noqa: E402
from graphkit.engine.table_formats import (  # noqa: E402
    COLUMNS,
    cells,
    duration,
    markdown_escape,
    markdown_table,
    spans,
)

NOTICE = "<!-- written by experiments/write_tables.py; changes made by hand are lost -->"
MAIN_METRICS = ("mrr", "hits@1", "hits@10", "hits@10(50)")
HEADER = ("Command", "Data", "Budget", "Run", "Time per seed", "Metric", "Paper", "Ours", "Verdict")
SHOWN = ("metric", "paper", "ours", "verdict")

INTRODUCTION = """\
One YAML file an experiment, grouped by method. `graphkit run NAME` trains every seed and writes `runs/NAME` with its report;
`graphkit run NAME --print_config` shows what it would do. The figures below stand for each experiment's leading metric on
the test split and come from `experiments/results`; all metrics stand on the pages of the methods under `docs/`. "not run"
means that no result is committed.

`make reproduce` runs what fits into 30 minutes and compares it with these figures; see
[docs/scale.md](../docs/scale.md) for what needs more. `make tables` writes this page.
"""


def shown_rows(name: str, experiment: Experiment) -> list[Row]:
    """Rows for people: metrics that a published figure is given for, and the main ones; where there are none of these, all."""
    found = result_rows(name, experiment.config, experiment.results)
    compared = {row.metric for row in found if row.paper is not None}.union(MAIN_METRICS)
    return [row for row in found if row.metric in compared] or found


def leading(rows: list[Row]) -> Row:
    """The one row that stands for an experiment: the first with a published figure, else the first."""
    ours = [row for row in rows if row.kind == "experiment"]
    return next((row for row in ours if row.paper is not None), ours[0])


def overview(root: Path) -> str:
    """The text of experiments/README.md.

    Raises:
        UserError: as :func:`experiments.committed.committed`.
    """
    groups: dict[str, list[tuple[str, Experiment]]] = defaultdict(list)
    for name, experiment in committed(root).items():
        groups[experiment.path.parent.name].append((name, experiment))
    scripts: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((root / "experiments").glob("*/*.py")):
        if path.parent.name not in NO_EXPERIMENTS:
            scripts[path.parent.name].append(path)
    judged = [one for group in groups.values() for _, one in group if not one.own_data]
    run = sum(bool(one.results) for one in judged)
    parts = [
        "# Experiments",
        NOTICE,
        INTRODUCTION.rstrip(),
        f"{len(judged)} experiments in {len(groups)} groups; {run} with results, {len(judged) - run} not run.",
    ]
    for group in sorted({*groups, *scripts}):
        parts.append(f"## {group}")
        if groups[group]:
            parts.append(markdown_table(HEADER, [_line(*one) for one in groups[group]], numeric=(4, 6, 7)))
        if scripts[group]:
            parts.append("\n".join(_script(path, root) for path in scripts[group]))
    return "\n\n".join([*parts, VERDICT_RULE]) + "\n"


def _line(name: str, experiment: Experiment) -> list[str]:
    budget = str(experiment.config.get("budget") or "")
    if experiment.own_data:
        return [f"graphkit run {name} --data FILE", "a graph of your own", budget, "", "", "", "", "", ""]
    row = leading(shown_rows(name, experiment))
    shown = dict(zip(COLUMNS, cells(row), strict=True))
    return [
        f"graphkit run {name}",
        row.data,
        budget,
        _trainings(experiment),
        duration(row.seconds),
        *(shown[column] for column in SHOWN),
    ]


def _trainings(experiment: Experiment) -> str:
    """Which seeds, and splits, have a committed test result."""
    tests = [line for line in experiment.results if line["split"] == "test"]
    if not tests:
        return "not run"
    seeds = spans({line["seed"] for line in tests})
    folds = spans({line["fold"] for line in tests if line.get("fold") is not None})
    text = f"seed{'s' if ',' in seeds or '-' in seeds else ''} {seeds}"
    return f"{text}; splits {folds}" if folds else text


def _script(path: Path, root: Path) -> str:
    """A line on a script: how it is called, and the first sentence of its documentation."""
    said = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    first = " ".join(said.split("\n\n")[0].split())
    return f"* `python {path.relative_to(root).as_posix()}`: {markdown_escape(first)}"
