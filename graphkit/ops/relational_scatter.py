"""Sums and extremes of the relational operator on torch-scatter's segment kernels; the backward stays in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from graphkit.ops.relational_reference import Edges

__all__ = ["extreme", "total"]


def _segments(edges: Edges, m: Tensor) -> Tensor:
    """Where the messages of each node begin, int64 ``[B, N + 1]``; kept edges are still sorted by target."""
    counts = torch.bincount(edges.target, minlength=edges.num_nodes)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]).expand(len(m), -1)


def total(edges: Edges, m: Tensor, boundary: Tensor | None) -> Tensor:
    """Sum of messages ``[B, M, D]`` at their targets, ``[B, N, D]``."""
    from torch_scatter import segment_csr

    out = segment_csr(m, _segments(edges, m), reduce="sum")
    return out if boundary is None else out + boundary


def extreme(edges: Edges, boundary: Tensor | None, with_arg: bool, high: bool) -> tuple[Tensor, Tensor]:
    """Maximum or minimum and the lowest position that attains it; the boundary is position -1."""
    from torch_scatter import segment_max_csr, segment_min_csr

    m = edges.message
    best, first = (segment_max_csr if high else segment_min_csr)(m, _segments(edges, m))
    none = first == m.shape[1]  # how torch-scatter marks an empty segment
    best = best.masked_fill(none, -torch.inf if high else torch.inf)
    arg = torch.cat([edges.position, edges.position.new_full((1,), -1)])[first] if with_arg else first
    if boundary is not None:
        arg = arg.masked_fill(~(best > boundary if high else best < boundary), -1)
        best = torch.maximum(best, boundary) if high else torch.minimum(best, boundary)
    return best, arg.int()
