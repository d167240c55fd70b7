"""Masks of train, valid and test, one row a fold, from whatever says which they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError

__all__ = ["known_fold", "split_masks"]


def split_masks(name: str, given: Mapping[str, Any], count: int, what: str = "node") -> dict[str, Tensor]:
    """Masks [S, N] bool by split; a split with one fold serves all of them.

    Args:
        name: name of the data set, for messages.
        given: by split, [N] bool, or [n] int64 ids, or a list of either, one per fold, or [S, N] bool.
        count: number of things N that are split.
        what: what one of them is called.

    Raises:
        UserError: for tensors of wrong shape or type, ids out of range, or splits with different numbers of folds.

    Example:
        >>> split_masks("toy", {"train": torch.tensor([0, 2]), "test": torch.tensor([1])}, 3)["train"].tolist()
        [[True, False, True]]
    """
    masks = {split: _mask(f"{split} of {name}", value, count, what) for split, value in given.items()}
    folds = max(mask.size(0) for mask in masks.values())
    for split, mask in masks.items():
        if mask.size(0) not in (1, folds):
            raise UserError(
                f"{split} of {name} has {mask.size(0)} folds, and another split {folds}; give each as many, or one"
            )
    return {split: mask.expand(folds, count) for split, mask in masks.items()}


def known_fold(name: str, fold: int, folds: int) -> int:
    """The number of a fold that there is.

    Raises:
        UserError: for another number.

    Example:
        >>> known_fold("toy", 1, 2)
        1
    """
    if isinstance(fold, bool) or not isinstance(fold, int) or not 0 <= fold < folds:
        have = "it has one split, fold 0" if folds == 1 else f"its {folds} splits are folds 0 .. {folds - 1}"
        raise UserError(f"{name} has no fold {fold!r}; {have}")
    return fold


def _mask(label: str, value: Any, count: int, what: str) -> Tensor:
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], Tensor):
        return torch.cat([_mask(label, one, count, what) for one in value])
    value = torch.as_tensor(value)
    if value.dtype == torch.bool:
        value = value[None] if value.dim() == 1 else value
        if value.dim() != 2 or value.size(1) != count:
            raise UserError(
                f"{label} is {list(value.shape)}, expected a mask for each of the {count} {what}s, [N] or [S, N]"
            )
        return value
    if value.dim() != 1 or (value.numel() and value.is_floating_point()):
        raise UserError(f"{label} is {value.dtype} {list(value.shape)}, expected a bool mask [N] or int64 ids [n]")
    value = value.to(torch.int64)
    bad = (value < 0) | (value >= count)
    if bool(bad.any()):
        raise UserError(f"{label}: {int(value[bad][0])} is no {what}; {what}s are numbered up to {count - 1}")
    mask = torch.zeros(1, count, dtype=torch.bool)
    mask[0, value] = True
    return mask
