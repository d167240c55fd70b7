"""Training: one loop for every task and model, short enough to copy."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from graphkit.data.batch_size import is_out_of_memory
from graphkit.engine.checkpoint import Keeper
from graphkit.engine.distributed import OneProcess, ProcessLost, joined
from graphkit.engine.evaluate import evaluate, evaluation_options
from graphkit.engine.explanations import record_explanations
from graphkit.engine.interrupt import Interrupted, InterruptGuard
from graphkit.engine.options import check_options, check_ranges, check_selection
from graphkit.engine.parameter_groups import parameter_groups
from graphkit.engine.progress import Reporter, SilentReporter, default_reporter
from graphkit.engine.results import read_run, record_run
from graphkit.engine.run_directory import RunDirectory
from graphkit.engine.schedule import RateSchedule
from graphkit.engine.seeding import deterministic_algorithms, seed_of, seeded
from graphkit.engine.tensorboard import with_tensorboard
from graphkit.engine.warm_start import start_from
from graphkit.errors import UserError

__all__ = ["Run", "fit"]

_OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@dataclasses.dataclass
class Run:
    """What a training gave.

    Args:
        test: metrics of the best weights on the test split.
        valid: metrics of the best weights on the validation split.
        best_epoch: the epoch they come from, counted from 1.
        history: one record per epoch: ``epoch``, ``loss`` (mean over steps), ``seconds``, ``valid`` where evaluated.
        model: the model with the best weights.
        out: the run directory, or None.
        seconds: seconds of training and validation, over all processes that worked on it.
        steps: optimizer steps.
        seed: the seed.
    """

    test: dict[str, float]
    valid: dict[str, float]
    best_epoch: int
    history: list[dict[str, Any]]
    model: torch.nn.Module = dataclasses.field(repr=False)
    out: Path | None
    seconds: float
    steps: int
    seed: int


def fit(
    model: torch.nn.Module,
    task: Any,
    *,
    epochs: int = 20,
    lr: float = 5e-3,
    lr_of: dict[str, float] | None = None,
    weight_decay: float = 0.0,
    optimizer: Literal["adam", "adamw"] = "adam",
    schedule: dict[str, Any] | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    start: str | None = None,
    loader: dict[str, Any] | None = None,
    evaluation: dict[str, Any] | None = None,
    evaluate_every: int = 1,
    select: str | None = None,
    patience: int | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    deterministic: bool = False,
    amp: bool | Literal["auto"] = "auto",
    device: str | None = None,
    checkpoint_every: float = 60.0,
    max_steps: int | None = None,
    tensorboard: bool = False,
    splits: str | Sequence[int] | None = None,
    score_test: bool = True,
    reporter: Reporter | None = None,
    labels: dict[str, Any] | None = None,
) -> Run:
    """Train with Adam or AdamW, select the epoch on validation, score the test split once.

    With ``out``, a kill at any moment loses at most ``checkpoint_every`` seconds, and ``resume=True`` continues bit for
    bit on the CPU (same number of threads). Without ``out`` nothing is written.

    In a script that torchrun started, every process calls this; they divide each batch and each evaluation and give
    what one process gives, up to rounding. The first one writes and shows progress. Every process returns the Run.

    Args:
        model: has ``loss(batch) -> scalar``; with :class:`graphkit.models.Model`, the run can be loaded back. Where it has
            ``begin_epoch(task, epoch)``, that is called once before each epoch, counted from 1; what it changes has to be a
            buffer or a parameter. Where it has ``routing_record()``, what that gives after each epoch (plain lists, see
            :meth:`graphkit.analysis.RoutingMonitor.record`) goes into the record of the epoch.
        task: has ``loader``, ``evaluate`` and ``primary_metric``, such as ``graphkit.load("umls")``.
        epochs: passes over the training split; 0 evaluates the model as it is, such as a heuristic.
        lr: the learning rate.
        lr_of: learning rates of parts of the model, such as ``{"predictor": 2.4e-3}``; 0 keeps a part's weights.
        weight_decay: Adam's L2 penalty, or AdamW's decay. Parameters that the model names in ``no_decay()`` do without it.
        optimizer: ``"adam"``, whose penalty is part of the gradient, or ``"adamw"``, which shrinks the weights beside it.
        schedule: how learning rates change from epoch to epoch, such as ``{"kind": "cosine", "warmup": 10}``, see
            :func:`graphkit.engine.schedule.rate_factor`; None: not at all.
        clip_norm: largest norm of the gradient, or None.
        accumulate: batches whose mean gradient makes one step of the optimizer (of the last step of an epoch, as many as are left).
            What a model decides for a batch, such as which edges to hide, it still decides for each: as the processes of a
            training that each look at their own batch alone.
        start: a run directory; the training begins with its best weights (of the same seed, where it has that one)
            wherever name and shape agree. None: with the weights as they are.
        loader: options of ``task.loader``, such as ``{"batch_size": 64}``.
        evaluation: options of ``task.evaluate``, such as ``{"ties": "mean"}``.
        evaluate_every: epochs between validations; the last epoch always has one.
        select: validation metric that selects the epoch, the highest or of an error the lowest; None takes
            ``task.primary_metric``.
        patience: stop after so many validations without a better one, or None.
        seed: seed of the loader and of every global random stream during the training; the streams of the caller do
            not move. The initial weights are the caller's.
        out: run directory.
        resume: go on from the checkpoint in ``out`` if there is one; of a finished run the results are read back.
        deterministic: ``torch.use_deterministic_algorithms`` during the training.
        amp: bfloat16 autocast in training; ``"auto"`` means on CUDA only. Evaluation is never autocast: rounding
            scores to 8 bits makes ties, and ties decide ranks.
        device: where to train; None takes CUDA where present, with several processes a GPU each.
        checkpoint_every: seconds between checkpoints within an epoch.
        max_steps: stop after so many optimizer steps in all, or None.
        tensorboard: whether to write losses and metrics for TensorBoard, beside the checkpoints of each seed.
        splits: of a task with several splits, such as ``gk.load("texas", task="node")``, train on ``"all"`` of them or on those of
            these numbers, one after the other, each from weights of its own: a model of graphkit is made anew from (seed, fold),
            another starts as it was handed in. The result is a :class:`graphkit.engine.FoldedRun`.
        score_test: False leaves the test split alone, as a search over options should; ``Run.test`` is then empty and nothing is
            recorded, so ``out`` has to be None.
        reporter: gets the progress; None shows a bar on a terminal and nothing elsewhere.
        labels: further fields of the lines in ``results.jsonl``, such as the name of the experiment.

    Raises:
        UserError: for an option out of range or unknown to the task, a loss that is not finite (naming epoch and
            step), a directory that already holds a training or cannot be written, batches that several processes
            cannot share.
        KeyboardInterrupt: after control-C; the checkpoint is written first.

    Example:
        >>> import graphkit as gk
        >>> from graphkit.models import NBFNet
        >>> task = gk.load("umls")  # doctest: +SKIP
        >>> run = gk.fit(NBFNet.for_task(task), task, epochs=5, out="runs/umls")  # doctest: +SKIP
        >>> run.test["mrr"]  # doctest: +SKIP
        0.94
    """
    if not score_test and out is not None:
        raise UserError("score_test=False records nothing, so it takes no out; leave one of the two out")
    if splits is not None:
        from graphkit.engine.folds import fit_folds

        return fit_folds(
            model, task, splits, seed=seed, epochs=epochs, lr=lr, lr_of=lr_of, weight_decay=weight_decay, optimizer=optimizer,
            schedule=schedule, clip_norm=clip_norm, accumulate=accumulate, start=start, loader=loader, evaluation=evaluation,
            evaluate_every=evaluate_every, select=select, patience=patience, out=out, resume=resume,
            deterministic=deterministic, amp=amp, device=device, checkpoint_every=checkpoint_every, max_steps=max_steps,
            tensorboard=tensorboard, score_test=score_test, reporter=reporter, labels=labels,
        )  # fmt: skip
    loader, evaluation, select = dict(loader or {}), dict(evaluation or {}), select or task.primary_metric
    options = {
        "model": type(model).__name__, "model_config": getattr(model, "config", None), "task": task.name, "seed": seed,
        "epochs": epochs, "lr": lr, "weight_decay": weight_decay, "clip_norm": clip_norm, "loader": loader,
        "evaluation": evaluation, "evaluate_every": evaluate_every, "select": select, "patience": patience,
        "deterministic": deterministic, "amp": amp, "max_steps": max_steps,
    }  # fmt: skip
    fold = getattr(task, "fold", None)
    if fold is not None:
        options["fold"] = fold
    stream = seed_of(seed, fold)
    options |= {key: value for key, value in (("lr_of", lr_of), ("start", start), ("schedule", schedule)) if value}
    options |= {} if optimizer == "adam" else {"optimizer": optimizer}
    options |= {} if accumulate == 1 else {"accumulate": accumulate}
    check_ranges({**options, "checkpoint_every": checkpoint_every})
    _check_task_options(loader, evaluation, task)
    check_selection(task, select)
    if epochs and not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(f"{type(model).__name__} has nothing to train; set epochs to 0, which evaluates it as it is")
    processes = joined()
    place = processes.device(device)
    autocast = torch.autocast(place.type, torch.bfloat16, enabled=place.type == "cuda" if amp == "auto" else amp)
    model.to(place)
    steps = _OPTIMIZERS[optimizer](parameter_groups(model, lr, lr_of), lr=lr, weight_decay=weight_decay)
    rates = RateSchedule(steps, epochs, schedule)
    directory = (
        None if out is None or not processes.first else RunDirectory(out, fold)
    )  # the first process alone writes
    if start is not None:
        begun = directory is not None and directory.checkpoint(seed).exists()
        processes.on_first(lambda: None if begun else start_from(model, start, seed, fold))
    keeper = Keeper(directory, seed, model, steps, options, checkpoint_every)
    show = SilentReporter() if not processes.first else default_reporter() if reporter is None else reporter
    show = with_tensorboard(show, directory, seed) if tensorboard and processes.first else show
    alone = processes.around_first(keeper.locked())
    with alone, seeded(stream), deterministic_algorithms(deterministic), InterruptGuard() as guard, show:
        state = processes.start(keeper, resume)
        show.begin(model, place, seed, epochs, state)
        try:
            if not (epochs or state.finished):
                found = processes.tell(_evaluated(model, task, "valid", evaluation, processes, guard, show))
                state.end_untrained(found, select)
                keeper.end_epoch(improved=True)
            while not state.finished:
                if state.step == 0:
                    processes.begin_epoch(model, task, state.epoch)
                rates.begin_epoch(state.epoch)
                model.train()
                first = state.step * accumulate
                batches = task.loader("train", seed=stream, epoch=state.epoch, start=first, **loader)
                total = state.step - (-len(batches) // accumulate)
                for group in _groups(batches, accumulate):
                    if state.steps == max_steps:
                        break
                    steps.zero_grad(set_to_none=True)
                    mean = torch.zeros((), device=place)
                    for number, batch in enumerate(group, state.steps * accumulate):
                        with autocast:
                            loss = processes.loss(model, batch.to(place), stream, number) / len(group)
                        loss.backward()
                        mean = mean + loss.detach()
                    value = processes.reduce(model, mean)
                    if clip_norm is not None:
                        torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
                    state.count(value)
                    steps.step()
                    show.step(state, total)
                    keeper.step()
                    processes.check(guard)
                last = state.epoch == epochs or state.steps == max_steps
                valid: dict[str, Any] | None = None
                if last or state.epoch % evaluate_every == 0:
                    valid = processes.tell(_evaluated(model, task, "valid", evaluation, processes, guard, show))
                improved = state.end_epoch(valid, select, patience, last)
                routing: Any = getattr(model, "routing_record", None)
                if routing is not None:
                    state.history[-1]["routing"] = routing()
                show.epoch(state, select, improved)
                keeper.end_epoch(improved)
        except Interrupted:
            keeper.save()
            show.message(f"interrupted in epoch {state.epoch}, step {state.step}{keeper.how_to_resume()}")
            processes.settle()
            raise
        processes.load_best(keeper)
        model.eval()
        run = processes.tell(None if directory is None else read_run(directory, seed))
        if run is None:
            asked = {"return_ranks": True, **evaluation}
            test = _evaluated(model, task, "test", asked, processes, guard, show) if score_test else {}
            found = record_run(directory, model, task, place, options, state, test, labels, processes.size)
            run = processes.tell(found)
        if directory is not None:
            try:
                record_explanations(directory, seed, model, task)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                show.message(f"no triple is explained: {error}")
        show.end(run, select)
    return Run(model=model, out=None if out is None else Path(out), seed=seed, history=state.history, **run)


def _evaluated(
    model: torch.nn.Module,
    task: Any,
    split: str,
    options: dict[str, Any],
    processes: OneProcess,
    guard: InterruptGuard,
    show: Reporter,
) -> dict[str, Any]:
    """Metrics of a split, from all processes together, with progress that also lets control-C through."""

    def progress(done: int, total: int) -> None:
        guard.check()
        show.evaluating(split, done, total)

    options = evaluation_options(task, progress=progress, processes=processes, **options)
    try:
        return evaluate(model, task, split, **options)
    except ProcessLost:
        guard.check()  # control-C reaches all processes; one that waits for the ranks sees the others leave
        raise


def _check_task_options(loader: dict[str, Any], evaluation: dict[str, Any], task: Any) -> None:
    check_options(task.loader, loader, "loader option", without=("self", "split", "seed", "epoch", "start"))
    owned = ("self", "model", "split", "return_ranks", "progress", "processes")
    check_options(task.evaluate, evaluation, "evaluation option", without=owned)


def _groups(batches: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """So many batches at a time, at the end those that are left."""
    source = iter(batches)
    while group := list(itertools.islice(source, size)):
        yield group
