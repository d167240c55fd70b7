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

__all__ = ["GraphBatch", "class_weights"]


class GraphBatch:
    """Graphs to learn from, put together when ``data`` is first asked for.

    Args:
        task: whose graphs.
        graphs: [B] int64, their numbers.
        flips: (seed, epoch) of the signs of eigenvectors, or None for those that are stored.
        device: where ``data``, ``index`` and ``y`` are.
        weight: what the mean over these graphs counts in the mean over the joint batch.
        class_weight: [C], what a row of each class counts in that mean, see :func:`class_weights`; None: all alike.

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
        class_weight: Tensor | None = None,
    ) -> None:
        self.task, self.graphs, self.flips, self.device, self.weight = task, graphs, flips, device, weight
        self.class_weight = class_weight if class_weight is None or device is None else class_weight.to(device)
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
        return GraphBatch(self.task, self.graphs, self.flips, torch.device(device), self.weight, self.class_weight)

    def share(self, rank: int, size: int) -> GraphBatch:
        """The graphs of one of ``size`` processes, see :func:`graphkit.data.shard`; maybe none.

        Its weight is its part of everything that is known of the batch, so that weighted means add up to the joint mean.
        """
        start, stop = shard(self.num_graphs, rank, size)
        part = GraphBatch(self.task, self.graphs[start:stop], self.flips, self.device, 1.0, self.class_weight)
        known = self._counted(self.graphs)
        part.weight = self._counted(part.graphs) / known if known else 0.0
        return part

    def _counted(self, graphs: Tensor) -> float:
        """How many known entries some graphs have; of weighted classes the sum of their weights."""
        y = self.task.truth(graphs)
        if y.is_floating_point():
            return float((~torch.isnan(y)).sum())
        return float(y.numel() if self.class_weight is None else self.class_weight.cpu()[y].sum())

    def _placed(self, tensor: Tensor) -> Tensor:
        return tensor if self.device is None else tensor.to(self.device)


def class_weights(y: Tensor, classes: int) -> Tensor:
    r"""What a row of each class counts where rare classes are to count more, :math:`1 - n_c / n`; 0 for classes without a row.

    Args:
        y: [n] int64 classes.
        classes: C.

    Returns:
        [C] float32; 1 throughout where there is one class only.

    Source:
        Dwivedi et al.: Benchmarking Graph Neural Networks (JMLR 2023), the weighted loss of PATTERN, batch by batch.

    Example:
        >>> class_weights(torch.tensor([0, 0, 0, 2]), 3).tolist()
        [0.25, 0.0, 0.75]
    """
    counts = torch.bincount(y, minlength=classes).float()
    if int((counts > 0).sum()) < 2:
        return torch.ones(classes)
    return torch.where(counts > 0, 1 - counts / counts.sum(), 0.0)
