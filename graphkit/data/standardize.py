"""Features brought to one scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphkit.errors import UserError

__all__ = ["standardize"]


def standardize(x: Tensor, columns: Sequence[int] | None, rows: Tensor | None = None) -> Tensor:
    """The columns at mean 0 and standard deviation 1 (constant ones at 0); the others as they are.

    Args:
        x: ``[N, F]`` float.
        columns: which ones; None: all.
        rows: ``[N]`` bool or ids, the nodes that mean and deviation are taken over; None: all.

    Raises:
        UserError: for columns that there are not, or no rows.

    Example:
        >>> standardize(torch.tensor([[1.0, 5.0], [3.0, 6.0]]), [0]).tolist()
        [[-1.0, 5.0], [1.0, 6.0]]
    """
    chosen = list(range(x.shape[1])) if columns is None else list(columns)
    if any(not 0 <= column < x.shape[1] for column in chosen):
        raise UserError(f"columns are {chosen}, expected numbers in [0, {x.shape[1]})")
    wide = x[:, chosen].double()
    known = wide if rows is None else wide[rows]
    if not len(known):
        raise UserError("there are no nodes to take mean and deviation over; choose other rows")
    deviation = known.std(0, unbiased=False)
    scaled = (wide - known.mean(0)) / torch.where(deviation > 0, deviation, 1.0)
    out = x.clone()
    out[:, chosen] = scaled.to(x.dtype)
    return out
