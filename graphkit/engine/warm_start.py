"""A training that begins with the weights of an earlier run."""

from __future__ import annotations

import os

import torch

from graphkit.engine.checkpoint import read_tensors
from graphkit.engine.evaluate import best_training
from graphkit.engine.run_directory import RunDirectory
from graphkit.errors import UserError

__all__ = ["start_from"]


def start_from(
    model: torch.nn.Module, run_dir: str | os.PathLike[str], seed: int, fold: int | None = None
) -> list[str]:
    """Put the best weights of a run into a model wherever name and shape agree; the others stay as they are.

    Args:
        model: the model, of the run's kind or of one that shares parts with it.
        run_dir: a run directory.
        seed: its weights of this seed are taken, so that seeds stay independent; where the run lacks it, those of the
            seed with the best validation.
        fold: of a run over several splits, which one; None: as for the seed.

    Returns:
        names of the weights that were taken.

    Raises:
        UserError: for a folder that is no run directory, or a model none of whose weights are there.

    Example:
        >>> start_from(model, "runs/ncn/cora-ncn", seed=0)  # doctest: +SKIP
        ['encoder.lins.0.weight', ...]
    """
    if not RunDirectory(run_dir).path.is_dir():
        raise UserError(f"start is {str(run_dir)!r}, but there is no such folder; run that experiment first")
    path = RunDirectory(run_dir, fold).best(seed)
    if not path.exists():
        seed, fold = best_training(RunDirectory(run_dir), fold=fold)
        path = RunDirectory(run_dir, fold).best(seed)
    weights, metadata = read_tensors(path)
    own = model.state_dict()
    taken = {name: tensor for name, tensor in weights.items() if name in own and own[name].shape == tensor.shape}
    if not taken:
        raise UserError(
            f"start is {str(run_dir)!r}, a {metadata['model']}; it shares no weight of the same name and shape with this "
            f"{type(model).__name__}: make their sizes agree"
        )
    model.load_state_dict(taken, strict=False)
    return sorted(taken)
