"""Scores of the hops of several patterns and weighted sums over them, each node with weights of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import call, define, no_second_derivative, public

__all__ = ["hop_combine", "hop_combine_weights", "hop_products"]

public("hop_combine", "hop_combine")
public("hop_products", "hop_products")


def hop_combine(features: Tensor, weights: Tensor) -> Tensor:
    r"""Sums over the hops of each pattern; hop 0 is shared.

    .. math:: out_{P, i} = \sum_{t=0}^{K} w_{i, P, t} \, x_{i, s(P, t)}, \qquad s(P, 0) = 0, \; s(P, t) = 1 + P K + t - 1

    Args:
        features: ``[N, 1 + P K, F]``, float32 or float64: hop 0, then hops 1..K of each pattern.
        weights: ``[N, P, K + 1]`` of the same dtype.

    Returns:
        ``[P, N, F]``; differentiable in ``weights``, and in ``features`` through plain torch.

    Raises:
        UserError: shapes or dtypes that do not fit.

    Example:
        >>> features = torch.tensor([[[1.0], [10.0], [100.0]]])  # one node, two patterns of one hop
        >>> hop_combine(features, torch.tensor([[[1.0, 2.0], [0.0, 3.0]]])).flatten().tolist()
        [21.0, 300.0]
    """
    fits = features.dim() == 3 and weights.dim() == 3 and weights.shape[1] > 0 and len(features) == len(weights)
    if not fits or features.shape[1] != 1 + weights.shape[1] * (weights.shape[2] - 1):
        raise UserError(
            f"features are {list(features.shape)} and weights {list(weights.shape)}, expected [N, 1 + P K, F] and [N, P, K + 1]"
        )
    if features.dtype not in (torch.float32, torch.float64) or weights.dtype != features.dtype:
        raise UserError(
            f"features are {features.dtype} and weights {weights.dtype}, expected both float32 or both float64"
        )
    if features.requires_grad:
        return _forward(features, weights)
    return call("hop_combine", features.contiguous(), weights.contiguous())


def hop_combine_weights(features: Tensor, grad: Tensor) -> Tensor:
    """The gradient of :func:`hop_combine` for its weights, ``[N, P, K + 1]``, from that of its result ``[P, N, F]``.

    Example:
        >>> features = torch.tensor([[[1.0], [10.0], [100.0]]])
        >>> hop_combine_weights(features, torch.tensor([[[1.0]], [[2.0]]])).tolist()
        [[[1.0, 10.0], [2.0, 200.0]]]
    """
    return call("hop_combine_weights", features, grad.contiguous())


def hop_products(features: Tensor, vectors: Tensor) -> Tensor:
    r"""Inner products of every hop of every pattern with vectors of its own; hop 0 is shared.

    .. math:: out_{i, P, t, q} = v_{P, t, q} \cdot x_{i, s(P, t)}, \qquad s \text{ as in } hop\_combine

    Args:
        features: ``[N, 1 + P K, F]``, float32 or float64.
        vectors: ``[P, K + 1, Q, F]`` of the same dtype.

    Returns:
        ``[N, P, K + 1, Q]``; differentiable in ``vectors``, and in ``features`` through plain torch.

    Raises:
        UserError: shapes or dtypes that do not fit.

    Example:
        >>> features = torch.tensor([[[1.0], [10.0], [100.0]]])  # one node, two patterns of one hop
        >>> hop_products(features, torch.tensor([[[[2.0]], [[3.0]]], [[[5.0]], [[7.0]]]])).flatten().tolist()
        [2.0, 30.0, 5.0, 700.0]
    """
    fits = features.dim() == 3 and vectors.dim() == 4 and len(vectors) > 0 and vectors.shape[3] == features.shape[2]
    if not fits or features.shape[1] != 1 + len(vectors) * (vectors.shape[1] - 1):
        raise UserError(
            f"features are {list(features.shape)} and vectors {list(vectors.shape)}, expected [N, 1 + P K, F] and [P, K + 1, Q, F]"
        )
    if features.dtype not in (torch.float32, torch.float64) or vectors.dtype != features.dtype:
        raise UserError(
            f"features are {features.dtype} and vectors {vectors.dtype}, expected both float32 or both float64"
        )
    if features.requires_grad:
        return _products(features, vectors)
    return call("hop_products", features.contiguous(), vectors.contiguous())


def _slots(patterns: int, hops: int, device: torch.device) -> Tensor:
    own = 1 + torch.arange(patterns * hops, device=device).view(patterns, hops)
    return torch.cat([own.new_zeros(patterns, 1), own], 1)


def _forward(features: Tensor, weights: Tensor) -> Tensor:
    # one small product per node, with zeros for the hops of other patterns
    slots = _slots(weights.shape[1], weights.shape[2] - 1, features.device)
    full = features.new_zeros(len(features), weights.shape[1], features.shape[1])
    full = full.scatter(2, slots.expand(weights.shape), weights)
    return torch.bmm(full, features).transpose(0, 1).contiguous()


def _weights(features: Tensor, grad: Tensor) -> Tensor:
    patterns = len(grad)
    slots = _slots(patterns, (features.shape[1] - 1) // patterns, features.device)
    full = torch.bmm(grad.transpose(0, 1), features.transpose(1, 2))
    return full.gather(2, slots.expand(len(full), -1, -1)).contiguous()


def _products(features: Tensor, vectors: Tensor) -> Tensor:
    slots = _slots(len(vectors), vectors.shape[1] - 1, features.device)
    return torch.stack(
        [features[:, slot] @ v.t() for slot, v in zip(slots.flatten().tolist(), vectors.flatten(0, 1), strict=True)], 1
    ).unflatten(1, vectors.shape[:2])


def _products_vectors(features: Tensor, grad: Tensor) -> Tensor:
    slots = _slots(grad.shape[1], grad.shape[2] - 1, features.device)
    by_hop = grad.flatten(1, 2).unbind(1)
    return torch.stack(
        [g.t() @ features[:, slot] for slot, g in zip(slots.flatten().tolist(), by_hop, strict=True)]
    ).unflatten(0, grad.shape[1:3])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])


def _gradient(operators: Any, ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return None, operators.hop_combine_weights(ctx.saved_tensors[0], grad.contiguous())


define(
    "hop_combine_weights(Tensor features, Tensor grad) -> Tensor",
    _weights,
    fake=lambda features, grad: features.new_empty(len(features), len(grad), (features.shape[1] - 1) // len(grad) + 1),
    setup_context=lambda ctx, inputs, output: None,
    backward=no_second_derivative,
)
define(
    "hop_combine(Tensor features, Tensor weights) -> Tensor",
    _forward,
    fake=lambda features, weights: features.new_empty(weights.shape[1], len(features), features.shape[2]),
    setup_context=_setup_context,
    backward=_gradient,
)
define(
    "hop_products_vectors(Tensor features, Tensor grad) -> Tensor",
    _products_vectors,
    fake=lambda features, grad: features.new_empty(*grad.shape[1:], features.shape[2]),
    setup_context=lambda ctx, inputs, output: None,
    backward=no_second_derivative,
)
define(
    "hop_products(Tensor features, Tensor vectors) -> Tensor",
    _products,
    fake=lambda features, vectors: features.new_empty(len(features), *vectors.shape[:3]),
    setup_context=_setup_context,
    backward=lambda operators, ctx, grad: (
        None,
        operators.hop_products_vectors(ctx.saved_tensors[0], grad.contiguous()),
    ),
)
