"""Evaluation protocols of link prediction by name: how edges are divided, and what they are told from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphkit.data.edge_split import split_edges, split_shares, undirected_edges
from graphkit.data.heart_negatives import heart_negatives
from graphkit.data.non_edges import NonEdges
from graphkit.data.random_streams import SPLIT, permutation
from graphkit.errors import UserError, nearest

__all__ = ["PROTOCOLS", "LinkProtocol", "apply_protocol", "link_protocol"]


@dataclass(frozen=True)
class LinkProtocol:
    """A protocol of link prediction.

    Args:
        split: usual shares of train, valid and test.
        metrics: what is measured; the first one selects the epoch.
        about: in one sentence, for the record.
        only: whether the protocol has no other shares.
        rows: whether each row of the edges is a link of its own, in the order in which they are given.
        self_links: whether rows that join a node with itself are told from negatives too, in valid and test.

    Example:
        >>> PROTOCOLS["ncn"].metrics[0]
        'hits@100'
    """

    split: str
    metrics: tuple[str, ...]
    about: str
    only: bool = False
    rows: bool = False
    self_links: bool = False


_NBFNET = (
    "the split of NBFNet's published code: each row of the file is a link, also where two rows join the same nodes (so train "
    "shows some links of valid and test), cut in the order of torch's generator with seed 0; the seed draws the negatives"
)

PROTOCOLS = {
    "random": LinkProtocol(
        "85/5/10", ("auc", "ap"), "negatives drawn per edge of valid and test, no edges of the graph of their split"
    ),
    "ncn": LinkProtocol(
        "70/10/20",
        ("hits@100", "hits@50", "hits@20", "mrr", "auc", "ap"),
        "60/20/20 with as many negatives, none of them an edge of the whole graph; half of valid is given back to train, "
        "its negatives stay",
        only=True,
    ),
    "pooled": LinkProtocol(
        "85/5/10",
        ("mrr", "hits@1", "hits@3", "hits@10", "hits@100", "auc", "ap"),
        "one negative per edge of valid and test, no edges of the whole graph; an edge is ranked among all of its split",
    ),
    "heart": LinkProtocol(
        "85/5/10",
        ("mrr", "hits@1", "hits@3", "hits@10", "hits@20", "hits@100"),
        "HeaRT: hard negatives of each edge's own, half of them keep its one node and half the other; split and negatives "
        "are graphkit's own, the published files are not used",
    ),
    "nbfnet": LinkProtocol("85/5/10", ("auc", "ap"), _NBFNET, only=True, rows=True),
    "nbfnet-all": LinkProtocol(
        "85/5/10",
        ("auc", "ap"),
        f"{_NBFNET}; rows that join a node with itself count in valid and test, as published, and are not trained on",
        only=True,
        rows=True,
        self_links=True,
    ),
}
"""By name: ``random``, ``ncn``, ``pooled``, ``heart``, ``nbfnet``, ``nbfnet-all``."""


def link_protocol(name: str) -> LinkProtocol:
    """A protocol by name.

    Raises:
        UserError: for an unknown name (the nearest one is suggested).

    Example:
        >>> link_protocol("heart").split
        '85/5/10'
    """
    if name not in PROTOCOLS:
        raise UserError(nearest(str(name), PROTOCOLS, "protocol of link prediction"))
    return PROTOCOLS[name]


def apply_protocol(
    name: str,
    edges: Tensor,
    num_nodes: int,
    *,
    split: str | None = None,
    seed: int = 0,
    num_negatives: int | None = None,
    x: Tensor | None = None,
    heart: Callable[..., tuple[Tensor, Tensor]] = heart_negatives,
) -> dict[str, Any]:
    """Arguments of :class:`LinkTask` for the edges [2, n] of a whole graph.

    Args:
        name: name of the protocol.
        edges: [2, n] int64; directions, repeats and self-loops do not matter, but for ``"nbfnet"`` and ``"nbfnet-all"``, which
            take the rows as they are.
        num_nodes: N.
        split: shares of train, valid and test; None: the usual ones of the protocol.
        seed: seed of the split and of drawn negatives; with those two of the negatives alone.
        num_negatives: negatives an edge; None: 1, with ``heart`` 500.
        x: [N, F] features, which HeaRT's negatives use, or None.
        heart: makes HeaRT's negatives, see :func:`graphkit.data.heart_negatives`.

    Raises:
        UserError: for an unknown protocol, shares or a number of negatives that it does not have, or a graph with too few
            non-edges.

    Example:
        >>> edges = torch.combinations(torch.arange(30)).t()[:, :100]
        >>> parts = apply_protocol("ncn", edges, 30)
        >>> [parts[key].size(1) for key in ("train", "valid", "test", "valid_negatives", "test_negatives")]
        [70, 10, 20, 20, 20]
    """
    protocol = link_protocol(name)
    shares = protocol.split if split is None else split
    if protocol.only and shares != protocol.split:
        raise UserError(f"the protocol {name!r} splits {protocol.split}, not {shares!r}; leave out split")
    if num_negatives is not None and name in ("ncn", "pooled"):
        raise UserError(f"the protocol {name!r} has a number of negatives of its own; leave out num_negatives")
    if protocol.rows:
        cut = _published_rows(edges, shares)
        train, valid, test = (part[:, part[0] != part[1]] for part in cut)
    else:
        edges = undirected_edges(edges)
        train, valid, test = (_ncn_edges if name == "ncn" else split_edges)(edges, shares, seed=seed)
    parts: dict[str, Any] = {"train": train, "valid": valid, "test": test, "metrics": protocol.metrics}
    if protocol.rows:
        parts["repeats"] = True
    if protocol.self_links:
        parts["self_links"] = {split: part[:, part[0] == part[1]] for split, part in zip(("valid", "test"), cut[1:], strict=True)}
    if name == "random" or protocol.rows:
        parts["num_negatives"] = 1 if num_negatives is None else num_negatives
    elif name == "heart":
        each = 500 if num_negatives is None else num_negatives
        made = heart(train, valid, test, num_nodes, x=x, num_negatives=each)
        parts |= {"valid_negatives": made[0], "test_negatives": made[1], "negatives_avoid": "earlier"}
    else:
        counts = [test.size(1) if name == "ncn" else valid.size(1), test.size(1)]
        drawn = NonEdges.of(edges, num_nodes).sample(sum(counts), seed=seed, which=0)
        parts["valid_negatives"], parts["test_negatives"] = drawn.split(counts, 1)
    return parts


def _ncn_edges(edges: Tensor, shares: str, *, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """60/20/20, then half of valid, shuffled, back to train; where valid is odd, train gets the larger half."""
    train, valid, test = split_edges(edges, "60/20/20", seed=seed)
    valid = valid[:, permutation(valid.size(1), seed=seed, epoch=1, stream=SPLIT)]
    back, kept = valid.split([valid.size(1) - valid.size(1) // 2, valid.size(1) // 2], 1)
    return torch.cat([train, back], 1), kept, test


def _published_rows(rows: Tensor, shares: str) -> tuple[Tensor, Tensor, Tensor]:
    """The rows as ``torch.utils.data.random_split`` cuts them with a generator of seed 0, self-loops among them.

    Train and valid get their share rounded down, test the rest.

    Raises:
        UserError: for edges listed in both directions throughout, whose every link would be in two splits.
    """
    total = rows.size(1)
    different = rows[:, rows[0] != rows[1]]
    if different.size(1) and different.size(1) == 2 * undirected_edges(different).size(1):
        raise UserError(
            "the protocol 'nbfnet' takes each row of the edges as a link, and here every edge stands in both directions; use data "
            "that list a link once, such as cora/citations, or the protocol 'random'"
        )
    first, second, _ = (total * share // 100 for share in split_shares(shares))
    order = torch.randperm(total, generator=torch.Generator().manual_seed(0))
    train, valid, test = rows[:, order].split([first, second, total - first - second], 1)
    return train, valid, test
