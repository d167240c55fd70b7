"""Hits@k against a few sampled negatives, in closed form: no negative is ever drawn."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.metrics.ranking import as_ranks, check_k

__all__ = ["sampled_hits"]


def sampled_hits(ranks: Any, negatives: Any, k: int = 10, n: int = 50, *, replacement: bool = True) -> float:
    r"""Expected Hits@k when every positive is ranked among n of its negatives, drawn at random: ``hits@k(n)``.

    A positive of rank r among M negatives has r - 1 of them above it (or level, where ties count against it). Drawn
    uniformly and with replacement, a negative is one of these with probability :math:`p = (r - 1) / M`, and the
    positive is a hit where fewer than k of the n draws are:

    .. math:: \sum_{i < k} \binom{n}{i} p^i (1 - p)^{n - i}

    n counts the negatives alone; a protocol of n candidates with the positive among them is ``hits@k(n - 1)``.

    Args:
        ranks: [P] ranks among all negatives, 1 is best; those of mean ties may be halves.
        negatives: [P] numbers of negatives M, or one number for all. Without any, a positive is a hit.
        k: how many draws may be above a positive for a hit, plus one.
        n: number of draws, at least k: with fewer, every positive is a hit.
        replacement: whether a negative may be drawn twice. Without, the number above is hypergeometric, n is at most M,
            and from n = M on the value is that of :func:`graphkit.metrics.hits`.

    Raises:
        UserError: for no ranks, ranks below 1 or above M + 1, lengths that do not fit, k below 1, n below k, or,
            without replacement, ranks that are no whole numbers.

    Source:
        Teru, Denis, Hamilton: Inductive Relation Prediction by Subgraph Reasoning (ICML 2020), which samples;
        Zhu et al.: Neural Bellman-Ford Networks (NeurIPS 2021), whose evaluation takes the expectation.

    Example:
        >>> round(sampled_hits(torch.tensor([21]), 100), 3)
        0.444
    """
    check_k(k)
    if isinstance(n, bool) or not isinstance(n, int) or n < k:
        raise UserError(f"n is {n!r}, expected a whole number of negatives, at least k = {k}")
    above = as_ranks(ranks) - 1
    total = torch.as_tensor(negatives).detach().to("cpu", torch.float64).reshape(-1)
    if total.numel() not in (1, above.numel()):
        raise UserError(
            f"sampled_hits got {above.numel()} ranks and {total.numel()} numbers of negatives, expected as many of both"
        )
    total = total.expand_as(above)
    bad = ~(above <= total)
    if bool(bad.any()):
        row = int(bad.nonzero()[0, 0])
        raise UserError(
            f"rank {float(above[row]) + 1:g} in row {row} is impossible among {float(total[row]):g} negatives"
        )
    if replacement:
        return float(_binomial_below(k, n, above / total.clamp(min=1)).mean())
    if bool((above != above.round()).any()):
        raise UserError("without replacement, ranks must be whole numbers; take another tie rule than mean")
    return float(_hypergeometric_below(k, total.clamp(max=n), above, total).mean())


def _binomial_below(k: int, n: int, p: Tensor) -> Tensor:
    """Probability that a binomial (n, p) number is below k; float64."""
    chance = torch.zeros_like(p)
    for i in range(k):
        ways = math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
        # p^i (1 - p)^(n - i) in logarithms, with 0^0 = 1
        chance += torch.exp(ways + torch.xlogy(torch.full_like(p, i), p) + torch.special.xlog1py(float(n - i), -p))
    return chance.clamp(max=1)


def _hypergeometric_below(k: int, n: Tensor, above: Tensor, total: Tensor) -> Tensor:
    """Probability that of n drawn from ``total`` fewer than k are among the ``above`` first; float64."""
    chance = torch.zeros_like(above)
    for i in range(k):
        possible = (i <= above) & (i <= n) & (n - i <= total - above)
        log = _log_choose(above, i) + _log_choose(total - above, n - i) - _log_choose(total, n)
        chance += torch.where(possible, torch.exp(log), 0.0)
    return chance.clamp(max=1)


def _log_choose(n: Tensor, k: Tensor | int) -> Tensor:
    k = torch.as_tensor(k, dtype=n.dtype).expand_as(n)
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma((n - k).clamp(min=0) + 1)
