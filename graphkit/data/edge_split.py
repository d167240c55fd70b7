"""Undirected edges cut at random into train, valid and test."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from graphkit.data.non_edges import pair_numbers, pairs_of_numbers
from graphkit.data.random_streams import SPLIT, permutation
from graphkit.errors import UserError

__all__ = ["split_edges", "split_shares", "undirected_edges"]


def undirected_edges(edge_index: Tensor) -> Tensor:
    """Every edge once, u < v, sorted by (v, u), whichever directions and however often it is given; no self-loops.

    Args:
        edge_index: [2, E] int64.

    Example:
        >>> undirected_edges(torch.tensor([[1, 0, 2, 1], [0, 1, 2, 2]])).tolist()
        [[0, 1], [1, 2]]
    """
    return pairs_of_numbers(torch.unique(pair_numbers(edge_index[:, edge_index[0] != edge_index[1]])))


def split_shares(split: str) -> tuple[int, int, int]:
    """Percentages of train, valid and test.

    Raises:
        UserError: when the text is not three whole percentages that make 100.

    Example:
        >>> split_shares("85/5/10")
        (85, 5, 10)
    """
    found = re.fullmatch(r"(\d{1,3})/(\d{1,3})/(\d{1,3})", str(split))
    shares = tuple(int(share) for share in found.groups()) if found else ()
    if sum(shares) != 100:
        raise UserError(
            f"split is {split!r}, expected the whole percentages of train, valid and test, such as '85/5/10' or '70/10/20'"
        )
    return shares[0], shares[1], shares[2]


def split_edges(edges: Tensor, split: str = "85/5/10", *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Edges [2, n] cut at random: train [2, a], valid [2, b], test [2, c].

    Valid and test get their share rounded down, train the rest. The order is drawn by a counter-based generator, so a
    seed means the same split with every version of torch and NumPy.

    Args:
        edges: [2, n] int64, every edge once.
        split: percentages of train, valid and test.
        seed: seed of the split.

    Raises:
        UserError: for a split that is not three whole percentages, or one that leaves train without an edge.

    Example:
        >>> edges = torch.stack([torch.arange(20), torch.arange(20) + 1])
        >>> [part.size(1) for part in split_edges(edges, "85/5/10")]
        [17, 1, 2]
    """
    _, *shares = split_shares(split)
    total = edges.size(1)
    valid, test = (total * share // 100 for share in shares)
    train = total - valid - test
    if train < 1:
        raise UserError(
            f"the split {split!r} of {total} edges leaves no edge to train on; choose a larger share of train"
        )
    order = permutation(total, seed=seed, epoch=0, stream=SPLIT)
    first, second, third = order.split([train, valid, test])
    return edges[:, first], edges[:, second], edges[:, third]
