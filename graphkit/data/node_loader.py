"""Training batches of nodes, in an order that can be begun anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from graphkit.data.node_batch import NodeBatch
from graphkit.data.random_streams import permutation
from graphkit.errors import UserError

if TYPE_CHECKING:
    from graphkit.data.node_task import NodeTask

__all__ = ["NodeLoader"]


class NodeLoader:
    """A pass over the nodes of a split: all at once, or shuffled batches, on the whole graph or on sampled neighbours.

    The order depends on (seed, epoch), the neighbours on (seed, epoch, step): with ``start=s`` the loader gives exactly what
    an uninterrupted one gives from step s on.

    Args:
        task: whose nodes, labels and graph.
        split: which nodes.
        batch_size: nodes a batch; None: one batch of all, in the order of their ids.
        seed: seed of the run.
        epoch: number of the pass.
        start: first step.

    Raises:
        UserError: for sizes out of range, no nodes, or a start beyond the end.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphkit.data import NodeTask
        >>> data = Data(x=torch.zeros(4, 2), edge_index=torch.tensor([[0, 1], [1, 0]]), y=torch.tensor([0, 1, 0, 1]))
        >>> task = NodeTask("toy", data, train=torch.tensor([0, 1, 2]), valid=torch.tensor([3]), test=torch.tensor([]))
        >>> [batch.num_nodes for batch in NodeLoader(task, batch_size=2)]
        [2, 1]
    """

    def __init__(
        self,
        task: NodeTask,
        split: str = "train",
        *,
        batch_size: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
    ) -> None:
        for name, value, least in (("batch_size", 1 if batch_size is None else batch_size, 1), ("start", start, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UserError(f"{name} is {value!r}, expected a whole number from {least} upwards")
        self.task, self.nodes, self.batch_size = task, task.nodes_of(split), batch_size
        self.seed, self.epoch, self.start = seed, epoch, start
        if not self.nodes.numel():
            raise UserError(f"{task.name} has no nodes in {split}; choose a split that has some")
        self.stop = 1 if batch_size is None else -(-self.nodes.numel() // batch_size)
        if start > self.stop:
            raise UserError(f"start is {start}, but the pass has {self.stop} steps")

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[NodeBatch]:
        if self.batch_size is None:
            if self.start == 0:
                yield self._whole_graph(self.nodes)
            return
        order = permutation(self.nodes.numel(), seed=self.seed, epoch=self.epoch)
        for step in range(self.start, self.stop):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield self._whole_graph(self.nodes[chosen])

    def _whole_graph(self, nodes: Tensor) -> NodeBatch:
        return NodeBatch(self.task.graph(), nodes, self.task.y[nodes], self.task.placed)
