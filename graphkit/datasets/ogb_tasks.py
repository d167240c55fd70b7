"""Tasks from OGB's arrays, under the rules of its leaderboards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from graphkit.data import LinkTask
from graphkit.datasets.card import Card
from graphkit.datasets.ogb_links import OGBLinks, read_ogb_links

__all__ = ["ogb_link_task"]

_POOLED = ("hits@20", "hits@50", "hits@100")
_PERSONAL = ("mrr", "hits@1", "hits@3", "hits@10")


def ogb_link_task(
    entry: Card, paths: dict[str, Path], *, use_valedges: bool = False, provenance: dict[str, Any] | None = None
) -> LinkTask:
    """The link task of one of OGB's data sets: its split, its negatives, and its metric first.

    Args:
        entry: the card; its options say which metric is OGB's, and what the edges are like.
        paths: the files by their path below the folder of the data set.
        use_valedges: whether valid edges carry messages when test is scored. OGB's rules allow it for ogbl-collab alone.
        provenance: where the data come from.

    Raises:
        UserError: for files that do not hold what is expected.

    Example:
        >>> ogb_link_task(card("ogbl-ddi"), paths).primary_metric  # doctest: +SKIP
        'hits@20'
    """
    options = entry.options
    links = read_ogb_links(entry.name, paths, both_directions=bool(options.get("both_directions")))
    others = _PERSONAL if links.personal else _POOLED
    edges, dropped = _without_loops(links)
    given = {"self-loops dropped from train": dropped} if dropped else {}
    return LinkTask(
        entry.name, links.num_nodes, edges, links.edges["valid"], links.edges["test"],
        x=links.x, nodes=links.names,
        valid_negatives=_pairs(links, "valid"), test_negatives=_pairs(links, "test"),
        negatives_avoid=options.get("negatives_avoid", "nothing"),
        metrics=tuple(dict.fromkeys((str(options["metric"]), *others))),
        use_valedges=use_valedges, repeats=bool(options.get("repeats")), directed=bool(options.get("directed")),
        provenance={**(provenance or {}), **given},
    )  # fmt: skip


def _without_loops(links: OGBLinks) -> tuple[torch.Tensor, int]:
    """Train edges between two different nodes, and how many there were besides."""
    train = links.edges["train"]
    loops = train[0] == train[1]
    dropped = int(loops.sum())
    return (train[:, ~loops], dropped) if dropped else (train, 0)


def _pairs(links: OGBLinks, split: str) -> torch.Tensor:
    """[2, n] of one pool, or [2, P, K] with the source of each edge before its K targets."""
    negatives = links.negatives[split]
    if not links.personal:
        return negatives
    return torch.stack([links.edges[split][0].unsqueeze(1).expand_as(negatives), negatives])
