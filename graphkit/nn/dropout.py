"""Dropout whose random numbers cost little on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Dropout", "dropout"]

_STEPS = 2**16  # a probability is rounded to one of these


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    """``torch.nn.functional.dropout``; on the CPU four entries share a 64-bit random number.

    torch's own draws one number of its global stream per entry there, which can cost more than the matrix products
    around it. This one draws from the same stream, a quarter as often, and rounds p to a multiple of 2^-16.

    Args:
        x: any shape.
        p: probability with which an entry is set to 0; the others are divided by 1 - p.
        training: without it x is returned.

    Example:
        >>> dropout(torch.ones(1000), 0.5).unique().tolist()
        [0.0, 2.0]
    """
    if not training or p == 0.0:
        return x
    if x.device.type != "cpu" or p == 1.0:
        return F.dropout(x, p)
    dropped = round(p * _STEPS)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    keep = (words.view(torch.int16)[: x.numel()] >= dropped - _STEPS // 2).view(x.shape)
    # torch multiplies by a mask of the same type several times as fast as by one of bools
    return x * keep.to(x.dtype).mul_(_STEPS / (_STEPS - dropped))


class Dropout(nn.Module):
    """:func:`dropout` as a layer.

    Args:
        p: probability with which an entry is set to 0.

    Example:
        >>> Dropout(0.5).eval()(torch.ones(3)).tolist()
        [1.0, 1.0, 1.0]
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
