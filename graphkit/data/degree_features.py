"""Degrees as features, for graphs that have no others."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.data.edge_direction import directed_edges

__all__ = ["degree_features"]


def degree_features(edge_index: Tensor, num_nodes: int) -> Tensor:
    """ln(1 + in-degree) and ln(1 + out-degree) [N, 2]; repeated edges count once, self-loops not at all.

    Example:
        >>> degree_features(torch.tensor([[0, 1], [1, 1]]), 2).exp().sub(1).round().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    once = directed_edges(edge_index, num_nodes)
    return torch.stack([torch.bincount(end, minlength=num_nodes) for end in once.flip(0)], 1).float().log1p()
