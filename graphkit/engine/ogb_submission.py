"""The form that OGB's leaderboards ask for, filled in from runs; an incomplete run is refused."""

from __future__ import annotations

import importlib.metadata
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphkit.datasets import Card
from graphkit.datasets import card as find_card
from graphkit.engine.run_record import RunRecord, read_run
from graphkit.engine.table_formats import duration, gibibytes, markdown_table, metric_name
from graphkit.errors import UserError

__all__ = ["submission_forms"]

SEEDS = tuple(range(10))
"""The seeds that OGB names for those who fix them."""
_GIB = 2**30


def submission_forms(run_dirs: Iterable[str | os.PathLike[str]]) -> str:
    """OGB's submission form for each run, as Markdown.

    Figures are means and unbiased standard deviations over the seeds 0 to 9, on test and validation; parameters are summed
    over all stages (a run that ``train.start`` names is one). What the run cannot know (code, contact) comes from the section
    ``submission`` of its configuration and is marked where it is still to be filled in.

    Args:
        run_dirs: run directories on OGB's data sets.

    Raises:
        UserError: for a run on another data set, or one that is not ready; all that is missing is listed.

    Source:
        ogb.stanford.edu, "Leaderboards" and "Rules for the Experimental Protocol".

    Example:
        >>> print(submission_forms(["runs/ncn/ogbl-ddi"]))  # doctest: +SKIP
    """
    return "\n".join(_form(read_run(folder)) for folder in run_dirs)


def _form(run: RunRecord) -> str:
    entry = _card_of(run)
    metric = str(entry.options["metric"])
    lines = {(line["seed"], line["split"]): line for line in run.results if line["seed"] in SEEDS}
    stages = [run, *_earlier_stages(run)]
    missing = [*_missing_results(run, lines, metric), *_against_the_rules(run, entry), *_missing_stages(stages)]
    if missing:
        raise UserError(
            f"{run.folder} is not ready for OGB's leaderboard of {entry.name}; what is missing:\n  "
            + "\n  ".join(missing)
        )
    tests = [lines[seed, "test"] for seed in SEEDS]
    rows = _fields(run, entry, metric, lines, [stage for stage in stages if isinstance(stage, RunRecord)])
    each = [
        [str(seed), *(f"{lines[seed, split]['metrics'][metric]:.4f}" for split in ("test", "valid"))] for seed in SEEDS
    ]
    notes = _notes(run, tests)
    return "\n".join(
        [
            f"# {entry.name}: submission to OGB's leaderboard\n",
            markdown_table(["field", "value"], rows),
            f"\n{metric_name(metric)} of each seed:\n",
            markdown_table(["seed", "test", "validation"], each, numeric=[0, 1, 2]),
            *(["", *(f"* {note}" for note in notes)] if notes else []),
            "",
        ]
    )


def _card_of(run: RunRecord) -> Card:
    name = _section(run, "data").get("name")
    if not isinstance(name, str):
        raise UserError(f"{run.folder} names no data set; OGB's form is for runs on OGB's data sets, such as ogbl-ddi")
    entry = find_card(name, variant=_section(run, "data").get("variant"))
    if not entry.reader.startswith("ogb_"):
        raise UserError(f"{run.folder} is a run on {entry.name}, which is none of OGB's data sets; take --format md")
    return entry


def _section(run: RunRecord, name: str) -> Mapping[str, Any]:
    value = run.config.get(name)
    return value if isinstance(value, Mapping) else {}


def _missing_results(run: RunRecord, lines: Mapping[tuple[int, str], Mapping[str, Any]], metric: str) -> list[str]:
    found = []
    untrained = [seed for seed in SEEDS if not any((seed, split) in lines for split in ("valid", "test"))]
    if untrained:
        others = sorted(set(run.seeds) - set(SEEDS))
        besides = f" (seeds {_listed(others)} are there, but OGB asks for 0 to 9)" if others else ""
        found.append(
            f"seeds {_listed(untrained)} of 0 to 9{besides}: graphkit run {run.name} --seeds 0-9 --out {run.folder} --resume"
        )
    for split, word in (("test", "test"), ("valid", "validation")):
        trained = [seed for seed in SEEDS if seed not in untrained]
        gone = [seed for seed in trained if (seed, split) not in lines]
        if gone:
            found.append(f"the {word} results of seeds {_listed(gone)} in {run.folder / 'results.jsonl'}")
        without = [seed for seed in trained if (seed, split) in lines and metric not in lines[seed, split]["metrics"]]
        if without:
            found.append(
                f"{metric}, the metric of this leaderboard, among the {word} results of seeds {_listed(without)}"
            )
    return found


