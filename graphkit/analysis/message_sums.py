"""Weighted sums over edges in one pass, for layers whose message is a state times a number."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["MessageSums"]


class MessageSums:
    r"""A sparse matrix that sums the states of sources, and its transpose for gradients.

    .. math:: out_v = \sum_{e : u \to v} w_e x_u, \qquad v < rows

    Args:
        edges: int64 ``[2, m]``, sources and targets, by target; targets below ``rows``.
        weight: ``[m]``.
        rows: number of targets.
        columns: number of sources.

    Example:
        >>> sums = MessageSums(torch.tensor([[1, 2, 0], [0, 0, 1]]), torch.tensor([1.0, 10.0, 5.0]), rows=2, columns=3)
        >>> sums(torch.tensor([[1.0], [2.0], [3.0]]))
        tensor([[32.],
                [ 5.]])
    """

    def __init__(self, edges: Tensor, weight: Tensor, *, rows: int, columns: int) -> None:
        self.source, self.weight, self.ptr = edges[0], weight, _pointers(edges[1], rows)
        order = torch.sort(edges[0], stable=True).indices
        self.t_target, self.t_weight, self.t_ptr = edges[1][order], weight[order], _pointers(edges[0], columns)

    def __call__(self, x: Tensor) -> Tensor:
        """Sums ``[rows, D]`` of states ``[columns, D]``, differentiable."""
        return _Sums.apply(x, self)


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sums: MessageSums) -> Tensor:
        ctx.sums = sums
        return _bags(x, sums.source, sums.ptr, sums.weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _bags(grads[0], ctx.sums.t_target, ctx.sums.t_ptr, ctx.sums.t_weight), None


def _bags(x: Tensor, index: Tensor, ptr: Tensor, weight: Tensor) -> Tensor:
    return F.embedding_bag(index, x.contiguous(), ptr, mode="sum", per_sample_weights=weight, include_last_offset=True)


def _pointers(ids: Tensor, count: int) -> Tensor:
    return F.pad(torch.bincount(ids, minlength=count).cumsum(0), (1, 0))
