"""Random search over the options of an experiment: the same budget for every model, the winner by validation alone.

Trial k is drawn from (key of the search, k) and from nothing else, so a search that was stopped goes on where it was, and a larger
budget holds the trials of a smaller one. Test metrics are neither computed nor recorded.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import random
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from graphkit.datasets import load
from graphkit.engine.checkpoint import differences
from graphkit.engine.config import Config
from graphkit.engine.distributed import joined
from graphkit.engine.environment import device_name, git_commit, versions
from graphkit.engine.evaluate import evaluation_options
from graphkit.engine.fit import fit
from graphkit.engine.folds import folds_of
from graphkit.engine.options import check_selection
from graphkit.engine.progress import SilentReporter
from graphkit.engine.run_directory import RunDirectory, read_lines, writing
from graphkit.engine.seeding import seed_of, seeded
from graphkit.engine.state import selection_score
from graphkit.engine.yaml_text import read_yaml
from graphkit.errors import UserError
from graphkit.models import registry

__all__ = ["best_trial", "drawn", "ranked", "run_trials", "tune_experiment"]

_TRIALS = 20
_OWN = -1  # in place of a trial's number: the options that the experiment has already


def drawn(space: Mapping[str, Any], key: str, trial: int) -> dict[str, Any]:
    """The options of a trial, drawn one after the other in the order of the space.

    Args:
        space: by option, a list of values to choose from; or ``{"log": [a, b]}`` (log-uniform), ``{"uniform": [a, b]}``, both to
            two digits; or ``{"integers": [a, b]}``, both ends included.
        key: what the search is about.
        trial: number of the trial, from 0.

    Raises:
        UserError: for a choice of nothing, or another form.

    Example:
        >>> drawn({"train.lr": {"log": [1e-3, 1e-1]}, "model.hidden_channels": [32, 64]}, "GCN/texas", 0)
        {'train.lr': 0.015, 'model.hidden_channels': 32}
    """
    draw = random.Random(f"{key}/{trial}")
    return {option: _choose(draw, option, values) for option, values in space.items()}


def _choose(draw: random.Random, option: str, values: Any) -> Any:
    if isinstance(values, list) and values:
        return draw.choice(values)
    if isinstance(values, Mapping) and len(values) == 1:
        kind, ends = next(iter(values.items()))
        if isinstance(ends, list) and len(ends) == 2 and all(_is_number(end) for end in ends) and ends[0] <= ends[1]:
            low, high = ends
            if kind == "log" and low > 0:
                return float(f"{math.exp(draw.uniform(math.log(low), math.log(high))):.2g}")
            if kind == "uniform":
                return float(f"{draw.uniform(low, high):.2g}")
            if kind == "integers" and isinstance(low, int) and isinstance(high, int):
                return draw.randint(low, high)
    raise UserError(
        f"the space of {option} is {values!r}; expected a list of values, or {{log: [a, b]}}, {{uniform: [a, b]}} or "
        "{integers: [a, b]} with a <= b"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def run_trials(
    record: Path,
    trials: Iterable[int],
    settings: Callable[[int], dict[str, Any]],
    train: Callable[[int, dict[str, Any]], dict[str, Any]],
    *,
    minutes: float | None = None,
    told: Callable[[dict[str, Any]], object] | None = None,
) -> list[dict[str, Any]]:
    """Run the trials that a record lacks; the record's lines.

    Args:
        record: JSON lines, one a trial; written whole or not at all after each.
        trials: their numbers.
        settings: from the number of a trial to what decides it, as it stands in its line.
        train: from the number and the settings to the line.
        minutes: begin no further trial once those of the record took so long together (``seconds`` in their lines).
        told: called with each new line.

    Raises:
        UserError: the record holds trials of another search space, or cannot be written.

    Example:
        >>> import tempfile
        >>> record = Path(tempfile.mkdtemp()) / "trials.jsonl"
        >>> len(run_trials(record, range(2), lambda k: {"lr": k + 1}, lambda k, found: {"trial": k, **found, "valid": None}))
        2
    """
    lines = read_lines(record)
    for line in lines:
        wanted = settings(line["trial"])
        if {key: line.get(key) for key in wanted} != wanted:
            raise UserError(
                f"{record}: trial {line['trial']} was drawn from another search space; remove the file to search anew"
            )
    done = {line["trial"] for line in lines}
    for trial in trials:
        if trial in done:
            continue
        if minutes is not None and sum(line.get("seconds") or 0.0 for line in lines) >= 60 * minutes:
            break
        lines.append(train(trial, settings(trial)))
        with writing(record) as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
        if told is not None:
            told(lines[-1])
    return lines


def best_trial(lines: Sequence[dict[str, Any]], select: str) -> dict[str, Any]:
    """The first of :func:`ranked`.

    Raises:
        UserError: no trial has validation metrics.

    Example:
        >>> best_trial([{"trial": 0, "valid": {"mrr": 0.2}}, {"trial": 1, "valid": {"mrr": 0.3}}], "mrr")["trial"]
        1
    """
    return ranked(lines, select)[0]


def ranked(lines: Sequence[dict[str, Any]], select: str) -> list[dict[str, Any]]:
    """The trials that have validation metrics, from the best down, the earlier first on a tie.

    Raises:
        UserError: no trial has any.

    Example:
        >>> [one["trial"] for one in ranked([{"trial": k, "valid": {"mrr": k % 2}} for k in range(4)], "mrr")]
        [1, 3, 0, 2]
    """
    finished = [line for line in lines if line["valid"]]
    if not finished:
        raise UserError("no trial has validation metrics; widen the search space")
    return sorted(finished, key=lambda line: (-selection_score(line["valid"], select), line["trial"]))


def tune_experiment(
    config: Config,
    out: str | os.PathLike[str],
    *,
    trials: int | None = None,
    minutes: float | None = None,
    told: Callable[[dict[str, Any]], object] | None = None,
) -> tuple[list[dict[str, Any]], Config]:
    """Search the space in an experiment's section ``tune``; the trials, and the experiment with the best options.

    A trial trains the first seed on each split of ``tune.splits`` (None: the experiment's own) and is judged by the mean of the
    selecting validation metric. With ``tune.finalists`` so many of the best, and the options that the experiment has already, are
    then trained on all its splits, and judged by these. ``out`` gets ``config.yaml``, ``trials.jsonl``, ``finalists.jsonl`` and
    ``best.yaml``; called again, the search goes on.

    Args:
        config: the experiment.
        out: folder of the search.
        trials: most trials; None: ``tune.trials``, else 20.
        minutes: most minutes of training; None: ``tune.minutes``, else no limit.
        told: called with each new line.

    Raises:
        UserError: without a search space, for an option that the experiment does not have, a folder of another search, or when
            every trial failed.

    Example:
        >>> lines, best = tune_experiment(load_config("nodes/gcn-texas"), "runs/tune")  # doctest: +SKIP
        >>> best.train["lr"]  # doctest: +SKIP
        0.012
    """
    if joined().size > 1:
        raise UserError("a search trains one trial after the other; start it without torchrun")
    if not config.tune:
        raise UserError(
            f"{config.name} has no search space; give it a section tune with a space, as docs/node-classification.md shows"
        )
    plan = config.tune
    trials = trials if trials is not None else plan.get("trials") or _TRIALS
    minutes = minutes if minutes is not None else plan.get("minutes")
    key = f"{config.model['name']}/{config.data.get('name')}"
    for trial in range(min(trials, 3)):
        config.changed(drawn(plan["space"], key, trial))  # a mistake in the space shows before anything is trained
    task = load(**config.data_for(config.seeds[0]))
    select = config.protocol["select"] or task.primary_metric
    check_selection(task, select)
    folds_of(task, plan.get("splits") or config.splits)
    directory = Path(out)
    with RunDirectory(directory).locked():
        _begin(directory, config)
        lines = run_trials(
            directory / "trials.jsonl",
            range(trials),
            lambda trial: {"options": drawn(plan["space"], key, trial)},
            lambda trial, found: _trial(
                config.changed(found["options"]), task, trial, {**found, "select": select}, plan.get("splits")
            ),
            minutes=minutes,
            told=told,
        )
        winner = best_trial(lines, select)
        if "finalists" in plan:
            finalists = sorted(line["trial"] for line in ranked(lines, select)[: plan["finalists"]])
            finals = run_trials(
                directory / "finalists.jsonl",
                [_OWN, *finalists],
                lambda trial: {"options": {} if trial == _OWN else drawn(plan["space"], key, trial), "finalist": True},
                lambda trial, found: _trial(
                    config.changed(found["options"]), task, trial, {**found, "select": select}, config.splits
                ),
                told=told,
            )
            winner = best_trial(finals, select)
        best = config.changed(winner["options"], without_tune=True)
        chosen = "the options it had" if winner["trial"] == _OWN else f"trial {winner['trial']}"
        among = f"{len(finals)} finalists of {len(lines)} trials" if "finalists" in plan else str(len(lines))
        notice = (
            f"# written by graphkit run --tune: {chosen}, the best of {among} on validation {select} "
            f"({winner['valid'][select]:.4f}), {sum(line.get('seconds') or 0 for line in lines) / 60:.1f} minutes in all\n"
        )
        with writing(directory / "best.yaml") as file:
            file.write((notice + best.dump()).encode())
    return lines, best


def _begin(directory: Path, config: Config) -> None:
    """Write the experiment down, or refuse a folder that belongs to another one; a larger budget is no other one."""
    path = directory / "config.yaml"
    if not path.exists():
        with writing(path) as file:
            file.write(config.dump().encode())
        return

    def plain(values: dict[str, Any]) -> dict[str, Any]:
        tune = {key: value for key, value in (values.get("tune") or {}).items() if key not in ("trials", "minutes", "finalists")}
        return {**values, "tune": tune, "seeds": (values.get("seeds") or [None])[0]}

    changed = differences(plain(read_yaml(path)), plain(json.loads(json.dumps(config.to_dict()))))
    if changed:
        raise UserError(
            f"{directory} holds the search of another experiment; choose another --out (old -> new):\n  "
            + "\n  ".join(changed)
        )


def _trial(config: Config, task: Any, trial: int, found: dict[str, Any], splits: Any) -> dict[str, Any]:
    """Train once on every split; a training that fails leaves a line that says why."""
    seed, runs, model = config.seeds[0], [], None
    options = {name: value for name, value in config.model.items() if name != "name"}
    line: dict[str, Any] = {}
    try:
        for fold in folds_of(task, splits or config.splits):
            one = task if fold is None else task.at_fold(fold)
            with seeded(seed_of(seed, fold)):
                model = registry()[config.model["name"]].for_task(one, **options)
            runs.append(fit(
                model, one, seed=seed, loader=config.loader, evaluation=evaluation_options(one, ties=config.protocol["ties"]),
                select=config.protocol["select"], reporter=SilentReporter(), score_test=False, **config.train,
            ))  # fmt: skip
        metrics = {name: [run.valid[name] for run in runs if name in run.valid] for name in runs[0].valid}
        line["valid"] = {name: statistics.fmean(values) for name, values in metrics.items()}
        if len(runs) > 1:
            line["std"] = {name: statistics.stdev(values) for name, values in metrics.items() if len(values) > 1}
    except UserError as error:
        line |= {"valid": None, "error": str(error)}
    device = next(model.parameters()).device if model is not None else torch.device("cpu")
    return {
        "experiment": config.name, "data": task.name, "model": config.model["name"], "trial": trial, **found, **line,
        "epochs": [run.best_epoch for run in runs], "steps": sum(run.steps for run in runs),
        "seconds": round(sum(run.seconds for run in runs), 3), "seed": seed,
        "parameters": None if model is None else sum(p.numel() for p in model.parameters() if p.requires_grad),
        "device": device_name(device), "threads": torch.get_num_threads(), "commit": git_commit(), "versions": versions(),
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }  # fmt: skip
