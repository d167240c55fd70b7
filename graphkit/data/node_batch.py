"""A batch of nodes with labels, and the graph to classify them on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.data.sharding import shard

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["NodeBatch"]


@dataclass(frozen=True, eq=False)
class NodeBatch:
    """Nodes to learn from, and the graph that they lie in.

    A model computes what it likes on ``data`` and answers for the nodes ``index``; in a batch of the whole graph
    ``data`` is the task's, the same object at every step, so that what a model computes from it once stays valid.

    Args:
        data: PyG's container: ``x``, ``edge_index`` and whatever else the graph has, without labels.
        index: [B] int64, rows of ``data`` that are learned from.
        y: their labels: [B] int64 classes, or [B, T] float32 for T labels of yes (1), no (0) and unknown (NaN).
        place: from a device to ``data`` there; None: ``data.to``.
        weight: what the mean over these nodes counts in the mean over the joint batch.

    Example:
        >>> from torch_geometric.data import Data
        >>> data = Data(x=torch.zeros(3, 2), edge_index=torch.tensor([[0, 1], [1, 2]]))
        >>> NodeBatch(data, torch.tensor([0, 2]), torch.tensor([1, 0])).num_nodes
        2
    """

    data: Data
    index: Tensor
    y: Tensor
    place: Callable[[torch.device], Data] | None = None
    weight: float = 1.0

    @property
    def num_nodes(self) -> int:
        """Number of nodes that are learned from, B."""
        return int(self.index.numel())

    def to(self, device: Any) -> NodeBatch:
        """The batch on a device.

        Example:
            >>> from torch_geometric.data import Data
            >>> batch = NodeBatch(Data(x=torch.zeros(1, 2)), torch.tensor([0]), torch.tensor([1]))
            >>> batch.to("cpu").y.tolist()
            [1]
        """
        device = torch.device(device)
        data = self.data.to(device) if self.place is None else self.place(device)
        return replace(self, data=data, index=self.index.to(device), y=self.y.to(device))

    def share(self, rank: int, size: int) -> NodeBatch:
        """The nodes of one of ``size`` processes, see :func:`graphkit.data.shard`; maybe none. The graph stays whole.

        Example:
            >>> from torch_geometric.data import Data
            >>> batch = NodeBatch(Data(x=torch.zeros(3, 2)), torch.arange(3), torch.tensor([0, 1, 0]))
            >>> part = batch.share(1, 2)
            >>> part.index.tolist(), round(part.weight, 4)
            ([2], 0.3333)
        """
        start, stop = shard(self.num_nodes, rank, size)
        weight = (stop - start) / self.num_nodes if self.num_nodes else 0.0
        return replace(self, index=self.index[start:stop], y=self.y[start:stop], weight=weight)
