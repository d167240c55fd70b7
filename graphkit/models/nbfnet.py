"""NBFNet: neural Bellman-Ford networks for link prediction (Zhu et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.data import LinkTask, MessageGraph, PairBatch, QueryBatch
from graphkit.data.query_batches import evaluation_mode, in_batches
from graphkit.errors import UserError
from graphkit.models.base import Model
from graphkit.models.entity_prediction import EntityPrediction
from graphkit.models.path_explanation import PathExplanation
from graphkit.nn import BellmanFordConv, PairFlow
from graphkit.ops import degree_classes

__all__ = ["NBFNet"]


class NBFNet(EntityPrediction, PathExplanation, Model):
    r"""Represents a pair (u, v) under a query relation q by all paths from u to v, with learned operators.

    .. math:: h^{(0)}_v = [v = u]\, q, \quad h^{(t)} = \mathrm{layer}_t(h^{(t-1)}), \quad
        score(v) = \mathrm{MLP}([h^{(T)}_v; q])

    One pass scores every node as the tail of (u, q, ?). A head query (?, q, v) is the tail query (v, q + R, ?).

    With ``symmetric`` it serves undirected graphs without relations: both directions of an edge and a self-loop at
    every node have the one relation 0, and a pair is scored by the mean of its two directions, so s(u, v) = s(v, u):

    .. math:: score(u, v) = \mathrm{MLP}([\tfrac12 (h_q(u, v) + h_q(v, u)); q])

    Args:
        num_relations: R, relations without inverses; 1 with ``symmetric``.
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
        symmetric: undirected graphs without relations, see above. Edges are then taken out in both directions always.

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
        symmetric: bool = False,
    ) -> None:
        super().__init__()
        if num_layers < 1 or num_mlp_layers < 1 or hidden_channels < 1 or num_relations < 1:
            raise UserError("num_relations, hidden_channels, num_layers and num_mlp_layers must be at least 1")
        if adversarial_temperature < 0:
            raise UserError(f"adversarial_temperature is {adversarial_temperature}, expected 0 (equal weights) or more")
        if symmetric and num_relations != 1:
            raise UserError(
                f"symmetric=True serves graphs without relations, so num_relations is 1, not {num_relations}"
            )
        self.num_relations, self.num_layers, self.symmetric = num_relations, num_layers, symmetric
        edge_types = 1 if symmetric else 2 * num_relations
        self.concat_hidden, self.remove_one_hop = concat_hidden, remove_one_hop
        self.adversarial_temperature = adversarial_temperature
        self.query = nn.Embedding(edge_types, hidden_channels)
        self.layers = nn.ModuleList(
            BellmanFordConv(
                hidden_channels, hidden_channels, edge_types, query_channels=hidden_channels, message=message,
                aggregate=aggregate, dependent=dependent, layer_norm=layer_norm, short_cut=short_cut,
            )
            for _ in range(num_layers)
        )  # fmt: skip
        width = hidden_channels * (num_layers if concat_hidden else 1) + hidden_channels
        linears = [nn.Linear(width, width) for _ in range(num_mlp_layers - 1)]
        self.mlp = nn.Sequential(*(part for linear in linears for part in (linear, nn.ReLU())), nn.Linear(width, 1))

    @classmethod
    def for_task(cls, task: Any, **options: Any) -> Model:
        """A model of the sizes of the task's data; for a :class:`LinkTask` with the published choices for such graphs.

        Those are ``symmetric=True, dependent=False, remove_one_hop=True, adversarial_temperature=0``, unless given.

        Raises:
            UserError: for ``symmetric`` that does not fit the task.

        Example:
            >>> edges = torch.tensor([[0, 1, 2], [1, 2, 3]])
            >>> NBFNet.for_task(LinkTask.from_edges("path", edges, 4, split="100/0/0")).symmetric
            True
        """
        undirected = isinstance(task, LinkTask)
        if undirected:
            published = {"symmetric": True, "dependent": False, "remove_one_hop": True, "adversarial_temperature": 0.0}
            options = {**published, **options}
        if bool(options.get("symmetric", False)) != undirected:
            kind = "an undirected graph without relations" if undirected else "a knowledge graph"
            raise UserError(f"{task.name} is {kind}; NBFNet serves it with symmetric={undirected}")
        return super().for_task(task, **options)

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
        if graph.num_relations != self.query.num_embeddings:
            raise UserError(
                f"the graph has {graph.num_relations} relations (inverses counted), the model {self.query.num_embeddings}"
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
        if self.symmetric:
            raise UserError("a model with symmetric=True scores pairs by both of their directions; use score_pairs")
        hidden, query = self.node_states(graph, heads, relations)
        return self.readout(hidden[0] if len(hidden) == 1 else torch.cat(hidden, -1), query)

    def score_pairs(
        self,
        graph: MessageGraph,
        pairs: Tensor,
        *,
        edge_mask: Tensor | None = None,
        batch_size: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Tensor:
        """Scores of pairs on an undirected graph; s(u, v) = s(v, u) exactly. A model with ``symmetric`` only.

        One pass per different node among the pairs serves all pairs that hold it.

        Args:
            graph: message graph without self-loops, see :meth:`MessageGraph.from_edges`.
            pairs: int64 ``[2, P]``.
            edge_mask: bool ``[E]``, False takes an edge out; both directions of an edge go together.
            batch_size: nodes whose passes are computed at once; None: by free memory, at most 256.
            progress: called with (passes done, passes in all).

        Returns:
            ``[P]`` logits.
        """
        if not self.symmetric:
            raise UserError(
                "pairs without a relation are scored by a model with symmetric=True; use score_queries here"
            )
        if pairs.shape[1] == 0:
            return self.query.weight.new_zeros(0)
        graph = graph.with_self_loops
        if edge_mask is not None:
            edge_mask = F.pad(edge_mask, (0, graph.num_nodes), value=True)
        source, target = pairs.reshape(-1), pairs.flip(0).reshape(-1)
        passes, row = torch.unique(source, return_inverse=True)
        order = torch.argsort(row, stable=True)
        ptr = F.pad(torch.bincount(row, minlength=len(passes)).cumsum(0), (1, 0)).tolist()

        found: list[Tensor] = []

        def work(start: int, stop: int) -> None:
            place = order[ptr[start] : ptr[stop]]
            heads = passes[start:stop]
            found.append(self.pair_states(graph, heads, row[place] - start, target[place], edge_mask=edge_mask))

        in_batches(self, graph, len(passes), work, batch_size=batch_size, progress=progress)
        features = torch.cat(found)
        features = torch.empty_like(features).index_put((order,), features)
        there, back = features.chunk(2)
        query = self.query.weight
        return self.readout(((there + back) / 2).unsqueeze(0), query)[0]

    def pair_states(
        self, graph: MessageGraph, heads: Tensor, row: Tensor, target: Tensor, *, edge_mask: Tensor | None = None
    ) -> Tensor:
        """What the readout sees of the nodes that pairs ask for.

        Args:
            graph: message graph with self-loops.
            heads: int64 ``[B]``, all different, the sources of the passes.
            row: int64 ``[J]``, the pass of each pair.
            target: int64 ``[J]``, the node it reads.
            edge_mask: bool ``[E]``, False takes an edge out.

        Returns:
            ``[J, F]``.
        """
        local = not any(layer.relation is None for layer in self.layers)
        if local:
            flow = PairFlow(graph.csr, graph.edge_type, heads, row, target, self.num_layers, edge_mask=edge_mask)
            # on a dense graph the pairs depend on nearly everything, and whole passes need no bookkeeping
            local = 2 * flow.size() < len(heads) * graph.num_nodes * self.num_layers
        if local:
            found = flow.states(self.layers, self.query.weight[0])
            return torch.cat(found, -1) if self.concat_hidden else found[-1]
        hidden, _ = self.node_states(graph, heads, torch.zeros_like(heads), edge_mask=edge_mask)
        return torch.cat([state[row, target] for state in hidden], -1)

    def edge_importance(
        self, graph: MessageGraph, head: int, relation: int, tail: int, *, edge_mask: Tensor | None = None
    ) -> Tensor:
        r"""How a triple's score depends on every edge in every layer, all weights being 1.

        .. math:: I^{(t)}_e = \partial\, score(head, relation, tail) / \partial w^{(t)}_e

        Args:
            graph: the message graph.
            head, tail: nodes.
            relation: in ``[0, 2R)``.
            edge_mask: bool ``[E]``, False takes an edge out.

        Returns:
            ``[T, E]``, 0 for edges that are taken out.

        Raises:
            UserError: for a symmetric model, whose score joins two passes.
        """
        if self.symmetric:
            raise UserError(
                "a symmetric NBFNet scores pairs of an undirected graph; paths explain knowledge graphs only"
            )
        device, dtype = graph.edge_index.device, self.query.weight.dtype
        dtype = torch.float64 if dtype == torch.float64 else torch.float32
        with torch.inference_mode(False), torch.enable_grad(), evaluation_mode(self):
            weights = [torch.ones(graph.num_edges, dtype=dtype, device=device) for _ in self.layers]
            ends = torch.tensor([head, relation], device=device).unsqueeze(1)
            hidden, query = self.node_states(
                graph, ends[0], ends[1], edge_mask=edge_mask, edge_weights=[w.requires_grad_() for w in weights]
            )
            score = self.readout(torch.cat([state[:, [tail]] for state in hidden], -1), query)
            return torch.stack(torch.autograd.grad(score.sum(), weights))

    def forward(self, batch: QueryBatch | PairBatch) -> Tensor:
        """Logits ``[B, 1 + n]`` of a batch, messages flowing on the graph without the batch's own edges."""
        if isinstance(batch, PairBatch):
            pairs, count = batch.pairs, batch.positive.shape[1]
            # all passes at once: the backward pass needs them all anyway
            scores = self.score_pairs(
                batch.graph, pairs, edge_mask=self.easy_edge_mask(batch), batch_size=pairs.numel()
            )
            return torch.cat([scores[:count, None], scores[count:].view(count, -1)], 1)
        sources, relations, targets = batch.tail_form()
        hidden, query = self.node_states(batch.graph, sources, relations, edge_mask=self.easy_edge_mask(batch))
        rows = torch.arange(len(targets), device=targets.device).unsqueeze(1)
        features = [state[rows, targets] for state in hidden]
        return self.readout(features[0] if len(features) == 1 else torch.cat(features, -1), query)

    def easy_edge_mask(self, batch: QueryBatch | PairBatch) -> Tensor:
        """False for the edges that would give the batch's answers away, bool ``[E]``.

        All triples of the joint batch count, the negative ones too (spec of the published training). An undirected edge
        goes in both directions whatever ``remove_one_hop`` says: one direction alone tells the answer.
        """
        graph = batch.graph
        if isinstance(batch, PairBatch):
            head, tail = batch.joint_pairs
        else:
            head, relation, tail = batch.joint_triples.flatten(0, 1).unbind(-1)
        source, target = torch.cat([head, tail]), torch.cat([tail, head])
        pair, edge = graph.csr.edges_between(source, target)
        if not self.remove_one_hop and not isinstance(batch, PairBatch):
            kind = torch.cat([relation, relation + self.num_relations])
            edge = edge[graph.edge_type[edge] == kind[pair]]
        mask = torch.ones(graph.num_edges, dtype=torch.bool, device=edge.device)
        mask[edge] = False
        return mask

    def loss(self, batch: QueryBatch | PairBatch) -> Tensor:
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
