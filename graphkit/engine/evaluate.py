"""Scoring a model on a split, and models read back from a run directory."""

from __future__ import annotations

import os
from typing import Any

import torch

from graphkit.engine.checkpoint import read_metadata, read_tensors
from graphkit.engine.options import accepted, check_options
from graphkit.engine.run_directory import RunDirectory
from graphkit.engine.seeding import preserved_rng
from graphkit.engine.state import selection_score
from graphkit.errors import UserError, nearest

__all__ = ["evaluate", "load_model"]


def evaluate(model: torch.nn.Module, task: Any, split: str = "test", **options: Any) -> dict[str, Any]:
    """Score a model on one split of a task, under the task's own protocol.

    The model keeps its mode and its device; the global random streams do not move.

    Args:
        model: the model.
        task: a task, such as ``graphkit.load("umls")``.
        split: ``"train"``, ``"valid"`` or ``"test"``.
        options: options of ``task.evaluate``, such as ``ties="pessimistic"`` or ``return_ranks=True``.

    Returns:
        metrics by name, as floats.

    Raises:
        UserError: for an option that the task does not have.

    Example:
        >>> import graphkit as gk
        >>> task = gk.load("umls")  # doctest: +SKIP
        >>> gk.evaluate(gk.load_model("runs/umls"), task)["mrr"]  # doctest: +SKIP
        0.94
    """
    check_options(task.evaluate, options, "evaluation option", without=("self", "model", "split"))
    with preserved_rng():
        return task.evaluate(model, split, **options)


def evaluation_options(task: Any, **options: Any) -> dict[str, Any]:
    """Those of the options that the task's ``evaluate`` has."""
    known = accepted(task.evaluate)
    return {name: value for name, value in options.items() if known is None or name in known}


def load_model(run_dir: str | os.PathLike[str], seed: int | None = None, fold: int | None = None) -> torch.nn.Module:
    """The best model of a run, on the CPU and in evaluation mode.

    Args:
        run_dir: a folder that ``gk.fit(..., out=...)`` or ``graphkit run`` wrote.
        seed: the seed; None takes the one with the best validation metric (the smallest on a tie).
        fold: of a run over several splits, which one; None takes the one with the best validation metric.

    Raises:
        UserError: when the folder is no run directory, lacks the seed or the fold, holds a model that graphkit does not have, or
            weights of another one.

    Example:
        >>> load_model("runs/umls", seed=0)  # doctest: +SKIP
        NBFNet(...)
    """
    from graphkit.models import registry

    seed, fold = best_training(RunDirectory(run_dir), seed, fold)
    path = RunDirectory(run_dir, fold).best(seed)
    weights, metadata = read_tensors(path)
    models = registry()
    if metadata["model"] not in models or metadata["config"] is None:
        raise UserError(
            f"{path} holds a {metadata['model']}, which is not one of graphkit's models; build it yourself and read "
            "its weights with safetensors.torch.load_file"
        )
    model = models[metadata["model"]](**metadata["config"])
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:  # names or shapes of other parameters
        raise UserError(
            f"{path} does not hold the weights of the {metadata['model']} that it describes; it was damaged or exchanged, so "
            f"take it from a copy, or train again ({' '.join(str(error).split())[:200]})"
        ) from None
    return model.eval()


def trainings(
    directory: RunDirectory, seed: int | None = None, fold: int | None = None
) -> list[tuple[int, int | None]]:
    """(seed, fold) of the trainings that have best weights; those of one seed, or of one fold, where one is named.

    Raises:
        UserError: when there is none.
    """
    found = directory.trainings()
    if not directory.path.exists():
        near = [one.name for one in directory.path.parent.glob("*") if one.is_dir()]
        said = nearest(directory.path.name, near, "folder")
        hint = said if "did you mean" in said else "there is no such folder"
        raise UserError(f"{directory.path} holds no trained model: {hint}; give the folder that graphkit run wrote")
    if not found:
        raise UserError(f"{directory.path} holds no trained model (no seed-K/best.safetensors); is it a run directory?")
    for what, wanted, place in (("seed", seed, 0), ("fold", fold, 1)):
        if wanted is None:
            continue
        known = [pair for pair in found if pair[place] == wanted]
        if not known:
            have = ", ".join(str(pair) for pair in dict.fromkeys(pair[place] for pair in found) if pair is not None)
            raise UserError(f"{directory.path} has no {what} {wanted}; it has {have or 'none'}")
        found = known
    return found


def best_training(directory: RunDirectory, seed: int | None = None, fold: int | None = None) -> tuple[int, int | None]:
    """(seed, fold) of the training whose best validation is the highest, the first of them on a tie."""

    def score(training: tuple[int, int | None]) -> float:
        path = RunDirectory(directory.path, training[1]).best(training[0])
        metadata = read_metadata(path)
        try:
            return float(selection_score(metadata["metrics"], metadata["select"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise UserError(
                f"{path} is damaged: it does not say what it scored on validation; take it from a copy, or train again"
            ) from None

    return max(trainings(directory, seed, fold), key=score)
