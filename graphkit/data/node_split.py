"""Labelled nodes cut at random into train, valid and test, fold after fold."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from graphkit.data.random_streams import SPLIT, permutation
from graphkit.errors import UserError

__all__ = ["split_nodes"]

_PER_CLASS = re.compile(r"(\d+)-per-class/(\d+)/rest")
_SHARES = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{1,2})")


def split_nodes(y: Tensor, split: str, *, folds: int = 10, seed: int = 0) -> dict[str, Tensor]:
    """Masks of train, valid and test, each [S, N] bool; nodes without a label are in none of them.

    Fold k depends on (seed, k) only, not on how many folds there are. The order is drawn by a counter-based generator, so a seed
    means the same split with every version of torch and NumPy.

    Args:
        y: [N] int64 classes, -1 where unknown; or [N, T] float labels, NaN where unknown.
        split: ``"48/32/20"``, percentages of train, valid and test (rounded down but for train); or
            ``"20-per-class/500/rest"``, so many nodes of each class, then so many for validation, the rest for test.
        folds: number of splits S.
        seed: seed of the splits.

    Raises:
        UserError: for another text, too few nodes, or a class with fewer nodes than it is to give.

    Source:
        Shchur et al.: Pitfalls of Graph Neural Network Evaluation (2018), for splits by class.

    Example:
        >>> masks = split_nodes(torch.arange(40) % 2, "3-per-class/10/rest", folds=2)
        >>> masks["train"].sum(1).tolist(), masks["valid"].sum(1).tolist(), masks["test"].sum(1).tolist()
        ([6, 6], [10, 10], [24, 24])
    """
    by_class, by_share = _PER_CLASS.fullmatch(str(split)), _SHARES.fullmatch(str(split))
    shares = [int(share) for share in by_share.groups()] if by_share else []
    if not by_class and sum(shares) != 100:
        raise UserError(
            f"split is {split!r}, expected whole percentages that make 100, such as '60/20/20', or '20-per-class/500/rest'"
        )
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 1:
        raise UserError(f"folds is {folds!r}, expected a whole number from 1 upwards")
    known = (~torch.isnan(y).all(1) if y.dim() == 2 else y >= 0).nonzero().flatten()
    masks = {part: torch.zeros(folds, y.size(0), dtype=torch.bool) for part in ("train", "valid", "test")}
    for fold in range(folds):
        order = known[permutation(known.numel(), seed=seed, epoch=fold, stream=SPLIT)]
        if by_class:
            parts = _of_each_class(y, order, int(by_class[1]), int(by_class[2]), split)
        else:
            valid, test = (order.numel() * share // 100 for share in shares[1:])
            parts = order.split([order.numel() - valid - test, valid, test])
        for part, nodes in zip(masks.values(), parts, strict=True):
            part[fold, nodes] = True
    return masks


def _of_each_class(y: Tensor, order: Tensor, each: int, valid: int, split: str) -> tuple[Tensor, Tensor, Tensor]:
    if y.dim() == 2:
        raise UserError(f"split is {split!r}, but nodes have several labels each; give percentages, such as '60/20/20'")
    chosen = torch.zeros(order.numel(), dtype=torch.bool)
    for label in torch.unique(y[order]).tolist():
        members = (y[order] == label).nonzero().flatten()
        if members.numel() < each:
            raise UserError(
                f"split is {split!r}, but class {label} has {members.numel()} nodes; take fewer, or percentages such as '60/20/20'"
            )
        chosen[members[:each]] = True
    rest = order[~chosen]
    if rest.numel() <= valid:
        raise UserError(
            f"split is {split!r}, but {rest.numel()} nodes are left for valid and test; take fewer for valid"
        )
    return order[chosen], rest[:valid], rest[valid:]
