"""A batch of graphs with what is to be learned of them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.data.sharding import shard

if TYPE_CHECKING:
    from torch_geometric.data import Batch

    from graphkit.data.graph_task import GraphTask

__all__ = ["GraphBatch"]


class GraphBatch:
    """Graphs to learn from, put together when ``data`` is first asked for.

    Args:
        task: whose graphs.
        graphs: [B] int64, their numbers.
        flips: (seed, epoch) of the signs of eigenvectors, or None for those that are stored.
        device: where ``data``, ``index`` and ``y`` are.
        weight: what the mean over these graphs counts in the mean over the joint batch.

    Attributes:
        level: ``"graph"`` or ``"node"``.
        target: ``"classes"``, ``"labels"`` or ``"values"``, what ``y`` is.

    Example:
        >>> from torch_geometric.data import Data
        >>> from graphkit.data import GraphTask
        >>> edge = torch.tensor([[0, 1], [1, 0]])
        >>> graphs = [Data(x=torch.ones(2, 1), edge_index=edge, y=torch.tensor([k])) for k in (0, 1, 0)]
        >>> task = GraphTask("toy", graphs, train=torch.tensor([0, 1]), valid=torch.tensor([2]), test=torch.tensor([]))
        >>> batch = GraphBatch(task, torch.tensor([0, 1]))
        >>> batch.num_graphs, batch.data.num_nodes, batch.y.tolist()
        (2, 4, [0, 1])
    """

    def __init__(
        self,
        task: GraphTask,
        graphs: Tensor,
        flips: tuple[int, int] | None = None,
        device: torch.device | None = None,
        weight: float = 1.0,
    ) -> None:
        self.task, self.graphs, self.flips, self.device, self.weight = task, graphs, flips, device, weight
        self.level, self.target = task.level, task.target

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.task.name!r}, graphs={self.num_graphs})"

    @property
    def num_graphs(self) -> int:
        """Number of graphs B."""
        return int(self.graphs.numel())

    @functools.cached_property
    def data(self) -> Batch:
        """PyG's batch of the graphs in their order, without labels: ``x``, ``edge_index``, ``batch``, ``ptr`` and what else
        they have.
        """
        data = self.task.together(self.graphs, self.flips)
        return data if self.device is None else data.to(self.device)

    @functools.cached_property
    def index(self) -> Tensor:
        """[n] int64: rows that are learned from, of graphs all, of nodes those with a label."""
        return self._placed(self.task.rows(self.graphs))

    @functools.cached_property
    def y(self) -> Tensor:
        """What is true of these rows: [n] classes, or [n, T] labels or values with NaN where unknown."""
        return self._placed(self.task.truth(self.graphs))

    def to(self, device: Any) -> GraphBatch:
        """The batch on a device."""
        return GraphBatch(self.task, self.graphs, self.flips, torch.device(device), self.weight)

    def share(self, rank: int, size: int) -> GraphBatch:
        """The graphs of one of ``size`` processes, see :func:`graphkit.data.shard`; maybe none.

        Its weight is its part of everything that is known of the batch, so that weighted means add up to the joint mean.
        """
        start, stop = shard(self.num_graphs, rank, size)
        part = GraphBatch(self.task, self.graphs[start:stop], self.flips, self.device)
        known = _known(self.task.truth(self.graphs))
        part.weight = _known(self.task.truth(part.graphs)) / known if known else 0.0
        return part

    def _placed(self, tensor: Tensor) -> Tensor:
        return tensor if self.device is None else tensor.to(self.device)


def _known(y: Tensor) -> int:
    return int((~torch.isnan(y)).sum()) if y.is_floating_point() else y.numel()
