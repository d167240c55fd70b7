"""What a router answers: who is asked, and how much each answer counts."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

__all__ = ["RouteOutput"]


class RouteOutput(NamedTuple):
    """Decisions of a router over M experts for T tokens (a token is a node, a pair, a graph or a batch).

    Attributes:
        logits: ``[T, M]``, scores before they are made comparable.
        probs: ``[T, M]``, softmax over all experts.
        weights: ``[T, M]``, non-negative, 0 outside ``mask``, rows sum to 1.
        mask: bool ``[T, M]``, the experts that are asked.
        state: what a router with memory hands to its next call, or None.
        aux: further scalars by name.

    Example:
        >>> import torch
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
