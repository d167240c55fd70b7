"""What ``graphkit analyze`` looks at where labels of nodes are to be predicted: a graph, its splits and maybe a model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from graphkit.analysis import AmudReport, Homophily, InfluenceReport, amud, homophily, influence
from graphkit.analysis.depth_probe import DepthProbe, depth_probe
from graphkit.data import NodeTask
from graphkit.errors import UserError

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
        minutes: for trying the recommended models on validation; 0: they are not tried.

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
    minutes: float = 0.0

    @cached_property
    def homophily(self) -> Homophily | None:
        """Homophily of the training labels, or None with several labels a node; made once."""
        return None if self.task.multi_label else homophily(self.task, mask=self.task.mask("train"))

    @cached_property
    def amud(self) -> AmudReport | None:
        """What the directions say, or None with several labels a node; made once."""
        return None if self.task.multi_label else amud(self.task, seed=self.seed)

    @cached_property
    def depth(self) -> DepthProbe | UserError | None:
        """Accuracy by depth, why it was not probed, or None where it cannot be; made once."""
        if self.task.multi_label or self.task.x is None:
            return None
        try:
            return depth_probe(self.task, seed=self.seed)
        except UserError as error:
            return error

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
