"""One linear map for each of several experts, applied in one batched product."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

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

    Shapes: x ``[M', n, in]``, result ``[M', n, out]``.

    Example:
        >>> ExpertLinear(3, 4, 2)(torch.zeros(3, 5, 4)).shape
        torch.Size([3, 5, 2])
    """

    def __init__(self, num_experts: int, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_experts, in_channels, out_channels))
        self.bias = nn.Parameter(torch.zeros(num_experts, out_channels)) if bias else None
        fill_weight(self.weight.data, in_channels, out_channels)

    def forward(self, x: Tensor, experts: Tensor | None = None) -> Tensor:
        """``x`` of all experts, or of those numbered ``experts`` (int64 ``[M']``)."""
        weight = chosen_rows(self.weight, experts)
        weight = weight.expand(x.size(0), -1, -1)
        if self.bias is None:
            return torch.bmm(x, weight)
        return torch.baddbmm(chosen_rows(self.bias, experts)[:, None], x, weight)

    def extra_repr(self) -> str:
        return f"{list(self.weight.shape)}"
