"""Dropout by random words that are already there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import call, define, public

__all__ = ["WORDS", "word_dropout"]

#: a probability is one of so many steps
WORDS = 2**16

public("word_dropout", "word_dropout")


def word_dropout(x: Tensor, words: Tensor, dropped: int) -> Tensor:
    r"""Entries stay where their word of 16 bits is large enough, and are scaled so that the mean stays.

    .. math:: y_i = x_i \cdot \begin{cases} 2^{16} / (2^{16} - d) & w_i \ge d - 2^{15} \\ 0 & \text{else} \end{cases}

    Args:
        x: any shape, float32 or float64, in rows one behind the other (contiguous).
        words: int64, contiguous, at least a quarter as many as x has entries: four words each, in the order of memory.
        dropped: d, from 0 to 2^16 - 1: of all 2^16 words so many drop their entry.

    Returns:
        As x; differentiable in x, any number of times. The words are all that is kept for that.

    Raises:
        UserError: another dtype, too few words, or d out of range.

    Example:
        >>> words = torch.tensor([-1, 0])  # four words of -1, four of 0
        >>> word_dropout(torch.ones(8), words, 2**15).tolist()
        [0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 2.0]
    """
    if x.dtype not in (torch.float32, torch.float64):
        raise UserError(f"x is {x.dtype}, expected float32 or float64")
    if not 0 <= dropped < WORDS:
        raise UserError(f"dropped is {dropped}, expected a number of words from 0 to {WORDS - 1}")
    if words.dtype != torch.int64 or 4 * words.numel() < x.numel():
        raise UserError(f"words are {words.numel()} of {words.dtype}, expected int64 and at least {-(-x.numel() // 4)}")
    return call("word_dropout", x.contiguous(), words.contiguous(), dropped - WORDS // 2, WORDS / (WORDS - dropped))


def _body(x: Tensor, words: Tensor, least: int, scale: float) -> Tensor:
    keep = (words.view(torch.int16)[: x.numel()] >= least).view(x.shape)
    # torch multiplies by a mask of the same type several times as fast as by one of bools
    return x * keep.to(x.dtype).mul_(scale)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, words, ctx.least, ctx.scale = inputs
    ctx.save_for_backward(words)


def _gradient(operators: Any, ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    (words,) = ctx.saved_tensors
    return operators.word_dropout(grad.contiguous(), words, ctx.least, ctx.scale), None, None, None


define(
    "word_dropout(Tensor x, Tensor words, int least, float scale) -> Tensor",
    _body,
    fake=lambda x, words, least, scale: torch.empty_like(x),
    setup_context=_setup_context,
    backward=_gradient,
)
