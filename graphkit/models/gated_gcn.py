"""GatedGCN: message passing through gates that are states of the edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from graphkit.models.graph_classifier import GraphClassifier, Level, check_level, graphs_in
from graphkit.nn import EdgeStates, GatedGCNConv, GraphReadout
from graphkit.nn.graph_readout import Pooling
from graphkit.nn.option_ranges import check_rates, check_sizes

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["GatedGCN"]


class GatedGCN(GraphClassifier):
    """The GatedGCN of the GNN benchmark, see :class:`graphkit.nn.GatedGCNConv`, for nodes or whole graphs.

    Args:
        in_channels: F.
        hidden_channels: width of nodes and edges.
        out_channels: number of classes C.
        num_layers: number of layers; the last one leaves the edges as they are.
        edge_channels: number of features of an edge, 0 where there are none.
        dropout: of what a layer adds, and in the perceptron at the end.
        norm: ``"batch"`` as in the benchmark, ``"layer"``, or None.
        residual: whether layers add to what was there before.
        level: whether nodes or whole graphs are scored.
        pooling: of graphs, ``"mean"``, ``"sum"`` or ``"max"``.

    Raises:
        UserError: for numbers out of range.

    Source:
        Bresson and Laurent: Residual Gated Graph ConvNets (2017); Dwivedi et al.: Benchmarking Graph Neural Networks (JMLR 2023).
        Their readout is a perceptron of three layers that halve the width; here it has two of the hidden width.

    Example:
        >>> import torch
        >>> model = GatedGCN(4, 8, 3, level="graph")
        >>> model(torch.zeros(5, 4), torch.tensor([[0], [1]]), None, torch.tensor([0, 0, 0, 1, 1])).shape
        torch.Size([2, 3])
    """

    sizes = ("in_channels", "out_channels", "level", "edge_channels")
    message_direction = "in"

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 4,
        *,
        edge_channels: int = 0,
        dropout: float = 0.0,
        norm: Literal["batch", "layer"] | None = "batch",
        residual: bool = True,
        level: Level = "node",
        pooling: Pooling = "mean",
    ) -> None:
        super().__init__()
        check_level(level)
        check_sizes(num_layers=num_layers, hidden_channels=hidden_channels)
        check_rates(dropout=dropout)
        self.level, self.receptive_hops = level, num_layers
        self.embed = nn.Linear(in_channels, hidden_channels)
        self.edge_states = EdgeStates(edge_channels, hidden_channels)
        self.convs = nn.ModuleList(
            GatedGCNConv(
                hidden_channels, norm=norm, dropout=dropout, residual=residual, update_edges=layer < num_layers - 1
            )
            for layer in range(num_layers)
        )
        self.readout = GraphReadout(
            hidden_channels,
            hidden_channels,
            out_channels,
            pooling=pooling if level == "graph" else None,
            dropout=dropout,
        )

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        num_graphs: int | None = None,
    ) -> Tensor:
        """[N, F] and [E, edge_channels] to [N, C]; of graphs to [B, C], where ``batch`` [N] says which one a node belongs to."""
        x, edge_state = self.embed(x), self.edge_states(edge_attr, edge_index)
        for conv in self.convs:
            x, edge_state = conv(x, edge_index, edge_state)
        return self.readout(x, batch, num_graphs)

    def scores(self, data: Data) -> Tensor:
        return self(data.x, data.edge_index, data.edge_attr, **graphs_in(data))
