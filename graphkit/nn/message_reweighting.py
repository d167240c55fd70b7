"""Message weights of a link encoder that a training renews and keeps with its weights."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from graphkit.errors import UserError, nearest
from graphkit.nn.concentration_reweighting import (
    PROPAGATIONS,
    Predictor,
    check_schedule,
    concentration_weights,
    is_due,
    propagation_weights,
)
from graphkit.nn.link_encoder import CONVOLUTIONS
from graphkit.ops import SimpleGraph

__all__ = ["MessageReweighting"]

#: what the weights of a layer are before the first update
_PROPAGATION = {"gcn": "gcn", "puregcn": "gcn", "sage": "sage", "puremean": "sage"}


class MessageReweighting(nn.Module):
    r"""The message weights of a :class:`LinkEncoder`, renewed by :func:`concentration_weights` every few epochs.

    .. math:: A'_{ij} = A^0_{ij} + \gamma\, p_{ij} \sum_{j'} A^0_{ij'}

    :math:`A^0` is what the encoder's layers do by themselves: with loops for ``gcn`` and ``puregcn``, without for ``sage`` and
    ``puremean``. Until the first update the encoder is left alone. The weights are buffers: a checkpoint holds them, and whoever
    loads the model scores with those it was trained with. They belong to the edges of one graph and are refused for another.

    Args:
        num_nodes: N.
        num_edges: M, edges of the graph, each counted once.
        conv: kind of the encoder's layers, ``"gcn"``, ``"puregcn"``, ``"sage"`` or ``"puremean"``.
        gamma: how much an update adds; with 0 there are no updates.
        warm_up: epochs before the first update.
        interval: updates come after those epochs whose number is a multiple of it.
        aggregate: weights of the surroundings with which neighbours are compared, ``"gcn"`` or ``"sage"``.
        compat: as in :func:`concentration_weights`: p is transposed.

    Attributes:
        edge: ``[2 M]``, the weight of each entry of the :class:`graphkit.ops.SimpleGraph`.
        loop: ``[N]``, the weight of a node's own state, or None.
        graph_id: int64 scalar that tells the graph of the weights from others; 0 before the first update.

    Raises:
        UserError: another kind of layers, sizes that are missing, a number out of range.

    Source:
        Wang et al., A topological perspective on demystifying GNN-based link prediction performance (ICLR 2024),
        the re-weighting of edges.

    Example:
        >>> graph = SimpleGraph(torch.tensor([[0, 0], [1, 2]]), num_nodes=3)
        >>> weights = MessageReweighting(3, 2, conv="sage", gamma=1.0, warm_up=1, interval=1)
        >>> weights.of(graph), weights.due(0), weights.due(1)
        ((None, None), False, True)
        >>> weights.update(graph, torch.ones(3, 4), lambda products: products.sum(1))
        >>> weights.of(graph)[0].tolist()  # twice 1 / degree
        [1.0, 1.0, 2.0, 2.0]
    """

    edge: Tensor
    loop: Tensor | None
    graph_id: Tensor

    def __init__(
        self,
        num_nodes: int | None,
        num_edges: int | None,
        *,
        conv: str = "gcn",
        gamma: float = 1.0,
        warm_up: int = 50,
        interval: int = 50,
        aggregate: str = "gcn",
        compat: bool = False,
    ) -> None:
        super().__init__()
        if conv not in _PROPAGATION:
            raise UserError(
                f"messages of the encoder {conv!r} have no weights to renew; take " + ", ".join(map(repr, _PROPAGATION))
            )
        if aggregate not in PROPAGATIONS:
            raise UserError(nearest(str(aggregate), PROPAGATIONS, "propagation"))
        check_schedule(gamma, warm_up, interval)
        if num_nodes is None or num_edges is None:
            raise UserError(
                "re-weighting keeps a weight for each edge of the train graph; pass num_nodes and num_edges (of undirected "
                "edges), as for_task does"
            )
        self.num_nodes, self.num_edges, self.conv = num_nodes, num_edges, conv
        self.gamma, self.warm_up, self.interval = gamma, warm_up, interval
        self.aggregate, self.compat = aggregate, compat
        self.register_buffer("edge", torch.zeros(2 * num_edges))
        self.register_buffer("loop", torch.zeros(num_nodes) if CONVOLUTIONS[conv][1] else None)
        self.register_buffer("graph_id", torch.zeros((), dtype=torch.int64))

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, warm_up={self.warm_up}, interval={self.interval}, aggregate={self.aggregate!r}"

    def due(self, epochs: int) -> bool:
        """Whether an update belongs after so many epochs, before the next one."""
        return self.gamma != 0 and is_due(epochs, self.warm_up, self.interval)

    def begin(self, graph: SimpleGraph) -> None:
        """A training begins on a graph: weights that belong to another one are forgotten.

        Raises:
            UserError: for a graph of other sizes.
        """
        if (graph.num_nodes, graph.num_edges) != (self.num_nodes, self.num_edges):
            raise UserError(
                f"the model keeps message weights of {self.num_nodes} nodes and {self.num_edges} edges, but the train graph has "
                f"{graph.num_nodes} and {graph.num_edges}; make the model with for_task of this task"
            )
        if int(self.graph_id) not in (0, _identity(graph)):
            self.graph_id.zero_()

    def of(self, graph: SimpleGraph) -> tuple[Tensor | None, Tensor | None]:
        """Weights of entries ``[2 M]`` and of loops ``[N]`` in force; None for both before the first update.

        Raises:
            UserError: for another graph than that of the update.
        """
        known = int(self.graph_id)
        if known == 0:
            return None, None
        if known != _identity(graph):
            raise UserError(
                f"the model's messages were weighted edge by edge in its training, on a graph of {self.num_edges} edges; this is "
                f"another graph (of {graph.num_edges} edges): score on the train graph of its task, or train without re-weighting"
            )
        return self.edge, self.loop

    @torch.no_grad()
    def update(self, graph: SimpleGraph, embeddings: Tensor, predictor: Predictor) -> None:
        """Renew the weights; nothing but the graph's own edges is looked at.

        Args:
            graph: the train graph.
            embeddings: ``[N, F]``, of the encoder in evaluation mode, under the weights in force.
            predictor: from products ``[B, F]`` to logits, in evaluation mode.

        Raises:
            UserError: as :func:`concentration_weights`.
        """
        messages, base, around = self._beginning(graph)
        weight = concentration_weights(
            messages, embeddings.detach(), predictor, base, num_nodes=self.num_nodes, gamma=self.gamma, aggregate=around,
            compat=self.compat,
        )  # fmt: skip
        entries = len(graph.col)
        self.edge.copy_(weight[:entries])
        if self.loop is not None:
            self.loop.copy_(weight[entries:])
        self.graph_id.fill_(_identity(graph))

    def _beginning(self, graph: SimpleGraph) -> tuple[Tensor, Tensor, Tensor]:
        """Messages in the order of the entries, then of the loops; their first weights; those of the surroundings."""
        key = ("messages", self.conv, self.aggregate)
        if key not in graph.derived:
            with torch.inference_mode(False):
                messages = torch.stack([graph.col.long(), graph.row()])
                if self.loop is not None:
                    node = torch.arange(graph.num_nodes, device=messages.device)
                    messages = torch.cat([messages, node.expand(2, -1)], 1)
                weights = {
                    kind: propagation_weights(messages, num_nodes=graph.num_nodes, kind=kind)
                    for kind in {_PROPAGATION[self.conv], self.aggregate}
                }
                graph.derived[key] = (messages, weights[_PROPAGATION[self.conv]], weights[self.aggregate])
        return graph.derived[key]


def _identity(graph: SimpleGraph) -> int:
    """A number above 0 that depends on the edges of a graph, the same on every device."""
    if "identity" not in graph.derived:
        digest = hashlib.sha256()
        for part in (graph.ptr, graph.col):
            digest.update(part.detach().cpu().contiguous().numpy())
        graph.derived["identity"] = 1 + int.from_bytes(digest.digest()[:7], "big")
    return graph.derived["identity"]
