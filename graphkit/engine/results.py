"""Machine-written results: a line per seed and split."""

from __future__ import annotations

import datetime
from typing import Any

import torch

from graphkit.engine.checkpoint import write_tensors
from graphkit.engine.environment import device_name, environment, git_commit, peak_memory, versions
from graphkit.engine.relation_record import write_relations
from graphkit.engine.run_directory import RunDirectory
from graphkit.engine.state import TrainingState

__all__ = ["read_run", "record_run"]


def record_run(
    directory: RunDirectory | None,
    model: torch.nn.Module,
    task: Any,
    device: torch.device,
    options: dict[str, Any],
    state: TrainingState,
    test: dict[str, Any],
    labels: dict[str, Any] | None,
    processes: int = 1,
) -> dict[str, Any]:
    """Write ranks, their breakdown by relation and the result lines of a finished training; returns its Run's fields."""
    ranks = test.pop("ranks", None)
    assert state.best is not None
    valid = state.best["metrics"]
    if directory is not None:
        seed, fold = options["seed"], getattr(task, "fold", None)
        if ranks is not None:
            write_tensors(directory.test_ranks(seed), ranks, {"seed": seed, "ties": options["evaluation"].get("ties")})
            write_relations(directory, seed, task, ranks)
        if not directory.environment.exists():
            directory.write_environment(environment(task, options["deterministic"]))
        common = {
            "data": options["task"],
            "model": options["model"],
            "seed": seed,
            **({} if fold is None else {"fold": fold, "folds": task.num_folds}),
            "epoch": state.best["epoch"],
            "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
            **_frozen(model),
            "seconds": round(state.seconds, 3),
            "steps": state.steps,
            "peak_mib": peak_memory(device),
            "device": device_name(device),
            "processes": processes,
            "threads": torch.get_num_threads(),
            "commit": git_commit(),
            "versions": versions(),
            "select": options["select"],
            "ties": options["evaluation"].get("ties") or getattr(task, "ties", None),
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        }
        head = {"experiment": None, **(labels or {})}
        # Both lines in one write: a seed is either finished or not.
        directory.write_results(
            [
                {**head, **common, "split": split, "metrics": metrics}
                for split, metrics in (("valid", valid), ("test", test))
            ]
        )
    return _fields(valid, test, state.best["epoch"], round(state.seconds, 3), state.steps)


def _frozen(model: torch.nn.Module) -> dict[str, int]:
    """Parameters that the training leaves as they are, where there are any."""
    count = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    return {"frozen_parameters": count} if count else {}


def read_run(directory: RunDirectory, seed: int) -> dict[str, Any] | None:
    """The fields of the Run of a finished seed, or None."""
    lines = directory.results_of(seed)
    if not {"valid", "test"} <= lines.keys():
        return None
    test = lines["test"]
    return _fields(lines["valid"]["metrics"], test["metrics"], test["epoch"], test["seconds"], test["steps"])


def _fields(valid: dict[str, float], test: dict[str, float], epoch: int, seconds: float, steps: int) -> dict[str, Any]:
    return {"valid": valid, "test": test, "best_epoch": epoch, "seconds": seconds, "steps": steps}
