"""The data and the model of a run, rebuilt from what the run recorded."""

from __future__ import annotations

import os
from typing import Any

import torch

from graphkit.datasets import load
from graphkit.engine.config import Config, load_config
from graphkit.engine.evaluate import best_training, load_model
from graphkit.engine.run_directory import RunDirectory
from graphkit.errors import UserError

__all__ = ["device_for", "recorded_run", "recorded_task"]


def recorded_task(directory: RunDirectory, seed: int, fold: int | None = None) -> tuple[Config, Any]:
    """The configuration of a run and the task that one of its seeds, on one of its splits, was trained on.

    Raises:
        UserError: when the run has no config.yaml, as one that was started from Python.

    Example:
        >>> config, task = recorded_task(RunDirectory("runs/nbfnet/umls"), seed=0)  # doctest: +SKIP
    """
    if not directory.config.exists():
        raise UserError(
            f"{directory.path} has no config.yaml, so its data are unknown; use graphkit.load_model in Python and "
            "hand the task to its methods or to graphkit.evaluate"
        )
    config = load_config(directory.config)
    task = load(**config.data_for(seed))
    return config, task if fold is None else task.at_fold(fold)


def device_for(config: Config, device: str | None) -> str:
    """Where a recorded model works: the device asked for, else that of the configuration, else CUDA where present.

    Example:
        >>> device_for(Config("x", {}, {}, {}, {}, {}, [0], {"device": "cpu"}), None)  # doctest: +SKIP
        'cpu'
    """
    return device or config.train["device"] or ("cuda" if torch.cuda.is_available() else "cpu")


def recorded_run(
    run_dir: str | os.PathLike[str], seed: int | None = None, device: str | None = None
) -> tuple[Any, Any, int]:
    """The best weights of a seed of a run and its task: (model, task, seed).

    Args:
        run_dir: what ``graphkit run`` wrote.
        seed: None takes the seed with the best validation metric.
        device: None takes that of the configuration, else CUDA where present.

    Raises:
        UserError: when the folder is no run directory, or lacks the seed or its configuration.

    Example:
        >>> model, task, seed = recorded_run("runs/nbfnet/umls")  # doctest: +SKIP
    """
    directory = RunDirectory(run_dir)
    seed, fold = best_training(directory, seed)
    config, task = recorded_task(directory, seed, fold)
    return load_model(directory.path, seed, fold).to(device_for(config, device)), task, seed
