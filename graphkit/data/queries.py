"""A batch of training queries with their negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
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

    def tail_form(self) -> tuple[Tensor, Tensor, Tensor]:
        """Every row as a tail query: (?, r, t) is (t, r + R, ?).

        Returns:
            sources [B], relations [B] in [0, 2R), targets [B, 1 + n].

        Example:
            >>> graph = MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 3, 1)
            >>> QueryBatch(graph, torch.tensor([[[0, 0, 1], [2, 0, 1]]])).tail_form()
            (tensor([1]), tensor([1]), tensor([[0, 2]]))
        """
        rows = torch.arange(self.num_queries, device=self.triples.device)
        head, relation, tail = self.triples.unbind(-1)
        corrupts_tail = (rows < self.num_queries // 2).unsqueeze(1)
        sources = torch.where(corrupts_tail, head, tail)[:, 0]
        relations = torch.where(corrupts_tail, relation, relation + self.graph.num_base_relations)[:, 0]
        return sources, relations, torch.where(corrupts_tail, tail, head)

    def to(self, device: Any, non_blocking: bool = False) -> QueryBatch:
        """The batch on a device; the graph is moved there once, not with every batch."""
        return QueryBatch(self.graph.to(device), self.triples.to(device, non_blocking=non_blocking))
