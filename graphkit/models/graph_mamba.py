"""Graph Mamba: nodes read their walks, and graphs their nodes, by selective state space models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graphkit.errors import UserError, nearest
from graphkit.models.graph_classifier import GraphClassifier, Level, check_level, graphs_in
from graphkit.nn import GraphReadout
from graphkit.nn.graph_mamba_encoder import GraphMambaEncoder
from graphkit.nn.graph_readout import Pooling
from graphkit.nn.node_order import Importance, Ties
from graphkit.nn.option_ranges import check_rates, check_sizes

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["GraphMamba"]

#: what sets a variant apart; positional encodings are the task's, ``encodings=``
PRESETS: dict[str, dict[str, Any]] = {
    "gmn": {},
    "gmn_minus": {"mpnn": None},
    "gps_bimamba": {"walk_length": 0},
    "graph_mamba_wang": {"walk_length": 0, "bidirectional": False, "ties": "random", "draws": 5},
}


class GraphMamba(GraphClassifier):
    """A :class:`graphkit.nn.GraphMambaEncoder` and a readout, for nodes or whole graphs.

    Args:
        in_channels: F.
        hidden_channels: d.
        out_channels: number of classes C.
        walk_length: m, longest walk; 0 leaves the first phase out.
        walks: M.
        repeats: s.
        local_layers: blocks on the tokens of a node.
        num_layers: blocks on the nodes of a graph.
        local_encoder, token_statistics, sampling, mpnn, mpnn_norm, order, ties, train_ties: see
            :class:`graphkit.nn.GraphMambaEncoder`.
        bidirectional, state, expand, conv_width, share_A, fuse_out, a_mode, ssm, heads: see :class:`graphkit.nn.BiMamba`.
        dropout: of what is added anywhere, and in the readout.
        draws: outside training, scores are the mean over so many draws of walks (and of noise in the order, with
            ``ties="random"``); these draws are always the same ones.
        edge_channels: number of features of an edge, 0 where there are none.
        level: whether nodes or whole graphs are scored.
        pooling: of graphs, ``"mean"``, ``"sum"`` or ``"max"``.
        seed: of the walks.

    Raises:
        UserError: for sizes or options out of range.

    Source:
        Behrouz and Hashemi, Graph Mamba: Towards Learning on Graphs with State Space Models (KDD 2024). No code of the authors is
        public; the documentation lists what the paper leaves open.

    Example:
        >>> model = GraphMamba(4, 8, 3, walk_length=2, walks=2, repeats=1)
        >>> model(torch.randn(5, 4), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([5, 3])
        >>> GraphMamba.preset("gps_bimamba", 4, 8, 3).config["walk_length"]
        0
    """

    sizes = ("in_channels", "out_channels", "level", "edge_channels")
    global_coupling = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        walk_length: int = 4,
        walks: int = 4,
        repeats: int = 2,
        local_layers: int = 1,
        num_layers: int = 2,
        local_encoder: str = "mean",
        token_statistics: bool = False,
        sampling: str = "epoch",
        mpnn: str | None = "gated_gcn",
        mpnn_norm: str | None = "batch",
        order: Importance = "degree",
        ties: Ties = "key",
        train_ties: Ties = "random",
        bidirectional: bool = True,
        state: int = 16,
        expand: int = 1,
        conv_width: int = 4,
        share_A: bool = False,
        fuse_out: bool = False,
        a_mode: str = "free",
        ssm: str = "mamba",
        heads: int = 1,
        dropout: float = 0.0,
        draws: int = 1,
        edge_channels: int = 0,
        level: Level = "node",
        pooling: Pooling = "mean",
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_level(level)
        check_sizes(num_layers=num_layers, hidden_channels=hidden_channels, draws=draws)
        check_rates(dropout=dropout)
        self.level, self.draws = level, draws
        mamba = {
            "bidirectional": bidirectional, "state": state, "expand": expand, "conv_width": conv_width, "share_A": share_A,
            "fuse_out": fuse_out, "a_mode": a_mode, "ssm": ssm, "heads": heads,
        }  # fmt: skip
        self.encoder = GraphMambaEncoder(
            in_channels, hidden_channels, walk_length=walk_length, walks=walks, repeats=repeats, local_layers=local_layers,
            num_layers=num_layers, local_encoder=local_encoder, token_statistics=token_statistics, sampling=sampling,
            mpnn=mpnn, mpnn_norm=mpnn_norm, order=order, ties=ties, train_ties=train_ties, edge_channels=edge_channels,
            dropout=dropout, seed=seed, mamba=mamba,
        )  # fmt: skip
        self.norm = nn.LayerNorm(hidden_channels)
        self.readout = GraphReadout(
            hidden_channels,
            hidden_channels,
            out_channels,
            pooling=pooling if level == "graph" else None,
            dropout=dropout,
        )

    @classmethod
    def preset(cls, name: str, in_channels: int, hidden_channels: int, out_channels: int, **options: Any) -> GraphMamba:
        """A variant by name.

        ``"gmn"`` is the whole model, ``"gmn_minus"`` has no message passing (and wants no positional encodings),
        ``"gps_bimamba"`` no tokens, ``"graph_mamba_wang"`` reads the nodes in one direction, ties of degrees broken by noise, as
        Wang et al. (2024) do.

        Raises:
            UserError: for another name.
        """
        if name not in PRESETS:
            raise UserError(nearest(name, PRESETS, "preset"))
        return cls(in_channels, hidden_channels, out_channels, **{**PRESETS[name], **options})

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        num_graphs: int | None = None,
        node_key: Tensor | None = None,
    ) -> Tensor:
        """[N, F] and [E, edge_channels] to [N, C]; of graphs to [B, C], where ``batch`` [N] says which one a node belongs to."""
        if self.training:
            return self._answer(self.encoder(x, edge_index, edge_attr, batch, node_key=node_key), batch, num_graphs)
        total: Tensor | float = 0.0
        for draw in range(self.draws):
            generator = torch.Generator().manual_seed(draw)
            states = self.encoder(x, edge_index, edge_attr, batch, node_key=node_key, counter=draw, generator=generator)
            total = total + self._answer(states, batch, num_graphs)
        assert isinstance(total, Tensor)
        return total / self.draws

    def scores(self, data: Data) -> Tensor:
        node_key = getattr(data, "node_key", None)
        return self(data.x, data.edge_index, data.edge_attr, **graphs_in(data), node_key=node_key)

    def begin_epoch(self, task: Any, epoch: int) -> None:
        """Walks of an epoch; the engine calls it before each, counted from 1."""
        self.encoder.begin_epoch(epoch - 1)

    def no_decay(self) -> Iterable[str]:
        """Decay rates, step sizes and skips of the state space models are not pulled towards 0."""
        return [name for name, _ in self.named_parameters() if name.rpartition(".")[2] in ("A_log", "D", "dt_bias")]

    def _answer(self, states: Tensor, batch: Tensor | None, num_graphs: int | None) -> Tensor:
        return self.readout(self.norm(states), batch, num_graphs)
