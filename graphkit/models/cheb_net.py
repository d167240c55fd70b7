"""ChebNet: filters that are polynomials of the Laplacian."""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.nn import ChebConv

from graphkit.errors import UserError
from graphkit.models.node_classifier import NodeClassifier
from graphkit.nn.dropout import Dropout
from graphkit.nn.option_ranges import check_rates, check_sizes

__all__ = ["ChebNet"]


class ChebNet(NodeClassifier):
    r"""A linear map, PyG's ``ChebConv`` layer after layer, and a linear map; SiLU after all but the last, dropout after filters.

    .. math:: X' = \sum_{k=0}^{p} T_k(\hat L)\, X \Theta_k, \qquad \hat L = L - I = -D^{-1/2} A D^{-1/2}

    with Chebyshev's polynomials :math:`T_k`. The largest eigenvalue of L is taken to be 2, its bound, so that no filter depends on
    the rest of the graph. A layer of order p looks p hops; PyG counts terms, ``K = p + 1``. Made for undirected graphs: of directed
    edges D holds the out-degrees.

    Args:
        in_channels: F.
        hidden_channels: width.
        out_channels: number of classes C.
        num_layers: number of filters.
        order: p, highest power of the Laplacian in a layer; 0 is a perceptron.
        dropout: after every filter.

    Raises:
        UserError: for numbers out of range.

    Source:
        Defferrard, Bresson and Vandergheynst: Convolutional Neural Networks on Graphs with Fast Localized Spectral Filtering
        (NIPS 2016); linear maps around the filters and SiLU as in the code of City-Networks.

    Example:
        >>> import torch
        >>> model = ChebNet(4, 8, 3, num_layers=4, order=2)
        >>> model(torch.zeros(5, 4), torch.tensor([[0, 1], [1, 0]])).shape, model.receptive_hops
        (torch.Size([5, 3]), 8)
    """

    # messages follow the edges, but a source counts the edges that leave it: balls need those as well
    message_direction = "both"

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 2,
        *,
        order: int = 1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_sizes(num_layers=num_layers, hidden_channels=hidden_channels)
        check_rates(dropout=dropout)
        if isinstance(order, bool) or not isinstance(order, int) or order < 0:
            raise UserError(f"order is {order!r}, expected a whole number from 0 upwards")
        self.receptive_hops = num_layers * order
        self.enter = nn.Sequential(nn.Linear(in_channels, hidden_channels), nn.SiLU())
        self.convs = nn.ModuleList(ChebConv(hidden_channels, hidden_channels, K=order + 1) for _ in range(num_layers))
        self.after = nn.Sequential(nn.SiLU(), Dropout(dropout))
        self.leave = nn.Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """[N, F] to [N, C]."""
        x = self.enter(x)
        bound = x.new_tensor(2.0)
        for conv in self.convs:
            x = self.after(conv(x, edge_index, lambda_max=bound))
        return self.leave(x)
