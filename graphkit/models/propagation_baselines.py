"""Baselines of node classification that propagate features or predictions without weights between the steps."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.models.node_classifier import NodeClassifier
from graphkit.nn.option_ranges import check_rates, check_sizes
from graphkit.nn.sparse_convolutions import GCNPropagation
from graphkit.nn.sparse_input import InputLinear, dropped_input, input_mlp

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
        self.dropout, self.hops, self.receptive_hops = dropout, hops, hops
        self.lin = InputLinear(torch.nn.Linear(in_channels, out_channels, bias=False))
        self.bias = torch.nn.Parameter(torch.zeros(out_channels))
        self.step = GCNPropagation()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.lin(dropped_input(x, self.dropout, self.training))  # classes are fewer than features
        for _ in range(self.hops):
            x = self.step(x, edge_index)
        return x + self.bias


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
        self.dropout, self.hops, self.receptive_hops, self.alpha = dropout, hops, hops, alpha
        self.encoder = input_mlp([in_channels, hidden_channels, out_channels], dropout=dropout, norm=None)
        self.step = GCNPropagation()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = first = self.encoder(dropped_input(x, self.dropout, self.training))
        for _ in range(self.hops):
            x = (1 - self.alpha) * self.step(x, edge_index) + self.alpha * first
        return x


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
        self.step = GCNPropagation()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.encoder(dropped_input(x, self.dropout, self.training))
        out = self.gamma[0] * x
        for gamma in self.gamma[1:]:
            x = self.step(x, edge_index)
            out = out + gamma * x
        return out
