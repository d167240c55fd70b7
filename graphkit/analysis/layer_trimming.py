"""Layers of message passing that compute only what the first nodes of a block depend on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit.analysis.ball_blocks import BallBlock
from graphkit.analysis.message_sums import MessageSums

__all__ = ["NotTrimmable", "Trimming", "recorded_layers", "trimmable", "trimmed_layers"]


class NotTrimmable(Exception):
    """A layer was called with something else than the states of the nodes and the edges of the block.

    Example:
        >>> raise NotTrimmable("edge weights")
        Traceback (most recent call last):
        graphkit.analysis.layer_trimming.NotTrimmable: edge weights
    """


def recorded_layers(model: torch.nn.Module, call: Callable[[], Any]) -> tuple[Any, list[Any], int]:
    """What a call of a model returns, the message passing layers it called in order, and how often messages were passed.

    Example:
        >>> from torch_geometric.nn import SGConv
        >>> conv = SGConv(2, 3, K=4)
        >>> out, layers, hops = recorded_layers(conv, lambda: conv(torch.zeros(2, 2), torch.tensor([[0], [1]])))
        >>> len(layers), hops
        (1, 4)
    """
    from torch_geometric.nn import MessagePassing

    called: list[Any] = []
    passed: list[Any] = []
    handles = []
    for module in model.modules():
        if isinstance(module, MessagePassing):
            handles.append(module.register_forward_pre_hook(lambda layer, inputs: called.append(layer)))
            handles.append(module.register_propagate_forward_pre_hook(lambda layer, inputs: passed.append(layer)))
    try:
        return call(), called, len(passed)
    finally:
        for handle in handles:
            handle.remove()


def trimmable(layers: Sequence[Any], hops: int) -> bool:
    """Whether each layer is of a kind whose result at a node depends on the node, its sources and, for a graph convolution,
    degrees, and on nothing else.

    Example:
        >>> from torch_geometric.nn import ChebConv, GCNConv
        >>> trimmable([GCNConv(2, 2)], 1), trimmable([ChebConv(2, 2, K=2)], 1)
        (True, False)
    """
    from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, GINConv, GraphConv, SAGEConv

    local = (GCNConv, SAGEConv, GATConv, GATv2Conv, GINConv, GraphConv)
    plain = all(type(layer) in local and layer.flow == "source_to_target" and not layer.explain for layer in layers)
    return bool(layers) and len(layers) == hops and len({id(layer) for layer in layers}) == hops and plain


@contextlib.contextmanager
def trimmed_layers(layers: Sequence[Any], block: BallBlock) -> Iterator[Trimming]:
    """Within the context the L layers, called once each and in this order, drop the nodes that have become useless.

    Layer l (from 1) reads the nodes within L - l + 1 hops of a seed and gives those within L - l. Its edges are all that lead
    to these, so a node's sources are complete; the degrees of a graph convolution are counted in the whole block. Give the
    model the first ``rows`` rows of the features; it answers for the seeds alone.

    Raises:
        NotTrimmable: within the context, for a layer that is called with anything but states and the edges of the block.

    Example:
        >>> from torch_geometric.nn import SAGEConv
        >>> from graphkit.analysis.ball_blocks import ball_blocks
        >>> from graphkit.ops import HopGraph
        >>> graph, conv, x = HopGraph(torch.tensor([[0, 1, 2], [1, 2, 3]]), num_nodes=4), SAGEConv(1, 1), torch.ones(4, 1)
        >>> (block,) = ball_blocks(graph, torch.tensor([3]), radius=2, budget=100)
        >>> with trimmed_layers([conv], block) as trimming:
        ...     trimming.rows, conv(x[block.nodes[: trimming.rows]], block.edge_index).shape
        (2, torch.Size([1, 1]))
    """
    with contextlib.ExitStack() as stack:
        trimming = Trimming(layers, block)
        for layer in layers:
            stack.callback(layer.register_forward_pre_hook(trimming.before, with_kwargs=True).remove)
            stack.callback(layer.register_forward_hook(trimming.after, with_kwargs=True).remove)
            stack.callback(trimming.restore, layer)
        yield trimming


class Trimming:
    """What the hooks of one pass through the layers share.

    Attributes:
        rows: nodes whose features the first layer reads.
        first: of a graph convolution that comes first, its transformed features, their sums, and how they were summed.

    Example:
        >>> from graphkit.analysis.ball_blocks import ball_blocks
        >>> from graphkit.ops import HopGraph
        >>> graph = HopGraph(torch.tensor([[0, 1, 2], [1, 2, 3]]), num_nodes=4)
        >>> (block,) = ball_blocks(graph, torch.tensor([3]), radius=2, budget=100)
        >>> Trimming(["a layer"], block).rows, len(block.nodes)
        (2, 3)
    """

    def __init__(self, layers: Sequence[Any], block: BallBlock) -> None:
        self.layers, self.block, self.done = layers, block, 0
        self.rows = block.within(len(layers))
        self.first: tuple[Tensor, Tensor, MessageSums] | None = None
        self.weighted: dict[Any, tuple[Tensor, Tensor]] = {}

    def before(self, layer: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self.done >= len(self.layers) or layer is not self.layers[self.done]:
            raise NotTrimmable("layers are called in another order")
        left = len(self.layers) - self.done
        inner, outer = self.block.within(left - 1), self.block.within(left)
        x, edges, *others = inputs if len(inputs) > 1 else (None, None)
        if not isinstance(x, Tensor) or len(x) != outer or edges is not self.block.edge_index:
            raise NotTrimmable("a layer gets other nodes or edges")
        if any(value is not None for value in (*others, *named.values())):
            raise NotTrimmable("a layer gets more than states and edges")
        return self._inputs(layer, x, inner), {}

    def _inputs(self, layer: Any, x: Tensor, inner: int) -> tuple[Any, ...]:
        from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, SAGEConv

        if type(layer) is GCNConv:
            edges, weight = self._normalised(layer, x.dtype)
            kept = int(torch.searchsorted(edges[1], inner))
            sums = MessageSums(edges[:, :kept], weight[:kept], rows=inner, columns=len(x))
            # the layer's own loops and weights are in the sums already
            layer.cached, layer._cached_edge_index = layer.normalize, (edges, None)
            layer.propagate = lambda edge_index, x, edge_weight=None: self._summed(x, sums)
            return x, self.block.edge_index
        edges = self.block.edge_index
        edges = edges[:, : int(torch.searchsorted(edges[1], inner))]
        if isinstance(layer, (GATConv, GATv2Conv)):
            return x, edges
        if type(layer) is SAGEConv and layer.aggr == "mean":
            degree = torch.bincount(edges[1], minlength=inner)
            means = MessageSums(edges, degree.to(x.dtype).reciprocal()[edges[1]], rows=inner, columns=len(x))
            layer.propagate = lambda edge_index, x, size=None: means(x[0])
        return (x, x[:inner]), edges

    def _summed(self, x: Tensor, sums: MessageSums) -> Tensor:
        out = sums(x)
        if self.done == 0:
            self.first = x, out, sums
        return out

    def after(self, layer: Any, inputs: Any, named: Any, out: Any) -> Any:
        self.restore(layer)
        if not isinstance(out, Tensor):
            raise NotTrimmable("a layer gives more than states")
        self.done += 1
        inner = self.block.within(len(self.layers) - self.done)
        return out if len(out) == inner else out[:inner]

    def restore(self, layer: Any) -> None:
        layer.__dict__.pop("propagate", None)
        if hasattr(layer, "_cached_edge_index"):
            layer.cached, layer._cached_edge_index = False, None

    def _normalised(self, layer: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Edges and weights of a graph convolution, with degrees from the whole block, by target."""
        from torch_geometric.nn.conv.gcn_conv import gcn_norm

        edges = self.block.edge_index
        if not layer.normalize:
            return edges, torch.ones(edges.shape[1], dtype=dtype, device=edges.device)
        key = (layer.improved, layer.add_self_loops, dtype)
        if key not in self.weighted:
            edges, weight = gcn_norm(edges, None, len(self.block.nodes), *key[:2], layer.flow, dtype)
            order = torch.sort(edges[1], stable=True).indices
            self.weighted[key] = edges[:, order], weight[order]
        return self.weighted[key]
