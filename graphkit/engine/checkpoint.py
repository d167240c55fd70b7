"""Checkpoints: one safetensors file with all that a training needs to go on bit for bit, one with the best weights.

An epoch is closed by a checkpoint, but for epochs of less than a second, which share one: what a kill then loses is trained again
within the second. Best weights wait for the next checkpoint, which is written first and holds them, unless they are its own; so
a kill between the two leaves a checkpoint from which resuming writes the missing file. The log agrees in the same way: the
history of epochs is in the checkpoint, and the log is restored from it.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from graphkit.engine.run_directory import RunDirectory, epoch_line, writing
from graphkit.engine.seeding import rng_state, set_rng_state
from graphkit.engine.state import TrainingState
from graphkit.errors import UserError

__all__ = ["Keeper", "differences", "read_metadata", "read_tensors", "write_tensors"]


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, Any]) -> None:
    """Write tensors and JSON metadata as one atomic safetensors file.

    Raises:
        UserError: when the file cannot be written; the previous one is intact.
    """
    whole = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    content = safetensors.torch.save(whole, metadata={"graphkit": json.dumps(metadata)})
    with writing(path) as file:
        file.write(content)


def read_metadata(path: Path) -> dict[str, Any]:
    """JSON metadata of a file from :func:`write_tensors`, without reading its tensors.

    Raises:
        UserError: when there is no such file or it is not one of graphkit's.
    """
    return _read(path)[1]


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and metadata of a file from :func:`write_tensors`.

    Raises:
        UserError: when there is no such file or it is not one of graphkit's.
    """
    return _read(path, tensors=True)


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Lines ``key: old -> new`` for every leaf in which two nested mappings differ.

    Example:
        >>> differences({"train": {"lr": 0.1, "epochs": 3}}, {"train": {"lr": 0.2, "epochs": 3}})
        ['train.lr: 0.1 -> 0.2']
    """
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [f"{prefix}: {_shown(old)} -> {_shown(new)}"]
    lines = []
    for key in [*old, *(key for key in new if key not in old)]:
        name = f"{prefix}.{key}" if prefix else str(key)
        lines += differences(old.get(key, _ABSENT), new.get(key, _ABSENT), name)
    return lines


class Keeper:
    """Keeps one training on the disk, or only its best weights in memory when it has no directory.

    Args:
        out: run directory, or None.
        seed: seed of the training.
        model: the model under training.
        optimizer: its optimizer.
        options: everything that decides the result; a resume with other options is refused.
        every: seconds after which :meth:`step` writes a checkpoint.
    """

    def __init__(
        self,
        out: RunDirectory | None,
        seed: int,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        options: dict[str, Any],
        every: float,
    ) -> None:
        self.out, self.seed, self.model, self.optimizer, self.every = out, seed, model, optimizer, every
        self.options = json.loads(json.dumps(options, default=str))  # as they will look when read back
        self.state = TrainingState()
        self._saved = time.monotonic()
        self._best: dict[str, torch.Tensor] = {}
        self._best_waits = False  # the best weights are not in their file yet

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keep other processes out of the directory for a block."""
        return contextlib.nullcontext() if self.out is None else self.out.locked()

    def how_to_resume(self) -> str:
        return "" if self.out is None else f"; the checkpoint is written: go on with resume in {self.out.path}"

    def open(self, resume: bool) -> TrainingState:
        """Take up the training where its checkpoint left it, or start it.

        Raises:
            UserError: when there is a checkpoint and ``resume`` is false, or it was made with other options.
        """
        if self.out is None:
            return self.state
        path = self.out.checkpoint(self.seed)
        if not path.exists():
            self.out.restore_log(self.seed, [])
            return self.state
        if not resume:
            raise UserError(f"{path.parent} already holds a training; resume it (resume=True) or choose another out")
        tensors, metadata = read_tensors(path)
        changed = differences(metadata["options"], self.options)
        if changed:
            raise UserError(f"{path} was written with other options (old -> new):\n  " + "\n  ".join(changed))
        self.model.load_state_dict(_part(tensors, "model"))
        self.optimizer.load_state_dict(_optimizer_state(_part(tensors, "optimizer"), self.optimizer))
        self.state = TrainingState(**metadata["state"])
        self._repair_best(_part(tensors, "best"))
        self.out.restore_log(self.seed, self.state.history)
        if not self.state.finished:
            place = {"epoch": self.state.epoch, "step": self.state.step}
            self.out.append_log({"event": "resume", "seed": self.seed, **place})
        set_rng_state(metadata["rng"])
        return self.state

    def step(self) -> None:
        """Call after each optimizer step: writes a checkpoint when it is time."""
        if self.out is not None and time.monotonic() - self._saved >= self.every:
            self.save()

    def save(self) -> None:
        """Write the checkpoint, and then the best weights if they are new.

        Raises:
            UserError: when it cannot be written; the previous checkpoint is intact.
        """
        if self.out is None:
            return
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": torch.as_tensor(value) for name, value in values.items()}
        if self._best_waits and not self._best_is_current():
            tensors |= {f"best/{name}": tensor for name, tensor in self._best.items()}
        metadata = {"options": self.options, "state": self.state.to_json(), "rng": rng_state()}
        write_tensors(self.out.checkpoint(self.seed), tensors, metadata)
        if self._best_waits:
            self._save_best(self._best)
        self._saved = time.monotonic()

    def end_epoch(self, improved: bool) -> None:
        """Call after each epoch: writes the checkpoint and the best weights when it is time, then the line of the log."""
        if improved:
            self._best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            self._best_waits = True
        if self.state.finished or time.monotonic() - self._saved >= min(self.every, _SHORT):
            self.save()
        if self.out is not None and self.state.history:
            self.out.append_log(epoch_line(self.seed, self.state.history[-1]))

    def load_best(self) -> None:
        """Put the best weights into the model."""
        self.model.load_state_dict(self._best if self.out is None else read_tensors(self.out.best(self.seed))[0])

    def _best_is_current(self) -> bool:
        """Whether the weights of the model are the best ones: those of the epoch that has just been closed."""
        best, last = self.state.best, self.state.history[-1]["epoch"] if self.state.history else 0
        return best is not None and self.state.step == 0 and last == best["epoch"]

    def _save_best(self, weights: dict[str, torch.Tensor]) -> None:
        assert self.out is not None
        config = getattr(self.model, "config", None)
        metadata = {"model": type(self.model).__name__, "config": config, "select": self.options.get("select")}
        write_tensors(self.out.best(self.seed), weights, {**metadata, "seed": self.seed, **(self.state.best or {})})
        self._best_waits = False

    def _repair_best(self, kept: dict[str, torch.Tensor]) -> None:
        assert self.out is not None
        best, path = self.state.best, self.out.best(self.seed)
        if best is None or (path.exists() and read_metadata(path)["epoch"] == best["epoch"]):
            return
        if kept:
            return self._save_best(kept)
        if not self._best_is_current():
            raise UserError(f"{path} is missing or belongs to another training; start again in another folder")
        self._save_best(self.model.state_dict())


_ABSENT = object()
_SHORT = 1.0  # seconds within which epochs share a checkpoint


def _shown(value: Any) -> str:
    return "(absent)" if value is _ABSENT else json.dumps(value, default=str)


def _part(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    prefix = name + "/"
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _optimizer_state(tensors: dict[str, torch.Tensor], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = tensor
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}


def _read(path: Path, tensors: bool = False) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    if not path.exists():
        raise UserError(f"there is no {path}; is its folder a run directory, and has its training begun?")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = json.loads(file.metadata()["graphkit"])
            if not isinstance(metadata, dict):
                raise ValueError("its record is no mapping")
            # A copy of its own for each tensor: views into the file are not aligned, and alignment decides which
            # vector instructions run, hence the last bit.
            return {name: file.get_tensor(name).clone() for name in file.keys()} if tensors else {}, metadata  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is damaged or was not written by graphkit ({error})") from error
