"""Objectives that give features back: those that were masked, or all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.data.source_graph import SourceBatch
from graphkit.errors import UserError
from graphkit.nn.expert_linear import ExpertLinear
from graphkit.nn.graph_propagation import GraphPropagation
from graphkit.nn.pretraining_objective import Draw, Encode, PretrainingObjective, positions

__all__ = ["FeatureReconstruction", "MaskedAttributes"]


class MaskedAttributes(PretrainingObjective):
    r"""Features of masked nodes from their neighbourhood (GraphMAE).

    .. math:: \overline{(1 - \cos(x_v, \hat x_v))^\gamma}, \qquad \hat X = \hat A (Z \odot \text{not masked}) W + b

    Masked nodes carry a learned token instead of their features, and their states are masked again before the decoder, one
    convolution.

    Args:
        rate: share of masked nodes.
        exponent: gamma.

    Raises:
        UserError: for options out of range.

    Source:
        Hou et al., GraphMAE: Self-Supervised Masked Graph Autoencoders (KDD 2022).

    Example:
        >>> MaskedAttributes(2, 8, 16).rate
        0.75
    """

    def __init__(self, *sizes: Any, rate: float = 0.75, exponent: float = 3.0, **more: Any) -> None:
        super().__init__(*sizes, **more)
        if not 0 < rate < 1:
            raise UserError(f"rate is {rate!r}, expected a share between 0 and 1")
        if not exponent >= 1:
            raise UserError(f"exponent is {exponent!r}, expected a number from 1")
        self.rate, self.exponent = rate, exponent
        self.token = nn.Parameter(torch.zeros(self.in_channels))
        self.decoder = ExpertLinear(self.num_experts, self.hidden_channels, self.in_channels)

    def draw(self, batch: SourceBatch, generator: torch.Generator) -> Draw:
        count = min(max(1, int(self.rate * batch.num_nodes)), batch.num_nodes)
        masked = torch.zeros(batch.num_nodes, dtype=torch.bool, device=batch.x.device)
        masked[positions(batch.num_nodes, count, generator)] = True
        return {"masked": masked}

    def losses(self, encode: Encode, batch: SourceBatch, draw: Draw, experts: Tensor | None = None) -> Tensor:
        masked = draw["masked"]
        states = encode(torch.where(masked[:, None], self.token.to(batch.x.dtype), batch.x))
        seen = states * ~masked[:, None]
        matrix = GraphPropagation(batch.graph, self.kind)
        gathered = matrix(seen.transpose(0, 1).flatten(1)).view(batch.num_nodes, *seen.shape[::2])
        decoded = self.decoder(gathered[masked].transpose(0, 1), experts)
        alike = F.cosine_similarity(decoded, batch.x[masked].expand_as(decoded), dim=2, eps=1e-6)
        return (1 - alike).clamp(min=0).pow(self.exponent).mean(1)


class FeatureReconstruction(PretrainingObjective):
    r"""All features from the states, by a linear decoder: :math:`\overline{(x_{vf} - \hat x_{vf})^2}`; the cheapest objective.

    Example:
        >>> FeatureReconstruction(2, 8, 16).decoder
        ExpertLinear([2, 16, 8])
    """

    def __init__(self, *sizes: Any, **more: Any) -> None:
        super().__init__(*sizes, **more)
        self.decoder = ExpertLinear(self.num_experts, self.hidden_channels, self.in_channels)

    def losses(self, encode: Encode, batch: SourceBatch, draw: Draw, experts: Tensor | None = None) -> Tensor:
        return (self.decoder(encode(batch.x), experts) - batch.x).square().mean((1, 2))
