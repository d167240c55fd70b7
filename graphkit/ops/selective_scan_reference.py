"""The selective scan in plain torch, and the declaration of its operators.

Sequences are cut into chunks. All chunks run at once from a state of 0; what each leaves behind is carried across them;
then all run again from the right states. The recurrence composes as :math:`(a, v), (a', v') \\to (a a', a' v + v')`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit.ops._library import define, no_second_derivative
from graphkit.ops.sequences import grid_of

__all__: list[str] = []

_CHUNK = 32  # steps between kept states
_LANES = 16  # the kernel pads channels to a multiple of this


class _Steps(NamedTuple):
    """What a step needs, on a grid [S, L]: L whole chunks; steps outside a sequence have a step size of 0."""

    rows: Tensor
    inside: Tensor
    u: Tensor  # [S, L, D]
    raw: Tensor  # step sizes before softplus
    dt: Tensor
    B: Tensor  # [S, L, N]
    C: Tensor


def _softplus(x: Tensor) -> Tensor:
    return x.clamp(min=0) + torch.log1p(torch.exp(-x.abs()))


def _on_grid(rows: Tensor, steps: Tensor, inside: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.where(inside[..., None], rows[steps].to(dtype), 0.0)  # what lies past a sequence may be NaN


def _steps(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    bias: Tensor | None,
    softplus: bool,
    begin: Tensor,
    length: Tensor,
    reverse: bool,
) -> _Steps:
    rows, inside = grid_of(begin, length, reverse, _CHUNK)
    raw = _on_grid(delta, rows, inside, A.dtype)
    raw = raw if bias is None else raw + bias
    dt = torch.where(inside[..., None], _softplus(raw) if softplus else raw, 0.0)
    return _Steps(
        rows, inside, _on_grid(u, rows, inside, A.dtype), raw, dt, *(_on_grid(t, rows, inside, A.dtype) for t in (B, C))
    )


def _advance(h: Tensor, A: Tensor, dt: Tensor, u: Tensor, B: Tensor) -> Tensor:
    return torch.exp(dt[..., None] * A) * h + (dt * u)[..., None] * B[..., None, :]


def _starts(at: _Steps, A: Tensor) -> Tensor:
    """States at the start of each chunk, ``[S, L / chunk, D, N]``."""
    count, longest, width = at.u.shape
    chunks = longest // _CHUNK
    starts = at.u.new_zeros(count, chunks, width, A.shape[1])
    if chunks < 2:
        return starts

    def by_chunk(t: Tensor) -> Tensor:
        return t.view(count, chunks, _CHUNK, -1)

    dt, u, B = by_chunk(at.dt), by_chunk(at.u), by_chunk(at.B)
    left = starts
    for t in range(_CHUNK):
        left = _advance(left, A, dt[:, :, t], u[:, :, t], B[:, :, t])
    kept = torch.exp(dt.sum(2)[..., None] * A)  # the decay over a whole chunk is one exponential
    for chunk in range(1, chunks):
        starts[:, chunk] = kept[:, chunk - 1] * starts[:, chunk - 1] + left[:, chunk - 1]
    return starts


def _scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    begin: Tensor,
    length: Tensor,
    reverse: bool,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    at = _steps(u, delta, A, B, C, delta_bias, delta_softplus, begin, length, reverse)
    y = torch.zeros_like(at.u)
    h = _starts(at, A)
    by_chunk = [t.unflatten(1, (-1, _CHUNK)) for t in (at.dt, at.u, at.B, at.C, y)]
    dt, x, b, c, out = by_chunk
    for t in range(_CHUNK if y.numel() else 0):
        h = _advance(h, A, dt[:, :, t], x[:, :, t], b[:, :, t])
        out[:, :, t] = (h * c[:, :, t, None, :]).sum(-1)
    if D is not None:
        y = y + D * at.u
    if z is not None:
        y = y * torch.nn.functional.silu(_on_grid(z, at.rows, at.inside, A.dtype))
    result = torch.zeros_like(u)
    result[at.rows[at.inside]] = y[at.inside].to(u.dtype)
    return result, _no_states(u, A, keep)


def _no_states(u: Tensor, A: Tensor, keep: bool) -> Tensor:
    """The shape of what the kernel keeps; this body computes the states of the chunks again instead."""
    width, states = A.shape
    return A.new_zeros(u.shape[0] // _CHUNK if keep else 0, states, -(-width // _LANES) * _LANES)


def _scan_backward(
    grad: Tensor,
    states: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    begin: Tensor,
    length: Tensor,
    reverse: bool,
) -> tuple[Tensor, ...]:
    at = _steps(u, delta, A, B, C, delta_bias, delta_softplus, begin, length, reverse)
    g = _on_grid(grad, at.rows, at.inside, A.dtype)
    gate = slope = None
    if z is not None:
        raw_z = _on_grid(z, at.rows, at.inside, A.dtype)
        sigmoid = torch.sigmoid(raw_z)
        gate, slope = raw_z * sigmoid, sigmoid * (1 + raw_z * (1 - sigmoid))
    starts = _starts(at, A)
    du, ddt, dz, dB, dC = (torch.zeros_like(t) for t in (at.u, at.u, at.u, at.B, at.B))
    dA = torch.zeros_like(A)
    dD = A.new_zeros(A.shape[0])
    carry = at.u.new_zeros(len(at.u), *A.shape)  # decay times the gradient of the state after
    for chunk in reversed(range(starts.shape[1])):
        h = [starts[:, chunk]]
        steps = range(chunk * _CHUNK, (chunk + 1) * _CHUNK)
        for t in steps:
            h.append(_advance(h[-1], A, at.dt[:, t], at.u[:, t], at.B[:, t]))
        for i, t in reversed(list(enumerate(steps))):
            x, dt, b, c, now = at.u[:, t], at.dt[:, t], at.B[:, t, None, :], at.C[:, t, None, :], h[i + 1]
            gy = g[:, t]
            if gate is not None and slope is not None:
                y = (now * c).sum(-1) + (0 if D is None else D * x)
                dz[:, t] = gy * y * slope[:, t]
                gy = gy * gate[:, t]
            G = gy[..., None] * c + carry
            through = G * (now - (dt * x)[..., None] * b)  # what the decay left of the state before
            of_step = (G * b).sum(-1)
            du[:, t] = dt * of_step + (0 if D is None else D * gy)
            ddt[:, t] = x * of_step + (through * A).sum(-1)
            dA += (through * dt[..., None]).sum(0)
            dB[:, t] = (G * (dt * x)[..., None]).sum(1)
            dC[:, t] = (gy[..., None] * now).sum(1)
            dD += (gy * x).sum(0)
            carry = torch.exp(dt[..., None] * A) * G
    if delta_softplus:
        ddt = ddt * torch.sigmoid(at.raw)

    def rows(values: Tensor, dtype: torch.dtype) -> Tensor:
        out = values.new_zeros(len(u), values.shape[-1], dtype=dtype)
        out[at.rows[at.inside]] = values[at.inside].to(dtype)
        return out

    dbias = ddt[at.inside].sum(0)
    return (
        rows(du, u.dtype), rows(ddt, u.dtype), dA, rows(dB, A.dtype), rows(dC, A.dtype), dD,
        rows(dz, u.dtype) if z is not None else u.new_empty(0, 0), dbias,
    )  # fmt: skip


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.softplus, begin, length, ctx.reverse, ctx.keep = inputs
    ctx.save_for_backward(output[1], *tensors, begin, length)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _gradient(operators: Any, ctx: Any, grad: Tensor | None, _: Any) -> tuple[Any, ...]:
    nothing = (None,) * 13
    if grad is None:
        return nothing
    states, u, delta, A, B, C, D, z, bias, begin, length = ctx.saved_tensors
    du, ddelta, dA, dB, dC, dD, dz, dbias = operators.selective_scan_backward(
        grad.contiguous(), states, u, delta, A, B, C, D, z, bias, ctx.softplus, begin, length, ctx.reverse
    )
    of_rows = (dB.to(B.dtype), dC.to(C.dtype))
    optional = (None if D is None else dD, None if z is None else dz, None if bias is None else dbias)
    return du, ddelta, dA, *of_rows, *optional, *nothing[8:]


_ARGUMENTS = (
    "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? delta_bias, bool delta_softplus, "
    "Tensor begin, Tensor length, bool reverse"
)
define(
    f"selective_scan_backward(Tensor grad, Tensor states, {_ARGUMENTS}) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _scan_backward,
    fake=lambda grad, states, u, delta, A, B, C, D, z, *_: (
        torch.empty_like(u), torch.empty_like(u), torch.empty_like(A), B.new_empty(B.shape, dtype=A.dtype),
        B.new_empty(B.shape, dtype=A.dtype), A.new_empty(A.shape[0]),
        torch.empty_like(u) if z is not None else u.new_empty(0, 0), A.new_empty(A.shape[0]),
    ),
    setup_context=lambda ctx, inputs, output: None,
    backward=no_second_derivative,
)  # fmt: skip
define(
    f"selective_scan({_ARGUMENTS}, bool keep) -> (Tensor, Tensor)",
    _scan,
    fake=lambda u, delta, A, B, C, D, z, bias, softplus, begin, length, reverse, keep: (
        torch.empty_like(u),
        _no_states(u, A, keep),
    ),
    setup_context=_setup_context,
    backward=_gradient,
)
