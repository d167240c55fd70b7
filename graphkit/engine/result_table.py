"""Rows of the result table: the paper's figure, ours over seeds, and what the difference amounts to."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphkit.engine.reference import LOWER_IS_BETTER, METRICS, mapping, printed_digits, published_figures
from graphkit.errors import UserError

__all__ = ["VERDICT_RULE", "Row", "planned_folds", "planned_seeds", "result_rows", "verdict"]

_NOT_METRICS = frozenset({"count"})

VERDICT_RULE = (
    "Ours is the mean ± unbiased standard deviation over n seeds. A row matches when the difference from the paper's "
    "figure is at most twice the standard error of our mean, or at most half a unit of the last digit the paper prints "
    "(with one seed, the latter alone); else it is above or below. A smaller run is not comparable with the paper's."
)


@dataclass(frozen=True)
class Row:
    """One metric of one experiment on one split, beside one published figure.

    Attributes:
        kind: ``"experiment"``, or ``"beside"`` for a baseline's figure that is cited, not run again.
        label: name of the baseline.
        source: where the published figure stands.
        std: unbiased standard deviation over the n trainings; None for n < 2.
        n: trainings: seeds, times splits where an experiment runs several.
        planned: trainings that the configuration asks for, at least n.
        difference: ours minus the published figure.
        seconds: mean per seed; the splits of a seed add up.
        peak_mib: most memory that a process had held by the end of a training, in MiB.
        decimals: digits to show of ours.
        paper_decimals: digits that the published figure was printed with.
    """

    experiment: str
    data: str
    split: str
    metric: str
    kind: str
    label: str
    paper: float | None
    ours: float | None
    std: float | None
    n: int
    planned: int
    difference: float | None
    verdict: str
    parameters: int | None
    device: str
    seconds: float | None
    peak_mib: int | None
    commit: str
    source: str
    decimals: int
    paper_decimals: int


def verdict(
    ours: float | None,
    std: float | None,
    n: int,
    paper: float | None,
    *,
    rounding: float = 0.0,
    smaller_run: bool = False,
) -> str:
    r"""What a difference from a published figure amounts to.

    ``"matches"`` where :math:`|ours - paper| \le \max(2 s / \sqrt n, rounding)` with s the unbiased standard deviation
    over n seeds; with one seed s is unknown and only the rounding of the paper's figure counts. Otherwise ``"above"``
    or ``"below"``: the value, not the quality (for the mean rank, below is better). ``"not run"`` without a figure of
    ours, ``"no reference"`` without a published one, ``"smaller run"`` where the configuration says that the two are
    not comparable.

    Args:
        ours: mean over seeds, or None.
        std: unbiased standard deviation over seeds, or None for n < 2.
        n: number of seeds.
        paper: published figure, or None.
        rounding: half a unit of the last digit of the published figure.
        smaller_run: the run is smaller than the paper's by design.

    Example:
        >>> verdict(0.4137, 0.0020, 4, 0.415, rounding=0.0005)
        'matches'
        >>> verdict(0.4137, None, 1, 0.415, rounding=0.0005)
        'below'
    """
    if ours is None or n == 0:
        return "not run"
    if paper is None:
        return "no reference"
    if smaller_run:
        return "smaller run"
    tolerance = max(2 * std / math.sqrt(n) if std is not None and n > 1 else 0.0, rounding)
    # the slack keeps 0.4155 against 0.415 +- 0.0005 from hanging on the last bit of a double
    if abs(ours - paper) <= tolerance + 1e-12:
        return "matches"
    return "above" if ours > paper else "below"


def result_rows(
    name: str, config: Mapping[str, Any], results: Iterable[Mapping[str, Any]], *, split: str = "test"
) -> list[Row]:
    """Rows of one experiment: its metrics beside the paper's, then the cited baselines.

    The paper's figures are compared on the test split only; :func:`graphkit.engine.reference.published_figures` says
    how they are read.

    Args:
        name: name of the experiment.
        config: its configuration (``reference``, ``data``, ``seeds``, ``protocol``); may be empty.
        results: lines of ``results.jsonl`` of this experiment; none gives rows with the verdict "not run".
        split: which split.

    Raises:
        UserError: where a figure of the reference is not a number, or a percentage stands for a fraction.

    Example:
        >>> line = {"seed": 0, "split": "test", "metrics": {"mrr": 0.9}}
        >>> result_rows("nbfnet/umls", {"reference": {"metrics": {"mrr": 0.90}}}, [line])[0].verdict
        'matches'
    """
    lines = sorted(
        (line for line in results if line["split"] == split), key=lambda line: (line["seed"], line.get("fold") or 0)
    )
    reference = mapping(config.get("reference"), name, "reference") if split == "test" else {}
    where = "reference.metrics"
    published = published_figures(mapping(reference.get("metrics"), name, where), name, where)
    digits = printed_digits(published)
    facts = {
        "experiment": name,
        "data": data_name(config, lines),
        "split": split,
        "planned": max(len(planned_seeds(config)) * planned_folds(config, lines), len(lines)),
        "parameters": next((line["parameters"] for line in lines if line.get("parameters") is not None), None),
        "device": _device(lines),
        "seconds": _mean(_seconds(lines)),
        "peak_mib": max((line["peak_mib"] for line in lines if line.get("peak_mib")), default=None),
        "commit": ", ".join(dict.fromkeys(_short_commit(line["commit"]) for line in lines if line.get("commit"))),
    }
    values = {metric: _values(lines, metric) for metric in _ordered(published, lines, config)}
    source, smaller_run = str(reference.get("paper") or ""), bool(reference.get("smaller_run"))
    rows = []
    for metric, ours in values.items():
        row = _row(facts, metric, ours, published.get(metric), digits.get(metric, 0), source)
        judged = verdict(
            row.ours, row.std, row.n, row.paper, rounding=_half_unit(digits, metric), smaller_run=smaller_run
        )
        rows.append(replace(row, verdict=judged))
    for baseline in reference.get("beside") or []:
        rows += _beside(facts, values, baseline, name)
    return rows


def planned_seeds(config: Mapping[str, Any]) -> list[int]:
    """Seeds that a configuration asks for; empty where it names none.

    Example:
        >>> planned_seeds({"seeds": [0, 1]}), planned_seeds({"seeds": "0-2"})
        ([0, 1], [0, 1, 2])
    """
    seeds = config.get("seeds")
    if isinstance(seeds, int):
        return [seeds]
    if isinstance(seeds, str) and re.fullmatch(r"\s*\d+(-\d+)?(\s*,\s*\d+(-\d+)?)*\s*", seeds):
        spans = [part.strip().split("-") for part in seeds.split(",")]
        return [seed for span in spans for seed in range(int(span[0]), int(span[-1]) + 1)]
    return [seed for seed in seeds if isinstance(seed, int)] if isinstance(seeds, list) else []


def planned_folds(config: Mapping[str, Any], lines: Iterable[Mapping[str, Any]] = ()) -> int:
    """How many splits a configuration asks for with each seed; how many ``all`` are stands in the results.

    Example:
        >>> planned_folds({"splits": "all"}, [{"fold": 0, "folds": 10}]), planned_folds({"splits": [0, 1]}), planned_folds({})
        (10, 2, 1)
    """
    splits = config.get("splits")
    if splits == "all":
        return max((int(line.get("folds") or 1) for line in lines), default=1)
    return len(splits) if isinstance(splits, list) else 1


def data_name(config: Mapping[str, Any], lines: Sequence[Mapping[str, Any]] = ()) -> str:
    """Name of the data set, from the configuration or else from the results.

    Example:
        >>> data_name({"data": {"name": "umls"}})
        'umls'
    """
    data = config.get("data")
    named = data.get("name") if isinstance(data, Mapping) else data
    return str(named or next((line["data"] for line in lines if line.get("data")), ""))


def _row(
    facts: Mapping[str, Any], metric: str, ours: Sequence[float], paper: float | None, digits: int, source: str
) -> Row:
    mean = _mean(ours)
    return Row(
        **facts,
        metric=metric,
        kind="experiment",
        label="",
        paper=None if paper is None else float(paper),
        ours=mean,
        std=statistics.stdev(ours) if len(ours) > 1 else None,
        n=len(ours),
        difference=mean - paper if mean is not None and paper is not None else None,
        verdict="",
        source=source,
        decimals=max(digits, 2 if metric in LOWER_IS_BETTER else 3),
        paper_decimals=digits,
    )


def _beside(facts: Mapping[str, Any], values: Mapping[str, list[float]], baseline: Any, name: str) -> list[Row]:
    where = "reference.beside"
    if not isinstance(baseline, Mapping) or not baseline.get("name"):
        raise UserError(f"{name}: {where} is a list of mappings with 'name', metrics and 'source', found {baseline!r}")
    named = {key: value for key, value in baseline.items() if key in METRICS or key in values}
    figures = published_figures(named, name, f"{where} ({baseline['name']})")
    digits = printed_digits(figures)
    source = str(baseline.get("source") or "")
    rows = [_row(facts, key, values.get(key, []), value, digits[key], source) for key, value in figures.items()]
    return [replace(row, kind="beside", label=str(baseline["name"]), verdict="cited") for row in rows]


def _half_unit(digits: Mapping[str, int], metric: str) -> float:
    return 0.5 * 10.0 ** -digits.get(metric, 0)


def _ordered(published: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> list[str]:
    present = set(published).union(*(line["metrics"] for line in lines)) - _NOT_METRICS
    if not present:
        protocol = config.get("protocol")
        present = {str((protocol.get("select") if isinstance(protocol, Mapping) else None) or "mrr")}
    return [metric for metric in METRICS if metric in present] + sorted(present.difference(METRICS))


def _values(lines: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    return [float(line["metrics"][metric]) for line in lines if metric in line["metrics"]]


def _seconds(lines: Sequence[Mapping[str, Any]]) -> list[float]:
    spent: dict[int, float] = {}
    for line in lines:
        if isinstance(line.get("seconds"), (int, float)):
            spent[line["seed"]] = spent.get(line["seed"], 0.0) + line["seconds"]
    return list(spent.values())


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _device(lines: Sequence[Mapping[str, Any]]) -> str:
    names = []
    for line in lines:
        threads, processes = line.get("threads"), line.get("processes", 1)
        cpu = str(line.get("device", "")).startswith("cpu")
        name = str(line.get("device") or "")
        if name and cpu and threads:
            name += f", {threads} thread{'' if threads == 1 else 's'}"
        names.append(f"{processes} processes: {name}" if name and processes != 1 else name)
    return "; ".join(dict.fromkeys(name for name in names if name))


def _short_commit(commit: object) -> str:
    found = re.fullmatch(r"([0-9a-f]{7})[0-9a-f]{0,33}(.*)", str(commit))
    return found[1] + found[2] if found else str(commit)
