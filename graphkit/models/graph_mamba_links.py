"""Graph Mamba for links: states of both ends, multiplied."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.data import MessageGraph, PairBatch
from graphkit.data.query_batches import in_batches
from graphkit.errors import UserError
from graphkit.models.base import Model
from graphkit.nn import GraphMambaEncoder
from graphkit.nn.perceptron import Perceptron

__all__ = ["GraphMambaLinks"]

_PAIRS = 2**16


class GraphMambaLinks(Model):
    r"""A :class:`graphkit.nn.GraphMambaEncoder` and a perceptron on the product of the states of two nodes.

    .. math:: s(u, v) = \mathrm{MLP}(y_u \odot y_v)

    Walks, tokens and messages run on the graph without the edges of the batch, whichever way they are stored: an edge that is
    to be predicted is in no token. The paper has no link prediction; the head is this library's.

    Args:
        in_channels: F, 0 where nodes have no features and get embeddings.
        hidden_channels: d.
        num_nodes: N, with embeddings.
        remove_targets: whether a batch's own edges are taken out in training; off, the scores of training see the answer.
        walk_length, walks, repeats, local_layers, num_layers, local_encoder, mpnn, mpnn_norm, order, ties, train_ties,
            dropout, seed: see :class:`graphkit.nn.GraphMambaEncoder`.
        sampling: ``"step"`` draws walks anew on what each batch leaves of the graph; see :class:`graphkit.nn.WalkTokenizer`.
        bidirectional, state, expand: see :class:`graphkit.nn.BiMamba`.

    Raises:
        UserError: for sizes or options out of range.

    Source:
        Behrouz and Hashemi, Graph Mamba (KDD 2024), for the encoder.

    Example:
        >>> graph = MessageGraph.from_edges(torch.tensor([[0, 1], [1, 2]]), num_nodes=3, x=torch.eye(3))
        >>> model = GraphMambaLinks(3, 8, walk_length=2, walks=2, repeats=1, num_layers=1)
        >>> model.score_pairs(graph, torch.tensor([[0, 0], [1, 2]])).shape
        torch.Size([2])
    """

    sizes = ("in_channels", "num_nodes")

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        *,
        num_nodes: int = 0,
        remove_targets: bool = True,
        walk_length: int = 3,
        walks: int = 4,
        repeats: int = 2,
        local_layers: int = 1,
        num_layers: int = 2,
        local_encoder: str = "mean",
        mpnn: str | None = "gated_gcn",
        mpnn_norm: str | None = "layer",
        order: str = "degree",
        ties: str = "key",
        train_ties: str = "random",
        sampling: str = "step",
        bidirectional: bool = True,
        state: int = 16,
        expand: int = 1,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not in_channels and not num_nodes:
            raise UserError("without features nodes need embeddings; give in_channels or num_nodes")
        self.remove_targets = remove_targets
        self.embedding = None if in_channels else nn.Embedding(num_nodes, hidden_channels)
        mamba = {"bidirectional": bidirectional, "state": state, "expand": expand}
        self.encoder = GraphMambaEncoder(
            in_channels or hidden_channels, hidden_channels, walk_length=walk_length, walks=walks, repeats=repeats,
            local_layers=local_layers, num_layers=num_layers, local_encoder=local_encoder, sampling=sampling, mpnn=mpnn,
            mpnn_norm=mpnn_norm, order=order, ties=ties, train_ties=train_ties, dropout=dropout, seed=seed, mamba=mamba,  # type: ignore[arg-type]
        )  # fmt: skip
        self.norm = nn.LayerNorm(hidden_channels)
        self.predictor = Perceptron([hidden_channels, hidden_channels, 1], "lrdl", dropout=dropout)

    @classmethod
    def for_task(cls, task: Any, **options: Any) -> Model:
        """A model of the sizes of the task's data; where there are no features, each node gets an embedding."""
        x = getattr(task, "x", None)
        if x is None:
            return cls(0, num_nodes=task.num_nodes, **options)
        return cls(x.size(1), **options)

    def states(self, graph: MessageGraph, removed: Tensor | None = None) -> Tensor:
        """States [N, d] of the nodes.

        Args:
            graph: message graph.
            removed: uint8 [M], edges of ``graph.simple`` that are taken out.
        """
        simple = graph.simple
        row, col = simple.row(), simple.col
        if removed is not None:
            left = removed[simple.edge] == 0
            row, col = row[left], col[left]
        x = graph.x if self.embedding is None else self.embedding.weight
        if x is None or len(x) != graph.num_nodes:
            raise UserError(
                f"the graph has {graph.num_nodes} nodes and {'no features' if x is None else f'{len(x)} rows of features'}; "
                "a model serves graphs with features as it was made for"
            )
        return self.norm(self.encoder(x, torch.stack([row, col]).to(torch.int64)))

    def forward(self, batch: PairBatch) -> Tensor:
        """Logits [B + B n] of the pairs of a batch, the positive ones first."""
        removed = None
        if self.remove_targets:
            whole = batch if batch.joint is None else batch.joint
            removed = batch.graph.simple.removed_by(whole.positive)
        return self._decode(self.states(batch.graph, removed), batch.pairs)

    def loss(self, batch: PairBatch) -> Tensor:
        """Cross entropy, mean over the positives plus mean over the negatives."""
        positive, negative = self(batch).float().split([batch.positive.size(1), batch.negative.size(1)])
        return F.softplus(-positive).mean() + F.softplus(negative).mean()

    def score_pairs(
        self,
        graph: MessageGraph,
        pairs: Tensor,
        *,
        batch_size: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Tensor:
        """Scores [P] of pairs [2, P]; the graph is encoded once. s(u, v) = s(v, u)."""
        found: list[Tensor] = []
        with torch.no_grad():
            training = self.training
            self.eval()
            states = self.states(graph)
            self.train(training)

        def work(start: int, stop: int) -> None:
            found.append(self._decode(states, pairs[:, start:stop]))

        in_batches(self, graph, pairs.size(1), work, batch_size=batch_size or _PAIRS, progress=progress)
        return torch.cat(found) if found else states.new_zeros(0)

    def no_decay(self) -> Iterable[str]:
        """Decay rates, step sizes and skips of the state space models are not pulled towards 0."""
        return [name for name, _ in self.named_parameters() if name.rpartition(".")[2] in ("A_log", "D", "dt_bias")]

    def _decode(self, states: Tensor, pairs: Tensor) -> Tensor:
        return self.predictor(states[pairs[0]] * states[pairs[1]])[:, 0]