def _against_the_rules(run: RunRecord, entry: Card) -> list[str]:
    found = []
    data = _section(run, "data")
    if data.get("valid_triples") is not None:
        found.append(
            f"the whole validation split: figures are of a sample of {data['valid_triples']} triples (data.valid_triples)"
        )
    if data.get("use_valedges") and not entry.options.get("valedges_allowed"):
        found.append(
            f"a run without validation edges as input (data.use_valedges): OGB's rules allow them for ogbl-collab, not for "
            f"{entry.name}"
        )
    ties = {str(line["ties"]) for line in run.results if line.get("ties") not in (None, "mean")}
    if entry.reader == "ogb_knowledge_graph" and ties:
        found.append(f"OGB's rule for ties, protocol.ties: mean; this run counts them by {_listed(sorted(ties))}")
    return found


def _earlier_stages(run: RunRecord) -> list[RunRecord | str]:
    """The runs whose weights a run began with, nearest first; text says what is wrong with one."""
    found: list[RunRecord | str] = []
    seen = {run.folder.resolve()}
    while start := _section(run, "train").get("start"):
        place = Path(str(start))
        if place.resolve() in seen:
            break
        seen.add(place.resolve())
        try:
            run = read_run(place)
        except UserError as error:
            return [*found, f"the earlier stage whose weights it began with: {error}"]
        found.append(run)
    return found


def _missing_stages(stages: Sequence[RunRecord | str]) -> list[str]:
    found = [stage for stage in stages if isinstance(stage, str)]
    for stage in stages:
        if isinstance(stage, RunRecord) and _parameters(stage) is None:
            found.append(f"the number of parameters in the results of {stage.folder}")
    return found


def _parameters(run: RunRecord) -> int | None:
    """Parameters of the model of a run, trained or not; the largest where seeds differ."""
    counts = [
        line["parameters"] + line.get("frozen_parameters", 0)
        for line in run.results
        if isinstance(line.get("parameters"), int)
    ]
    return max(counts, default=None)


def _fields(
    run: RunRecord,
    entry: Card,
    metric: str,
    lines: Mapping[tuple[int, str], Mapping[str, Any]],
    stages: Sequence[RunRecord],
) -> list[tuple[str, str]]:
    given, reference = _section(run, "submission"), _section(run, "reference")
    tests = [lines[seed, "test"] for seed in SEEDS]
    return [
        ("OGB version", _ogb_version()),
        ("Method", str(given.get("method") or _section(run, "model").get("name") or _to_fill("method"))),
        ("External data", _external(given, run, stages)),
        ("Dataset", f"{entry.name} ({entry.source})"),
        ("Test performance", _performance(lines, "test", metric)),
        ("Validation performance", _performance(lines, "valid", metric)),
        ("Contact", str(given.get("contact") or _to_fill("contact", "name and email address"))),
        (
            "Code",
            str(given.get("code") or _to_fill("code", "address of a public repository that has the command below")),
        ),
        ("Paper", str(given.get("paper") or reference.get("url") or reference.get("paper") or _to_fill("paper"))),
        ("#Params", _parameter_field(stages)),
        ("Hardware", _hardware(run, tests)),
        ("Official implementation", _official(given)),
        ("Command", ", then ".join(f"graphkit run {stage.name} --seeds 0-9" for stage in reversed(stages))),
        ("Seeds", "0 to 9, all of them; standard deviations are unbiased"),
        (
            "Validation edges",
            "as input for test" if _section(run, "data").get("use_valedges") else "for selection alone",
        ),
        (
            "Time per seed",
            duration(statistics.fmean(line["seconds"] for line in tests if "seconds" in line) if tests else None),
        ),
        ("Peak memory", _peak(tests)),
        ("Packages", _packages(tests)),
        (
            "Commit",
            ", ".join(dict.fromkeys(str(line["commit"]) for line in tests if line.get("commit"))) or "not recorded",
        ),
    ]


