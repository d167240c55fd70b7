"""Ranks of positives among negatives, and the means taken over them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest

__all__ = [
    "TIES",
    "as_ranks",
    "check_k",
    "check_ties",
    "hits",
    "mean_rank",
    "pooled_hits",
    "rank_from_counts",
    "ranking_metrics",
    "ranks",
    "reciprocal_rank",
]

TIES = ("pessimistic", "optimistic", "mean")
"""Tie rules: where a positive stands among negatives that score exactly as much."""


def check_ties(ties: str) -> None:
    """Refuse an unknown tie rule.

    Raises:
        UserError: when ``ties`` is none of :data:`TIES`.

    Example:
        >>> check_ties("pessimistic")
    """
    if ties not in TIES:
        raise UserError(nearest(str(ties), TIES, "tie rule"))


def rank_from_counts(greater: Tensor, equal: Tensor, ties: str) -> Tensor:
    """Ranks from the numbers of candidates that score more, and exactly as much.

    ``pessimistic``: 1 + greater + equal; ``optimistic``: 1 + greater; ``mean``: 1 + greater + equal / 2.

    Args:
        greater: [P] int64, candidates above the positive.
        equal: [P] int64, candidates level with the positive, the positive itself not among them.
        ties: tie rule.

    Returns:
        [P]; int64, for ``mean`` float64.

    Raises:
        UserError: for an unknown tie rule.

    Example:
        >>> rank_from_counts(torch.tensor([2]), torch.tensor([3]), "mean")
        tensor([4.5000], dtype=torch.float64)
    """
    check_ties(ties)
    if ties == "pessimistic":
        return 1 + greater + equal
    if ties == "optimistic":
        return 1 + greater
    return 1.0 + greater.double() + 0.5 * equal.double()


def ranks(positive: Any, negative: Any, *, mask: Any = None, ties: str = "pessimistic") -> Tensor:
    """Rank of each positive among its own negatives; 1 is best.

    Args:
        positive: [P] scores.
        negative: [P, K] scores.
        mask: [P, K] bool, True where the negative counts; None: all count.
        ties: ``"pessimistic"``, ``"optimistic"`` or ``"mean"``, see :func:`rank_from_counts`.

    Returns:
        [P] ranks in 1 .. K + 1; int64, for ``mean`` float64.

    Raises:
        UserError: for shapes that do not fit, an unknown tie rule, or a NaN among the scores that count.

    Example:
        >>> ranks(torch.tensor([2.0]), torch.tensor([[3.0, 2.0, 1.0]]))
        tensor([3])
    """
    check_ties(ties)
    positive, negative = torch.as_tensor(positive), torch.as_tensor(negative)
    if positive.dim() != 1 or negative.dim() != 2 or negative.size(0) != positive.size(0):
        raise UserError(
            f"ranks got positive {list(positive.shape)} and negative {list(negative.shape)}, expected [P] and [P, K]"
        )
    counts = torch.ones_like(negative, dtype=torch.bool) if mask is None else torch.as_tensor(mask)
    if counts.dtype != torch.bool or counts.shape != negative.shape:
        raise UserError(
            f"ranks got a {counts.dtype} mask {list(counts.shape)}, expected bool {list(negative.shape)} "
            "(True where the negative counts)"
        )
    _refuse_nan(positive, "positive")
    _refuse_nan(negative, "negative", counts)
    level = positive.unsqueeze(1)
    greater = ((negative > level) & counts).sum(1)
    equal = ((negative == level) & counts).sum(1)
    return rank_from_counts(greater, equal, ties)


def _refuse_nan(scores: Tensor, what: str, counts: Tensor | None = None) -> None:
    if not scores.is_floating_point():
        return
    bad = torch.isnan(scores)
    if counts is not None:
        bad &= counts
    if bad.any():
        row = int(bad.nonzero()[0, 0])
        raise UserError(f"a {what} score in row {row} is NaN and has no rank; check the model for divergence")


def as_ranks(ranks: Any) -> Tensor:
    """Ranks as float64 on the CPU, checked.

    Raises:
        UserError: for no ranks, or ranks below 1.

    Example:
        >>> as_ranks([1, 2])
        tensor([1., 2.], dtype=torch.float64)
    """
    values = torch.as_tensor(ranks).detach().to("cpu", torch.float64).reshape(-1)
    if values.numel() == 0:
        raise UserError("there are no ranks to take a mean of; hand in at least one")
    if bool(torch.isnan(values).any()) or float(values.min()) < 1:
        raise UserError("ranks must be numbers from 1 upwards (1 is best)")
    return values


def mean_rank(ranks: Any) -> float:
    """Mean of the ranks (MR).

    Raises:
        UserError: for no ranks, or ranks below 1.

    Example:
        >>> mean_rank(torch.tensor([1, 2]))
        1.5
    """
    return float(as_ranks(ranks).mean())


def reciprocal_rank(ranks: Any) -> float:
    """Mean of the inverse ranks (MRR).

    Raises:
        UserError: for no ranks, or ranks below 1.

    Example:
        >>> reciprocal_rank(torch.tensor([1, 2]))
        0.75
    """
    return float(as_ranks(ranks).reciprocal().mean())


def hits(ranks: Any, k: int) -> float:
    """Share of the ranks that are at most k (Hits@k).

    Raises:
        UserError: for no ranks, ranks below 1, or k below 1.

    Example:
        >>> hits(torch.tensor([1, 2, 30]), 1)
        0.3333333333333333
    """
    check_k(k)
    return float((as_ranks(ranks) <= k).double().mean())


def pooled_hits(positive: Any, negative: Any, k: int) -> float:
    """Hits@k in OGB's sense: share of the positives strictly above the k-th best of all negatives.

    All negatives form one pool that every positive is compared with (Hu et al., Open Graph Benchmark, NeurIPS 2020).

    Args:
        positive: [P] scores.
        negative: scores of any shape, pooled.
        k: how many negatives a positive may be below and still hit, plus one.

    Raises:
        UserError: when there are fewer than k negatives (the metric is then not defined), no positive, or a NaN.

    Example:
        >>> pooled_hits(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 1.0, 0.0]), k=2)
        0.5
    """
    check_k(k)
    positive, negative = torch.as_tensor(positive).reshape(-1), torch.as_tensor(negative).reshape(-1)
    if positive.numel() == 0:
        raise UserError("pooled_hits got no positive score; hand in at least one")
    if negative.numel() < k:
        raise UserError(
            f"Hits@{k} over pooled negatives needs at least {k} of them, got {negative.numel()}; "
            "sample more negatives or take a smaller k"
        )
    _refuse_nan(positive, "positive")
    _refuse_nan(negative, "negative")
    threshold = torch.topk(negative, k).values[-1]
    return float((positive > threshold).double().mean())


def check_k(k: int) -> None:
    """Refuse a k that is no whole number from 1 upwards.

    Raises:
        UserError: when it is none.

    Example:
        >>> check_k(10)
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise UserError(f"k is {k!r}, expected a whole number from 1 upwards")


def ranking_metrics(ranks: Any) -> dict[str, float]:
    """The usual means over a list of ranks: ``mr``, ``mrr``, ``hits@1``, ``hits@3``, ``hits@10``, ``count``.

    Raises:
        UserError: for no ranks, or ranks below 1.

    Example:
        >>> ranking_metrics(torch.tensor([1, 2]))["hits@1"]
        0.5
    """
    values = as_ranks(ranks)
    result = {"mr": mean_rank(values), "mrr": reciprocal_rank(values)}
    result.update({f"hits@{k}": hits(values, k) for k in (1, 3, 10)})
    result["count"] = float(values.numel())
    return result
