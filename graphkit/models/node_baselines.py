"""Baselines of node classification, made of PyG's layers; some of them serve whole graphs as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch_geometric.nn import APPNP as Propagation
from torch_geometric.nn import GCNConv, MessagePassing, SAGEConv, SGConv
from torch_geometric.nn import models as pyg
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from graphkit.errors import UserError
from graphkit.models.graph_classifier import GraphClassifier, Level, graphs_in
from graphkit.models.node_classifier import NodeClassifier
from graphkit.nn import GraphReadout, ResidualLayers
from graphkit.nn.graph_readout import Pooling

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["APPNP", "GAT", "GCN", "GIN", "GPRGNN", "MLP", "SGC", "GraphSAGE"]

Norm = Literal["batch", "layer"] | None
JumpingKnowledge = Literal["cat", "max", "last"] | None


class _Stack(GraphClassifier):
    """Layers of one kind; dropout on the input and after every hidden layer. Of graphs the last layer keeps the hidden width, and a
    perceptron scores what is pooled from the nodes."""

    stack: torch.nn.Module
    dropout: float
    input_dropout: float
    message_direction = "in"

    def _build(
        self,
        layers: Callable[[int], torch.nn.Module],
        hidden_channels: int,
        out_channels: int,
        dropout: float,
        level: Level,
        pooling: Pooling,
        input_dropout: float | None = None,
    ) -> None:
        if level not in ("graph", "node"):
            raise UserError(f"level is {level!r}, expected 'graph' or 'node'")
        self.level, self.dropout = level, dropout
        self.input_dropout = dropout if input_dropout is None else input_dropout
        _check(dropout=self.input_dropout)
        self.stack = layers(out_channels if level == "node" else hidden_channels)
        self.readout = None
        if level == "graph":
            self.readout = GraphReadout(
                hidden_channels, hidden_channels, out_channels, pooling=pooling, dropout=dropout
            )

    def forward(
        self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None, num_graphs: int | None = None
    ) -> Tensor:
        """[N, F] to [N, C]; of graphs to [B, C], where ``batch`` [N] says which one a node belongs to."""
        if not isinstance(self.stack, ResidualLayers):  # which drop what they make of the input
            x = torch.nn.functional.dropout(x, self.input_dropout, self.training)
        x = self._states(x, edge_index)
        return x if self.readout is None else self.readout(x, batch, num_graphs)

    def _states(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.stack(x, edge_index)

    def scores(self, data: Data) -> Tensor:
        return self(data.x, data.edge_index, **graphs_in(data))


class MLP(_Stack):
    """Linear layers on the features alone: what is to be had without edges.

    Args:
        in_channels: F.
        hidden_channels: width of hidden layers.
        out_channels: number of classes C.
        num_layers: number of linear layers.
        dropout: on the input and after every hidden layer.
        norm: after every hidden layer, or None.
        level: whether nodes or whole graphs are scored.
        pooling: of graphs, how their nodes are summed up: ``"mean"``, ``"sum"`` or ``"max"``; a perceptron follows.
        input_dropout: on the input, where it is another; None: as ``dropout``.

    Example:
        >>> MLP(4, 8, 3)(torch.zeros(5, 4), torch.zeros(2, 0, dtype=torch.int64)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 2,
        *,
        dropout: float = 0.5,
        norm: Norm = None,
        level: Level = "node",
        pooling: Pooling = "mean",
        input_dropout: float | None = None,
    ) -> None:
        super().__init__()
        self.receptive_hops = 0
        _check(num_layers=num_layers, hidden_channels=hidden_channels, dropout=dropout)

        def layers(out: int) -> torch.nn.Module:
            channels = [in_channels, *[hidden_channels] * (num_layers - 1), out]
            norm_name = None if norm is None else f"{norm}_norm"
            return pyg.MLP(channels, dropout=dropout, norm=norm_name, norm_kwargs=_each_node(norm))

        self._build(layers, hidden_channels, out_channels, dropout, level, pooling, input_dropout)

    def _states(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.stack(x)


class GCN(_Stack):
    """Graph convolutions: :math:`\\tilde D^{-1/2} \\tilde A \\tilde D^{-1/2} X W` with self-loops.

    On a directed graph a node hears from its sources alone; ask for ``direction="undirected"`` to hear from both sides.

    Args:
        in_channels: F.
        hidden_channels: width of hidden layers.
        out_channels: number of classes C.
        num_layers: number of convolutions.
        dropout: on the input and after every hidden layer.
        norm: after every hidden layer, or None.
        jumping_knowledge: how the outputs of all layers are joined before a linear layer; None takes the last one.
        residual: whether layers add to what was there before, with norms before them and GELU after, see
            :class:`graphkit.nn.ResidualLayers`; then without ``jumping_knowledge``.
        feed_forward: with ``residual``, whether a perceptron follows each layer.
        level: whether nodes or whole graphs are scored.
        pooling: as in :class:`MLP`.
        input_dropout: as in :class:`MLP`; residual layers drop nothing of the input.

    Source:
        Kipf and Welling: Semi-Supervised Classification with Graph Convolutional Networks (ICLR 2017).

    Example:
        >>> GCN(4, 8, 3)(torch.zeros(5, 4), torch.tensor([[0], [1]])).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 2,
        *,
        dropout: float = 0.5,
        norm: Norm = None,
        jumping_knowledge: JumpingKnowledge = None,
        residual: bool = False,
        feed_forward: bool = False,
        level: Level = "node",
        pooling: Pooling = "mean",
        input_dropout: float | None = None,
    ) -> None:
        super().__init__()
        self.receptive_hops = num_layers
        _check(num_layers=num_layers, hidden_channels=hidden_channels, dropout=dropout)
        _check_residual(residual, feed_forward, jumping_knowledge)

        def layers(out: int) -> torch.nn.Module:
            if residual:
                return ResidualLayers(
                    in_channels, hidden_channels, num_layers, lambda: GCNConv(hidden_channels, hidden_channels),
                    out_channels=out if level == "node" else None, norm=norm, feed_forward=feed_forward, dropout=dropout,
                )  # fmt: skip
            return pyg.GCN(
                in_channels, hidden_channels, num_layers, out, dropout=dropout, norm=norm, norm_kwargs=_each_node(norm),
                jk=jumping_knowledge,
            )  # fmt: skip

        self._build(layers, hidden_channels, out_channels, dropout, level, pooling, input_dropout)


class GraphSAGE(_Stack):
    """A node beside the mean of its sources, each through a weight of its own.

    Args:
        in_channels: F.
        hidden_channels: width of hidden layers.
        out_channels: number of classes C.
        num_layers: number of layers.
        dropout: on the input and after every hidden layer.
        norm: after every hidden layer, or None.
        jumping_knowledge: as in :class:`GCN`.
        residual: as in :class:`GCN`.
        feed_forward: as in :class:`GCN`.
        level: whether nodes or whole graphs are scored.
        pooling: as in :class:`MLP`.
        input_dropout: as in :class:`MLP`; residual layers drop nothing of the input.

    Source:
        Hamilton, Ying and Leskovec: Inductive Representation Learning on Large Graphs (NeurIPS 2017).

    Example:
        >>> GraphSAGE(4, 8, 3)(torch.zeros(5, 4), torch.tensor([[0], [1]])).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 2,
        *,
        dropout: float = 0.5,
        norm: Norm = None,
        jumping_knowledge: JumpingKnowledge = None,
        residual: bool = False,
        feed_forward: bool = False,
        level: Level = "node",
        pooling: Pooling = "mean",
        input_dropout: float | None = None,
    ) -> None:
        super().__init__()
        self.receptive_hops = num_layers
        _check(num_layers=num_layers, hidden_channels=hidden_channels, dropout=dropout)
        _check_residual(residual, feed_forward, jumping_knowledge)

        def layers(out: int) -> torch.nn.Module:
            if residual:
                return ResidualLayers(
                    in_channels, hidden_channels, num_layers, lambda: SAGEConv(hidden_channels, hidden_channels),
                    out_channels=out if level == "node" else None, norm=norm, feed_forward=feed_forward, dropout=dropout,
                )  # fmt: skip
            return pyg.GraphSAGE(
                in_channels, hidden_channels, num_layers, out, dropout=dropout, norm=norm, norm_kwargs=_each_node(norm),
                jk=jumping_knowledge,
            )  # fmt: skip

        self._build(layers, hidden_channels, out_channels, dropout, level, pooling, input_dropout)


