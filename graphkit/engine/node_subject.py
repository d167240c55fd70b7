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
from graphkit.ops import hop_balls

__all__ = ["NodeSubject"]

_TRIED = 8  # nodes that tell how many others one depends on
_MOST = 1000
_WORK = 1 << 25  # places of nodes and edges, times classes, that are gone through in all: some ten seconds


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
        code: Python that loads the task; empty where it is not known.

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
    code: str = ""

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
        task = self.task
        if self.model is None or task.x is None:
            return None
        few = influence(self.model, task, self.hops, min(_TRIED, task.num_nodes), seed=self.seed)
        # by sizes and not by the clock: the same run gives the same page
        affordable = _WORK // (self._places(few) * task.out_channels)
        count = min(_MOST, task.num_nodes, max(affordable, len(few.nodes)))
        return influence(self.model, task, self.hops, count, seed=self.seed)

    def _places(self, report: InfluenceReport) -> int:
        """Nodes and edges that an answer for one node goes through."""
        edges = self.task.edge_index
        whole = self.task.num_nodes + edges.shape[1]
        if report.receptive_hops is None:
            return whole
        balls = hop_balls(
            edges, report.nodes, num_nodes=self.task.num_nodes, hops=report.receptive_hops + 1, direction="both"
        )
        return max(1, whole * len(balls.nodes) // (self.task.num_nodes * len(report.nodes)))
