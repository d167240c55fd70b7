"""Weighted sums over hops, each put through a linear map of its pattern, a block of nodes at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphkit.ops import hop_combine, hop_combine_weights

__all__ = ["hop_linear"]

_BLOCK_BYTES = 2**23  # sums of one block: they stay in the cache between the sum and the product


def hop_linear(features: Tensor, weights: Tensor, matrices: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    r"""The linear maps of the patterns on the sums over their hops.

    .. math:: out_{P, i} = M_P \sum_t w_{i, P, t} \, x_{i, s(P, t)} + b_P

    The sums, as large as the features of all patterns, are made again in the backward pass instead of being kept.

    Args:
        features: ``[N, 1 + P K, F]``, see :func:`graphkit.ops.hop_combine`.
        weights: ``[N, P, K + 1]``.
        matrices, biases: ``[D, F]`` and ``[D]`` for each pattern.

    Returns:
        ``[P, N, D]``; differentiable once in weights, matrices and biases, and in features through plain torch.

    Example:
        >>> features, weights = torch.ones(4, 3, 2), torch.ones(4, 1, 3)
        >>> hop_linear(features, weights, [torch.ones(5, 2)], [torch.zeros(5)])[0, 0].tolist()
        [6.0, 6.0, 6.0, 6.0, 6.0]
    """
    weights = weights.to(features.dtype)
    if features.requires_grad or features.dtype != matrices[0].dtype:
        sums = hop_combine(features, weights).to(matrices[0].dtype)
        return torch.stack([torch.addmm(b, h, m.t()) for h, m, b in zip(sums, matrices, biases, strict=True)])
    return _HopLinear.apply(features.contiguous(), weights.contiguous(), *matrices, *biases)


def _blocks(features: Tensor, patterns: int) -> Iterator[slice]:
    rows = max(64, _BLOCK_BYTES // max(1, patterns * features.shape[2] * features.element_size()))
    for begin in range(0, len(features), rows):
        yield slice(begin, begin + rows)


class _HopLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weights: Tensor, *maps: Tensor) -> Tensor:
        patterns = weights.shape[1]
        matrices, biases = maps[:patterns], maps[patterns:]
        ctx.save_for_backward(features, weights, *matrices)
        out = features.new_empty(patterns, len(features), len(biases[0]))
        for block in _blocks(features, patterns):
            sums = hop_combine(features[block], weights[block])
            for p in range(patterns):
                torch.addmm(biases[p], sums[p], matrices[p].t(), out=out[p, block])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        features, weights, *matrices = ctx.saved_tensors
        patterns = len(matrices)
        grad = grad.contiguous()
        of_weights = torch.empty_like(weights) if ctx.needs_input_grad[1] else None
        of_matrices = [torch.zeros_like(matrix) for matrix in matrices]
        for block in _blocks(features, patterns):
            rows, own = features[block], grad[:, block]
            sums = hop_combine(rows, weights[block])
            for p in range(patterns):
                of_matrices[p].addmm_(own[p].t(), sums[p])
            if of_weights is not None:
                for p in range(patterns):
                    torch.mm(own[p], matrices[p], out=sums[p])  # the sums have served
                of_weights[block] = hop_combine_weights(rows, sums)
        return (None, of_weights, *of_matrices, *grad.sum(1).unbind(0))
