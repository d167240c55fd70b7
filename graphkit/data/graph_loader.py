"""Training batches of graphs, in an order that can be begun anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from graphkit.data.graph_batch import GraphBatch, class_weights
from graphkit.data.random_streams import permutation
from graphkit.errors import UserError

if TYPE_CHECKING:
    from graphkit.data.graph_task import GraphTask

__all__ = ["GraphLoader"]


class GraphLoader:
    """A pass over the graphs of a split in shuffled batches.

    The order depends on (seed, epoch), and so do the signs of eigenvectors, graph by graph: with ``start=s`` the loader
    gives exactly what an uninterrupted one gives from step s on.

    Args:
        task: whose graphs.
        split: which of them.
        batch_size: graphs a batch; None: one batch of all, in the order of their numbers.
        seed: seed of the run.
        epoch: number of the pass.
        start: first step.
        drop_last: whether a last batch of fewer graphs is left out, where there are full ones.
        balanced: whether rare classes of a batch count more in its loss, see :func:`graphkit.data.graph_batch.class_weights`.

    Raises:
        UserError: for sizes out of range, no graphs, or a start beyond the end.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphkit.data import GraphTask
        >>> edge = torch.tensor([[0, 1], [1, 0]])
        >>> graphs = [Data(x=torch.ones(2, 1), edge_index=edge, y=torch.tensor([k % 2])) for k in range(5)]
        >>> task = GraphTask("toy", graphs, train=torch.arange(3), valid=torch.tensor([3]), test=torch.tensor([4]))
        >>> [batch.num_graphs for batch in GraphLoader(task, batch_size=2)]
        [2, 1]
    """

    def __init__(
        self,
        task: GraphTask,
        split: str = "train",
        *,
        batch_size: int | None = 32,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
        drop_last: bool = False,
        balanced: bool = False,
    ) -> None:
        for name, value, least in (("batch_size", 1 if batch_size is None else batch_size, 1), ("start", start, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UserError(f"{name} is {value!r}, expected a whole number from {least} upwards")
        self.task, self.graphs, self.seed, self.epoch, self.start = task, task.graphs_of(split), seed, epoch, start
        count = self.graphs.numel()
        if not count:
            raise UserError(f"{task.name} has no graphs in {split}; choose a split that has some")
        self.batch_size = count if batch_size is None else batch_size
        if balanced and task.target != "classes":
            raise UserError(f"balanced is true, but {task.name} has {task.target} and no classes; leave it out")
        self.balanced = balanced
        self.shuffled = batch_size is not None
        full = count // self.batch_size
        self.stop = full if drop_last and full else -(-count // self.batch_size)
        if start > self.stop:
            raise UserError(f"start is {start}, but the pass has {self.stop} steps")

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[GraphBatch]:
        order = self.graphs
        if self.shuffled:
            order = order[permutation(order.numel(), seed=self.seed, epoch=self.epoch)]
        for step in range(self.start, self.stop):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            weights = class_weights(self.task.truth(chosen), self.task.out_channels) if self.balanced else None
            yield GraphBatch(self.task, chosen, (self.seed, self.epoch), class_weight=weights)
