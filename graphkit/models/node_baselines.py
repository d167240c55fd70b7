"""Baselines of node classification, made of PyG's layers; some of them serve whole graphs as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor
from torch_geometric.nn import models as pyg

from graphkit.errors import UserError
from graphkit.models.graph_classifier import GraphClassifier, Level, check_level, graphs_in
from graphkit.nn import GraphReadout, ResidualLayers
from graphkit.nn.graph_readout import Pooling
from graphkit.nn.option_ranges import check_rates, check_sizes
from graphkit.nn.sparse_convolutions import GCNConv, SAGEConv
from graphkit.nn.sparse_input import dropped_input, input_mlp

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["GAT", "GCN", "GIN", "MLP", "GraphSAGE"]

Norm = Literal["batch", "layer"] | None
JumpingKnowledge = Literal["cat", "max", "last"] | None


class _Stack(GraphClassifier):
    """Layers of one kind; dropout on the input and after every hidden layer. Of graphs the last layer keeps the hidden width, and a
    perceptron scores what is pooled from the nodes."""

    stack: torch.nn.Module
    dropout: float
    input_dropout: float
    sparse_input = False  # whether the first layer multiplies without zeros; features of whole graphs are others in every batch
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
        check_level(level)
        self.level, self.dropout = level, dropout
        self.input_dropout = dropout if input_dropout is None else input_dropout
        check_rates(input_dropout=self.input_dropout)
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
            drop = dropped_input if self.sparse_input and self.level == "node" else torch.nn.functional.dropout
            x = cast("Tensor", drop(x, self.input_dropout, self.training))
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

    sparse_input = True

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
        check_sizes(num_layers=num_layers, hidden_channels=hidden_channels)
        check_rates(dropout=dropout)

        def layers(out: int) -> torch.nn.Module:
            channels = [in_channels, *[hidden_channels] * (num_layers - 1), out]
            norm_name = None if norm is None else f"{norm}_norm"
            return input_mlp(channels, dropout=dropout, norm=norm_name, norm_kwargs=_each_node(norm))

        self._build(layers, hidden_channels, out_channels, dropout, level, pooling, input_dropout)

    def _states(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.stack(x)


class _ConvolutionStack(_Stack):
    """Convolutions of one kind, plain as PyG stacks them or with residuals."""

    sparse_input = True
    _conv: type[torch.nn.Module]
    _pyg: type[torch.nn.Module]

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
        check_sizes(num_layers=num_layers, hidden_channels=hidden_channels)
        check_rates(dropout=dropout)
        _check_residual(residual, feed_forward, jumping_knowledge)

        def layers(out: int) -> torch.nn.Module:
            if residual:
                return ResidualLayers(
                    in_channels, hidden_channels, num_layers, lambda: self._conv(hidden_channels, hidden_channels),
                    out_channels=out if level == "node" else None, norm=norm, feed_forward=feed_forward, dropout=dropout,
                )  # fmt: skip
            return self._pyg(
                in_channels, hidden_channels, num_layers, out, dropout=dropout, norm=norm, norm_kwargs=_each_node(norm),
                jk=jumping_knowledge,
            )  # fmt: skip

        self._build(layers, hidden_channels, out_channels, dropout, level, pooling, input_dropout)


class _PlainGCN(pyg.GCN):
    def init_conv(self, in_channels: int, out_channels: int, **options: Any) -> torch.nn.Module:
        return GCNConv(in_channels, out_channels, **options)


class _PlainSAGE(pyg.GraphSAGE):
    def init_conv(self, in_channels: int, out_channels: int, **options: Any) -> torch.nn.Module:
        return SAGEConv(in_channels, out_channels, **options)


class GCN(_ConvolutionStack):
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

    _conv, _pyg = GCNConv, _PlainGCN


class GraphSAGE(_ConvolutionStack):
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

    _conv, _pyg = SAGEConv, _PlainSAGE


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
        check_sizes(num_layers=num_layers, hidden_channels=hidden_channels, heads=heads)
        check_rates(dropout=dropout)
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
        check_sizes(num_layers=num_layers, hidden_channels=hidden_channels)
        check_rates(dropout=dropout)

        def layers(out: int) -> torch.nn.Module:
            return pyg.GIN(
                in_channels, hidden_channels, num_layers, out, dropout=dropout, norm=norm, norm_kwargs=_each_node(norm),
                jk=jumping_knowledge, train_eps=train_eps,
            )  # fmt: skip

        self._build(layers, hidden_channels, out_channels, dropout, level, pooling)


def _each_node(norm: Norm) -> dict[str, str] | None:
    """PyG's layer norm is over all nodes of a graph together; here it is over the channels of each node."""
    return {"mode": "node"} if norm == "layer" else None


def _check_residual(residual: bool, feed_forward: bool, jumping_knowledge: JumpingKnowledge) -> None:
    if residual and jumping_knowledge is not None:
        raise UserError(
            f"jumping_knowledge is {jumping_knowledge!r}, but residual layers carry all outputs on; leave one out"
        )
    if feed_forward and not residual:
        raise UserError("feed_forward is true, which is a part of residual layers; set residual too")
