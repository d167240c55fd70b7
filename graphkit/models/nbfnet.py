"""NBFNet: neural Bellman-Ford networks for link prediction on knowledge graphs (Zhu et al., NeurIPS 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.data import MessageGraph, QueryBatch
from graphkit.errors import UserError
from graphkit.models.base import Model
from graphkit.nn import BellmanFordConv
from graphkit.ops import degree_classes

__all__ = ["NBFNet"]


class NBFNet(Model):
    r"""Represents a pair (u, v) under a query relation q by all paths from u to v, with learned operators.

    .. math:: h^{(0)}_v = [v = u]\, q, \quad h^{(t)} = \mathrm{layer}_t(h^{(t-1)}), \quad
        score(v) = \mathrm{MLP}([h^{(T)}_v; q])

    One pass scores every node as the tail of (u, q, ?). A head query (?, q, v) is the tail query (v, q + R, ?).

    Args:
        num_relations: R, relations without inverses.
        hidden_channels: d, the width of all layers.
        num_layers: T, the longest path that is seen.
        message: ``"distmult"``, ``"transe"`` or ``"rotate"``.
        aggregate: ``"pna"``, ``"sum"``, ``"mean"`` or ``"max"``.
        dependent: relation vectors are a linear map of the query, one map a layer; else one table a layer.
        short_cut: adds a layer's input to its output.
        layer_norm: normalises before the activation.
        concat_hidden: the readout sees the states of all layers.
        remove_one_hop: in training, every edge between the two ends of a triple of the batch is taken out, in both
            directions; else only the triple itself and its inverse.
        adversarial_temperature: weights of the negatives are softmax(score / temperature), without gradient;
            0 weights them equally.
        num_mlp_layers: linear maps of the readout.

    Raises:
        UserError: a choice that does not exist.

    Source:
        Zhu, Zhang, Xhonneux, Tang: Neural Bellman-Ford Networks: A General Graph Neural Network Framework for Link
        Prediction (NeurIPS 2021), equations 3-8.

    Example:
        >>> graph = MessageGraph.from_triples(torch.tensor([[0, 0, 1], [1, 0, 2]]), num_nodes=3, num_base_relations=1)
        >>> NBFNet(1, 8, 2).score_queries(graph, torch.tensor([0]), torch.tensor([0])).shape
        torch.Size([1, 3])
    """

    sizes = ("num_relations",)

    def __init__(
        self,
        num_relations: int,
        hidden_channels: int = 32,
        num_layers: int = 6,
        *,
        message: str = "distmult",
        aggregate: str = "pna",
        dependent: bool = True,
        short_cut: bool = True,
        layer_norm: bool = True,
        concat_hidden: bool = False,
        remove_one_hop: bool = False,
        adversarial_temperature: float = 0.5,
        num_mlp_layers: int = 2,
    ) -> None:
        super().__init__()
        if num_layers < 1 or num_mlp_layers < 1 or hidden_channels < 1 or num_relations < 1:
            raise UserError("num_relations, hidden_channels, num_layers and num_mlp_layers must be at least 1")
        if adversarial_temperature < 0:
            raise UserError(f"adversarial_temperature is {adversarial_temperature}, expected 0 (equal weights) or more")
        self.num_relations, self.num_layers = num_relations, num_layers
        self.concat_hidden, self.remove_one_hop = concat_hidden, remove_one_hop
        self.adversarial_temperature = adversarial_temperature
        self.query = nn.Embedding(2 * num_relations, hidden_channels)
        self.layers = nn.ModuleList(
            BellmanFordConv(
                hidden_channels, hidden_channels, 2 * num_relations, query_channels=hidden_channels, message=message,
                aggregate=aggregate, dependent=dependent, layer_norm=layer_norm, short_cut=short_cut,
            )
            for _ in range(num_layers)
        )  # fmt: skip
        width = hidden_channels * (num_layers if concat_hidden else 1) + hidden_channels
        linears = [nn.Linear(width, width) for _ in range(num_mlp_layers - 1)]
        self.mlp = nn.Sequential(*(part for linear in linears for part in (linear, nn.ReLU())), nn.Linear(width, 1))

    def node_states(
        self,
        graph: MessageGraph,
        heads: Tensor,
        relations: Tensor,
        *,
        edge_mask: Tensor | None = None,
        edge_weights: list[Tensor] | None = None,
    ) -> tuple[list[Tensor], Tensor]:
        """States of all nodes after the layers that the readout sees, and the queries' vectors.

        Args:
            graph: the message graph, N nodes and 2R relations.
            heads: int64 ``[B]``.
            relations: int64 ``[B]`` in ``[0, 2R)``.
            edge_mask: bool ``[E]``, False takes an edge out.
            edge_weights: one ``[E]`` a layer.

        Returns:
            list of ``[B, N, d]``; ``[B, d]``.
        """
        if graph.num_relations != 2 * self.num_relations:
            raise UserError(
                f"the graph has {graph.num_relations} relations (inverses counted), the model {2 * self.num_relations}"
            )
        csr, query = graph.csr, self.query(relations)
        classes = degree_classes(csr, edge_mask)
        state = query.new_zeros(len(heads), graph.num_nodes, query.shape[1])
        state = state.index_put((torch.arange(len(heads), device=heads.device), heads), query)
        hidden: list[Tensor] = []
        for depth, layer in enumerate(self.layers):
            state = layer(
                state, query, heads, query, csr, graph.edge_type, edge_mask=edge_mask, classes=classes,
                edge_weight=None if edge_weights is None else edge_weights[depth],
            )  # fmt: skip
            hidden = [*hidden, state] if self.concat_hidden else [state]  # a state that nobody reads is not kept
        return hidden, query

    def readout(self, features: Tensor, query: Tensor) -> Tensor:
        """Scores ``[B, n]`` of ``features`` ``[B, n, F]`` under ``query`` ``[B, d]``; [features; query] is never formed."""
        first = self.mlp[0]
        assert isinstance(first, nn.Linear)
        of_features, of_query = first.weight.split([features.shape[-1], query.shape[-1]], 1)
        out = F.linear(features, of_features) + F.linear(query, of_query, first.bias).unsqueeze(1)
        return self.mlp[1:](out).squeeze(-1)

    def score_queries(self, graph: MessageGraph, heads: Tensor, relations: Tensor) -> Tensor:
        """Scores of all nodes as tails.

        Args:
            graph: the message graph.
            heads: int64 ``[B]``.
            relations: int64 ``[B]`` in ``[0, 2R)``; r + R asks for heads.

        Returns:
            ``[B, N]`` logits.
        """
        hidden, query = self.node_states(graph, heads, relations)
        return self.readout(hidden[0] if len(hidden) == 1 else torch.cat(hidden, -1), query)

    def forward(self, batch: QueryBatch) -> Tensor:
        """Logits ``[B, 1 + n]`` of a batch's triples, messages flowing on the graph without the batch's own edges."""
        triples = batch.triples
        rows = torch.arange(len(triples), device=triples.device)
        head, relation, tail = triples.unbind(-1)
        corrupts_tail = batch.corrupts_tail.unsqueeze(1)
        sources = torch.where(corrupts_tail, head, tail)[:, 0]
        targets = torch.where(corrupts_tail, tail, head)
        relations = torch.where(corrupts_tail, relation, relation + self.num_relations)[:, 0]
        hidden, query = self.node_states(batch.graph, sources, relations, edge_mask=self.easy_edge_mask(batch))
        features = [state[rows.unsqueeze(1), targets] for state in hidden]
        return self.readout(features[0] if len(features) == 1 else torch.cat(features, -1), query)

    def easy_edge_mask(self, batch: QueryBatch) -> Tensor:
        """False for the edges that would give the batch's answers away, bool ``[E]``.

        All triples of the joint batch count, the negative ones too (spec of the published training).
        """
        graph = batch.graph
        head, relation, tail = batch.joint_triples.flatten(0, 1).unbind(-1)
        source, target = torch.cat([head, tail]), torch.cat([tail, head])
        pair, edge = graph.csr.edges_between(source, target)
        if not self.remove_one_hop:
            kind = torch.cat([relation, relation + self.num_relations])
            edge = edge[graph.edge_type[edge] == kind[pair]]
        mask = torch.ones(graph.num_edges, dtype=torch.bool, device=edge.device)
        mask[edge] = False
        return mask

    def loss(self, batch: QueryBatch) -> Tensor:
        r"""Binary cross entropy of the positives and their weighted negatives, mean over rows.

        A row's loss is :math:`\frac12(\ell^+ + \sum_i w_i \ell^-_i)` with :math:`\sum_i w_i = 1`.
        """
        scores = self(batch).float()
        positive, negative = F.softplus(-scores[:, 0]), F.softplus(scores[:, 1:])
        if self.adversarial_temperature > 0:
            weight = (scores[:, 1:].detach() / self.adversarial_temperature).softmax(1)
            negative = (weight * negative).sum(1)
        else:
            negative = negative.mean(1)
        return ((positive + negative) / 2).mean()

    def query_bytes(self, graph: MessageGraph) -> int:
        """Bytes that one query of :meth:`score_queries` needs at its peak, for choosing a batch size."""
        width, size = self.query.embedding_dim, self.query.weight.element_size()
        # state, 4 aggregates, their images; the readout of all states holds them, their concatenation and two images of it
        node_tensors = max(10, 4 * self.num_layers + 3 if self.concat_hidden else 0)
        return size * width * (node_tensors * graph.num_nodes + 2 * graph.num_relations)
