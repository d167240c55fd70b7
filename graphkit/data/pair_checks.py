"""Pairs of nodes that were handed in: refused with the place of the first mistake."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError

__all__ = ["check_features", "check_negatives", "check_pairs", "check_self_links"]


def check_features(name: str, x: Tensor | None, num_nodes: int) -> None:
    """Refuse features that do not have a row for each node.

    Raises:
        UserError: naming the shape.

    Example:
        >>> check_features("toy", torch.zeros(2, 5), 3)
        Traceback (most recent call last):
        graphkit.errors.UserError: x of toy is [2, 5], expected a row for each of the 3 nodes: [N, F]
    """
    if x is not None and (x.dim() != 2 or x.size(0) != num_nodes):
        raise UserError(f"x of {name} is {list(x.shape)}, expected a row for each of the {num_nodes} nodes: [N, F]")


def check_pairs(what: str, pairs: Any, num_nodes: int, *, loops: bool = False) -> None:
    """Refuse what is no tensor of pairs of two nodes.

    Args:
        what: how the message calls them, such as ``"train edges of cora"``.
        pairs: should be [2, n] int64 with ids in [0, num_nodes).
        num_nodes: N.
        loops: whether a node may be paired with itself.

    Raises:
        UserError: naming the first pair that is wrong.

    Example:
        >>> check_pairs("edges", torch.tensor([[0], [7]]), 3)
        Traceback (most recent call last):
        graphkit.errors.UserError: edges: number 0 is [0, 7], but nodes are numbered up to 2
    """
    if not isinstance(pairs, Tensor) or pairs.dtype != torch.int64 or pairs.dim() != 2 or pairs.size(0) != 2:
        raise UserError(f"{what} must be an int64 tensor [2, n] (one node and the other)")
    bad = ((pairs < 0) | (pairs >= num_nodes)).any(0)
    if bool(bad.any()):
        column = int(bad.nonzero()[0])
        raise UserError(
            f"{what}: number {column} is {pairs[:, column].tolist()}, but nodes are numbered up to {num_nodes - 1}"
        )
    if not loops and bool((pairs[0] == pairs[1]).any()):
        column = int((pairs[0] == pairs[1]).nonzero()[0])
        raise UserError(f"{what}: number {column} joins node {int(pairs[0, column])} with itself; drop self-loops")


def check_negatives(what: str, negatives: Any, num_nodes: int, *, edges: int, loops: bool = False) -> None:
    """Refuse what is neither one pool of negatives nor as many for each edge.

    Args:
        what: how the message calls them.
        negatives: should be int64, [2, n] (pooled) or [2, P, K] (K of each of the P edges).
        num_nodes: N.
        edges: P, the number of edges they are for.
        loops: whether a node may be paired with itself.

    Raises:
        UserError: naming the first pair that is wrong.

    Example:
        >>> check_negatives("negatives", torch.zeros(2, 3, 9, dtype=torch.int64), 3, edges=4)
        Traceback (most recent call last):
        graphkit.errors.UserError: negatives: there are rows for 3 edges, but the split has 4 edges; expected [2, 4, K]
    """
    if not isinstance(negatives, Tensor) or negatives.dtype != torch.int64 or negatives.dim() not in (2, 3):
        raise UserError(f"{what} must be an int64 tensor: [2, n], pooled, or [2, P, K], K of each of the P edges")
    if negatives.dim() == 3 and negatives.size(0) == 2 and negatives.size(1) != edges:
        rows = negatives.size(1)
        raise UserError(
            f"{what}: there are rows for {rows} edges, but the split has {edges} edges; expected [2, {edges}, K]"
        )
    check_pairs(what, negatives.flatten(1), num_nodes, loops=loops)
    if edges and negatives.flatten(1).size(1) == 0:
        raise UserError(f"{what}: there is none for {edges} edges; hand in at least one")


def check_self_links(name: str, links: dict[str, Tensor], num_nodes: int, *, personal: bool) -> None:
    """Refuse links of a task's valid and test that do not join a node with itself.

    Args:
        name: name of the task.
        links: by split.
        num_nodes: N.
        personal: whether edges have negatives of their own, which these links would not have.

    Raises:
        UserError: naming the split and the first pair that is wrong.

    Example:
        >>> check_self_links("toy", {"test": torch.tensor([[0], [1]])}, 3, personal=False)
        Traceback (most recent call last):
        graphkit.errors.UserError: test self-links of toy: number 0 is [0, 1], expected a node twice
    """
    for split, pairs in links.items():
        if split not in ("valid", "test"):
            raise UserError(f"self_links of {name} are of {split!r}; only valid and test have some")
        what = f"{split} self-links of {name}"
        check_pairs(what, pairs, num_nodes, loops=True)
        apart = (pairs[0] != pairs[1]).nonzero().flatten()
        if len(apart):
            column = int(apart[0])
            raise UserError(f"{what}: number {column} is {pairs[:, column].tolist()}, expected a node twice")
        if personal and pairs.size(1):
            raise UserError(f"{what}: edges have negatives of their own, which these have not; leave them out")
