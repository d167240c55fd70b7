"""Causal convolution along sequences with one filter a channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import call, define, no_second_derivative, public
from graphkit.ops.sequences import grid_of, sequences_of

__all__ = ["causal_conv1d"]

public("causal_conv1d", "causal_conv1d")

_WIDEST = 8


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    silu: bool = False,
    lengths: Tensor | None = None,
    ptr: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    r"""Depthwise convolution that sees the step itself and the K - 1 before it, never another sequence.

    .. math:: y_t = \mathrm{act}\left(b + \sum_{j=0}^{K-1} w_j \odot x_{t - K + 1 + j}\right)

    Args:
        x: ``[S, L, D]`` or packed ``[R, D]``; float32, float64 or bfloat16.
        weight: ``[D, K]``, K from 1 to 8; float32 (float64 with float64 rows).
        bias: ``[D]``, dtype of weight, or None.
        silu: act is silu, else the identity.
        lengths: int64 ``[S]``; rows past a sequence's length are neither read nor written, their output is 0.
        ptr: int64 ``[S + 1]``, starts of packed sequences.
        reverse: "before" means the rows behind, as if each sequence were read backwards.

    Returns:
        Like x; differentiable once in every tensor.

    Raises:
        UserError: shapes, dtypes or lengths that do not fit.

    Example:
        >>> causal_conv1d(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[10.0, 1.0]])).flatten().tolist()
        [1.0, 12.0, 23.0]
    """
    if x.dtype not in (torch.float32, torch.float64, torch.bfloat16):
        raise UserError(f"causal_conv1d: x is {x.dtype}, expected float32, float64 or bfloat16")
    if (
        weight.dim() != 2
        or x.dim() not in (2, 3)
        or weight.shape[0] != x.shape[-1]
        or not 0 < weight.shape[1] <= _WIDEST
    ):
        raise UserError(
            f"causal_conv1d: x is {list(x.shape)} and weight {list(weight.shape)}, expected [S, L, D] (or [R, D]) and [D, K], "
            f"K from 1 to {_WIDEST}"
        )
    of_parameters = torch.float64 if x.dtype == torch.float64 else torch.float32
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and (tensor.dtype != of_parameters or len(tensor) != len(weight)):
            raise UserError(
                f"causal_conv1d: {name} is {tensor.dtype} {list(tensor.shape)}, expected {of_parameters} for {len(weight)} "
                f"channels with x of {x.dtype}"
            )
    begin, length = sequences_of(x, lengths, ptr, "causal_conv1d")
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    y = call(
        "causal_conv1d",
        rows,
        weight.contiguous(),
        None if bias is None else bias.contiguous(),
        silu,
        begin,
        length,
        reverse,
    )
    return y.view(x.shape)


def _windows(x: Tensor, weight: Tensor, begin: Tensor, length: Tensor, reverse: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Rows on a grid, whether there is one, and the K inputs of each step ``[S, L, K, D]``."""
    rows, inside = grid_of(begin, length, reverse)
    values = torch.where(inside[..., None], x[rows].to(weight.dtype), 0.0)
    padded = torch.nn.functional.pad(values, (0, 0, weight.shape[1] - 1, 0))
    return rows, inside, padded.unfold(1, weight.shape[1], 1).transpose(2, 3)


def _conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, begin: Tensor, length: Tensor, reverse: bool
) -> Tensor:
    result = torch.zeros_like(x)
    if not x.numel() or not length.numel() or not int(length.max()):
        return result
    rows, inside, windows = _windows(x, weight, begin, length, reverse)
    y = (windows * weight.t()).sum(2) + (0 if bias is None else bias)
    result[rows[inside]] = (torch.nn.functional.silu(y) if silu else y)[inside].to(x.dtype)
    return result


def _conv_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    silu: bool,
    begin: Tensor,
    length: Tensor,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    dx = torch.zeros_like(x)
    if not x.numel() or not length.numel() or not int(length.max()):
        return dx, torch.zeros_like(weight), weight.new_zeros(len(weight))
    width = weight.shape[1]
    rows, inside, windows = _windows(x, weight, begin, length, reverse)
    g = torch.where(inside[..., None], grad[rows].to(weight.dtype), 0.0)
    if silu:
        y = (windows * weight.t()).sum(2) + (0 if bias is None else bias)
        sigmoid = torch.sigmoid(y)
        g = g * sigmoid * (1 + y * (1 - sigmoid))
    ahead = torch.nn.functional.pad(g, (0, 0, 0, width - 1)).unfold(1, width, 1).transpose(2, 3)
    values = (ahead * weight.flip(1).t()).sum(2)
    dx[rows[inside]] = values[inside].to(x.dtype)
    return dx, (windows * g[:, :, None]).sum((0, 1)).t().contiguous(), g.sum((0, 1))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, ctx.silu, begin, length, ctx.reverse = inputs
    ctx.save_for_backward(x, weight, bias, begin, length)


def _gradient(operators: Any, ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, weight, bias, begin, length = ctx.saved_tensors
    dx, dweight, dbias = operators.causal_conv1d_backward(
        grad.contiguous(), x, weight, bias, ctx.silu, begin, length, ctx.reverse
    )
    return dx, dweight, None if bias is None else dbias, None, None, None, None


_ARGUMENTS = "Tensor x, Tensor weight, Tensor? bias, bool silu, Tensor begin, Tensor length, bool reverse"
define(
    f"causal_conv1d_backward(Tensor grad, {_ARGUMENTS}) -> (Tensor, Tensor, Tensor)",
    _conv_backward,
    fake=lambda grad, x, weight, *_: (torch.empty_like(x), torch.empty_like(weight), weight.new_empty(len(weight))),
    setup_context=lambda ctx, inputs, output: None,
    backward=no_second_derivative,
)
define(
    f"causal_conv1d({_ARGUMENTS}) -> Tensor",
    _conv,
    fake=lambda x, *_: torch.empty_like(x),
    setup_context=_setup_context,
    backward=_gradient,
)
