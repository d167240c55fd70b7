"""What models that classify nodes have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.models.base import Model

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.data import GraphBatch, NodeBatch

__all__ = ["NodeClassifier", "label_loss", "target_loss"]


class NodeClassifier(Model):
    """A model that gives every node of a graph a score for every class.

    A subclass defines ``forward(x [N, F], edge_index [2, E]) -> [N, C]`` as PyG's models do. One that computes less than the whole
    graph for some of its nodes overrides :meth:`scores_of`.

    Attributes:
        receptive_hops: how many hops away the features of a node can change the scores of another at most; None: not known.
        message_direction: ``"in"`` where messages follow the edges, ``"both"`` where they go either way; None: not known.
        receptive_halo: hops beyond, whose edges still count in degrees.
        global_coupling: whether the scores of a node need the whole graph, whatever their hops.

    Example:
        >>> from torch_geometric.data import Data
        >>> from graphkit.models import MLP
        >>> data = Data(x=torch.zeros(5, 3), edge_index=torch.tensor([[0, 1], [1, 2]]))
        >>> MLP(3, 8, 2).score_nodes(data, torch.tensor([0, 4])).shape
        torch.Size([2, 2])
    """

    sizes: tuple[str, ...] = ("in_channels", "out_channels")
    receptive_hops: int | None = None
    message_direction: str | None = None
    receptive_halo: int = 1
    global_coupling: bool = False

    @classmethod
    def for_task(cls, task: Any, **options: Any) -> Model:
        """A model of the sizes of the task's data.

        Raises:
            UserError: for a task on whole graphs, where the model knows nodes only.
        """
        if getattr(task, "level", "node") == "graph" and "level" not in cls.sizes:
            raise UserError(
                f"{cls.__name__} classifies nodes, and {task.name} is about whole graphs; choose another, such as GCN"
            )
        return super().for_task(task, **options)

    def scores_of(self, data: Data, nodes: Tensor) -> Tensor:
        """Scores [n, C] of some nodes [n] of a graph, with gradients."""
        return self(data.x, data.edge_index)[nodes]

    def loss(self, batch: NodeBatch | GraphBatch) -> Tensor:
        """Mean loss over the nodes of a batch, of one graph or of several, see :func:`target_loss`."""
        scores, weight = self.scores_of(batch.data, batch.index), getattr(batch, "class_weight", None)
        return target_loss(scores, batch.y, getattr(batch, "target", None), weight)

    def score_nodes(self, data: Data, nodes: Tensor) -> Tensor:
        """Scores [n, C] of some nodes [n], as :meth:`graphkit.data.NodeTask.evaluate` asks for them."""
        return self.scores_of(data, nodes)

    def forward(self, *inputs: Any) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} defines no forward")


def label_loss(scores: Tensor, y: Tensor, class_weight: Tensor | None = None) -> Tensor:
    r"""Cross-entropy of classes, or of each of several labels a node.

    .. math:: -\frac1n \sum_i \log \mathrm{softmax}(s_i)_{y_i}, \qquad
        \frac1{|K|} \sum_{(i, t) \in K} \log(1 + e^{(1 - 2 y_{it}) s_{it}}),\ K \text{ the known labels}

    Args:
        scores: [n, C].
        y: [n] int64 classes, or [n, C] labels of 0, 1 and NaN, which are left out.
        class_weight: [C], what a row of each class counts in the mean; None: all alike.

    Example:
        >>> label_loss(torch.zeros(2, 4), torch.tensor([0, 3]))
        tensor(1.3863)
    """
    if y.dim() == 1:
        return torch.nn.functional.cross_entropy(scores, y, class_weight)
    known = ~torch.isnan(y)
    return torch.nn.functional.binary_cross_entropy_with_logits(scores[known], y[known])


def target_loss(scores: Tensor, y: Tensor, target: str | None = None, class_weight: Tensor | None = None) -> Tensor:
    r"""The loss of what a task asks for: :func:`label_loss`, or of values the mean absolute error
    :math:`\frac1{|K|} \sum_{(i, t) \in K} |s_{it} - y_{it}|` over those that are known.

    Args:
        scores: [n, C].
        y: as in :func:`label_loss`, or [n, C] values, NaN where unknown.
        target: ``"values"`` says that y are such.
        class_weight: as in :func:`label_loss`.

    Example:
        >>> target_loss(torch.zeros(1, 2), torch.tensor([[3.0, torch.nan]]), "values")
        tensor(3.)
    """
    if target != "values":
        return label_loss(scores, y, class_weight)
    known = ~torch.isnan(y)
    return (scores[known] - y[known]).abs().mean()
