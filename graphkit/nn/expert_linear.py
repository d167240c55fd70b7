"""One linear map for each of several experts, applied in one batched product."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["ExpertLinear", "chosen_rows", "fill_weight"]


def fill_weight(weight: Tensor, fan_in: int, fan_out: int) -> None:
    """Draw weights uniformly within Glorot's bound for the given widths, in place.

    Example:
        >>> weight = torch.empty(2, 3)
        >>> fill_weight(weight, 3, 3)
        >>> bool(weight.abs().max() <= 1)
        True
    """
    bound = math.sqrt(6.0 / (fan_in + fan_out))
    nn.init.uniform_(weight, -bound, bound)


def chosen_rows(parameter: Tensor, experts: Tensor | None) -> Tensor:
    """The rows of some experts; what all experts share has one row and stays as it is.

    Example:
        >>> chosen_rows(torch.arange(3), torch.tensor([2, 0])).tolist(), chosen_rows(torch.ones(1, 2), torch.tensor([5])).shape
        ([2, 0], torch.Size([1, 2]))
    """
    return parameter if experts is None or parameter.size(0) == 1 else parameter.index_select(0, experts)


class ExpertLinear(nn.Module):
    r""":math:`y_m = x_m W_m + b_m` for M experts.

    Args:
        num_experts: M; 1 for a map that all experts share.
        in_channels: width of x.
        out_channels: width of y.
        bias: whether there is b.

    Shapes: x ``[M', n, in]``, result ``[M', n, out]``, in memory in the order of x: where the M' rows of a node lie side by side
    (x is the transpose of ``[n, M', in]``), those of the result do too, and nothing is copied on the way.

    Example:
        >>> linear = ExpertLinear(3, 4, 2)
        >>> linear(torch.zeros(3, 5, 4)).shape
        torch.Size([3, 5, 2])
        >>> linear(torch.zeros(5, 3, 4).transpose(0, 1)).transpose(0, 1).is_contiguous()
        True
    """

    def __init__(self, num_experts: int, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_experts, in_channels, out_channels))
        self.bias = nn.Parameter(torch.zeros(num_experts, out_channels)) if bias else None
        fill_weight(self.weight.data, in_channels, out_channels)

    def forward(self, x: Tensor, experts: Tensor | None = None) -> Tensor:
        """``x`` of all experts, or of those numbered ``experts`` (int64 ``[M']``)."""
        weight = chosen_rows(self.weight, experts).expand(x.size(0), -1, -1)
        bias = None if self.bias is None else chosen_rows(self.bias, experts).expand(x.size(0), -1)
        if torch.is_autocast_enabled(x.device.type):  # which does not reach into the product
            kind = torch.get_autocast_dtype(x.device.type)
            x, weight, bias = x.to(kind), weight.to(kind), None if bias is None else bias.to(kind)
        return _Product.apply(x, weight, bias)

    def extra_repr(self) -> str:
        return f"{list(self.weight.shape)}"


class _Product(torch.autograd.Function):
    """``baddbmm`` that writes into the memory order of x: torch's gives ``[M, n, out]``, which propagation would copy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        out = _beside(x, weight.size(2))
        return torch.bmm(x, weight, out=out) if bias is None else torch.baddbmm(bias[:, None], x, weight, out=out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            torch.bmm(gradient, weight.transpose(1, 2), out=_beside(x, x.size(2))) if of_x else None,
            torch.bmm(x.transpose(1, 2), gradient) if of_weight else None,
            gradient.sum(1) if of_bias else None,
        )


def _beside(x: Tensor, width: int) -> Tensor:
    """An empty ``[M, n, width]`` in the memory order of x ``[M, n, .]``."""
    experts, rows, _ = x.shape
    if x.stride(1) > x.stride(0):
        return x.new_empty(rows, experts, width).transpose(0, 1)
    return x.new_empty(experts, rows, width)
