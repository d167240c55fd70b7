"""Balls of many seeds side by side as one graph without edges between them, so that a model answers for all at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graphkit.ops import HopBalls, HopGraph, ball_edges, hop_balls

__all__ = ["BallBlock", "ball_blocks"]

_SEEDS_FIRST = 16  # searched before the size of a ball is known
_NODES_AT_ONCE = 1 << 19  # of all balls that are searched together


@dataclass(frozen=True, eq=False)
class BallBlock:
    """Balls side by side. Nodes lie by hop, so those within h hops of any seed come first; the first S are the seeds.

    Attributes:
        seeds: int64 ``[S]``.
        nodes: int64 ``[n]``, ids in the graph.
        owner: int64 ``[n]``, which of the seeds a node is there for.
        hop: int64 ``[n]``, hops from it, rising.
        ends: how many nodes lie within 0, 1, .. hops.
        edge_index: int64 ``[2, m]`` between places of the block, by target.
        edge: int64 ``[m]``, columns of the graph's ``edge_index``.

    Example:
        >>> graph = HopGraph(torch.tensor([[0, 1, 2], [1, 2, 3]]), num_nodes=4)
        >>> (block,) = ball_blocks(graph, torch.tensor([3, 1]), radius=2, budget=100)
        >>> block.nodes.tolist(), block.owner.tolist(), block.ends
        ([3, 1, 2, 0, 1], [0, 1, 0, 1, 0], [2, 4, 5])
    """

    seeds: Tensor
    nodes: Tensor
    owner: Tensor
    hop: Tensor
    ends: list[int]
    edge_index: Tensor
    edge: Tensor

    def within(self, hops: int) -> int:
        """How many nodes lie within some hops."""
        return self.ends[min(hops, len(self.ends) - 1)]

    def to(self, device: torch.device) -> BallBlock:
        """The block with its tensors on a device; itself where they are there already."""
        if self.nodes.device == device:
            return self
        moved: dict[str, Any] = {
            key: value.to(device) for key, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def ball_blocks(
    graph: HopGraph, seeds: Tensor, *, radius: int, budget: int, direction: str = "in"
) -> Iterator[BallBlock]:
    """The balls of all seeds in blocks of about ``budget`` nodes; a block has a whole number of balls, one at least.

    Args:
        graph: sorted edges.
        seeds: int64 ``[S]``.
        radius: hops of a ball.
        budget: nodes of a block.
        direction: as for :func:`graphkit.ops.hop_balls`.

    Example:
        >>> graph = HopGraph(torch.tensor([[0, 1, 2], [1, 2, 3]]), num_nodes=4)
        >>> [block.nodes.numel() for block in ball_blocks(graph, torch.arange(4), radius=1, budget=4)]
        [3, 4]
    """
    begin, count = 0, _SEEDS_FIRST
    while begin < len(seeds):
        part = seeds[begin : begin + count]
        balls = hop_balls(graph, part, num_nodes=graph.num_nodes, hops=radius, direction=direction)
        edges = ball_edges(graph, balls, num_nodes=graph.num_nodes)
        node_ptr, edge_ptr = balls.ptr.tolist(), edges.ptr.tolist()
        first = 0
        while first < len(part):
            last = first + 1
            while last < len(part) and node_ptr[last + 1] - node_ptr[first] <= budget:
                last += 1
            nodes, inside = slice(node_ptr[first], node_ptr[last]), slice(edge_ptr[first], edge_ptr[last])
            ends = torch.stack([edges.source[inside], edges.target[inside]]) - node_ptr[first]
            ball = HopBalls(balls.ptr[first : last + 1] - node_ptr[first], balls.nodes[nodes], balls.hop[nodes])
            yield _by_hop(part[first:last], ball, ends, edges.edge[inside])
            first = last
        begin += len(part)
        count = max(1, min(_NODES_AT_ONCE * len(part) // max(len(balls.nodes), 1), 4 * count))


def _by_hop(seeds: Tensor, balls: HopBalls, edges: Tensor, edge: Tensor) -> BallBlock:
    order = torch.sort(balls.hop, stable=True).indices
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    edges = place[edges]
    sorting = torch.sort(edges[1], stable=True).indices
    return BallBlock(
        seeds, balls.nodes[order], balls.owner()[order], balls.hop[order],
        torch.bincount(balls.hop).cumsum(0).tolist(), edges[:, sorting], edge[sorting],
    )  # fmt: skip
