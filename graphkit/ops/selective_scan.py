"""The selective scan: a linear recurrence whose decay, input and output maps depend on the input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops import selective_scan_reference  # noqa: F401  (declares the operators)
from graphkit.ops._library import call, public
from graphkit.ops.sequences import sequences_of

__all__ = ["selective_scan"]

public("selective_scan", "selective_scan")

_ROWS = (torch.float32, torch.float64, torch.bfloat16)


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    lengths: Tensor | None = None,
    ptr: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    r"""Selective state space model over sequences, N states a channel.

    .. math:: h_t = e^{\Delta_t A} \odot h_{t-1} + \Delta_t u_t B_t, \qquad
        y_t = \left(h_t C_t + D u_t\right) \cdot \mathrm{silu}(z_t), \qquad
        \Delta_t = \mathrm{softplus}(\delta_t + b)

    The gate is left out without ``z``, softplus without ``delta_softplus``. States are accumulated in float32, in
    float64 for float64 rows. Memory is linear in the rows and never holds all states: for the gradient those at every
    32nd step are kept and the others computed again. Results do not depend on the number of threads.

    Args:
        u: input, ``[S, L, D]`` or packed ``[R, D]``; float32, float64 or bfloat16.
        delta: step sizes, like u.
        A: ``[D, N]``, negative in a stable system; float32 (float64 with float64 rows).
        B: ``[S, L, N]`` or ``[R, N]``, dtype of u.
        C: like B.
        D: weight of the input in the output, ``[D]``, dtype of A.
        z: gate, like u.
        delta_bias: b, ``[D]``, dtype of A; added before softplus, in the dtype of A.
        delta_softplus: whether step sizes go through softplus.
        lengths: int64 ``[S]``; rows past a sequence's length are neither read nor written, their output is 0.
        ptr: int64 ``[S + 1]``, starts of packed sequences.
        reverse: the recurrence runs from the last row (of the true length) to the first.

    Returns:
        ``[S, L, D]`` or ``[R, D]``, dtype of u; differentiable once in every tensor.

    Raises:
        UserError: shapes, dtypes or lengths that do not fit.

    Source:
        Gu and Dao, Mamba: Linear-Time Sequence Modeling with Selective State Spaces (2023), algorithm 2, with the
        published code's simplification (Euler's rule for B).

    Example:
        >>> u, one = torch.tensor([[[1.0], [2.0]]]), torch.ones(1, 2, 1)
        >>> selective_scan(u, one, torch.full((1, 1), -0.5), one, one).flatten().tolist()  # 2 + exp(-1/2)
        [1.0, 2.6065306663513184]
    """
    _check(u, delta, A, B, C, D, z, delta_bias)
    begin, length = sequences_of(u, lengths, ptr, "selective_scan")
    width, states = A.shape

    def flat(rows: Tensor | None, channels: int) -> Tensor | None:
        return None if rows is None else rows.reshape(-1, channels).contiguous()

    tensors = (u, delta, A, B, C, D, z, delta_bias)
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    y, _ = call(
        "selective_scan", flat(u, width), flat(delta, width), A.contiguous(), flat(B, states), flat(C, states),
        None if D is None else D.contiguous(), flat(z, width), None if delta_bias is None else delta_bias.contiguous(),
        delta_softplus, begin, length, reverse, keep,
    )  # fmt: skip
    return y.view(u.shape)


def _check(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Any, z: Any, delta_bias: Any) -> None:
    if u.dtype not in _ROWS:
        raise UserError(
            f"selective_scan: u is {u.dtype}, expected float32, float64 or bfloat16 (half precision lacks the range)"
        )
    if A.dim() != 2 or u.dim() not in (2, 3) or A.shape[0] != u.shape[-1] or A.shape[1] == 0:
        raise UserError(
            f"selective_scan: u is {list(u.shape)} and A {list(A.shape)}, expected [S, L, D] (or [R, D]) and [D, N]"
        )
    rows, (width, states) = u.shape[:-1], A.shape
    for name, tensor, channels in (("delta", delta, width), ("z", z, width), ("B", B, states), ("C", C, states)):
        if tensor is not None and (tensor.shape != (*rows, channels) or tensor.dtype != u.dtype):
            raise UserError(
                f"selective_scan: {name} is {tensor.dtype} {list(tensor.shape)}, expected {u.dtype} {[*rows, channels]}"
            )
    of_parameters = torch.float64 if u.dtype == torch.float64 else torch.float32
    for name, tensor, shape in (("A", A, (width, states)), ("D", D, (width,)), ("delta_bias", delta_bias, (width,))):
        if tensor is not None and (tensor.shape != shape or tensor.dtype != of_parameters):
            raise UserError(
                f"selective_scan: {name} is {tensor.dtype} {list(tensor.shape)}, expected {of_parameters} {list(shape)} "
                f"with u of {u.dtype}"
            )
