"""Scores of pairs by the neighbours of both nodes; nothing is learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphkit.data import MessageGraph
from graphkit.data.query_batches import in_batches
from graphkit.errors import UserError
from graphkit.models.base import Model
from graphkit.ops import SimpleGraph, common_neighbor_count

__all__ = [
    "AdamicAdar",
    "CommonNeighbors",
    "Heuristic",
    "Jaccard",
    "NeighborhoodHeuristic",
    "PreferentialAttachment",
    "ResourceAllocation",
]

_PAIRS_AT_ONCE = 2**20


class Heuristic(Model):
    """A model without parameters. It is evaluated as it is: ``gk.evaluate(model, task)``, or ``epochs: 0`` in a run."""

    trainable = False

    def __init__(self) -> None:
        super().__init__()

    def loss(self, batch: Any) -> Tensor:
        raise UserError(f"{type(self).__name__} has nothing to train; evaluate it, or set epochs to 0")


class NeighborhoodHeuristic(Heuristic):
    """A heuristic that looks at pairs one by one."""

    def of_pairs(self, graph: SimpleGraph, pairs: Tensor) -> Tensor:
        """Scores [P] float64."""
        raise NotImplementedError(f"{type(self).__name__} defines no score")

    def score_pairs(
        self,
        graph: MessageGraph,
        pairs: Tensor,
        *,
        batch_size: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Tensor:
        """Scores of pairs.

        Args:
            graph: message graph.
            pairs: int64 [2, P].
            batch_size: pairs scored at once.
            progress: called with (pairs done, pairs in all).

        Returns:
            [P] float32. Sums are made in float64, so that equal sums in another order stay ties.

        Raises:
            UserError: pairs out of range.
        """
        found: list[Tensor] = []

        def work(start: int, stop: int) -> None:
            found.append(self.of_pairs(graph.simple, pairs[:, start:stop]).float())

        in_batches(self, graph, pairs.size(1), work, batch_size=batch_size or _PAIRS_AT_ONCE, progress=progress)
        return torch.cat(found) if found else torch.zeros(0, device=pairs.device)


class CommonNeighbors(NeighborhoodHeuristic):
    r"""Number of common neighbours, :math:`|N(i) \cap N(j)|`.

    Source:
        Liben-Nowell, Kleinberg: The Link Prediction Problem for Social Networks (CIKM 2003).

    Example:
        >>> graph = MessageGraph.from_edges(torch.tensor([[0, 0, 1, 1], [2, 3, 2, 3]]), 4)
        >>> CommonNeighbors().score_pairs(graph, torch.tensor([[0, 0], [1, 2]])).tolist()
        [2.0, 0.0]
    """

    def of_pairs(self, graph: SimpleGraph, pairs: Tensor) -> Tensor:
        return common_neighbor_count(graph, pairs, num_nodes=graph.num_nodes).double()


class AdamicAdar(NeighborhoodHeuristic):
    r"""Common neighbours, rare ones counting more: :math:`\sum_{u \in N(i) \cap N(j)} 1 / \ln d_u`.

    Source:
        Adamic, Adar: Friends and Neighbors on the Web (Social Networks 25, 2003).

    Example:
        >>> graph = MessageGraph.from_edges(torch.tensor([[0, 0, 1, 1], [2, 3, 2, 3]]), 4)
        >>> AdamicAdar().score_pairs(graph, torch.tensor([[0], [1]])).tolist()
        [2.885390043258667]
    """

    def of_pairs(self, graph: SimpleGraph, pairs: Tensor) -> Tensor:
        weight = _inverse(graph.degree.double().log())
        return common_neighbor_count(graph, pairs, num_nodes=graph.num_nodes, weight=weight)


class ResourceAllocation(NeighborhoodHeuristic):
    r"""Common neighbours by the share each has to give: :math:`\sum_{u \in N(i) \cap N(j)} 1 / d_u`.

    Source:
        Zhou, Lü, Zhang: Predicting Missing Links via Local Information (European Physical Journal B 71, 2009).

    Example:
        >>> graph = MessageGraph.from_edges(torch.tensor([[0, 0, 1, 1], [2, 3, 2, 3]]), 4)
        >>> ResourceAllocation().score_pairs(graph, torch.tensor([[0], [1]])).tolist()
        [1.0]
    """

    def of_pairs(self, graph: SimpleGraph, pairs: Tensor) -> Tensor:
        weight = _inverse(graph.degree.double())
        return common_neighbor_count(graph, pairs, num_nodes=graph.num_nodes, weight=weight)


class Jaccard(NeighborhoodHeuristic):
    r"""Share of common neighbours, :math:`|N(i) \cap N(j)| / |N(i) \cup N(j)|`; 0 for two nodes without neighbours.

    Source:
        Jaccard: Étude comparative de la distribution florale (Bulletin de la Société vaudoise 37, 1901).

    Example:
        >>> graph = MessageGraph.from_edges(torch.tensor([[0, 0, 1], [2, 3, 2]]), 4)
        >>> Jaccard().score_pairs(graph, torch.tensor([[0], [1]])).tolist()
        [0.5]
    """

    def of_pairs(self, graph: SimpleGraph, pairs: Tensor) -> Tensor:
        common = common_neighbor_count(graph, pairs, num_nodes=graph.num_nodes).double()
        return common * _inverse(graph.degree[pairs].sum(0) - common)


class PreferentialAttachment(NeighborhoodHeuristic):
    r"""Product of the degrees, :math:`d_i d_j`.

    Source:
        Barabási, Albert: Emergence of Scaling in Random Networks (Science 286, 1999).

    Example:
        >>> graph = MessageGraph.from_edges(torch.tensor([[0, 0, 1], [2, 3, 2]]), 4)
        >>> PreferentialAttachment().score_pairs(graph, torch.tensor([[0], [1]])).tolist()
        [2.0]
    """

    def of_pairs(self, graph: SimpleGraph, pairs: Tensor) -> Tensor:
        graph.edge_ids(pairs)  # refuses ids that are none
        return graph.degree[pairs].double().prod(0)


def _inverse(x: Tensor) -> Tensor:
    """1 / x, and 0 where x is not above 0."""
    return torch.where(x > 0, 1 / x, 0.0)
