"""Columns of categories as columns of zeros and ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphkit.errors import UserError

__all__ = ["one_hot_columns"]


def one_hot_columns(values: Tensor, sizes: Sequence[int]) -> Tensor:
    r"""Each column k as ``sizes[k]`` columns, one of which is 1, side by side.

    A linear map of the result is a sum of embeddings, one table a column.

    Args:
        values: [N, K] whole numbers, column k from 0 to ``sizes[k] - 1``.
        sizes: numbers of categories, K of them.

    Returns:
        [N, sum(sizes)] float32.

    Raises:
        UserError: for another number of columns, or a category out of range.

    Example:
        >>> one_hot_columns(torch.tensor([[1, 0], [0, 2]]), [2, 3]).tolist()
        [[0.0, 1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 1.0]]
    """
    if values.dim() != 2 or values.size(1) != len(sizes):
        raise UserError(
            f"categories are {list(values.shape)}, expected {len(sizes)} columns, one for each of the sizes"
        )
    bounds = torch.tensor(list(sizes), device=values.device)
    values = values.to(torch.int64)
    bad = (values < 0) | (values >= bounds)
    if bool(bad.any()):
        row, column = bad.nonzero()[0].tolist()
        raise UserError(
            f"column {column} of the categories holds {int(values[row, column])}, expected 0 .. {sizes[column] - 1}"
        )
    out = torch.zeros(values.size(0), int(bounds.sum()), device=values.device)
    return out.scatter_(1, values + (bounds.cumsum(0) - bounds), 1.0)
