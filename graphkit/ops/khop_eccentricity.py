"""How far the k-hop ball of a node reaches, in weighted distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest
from graphkit.ops._library import call, define, public
from graphkit.ops.csr import CSRGraph, as_csr

__all__ = ["KhopBalls", "khop_eccentricity"]

public("khop_eccentricity", "khop_eccentricity")

_SCOPES, _METRICS = ("induced", "global"), ("hops", "distance")


class KhopBalls(NamedTuple):
    """What :func:`khop_eccentricity` knows of the balls; each field is ``[S]``, or ``[len(k), S]`` for a list of k.

    Attributes:
        eccentricity: float64, distance to the farthest node of the ball.
        size: int64, nodes in the ball, the source among them.
        farthest: int64, the farthest node; the smallest id where several are as far.

    Example:
        >>> balls = khop_eccentricity(torch.tensor([[0, 1], [1, 2]]), num_nodes=3, k=1, return_balls=True)
        >>> balls.size.tolist(), balls.farthest.tolist()
        ([2, 2, 1], [1, 2, 2])
    """

    eccentricity: Tensor
    size: Tensor
    farthest: Tensor


def khop_eccentricity(
    edge_index: Tensor | CSRGraph,
    *,
    num_nodes: int,
    k: float | Sequence[float],
    weight: Tensor | None = None,
    path_scope: str = "induced",
    ball_metric: str = "hops",
    subset: Tensor | None = None,
    return_balls: bool = False,
) -> Tensor | KhopBalls:
    r"""Distance from each node to the farthest node of its k-hop ball.

    .. math:: \varepsilon_k(v) = \max_{u \in B_k(v)} d_{H}(v, u), \qquad B_k(v) = \{u : hops(v, u) \le k\}

    H is the subgraph on the ball (``"induced"``: paths do not leave it) or the whole graph (``"global"``). Edges are followed
    as stored, source to target; pass both directions for an undirected graph. Self-loops change nothing, of parallel edges
    the lightest counts, a node without out-edges has 0. With ``ball_metric="distance"`` the ball holds the nodes within
    distance k, and both scopes agree.

    Args:
        edge_index: int64 ``[2, E]``, PyG's ``EdgeIndex`` or a :class:`CSRGraph`.
        num_nodes: N.
        k: hops, whole and at least 0 (or a distance in the unit of ``weight``); a list is answered in one pass.
        weight: ``[E]``, float32 or float64, finite and not negative (zero is allowed), in any unit of length; None: 1 each.
        path_scope: ``"induced"`` or ``"global"``.
        ball_metric: ``"hops"`` or ``"distance"``.
        subset: int64 ``[S]``, the nodes asked for; None: all, S = N.
        return_balls: whether to return sizes and farthest nodes too.

    Returns:
        float64 ``[S]``, in the unit of ``weight``, or ``[len(k), S]`` for a list; with ``return_balls`` :class:`KhopBalls`.
        Sums are float64; the bits do not depend on threads, node order or backend.

    Raises:
        UserError: bad edges, weights that are negative or no number, an unknown option.

    Source:
        Liang et al., Towards quantifying long-range interactions in graph machine learning (ICLR 2026): the label of
        City-Networks is the decile of this value for k = 16.

    Example:
        >>> streets = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> khop_eccentricity(streets, num_nodes=4, k=2, weight=torch.tensor([5., 5., 1., 1., 2., 2.])).tolist()
        [6.0, 5.0, 6.0, 3.0]
    """
    if path_scope not in _SCOPES:
        raise UserError(nearest(str(path_scope), _SCOPES, "path_scope"))
    if ball_metric not in _METRICS:
        raise UserError(nearest(str(ball_metric), _METRICS, "ball_metric"))
    graph = as_csr(edge_index, num_nodes)
    asked = list(k) if isinstance(k, (list, tuple)) else None
    radii = [_checked(value, ball_metric) for value in ([k] if asked is None else asked)]
    if not radii:
        raise UserError("k is an empty list; give at least one number")
    by_distance = ball_metric == "distance"
    if weight is None:  # a distance of unit weights is a number of hops, and no path outside a ball is shorter
        radii, by_distance = [float(math.floor(value)) if math.isfinite(value) else value for value in radii], False
    else:
        weight = _checked_weight(weight, graph)
    # more hops than nodes are no more than the nodes
    radii = [value if by_distance else min(value, float(num_nodes)) for value in radii]
    nodes = torch.arange(num_nodes, device=graph.device) if subset is None else _checked_subset(subset, graph)
    values = KhopBalls(
        *call(
            "khop_eccentricity",
            graph.t_ptr,
            graph.t_target,
            weight,
            nodes,
            torch.tensor(radii, dtype=torch.float64, device=graph.device),
            by_distance,
            path_scope == "global",
        )
    )
    if asked is None:
        values = KhopBalls(*(value[0] for value in values))
    return values if return_balls else values.eccentricity


def _checked(value: Any, metric: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not value >= 0 or (metric == "hops" and math.isfinite(value) and value != math.floor(value)):
        kind = "whole number of hops" if metric == "hops" else "distance"
        raise UserError(f"k is {value!r}, expected a {kind} that is not negative, or a list of them")
    return float(value)


def _checked_weight(weight: Tensor, graph: CSRGraph) -> Tensor:
    """float64 ``[E]`` in the order by source."""
    if not isinstance(weight, Tensor) or weight.shape != (graph.num_edges,):
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise UserError(f"weight is {shape}, expected [{graph.num_edges}], one value per edge")
    if weight.dtype not in (torch.float32, torch.float64):
        raise UserError(f"weight has dtype {weight.dtype}, expected float32 or float64")
    if weight.device != graph.device:
        raise UserError(f"weight is on {weight.device}, the graph on {graph.device}; move them to one device")
    weight = weight.detach()
    bad = ~(weight >= 0) | weight.isinf()
    if bool(bad.any()):
        edge = int(bad.nonzero()[0])
        raise UserError(
            f"weight[{edge}] is {float(weight[edge])}, expected finite lengths that are not negative; mend the edge or leave it out"
        )
    return weight.to(torch.float64)[graph.perm][graph.t_position.long()].contiguous()


def _checked_subset(subset: Tensor, graph: CSRGraph) -> Tensor:
    if not isinstance(subset, Tensor) or subset.dim() != 1 or subset.dtype != torch.int64:
        given = f"{subset.dtype} {list(subset.shape)}" if isinstance(subset, Tensor) else type(subset).__name__
        raise UserError(f"subset is {given}, expected an int64 tensor [S] of node ids")
    low, high = (int(v) for v in subset.aminmax()) if len(subset) else (0, -1)
    if low < 0 or high >= graph.num_nodes:
        raise UserError(
            f"subset holds node id {low if low < 0 else high}, expected ids in [0, {graph.num_nodes}); check the ids"
        )
    return subset.to(graph.device).contiguous()


# ---------------------------------------------------------------- body in torch

_CELLS = 1 << 22  # (source, node) pairs in memory at once


def _khop_eccentricity(ptr: Tensor, col: Tensor, weight: Tensor | None, sources: Tensor, k: Tensor, by_distance: bool,
                       everywhere: bool) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    n = len(ptr) - 1
    parts = [
        _balls(ptr, col.long(), weight, part, k.tolist(), by_distance, everywhere)
        for part in sources.split(max(1, _CELLS // max(n, 1)))
    ]
    if not parts:
        parts = [_balls(ptr, col.long(), weight, sources, k.tolist(), by_distance, everywhere)]
    eccentricity, size, farthest = (torch.cat([part[i] for part in parts], dim=1) for i in range(3))
    return eccentricity, size, farthest


def _balls(ptr: Tensor, col: Tensor, weight: Tensor | None, sources: Tensor, radii: list[float], by_distance: bool,
           everywhere: bool) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    weight = torch.ones(len(col), dtype=torch.float64, device=col.device) if weight is None else weight
    hops = None if by_distance else _distances(ptr, col, torch.ones_like(weight), sources, max(radii))
    found = []
    for radius in radii:
        if hops is None:
            distance = _distances(ptr, col, weight, sources, radius)
            inside = distance.isfinite() & (distance <= radius)
        else:
            inside = hops <= radius
            distance = _distances(ptr, col, weight, sources, torch.inf, None if everywhere else inside)
        distance = distance.masked_fill(~inside, -1)
        most = distance.amax(1) if distance.numel() else distance.new_zeros(len(sources))
        found.append((most, inside.sum(1), (distance == most[:, None]).int().argmax(1) if len(most) else inside.sum(1)))
    most, size, farthest = (torch.stack(list(column)) for column in zip(*found, strict=True))
    return most, size, farthest


def _distances(ptr: Tensor, col: Tensor, weight: Tensor, sources: Tensor, radius: float,
               inside: Tensor | None = None) -> Tensor:  # fmt: skip
    """Distances ``[S, N]`` up to a radius, inf beyond it: every pair that came nearer passes that on, until none does."""
    n = len(ptr) - 1
    distance = torch.full((len(sources) * n,), torch.inf, dtype=torch.float64, device=col.device)
    pair = torch.arange(len(sources), device=col.device) * n + sources
    distance[pair] = 0
    while len(pair):
        node = pair % n
        degree = ptr[node + 1] - ptr[node]
        which = torch.repeat_interleave(torch.arange(len(pair), device=col.device), degree)
        offset = torch.arange(len(which), device=col.device) - (degree.cumsum(0) - degree)[which]
        edge = ptr[node][which] + offset
        through = distance[pair][which] + weight[edge]
        to = (pair - node)[which] + col[edge]
        nearer = (through < distance[to]) & (through <= radius)
        if inside is not None:
            nearer &= inside.view(-1)[to]
        through, to = through[nearer], to[nearer]
        distance.scatter_reduce_(0, to, through, "amin")
        pair = to.unique()
    return distance.view(len(sources), n)


def _fake(ptr: Tensor, col: Tensor, weight: Tensor | None, sources: Tensor, k: Tensor, by_distance: bool,
          everywhere: bool) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    shape = (k.shape[0], sources.shape[0])
    return tuple(sources.new_empty(shape, dtype=dtype) for dtype in (torch.float64, torch.int64, torch.int64))  # type: ignore[return-value]


define(
    "khop_eccentricity(Tensor ptr, Tensor col, Tensor? weight, Tensor sources, Tensor k, bool by_distance, bool everywhere)"
    " -> (Tensor, Tensor, Tensor)",
    _khop_eccentricity,
    fake=_fake,
)
