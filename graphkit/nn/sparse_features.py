"""Linear maps of features that are mostly zero, such as bags of words, without touching the zeros."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import MLP, Linear

__all__ = ["InputLinear", "SparseFeatures", "SparseInput", "dropped_input", "input_mlp", "sparse_features"]

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


class SparseInput:
    """Features with dropout, for a first layer that knows how to multiply them without their zeros.

    Args:
        rows: the non-zeros.
        dropout: probability with which an entry is dropped.
        training: whether to drop.
    """

    def __init__(self, rows: SparseFeatures, dropout: float, training: bool) -> None:
        self.rows, self.dropout, self.training = rows, dropout, training

    def __len__(self) -> int:
        return self.rows.shape[0]

    def times(self, *layers: nn.Linear | Linear | InputLinear) -> tuple[Tensor, ...]:
        """What each layer makes of the features, without its bias; all see the same entries dropped."""
        weight = layers[0].weight if len(layers) == 1 else torch.cat([layer.weight for layer in layers])
        product = self.rows.product(weight, dropout=self.dropout, training=self.training)
        return product.split([len(layer.weight) for layer in layers], dim=1)


def dropped_input(x: Tensor, dropout: float, training: bool) -> Tensor | SparseInput:
    """``dropout(x)`` as a tensor, or, on a CPU and where most of x is zero, as a :class:`SparseInput`.

    Example:
        >>> type(dropped_input(torch.eye(20), 0.5, True)).__name__, type(dropped_input(torch.ones(2, 2), 0.5, True)).__name__
        ('SparseInput', 'Tensor')
    """
    if x.dim() == 2 and multiplies_on_cpu(x) and not x.requires_grad:
        rows = sparse_features(x)
        if rows is not None:
            return SparseInput(rows, dropout, training)
    return F.dropout(x, dropout, training)


def multiplies_on_cpu(x: Tensor) -> bool:
    """Whether products with sparse matrices are to be made by the kernels of the CPU, in the precision of x."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")


class InputLinear(nn.Module):
    """A linear layer, of a :class:`SparseInput` too; with the weights, and their names, of torch's or PyG's layer.

    Args:
        layer: the layer.
    """

    def __init__(self, layer: nn.Linear | Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def reset_parameters(self) -> None:
        """As ``torch.nn.Linear`` draws them."""
        nn.Linear.reset_parameters(self)  # type: ignore[arg-type]

    def forward(self, x: Tensor | SparseInput) -> Tensor:
        if not isinstance(x, SparseInput):
            return F.linear(x, self.weight, self.bias)
        (out,) = x.times(self)
        return out if self.bias is None else out + self.bias


def input_mlp(channels: list[int], **options: Any) -> MLP:
    """PyG's perceptron, of a :class:`SparseInput` too.

    Example:
        >>> input_mlp([20, 4, 2])(dropped_input(torch.eye(20), 0.5, True)).shape
        torch.Size([20, 2])
    """
    made = MLP(channels, **options)
    made.lins[0] = InputLinear(made.lins[0])
    return made


_KNOWN: dict[int, tuple[weakref.ref[Tensor], int, SparseFeatures | None]] = {}


def _weighted_sums(index: Tensor, ptr: Tensor, value: Tensor, table: Tensor) -> Tensor:
    """Sum of ``value * table[index]`` over each range of ``ptr``."""
    return F.embedding_bag(index, table, ptr, mode="sum", per_sample_weights=value, include_last_offset=True)


def _pointers(ids: Tensor, count: int) -> Tensor:
    return F.pad(torch.bincount(ids, minlength=count).cumsum(0), (1, 0))
