"""Objectives of pre-training by name: edge prediction and Deep Graph Infomax here, views and reconstruction beside."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.data.source_graph import SourceBatch
from graphkit.errors import UserError, nearest
from graphkit.nn.expert_linear import chosen_rows, fill_weight
from graphkit.nn.pretraining_objective import Draw, Encode, PretrainingObjective, graph_means, positions
from graphkit.nn.pretraining_objectives_contrastive import GraphCL, SimGRACE
from graphkit.nn.pretraining_objectives_reconstruction import FeatureReconstruction, MaskedAttributes

__all__ = ["OBJECTIVES", "DeepGraphInfomax", "EdgePrediction", "pretraining_objective"]

_TRIES = 8


class EdgePrediction(PretrainingObjective):
    r"""Tell edges from pairs without one by the inner product of states.

    .. math:: \tfrac12 \left( \overline{\log(1 + e^{-z_u \cdot z_v})} + \overline{\log(1 + e^{z_u \cdot z_w})} \right)

    The edges that are asked for are hidden from message passing. A negative keeps one end of its edge and draws the other from the
    same graph; none is an edge.

    Args:
        positives: edges of a batch, at most half of those that there are.

    Raises:
        UserError: for a batch without edges.

    Example:
        >>> pretraining_objective("edge_pred", 2, 8, 16, positives=64)
        EdgePrediction()
    """

    def __init__(self, *sizes: Any, positives: int = 1024, **more: Any) -> None:
        super().__init__(*sizes, **more)
        if isinstance(positives, bool) or not isinstance(positives, int) or positives < 1:
            raise UserError(f"positives is {positives!r}, expected a whole number from 1")
        self.positives = positives

    def draw(self, batch: SourceBatch, generator: torch.Generator) -> Draw:
        graph, device = batch.graph, batch.x.device
        if graph.num_edges == 0:
            raise UserError(f"{batch.source} has no edges to predict; leave it out, or take another objective")
        row, col = graph.row(), graph.col.long()
        upper = row < col
        edges = torch.stack([row[upper], col[upper]])
        count = min(self.positives, max(1, graph.num_edges // 2))
        chosen = edges[:, positions(graph.num_edges, count, generator)]
        turned = torch.rand(count, generator=generator, device=device) < 0.5
        positive = torch.where(turned, chosen.flip(0), chosen)
        size = torch.bincount(batch.graph_id, minlength=batch.num_graphs)
        begin = size.cumsum(0) - size
        own = batch.graph_id[positive[0]]
        other = positive[0].clone()
        for _ in range(_TRIES):
            drawn = begin[own] + (torch.rand(count, generator=generator, device=device) * size[own]).long()
            again = (other == positive[0]) | (graph.edge_ids(torch.stack([positive[0], other])) >= 0)
            other = torch.where(again, drawn, other)
        bad = (other == positive[0]) | (graph.edge_ids(torch.stack([positive[0], other])) >= 0)
        negative = torch.stack([positive[0], other])[:, ~bad]
        return {"positive": positive, "negative": negative, "removed": graph.removed_by(positive)}

    def losses(self, encode: Encode, batch: SourceBatch, draw: Draw, experts: Tensor | None = None) -> Tensor:
        states = encode(batch.x, removed=draw["removed"])
        yes = F.softplus(-_products(states, draw["positive"])).mean(1)
        if draw["negative"].size(1) == 0:
            return yes
        return (yes + F.softplus(_products(states, draw["negative"])).mean(1)) / 2


class DeepGraphInfomax(PretrainingObjective):
    r"""Tell nodes of a graph from nodes with another one's features, by agreement with a summary of the graph.

    .. math:: s_g = \sigma(\overline{z_v}), \qquad D(z, s) = z^\top W s, \qquad
        \tfrac12 \left( \overline{\log(1 + e^{-D(z_v, s_g)})} + \overline{\log(1 + e^{D(z'_v, s_g)})} \right)

    Each graph of a batch has a summary of its own, and W is trained as well as the expert.

    Source:
        Velickovic et al., Deep Graph Infomax (ICLR 2019).

    Example:
        >>> pretraining_objective("dgi", 2, 8, 16).weight.shape
        torch.Size([2, 16, 16])
    """

    def __init__(self, *sizes: Any, **more: Any) -> None:
        super().__init__(*sizes, **more)
        self.weight = nn.Parameter(torch.empty(self.num_experts, self.hidden_channels, self.hidden_channels))
        fill_weight(self.weight.data, self.hidden_channels, self.hidden_channels)

    def draw(self, batch: SourceBatch, generator: torch.Generator) -> Draw:
        return {"order": positions(batch.num_nodes, batch.num_nodes, generator)}

    def losses(self, encode: Encode, batch: SourceBatch, draw: Draw, experts: Tensor | None = None) -> Tensor:
        states, corrupt = encode(batch.x), encode(batch.x[draw["order"]])
        summary = graph_means(states, batch.graph_id, batch.num_graphs).sigmoid()
        asked = torch.bmm(summary, chosen_rows(self.weight, experts).transpose(1, 2))[:, batch.graph_id]
        yes, no = (states * asked).sum(2), (corrupt * asked).sum(2)
        return (F.softplus(-yes).mean(1) + F.softplus(no).mean(1)) / 2


def _products(states: Tensor, pairs: Tensor) -> Tensor:
    return (states[:, pairs[0]] * states[:, pairs[1]]).sum(2)


#: objectives by name
OBJECTIVES: dict[str, type[PretrainingObjective]] = {
    "edge_pred": EdgePrediction, "dgi": DeepGraphInfomax, "graphcl": GraphCL, "simgrace": SimGRACE,
    "mask_attr": MaskedAttributes, "feat_rec": FeatureReconstruction,
}  # fmt: skip


def pretraining_objective(
    name: str, num_experts: int, in_channels: int, hidden_channels: int, *, kind: str = "gcn", **options: Any
) -> PretrainingObjective:
    """An objective by name.

    Args:
        name: ``"edge_pred"``, ``"dgi"``, ``"graphcl"``, ``"simgrace"``, ``"mask_attr"`` or ``"feat_rec"``.
        num_experts: M.
        in_channels: width of aligned features.
        hidden_channels: H.
        kind: convolution of the experts.
        options: of the objective.

    Raises:
        UserError: for an unknown name or option.

    Example:
        >>> type(pretraining_objective("dgi", 2, 8, 16)).__name__
        'DeepGraphInfomax'
    """
    if name not in OBJECTIVES:
        raise UserError(nearest(str(name), OBJECTIVES, "objective"))
    made = OBJECTIVES[name]
    known = [
        p.name for p in inspect.signature(made.__init__).parameters.values() if p.kind is p.KEYWORD_ONLY
    ]  # fmt: skip
    for option in options:
        if option not in known:
            has = nearest(option, known, f"option of {name}") if known else f"{name} has no options, {option!r} neither"
            raise UserError(has)
    return made(num_experts, in_channels, hidden_channels, kind=kind, **options)
