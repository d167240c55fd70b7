"""Input dropout and a first layer in one, for features that are mostly zero."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import MLP, Linear

from graphkit.nn.sparse_features import SparseFeatures, sparse_features

__all__ = ["InputLinear", "SparseInput", "dropped_input", "input_mlp", "multiplies_on_cpu"]


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
