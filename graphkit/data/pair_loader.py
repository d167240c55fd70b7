"""Training batches of an undirected graph: shuffled edges with sampled negatives."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from graphkit.data.message_graph import MessageGraph
from graphkit.data.non_edges import NonEdges
from graphkit.data.pairs import PairBatch
from graphkit.data.random_streams import permutation, uniform_below
from graphkit.errors import UserError

__all__ = ["PairLoader"]


class PairLoader:
    """An epoch of batches of edges and non-edges that can be begun anywhere.

    The order depends on (seed, epoch), the negatives of a step on (seed, epoch, step): with ``start=s`` the loader
    gives exactly what an uninterrupted one gives from step s on. Iterating again gives the same batches again.

    Args:
        graph: the message graph handed out with every batch.
        edges: [2, n] int64 edges to train on; each is a positive as often as it stands here.
        non_edges: what negatives are drawn from, uniformly and with replacement, anew for each batch.
        batch_size: edges a batch; the last one of a pass may be smaller.
        num_negatives: negatives an edge.
        drop_last: leave out the last batch where it is smaller, but never the only one.
        keep_source: negatives keep the first node of their edge and draw the other one from all nodes but that.
        seed: seed of the run.
        epoch: number of the pass.
        start: first step.
        steps: most steps of a pass (from step 0); None: all edges once.

    Raises:
        UserError: for sizes below 1, no edges, or a start beyond the end.

    Example:
        >>> edges = torch.tensor([[0, 1], [1, 2]])
        >>> graph, gaps = MessageGraph.from_edges(edges, 4), NonEdges.of(edges, 4)
        >>> loader = PairLoader(graph, edges, gaps, batch_size=2, num_negatives=3)
        >>> len(loader), next(iter(loader)).negative.shape
        (1, torch.Size([2, 6]))
    """

    def __init__(
        self,
        graph: MessageGraph,
        edges: Tensor,
        non_edges: NonEdges,
        *,
        batch_size: int = 64,
        num_negatives: int = 1,
        drop_last: bool = False,
        keep_source: bool = False,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
        steps: int | None = None,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("num_negatives", num_negatives, 1),
            ("start", start, 0),
            ("steps", 1 if steps is None else steps, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UserError(f"{name} is {value!r}, expected a whole number from {least} upwards")
        if edges.size(1) == 0:
            raise UserError("there are no edges to load; choose a split that has some")
        self.graph, self.edges, self.non_edges = graph, edges, non_edges
        self.batch_size, self.num_negatives = batch_size, num_negatives
        self.seed, self.epoch, self.start, self.keep_source = seed, epoch, start, keep_source
        whole = -(-edges.size(1) // batch_size)
        if drop_last and edges.size(1) % batch_size and whole > 1:
            whole -= 1
        self.stop = whole if steps is None else min(whole, steps)
        if start > self.stop:
            raise UserError(f"start is {start}, but the pass has {self.stop} steps of {batch_size} edges")

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[PairBatch]:
        order = permutation(self.edges.size(1), seed=self.seed, epoch=self.epoch)
        for step in range(self.start, self.stop):
            positive = self.edges[:, order[step * self.batch_size : (step + 1) * self.batch_size]]
            yield PairBatch(self.graph, positive, self._negative(positive, step))

    def _negative(self, positive: Tensor, step: int) -> Tensor:
        count = positive.size(1) * self.num_negatives
        if not self.keep_source:
            return self.non_edges.draw(count, seed=self.seed, epoch=self.epoch, step=step)
        source = positive[0].repeat_interleave(self.num_negatives)
        others = torch.tensor([self.non_edges.num_nodes - 1])
        target = uniform_below(others, count, seed=self.seed, epoch=self.epoch, step=step)[0]
        return torch.stack([source, target + (target >= source)])
