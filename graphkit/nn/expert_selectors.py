"""Which experts a token uses: all, the best k, a share of the mass, or those above a running threshold."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphkit.errors import UserError, nearest

__all__ = ["SCHEDULES", "SELECTORS", "AllExperts", "Percentile", "Selector", "TopK", "TopP", "expert_schedule"]

SCHEDULES = ("uniform", "descending", "ascending", "pyramid", "inverse_pyramid", "wave")


class Selector(nn.Module):
    """A choice: ``(probs [T, M], train) -> bool [T, M]``, at least one True in a row; equal ones go by the lower number.

    Example:
        >>> TopK(1)(torch.tensor([[0.5, 0.5]])).tolist()
        [[True, False]]
    """

    def forward(self, probs: Tensor, *, train: bool = False) -> Tensor:
        raise NotImplementedError


class AllExperts(Selector):
    """Every expert.

    Example:
        >>> AllExperts()(torch.tensor([[0.9, 0.1]])).tolist()
        [[True, True]]
    """

    def forward(self, probs: Tensor, *, train: bool = False) -> Tensor:
        return torch.ones_like(probs, dtype=torch.bool)


class TopK(Selector):
    """The k most probable experts; all where there are fewer.

    Args:
        k: from 1.
        alias: int64 ``[M]``, the group of each expert after a merge: at most one of a group is taken, the next expert
            gets the slot.

    Raises:
        UserError: a k below 1.

    Example:
        >>> TopK(2)(torch.tensor([[0.2, 0.5, 0.3]])).tolist()
        [[False, True, True]]
        >>> TopK(2, alias=torch.tensor([0, 1, 1]))(torch.tensor([[0.2, 0.5, 0.3]])).tolist()
        [[True, True, False]]
    """

    alias: Tensor | None

    def __init__(self, k: int = 1, *, alias: Tensor | None = None) -> None:
        super().__init__()
        _check_count("k", k)
        self.k = k
        self.register_buffer("alias", alias)

    def forward(self, probs: Tensor, *, train: bool = False) -> Tensor:
        place = _rank(probs)
        if self.alias is not None:
            if self.alias.shape != probs.shape[1:]:
                raise UserError(
                    f"alias is {list(self.alias.shape)}, expected a group for each of {probs.size(1)} experts"
                )
            same = self.alias.unsqueeze(1) == self.alias
            beaten = (same & (place.unsqueeze(2) > place.unsqueeze(1))).any(2)
            place = _rank(probs.masked_fill(beaten, -1.0))
            return (place < self.k) & ~beaten
        return place < self.k


class TopP(Selector):
    r"""The smallest set of experts with mass p; with ``difficulty`` hard tokens ask for more.

    .. math:: p_t = p + d\,(1 - p) \frac{H(p_t)}{\log M}

    Args:
        p: mass, from 0 to 1; 0 takes the best one, 1 all with a probability above 0.
        difficulty: d, from 0 to 1; how much the entropy of the token's probabilities raises the mass. The form is graphkit's.
        k_min: least number of experts.
        k_max: largest, or None.

    Raises:
        UserError: numbers out of range.

    Example:
        >>> TopP(0.6)(torch.tensor([[0.5, 0.3, 0.2], [0.7, 0.2, 0.1]])).tolist()
        [[True, True, False], [True, False, False]]
    """

    def __init__(self, p: float = 0.7, *, difficulty: float = 0.0, k_min: int = 1, k_max: int | None = None) -> None:
        super().__init__()
        _check_share("p", p)
        _check_share("difficulty", difficulty)
        _check_bounds(k_min, k_max)
        self.p, self.difficulty, self.k_min, self.k_max = p, difficulty, k_min, k_max

    def forward(self, probs: Tensor, *, train: bool = False) -> Tensor:
        order = torch.sort(probs, dim=1, descending=True, stable=True)
        before = order.values.cumsum(1) - order.values
        wanted = torch.full_like(probs[:, :1], self.p)
        if self.difficulty and probs.size(1) > 1:
            entropy = torch.special.entr(probs).sum(1, keepdim=True) / math.log(probs.size(1))
            wanted = wanted + self.difficulty * (1 - wanted) * entropy.clamp(max=1)
        taken = torch.zeros_like(probs, dtype=torch.bool).scatter(
            1, order.indices, (before < wanted) & (order.values > 0)
        )
        return _within(taken, _rank(probs), self.k_min, self.k_max)


class Percentile(Selector):
    r"""Experts whose probability reaches a quantile of **all** probabilities, and the best one always.

    .. math:: S_t = \{ m : p_{tm} \ge \theta \} \cup \{ \arg\max_m p_{tm} \}, \qquad
        \theta = \operatorname{quantile}_q \{ p_{tm} \}_{t, m}

    A quantile inside one token's probabilities would give every token the same number. While training, theta is that of the batch,
    and a running mean follows it; otherwise the running mean decides, so a choice does not depend on what else is
    in the batch. Before any training step it is 1 / M. The mean share in use stays near 1 - q: no token-count penalty is
    needed. This is a reconstruction; the paper's equations were not at hand.

    Args:
        q: 0 takes all experts, 1 the best one alone.
        k_min: least number of experts.
        k_max: largest, or None.
        momentum: weight of the newest batch in the running mean.

    Attributes:
        threshold: the running theta, a scalar; NaN before the first step.

    Raises:
        UserError: numbers out of range.

    Source:
        After Guelmez, DynaMoE (arXiv 2603.01697).

    Example:
        >>> selector = Percentile(0.5)
        >>> selector(torch.tensor([[0.9, 0.1], [0.55, 0.45]]), train=True).tolist()
        [[True, False], [True, False]]
        >>> selector(torch.tensor([[0.5, 0.5]])).tolist()       # both reach the running 0.5
        [[True, True]]
    """

    threshold: Tensor

    def __init__(self, q: float = 0.5, *, k_min: int = 1, k_max: int | None = None, momentum: float = 0.1) -> None:
        super().__init__()
        _check_share("q", q)
        _check_share("momentum", momentum)
        _check_bounds(k_min, k_max)
        self.q, self.k_min, self.k_max, self.momentum = q, k_min, k_max, momentum
        self.register_buffer("threshold", torch.tensor(math.nan))

    def forward(self, probs: Tensor, *, train: bool = False) -> Tensor:
        rank = _rank(probs)
        if self.q in (0, 1):
            taken = torch.ones_like(probs, dtype=torch.bool) if self.q == 0 else rank < 1
            return _within(taken, rank, self.k_min, self.k_max)
        if train and probs.numel():
            theta = _quantile(probs.detach(), self.q)
            old = torch.where(self.threshold.isnan(), theta, self.threshold)
            self.threshold.copy_(old + self.momentum * (theta - old))
        else:
            theta = torch.where(self.threshold.isnan(), 1 / max(probs.size(1), 1), self.threshold)
        return _within((probs >= theta) | (rank < 1), rank, self.k_min, self.k_max)


def expert_schedule(name: str, num_layers: int, low: int, high: int, *, frequency: float = 1.0) -> list[int]:
    r"""How many experts each layer may use; u runs from 0 in the first layer to 1 in the last.

    ``uniform``: high; ``descending``: high to low; ``ascending``: low to high; ``pyramid``: high in the middle,
    :math:`1 - |2u - 1|`; ``inverse_pyramid``: low in the middle; ``wave``: :math:`(1 + \sin 2 \pi f u) / 2`.

    Args:
        name: one of ``SCHEDULES``.
        num_layers: L.
        low, high: fewest and most experts, 1 <= low <= high.
        frequency: f of the wave.

    Returns:
        L whole numbers, rounded to the nearest; their sum is the budget to report.

    Raises:
        UserError: an unknown name or numbers out of range.

    Source:
        After Guelmez, DynaMoE (arXiv 2603.01697): the names are its, the formulas a reconstruction.

    Example:
        >>> expert_schedule("descending", 3, 1, 4), expert_schedule("pyramid", 5, 1, 3)
        ([4, 2, 1], [1, 2, 3, 2, 1])
    """
    if name not in SCHEDULES:
        raise UserError(nearest(str(name), SCHEDULES, "schedule"))
    _check_count("num_layers", num_layers)
    _check_bounds(low, high)
    shape: dict[str, Callable[[float], float]] = {
        "uniform": lambda u: 1.0,
        "descending": lambda u: 1 - u,
        "ascending": lambda u: u,
        "pyramid": lambda u: 1 - abs(2 * u - 1),
        "inverse_pyramid": lambda u: abs(2 * u - 1),
        "wave": lambda u: (1 + math.sin(2 * math.pi * frequency * u)) / 2,
    }
    steps = [layer / (num_layers - 1) if num_layers > 1 else 0.0 for layer in range(num_layers)]
    return [round(low + (high - low) * shape[name](u)) for u in steps]


def _rank(probs: Tensor) -> Tensor:
    """Place of each entry in its row, 0 for the largest; equal ones by their column."""
    order = torch.sort(probs, dim=1, descending=True, stable=True).indices
    place = torch.arange(probs.size(1), device=probs.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, place)


def _within(taken: Tensor, rank: Tensor, k_min: int, k_max: int | None) -> Tensor:
    taken = taken | (rank < k_min)
    return taken if k_max is None else taken & (rank < k_max)


def _quantile(values: Tensor, q: float) -> Tensor:
    """The quantile with linear interpolation, without torch.quantile's limit of 16 million entries."""
    ordered = values.reshape(-1).sort().values
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name} is {value!r}, expected a whole number from 1 upwards")


def _check_share(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UserError(f"{name} is {value!r}, expected a number from 0 to 1")


def _check_bounds(k_min: int, k_max: int | None) -> None:
    _check_count("the least number of experts", k_min)
    if k_max is not None:
        _check_count("the largest number of experts", k_max)
        if k_max < k_min:
            raise UserError(f"the largest number of experts, {k_max}, is below the least, {k_min}")


#: selectors by name
SELECTORS: dict[str, Callable[..., Selector]] = {
    "all": AllExperts,
    "topk": TopK,
    "topp": TopP,
    "percentile": Percentile,
}
