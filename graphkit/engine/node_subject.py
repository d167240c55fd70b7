"""What ``graphkit analyze`` looks at where labels of nodes are to be predicted: a graph, its splits and maybe a model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from graphkit.analysis import InfluenceReport, influence
from graphkit.data import NodeTask

__all__ = ["NodeSubject"]

_TRIED = 8  # nodes that tell how long one takes
_MOST = 1000
_SECONDS = 20.0  # for all nodes together, about


@dataclass(frozen=True)
class NodeSubject:
    """A node classification task and, where a run was named, its model.

    Attributes:
        task: graph, labels and split.
        model: trained, or None.
        model_name: how the report calls it.
        hops: up to which influence is measured.
        seed: of what is drawn at random.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> data = Data(x=torch.eye(3), edge_index=torch.tensor([[0], [1]]), y=torch.tensor([0, 1, 0]))
        >>> task = NodeTask("toy", data, train=torch.tensor([0]), valid=torch.tensor([1]), test=torch.tensor([2]))
        >>> NodeSubject(task).positions is None
        True
    """

    task: NodeTask
    model: Any = None
    model_name: str = ""
    hops: int = 16
    seed: int = 0

    @property
    def positions(self) -> Tensor | None:
        """Where the nodes lie, ``[N, 2]``, if the data say so in ``pos``."""
        pos = getattr(self.task.graph(), "pos", None)
        if not isinstance(pos, Tensor) or pos.dim() != 2 or pos.shape[1] < 2 or len(pos) != self.task.num_nodes:
            return None
        return pos[:, :2]

    @cached_property
    def influence(self) -> InfluenceReport | None:
        """Influence by hop of the model at drawn nodes, as many as take some seconds; made once."""
        if self.model is None or self.task.x is None:
            return None
        tried = influence(self.model, self.task, self.hops, min(_TRIED, self.task.num_nodes), seed=self.seed)
        affordable = int(_SECONDS * len(tried.nodes) / max(tried.seconds, 1e-3))
        count = min(_MOST, self.task.num_nodes, max(affordable, len(tried.nodes)))
        return influence(self.model, self.task, self.hops, count, seed=self.seed)
