"""LINKX: the adjacency matrix as features, apart from the node's own, without propagation."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.nn import models as pyg

from graphkit.errors import UserError
from graphkit.models.node_classifier import NodeClassifier
from graphkit.nn.option_ranges import check_rates, check_sizes

__all__ = ["LINKX"]


class LINKX(NodeClassifier):
    r"""PyG's LINKX: :math:`\mathrm{MLP}_f(\sigma(W [h_A, h_X] + h_A + h_X))` with :math:`h_A = \mathrm{MLP}_A(A)`,
    :math:`h_X = \mathrm{MLP}_X(X)`.

    A row of A are the sources of a node, so the number of weights grows with the graph, and another graph needs another
    model.

    Args:
        in_channels: F.
        hidden_channels: width of hidden layers.
        out_channels: number of classes C.
        num_nodes: N.
        num_layers: linear layers of the last MLP.
        num_edge_layers: linear layers on A.
        num_node_layers: linear layers on X.
        dropout: in the last MLP.

    Raises:
        UserError: for numbers out of range, or a graph of another size.

    Source:
        Lim et al.: Large Scale Learning on Non-Homophilous Graphs: New Benchmarks and Strong Simple Methods (NeurIPS 2021).

    Example:
        >>> import torch
        >>> LINKX(4, 8, 3, num_nodes=5)(torch.zeros(5, 4), torch.tensor([[0], [1]])).shape
        torch.Size([5, 3])
    """

    sizes = ("in_channels", "out_channels", "num_nodes")
    global_coupling = True  # a weight belongs to a node of this graph

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_nodes: int,
        num_layers: int = 1,
        *,
        num_edge_layers: int = 1,
        num_node_layers: int = 1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        depths = {"num_layers": num_layers, "num_edge_layers": num_edge_layers, "num_node_layers": num_node_layers}
        check_sizes(hidden_channels=hidden_channels, **depths)
        check_rates(dropout=dropout)
        self.num_nodes = num_nodes
        self.network = pyg.LINKX(
            num_nodes, in_channels, hidden_channels, out_channels, num_layers, num_edge_layers, num_node_layers, dropout
        )

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if x.size(0) != self.num_nodes:
            raise UserError(f"LINKX was made for {self.num_nodes} nodes and got {x.size(0)}; make it for this graph")
        return self.network(x, edge_index)