class GAT(_Stack):
    """Attention over sources, several heads whose outputs stand side by side.

    Args:
        in_channels: F.
        hidden_channels: width of hidden layers, all heads together.
        out_channels: number of classes C.
        num_layers: number of layers.
        heads: heads of hidden layers; the width has to be a multiple. The last layer has one.
        dropout: on the input, after every hidden layer, and on attention.
        norm: after every hidden layer, or None.
        jumping_knowledge: as in :class:`GCN`.
        level: whether nodes or whole graphs are scored.
        pooling: as in :class:`MLP`.

    Source:
        Veličković et al.: Graph Attention Networks (ICLR 2018).

    Example:
        >>> GAT(4, 8, 3, heads=2)(torch.zeros(5, 4), torch.tensor([[0], [1]])).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 2,
        *,
        heads: int = 8,
        dropout: float = 0.5,
        norm: Norm = None,
        jumping_knowledge: JumpingKnowledge = None,
        level: Level = "node",
        pooling: Pooling = "mean",
    ) -> None:
        super().__init__()
        self.receptive_hops = num_layers
        _check(num_layers=num_layers, hidden_channels=hidden_channels, dropout=dropout, heads=heads)
        if hidden_channels % heads:
            raise UserError(f"hidden_channels is {hidden_channels}, expected a multiple of heads, {heads}")

        def layers(out: int) -> torch.nn.Module:
            return pyg.GAT(
                in_channels, hidden_channels, num_layers, out, heads=heads, dropout=dropout, norm=norm,
                norm_kwargs=_each_node(norm), jk=jumping_knowledge,
            )  # fmt: skip

        self._build(layers, hidden_channels, out_channels, dropout, level, pooling)


class GIN(_Stack):
    """A node and the sum of its sources through a perceptron of two layers, which tells as many graphs apart as refining
    colours does.

    Args:
        in_channels: F.
        hidden_channels: width of hidden layers.
        out_channels: number of classes C.
        num_layers: number of layers.
        dropout: on the input and after every hidden layer.
        norm: within the perceptrons and after every hidden layer, or None.
        jumping_knowledge: as in :class:`GCN`.
        train_eps: whether the weight of the node itself is learned.
        level: whether nodes or whole graphs are scored.
        pooling: as in :class:`MLP`; the paper's is ``"sum"``.

    Source:
        Xu et al.: How Powerful are Graph Neural Networks? (ICLR 2019).

    Example:
        >>> model = GIN(4, 8, 3, level="graph", pooling="sum")
        >>> model(torch.zeros(5, 4), torch.tensor([[0], [1]]), torch.tensor([0, 0, 0, 1, 1])).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 3,
        *,
        dropout: float = 0.5,
        norm: Norm = None,
        jumping_knowledge: JumpingKnowledge = None,
        train_eps: bool = False,
        level: Level = "node",
        pooling: Pooling = "sum",
    ) -> None:
        super().__init__()
        self.receptive_hops = num_layers
        _check(num_layers=num_layers, hidden_channels=hidden_channels, dropout=dropout)

        def layers(out: int) -> torch.nn.Module:
            return pyg.GIN(
                in_channels, hidden_channels, num_layers, out, dropout=dropout, norm=norm, norm_kwargs=_each_node(norm),
                jk=jumping_knowledge, train_eps=train_eps,
            )  # fmt: skip

        self._build(layers, hidden_channels, out_channels, dropout, level, pooling)


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
        _check(hops=hops, dropout=dropout)
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
        _check(hops=hops, hidden_channels=hidden_channels, dropout=dropout)
        if not 0 < alpha <= 1:
            raise UserError(f"alpha is {alpha!r}, expected a number above 0 and at most 1")
        self.dropout, self.receptive_hops = dropout, hops
        self.encoder = pyg.MLP([in_channels, hidden_channels, out_channels], dropout=dropout, norm=None)
        self.propagation = Propagation(K=hops, alpha=alpha)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = torch.nn.functional.dropout(x, self.dropout, self.training)
        return self.propagation(self.encoder(x), edge_index)


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
        _check(hops=hops, hidden_channels=hidden_channels, dropout=dropout)
        if not 0 <= alpha <= 1:
            raise UserError(f"alpha is {alpha!r}, expected a number from 0 to 1")
        self.dropout, self.receptive_hops = dropout, hops
        self.encoder = pyg.MLP([in_channels, hidden_channels, out_channels], dropout=dropout, norm=None)
        first = [alpha * (1 - alpha) ** k for k in range(hops)] + [(1 - alpha) ** hops]
        self.gamma = torch.nn.Parameter(torch.tensor(first))
        self.step = _Step()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.encoder(torch.nn.functional.dropout(x, self.dropout, self.training))
        edge_index, weight = gcn_norm(edge_index, None, x.size(0), dtype=x.dtype)
        out = self.gamma[0] * x
        for gamma in self.gamma[1:]:
            x = self.step(x, edge_index, weight)
            out = out + gamma * x
        return out


def _each_node(norm: Norm) -> dict[str, str] | None:
    """PyG's layer norm is over all nodes of a graph together; here it is over the channels of each node."""
    return {"mode": "node"} if norm == "layer" else None


class _Step(MessagePassing):
    """One weighted sum over sources."""

    def __init__(self) -> None:
        super().__init__(aggr="add")

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x, edge_weight=edge_weight)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return edge_weight[:, None] * x_j


def _check(**options: float) -> None:
    """Refuse numbers out of range, before PyG stumbles over them."""
    for name, value in options.items():
        if name == "dropout":
            if not 0 <= value < 1:
                raise UserError(f"dropout is {value!r}, expected a number from 0 to below 1")
        elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"{name} is {value!r}, expected a whole number from 1 upwards")


def _check_residual(residual: bool, feed_forward: bool, jumping_knowledge: JumpingKnowledge) -> None:
    if residual and jumping_knowledge is not None:
        raise UserError(
            f"jumping_knowledge is {jumping_knowledge!r}, but residual layers carry all outputs on; leave one out"
        )
    if feed_forward and not residual:
        raise UserError("feed_forward is true, which is a part of residual layers; set residual too")
