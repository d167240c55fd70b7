"""The page of the experiments, from experiments/*/*.yaml and experiments/results."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from graphkit.engine.run_record import read_config, read_results

__all__ = ["page"]

NOTICE = "<!-- written by docs/write_pages.py from experiments/; changes made by hand are lost -->"
INTRODUCTION = """\
One command an experiment. Seeds, splits and settings are in its file; `--out DIR` says where the run goes, `--seeds 0` and
`--splits 0` make it smaller. "Trainings" counts those whose results are committed. What is not run says so. Figures stand in
the result tables, see [reproduce](reproduce.md).
"""


def page(root: Path) -> str:
    """The page in Markdown: a table for each folder of experiments."""
    trainings: dict[str, int] = {}
    for path in sorted((root / "experiments" / "results").glob("*.jsonl")):
        for line in read_results(path):
            if line.get("split") == "test":
                name = str(line.get("experiment"))
                trainings[name] = trainings.get(name, 0) + 1
    text = ["# Experiments", "", NOTICE, "", INTRODUCTION]
    files = sorted(
        path for path in (root / "experiments").glob("*/*.yaml") if path.parent.name not in ("results", "bench")
    )
    for folder, paths in groupby(files, key=lambda path: path.parent.name):
        text += [
            f"## {folder}",
            "",
            "| command | data | model | budget | trainings |",
            "| --- | --- | --- | --- | --- |",
        ]
        text += [_row(path, trainings) for path in paths] + [""]
    return "\n".join(text)


def _row(path: Path, trainings: dict[str, int]) -> str:
    config, _ = read_config(path)
    name = str(config["name"])
    data, model = config.get("data") or {}, config.get("model") or {}
    own = "file" in data
    command = f"graphkit run {name}" + (" --data FILE" if own else "")
    done = "your own" if own else f"{trainings[name]}" if name in trainings else "not run"
    graph = "/".join(str(data[key]) for key in ("name", "variant") if data.get(key)) or "your own"
    cells = (f"`{command}`", graph, model.get("name", ""), config.get("budget") or "not stated", done)
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
