"""Heads that all experts of a mixture share: classes of nodes or graphs, links, similarity to class prototypes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.errors import UserError, nearest

__all__ = ["LINK_HEADS", "LinkHead", "PrototypeHead"]

LINK_HEADS = ("dot", "linear", "mlp")


class LinkHead(nn.Module):
    """A logit for the product ``z_u * z_v`` of the states of a pair.

    Args:
        channels: width of states.
        kind: ``"dot"``, their inner product; ``"linear"``, which starts as that; or ``"mlp"``, two layers.

    Raises:
        UserError: for an unknown kind.

    Example:
        >>> LinkHead(3)(torch.ones(2, 5, 3)).shape
        torch.Size([2, 5, 1])
    """

    def __init__(self, channels: int, kind: str = "linear") -> None:
        super().__init__()
        if kind not in LINK_HEADS:
            raise UserError(nearest(str(kind), LINK_HEADS, "link_head"))
        self.kind = kind
        self.score: nn.Module | None = None
        if kind == "linear":
            linear = nn.Linear(channels, 1)
            nn.init.ones_(linear.weight)
            nn.init.zeros_(linear.bias)
            self.score = linear
        elif kind == "mlp":
            self.score = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, 1))

    def forward(self, products: Tensor) -> Tensor:
        return products.sum(-1, keepdim=True) if self.score is None else self.score(products)


class PrototypeHead(nn.Module):
    r"""Similarity to the mean of each class's support, after a re-weighting of the states by one vector (GraphPrompt style).

    .. math:: y_c = \cos(w \odot h, \; \overline{w \odot h_s}_{s \in c}) / T

    The prototypes come from the support alone and stay as they are when others are scored.

    Args:
        channels: width of states.
        classes: number of classes C.
        temperature: T.

    Source:
        Liu et al., GraphPrompt: Unifying Pre-Training and Downstream Tasks for Graph Neural Networks (WWW 2023); the
        re-weighted readout and the prototypes, not its subgraph similarity.

    Example:
        >>> head = PrototypeHead(2, 2)
        >>> head.support(torch.eye(2)[None], torch.tensor([0, 1]))
        >>> head(torch.eye(2)[None]).argmax(2).tolist()
        [[0, 1]]
    """

    prototypes: Tensor

    def __init__(self, channels: int, classes: int, *, temperature: float = 0.2) -> None:
        super().__init__()
        self.temperature = temperature
        self.weight = nn.Parameter(torch.ones(channels))
        self.register_buffer("prototypes", torch.zeros(classes, channels))

    def support(self, states: Tensor, y: Tensor) -> None:
        """Take the prototypes from states ``[M, B, H]`` of the support with classes ``[B]``, with gradients."""
        weighted = (states * self.weight).mean(0)
        count = torch.bincount(y, minlength=len(self.prototypes)).clamp(min=1)
        total = weighted.new_zeros(self.prototypes.shape).index_add(0, y, weighted)
        self.prototypes = total / count[:, None]

    def forward(self, states: Tensor) -> Tensor:
        alike = F.normalize(states * self.weight, dim=-1, eps=1e-6) @ F.normalize(self.prototypes, dim=-1, eps=1e-6).t()
        return alike / self.temperature
