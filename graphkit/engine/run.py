"""Experiments from their configuration to their report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from graphkit.datasets import load
from graphkit.engine.checkpoint import differences
from graphkit.engine.config import Config
from graphkit.engine.distributed import joined
from graphkit.engine.environment import environment
from graphkit.engine.evaluate import evaluate, evaluation_options, load_model, trainings
from graphkit.engine.fit import Run, fit
from graphkit.engine.folds import folds_of
from graphkit.engine.options import accepted, check_selection
from graphkit.engine.progress import Reporter
from graphkit.engine.recorded import recorded_task
from graphkit.engine.run_directory import RunDirectory, told, writing
from graphkit.engine.run_record import read_results
from graphkit.engine.seeding import seed_of, seeded
from graphkit.engine.tensorboard import summary_writer
from graphkit.engine.yaml_text import read_yaml
from graphkit.errors import UserError, nearest
from graphkit.models import registry

__all__ = ["evaluate_run", "run_experiment"]


def run_experiment(
    config: Config,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    reporter: Callable[[], Reporter] | None = None,
) -> list[Run]:
    """Train every seed of an experiment in turn, on each of its splits, record the results and write the report.

    Args:
        config: the experiment, from :func:`graphkit.engine.config.load_config`.
        out: run directory; None takes ``runs/<name of the experiment>``.
        resume: go on with what is in ``out``: finished seeds are read back, the one under way continues from its
            checkpoint; further seeds of the same experiment may be added.
        reporter: makes the reporter of each seed; None as in :func:`graphkit.fit`.

    Returns:
        one Run per seed and split, the splits of a seed together.

    Raises:
        UserError: when the directory is in use and ``resume`` is false, or it belongs to another configuration (the
            differing fields are listed), and as in :func:`graphkit.fit`.

    Example:
        >>> runs = run_experiment(load_config("nbfnet/umls", ["--seeds", "0"]))  # doctest: +SKIP
        >>> runs[0].test["mrr"]  # doctest: +SKIP
        0.94
    """
    processes = joined()
    directory = RunDirectory(default_out(config) if out is None else out)
    unwritten = processes.on_first(lambda: _is_unwritten(directory, config, resume))
    task = processes.in_turn(lambda: _task(config))
    processes.on_first(lambda: _begin(directory, config, task, unwritten))
    runs = []
    for seed in config.seeds:
        if config.split_per_seed and seed != config.seeds[0]:
            task = processes.in_turn(partial(load, **config.data_for(seed)))
        for fold in folds_of(task, config.splits):
            one = task if fold is None else task.at_fold(fold)
            run = fit(
                _model(config, one, seed), one, seed=seed, out=directory.path, resume=resume, loader=config.loader,
                evaluation=_evaluation(config, one), select=config.protocol["select"], labels=_labels(config, one),
                reporter=None if reporter is None else reporter(), **config.train,
            )  # fmt: skip
            runs.append(run)
    if processes.first:
        from graphkit.engine.report import write_report

        with told(directory.path):
            write_report(directory.path)
    return runs


def default_out(config: Config) -> Path:
    """``runs/<name of the experiment>``."""
    return Path("runs") / config.name


def evaluate_run(
    run_dir: str | os.PathLike[str],
    split: str = "test",
    seed: int | None = None,
    device: str | None = None,
    fold: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Score the best weights of a run again, under the protocol of its configuration; nothing is written.

    Args:
        run_dir: what :func:`run_experiment` wrote.
        split: ``"train"``, ``"valid"`` or ``"test"``.
        seed: one seed, or None for all.
        device: where; None takes the device of the configuration, else CUDA where present.
        fold: of a run over several splits, one of them, or None for all.

    Yields:
        per seed and fold: ``seed``, ``fold`` (None where there is one split), ``split``, ``metrics``, and ``recorded``: the metrics
        in ``results.jsonl``, or None.

    Raises:
        UserError: when the folder is no run directory, or lacks the seed or the split.

    Example:
        >>> next(evaluate_run("runs/nbfnet/umls"))["metrics"]["mrr"]  # doctest: +SKIP
        0.94
    """
    directory = RunDirectory(run_dir)
    if split not in ("train", "valid", "test"):
        raise UserError(nearest(split, ("train", "valid", "test"), "split"))
    chosen = trainings(directory, seed, fold)
    processes = joined()
    config, task = processes.in_turn(lambda: recorded_task(directory, chosen[0][0]))
    place = processes.device(device or config.train["device"])
    lines = read_results(directory.results) if directory.results.exists() else []
    recorded = {(line["seed"], line.get("fold"), line["split"]): line["metrics"] for line in lines}
    for one, number in chosen:
        if config.split_per_seed and one != chosen[0][0]:
            config, task = processes.in_turn(partial(recorded_task, directory, one))
        task = task if number is None else task.at_fold(number)
        model = load_model(directory.path, one, number).to(place)
        sharing = evaluation_options(task, processes=processes)
        metrics = processes.tell(evaluate(model, task, split, **_evaluation(config, task), **sharing))
        found = {"seed": one, "fold": number, "split": split, "metrics": metrics}
        yield {**found, "recorded": recorded.get((one, number, split))}


