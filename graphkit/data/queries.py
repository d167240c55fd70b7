"""A batch of training queries with their negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graphkit.data.message_graph import MessageGraph

__all__ = ["QueryBatch"]


@dataclass(frozen=True, eq=False)
class QueryBatch:
    """Positive triples, each followed by its negatives, and the graph to score them on.

    Args:
        graph: the message graph.
        triples: [B, 1 + n, 3] int64 (head, relation, tail), relations in [0, R). Column 0 is the positive. The
            negatives of the first B // 2 rows have another tail, those of the other rows another head.

    Example:
        >>> import torch
        >>> graph = MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 3, 1)
        >>> QueryBatch(graph, torch.tensor([[[0, 0, 1], [2, 0, 1]]])).num_queries
        1
    """

    graph: MessageGraph
    triples: Tensor

    @property
    def num_queries(self) -> int:
        """Number of rows B."""
        return int(self.triples.size(0))

    def to(self, device: Any, non_blocking: bool = False) -> QueryBatch:
        """The batch on a device; the graph is moved there once, not with every batch."""
        return QueryBatch(self.graph.to(device), self.triples.to(device, non_blocking=non_blocking))
