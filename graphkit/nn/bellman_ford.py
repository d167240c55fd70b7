"""One layer of NBFNet: relational messages from the neighbours and the boundary, aggregated and combined with the state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphkit.errors import UserError, nearest
from graphkit.ops import CSRGraph, DegreeClasses, degree_classes, pna_update, relational_pna, relational_spmm
from graphkit.ops.csr import as_csr

__all__ = ["AGGREGATES", "MESSAGES", "BellmanFordConv"]

MESSAGES = {"transe": "add", "distmult": "mul", "rotate": "rotate"}
AGGREGATES = ("sum", "mean", "max", "pna")


class BellmanFordConv(nn.Module):
    r"""One generalized Bellman-Ford iteration with learned operators.

    .. math:: m_e = w_e \, (h_u \otimes r_e), \quad a_v = \mathrm{AGGREGATE}(\{m_e\} \cup \{b_v\}), \quad
        h'_v = \mathrm{ReLU}(\mathrm{LayerNorm}(W [h_v; a_v] + c)) \; (+ h_v)

    PNA's 12 in_channels features (mean, max, min, std, each plain, amplified and attenuated by the degree) are never
    formed, see :func:`graphkit.ops.pna_update`. The weight's columns stay in the published order (channel, aggregate,
    scaler).

    Args:
        in_channels, out_channels: widths.
        num_relations: R2, edge types with inverses.
        query_channels: width of the query; needed if ``dependent``.
        message: ``"distmult"`` (product), ``"transe"`` (sum) or ``"rotate"`` (complex product).
        aggregate: ``"pna"``, ``"sum"``, ``"mean"`` or ``"max"``.
        dependent: relation vectors are a linear map of the query; otherwise one table for all queries.
        layer_norm, short_cut: as in the equation; the short cut needs equal widths.

    Raises:
        UserError: unknown message or aggregate, an odd width with ``"rotate"``.

    Source:
        Zhu et al., Neural Bellman-Ford Networks (NeurIPS 2021), section 3.2; Corso et al., PNA (NeurIPS 2020).

    Example:
        >>> conv = BellmanFordConv(8, 8, num_relations=2, query_channels=8)
        >>> edges, kind = torch.tensor([[0, 1], [1, 0]]), torch.tensor([0, 1])
        >>> query, heads = torch.randn(3, 8), torch.tensor([0, 0, 1])
        >>> conv(torch.zeros(3, 2, 8), query, heads, query, edges, kind).shape
        torch.Size([3, 2, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_relations: int,
        *,
        query_channels: int | None = None,
        message: str = "distmult",
        aggregate: str = "pna",
        dependent: bool = True,
        layer_norm: bool = True,
        short_cut: bool = True,
    ) -> None:
        super().__init__()
        if message not in MESSAGES:
            raise UserError(nearest(str(message), MESSAGES, "message"))
        if aggregate not in AGGREGATES:
            raise UserError(nearest(str(aggregate), AGGREGATES, "aggregate"))
        if message == "rotate" and in_channels % 2:
            raise UserError(f"message='rotate' needs an even width, got {in_channels} channels")
        self.in_channels, self.out_channels, self.num_relations = in_channels, out_channels, num_relations
        self.message, self.aggregate = message, aggregate
        self.short_cut = short_cut and in_channels == out_channels
        self.relation_linear: nn.Linear | None = None
        self.relation: nn.Embedding | None = None
        if dependent:
            if query_channels is None:
                raise UserError("dependent relations are made from the query; pass query_channels")
            self.relation_linear = nn.Linear(query_channels, num_relations * in_channels)
        else:
            self.relation = nn.Embedding(num_relations, in_channels)
        self.linear = nn.Linear((13 if aggregate == "pna" else 2) * in_channels, out_channels)
        self.norm = nn.LayerNorm(out_channels) if layer_norm else None

    def relations(self, query: Tensor) -> Tensor:
        """Vectors of all relations: ``[B, R2, in_channels]`` made from the query, or ``[R2, in_channels]``."""
        if self.relation_linear is None:
            assert self.relation is not None
            return self.relation.weight.to(query.dtype)
        return self.relation_linear(query).view(len(query), self.num_relations, self.in_channels)

    def forward(
        self,
        x: Tensor,
        query: Tensor,
        source: Tensor,
        boundary: Tensor,
        edge_index: Tensor | CSRGraph,
        edge_type: Tensor,
        *,
        edge_weight: Tensor | None = None,
        edge_mask: Tensor | None = None,
        classes: DegreeClasses | None = None,
    ) -> Tensor:
        """One iteration.

        Args:
            x: state ``[B, N, in_channels]``.
            query: ``[B, query_channels]``.
            source: int64 ``[B]``, the node of each query whose boundary is not zero.
            boundary: ``[B, in_channels]``, its value.
            edge_index, edge_type, edge_weight, edge_mask: as :func:`graphkit.ops.relational_spmm`.
            classes: :func:`graphkit.ops.degree_classes` of the graph and mask, if layers share them.

        Returns:
            ``[B, N, out_channels]``.
        """
        graph = as_csr(edge_index, x.shape[1])
        features = self.messages(
            x, self.relations(query).to(x.dtype), graph, edge_type, edge_weight=edge_weight, edge_mask=edge_mask,
            boundary=(source, boundary.to(x.dtype)),
        )  # fmt: skip
        if self.aggregate == "pna" and classes is None:
            classes = degree_classes(graph, edge_mask)
        return self.update(x, features, classes)

    def messages(self, x: Tensor, relation: Tensor, graph: CSRGraph, edge_type: Tensor, **edges: Any) -> Tensor:
        """The aggregated messages: ``[B, N, 4, in_channels]`` for ``"pna"``, else ``[B, N, in_channels]``.

        Args:
            x: state ``[B, N, in_channels]``.
            relation: vectors of the edge types, ``[R2, in_channels]`` or ``[B, R2, in_channels]``.
            graph, edge_type: the N nodes' edges.
            edges: ``edge_weight``, ``edge_mask`` and ``boundary`` of :func:`graphkit.ops.relational_spmm`.
        """
        edges |= {"num_nodes": x.shape[1], "message": MESSAGES[self.message]}
        if self.aggregate == "pna":
            return relational_pna(graph, edge_type, x, relation, **edges)
        return relational_spmm(graph, edge_type, x, relation, reduce=self.aggregate, **edges)

    def update(self, x: Tensor, features: Tensor, classes: DegreeClasses | None) -> Tensor:
        """The next state ``[B, N, out_channels]`` from the state and the aggregated messages.

        Args:
            x: state ``[B, N, in_channels]``.
            features: ``[B, N, 4, in_channels]`` for ``"pna"``, else ``[B, N, in_channels]``.
            classes: degree classes of the N nodes; needed for ``"pna"``.
        """
        if self.aggregate == "pna":
            assert classes is not None
            norm = (None, None) if self.norm is None else (self.norm.weight, self.norm.bias)
            return pna_update(
                x, features, classes, self.linear.weight, self.linear.bias, norm_weight=norm[0], norm_bias=norm[1],
                eps=1e-5, short_cut=self.short_cut,
            )  # fmt: skip
        out = self.linear(torch.cat([x, features], -1))
        out = (out if self.norm is None else self.norm(out)).relu()
        return out + x if self.short_cut else out
