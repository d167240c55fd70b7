"""Graph convolutions whose edges are gates, with a state of their own."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.errors import UserError
from graphkit.nn.dropout import Dropout

__all__ = ["GatedGCNConv"]

_NORMS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class GatedGCNConv(nn.Module):
    r"""The gated graph convolution of the GNN benchmark: normalised gates, a state for every edge, norm, residual.

    For an edge from j to i with state :math:`e_{ij}`

    .. math:: \hat e_{ij} = D x_i + E x_j + C e_{ij}, \qquad
        x_i' = x_i + \mathrm{ReLU}\Bigl(\mathrm{norm}\Bigl(A x_i +
        \frac{\sum_j \sigma(\hat e_{ij}) \odot B x_j}{\sum_j \sigma(\hat e_{ij}) + 10^{-6}}\Bigr)\Bigr), \qquad
        e_{ij}' = e_{ij} + \mathrm{ReLU}(\mathrm{norm}(\hat e_{ij})).

    Dropout comes after each ReLU. Fewer than two rows have no statistics of their own, so batch norm takes its running ones.
    A node that no edge reaches has 0 in place of the fraction. PyG's ``ResGatedGraphConv`` is another
    operator: its gates are not normalised, and its edges have no state.

    Args:
        channels: width H of nodes and edges.
        norm: ``"batch"`` (over the nodes, or edges, of a batch, as in the benchmark), ``"layer"`` (within each of them), or None.
        dropout: of what is added to nodes and edges.
        residual: whether what was there before is added.
        update_edges: without it edges keep their state, and there is no norm for them: for a last layer.

    Raises:
        UserError: for another norm.

    Source:
        Bresson and Laurent: Residual Gated Graph ConvNets (2017); Dwivedi et al.: Benchmarking Graph Neural Networks (JMLR 2023),
        equations 42 to 45.

    Example:
        >>> conv = GatedGCNConv(8, norm="layer")
        >>> x, edge_state = conv(torch.zeros(3, 8), torch.tensor([[0, 1], [1, 2]]), torch.zeros(2, 8))
        >>> x.shape, edge_state.shape
        (torch.Size([3, 8]), torch.Size([2, 8]))
    """

    def __init__(
        self,
        channels: int,
        *,
        norm: Literal["batch", "layer"] | None = "batch",
        dropout: float = 0.0,
        residual: bool = True,
        update_edges: bool = True,
    ) -> None:
        super().__init__()
        if norm is not None and norm not in _NORMS:
            raise UserError(f"norm is {norm!r}, expected one of {', '.join(_NORMS)}, or None")
        self.channels, self.residual, self.update_edges = channels, residual, update_edges
        # A, B, D and E read the nodes: one product
        self.nodes = nn.Linear(channels, 4 * channels)
        self.edges = nn.Linear(channels, channels)
        made = nn.Identity if norm is None else _NORMS[norm]
        self.node_norm = made(channels)
        self.edge_norm = made(channels) if update_edges else None
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, edge_index: Tensor, edge_state: Tensor) -> tuple[Tensor, Tensor]:
        """New states of nodes and edges.

        Args:
            x: [N, H].
            edge_index: [2, E] int64.
            edge_state: [E, H].

        Returns:
            [N, H] and [E, H].
        """
        own, sent, at_target, at_source = self.nodes(x).split(self.channels, 1)
        source, target = edge_index
        message = at_target.index_select(0, target) + at_source.index_select(0, source) + self.edges(edge_state)
        gate = message.sigmoid()
        both = torch.cat([gate * sent.index_select(0, source), gate], 1)
        total, gates = both.new_zeros(x.size(0), both.size(1)).index_add(0, target, both).split(self.channels, 1)
        added = self.dropout(_normed(self.node_norm, own + total / (gates + 1e-6)).relu())
        x = x + added if self.residual else added
        if self.edge_norm is not None:
            changed = self.dropout(_normed(self.edge_norm, message).relu())
            edge_state = edge_state + changed if self.residual else changed
        return x, edge_state


def _normed(norm: nn.Module, rows: Tensor) -> Tensor:
    if isinstance(norm, nn.BatchNorm1d) and norm.training and rows.size(0) < 2:
        return F.batch_norm(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
    return norm(rows)
