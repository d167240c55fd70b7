"""Linear maps of propagated features, found by propagating what the maps make of the features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.nn.directed_patterns import DirectedPattern
from graphkit.nn.sparse_features import sparse_features

__all__ = ["map_cost", "mapped", "propagated_transforms"]

_GATHERED = 8  # a multiplication with gathered rows takes as long as about so many of a dense product


def mapped(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T`` ``[N, H]``, without touching zeros where most of ``x`` is zero; no gradient for ``x``.

    Example:
        >>> mapped(torch.eye(3), torch.tensor([[1.0, 2.0, 3.0]])).flatten().tolist()
        [1.0, 2.0, 3.0]
    """
    sparse = sparse_features(x)
    return F.linear(x.to(weight.dtype), weight) if sparse is None else sparse.product(weight)


def propagated_transforms(
    x: Tensor, patterns: Sequence[DirectedPattern], maps: Sequence[Tensor], factors: Sequence[float]
) -> list[list[Tensor]]:
    r"""What the map of each pattern makes of the features of its hops.

    .. math:: Y_P^{(t)} = X_P^{(t)} M_P^\top, \qquad X_P^{(t)} = \omega_t \hat P X_P^{(t-1)}, \quad X_P^{(0)} = X

    Propagation is linear, so :math:`Y_P^{(t)} = \omega_t \hat P Y_P^{(t-1)}`: the graph carries D columns in place of F, and no
    propagated features are kept. Equal up to rounding to mapping the propagated features.

    Args:
        x: ``[N, F]``; without a gradient.
        patterns: P of them.
        maps: ``[D, F]`` for each.
        factors: omega_1 .. omega_K.

    Returns:
        for each pattern its hops 0..K, ``[N, D]`` each, differentiable in the maps.

    Example:
        >>> pattern = DirectedPattern(torch.tensor([[0, 1], [2, 2]]), "A^T", num_nodes=3, norm="none")
        >>> hops = propagated_transforms(torch.eye(3), [pattern], [torch.tensor([[1.0, 10.0, 100.0]])], [1.0])[0]
        >>> [hop.flatten().tolist() for hop in hops]
        [[1.0, 10.0, 100.0], [0.0, 0.0, 11.0]]
    """
    found = []
    for pattern, own in zip(patterns, mapped(x, torch.cat(list(maps))).split([len(m) for m in maps], 1), strict=True):
        hops = [own]
        for factor in factors:
            step = pattern(hops[-1])
            hops.append(step if factor == 1 else step * factor)
        found.append(hops)
    return found


def map_cost(x: Tensor, columns: int, patterns: int, steps: int) -> int:
    """Multiplications of :func:`propagated_transforms`, in those of a dense product.

    Args:
        x: ``[N, F]``.
        columns: D.
        patterns: P.
        steps: entries of the matrices that all patterns and hops multiply with.

    Example:
        >>> map_cost(torch.ones(5, 3), columns=4, patterns=2, steps=10)
        440
    """
    sparse = sparse_features(x)
    once = x.numel() if sparse is None else _GATHERED * sparse.value.numel()
    return columns * (patterns * once + _GATHERED * steps)
