"""Masks of train, valid and test, one row a fold, from whatever says which they are."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.data.leaks import SPLITS
from graphkit.errors import UserError, nearest

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Folds", "known_fold", "split_masks"]


class Folds:
    """What a task with several splits knows of them; a task object stands for one fold and shares the rest with the others."""

    name: str

    def _split(self, masks: Mapping[str, Tensor], fold: int) -> None:
        """Take the masks [S, N] of each split, and the fold in use."""
        self._masks = dict(masks)
        self.num_folds = int(self._masks["train"].size(0))
        self._fold = known_fold(self.name, fold, self.num_folds)

    @property
    def fold(self) -> int | None:
        """Number of the split in use, from 0; None where there is only one."""
        return self._fold if self.num_folds > 1 else None

    def at_fold(self, fold: int) -> Self:
        """The same task with another of its splits; graphs and labels are shared.

        Raises:
            UserError: for a fold that there is not.

        Example:
            >>> from torch_geometric.data import Data
            >>> from graphkit.data import NodeTask
            >>> data = Data(edge_index=torch.tensor([[0], [1]]), y=torch.tensor([0, 1, 0]), x=torch.eye(3))
            >>> data.train_mask, data.val_mask = torch.eye(3, 2).bool(), torch.eye(3).roll(1, 0)[:, :2].bool()
            >>> data.test_mask = ~data.train_mask & ~data.val_mask
            >>> NodeTask("toy", data).at_fold(1).nodes_of("train")
            tensor([1])
        """
        other = copy.copy(self)
        other._fold = known_fold(self.name, fold, self.num_folds)
        return other

    def masks(self, split: str) -> Tensor:
        """[S, N] bool: the nodes (or graphs) of a split in each fold.

        Raises:
            UserError: for an unknown split.
        """
        if split not in SPLITS:
            raise UserError(nearest(str(split), SPLITS, "split"))
        return self._masks[split]

    def mask(self, split: str) -> Tensor:
        """[N] bool: the nodes (or graphs) of a split in the fold in use.

        Raises:
            UserError: for an unknown split.
        """
        return self.masks(split)[self._fold]

    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of the masks of each split, all folds, so that two runs can be seen to share them."""
        return {
            split: hashlib.sha256(self.masks(split).to(torch.uint8).numpy().tobytes()).hexdigest() for split in SPLITS
        }


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
