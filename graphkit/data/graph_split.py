"""Graphs cut into train, valid and test, fold after fold."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from graphkit.data.node_split import split_nodes
from graphkit.data.random_streams import SPLIT, permutation
from graphkit.errors import UserError

__all__ = ["split_graphs"]

_FOLDS = re.compile(r"(\d{1,3})-fold")


def split_graphs(y: Tensor, split: str = "10-fold", *, folds: int | None = None, seed: int = 0) -> dict[str, Tensor]:
    """Masks of train, valid and test, each [S, G] bool.

    ``"10-fold"`` cuts the graphs once into ten parts with the same shares of every class, up to one graph: the members of a
    class are shuffled and dealt out in turn, and the next class goes on where the last one stopped, so parts differ by one
    graph at most. Fold k tests on part k, selects on part k + 1 (the last one on part 0) and trains on the others; every
    graph is tested on once. What has several labels or values is dealt out as one class.

    The order is drawn by a counter-based generator, so a seed means the same split with every version of torch and NumPy.

    Args:
        y: [G] int64 classes, or [G, T] labels or values.
        split: ``"K-fold"``, or percentages such as ``"80/10/10"``, see :func:`graphkit.data.split_nodes`.
        folds: how many splits of percentages are drawn; None: 10. A partition has K.
        seed: seed of the split.

    Raises:
        UserError: for another text, fewer than three folds, or fewer graphs than folds.

    Source:
        Errica et al.: A Fair Comparison of Graph Neural Networks for Graph Classification (ICLR 2020) asks for a part to
        select on that is not the one to test on; theirs is drawn from the other nine.

    Example:
        >>> masks = split_graphs(torch.tensor([0] * 6 + [1] * 3), "3-fold")
        >>> masks["test"].sum(1).tolist(), masks["test"].sum(0).tolist() == [1] * 9
        ([3, 3, 3], True)
    """
    found = _FOLDS.fullmatch(str(split))
    if not found:
        return split_nodes(y, split, folds=10 if folds is None else folds, seed=seed)
    parts, graphs = int(found[1]), y.size(0)
    if parts < 3 or parts > graphs:
        raise UserError(
            f"split is {split!r} of {graphs} graphs; expected from 3-fold (train, valid and test) to {graphs}-fold"
        )
    if folds not in (None, parts):
        raise UserError(f"split is {split!r}, which has {parts} folds, not {folds}; leave folds out")
    part, dealt = torch.empty(graphs, dtype=torch.int64), 0
    classes = torch.unique(y).tolist() if y.dim() == 1 and not y.is_floating_point() else [None]
    for number, label in enumerate(classes):
        members = torch.arange(graphs) if label is None else (y == label).nonzero().flatten()
        order = members[permutation(members.numel(), seed=seed, epoch=number, stream=SPLIT)]
        part[order] = (dealt + torch.arange(order.numel())) % parts
        dealt += order.numel()
    fold = torch.arange(parts)[:, None]
    test, valid = part == fold, part == (fold + 1) % parts
    return {"train": ~test & ~valid, "valid": valid, "test": test}
