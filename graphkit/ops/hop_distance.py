"""Hops between nodes: balls around seeds, hops of all nodes from many seeds at once, sums by hop."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest
from graphkit.ops import hop_distance_reference  # noqa: F401  (declares the operators)
from graphkit.ops._library import call, public
from graphkit.ops.csr import CSRGraph, _check_edges, as_csr

__all__ = [
    "HOP_DIRECTIONS",
    "BallEdges",
    "HopBalls",
    "HopGraph",
    "ball_edges",
    "hop_balls",
    "hop_bincount",
    "hop_distance",
]

HOP_DIRECTIONS = {"in": 0, "out": 1, "both": 2}
"""Which nodes are one hop from v: those that send to v, those that v sends to, or either."""

public("hop_balls", "hop_balls")
public("hop_bincount", "hop_bincount")
public("hop_distance", "hop_distance")


class HopGraph:
    """The edges of a graph sorted once, for many searches.

    Args:
        edge_index: int64 ``[2, E]``, PyG's ``EdgeIndex`` or a :class:`CSRGraph`.
        num_nodes: N.

    Attributes:
        ptr, source, perm: edges by target and source: int64 ``[N + 1]``, int32 ``[E]``, int64 ``[E]`` (columns of ``edge_index``).
        t_ptr, t_target: edges by source and target: int64 ``[N + 1]``, int32 ``[E]``.

    Raises:
        UserError: bad edges.

    Example:
        >>> graph = HopGraph(torch.tensor([[0, 1, 2, 1], [1, 2, 0, 0]]), num_nodes=3)
        >>> graph.ptr.tolist(), graph.source.tolist(), graph.symmetric
        ([0, 2, 3, 4], [1, 2, 0, 1], False)
    """

    def __init__(self, edge_index: Tensor | CSRGraph, *, num_nodes: int) -> None:
        if isinstance(edge_index, CSRGraph) or (isinstance(edge_index, Tensor) and type(edge_index) is not Tensor):
            graph = as_csr(edge_index, num_nodes)
            forms = (graph.ptr, graph.source, graph.perm, graph.t_ptr, graph.t_target)
        else:
            _check_edges(edge_index, num_nodes)
            with torch.inference_mode(False):
                edges = edge_index.clone() if edge_index.is_inference() else edge_index
                forms = call("hop_graph", edges, num_nodes)
        self.ptr, self.source, self.perm, self.t_ptr, self.t_target = forms
        self.num_nodes = num_nodes

    @property
    def num_edges(self) -> int:
        return len(self.source)

    @property
    def symmetric(self) -> bool:
        """Whether every edge has its opposite, as often as it is there itself."""
        return torch.equal(self.ptr, self.t_ptr) and torch.equal(self.source, self.t_target)

    def _searched(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.ptr, self.source, self.t_ptr, self.t_target


class HopBalls(NamedTuple):
    """Nodes around each of S seeds, by hop and then by id.

    Attributes:
        ptr: int64 ``[S + 1]``, where each ball begins.
        nodes: int64 ``[M]``; the first one of a ball is its seed.
        hop: int64 ``[M]``, hops from the seed.

    Example:
        >>> balls = hop_balls(torch.tensor([[0, 1], [1, 2]]), torch.tensor([2, 0]), num_nodes=3, hops=5)
        >>> balls.nodes.tolist(), balls.owner().tolist()
        ([2, 1, 0, 0], [0, 0, 0, 1])
    """

    ptr: Tensor
    nodes: Tensor
    hop: Tensor

    def owner(self) -> Tensor:
        """int64 ``[M]``: which ball each place belongs to."""
        return torch.repeat_interleave(torch.arange(len(self.ptr) - 1, device=self.ptr.device), self.ptr.diff())

    def bincount(self, values: Tensor, hops: int) -> Tensor:
        """Sums of values ``[M]`` by hop, float64 ``[S, hops + 2]``; the last column is what lies beyond ``hops``.

        Example:
            >>> balls = hop_balls(torch.tensor([[0, 1], [1, 2]]), torch.tensor([2]), num_nodes=3, hops=2)
            >>> balls.bincount(torch.tensor([1.0, 2.0, 4.0]), hops=1).tolist()
            [[1.0, 2.0, 4.0]]
        """
        bins = hops + 2
        place = self.owner() * bins + self.hop.clamp(max=hops + 1)
        return torch.bincount(place, values.double(), minlength=(len(self.ptr) - 1) * bins).view(-1, bins)


class BallEdges(NamedTuple):
    """The edges inside each of S sets of nodes, by target as the nodes are listed.

    Attributes:
        ptr: int64 ``[S + 1]``, where the edges of each set begin.
        source, target: int64 ``[K]``, places in the list of all sets.
        edge: int64 ``[K]``, columns of ``edge_index``.

    Example:
        >>> balls = hop_balls(torch.tensor([[0, 1], [1, 2]]), torch.tensor([2]), num_nodes=3, hops=1)
        >>> ball_edges(torch.tensor([[0, 1], [1, 2]]), balls, num_nodes=3)
        BallEdges(ptr=tensor([0, 1]), source=tensor([1]), target=tensor([0]), edge=tensor([1]))
    """

    ptr: Tensor
    source: Tensor
    target: Tensor
    edge: Tensor


Edges = Tensor | CSRGraph | HopGraph


def hop_balls(edge_index: Edges, seeds: Tensor, *, num_nodes: int, hops: int, direction: str = "in") -> HopBalls:
    """The nodes within some hops of each seed, found by one bounded breadth-first search a seed.

    Args:
        edge_index: int64 ``[2, E]``, PyG's ``EdgeIndex``, a :class:`CSRGraph` or a :class:`HopGraph`, sorted once.
        seeds: int64 ``[S]``, in any order, also several times.
        num_nodes: N.
        hops: radius, from 0.
        direction: ``"in"`` goes against the messages: who can influence the seed; ``"out"``: whom the seed can influence;
            ``"both"``: edges either way.

    Returns:
        :class:`HopBalls`; its size is that of the balls, whatever N is.

    Raises:
        UserError: bad edges, seeds out of range, a negative radius, an unknown direction.

    Example:
        >>> balls = hop_balls(torch.tensor([[0, 1, 3], [1, 2, 2]]), torch.tensor([2, 3]), num_nodes=4, hops=2)
        >>> balls.ptr.tolist(), balls.nodes.tolist(), balls.hop.tolist()
        ([0, 4, 5], [2, 1, 3, 0, 3], [0, 1, 1, 2, 0])
    """
    graph, seeds, way = _checked(edge_index, seeds, num_nodes, hops, direction)
    return HopBalls(*call("hop_balls", *graph._searched(), seeds, hops, way))


def ball_edges(edge_index: Edges, balls: HopBalls, *, num_nodes: int) -> BallEdges:
    """The edges of the graph inside each ball: the induced subgraphs, side by side.

    Args:
        edge_index: as for :func:`hop_balls`.
        balls: what :func:`hop_balls` gave, or any sets of nodes without repeats.
        num_nodes: N.

    Returns:
        :class:`BallEdges`; of an edge that is there several times, every copy.

    Raises:
        UserError: bad edges.

    Example:
        >>> edges = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> inside = ball_edges(edges, hop_balls(edges, torch.tensor([0, 1]), num_nodes=3, hops=1), num_nodes=3)
        >>> inside.source.tolist(), inside.target.tolist(), inside.edge.tolist()
        ([1, 3], [0, 2], [2, 0])
    """
    graph = as_hop_graph(edge_index, num_nodes)
    return BallEdges(*call("ball_edges", graph.ptr, graph.source, graph.perm, balls.ptr, balls.nodes))


def hop_distance(
    edge_index: Edges, seeds: Tensor, *, num_nodes: int, hops: int | None = None, direction: str = "in"
) -> Tensor:
    """Hops from every seed to every node; 64 breadth-first searches run in the bits of one word.

    Args:
        edge_index, seeds, num_nodes, direction: as for :func:`hop_balls`.
        hops: where the searches end; None: nowhere.

    Returns:
        int32 ``[S, N]``; -1 for nodes that are farther or out of reach. It takes 4 S N bytes, so ask for many seeds in parts,
        or for sums by hop with :func:`hop_bincount`.

    Raises:
        UserError: as :func:`hop_balls`.

    Source:
        Then et al., The More the Merrier: Efficient Multi-Source Graph Traversal (VLDB 2014).

    Example:
        >>> hop_distance(torch.tensor([[0, 1], [1, 2]]), torch.tensor([2, 0]), num_nodes=4).tolist()
        [[2, 1, 0, -1], [0, -1, -1, -1]]
    """
    hops = num_nodes if hops is None else hops
    graph, seeds, way = _checked(edge_index, seeds, num_nodes, hops, direction)
    return call("hop_distance", *graph._searched(), seeds, hops, way)


def hop_bincount(
    edge_index: Edges,
    seeds: Tensor,
    values: Tensor | None = None,
    *,
    num_nodes: int,
    hops: int,
    direction: str = "in",
) -> Tensor:
    r"""Sums over the nodes by their hops from each seed, without holding the hops.

    .. math:: out_{s, h} = \sum_{u : hop(s, u) = h} values_{s, u}, \; h = 0..K, \qquad
        out_{s, K + 1} = \sum_{u : hop(s, u) > K \text{ or out of reach}} values_{s, u}

    Args:
        edge_index, seeds, num_nodes, direction: as for :func:`hop_balls`.
        values: float32 or float64 ``[S, N]``; None counts nodes.
        hops: K.

    Returns:
        float64 ``[S, K + 2]``, summed in float64.

    Raises:
        UserError: as :func:`hop_balls`, and for values of another shape or dtype.

    Example:
        >>> edges = torch.tensor([[0, 1], [1, 2]])
        >>> hop_bincount(edges, torch.tensor([2, 0]), num_nodes=4, hops=1).tolist()
        [[1.0, 1.0, 2.0], [1.0, 0.0, 3.0]]
    """
    graph, seeds, way = _checked(edge_index, seeds, num_nodes, hops, direction)
    if values is None:
        values = torch.empty(0, device=seeds.device)
    elif values.dtype not in (torch.float32, torch.float64) or values.shape != (len(seeds), num_nodes):
        raise UserError(
            f"values are {values.dtype} {list(values.shape)}, expected float32 or float64 [{len(seeds)}, {num_nodes}], a row for "
            "each seed and a column for each node"
        )
    return call("hop_bincount", *graph._searched(), seeds, values.detach().contiguous(), hops, way)


def as_hop_graph(edge_index: Edges, num_nodes: int) -> HopGraph:
    """A :class:`HopGraph` of whatever holds the edges."""
    if isinstance(edge_index, HopGraph):
        if edge_index.num_nodes != num_nodes:
            raise UserError(f"num_nodes is {num_nodes}, but the HopGraph was made for {edge_index.num_nodes} nodes")
        return edge_index
    return HopGraph(edge_index, num_nodes=num_nodes)


def _checked(edge_index: Edges, seeds: Any, num_nodes: int, hops: Any, direction: str) -> tuple[HopGraph, Tensor, int]:
    if isinstance(hops, bool) or not isinstance(hops, int) or not 0 <= hops < 2**31:
        raise UserError(f"hops is {hops!r}, expected a whole number from 0 upwards")
    if direction not in HOP_DIRECTIONS:
        raise UserError(nearest(str(direction), HOP_DIRECTIONS, "direction"))
    if not isinstance(seeds, Tensor) or seeds.dtype != torch.int64 or seeds.dim() != 1:
        given = f"{seeds.dtype} {list(seeds.shape)}" if isinstance(seeds, Tensor) else type(seeds).__name__
        raise UserError(f"seeds are {given}, expected int64 [S], ids of nodes")
    if len(seeds):
        low, high = (int(v) for v in seeds.aminmax())
        if low < 0 or high >= num_nodes:
            raise UserError(f"seeds hold node id {low if low < 0 else high}, expected ids in [0, {num_nodes})")
    graph = as_hop_graph(edge_index, num_nodes)
    return graph, seeds.contiguous(), HOP_DIRECTIONS[direction]
