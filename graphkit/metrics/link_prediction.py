"""The metrics of link prediction: edges against one pool of negatives, or each against negatives of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest
from graphkit.metrics.classification import auc, average_precision
from graphkit.metrics.ranking import hits, pooled_hits, rank_from_counts, ranks, reciprocal_rank

__all__ = ["check_link_metrics", "link_metrics", "link_ties", "pooled_ranks"]

_KNOWN = ("auc", "ap", "mrr", "hits@K")
_POOLED_ONLY = ("auc", "ap")


def pooled_ranks(positive: Any, negative: Any, *, ties: str = "mean") -> Tensor:
    """Rank of each positive among all negatives of one pool; 1 is best.

    Args:
        positive: [P] scores.
        negative: scores of any shape, pooled.
        ties: tie rule, see :func:`graphkit.metrics.rank_from_counts`; ``"mean"`` is OGB's.

    Returns:
        [P] ranks; int64, for ``mean`` float64.

    Raises:
        UserError: for no negative, an unknown tie rule, or a NaN.

    Example:
        >>> pooled_ranks(torch.tensor([2.0, 0.5]), torch.tensor([3.0, 2.0, 1.0]))
        tensor([2.5000, 4.0000], dtype=torch.float64)
    """
    positive = torch.as_tensor(positive).detach().cpu().reshape(-1)
    pool = torch.as_tensor(negative).detach().cpu().reshape(-1)
    if pool.numel() == 0:
        raise UserError("there is no negative score to rank positives against; hand in at least one")
    for name, scores in (("positive", positive), ("negative", pool)):
        if bool(torch.isnan(scores).any()):
            raise UserError(f"a {name} score is NaN, which has no place in an order; the model has diverged")
    kind = torch.promote_types(positive.dtype, pool.dtype)
    positive, pool = positive.to(kind), torch.sort(pool.to(kind)).values
    below = torch.searchsorted(pool, positive)
    up_to = torch.searchsorted(pool, positive, right=True)
    return rank_from_counts(pool.numel() - up_to, up_to - below, ties)


def link_metrics(positive: Any, negative: Any, names: Sequence[str]) -> dict[str, float]:
    r"""Metrics of link prediction by name.

    ``auc``, ``ap``: how well edges and negatives are told apart, all pooled. ``mrr``: mean of the inverse ranks

    .. math:: \tfrac12 \left(\#\{\text{negatives above}\} + \#\{\text{negatives above or level}\}\right) + 1

    of each edge among the negatives. ``hits@K``: with pooled negatives the share of the edges strictly above the K-th
    best negative, with personal ones the share of the ranks that are at most K. :func:`link_ties` says it in words.

    Args:
        positive: [P] scores of the edges.
        negative: [n] scores, one pool for all edges; or [P, K], K of each edge's own.
        names: metrics, such as ``["mrr", "hits@100"]``.

    Raises:
        UserError: for an unknown metric, one that these negatives do not define, fewer negatives than K, or a NaN.

    Source:
        Hu et al.: Open Graph Benchmark (NeurIPS 2020), whose evaluators this equals, ties included; the metric "mrr"
        over pooled negatives is the one of Li et al.: Evaluating Graph Neural Networks for Link Prediction (NeurIPS 2023).

    Example:
        >>> link_metrics(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 1.0]), ["mrr", "hits@2"])
        {'mrr': 0.7, 'hits@2': 0.5}
    """
    positive, negative = torch.as_tensor(positive), torch.as_tensor(negative)
    personal = negative.dim() == 2
    if negative.dim() not in (1, 2) or (personal and negative.size(0) != positive.numel()):
        raise UserError(
            f"link_metrics got {positive.numel()} positives and negatives {list(negative.shape)}, "
            "expected [n], pooled, or [P, K], those of each positive in its row"
        )
    check_link_metrics(names, personal=personal, negatives=negative.size(-1))
    found: Tensor | None = None
    result = {}
    for name in names:
        if name in _POOLED_ONLY:
            result[name] = (auc if name == "auc" else average_precision)(positive, negative)
            continue
        k = hits_at(name)
        if k is not None and not personal:
            result[name] = pooled_hits(positive, negative, k)
            continue
        if found is None:
            found = ranks(positive, negative, ties="mean") if personal else pooled_ranks(positive, negative)
        result[name] = reciprocal_rank(found) if k is None else hits(found, k)
    return result


def hits_at(name: str) -> int | None:
    """K of ``hits@K``; None for another metric.

    Example:
        >>> hits_at("hits@20"), hits_at("mrr")
        (20, None)
    """
    found = re.fullmatch(r"hits@([1-9]\d*)", name)
    return int(found.group(1)) if found else None


def check_link_metrics(names: Sequence[str], *, personal: bool = False, negatives: int | None = None) -> None:
    """Refuse metrics that are unknown, or that the negatives at hand do not define.

    Args:
        names: metrics.
        personal: whether each edge has negatives of its own.
        negatives: how many there are, for each edge where they are personal; None: not known yet.

    Raises:
        UserError: naming the metric.

    Example:
        >>> check_link_metrics(["hits@100"], negatives=50)
        Traceback (most recent call last):
        graphkit.errors.UserError: hits@100 needs at least 100 negatives, there are 50; take more negatives or a smaller K
    """
    if isinstance(names, str) or not names:
        raise UserError(f"metrics is {names!r}, expected a list of at least one name, such as ['hits@100', 'auc']")
    for name in names:
        k = hits_at(str(name))
        if k is None and name not in _KNOWN[:-1]:
            raise UserError(nearest(str(name), _KNOWN, "metric of link prediction"))
        if personal and name in _POOLED_ONLY:
            raise UserError(
                f"{name} pools all negatives, but here each edge has negatives of its own; take mrr or hits@K"
            )
        if k is not None and negatives is not None and negatives < k:
            each = " of each edge" if personal else ""
            raise UserError(
                f"{name} needs at least {k} negatives{each}, there are {negatives}; take more negatives or a smaller K"
            )


def link_ties(names: Sequence[str], *, personal: bool = False) -> dict[str, str]:
    """How each metric counts an edge that scores exactly as much as a negative.

    Example:
        >>> link_ties(["hits@20", "auc"])
        {'hits@K': 'strict: an edge level with the K-th best negative is no hit', 'auc': 'a tie counts half'}
    """
    rank = "mean: rank = (negatives above + negatives above or level) / 2 + 1"
    rules = {
        "hits@K": rank if personal else "strict: an edge level with the K-th best negative is no hit",
        "mrr": rank,
        "auc": "a tie counts half",
        "ap": "tied scores share a threshold",
    }
    families = dict.fromkeys("hits@K" if hits_at(name) is not None else name for name in names)
    return {family: rules[family] for family in families}
