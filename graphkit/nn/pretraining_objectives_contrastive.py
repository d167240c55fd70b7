"""Objectives that tell the two views of a graph from those of the others of its batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.data.source_graph import SourceBatch
from graphkit.errors import UserError, nearest
from graphkit.nn.expert_linear import ExpertLinear
from graphkit.nn.pretraining_objective import Draw, Encode, PretrainingObjective, graph_means, positions
from graphkit.ops import SimpleGraph

__all__ = ["GraphCL", "SimGRACE", "normalized_cross_entropy"]

_VIEWS = ("drop_node", "perturb_edge", "mask_attribute")


def normalized_cross_entropy(left: Tensor, right: Tensor, temperature: float = 0.1) -> Tensor:
    r"""NT-Xent between two views, of each expert.

    .. math:: - \frac1G \sum_g \log \frac{\exp(\cos(u_g, v_g) / T)}{\sum_{g'} \exp(\cos(u_g, v_{g'}) / T)}

    and the same with the views exchanged, halved.

    Args:
        left, right: ``[M, G, D]``, the views of G graphs.
        temperature: T.

    Returns:
        ``[M]``; log G for views that tell nothing.

    Example:
        >>> round(normalized_cross_entropy(torch.ones(1, 4, 2), torch.ones(1, 4, 2)).item(), 4)
        1.3863
    """
    left, right = (F.normalize(view, dim=2, eps=1e-6) for view in (left, right))
    alike = torch.bmm(left, right.transpose(1, 2)) / temperature
    forward, backward = alike.log_softmax(2), alike.log_softmax(1)
    both = (forward.diagonal(dim1=1, dim2=2) + backward.diagonal(dim1=1, dim2=2)) / 2
    return -both.mean(1)


class _Contrastive(PretrainingObjective):
    least_graphs = 2

    def __init__(self, *sizes: Any, temperature: float = 0.1, **more: Any) -> None:
        super().__init__(*sizes, **more)
        if not temperature > 0:
            raise UserError(f"temperature is {temperature!r}, expected a number above 0")
        self.temperature = temperature
        width = self.hidden_channels
        self.into, self.out = (ExpertLinear(self.num_experts, width, width) for _ in range(2))

    def projected(self, states: Tensor, experts: Tensor | None) -> Tensor:
        """Graphs' means ``[M', G, H]`` through the two layers of each expert's projector."""
        return self.out(self.into(states, experts).relu(), experts)


class GraphCL(_Contrastive):
    """Two views of each graph, each by one of: nodes dropped, edges replaced, attributes masked; NT-Xent.

    Args:
        ratio: share of nodes or edges that a view changes.
        views: the kinds to draw from.
        temperature: of NT-Xent.

    Raises:
        UserError: for options out of range, or a batch of one graph.

    Source:
        You et al., Graph Contrastive Learning with Augmentations (NeurIPS 2020).

    Example:
        >>> GraphCL(2, 8, 16, ratio=0.1).least_graphs
        2
    """

    def __init__(
        self, *sizes: Any, ratio: float = 0.2, views: Any = _VIEWS, temperature: float = 0.1, **more: Any
    ) -> None:
        super().__init__(*sizes, temperature=temperature, **more)
        if not 0 < ratio < 1:
            raise UserError(f"ratio is {ratio!r}, expected a share between 0 and 1")
        for view in views:
            if view not in _VIEWS:
                raise UserError(nearest(str(view), _VIEWS, "view"))
        self.ratio, self.views = ratio, tuple(views)

    def draw(self, batch: SourceBatch, generator: torch.Generator) -> Draw:
        self.check(batch)
        return {"views": [self._view(batch, generator) for _ in range(2)]}

    def losses(self, encode: Encode, batch: SourceBatch, draw: Draw, experts: Tensor | None = None) -> Tensor:
        views = []
        for view in draw["views"]:
            x = batch.x if view["masked"] is None else batch.x * ~view["masked"][:, None]
            states = encode(x, graph=view["graph"])
            kept = view["kept"]
            views.append(self.projected(graph_means(states, batch.graph_id, batch.num_graphs, kept), experts))
        return normalized_cross_entropy(views[0], views[1], self.temperature)

    def _view(self, batch: SourceBatch, generator: torch.Generator) -> Draw:
        kind = self.views[int(torch.randint(len(self.views), (), generator=generator, device=generator.device))]
        nodes, device = batch.num_nodes, batch.x.device
        touched = torch.rand(nodes, generator=generator, device=device) < self.ratio
        if kind == "mask_attribute":
            return {"graph": batch.graph, "masked": touched, "kept": None}
        row, col = batch.graph.row(), batch.graph.col.long()
        upper = row < col
        edges = torch.stack([row[upper], col[upper]])
        if kind == "drop_node":
            left = edges[:, ~(touched[edges[0]] | touched[edges[1]])]
            # a graph that lost all its nodes keeps them
            rest = torch.zeros(batch.num_graphs, device=device).index_add(0, batch.graph_id, (~touched).float())
            kept = ~touched | (rest == 0)[batch.graph_id]
            return {"graph": SimpleGraph(left, num_nodes=nodes), "masked": ~kept, "kept": kept}
        count = int(self.ratio * edges.size(1))
        gone = torch.zeros(edges.size(1), dtype=torch.bool, device=device)
        gone[positions(edges.size(1), count, generator)] = True
        size = torch.bincount(batch.graph_id, minlength=batch.num_graphs)
        begin = size.cumsum(0) - size
        own = batch.graph_id[edges[0, gone]]
        new = begin[own] + (torch.rand(2, count, generator=generator, device=device) * size[own]).long()
        graph = SimpleGraph(torch.cat([edges[:, ~gone], new], 1), num_nodes=nodes)
        return {"graph": graph, "masked": None, "kept": None}


class SimGRACE(_Contrastive):
    """The second view is the expert itself with noise on its weights; no augmentation of the graph. NT-Xent.

    Prompt and projector stay as they are; the projector is trained. The noisy view gets no gradient.

    Args:
        noise: standard deviation, as a share of that of each tensor of an expert.
        temperature: of NT-Xent.

    Raises:
        UserError: for options out of range, or a batch of one graph.

    Source:
        Xia et al., SimGRACE: A Simple Framework for Graph Contrastive Learning without Data Augmentation (WWW 2022).

    Example:
        >>> SimGRACE(2, 8, 16).noise
        0.1
    """

    def __init__(self, *sizes: Any, noise: float = 0.1, temperature: float = 0.1, **more: Any) -> None:
        super().__init__(*sizes, temperature=temperature, **more)
        if not noise > 0:
            raise UserError(f"noise is {noise!r}, expected a number above 0")
        self.noise = noise

    def draw(self, batch: SourceBatch, generator: torch.Generator) -> Draw:
        self.check(batch)
        return {}

    def losses(self, encode: Encode, batch: SourceBatch, draw: Draw, experts: Tensor | None = None) -> Tensor:
        own, noisy = encode(batch.x), encode(batch.x, noise=self.noise).detach()
        left, right = (
            self.projected(graph_means(states, batch.graph_id, batch.num_graphs), experts) for states in (own, noisy)
        )
        return normalized_cross_entropy(left, right, self.temperature)
