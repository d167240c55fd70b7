"""The bidirectional Mamba block of Graph Mamba."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from graphkit.errors import UserError
from graphkit.nn.dropout import Dropout
from graphkit.nn.selective_state import SelectiveStateSpace

__all__ = ["BiMamba"]


class BiMamba(nn.Module):
    r"""Reads sequences in both directions, each with weights of its own, and adds what it read.

    .. math:: x' = x + \mathrm{dropout}\left(W_{out} \left( f(\mathrm{LN}(x)) + b(\mathrm{LN}(x)) \right)\right)

    f is a :class:`SelectiveStateSpace` from the first row to the last, b one from the last row *of each true length* to the
    first. LayerNorm before, residual and dropout are this library's: the paper's algorithm does not write them.

    Args:
        channels: d.
        state: N, states of an inner channel.
        conv_width: taps of the convolution in front of the scan.
        expand: inner channels e over d.
        dt_rank, a_mode, ssm, heads: see :class:`SelectiveStateSpace`.
        bidirectional: without it there is no b (an ablation of the paper).
        share_A: one A for both directions; the paper writes the same letter in both, and "different weights".
        fuse_out: each direction maps e to d at once and :math:`W_{out}` is left out; the same functions, fewer weights.
        dropout: of what is added.
        norm: LayerNorm before; ``False`` for a block that stands inside another's norm.
        residual: whether x is added.

    Shapes: x ``[S, L, d]`` (``lengths`` [S], else all full) or packed ``[R, d]`` (``ptr`` [S + 1]); the result is like x and 0
    (plus x) past a sequence's length. Sequences do not see each other.

    Raises:
        UserError: sizes or options out of range.

    Source:
        Behrouz and Hashemi, Graph Mamba: Towards Learning on Graphs with State Space Models (KDD 2024), algorithm 2.

    Example:
        >>> import torch
        >>> BiMamba(8)(torch.randn(2, 5, 8), lengths=torch.tensor([5, 3])).shape
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
        bidirectional: bool = True,
        share_A: bool = False,
        fuse_out: bool = False,
        dropout: float = 0.0,
        norm: bool = True,
        residual: bool = True,
    ) -> None:
        super().__init__()
        if share_A and not bidirectional:
            raise UserError("share_A is about two directions; leave it out with bidirectional=False")
        options: dict[str, Any] = {
            "state": state, "conv_width": conv_width, "expand": expand, "dt_rank": dt_rank, "a_mode": a_mode, "ssm": ssm,
            "heads": heads,
        }  # fmt: skip
        self.channels, self.residual = channels, residual
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.forwards = SelectiveStateSpace(channels, **options)
        self.backwards = SelectiveStateSpace(channels, reverse=True, **options) if bidirectional else None
        if share_A and self.backwards is not None:
            self.backwards.A_log = self.forwards.A_log
        self.out = nn.Identity() if fuse_out else nn.Linear(channels, channels, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, *, lengths: Tensor | None = None, ptr: Tensor | None = None) -> Tensor:
        """Every position of every sequence."""
        self._check(x)
        normed = self.norm(x)
        read = self.forwards(normed, lengths=lengths, ptr=ptr)
        if self.backwards is not None:
            read = read + self.backwards(normed, lengths=lengths, ptr=ptr)
        return self._added(x, read)

    def last(self, x: Tensor) -> Tensor:
        """The last position alone, ``[S, L, d]`` to ``[S, d]``: equal to ``forward(x)[:, -1]`` for about half the work.

        Read backwards the last position comes first and has seen only itself; so with one block in front of such a reading
        the backward direction is a function of each token by itself.
        """
        self._check(x)
        if x.dim() != 3 or not x.shape[1]:
            raise UserError(f"x is {list(x.shape)}, expected sequences [S, L, {self.channels}] with L from 1 upwards")
        normed = self.norm(x)
        read = self.forwards.last(normed)
        if self.backwards is not None:
            read = read + self.backwards.last(normed)
        return self._added(x[:, -1], read)

    def _check(self, x: Tensor) -> None:
        if x.dim() not in (2, 3) or x.shape[-1] != self.channels:
            raise UserError(f"x is {list(x.shape)}, expected [S, L, {self.channels}] or packed [R, {self.channels}]")

    def _added(self, x: Tensor, read: Tensor) -> Tensor:
        added = self.dropout(self.out(read))
        return x + added if self.residual else added
