"""One direction of a Mamba block: convolution, selective scan, gate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from graphkit import ops
from graphkit.errors import UserError, nearest

__all__ = ["SelectiveStateSpace"]

_A_MODES = ("free", "tied")
_KINDS = ("mamba", "ssd")
_FULL_PRECISION = ("A_log", "D", "dt_bias")


class SelectiveStateSpace(nn.Module):
    r"""One direction of a bidirectional Mamba block, e inner channels with N states each.

    .. math:: u = \mathrm{silu}(\mathrm{conv}(W_{in} x)), \quad z = W_z x, \quad (\delta, B, C) = W_x u, \quad
        \Delta = \mathrm{softplus}(W_\Delta \delta + b_\Delta), \quad
        y = W_1 \left( \left( \mathrm{SSM}(A, \Delta, B, C)(u) + D u \right) \odot \mathrm{silu}(z) \right)

    ``A_log``, ``D`` and ``dt_bias`` stay float32 when the module is cast to half precision, and want no weight decay.

    Args:
        channels: d.
        state: N.
        conv_width: taps of the causal convolution, 1 to 8.
        expand: e = expand d.
        dt_rank: R, width of :math:`\delta`; None: d / 16 rounded up; ``"full"``: :math:`\delta = u`, so that :math:`W_\Delta` is
            e x e.
        a_mode: ``"free"``, or ``"tied"``: :math:`A_{ck} = -k \alpha_c`. Tied is not the paper's.
        ssm: ``"mamba"``, or ``"ssd"``: one decay and one step size for each of ``heads`` groups of channels, as in Mamba-2. Not
            the paper's.
        heads: of ``"ssd"``, a divisor of e.
        out_channels: rows of :math:`W_1`; None: d.
        reverse: from the last row of each sequence to the first.

    Raises:
        UserError: sizes or options out of range.

    Source:
        Gu and Dao, Mamba (2023), with the parameters and initial values of the published code; Behrouz and Hashemi, Graph Mamba
        (KDD 2024), algorithm 2.

    Example:
        >>> SelectiveStateSpace(8)(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        channels: int,
        *,
        state: int = 16,
        conv_width: int = 4,
        expand: int = 1,
        dt_rank: int | Literal["full"] | None = None,
        a_mode: str = "free",
        ssm: str = "mamba",
        heads: int = 1,
        out_channels: int | None = None,
        reverse: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("state", state), ("expand", expand), ("heads", heads)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"{name} is {value!r}, expected a whole number from 1 upwards")
        if conv_width not in range(1, 9):
            raise UserError(f"conv_width is {conv_width!r}, expected a whole number from 1 to 8")
        if a_mode not in _A_MODES:
            raise UserError(nearest(str(a_mode), _A_MODES, "a_mode"))
        if ssm not in _KINDS:
            raise UserError(nearest(str(ssm), _KINDS, "ssm"))
        width = expand * channels
        if ssm == "ssd" and width % heads:
            raise UserError(f"heads is {heads}, expected a divisor of the {width} inner channels")
        if dt_rank is not None and dt_rank != "full" and (not isinstance(dt_rank, int) or dt_rank < 1):
            raise UserError(f"dt_rank is {dt_rank!r}, expected a whole number from 1 upwards, 'full' or None")
        self.width, self.state, self.reverse, self.a_mode, self.ssm = width, state, reverse, a_mode, ssm
        self.steps = heads if ssm == "ssd" else width  # step sizes of a row
        self.rank = 0 if dt_rank == "full" else -(-channels // 16) if dt_rank is None else dt_rank
        self.in_proj = nn.Linear(channels, 2 * width, bias=False)
        self.conv_weight = nn.Parameter(torch.empty(width, conv_width))
        self.conv_bias = nn.Parameter(torch.empty(width))
        self.x_proj = nn.Linear(width, self.rank + 2 * state, bias=False)
        self.dt_weight = nn.Parameter(torch.empty(self.steps, self.rank or width))
        self.dt_bias = nn.Parameter(torch.empty(self.steps))
        self.A_log = nn.Parameter(
            torch.empty(*((self.steps, state) if a_mode == "free" and ssm == "mamba" else (self.steps,)))
        )
        self.D = nn.Parameter(torch.ones(width))
        self.out_proj = nn.Linear(width, out_channels or channels, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initial values as published: decays 1..N, step sizes log-uniform from 0.001 to 0.1."""
        for layer in (self.in_proj, self.x_proj, self.out_proj):
            layer.reset_parameters()
        bound = self.conv_weight.shape[1] ** -0.5
        nn.init.uniform_(self.conv_weight, -bound, bound)
        nn.init.uniform_(self.conv_bias, -bound, bound)
        nn.init.uniform_(self.dt_weight, -((self.rank or self.width) ** -0.5), (self.rank or self.width) ** -0.5)
        with torch.no_grad():
            dt = torch.exp(torch.rand(self.steps) * (math.log(0.1) - math.log(0.001)) + math.log(0.001)).clamp(min=1e-4)
            self.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
            self.A_log.copy_(torch.log(torch.arange(1.0, self.state + 1)) if self.A_log.dim() == 2 else torch.zeros(()))
            self.D.fill_(1.0)

    def decay(self) -> Tensor:
        """A, ``[e, N]``, all negative."""
        A = -torch.exp(self.A_log)
        if self.ssm == "ssd":
            A = A.repeat_interleave(self.width // self.steps)[:, None].expand(-1, self.state)
        elif self.a_mode == "tied":
            A = A[:, None] * torch.arange(1, self.state + 1, dtype=A.dtype, device=A.device)
        return A

    def forward(self, x: Tensor, *, lengths: Tensor | None = None, ptr: Tensor | None = None) -> Tensor:
        """``[S, L, d]`` (with ``lengths`` [S]) or packed ``[R, d]`` (with ``ptr`` [S + 1]) to the same with ``out_channels``."""
        into, gate = self.in_proj(x).chunk(2, -1)
        u = ops.causal_conv1d(
            into,
            *self._wide(into, self.conv_weight, self.conv_bias),
            silu=True,
            lengths=lengths,
            ptr=ptr,
            reverse=self.reverse,
        )
        delta, B, C = self._maps(u)
        A, D, bias = self._wide(u, self.decay(), self.D, self._by_channel(self.dt_bias))
        y = ops.selective_scan(
            u,
            delta,
            A,
            B,
            C,
            D,
            z=gate,
            delta_bias=bias,
            delta_softplus=True,
            lengths=lengths,
            ptr=ptr,
            reverse=self.reverse,
        )
        return self.out_proj(y)

    def last(self, x: Tensor) -> Tensor:
        """The output at position L - 1 alone, ``[S, L, d]`` to ``[S, out_channels]``, equal to ``forward(x)[:, -1]``.

        Read from the last row to the first, that position has seen only itself: nothing has to be scanned.
        """
        if self.reverse:
            return self.forward(x[:, -1:])[:, 0]
        into = nn.functional.linear(x, self.in_proj.weight[: self.width])
        gate = nn.functional.linear(x[:, -1], self.in_proj.weight[self.width :])
        u = ops.causal_conv1d(into, *self._wide(into, self.conv_weight, self.conv_bias), silu=True)
        delta, B, C = self._maps(u)
        A, D, bias = self._wide(u, self.decay(), self.D, self._by_channel(self.dt_bias))
        y = ops.selective_scan(u, delta, A, B, C, D, delta_bias=bias, delta_softplus=True)
        return self.out_proj(y[:, -1] * nn.functional.silu(gate))

    def _maps(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Step sizes before bias and softplus [.., e], and what goes into and comes out of the states [.., N]."""
        low, B, C = self.x_proj(u).split([self.rank, self.state, self.state], -1)
        delta = nn.functional.linear(low if self.rank else u, self.dt_weight)
        return self._by_channel(delta), B, C

    def _by_channel(self, steps: Tensor) -> Tensor:
        return steps if self.ssm == "mamba" else steps.repeat_interleave(self.width // self.steps, -1)

    @staticmethod
    def _wide(rows: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        """Parameters in the type the operators compute in."""
        dtype = torch.float64 if rows.dtype == torch.float64 else torch.float32
        return tuple(parameter.to(dtype) for parameter in parameters)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        kept = {name: getattr(self, name).data for name in _FULL_PRECISION}
        super()._apply(fn, recurse)
        for name, before in kept.items():
            parameter = getattr(self, name)
            if parameter.dtype in (torch.bfloat16, torch.float16):
                parameter.data = before.to(parameter.device)
        return self
