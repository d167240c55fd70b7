"""Labelled nodes cut at random into train, valid and test, fold after fold."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

from graphkit.data.random_streams import SPLIT, permutation
from graphkit.errors import UserError

__all__ = ["split_nodes"]

_PER_CLASS = re.compile(r"(\d+)-per-class/(\d+)/rest(/numpy)?")
_SHARES = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{1,2})")


def split_nodes(y: Tensor, split: str, *, folds: int = 10, seed: int = 0) -> dict[str, Tensor]:
    """Masks of train, valid and test, each [S, N] bool; nodes without a label are in none of them.

    Fold k depends on (seed, k) only, not on how many folds there are. The order is drawn by a counter-based generator, so a seed
    means the same split with every version of torch and NumPy. A split that ends in ``/numpy`` is drawn as published code does:
    by NumPy's legacy generator, seeded with ``seed + k``; so many of each class, class after class, then so many of the others.

    Args:
        y: [N] int64 classes, -1 where unknown; or [N, T] float labels, NaN where unknown.
        split: ``"48/32/20"``, percentages of train, valid and test (rounded down but for train); or
            ``"20-per-class/500/rest"``, so many nodes of each class, then so many for validation, the rest for test;
            ``"20-per-class/500/rest/numpy"``, the same sizes, drawn as published code does.
        folds: number of splits S.
        seed: seed of the splits.

    Raises:
        UserError: for another text, too few nodes, a class with fewer nodes than it is to give, or a seed that NumPy does not take.

    Source:
        Shchur et al.: Pitfalls of Graph Neural Network Evaluation (2018), for splits by class; the code of DiGCN (NeurIPS 2020) and
        of PyTorch Geometric Signed Directed (LoG 2023) draws them by NumPy, with seeds 0 to 9.

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
    if by_class:
        each, valid = int(by_class[1]), int(by_class[2])
        _check_classes(y, known, each, valid, split)
    if by_class and by_class[3] and not 0 <= seed <= 2**32 - folds:
        raise UserError(f"the seed of the splits is {seed}, expected 0 to 2**32 - {folds} for {split!r}")
    for fold in range(folds):
        if by_class and by_class[3]:
            parts = _of_each_class_by_numpy(y, known, each, valid, seed + fold)
        else:
            order = known[permutation(known.numel(), seed=seed, epoch=fold, stream=SPLIT)]
            parts = _of_each_class(y, order, each, valid) if by_class else _by_share(order, shares)
        for part, nodes in zip(masks.values(), parts, strict=True):
            part[fold, nodes] = True
    return masks


def _check_classes(y: Tensor, known: Tensor, each: int, valid: int, split: str) -> None:
    if y.dim() == 2:
        raise UserError(f"split is {split!r}, but nodes have several labels each; give percentages, such as '60/20/20'")
    labels, counts = torch.unique(y[known], return_counts=True)
    for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
        if count < each:
            raise UserError(
                f"split is {split!r}, but class {label} has {count} nodes; take fewer, or percentages such as '60/20/20'"
            )
    left = known.numel() - each * labels.numel()
    if left <= valid:
        raise UserError(f"split is {split!r}, but {left} nodes are left for valid and test; take fewer for valid")


def _by_share(order: Tensor, shares: list[int]) -> list[Tensor]:
    valid, test = (order.numel() * share // 100 for share in shares[1:])
    return list(order.split([order.numel() - valid - test, valid, test]))


def _of_each_class(y: Tensor, order: Tensor, each: int, valid: int) -> list[Tensor]:
    chosen = torch.zeros(order.numel(), dtype=torch.bool)
    for label in torch.unique(y[order]).tolist():
        chosen[(y[order] == label).nonzero().flatten()[:each]] = True
    rest = order[~chosen]
    return [order[chosen], rest[:valid], rest[valid:]]


def _of_each_class_by_numpy(y: Tensor, known: Tensor, each: int, valid: int, seed: int) -> list[Tensor]:
    draw = np.random.RandomState(seed)  # its stream is frozen (NEP 19), unlike that of numpy.random.default_rng
    classes = [known[y[known] == label].numpy() for label in torch.unique(y[known])]
    train = np.concatenate([draw.choice(members, each, replace=False) for members in classes])
    rest = np.setdiff1d(known.numpy(), train)
    chosen = draw.choice(rest, valid, replace=False)
    return [torch.from_numpy(nodes) for nodes in (train, chosen, np.setdiff1d(rest, chosen))]
