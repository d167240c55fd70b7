"""GPS: message passing beside attention of all nodes of a graph to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn
from torch_geometric.nn import GINConv, GINEConv, GPSConv

from graphkit.errors import UserError
from graphkit.models.graph_classifier import GraphClassifier, Level, check_level, graphs_in
from graphkit.nn import EdgeStates, GraphReadout
from graphkit.nn.graph_readout import Pooling
from graphkit.nn.option_ranges import check_rates, check_sizes

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["GPS"]


class GPS(GraphClassifier):
    """PyG's ``GPSConv`` layer after layer, with GIN (GINE where edges have features) as message passing.

    Attention knows nothing of edges, so positions have to be among the features: load the task with ``encodings``.
    Multi-head attention takes memory with the square of the largest graph of a batch; ``"performer"`` is linear, and approximate.

    Args:
        in_channels: F, encodings among them.
        hidden_channels: width, a multiple of heads.
        out_channels: number of classes C.
        num_layers: number of layers.
        edge_channels: number of features of an edge, 0 where there are none.
        heads: of attention.
        attention: ``"multihead"`` or ``"performer"``.
        dropout: of what message passing, attention and perceptrons add.
        attention_dropout: of attention itself, multi-head only.
        norm: ``"batch"``, ``"layer"`` or None.
        level: whether nodes or whole graphs are scored.
        pooling: of graphs, ``"mean"``, ``"sum"`` or ``"max"``.

    Raises:
        UserError: for numbers out of range, or a width that is no multiple of heads.

    Source:
        Rampášek et al.: Recipe for a General, Powerful, Scalable Graph Transformer (NeurIPS 2022).

    Example:
        >>> import torch
        >>> model = GPS(4, 8, 3, heads=2, level="graph")
        >>> model(torch.zeros(5, 4), torch.tensor([[0], [1]]), None, torch.tensor([0, 0, 0, 1, 1])).shape
        torch.Size([2, 3])
    """

    sizes = ("in_channels", "out_channels", "level", "edge_channels")
    global_coupling = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 3,
        *,
        edge_channels: int = 0,
        heads: int = 4,
        attention: Literal["multihead", "performer"] = "multihead",
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        norm: Literal["batch", "layer"] | None = "batch",
        level: Level = "node",
        pooling: Pooling = "mean",
    ) -> None:
        super().__init__()
        check_level(level)
        check_sizes(num_layers=num_layers, hidden_channels=hidden_channels, heads=heads)
        check_rates(dropout=dropout)
        if hidden_channels % heads:
            raise UserError(f"hidden_channels is {hidden_channels}, expected a multiple of heads, {heads}")
        if attention not in ("multihead", "performer"):
            raise UserError(f"attention is {attention!r}, expected 'multihead' or 'performer'")
        self.level, width = level, hidden_channels
        self.embed = nn.Linear(in_channels, width)
        self.edge_states = EdgeStates(edge_channels, width) if edge_channels else None
        local = GINEConv if edge_channels else GINConv
        self.convs = nn.ModuleList(
            GPSConv(
                width,
                local(nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))),
                heads=heads,
                dropout=dropout,
                norm=None if norm is None else f"{norm}_norm",
                norm_kwargs={"mode": "node"} if norm == "layer" else None,
                attn_type=attention,
                attn_kwargs={"dropout": attention_dropout} if attention == "multihead" else None,
            )
            for _ in range(num_layers)
        )
        self.readout = GraphReadout(
            width, width, out_channels, pooling=pooling if level == "graph" else None, dropout=dropout
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
        x = self.embed(x)
        states = {} if self.edge_states is None else {"edge_attr": self.edge_states(edge_attr, edge_index)}
        for conv in self.convs:
            x = conv(x, edge_index, batch, **states)
        return self.readout(x, batch, num_graphs)

    def scores(self, data: Data) -> Tensor:
        return self(data.x, data.edge_index, data.edge_attr, **graphs_in(data))
