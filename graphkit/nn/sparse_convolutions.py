"""PyG's graph convolutions, whose messages on a CPU are one product with a sparse matrix that is made once for a graph."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch_geometric.nn as pyg
from torch import Tensor
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from graphkit.nn.remembered import remembered
from graphkit.nn.sparse_input import SparseInput, multiplies_on_cpu
from graphkit.ops import DirectedGraph, directed_spmm

__all__ = ["DirGNNConv", "DirectedGCNConv", "GCNConv", "GCNPropagation", "SAGEConv"]


class GCNConv(pyg.GCNConv):
    r"""``torch_geometric.nn.GCNConv`` with its defaults, the same weights and, up to rounding, the same results.

    .. math:: \tilde D^{-1/2} (A + I) \tilde D^{-1/2} X W + b

    PyG writes a message for every edge and adds them up; here a node sums over its sources as the kernel reads them. On a GPU,
    under autocast or with weights of edges it is PyG's code that runs. Features that are mostly zero may come as a
    :class:`graphkit.nn.sparse_input.SparseInput`.

    Args:
        in_channels, out_channels: widths.

    Source:
        Kipf and Welling: Semi-Supervised Classification with Graph Convolutional Networks (ICLR 2017), equation 2.

    Example:
        >>> conv = GCNConv(2, 3)
        >>> conv(torch.ones(4, 2), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([4, 3])
    """

    weights: Literal["gcn", "directed"] = "gcn"

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)

    def forward(self, x: Tensor | SparseInput, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """[N, F] to [N, out_channels]."""
        if isinstance(x, SparseInput):
            (states,) = x.times(self.lin)
        elif edge_weight is None and multiplies_on_cpu(x):
            states = self.lin(x)
        else:
            # PyG reads from the source what its messages take; propagate_type: (x: Tensor, edge_weight: OptTensor)
            return super().forward(x, edge_index, edge_weight)
        return directed_spmm(_matrix(edge_index, states, self.weights), states, num_nodes=len(states)) + self.bias


class DirectedGCNConv(GCNConv):
    r"""A graph convolution without self-loops, where an edge has one weight, whichever way it is followed.

    .. math:: a_{ij} = d^{\text{out}\,-1/2}_i d^{\text{in}\,-1/2}_j

    A node that no edge reaches is heard all the same.

    Args:
        in_channels, out_channels: widths.

    Source:
        Rossi et al.: Edge Directionality Improves Learning on Heterophilic Graphs (LoG 2023), equation 3.

    Example:
        >>> conv = DirectedGCNConv(2, 3)
        >>> conv(torch.ones(4, 2), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([4, 3])
    """

    weights = "directed"

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, normalize=False, add_self_loops=False)

    def forward(self, x: Tensor | SparseInput, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """[N, F] to [N, out_channels]; weights are the layer's own."""
        if not isinstance(x, SparseInput) and not multiplies_on_cpu(x):
            edge_weight = _directed_weight(edge_index, len(x), x.dtype)
        # as above; propagate_type: (x: Tensor, edge_weight: OptTensor)
        return super().forward(x, edge_index, edge_weight)


class SAGEConv(pyg.SAGEConv):
    r"""``torch_geometric.nn.SAGEConv`` with its defaults, the same weights and, up to rounding, the same results.

    .. math:: W_1\, \mathrm{mean}_{j \to i}\, x_j + W_2\, x_i + b

    As for :class:`GCNConv`, the mean is one sparse product on a CPU.

    Args:
        in_channels, out_channels: widths.
        root_weight: whether a node hears itself.

    Source:
        Hamilton, Ying and Leskovec: Inductive Representation Learning on Large Graphs (NeurIPS 2017), the mean aggregator.

    Example:
        >>> conv = SAGEConv(2, 3)
        >>> conv(torch.ones(4, 2), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([4, 3])
    """

    def __init__(self, in_channels: int, out_channels: int, root_weight: bool = True) -> None:
        super().__init__(in_channels, out_channels, root_weight=root_weight)

    def forward(self, x: Tensor | SparseInput, edge_index: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """[N, F] to [N, out_channels]."""
        if isinstance(x, SparseInput):
            heard, *own = x.times(self.lin_l, *([self.lin_r] if self.root_weight else []))
            out = directed_spmm(_matrix(edge_index, heard, "mean"), heard, num_nodes=len(x)) + self.lin_l.bias
            return out + own[0] if own else out
        if size is None and multiplies_on_cpu(x):
            out = self.lin_l(directed_spmm(_matrix(edge_index, x, "mean"), x, num_nodes=len(x)))
            return out + self.lin_r(x) if self.root_weight else out
        # as above; propagate_type: (x: OptPairTensor)
        return super().forward(x, edge_index, size)


class GCNPropagation(pyg.MessagePassing):
    r"""One step of propagation without weights that are learned, :math:`\tilde D^{-1/2} (A + I) \tilde D^{-1/2} X`.

    As for :class:`GCNConv`, one sparse product on a CPU.

    Example:
        >>> GCNPropagation()(torch.ones(3, 1), torch.tensor([[0, 1], [1, 0]])).flatten().round(decimals=4)
        tensor([1., 1., 1.])
    """

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """[N, F] to [N, F]."""
        if multiplies_on_cpu(x):
            return directed_spmm(_matrix(edge_index, x, "gcn"), x, num_nodes=len(x))
        edges, weight = remembered(
            edge_index, edge_index, ("gcn_norm", len(x), x.dtype), lambda: gcn_norm(edge_index, None, len(x), dtype=x.dtype)
        )  # fmt: skip
        # propagate_type: (x: Tensor, edge_weight: Tensor)
        return self.propagate(edges, x=x, edge_weight=weight)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return edge_weight[:, None] * x_j


class DirGNNConv(pyg.DirGNNConv):
    """``torch_geometric.nn.DirGNNConv``, which turns the edges of a graph round once and not in every step.

    Args:
        conv: the convolution, copied for each of the two ways.
        alpha: weight of the edges that leave a node.

    Source:
        Rossi et al.: Edge Directionality Improves Learning on Heterophilic Graphs (LoG 2023), equation 4.

    Example:
        >>> conv = DirGNNConv(DirectedGCNConv(2, 3), alpha=0.5)
        >>> conv(torch.ones(4, 2), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([4, 3])
    """

    def forward(self, x: Tensor | SparseInput, edge_index: Tensor) -> Tensor:
        """[N, F] to [N, out_channels]."""
        with torch.inference_mode(False):
            turned = remembered(edge_index, edge_index, ("turned",), lambda: edge_index.flip([0]))
        out = self.alpha * self.conv_out(x, turned) + (1 - self.alpha) * self.conv_in(x, edge_index)
        return out + self.lin(x) if self.root_weight else out


def _matrix(edge_index: Tensor, x: Tensor, kind: Literal["gcn", "directed", "mean"]) -> DirectedGraph:
    """Rows of targets, columns of sources; copies of an edge add up, as messages do."""
    return remembered(edge_index, edge_index, (kind, len(x), x.dtype), lambda: _made(edge_index, len(x), x.dtype, kind))


def _made(edge_index: Tensor, num_nodes: int, dtype: torch.dtype, kind: Literal["gcn", "directed", "mean"]) -> DirectedGraph:
    with torch.inference_mode(False):  # what a validation makes first must serve training too
        edges = edge_index.as_subclass(Tensor)
        edges = edges.clone() if edges.is_inference() else edges
        if kind == "gcn":
            edges, weight = gcn_norm(edges, None, num_nodes, dtype=dtype)
        elif kind == "directed":
            weight = _directed_weight(edges, num_nodes, dtype)
        else:
            weight = torch.bincount(edges[1], minlength=num_nodes).to(dtype).reciprocal()[edges[1]]
        entries = torch.sparse_coo_tensor(edges.flip(0), weight, (num_nodes, num_nodes), check_invariants=False).coalesce()
        row, col = entries.indices()
        ptr = torch.nn.functional.pad(torch.bincount(row, minlength=num_nodes).cumsum(0), (1, 0))
        return DirectedGraph.from_rows(ptr, col.to(torch.int32), entries.values())


def _directed_weight(edge_index: Tensor, num_nodes: int, dtype: torch.dtype) -> Tensor:
    source, target = edge_index
    leaving, reaching = (torch.bincount(end, minlength=num_nodes).to(dtype) for end in (source, target))
    return (leaving[source] * reaching[target]).rsqrt()  # every end of an edge has a degree of at least 1
