"""What models have in common that answer for whole graphs as well as for nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from graphkit.errors import UserError
from graphkit.models.node_classifier import NodeClassifier, target_loss

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["GraphClassifier", "Level"]

Level = Literal["graph", "node"]


class GraphClassifier(NodeClassifier):
    """A model of graphs, or of their nodes: which of the two comes from the task, in ``level``.

    A subclass takes ``level`` in its constructor, keeps it, and defines :meth:`scores`. So the same experiment file serves a
    node task, a task on the nodes of many graphs and one on whole graphs.

    Example:
        >>> import torch
        >>> from graphkit.data import GraphTask
        >>> from graphkit.models import GCN
        >>> from torch_geometric.data import Data
        >>> edge = torch.tensor([[0, 1], [1, 0]])
        >>> graphs = [Data(x=torch.ones(2, 3), edge_index=edge, y=torch.tensor([k % 2])) for k in range(3)]
        >>> task = GraphTask("toy", graphs, train=[0], valid=[1], test=[2])
        >>> model = GCN.for_task(task, hidden_channels=8)
        >>> model.score_graphs(task.together(torch.tensor([0, 1]))).shape
        torch.Size([2, 2])
    """

    sizes: tuple[str, ...] = ("in_channels", "out_channels", "level")
    level: Level = "node"

    def scores(self, data: Data) -> Tensor:
        """Scores of a graph or a batch of graphs: [B, C] of level graph, [N, C] of level node."""
        raise NotImplementedError(f"{type(self).__name__} defines no scores")

    def scores_of(self, data: Data, nodes: Tensor) -> Tensor:
        """Scores [n, C] of some nodes [n], with gradients."""
        return self.scores(data)[nodes]

    def loss(self, batch: Any) -> Tensor:
        """Mean loss over the graphs, or the nodes, of a batch, see :func:`target_loss`."""
        if getattr(batch, "level", "node") != self.level:
            raise UserError(
                f"this {type(self).__name__} is about {self.level}s and the batch about {batch.level}s; make it with for_task"
            )
        if self.level == "node":
            return super().loss(batch)
        return target_loss(self.scores(batch.data), batch.y, batch.target, batch.class_weight)

    def score_graphs(self, data: Data) -> Tensor:
        """Scores [B, C] of a batch of graphs, as :meth:`graphkit.data.GraphTask.evaluate` asks for them."""
        return self.scores(data)


def graphs_in(data: Data) -> dict[str, Any]:
    """Which graph each node belongs to, and how many there are, as a readout takes them."""
    batch = getattr(data, "batch", None)
    return {"batch": batch, "num_graphs": None if batch is None else data.num_graphs}


def check_level(level: str) -> None:
    """Refuse what is no level.

    Raises:
        UserError: for anything but ``"graph"`` and ``"node"``.
    """
    if level not in ("graph", "node"):
        raise UserError(f"level is {level!r}, expected 'graph' or 'node'")
