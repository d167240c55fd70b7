"""Dir-GNN: any convolution, once along the edges and once against them."""

from __future__ import annotations

import itertools
from typing import Literal, cast

import torch
from torch import Tensor
from torch_geometric.nn import GATConv, JumpingKnowledge

from graphkit.errors import UserError, nearest
from graphkit.models.node_classifier import NodeClassifier
from graphkit.nn.option_ranges import check_rates, check_sizes
from graphkit.nn.sparse_convolutions import DirectedGCNConv, DirGNNConv, SAGEConv
from graphkit.nn.sparse_input import InputLinear, dropped_input

__all__ = ["DirGNN"]

_CONVOLUTIONS = ("gat", "gcn", "sage")
_JOINS = ("cat", "lstm", "max")


class DirGNN(NodeClassifier):
    r"""PyG's :class:`~torch_geometric.nn.DirGNNConv` in layers, with jumping knowledge.

    .. math:: x_i' = W x_i + (1 - \alpha) \sum_{j \to i} a_{ji} W_{\text{in}} x_j
        + \alpha \sum_{i \to j} a_{ij} W_{\text{out}} x_j

    With ``conv="gcn"``, :math:`a_{ij} = d^{\text{out}\,-1/2}_i d^{\text{in}\,-1/2}_j` as in the paper: an edge has one weight,
    whichever way it is followed, and a node without in-edges is heard all the same.

    Args:
        in_channels: F.
        hidden_channels: width of hidden layers.
        out_channels: number of classes C.
        num_layers: number of layers.
        conv: ``"gcn"``, ``"sage"`` (mean) or ``"gat"`` (one head, an attention for each direction).
        alpha: weight of the edges that leave a node, from 0 (only edges that reach it) to 1.
        jumping_knowledge: ``"cat"``, ``"max"`` or ``"lstm"`` over the outputs of all layers, then a linear layer; None: the last
            layer gives the scores.
        normalize: whether hidden layers are scaled to unit length.
        dropout: after every layer but the last.

    Raises:
        UserError: for an unknown convolution or join, or numbers out of range.

    Source:
        Rossi et al.: Edge Directionality Improves Learning on Heterophilic Graphs (LoG 2023), equation 3 and section 4.

    Example:
        >>> DirGNN(4, 8, 3, jumping_knowledge="max")(torch.zeros(5, 4), torch.tensor([[0], [1]])).shape
        torch.Size([5, 3])
    """

    message_direction = "both"

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 2,
        *,
        conv: str = "gcn",
        alpha: float = 0.5,
        jumping_knowledge: Literal["cat", "max", "lstm"] | None = "cat",
        normalize: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if conv not in _CONVOLUTIONS:
            raise UserError(nearest(str(conv), _CONVOLUTIONS, "convolution"))
        if jumping_knowledge is not None and jumping_knowledge not in _JOINS:
            raise UserError(nearest(str(jumping_knowledge), _JOINS, "jumping_knowledge"))
        check_sizes(num_layers=num_layers, hidden_channels=hidden_channels)
        check_rates(dropout=dropout)
        if not 0 <= alpha <= 1:
            raise UserError(f"alpha is {alpha!r}, expected a number from 0 to 1")
        self.dropout, self.normalize, self.receptive_hops = dropout, normalize, num_layers
        joined = jumping_knowledge is not None
        widths = [in_channels, *[hidden_channels] * (num_layers - 1), hidden_channels if joined else out_channels]
        self.convs = torch.nn.ModuleList(
            DirGNNConv(_convolution(conv, a, b), alpha=alpha) for a, b in itertools.pairwise(widths)
        )
        self.sparse_input = conv != "gat"
        self.convs[0].lin = InputLinear(self.convs[0].lin)
        self.join = self.last = None
        if jumping_knowledge is not None:
            self.join = JumpingKnowledge(jumping_knowledge, hidden_channels, num_layers)
            width = hidden_channels * num_layers if jumping_knowledge == "cat" else hidden_channels
            self.last = torch.nn.Linear(width, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        found = []
        if self.sparse_input:
            x = cast("Tensor", dropped_input(x, 0.0, self.training))
        for number, conv in enumerate(self.convs, start=1):
            x = conv(x, edge_index)
            if number < len(self.convs) or self.join is not None:
                x = torch.nn.functional.dropout(x.relu(), self.dropout, self.training)
                if self.normalize:
                    x = torch.nn.functional.normalize(x, dim=1)
            found.append(x)
        return x if self.join is None or self.last is None else self.last(self.join(found))


def _convolution(conv: str, in_channels: int, out_channels: int) -> torch.nn.Module:
    if conv == "gcn":
        return DirectedGCNConv(in_channels, out_channels)
    if conv == "sage":
        return SAGEConv(in_channels, out_channels, root_weight=False)
    return GATConv(in_channels, out_channels, heads=1, add_self_loops=False)