def _to_fill(key: str, what: str = "") -> str:
    return f"(to be filled in{': ' + what if what else ''}; submission.{key} in the configuration)"


def _official(given: Mapping[str, Any]) -> str:
    if given.get("official") is None:
        return _to_fill("official", "yes or no")
    return "yes" if given["official"] else "no"


def _performance(lines: Mapping[tuple[int, str], Mapping[str, Any]], split: str, metric: str) -> str:
    values = [float(lines[seed, split]["metrics"][metric]) for seed in SEEDS]
    return f"{statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f} ({metric_name(metric)}, n={len(values)})"


def _parameter_field(stages: Sequence[RunRecord]) -> str:
    counts = [_parameters(stage) or 0 for stage in stages]
    if len(stages) == 1:
        return f"{counts[0]:,}"
    each = " + ".join(
        f"{count:,} ({stage.name})" for count, stage in zip(reversed(counts), reversed(stages), strict=True)
    )
    return f"{sum(counts):,} = {each}"


def _external(given: Mapping[str, Any], run: RunRecord, stages: Sequence[RunRecord]) -> str:
    if given.get("external_data"):
        stated = given["external_data"]
        return "yes" if stated is True else f"yes: {stated}"
    names = {str(_section(stage, "data").get("name")) for stage in stages}
    others = sorted(names - {str(_section(run, "data").get("name"))})
    return f"yes: an earlier stage learned from {_listed(others)}" if others else "no"


def _hardware(run: RunRecord, tests: Sequence[Mapping[str, Any]]) -> str:
    found = []
    memory = run.environment.get("memory")
    memory = memory if isinstance(memory, Mapping) else {}
    for line in tests:
        name = str(line.get("device") or "not recorded")
        cpu = name.startswith("cpu")
        if cpu and line.get("threads"):
            name += f", {line['threads']} thread{'' if line['threads'] == 1 else 's'}"
        bytes_there = memory.get("ram") if cpu else next(iter(memory.get("gpus") or ()), None)
        if isinstance(bytes_there, int):
            name += f", {bytes_there / _GIB:.0f} GiB of {'memory' if cpu else 'GPU memory'}"
        if line.get("processes", 1) != 1:
            name = f"{line['processes']} processes: {name}"
        found.append(name)
    return "; ".join(dict.fromkeys(found))


def _peak(tests: Sequence[Mapping[str, Any]]) -> str:
    peaks = [line["peak_mib"] for line in tests if line.get("peak_mib")]
    return gibibytes(max(peaks)) if peaks else "not recorded"


def _packages(tests: Sequence[Mapping[str, Any]]) -> str:
    found: dict[str, list[str]] = {}
    for line in tests:
        for name, version in (line.get("versions") or {}).items():
            if version and version not in found.setdefault(name, []):
                found[name].append(version)
    return ", ".join(f"{name} {' and '.join(versions)}" for name, versions in found.items()) or "not recorded"


def _ogb_version() -> str:
    try:
        return importlib.metadata.version("ogb")
    except importlib.metadata.PackageNotFoundError:
        return "ogb is not installed; graphkit's metrics are compared with those of ogb 1.3.6 by its tests"


def _notes(run: RunRecord, tests: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = []
    others = sorted(set(run.seeds) - set(SEEDS))
    if others:
        notes.append(f"Left out: seeds {_listed(others)}, which OGB does not name.")
    commits = {str(line["commit"]) for line in tests if line.get("commit")}
    if len(commits) > 1:
        notes.append("The seeds were trained with several versions of the code.")
    if any(commit.endswith("-dirty") for commit in commits):
        notes.append("The code had changes that are in no commit; submit code that gives these figures.")
    data = run.environment.get("data")
    files = data.get("files", {}) if isinstance(data, Mapping) else {}
    if any(isinstance(record, Mapping) and record.get("pinned") for record in files.values()):
        notes.append("The card knows no hash of some data files: compare them with a fresh download before you submit.")
    return notes


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))
