"""A batch of node pairs: edges and pairs that are no edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphkit.data.message_graph import MessageGraph
from graphkit.data.sharding import shard

__all__ = ["PairBatch"]


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Edges of an undirected graph to learn from, with negatives, and the graph to score them on.

    Several processes divide a batch with :meth:`share`. A share knows the joint batch, whose edges are all hidden.

    Args:
        graph: the message graph; it may hold the batch's own edges, which a model must then mask.
        positive: [2, B] int64.
        negative: [2, B n] int64; those of positive b are in b n .. (b + 1) n - 1.
        joint: the batch that this one is a share of; None: it is the whole.

    Example:
        >>> graph = MessageGraph.from_edges(torch.tensor([[0], [1]]), num_nodes=3)
        >>> PairBatch(graph, torch.tensor([[0], [1]]), torch.tensor([[0, 1], [2, 2]])).pairs.tolist()
        [[0, 0, 1], [1, 2, 2]]
    """

    graph: MessageGraph
    positive: Tensor
    negative: Tensor
    joint: PairBatch | None = None

    @property
    def pairs(self) -> Tensor:
        """All pairs [2, B + B n], the positive ones first."""
        return torch.cat([self.positive, self.negative], 1)

    @property
    def joint_pairs(self) -> Tensor:
        """All pairs of the joint batch; of a batch that is no share its own."""
        return self.pairs if self.joint is None else self.joint.pairs

    @property
    def weight(self) -> float:
        """What the mean over these edges counts in the mean over the joint batch."""
        return 1.0 if self.joint is None else self.positive.size(1) / self.joint.positive.size(1)

    def share(self, rank: int, size: int) -> PairBatch:
        """The edges of one of ``size`` processes with their negatives, see :func:`graphkit.data.shard`; maybe none.

        Example:
            >>> graph = MessageGraph.from_edges(torch.tensor([[0, 1, 2], [1, 2, 3]]), num_nodes=5)
            >>> batch = PairBatch(graph, torch.tensor([[0, 1, 2], [1, 2, 3]]), torch.tensor([[0, 1, 2], [4, 4, 4]]))
            >>> [(part.positive.tolist(), round(part.weight, 2)) for part in (batch.share(0, 2), batch.share(1, 2))]
            [([[0, 1], [1, 2]], 0.67), ([[2], [3]], 0.33)]
        """
        count = self.positive.size(1)
        start, stop = shard(count, rank, size)
        each = self.negative.size(1) // max(count, 1)
        positive, negative = self.positive[:, start:stop], self.negative[:, start * each : stop * each]
        return PairBatch(self.graph, positive, negative, self if self.joint is None else self.joint)

    def to(self, device: Any, non_blocking: bool = False) -> PairBatch:
        """The batch on a device; the graph is moved there once, not with every batch."""
        positive, negative = (side.to(device, non_blocking=non_blocking) for side in (self.positive, self.negative))
        joint = None if self.joint is None else self.joint.to(device, non_blocking=non_blocking)
        return PairBatch(self.graph.to(device), positive, negative, joint)
