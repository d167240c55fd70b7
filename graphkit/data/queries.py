"""A batch of training queries with their negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphkit.data.message_graph import MessageGraph
from graphkit.data.sharding import shard

__all__ = ["QueryBatch"]


@dataclass(frozen=True, eq=False)
class QueryBatch:
    """Positive triples, each followed by its negatives, and the graph to score them on.

    Several processes divide a batch with :meth:`share`. A share knows the joint batch: easy edges are those of all its
    triples, and which rows corrupt tails is counted there.

    Args:
        graph: the message graph.
        triples: [B, 1 + n, 3] int64 (head, relation, tail), relations in [0, R). Column 0 is the positive. The
            negatives of the first B // 2 rows of the joint batch have another tail, those of the other rows another
            head.
        joint: [J, 1 + n, 3], the triples of the joint batch; None: this batch is the whole.
        first: which row of the joint batch is row 0 here.

    Example:
        >>> graph = MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 3, 1)
        >>> QueryBatch(graph, torch.tensor([[[0, 0, 1], [2, 0, 1]]])).num_queries
        1
    """

    graph: MessageGraph
    triples: Tensor
    joint: Tensor | None = None
    first: int = 0

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
        head, relation, tail = self.triples.unbind(-1)
        corrupts_tail = self.corrupts_tail.unsqueeze(1)
        sources = torch.where(corrupts_tail, head, tail)[:, 0]
        relations = torch.where(corrupts_tail, relation, relation + self.graph.num_base_relations)[:, 0]
        return sources, relations, torch.where(corrupts_tail, tail, head)

    @property
    def joint_triples(self) -> Tensor:
        """Triples of the joint batch, [J, 1 + n, 3]; of a batch that is no share its own."""
        return self.triples if self.joint is None else self.joint

    @property
    def corrupts_tail(self) -> Tensor:
        """Whether a row's negatives have another tail (else another head), bool [B]."""
        rows = torch.arange(self.first, self.first + self.num_queries, device=self.triples.device)
        return rows < self.joint_triples.size(0) // 2

    @property
    def weight(self) -> float:
        """What the mean over these rows counts in the mean over the joint batch, B / J."""
        return self.num_queries / self.joint_triples.size(0)

    def share(self, rank: int, size: int) -> QueryBatch:
        """The rows of one of ``size`` processes, see :func:`graphkit.data.shard`; it may have none.

        Example:
            >>> graph = MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 3, 1)
            >>> batch = QueryBatch(graph, torch.zeros(3, 2, 3, dtype=torch.int64))
            >>> [(one.weight, one.corrupts_tail.tolist()) for one in (batch.share(0, 2), batch.share(1, 2))]
            [(0.6666666666666666, [True, False]), (0.3333333333333333, [False])]
        """
        start, stop = shard(self.num_queries, rank, size)
        return QueryBatch(self.graph, self.triples[start:stop], self.joint_triples, self.first + start)

    def to(self, device: Any, non_blocking: bool = False) -> QueryBatch:
        """The batch on a device; the graph is moved there once, not with every batch."""
        triples = self.triples.to(device, non_blocking=non_blocking)
        joint = None if self.joint is None else self.joint.to(device, non_blocking=non_blocking)
        return QueryBatch(self.graph.to(device), triples, joint, self.first)
