"""Dropout whose random numbers cost little on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.ops.word_dropout import WORDS, word_dropout

__all__ = ["Dropout", "dropout"]


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
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    dropped = min(round(p * WORDS), WORDS - 1)
    if x.dtype in (torch.float32, torch.float64):
        return word_dropout(x, words, dropped)
    return word_dropout(x.float(), words, dropped).to(x.dtype)


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
