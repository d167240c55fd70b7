"""From states of nodes to scores of graphs, or of the nodes."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from graphkit.errors import UserError
from graphkit.nn.dropout import Dropout

__all__ = ["GraphReadout", "Pooling", "pool_nodes"]

Pooling = Literal["mean", "sum", "max"]
_POOLINGS = ("mean", "sum", "max")


def pool_nodes(x: Tensor, batch: Tensor | None, pooling: Pooling = "mean", num_graphs: int | None = None) -> Tensor:
    """Mean, sum or largest entry over the nodes of each graph.

    Args:
        x: [N, H].
        batch: [N] int64, the graph of each node; None: there is one.
        pooling: ``"mean"``, ``"sum"`` or ``"max"``.
        num_graphs: B; None: one more than the largest number in ``batch``.

    Returns:
        [B, H]; 0 for a graph without nodes.

    Raises:
        UserError: for another pooling.

    Example:
        >>> pool_nodes(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 1])).tolist()
        [[2.0], [5.0]]
    """
    if pooling not in _POOLINGS:
        raise UserError(f"pooling is {pooling!r}, expected one of {', '.join(_POOLINGS)}")
    if batch is None:
        batch, num_graphs = x.new_zeros(x.size(0), dtype=torch.int64), 1
    return scatter(x, batch, 0, num_graphs, reduce=pooling)


class GraphReadout(nn.Module):
    """A perceptron on pooled states of nodes, or without pooling on each of them.

    Args:
        in_channels: width of a node's state.
        hidden_channels: width of hidden layers.
        out_channels: number of scores C.
        pooling: as in :func:`pool_nodes`; None: scores of nodes.
        num_layers: linear layers, with ReLU and dropout between them.
        dropout: after every hidden layer.

    Raises:
        UserError: for another pooling, or fewer than one layer.

    Example:
        >>> GraphReadout(4, 8, 3, pooling="sum")(torch.zeros(5, 4), torch.tensor([0, 0, 1, 1, 1])).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        pooling: Pooling | None = "mean",
        num_layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if pooling is not None and pooling not in _POOLINGS:
            raise UserError(f"pooling is {pooling!r}, expected one of {', '.join(_POOLINGS)}")
        if isinstance(num_layers, bool) or not isinstance(num_layers, int) or num_layers < 1:
            raise UserError(f"num_layers is {num_layers!r}, expected a whole number from 1 upwards")
        self.pooling = pooling
        channels = [in_channels, *[hidden_channels] * (num_layers - 1), out_channels]
        layers: list[nn.Module] = []
        for width, following in pairwise(channels[:-1]):
            layers += [nn.Linear(width, following), nn.ReLU(), Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(channels[-2], channels[-1]))

    def forward(self, x: Tensor, batch: Tensor | None = None, num_graphs: int | None = None) -> Tensor:
        """Scores [B, C] of graphs, or without pooling [N, C] of nodes; arguments as in :func:`pool_nodes`."""
        return self.layers(x if self.pooling is None else pool_nodes(x, batch, self.pooling, num_graphs))
