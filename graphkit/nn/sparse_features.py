"""Linear maps of features that are mostly zero, such as bags of words, without touching the zeros."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["SparseFeatures", "sparse_features"]

_DENSE = 0.1  # above this share of non-zeros the dense product is the faster one


class SparseFeatures:
    """The non-zeros of a matrix by row and, for gradients, by column.

    Args:
        x: [N, F].

    Attributes:
        shape: (N, F).
        ptr: int64 [N + 1]; column: int64 [Z]; value: [Z], row by row.
        t_ptr: int64 [F + 1]; t_row, t_entry: int64 [Z], row and place of the entries column by column.

    Example:
        >>> rows = SparseFeatures(torch.tensor([[0.0, 2.0], [3.0, 0.0]]))
        >>> rows.product(torch.tensor([[1.0, 10.0]]))
        tensor([[20.],
                [ 3.]])
    """

    def __init__(self, x: Tensor) -> None:
        with torch.inference_mode(False):
            self.shape = (x.size(0), x.size(1))
            row, self.column = x.detach().nonzero(as_tuple=True)
            self.value = x.detach()[row, self.column].clone()
            self.ptr = _pointers(row, x.size(0))
            self.t_entry = torch.argsort(self.column, stable=True)
            self.t_row, self.t_ptr = row[self.t_entry], _pointers(self.column, x.size(1))

    def product(self, weight: Tensor, *, dropout: float = 0.0, training: bool = False) -> Tensor:
        """``dropout(x) @ weight.T`` [N, H]; dropping a zero changes nothing, so only non-zeros are drawn for.

        Args:
            weight: [H, F], as in ``torch.nn.Linear``.
            dropout: probability with which an entry is dropped.
            training: whether to drop.
        """
        value = F.dropout(self.value.to(weight.dtype), dropout, training)
        return _Product.apply(value, weight, self)


class _Product(torch.autograd.Function):
    """Values are no parameters: only the weight gets a gradient, the product of the transposed matrix."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, weight: Tensor, rows: SparseFeatures) -> Tensor:
        ctx.save_for_backward(value)
        ctx.rows = rows
        return _weighted_sums(rows.column, rows.ptr, value, weight.t().contiguous())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        rows, (value,) = ctx.rows, ctx.saved_tensors
        grad = _weighted_sums(rows.t_row, rows.t_ptr, value[rows.t_entry], grads[0].contiguous())
        return None, grad.t(), None


def sparse_features(x: Tensor) -> SparseFeatures | None:
    """The non-zeros of features, remembered while ``x`` lives unchanged; None for features that are rather dense.

    Example:
        >>> sparse_features(torch.eye(20)) is None, sparse_features(torch.ones(2, 2)) is None
        (False, True)
    """
    known = _KNOWN.get(id(x))
    if known is not None and known[0]() is x and known[1] == x._version:
        return known[2]
    few = x.is_floating_point() and x.numel() > 0 and int(torch.count_nonzero(x)) <= _DENSE * x.numel()
    found = SparseFeatures(x) if few else None
    for key in [key for key, entry in _KNOWN.items() if entry[0]() is None]:
        del _KNOWN[key]
    _KNOWN[id(x)] = (weakref.ref(x), x._version, found)
    return found


_KNOWN: dict[int, tuple[weakref.ref[Tensor], int, SparseFeatures | None]] = {}


def _weighted_sums(index: Tensor, ptr: Tensor, value: Tensor, table: Tensor) -> Tensor:
    """Sum of ``value * table[index]`` over each range of ``ptr``."""
    return F.embedding_bag(index, table, ptr, mode="sum", per_sample_weights=value, include_last_offset=True)


def _pointers(ids: Tensor, count: int) -> Tensor:
    return F.pad(torch.bincount(ids, minlength=count).cumsum(0), (1, 0))
