"""What tuning sees of a task: the training labels, and the states that they need."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from graphkit.data import LinkTask, NodeTask
from graphkit.data.non_edges import NonEdges
from graphkit.data.random_streams import permutation
from graphkit.errors import UserError
from graphkit.models import GMoPE
from graphkit.nn.expert_bank import PropagatedFeatures
from graphkit.nn.pretraining_objective import graph_means
from graphkit.ops import SimpleGraph

__all__ = ["TuningProblem", "tuning_problem"]

_SUPERVISION = 7  # number of the draw that divides train edges


@dataclasses.dataclass(eq=False)
class TuningProblem:
    """Training instances of a task on a fixed graph.

    Args:
        features: what the first layer reads.
        nodes: int64 ``[n]``, nodes whose states are needed.
        y: ``[B]`` or ``[B, C]``, what is learned of the instances; of links those of positives come first.
        batch_size: instances a step; None: all.
        seed: of batches and negatives.
    """

    features: PropagatedFeatures
    nodes: Tensor
    y: Tensor
    batch_size: int | None
    seed: int

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(which instances, their labels) of an epoch."""
        count = len(self.y)
        if self.batch_size is None:
            yield torch.arange(count), self.y
            return
        for part in permutation(count, seed=self.seed, epoch=epoch).split(self.batch_size):
            yield part, self.y[part]

    def pick(self, states: Tensor, chosen: Tensor) -> Tensor:
        """States ``[M, B, H]`` of instances from those of the needed nodes."""
        return states[:, chosen]


class _Links(TuningProblem):
    """Pairs; the edges that are asked for are not among the messages, and negatives are drawn anew in each epoch."""

    def __init__(self, features: PropagatedFeatures, positive: Tensor, gaps: NonEdges, **more: Any) -> None:
        everything = torch.arange(features.x.size(0), device=features.x.device)
        super().__init__(features, everything, torch.ones(positive.size(1)), **more)
        self.positive, self.gaps = positive, gaps

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        count = self.positive.size(1)
        order = permutation(count, seed=self.seed, epoch=epoch)
        for step, part in enumerate(order.split(self.batch_size or count)):
            negative = self.gaps.draw(len(part), seed=self.seed, epoch=epoch, step=step)
            pairs = torch.cat([self.positive[:, part], negative], 1).to(self.features.x.device)
            yield pairs, torch.cat([torch.ones(len(part)), torch.zeros(len(part))]).to(pairs.device)

    def pick(self, states: Tensor, chosen: Tensor) -> Tensor:
        return states[:, chosen[0]] * states[:, chosen[1]]


class _Graphs(TuningProblem):
    def __init__(self, features: PropagatedFeatures, data: Any, y: Tensor, **more: Any) -> None:
        super().__init__(features, torch.arange(features.x.size(0), device=features.x.device), y, **more)
        self.graph_id, self.count = data.batch, int(data.num_graphs)

    def pick(self, states: Tensor, chosen: Tensor) -> Tensor:
        return graph_means(states, self.graph_id, self.count)[:, chosen]


def tuning_problem(
    model: GMoPE, task: Any, *, supervision: float = 0.2, batch_size: int | None = None, seed: int = 0
) -> TuningProblem:
    """The training part of a task, for a model.

    Args:
        model: reads the features.
        task: a NodeTask, a LinkTask, or a set of graphs.
        supervision: of a link task, the share of train edges that are learned from and carry no messages meanwhile.
        batch_size: instances a step; None: all.
        seed: of batches, negatives and the division of train edges.

    Raises:
        UserError: for an empty training part, a share out of range, or another kind of task.
    """
    more: dict[str, Any] = {"batch_size": batch_size, "seed": seed}
    device = model.bank.bias.device
    if isinstance(task, NodeTask):
        nodes = task.nodes_of("train")
        if not nodes.numel():
            raise UserError(f"{task.name} has no nodes in train to learn from")
        return TuningProblem(
            model.features(task.placed(device)), nodes.to(device), task.y[nodes].to(device), **more
        )  # fmt: skip
    if isinstance(task, LinkTask):
        if not 0 < supervision < 1:
            raise UserError(f"supervision is {supervision!r}, expected a share between 0 and 1")
        count = task.train.size(1)
        asked = max(1, int(supervision * count))
        if asked >= count:
            raise UserError(
                f"{task.name} has {count} train edges, too few to learn from some and let others carry messages"
            )
        order = permutation(count, seed=seed, epoch=_SUPERVISION)
        positive, messages = task.train[:, order[:asked]], task.train[:, order[asked:]]
        graph = SimpleGraph(messages.to(device), num_nodes=task.num_nodes)
        x = model.features(task.graph("train").to(device)).x
        with torch.no_grad():
            features = model.bank.propagated(x, graph)
        return _Links(features, positive, task.non_edges("train"), **more)
    if hasattr(task, "together") and getattr(task, "level", None) == "graph":
        graphs = task.graphs_of("train")
        data = task.together(graphs).to(device)
        return _Graphs(model.features(data), data, task.truth(graphs).to(device), **more)
    raise UserError(
        f"{type(task).__name__} is no task that a mixture is tuned on; pass a task of nodes, links or graphs"
    )
