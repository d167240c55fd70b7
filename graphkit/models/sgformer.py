"""SGFormer: one layer of attention to all nodes beside a graph convolution network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from graphkit.errors import UserError
from graphkit.models.node_classifier import NodeClassifier
from graphkit.nn.dropout import Dropout
from graphkit.nn.option_ranges import check_rates, check_sizes
from graphkit.nn.simple_attention import AttentionNorm, SimpleAttention

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["SGFormer"]


class SGFormer(NodeClassifier):
    r"""Scores are linear in :math:`w\, Z_{graph} + (1 - w)\, Z_{attention}`.

    Either branch begins with a linear map, a norm, ReLU and dropout, which give :math:`H_0`. Then

    .. math:: \text{attention:}\quad H_{l+1} = \mathrm{drop}(\mathrm{norm}(\tfrac12 (\mathrm{attend}(H_l) + H_l))), \qquad
        \text{graph:}\quad H_{l+1} = \mathrm{drop}(\mathrm{ReLU}(\mathrm{norm}(\mathrm{GCN}(H_l)))) + H_s

    with s = 0 for ``residual="initial"``, which is what the published code and PyG compute, and s = l for ``"previous"``. Norms are
    over channels in the attention branch and over nodes (batch norm) in the graph branch.

    With ``normalize="node"``, ``attention_activation=True``, and weights alike, this is PyG's ``SGFormer`` before its log-softmax.

    Args:
        in_channels: F.
        hidden_channels: width of both branches.
        out_channels: number of classes C.
        num_layers: graph convolutions.
        attention_layers: layers of attention.
        heads: of attention, each as wide as the branch.
        graph_weight: w, from 0 to 1.
        residual: ``"initial"`` or ``"previous"``.
        normalize: of queries and keys, ``"graph"`` (the paper) or ``"node"`` (PyG), see :class:`graphkit.nn.SimpleAttention`.
        attention_activation: whether a ReLU follows the norm of a layer of attention.
        dropout: of the graph branch.
        attention_dropout: of the attention branch.

    Raises:
        UserError: for numbers or options out of range.

    Source:
        Wu et al.: SGFormer: Simplifying and Empowering Transformers for Large-Graph Representations (NeurIPS 2023).

    Example:
        >>> SGFormer(4, 8, 3)(torch.zeros(5, 4), torch.tensor([[0], [1]])).shape
        torch.Size([5, 3])
    """

    message_direction = "in"
    global_coupling = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 3,
        *,
        attention_layers: int = 1,
        heads: int = 1,
        graph_weight: float = 0.8,
        residual: Literal["initial", "previous"] = "initial",
        normalize: AttentionNorm = "graph",
        attention_activation: bool = False,
        dropout: float = 0.5,
        attention_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        sizes = {"num_layers": num_layers, "hidden_channels": hidden_channels, "attention_layers": attention_layers}
        check_sizes(**sizes, heads=heads)
        check_rates(dropout=dropout, attention_dropout=attention_dropout)
        if not 0 <= graph_weight <= 1:
            raise UserError(f"graph_weight is {graph_weight!r}, expected a number from 0 to 1")
        if residual not in ("initial", "previous"):
            raise UserError(f"residual is {residual!r}, expected 'initial' or 'previous'")
        self.graph_weight, self.residual = graph_weight, residual
        width = hidden_channels
        self.enter_attention = nn.Sequential(
            nn.Linear(in_channels, width), nn.LayerNorm(width), nn.ReLU(), Dropout(attention_dropout)
        )
        self.attentions = nn.ModuleList(
            SimpleAttention(width, heads, normalize=normalize) for _ in range(attention_layers)
        )
        after = [nn.ReLU()] if attention_activation else []
        self.attention_norms = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), *after, Dropout(attention_dropout)) for _ in range(attention_layers)
        )
        self.enter_graph = nn.Sequential(
            nn.Linear(in_channels, width), nn.BatchNorm1d(width), nn.ReLU(), Dropout(dropout)
        )
        self.convs = nn.ModuleList(GCNConv(width, width) for _ in range(num_layers))
        self.graph_norms = nn.ModuleList(
            nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(), Dropout(dropout)) for _ in range(num_layers)
        )
        self.leave = nn.Linear(width, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        """[N, F] to [N, C]; ``batch`` [N], ascending, where nodes are those of several graphs."""
        seen = self.enter_attention(x)
        for attend, norm in zip(self.attentions, self.attention_norms, strict=True):
            seen = norm((attend(seen, batch) + seen) / 2)
        heard = first = self.enter_graph(x)
        for conv, norm in zip(self.convs, self.graph_norms, strict=True):
            heard = norm(conv(heard, edge_index)) + (first if self.residual == "initial" else heard)
        return self.leave(torch.lerp(seen, heard, self.graph_weight))

    def scores_of(self, data: Data, nodes: Tensor) -> Tensor:
        """Scores [n, C] of some nodes [n] of a graph or a batch of graphs, with gradients."""
        return self(data.x, data.edge_index, getattr(data, "batch", None))[nodes]
