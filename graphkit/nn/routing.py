"""What a router of experts is given and what it says: shared by every router."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit.errors import UserError

__all__ = ["RouteInput", "RouteOutput", "decision_margin", "masked_weights", "routing_fluctuation"]


class RouteInput(NamedTuple):
    """What a router decides by. T tokens: nodes, edges (pairs), graphs, or one token for a data set; M experts.

    Args:
        h: states of the tokens, ``[T, d]``.
        adj: the graph of the tokens: int64 ``[2, E]``, a :class:`graphkit.ops.CSRGraph`, or a pair of one of them and
            weights ``[E]`` or ``[E, heads]`` (not negative, such as attention coefficients). Held-out edges do not belong here.
        batch: the graph of each token, int64 ``[T]``, or None for one graph.
        domain: the source of each token, int64 ``[T]`` or a number, or None.
        state: what the router of the layer before has left, or None.
        losses: losses of the experts, ``[M]`` or ``[T, M]``, for routers that decide by them.
        train: whether noise and running estimates are at work.
        rng: generator of all random numbers; None: torch's global stream.

    Example:
        >>> RouteInput(torch.ones(3, 2)).train
        False
    """

    h: Tensor
    adj: Any = None
    batch: Tensor | None = None
    domain: Any = None
    state: Any = None
    losses: Tensor | None = None
    train: bool = False
    rng: torch.Generator | None = None


class RouteOutput(NamedTuple):
    """What a router has decided.

    Args:
        logits: scores of the experts, ``[T, M]``, float32 or float64.
        probs: probabilities over all experts after mixing, ``[T, M]``; rows sum to 1.
        weights: weights of the experts that are used, ``[T, M]``; not negative, 0 outside ``mask``, rows sum to 1.
        mask: which experts are used, bool ``[T, M]``; at least one in a row.
        state: what the router of the next layer gets, or None.
        aux: numbers beside the decision, such as losses; nothing is added to a loss without being asked.

    Example:
        >>> p = torch.full((1, 2), 0.5)
        >>> RouteOutput(p.log(), p, p, p > 0, None, {}).mask.tolist()
        [[True, True]]
    """

    logits: Tensor
    probs: Tensor
    weights: Tensor
    mask: Tensor
    state: Any
    aux: dict[str, Tensor]


def masked_weights(log_probs: Tensor, mask: Tensor) -> Tensor:
    r"""Probabilities restricted to chosen experts and brought back to sum 1.

    .. math:: w_m = \frac{p_m [m \in S]}{\sum_{j \in S} p_j}

    The same as a softmax of the logits over S alone; computed from logarithms, so probabilities too small to add do no harm.

    Args:
        log_probs: logarithms of the probabilities (up to a constant in each row), ``[T, M]``.
        mask: S of each row, bool ``[T, M]``, none of them empty.

    Returns:
        ``[T, M]``, exactly 0 outside the mask.

    Example:
        >>> masked_weights(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[True, False, True]]))
        tensor([[0.1192, 0.0000, 0.8808]])
    """
    return log_probs.masked_fill(~mask, -torch.inf).softmax(-1)


def routing_fluctuation(before: Tensor, after: Tensor) -> float:
    """Share of tokens whose first choice has changed.

    Args:
        before: probabilities or weights of a fixed set of tokens at an earlier time, ``[T, M]``.
        after: the same now.

    Returns:
        from 0 to 1; 0 without tokens.

    Raises:
        UserError: different tokens or experts.

    Example:
        >>> routing_fluctuation(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        0.5
    """
    if before.shape != after.shape:
        raise UserError(
            f"decisions are {list(before.shape)} and {list(after.shape)}, expected the same tokens and experts"
        )
    return float((before.argmax(1) != after.argmax(1)).double().mean()) if len(before) else 0.0


def decision_margin(probs: Tensor) -> Tensor:
    """By how much the first choice leads the second, ``[T]``; 1 with a single expert.

    Example:
        >>> decision_margin(torch.tensor([[0.5, 0.25, 0.25]])).tolist()
        [0.25]
    """
    if probs.size(1) < 2:
        return torch.ones_like(probs[:, 0])
    best = probs.topk(2, dim=1).values
    return best[:, 0] - best[:, 1]