def _task(config: Config) -> Any:
    task = load(**config.data_for(config.seeds[0]))
    _check_protocol(config, task)
    folds_of(task, config.splits)
    # a mistake in the model's options, or a missing package, shows before anything is written
    _model(config, task, config.seeds[0])
    if config.train["tensorboard"]:
        summary_writer()
    return task


def _labels(config: Config, task: Any) -> dict[str, Any]:
    """Further fields of a seed's results: the experiment, and the split where each seed has one of its own."""
    drawn = {"split_drawn": task.provenance.get("split")} if config.split_per_seed else {}
    return {"experiment": config.name, **drawn}


def _begin(directory: RunDirectory, config: Config, task: Any, unwritten: bool) -> None:
    if unwritten:
        with writing(directory.config) as file:
            file.write(config.dump().encode())
    directory.write_environment(environment(task, config.train["deterministic"]))


def _model(config: Config, task: Any, seed: int) -> Any:
    """The untrained model of a seed, on a task with several splits of one of them; nothing else decides its weights."""
    options = {key: value for key, value in config.model.items() if key != "name"}
    with seeded(seed_of(seed, getattr(task, "fold", None))):
        return registry()[config.model["name"]].for_task(task, **options)


def _is_unwritten(directory: RunDirectory, config: Config, resume: bool) -> bool:
    """Whether this configuration has yet to be written; refuses a directory that cannot go on with it."""
    if not directory.has_content():
        return True
    if not resume:
        raise UserError(f"{directory.path} already holds a run; go on with it with --resume, or choose another --out")
    if not directory.config.exists():
        raise UserError(
            f"{directory.path} has content but no config.yaml, so it is no run to resume; choose another --out"
        )
    old, wanted = read_yaml(directory.config), config.to_dict()
    # what a leaderboard wants to know changes no result
    restated = old.pop("submission", None) != wanted.pop("submission", None)
    longer = old != wanted and _goes_further(old, config)
    scope = {"seeds": None, "splits": None}
    changed = differences({**old, **scope}, {**wanted, **scope}) if longer else differences(old, wanted)
    if changed:
        raise UserError(
            f"{directory.path} was run with another configuration; undo the changes or choose another --out "
            "(old -> new):\n  " + "\n  ".join(changed)
        )
    return longer or restated  # of the same experiment: its configuration is written anew


def _goes_further(old: dict[str, Any], config: Config) -> bool:
    """Whether an experiment has the seeds and the splits of another one, maybe with more of them."""
    before = old.get("splits")
    splits = before == config.splits or (before is not None and config.splits == "all")
    if isinstance(before, list) and isinstance(config.splits, list):
        splits = set(before) <= set(config.splits)
    return splits and set(old.get("seeds") or ()) <= set(config.seeds)


def _evaluation(config: Config, task: Any) -> dict[str, Any]:
    return evaluation_options(task, ties=config.protocol["ties"])


def _check_protocol(config: Config, task: Any) -> None:
    check_selection(task, config.protocol["select"] or task.primary_metric)
    known = accepted(task.evaluate)
    if config.protocol["ties"] != "pessimistic" and known is not None and "ties" not in known:
        raise UserError(f"protocol.ties is {config.protocol['ties']!r}, but {task.name} has no ranks; leave it out")
