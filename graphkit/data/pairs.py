"""A batch of node pairs: edges and pairs that are no edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphkit.data.message_graph import MessageGraph

__all__ = ["PairBatch"]


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Edges of an undirected graph to learn from, with negatives, and the graph to score them on.

    Args:
        graph: the message graph; it may hold the batch's own edges, which a model must then mask.
        positive: [2, B] int64.
        negative: [2, B n] int64; those of positive b are in b n .. (b + 1) n - 1.

    Example:
        >>> graph = MessageGraph.from_edges(torch.tensor([[0], [1]]), num_nodes=3)
        >>> PairBatch(graph, torch.tensor([[0], [1]]), torch.tensor([[0, 1], [2, 2]])).pairs.tolist()
        [[0, 0, 1], [1, 2, 2]]
    """

    graph: MessageGraph
    positive: Tensor
    negative: Tensor

    @property
    def pairs(self) -> Tensor:
        """All pairs [2, B + B n], the positive ones first."""
        return torch.cat([self.positive, self.negative], 1)

    def to(self, device: Any, non_blocking: bool = False) -> PairBatch:
        """The batch on a device; the graph is moved there once, not with every batch."""
        positive, negative = (side.to(device, non_blocking=non_blocking) for side in (self.positive, self.negative))
        return PairBatch(self.graph.to(device), positive, negative)
