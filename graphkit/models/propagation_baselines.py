"""Baselines of node classification that propagate features or predictions without weights between the steps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn import APPNP as Propagation
from torch_geometric.nn import MessagePassing, SGConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from graphkit.errors import UserError
from graphkit.models.node_classifier import NodeClassifier
from graphkit.nn.option_ranges import check_rates, check_sizes
from graphkit.nn.sparse_input import dropped_input, input_mlp

__all__ = ["APPNP", "GPRGNN", "SGC"]


class SGC(NodeClassifier):
    """One linear layer on features that were propagated K times, without anything between.

    Args:
        in_channels: F.
        out_channels: number of classes C.
        hops: K.
        dropout: on the input.

    Source:
        Wu et al.: Simplifying Graph Convolutional Networks (ICML 2019).

    Example:
        >>> SGC(4, 3)(torch.zeros(5, 4), torch.tensor([[0], [1]])).shape
        torch.Size([5, 3])
    """

    message_direction = "in"

    def __init__(self, in_channels: int, out_channels: int, hops: int = 2, *, dropout: float = 0.0) -> None:
        super().__init__()
        check_sizes(hops=hops)
        check_rates(dropout=dropout)
        self.dropout, self.receptive_hops = dropout, hops
        self.conv = SGConv(in_channels, out_channels, K=hops)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(torch.nn.functional.dropout(x, self.dropout, self.training), edge_index)


class APPNP(NodeClassifier):
    """Predictions of an MLP, propagated by personalised PageRank: :math:`Z \\leftarrow (1 - \\alpha) \\hat A Z + \\alpha H`.

    Args:
        in_channels: F.
        hidden_channels: width of the hidden layer.
        out_channels: number of classes C.
        hops: steps of propagation.
        alpha: chance to return to the node, in (0, 1].
        dropout: on the input and after the hidden layer.

    Source:
        Gasteiger, Bojchevski and Günnemann: Predict then Propagate (ICLR 2019).

    Example:
        >>> APPNP(4, 8, 3)(torch.zeros(5, 4), torch.tensor([[0], [1]])).shape
        torch.Size([5, 3])
    """

    message_direction = "in"

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        hops: int = 10,
        *,
        alpha: float = 0.1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_sizes(hops=hops, hidden_channels=hidden_channels)
        check_rates(dropout=dropout)
        if not 0 < alpha <= 1:
            raise UserError(f"alpha is {alpha!r}, expected a number above 0 and at most 1")
        self.dropout, self.receptive_hops = dropout, hops
        self.encoder = input_mlp([in_channels, hidden_channels, out_channels], dropout=dropout, norm=None)
        self.propagation = Propagation(K=hops, alpha=alpha)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.propagation(self.encoder(dropped_input(x, self.dropout, self.training)), edge_index)


class GPRGNN(NodeClassifier):
    r"""Predictions of an MLP, propagated with weights that are learned: :math:`Z = \sum_{k=0}^K \gamma_k \hat A^k H`.

    A negative weight takes neighbours apart, as heterophilous graphs want it. Weights begin as those of personalised PageRank,
    :math:`\gamma_k = \alpha (1 - \alpha)^k`, :math:`\gamma_K = (1 - \alpha)^K`.

    Args:
        in_channels: F.
        hidden_channels: width of the hidden layer.
        out_channels: number of classes C.
        hops: K.
        alpha: of the first weights, in [0, 1].
        dropout: on the input and after the hidden layer.

    Source:
        Chien et al.: Adaptive Universal Generalized PageRank Graph Neural Network (ICLR 2021).

    Example:
        >>> [round(weight, 3) for weight in GPRGNN(4, 8, 3, hops=2, alpha=0.1).gamma.tolist()]
        [0.1, 0.09, 0.81]
    """

    message_direction = "in"

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        hops: int = 10,
        *,
        alpha: float = 0.1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_sizes(hops=hops, hidden_channels=hidden_channels)
        check_rates(dropout=dropout)
        if not 0 <= alpha <= 1:
            raise UserError(f"alpha is {alpha!r}, expected a number from 0 to 1")
        self.dropout, self.receptive_hops = dropout, hops
        self.encoder = input_mlp([in_channels, hidden_channels, out_channels], dropout=dropout, norm=None)
        first = [alpha * (1 - alpha) ** k for k in range(hops)] + [(1 - alpha) ** hops]
        self.gamma = torch.nn.Parameter(torch.tensor(first))
        self.step = _Step()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.encoder(dropped_input(x, self.dropout, self.training))
        edge_index, weight = gcn_norm(edge_index, None, x.size(0), dtype=x.dtype)
        out = self.gamma[0] * x
        for gamma in self.gamma[1:]:
            x = self.step(x, edge_index, weight)
            out = out + gamma * x
        return out


class _Step(MessagePassing):
    """One weighted sum over sources."""

    def __init__(self) -> None:
        super().__init__(aggr="add")

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x, edge_weight=edge_weight)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return edge_weight[:, None] * x_j
