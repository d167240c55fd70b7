"""Sequences as rows that lie one under another: padded with lengths, or packed one behind the other."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphkit.errors import UserError

__all__ = ["Sequences", "grid_of", "sequences_of"]


class Sequences(NamedTuple):
    """Sequence s has the rows ``begin[s]`` to ``begin[s] + length[s]``; both int64 [S], rows without overlap."""

    begin: Tensor
    length: Tensor


def sequences_of(rows: Tensor, lengths: Tensor | None, ptr: Tensor | None, name: str) -> Sequences:
    """Which rows belong together.

    Args:
        rows: ``[S, L, D]`` (padded on the right, ``lengths`` [S] or all full) or ``[R, D]`` (packed, ``ptr`` [S + 1]).
        lengths: true lengths, from 0 to L.
        ptr: where each sequence starts in packed rows, from 0 to R.
        name: of the operator, for messages.

    Raises:
        UserError: lengths or starts that do not fit the rows.

    Example:
        >>> sequences_of(torch.zeros(2, 3, 1), torch.tensor([3, 1]), None, "scan").begin.tolist()
        [0, 3]
    """
    if rows.dim() == 2:
        if ptr is None or lengths is not None:
            raise UserError(f"{name}: packed rows [R, D] need ptr [S + 1] and no lengths; padded rows are [S, L, D]")
        good = ptr.dim() == 1 and ptr.dtype == torch.int64 and ptr.numel() >= 1
        if not good or int(ptr[0]) != 0 or int(ptr[-1]) != len(rows) or bool((ptr.diff() < 0).any()):
            raise UserError(f"{name}: ptr must be int64 [S + 1] and rise from 0 to the number of rows, {len(rows)}")
        return Sequences(ptr[:-1].contiguous(), ptr.diff())
    if rows.dim() != 3 or ptr is not None:
        raise UserError(f"{name}: expected [S, L, D], or [R, D] with ptr, but got {list(rows.shape)}")
    count, longest = rows.shape[:2]
    begin = torch.arange(count, device=rows.device) * longest
    if lengths is None:
        return Sequences(begin, torch.full_like(begin, longest))
    if lengths.shape != (count,) or lengths.dtype != torch.int64:
        raise UserError(f"{name}: lengths are {lengths.dtype} {list(lengths.shape)}, expected int64 [{count}]")
    if count and (int(lengths.min()) < 0 or int(lengths.max()) > longest):
        raise UserError(
            f"{name}: lengths go from {int(lengths.min())} to {int(lengths.max())}, expected 0 to {longest}, the padded length"
        )
    return Sequences(begin, lengths.to(rows.device).contiguous())


def grid_of(begin: Tensor, length: Tensor, reverse: bool, multiple: int = 1) -> tuple[Tensor, Tensor]:
    """Row of each step of each sequence, in the order in which it is read.

    Args:
        begin: int64 [S].
        length: int64 [S].
        reverse: from the last row to the first.
        multiple: pads the longest length to a multiple of this.

    Returns:
        Rows int64 ``[S, L]`` (0 where there is none) and whether there is one, bool ``[S, L]``.

    Example:
        >>> grid_of(torch.tensor([0, 3]), torch.tensor([3, 1]), reverse=True)[0].tolist()
        [[2, 1, 0], [3, 0, 0]]
    """
    longest = int(length.max()) if length.numel() else 0
    step = torch.arange(-(-longest // multiple) * multiple, device=begin.device)
    inside = step < length[:, None]
    rows = begin[:, None] + (length[:, None] - 1 - step if reverse else step)
    return torch.where(inside, rows, 0), inside
