"""What models have in common that encode a graph once and score pairs of its nodes by a head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.data import MessageGraph, PairBatch
from graphkit.data.batch_size import available_memory
from graphkit.data.query_batches import device_of, evaluation_mode, in_batches
from graphkit.errors import UserError
from graphkit.models.base import Model
from graphkit.nn import CommonNeighborHead, LinkEncoder, MessageReweighting

__all__ = ["PairPrediction"]

_MOST_PAIRS = 2**17


class PairPrediction(Model):
    """A :class:`graphkit.nn.LinkEncoder` called ``encoder`` and a head called ``predictor``.

    The positives and negatives of a batch are scored together on the same states. With ``remove_targets`` neither the
    encoder nor the head sees the edges of the joint batch, in any direction or copy; nothing is rebuilt for that.

    With ``reweighting`` the weights of the encoder's messages are renewed between epochs, from the train graph alone.

    A subclass sets ``remove_targets``, ``frozen_encoder`` and ``reweighting`` in its constructor and makes both parts.
    """

    encoder: LinkEncoder
    predictor: CommonNeighborHead
    remove_targets: bool
    frozen_encoder: bool
    reweighting: MessageReweighting | None
    sizes = ("in_channels", "num_nodes", "num_edges")

    @classmethod
    def for_task(cls, task: Any, **options: Any) -> Model:
        """A model of the sizes of the task's data; where there are no features, each node gets an embedding.

        With ``embedding=True`` and whole numbers as features, the categories are 0 to the largest one.
        """
        x = getattr(task, "x", None)
        if options.get("reweighting_gamma") is not None:
            options |= {"num_nodes": task.num_nodes, "num_edges": task.graph("train").simple.num_edges}
        if x is None:
            return cls(**{"in_channels": 0, "num_nodes": task.num_nodes, **options})
        if options.get("embedding") and not x.is_floating_point() and (x.dim() == 1 or x.size(1) == 1):
            return cls(in_channels=int(x.max()) + 1, **options)  # type: ignore[call-arg]
        return cls(in_channels=x.size(1), **options)  # type: ignore[call-arg]

    def begin_epoch(self, task: Any, epoch: int) -> None:
        """Renew the message weights where that is due; the engine calls it before each epoch.

        Args:
            task: its train graph is looked at, nothing else.
            epoch: the epoch that begins, counted from 1.

        Raises:
            UserError: for a task whose test graph has more edges than its train graph, or with another train graph than the
                model was made for.
        """
        if self.reweighting is None:
            return
        if getattr(task, "use_valedges", False):
            raise UserError(
                "re-weighting finds a weight for each train edge, but use_valedges adds edges that have none when test is scored; "
                "leave one of the two out"
            )
        graph = task.graph("train").to(device_of(self, task.graph("train")))
        if epoch == 1:
            self.reweighting.begin(graph.simple)
        if self.reweighting.due(epoch - 1):
            with evaluation_mode(self), torch.no_grad():
                self.reweighting.update(graph.simple, self.states(graph), self.predictor.of_products)

    def train(self, mode: bool = True) -> PairPrediction:
        super().train(mode)
        if self.frozen_encoder:
            self.encoder.eval()
        return self

    def states(self, graph: MessageGraph, removed: Tensor | None = None) -> Tensor:
        """States [N, F] of the nodes.

        Args:
            graph: message graph, with features where the model was made for some.
            removed: uint8 [M], edges that are taken out, see :meth:`graphkit.ops.SimpleGraph.removed_by`.

        Raises:
            UserError: for a graph without edges, or one that does not fit the model.
        """
        if graph.num_edges == 0:
            raise UserError(
                f"the graph of {graph.num_nodes} nodes has no edges, so nothing tells one pair from another; give it some"
            )
        own = self.encoder.embedding
        if own is not None and not self.encoder.categories and own.num_embeddings != graph.num_nodes:
            raise UserError(
                f"the model has embeddings of {own.num_embeddings} nodes, but the graph has {graph.num_nodes}; a model "
                "without features serves the graph it was made for"
            )
        if graph.x is not None and graph.x.size(0) != graph.num_nodes:
            raise UserError(
                f"x has {graph.x.size(0)} rows, expected one for each of the {graph.num_nodes} nodes of the graph"
            )
        weights = (None, None) if self.reweighting is None else self.reweighting.of(graph.simple)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen_encoder):
            return self.encoder(graph.x, graph.simple, removed=removed, edge_weight=weights[0], loop_weight=weights[1])

    def forward(self, batch: PairBatch) -> Tensor:
        """Logits [B + B n] of the pairs of a batch, the positive ones first."""
        pairs = batch.pairs
        loops = pairs[0] == pairs[1]
        if bool(loops.any()):
            node = int(pairs[0][loops][0])
            raise UserError(f"the batch pairs node {node} with itself, which is no link to learn from; drop such pairs")
        graph = batch.graph
        removed = None
        if self.remove_targets:
            whole = batch if batch.joint is None else batch.joint
            removed = graph.simple.removed_by(whole.positive)
        return self.predictor(self.states(graph, removed), graph.simple, pairs, removed=removed)

    def loss(self, batch: PairBatch) -> Tensor:
        """Cross entropy, mean over the positives plus mean over the negatives."""
        logits = self(batch).float()
        positive, negative = logits.split([batch.positive.size(1), batch.negative.size(1)])
        return F.softplus(-positive).mean() + F.softplus(negative).mean()

    def score_pairs(
        self,
        graph: MessageGraph,
        pairs: Tensor,
        *,
        batch_size: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Tensor:
        """Scores of pairs; the graph is encoded once. s(u, v) = s(v, u) in evaluation.

        Args:
            graph: message graph.
            pairs: int64 [2, P].
            batch_size: pairs scored at once; None: by free memory, at most 131,072.
            progress: called with (pairs done, pairs in all).

        Returns:
            [P] logits.

        Raises:
            UserError: pairs out of range, or as :meth:`states`.
        """
        x = self.states(graph)
        simple = graph.simple
        pooled = self.predictor.pooled_states(x) if self.predictor.pools else None
        size = self._pairs_at_once(graph, x) if batch_size is None else batch_size
        found: list[Tensor] = []

        def work(start: int, stop: int) -> None:
            found.append(self.predictor(x, simple, pairs[:, start:stop], pooled=pooled))

        in_batches(self, graph, pairs.size(1), work, batch_size=size, progress=progress)
        return torch.cat(found) if found else x.new_zeros(0)

    def _pairs_at_once(self, graph: MessageGraph, x: Tensor) -> int:
        """Pairs that fit in half of the free memory: rows of the perceptrons, and what a head stores of the sets."""
        degree = graph.simple.degree.double()
        # the end of a random edge has as many neighbours; ends of scored pairs are often such
        typical = float((degree**2).sum() / degree.sum().clamp(min=1))
        need = 8 * x.size(1) * x.element_size() + int(self.predictor.set_bytes(typical))
        return max(1, min(_MOST_PAIRS, int(available_memory(graph.device) // 2 // need)))
