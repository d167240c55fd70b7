"""Weighted sums over edges in one pass, for layers whose message is a state times a number."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["MessageSums", "SourceGradients"]


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


class SourceGradients:
    r"""Gradients with regard to what sums have read, each direction once.

    A source with a single message has a multiple of the gradient of its target, and norms of it are multiples too: at the
    border of a ball most nodes are of this kind.

    Example:
        >>> sums = MessageSums(torch.tensor([[1, 2, 0], [0, 0, 1]]), torch.tensor([1.0, 10.0, 5.0]), rows=2, columns=3)
        >>> sources = SourceGradients(sums)
        >>> sources(torch.tensor([[3.0], [1.0]]))
        tensor([[3.],
                [1.]])
        >>> sources.norms(torch.tensor([3.0, 1.0]))
        tensor([ 5.,  3., 30.])
    """

    def __init__(self, sums: MessageSums) -> None:
        messages = sums.t_ptr.diff()
        single = messages == 1
        alone = sums.t_ptr[:-1][single]
        self.targets, which = sums.t_target[alone].unique(return_inverse=True)
        shared = ~single.repeat_interleave(messages)
        self.target, self.weight = sums.t_target[shared], sums.t_weight[shared]
        self.ptr = F.pad(messages[~single].cumsum(0), (1, 0))
        self.place = torch.empty_like(messages)
        self.place[~single] = torch.arange(len(self.ptr) - 1, device=messages.device)
        self.place[single] = which + len(self.ptr) - 1
        self.scale = torch.ones(len(messages), dtype=sums.weight.dtype, device=messages.device)
        self.scale[single] = sums.t_weight[alone].abs()

    def __len__(self) -> int:
        """How many directions."""
        return len(self.ptr) - 1 + len(self.targets)

    def __call__(self, grad: Tensor) -> Tensor:
        """Gradients ``[len(self), D]`` from those ``[rows, D]`` of the sums."""
        return torch.cat([_bags(grad, self.target, self.ptr, self.weight), grad[self.targets]])

    def norms(self, norms: Tensor, power: int = 1) -> Tensor:
        """Norms ``[columns]`` of every source's gradient from those of each direction, raised to a power."""
        return norms[self.place] * self.scale**power


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
