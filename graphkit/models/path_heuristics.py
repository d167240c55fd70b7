"""Scores of pairs by the walks between their nodes; nothing is learned."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from graphkit.data import MessageGraph
from graphkit.data.query_batches import in_batches
from graphkit.errors import UserError
from graphkit.models.heuristics import Heuristic
from graphkit.ops import SimpleGraph, masked_spmm

__all__ = ["Katz", "PathHeuristic", "PersonalizedPageRank", "ShortestPath"]

_BLOCK_VALUES = 2**23  # numbers [N, S] of one block of sources: 64 MiB in float64


class PathHeuristic(Heuristic):
    """A heuristic that spreads from one node of each pair over the whole graph, a block of nodes at a time."""

    def spread(self, graph: SimpleGraph, sources: Tensor) -> Tensor:
        """What arrives at every node, [N, S] float64, from each of the sources [S]."""
        raise NotImplementedError(f"{type(self).__name__} defines no score")

    def score_pairs(
        self,
        graph: MessageGraph,
        pairs: Tensor,
        *,
        batch_size: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Tensor:
        """Scores of pairs; s(u, v) = s(v, u).

        Args:
            graph: message graph.
            pairs: int64 [2, P].
            batch_size: sources at once, each of which takes 8 N bytes a few times over; None: by the size of the graph.
            progress: called with (sources done, sources in all).

        Returns:
            [P] float32.

        Raises:
            UserError: pairs out of range.
        """
        simple = graph.simple
        simple.edge_ids(pairs)  # refuses ids that are none
        if pairs.size(1) == 0:
            return torch.zeros(0, device=pairs.device)
        low, high = torch.minimum(*pairs), torch.maximum(*pairs)
        # the end that fewer different nodes stand at
        if len(torch.unique(high)) < len(torch.unique(low)):
            low, high = high, low
        sources, row = torch.unique(low, return_inverse=True)
        order = torch.argsort(row, stable=True)
        ptr = torch.nn.functional.pad(torch.bincount(row, minlength=len(sources)).cumsum(0), (1, 0)).tolist()
        scores = torch.zeros(pairs.size(1), dtype=torch.float64, device=pairs.device)

        def work(start: int, stop: int) -> None:
            place = order[ptr[start] : ptr[stop]]
            scores[place] = self.of_spread(
                simple,
                self.spread(simple, sources[start:stop])[high[place], row[place] - start],
                low[place],
                high[place],
            )

        size = batch_size or max(1, _BLOCK_VALUES // max(simple.num_nodes, 1))
        in_batches(self, graph, len(sources), work, batch_size=size, progress=progress)
        return scores.float()

    def of_spread(self, graph: SimpleGraph, arrived: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Scores [P] from what arrived at each pair's target."""
        return arrived


class Katz(PathHeuristic):
    r"""All walks between two nodes, long ones counting less: :math:`\sum_{l = 1}^{L} \beta^l (A^l)_{ij}`.

    Args:
        beta: damping of each step.
        max_length: L.

    Raises:
        UserError: numbers that are not above 0.

    Source:
        Katz: A New Status Index Derived from Sociometric Analysis (Psychometrika 18, 1953).

    Example:
        >>> graph = MessageGraph.from_edges(torch.tensor([[0, 1], [1, 2]]), 3)
        >>> Katz(beta=0.5, max_length=2).score_pairs(graph, torch.tensor([[0, 0], [1, 2]])).tolist()
        [0.5, 0.25]
    """

    def __init__(self, *, beta: float = 0.005, max_length: int = 5) -> None:
        super().__init__()
        if not beta > 0 or max_length < 1:
            raise UserError(f"beta is {beta} and max_length {max_length}; expected a number above 0 and at least 1")
        self.beta, self.max_length = beta, max_length

    def spread(self, graph: SimpleGraph, sources: Tensor) -> Tensor:
        step = _ones(graph, sources)
        total = torch.zeros_like(step)
        for _ in range(self.max_length):
            step = self.beta * masked_spmm(graph, step, num_nodes=graph.num_nodes)
            total += step
        return total


class ShortestPath(PathHeuristic):
    """1 / the number of edges on a shortest path; 0 without a path, and for a node and itself.

    Args:
        max_length: paths longer than this are not looked for; None: all.

    Raises:
        UserError: a length below 1.

    Source:
        Liben-Nowell, Kleinberg: The Link Prediction Problem for Social Networks (CIKM 2003).

    Example:
        >>> graph = MessageGraph.from_edges(torch.tensor([[0, 1], [1, 2]]), 4)
        >>> ShortestPath().score_pairs(graph, torch.tensor([[0, 0, 0], [1, 2, 3]])).tolist()
        [1.0, 0.5, 0.0]
    """

    def __init__(self, *, max_length: int | None = None) -> None:
        super().__init__()
        if max_length is not None and max_length < 1:
            raise UserError(f"max_length is {max_length}, expected None or a whole number from 1 upwards")
        self.max_length = max_length

    def spread(self, graph: SimpleGraph, sources: Tensor) -> Tensor:
        reached = _ones(graph, sources).bool()
        front, found = reached, torch.zeros(reached.shape, dtype=torch.float64, device=reached.device)
        for length in range(1, min(self.max_length or graph.num_nodes, graph.num_nodes) + 1):
            front = (masked_spmm(graph, front.float(), num_nodes=graph.num_nodes) > 0) & ~reached
            if not bool(front.any()):
                break
            reached = reached | front
            found.masked_fill_(front, 1 / length)
        return found


class PersonalizedPageRank(PathHeuristic):
    r"""How often a walk that restarts at i is at j, and one from j at i: :math:`\pi_i(j) + \pi_j(i)`.

    .. math:: \pi_i = r\, e_i + (1 - r) A D^{-1} \pi_i

    Args:
        restart: r.
        tolerance: the iteration ends when less than this part of a walk is left out.

    Raises:
        UserError: numbers outside of (0, 1).

    Source:
        Page, Brin, Motwani, Winograd: The PageRank Citation Ranking (Stanford, 1999); Liben-Nowell, Kleinberg: The Link
        Prediction Problem for Social Networks (CIKM 2003).

    Example:
        >>> graph = MessageGraph.from_edges(torch.tensor([[0], [1]]), 2)
        >>> [round(score, 4) for score in PersonalizedPageRank().score_pairs(graph, torch.tensor([[0], [1]])).tolist()]
        [0.9189]
    """

    def __init__(self, *, restart: float = 0.15, tolerance: float = 1e-7) -> None:
        super().__init__()
        if not (0 < restart < 1 and 0 < tolerance < 1):
            raise UserError(f"restart is {restart} and tolerance {tolerance}; expected numbers between 0 and 1")
        self.restart, self.tolerance = restart, tolerance

    def spread(self, graph: SimpleGraph, sources: Tensor) -> Tensor:
        begin = _ones(graph, sources)
        share = (1 / graph.degree.clamp(min=1).double())[:, None]
        step, total = begin, begin.clone()
        for _ in range(math.ceil(math.log(self.tolerance) / math.log(1 - self.restart))):
            step = (1 - self.restart) * masked_spmm(graph, step * share, num_nodes=graph.num_nodes)
            total += step
        return self.restart * total

    def of_spread(self, graph: SimpleGraph, arrived: Tensor, source: Tensor, target: Tensor) -> Tensor:
        # an undirected walk is reversible: d_i pi_i(j) = d_j pi_j(i)
        degree = graph.degree.double()
        back = torch.where(source == target, 1.0, degree[source] / degree[target].clamp(min=1))
        return arrived * (1 + back)


def _ones(graph: SimpleGraph, sources: Tensor) -> Tensor:
    """One column for each source, 1 at it; [N, S] float64."""
    block = torch.zeros(graph.num_nodes, len(sources), dtype=torch.float64, device=sources.device)
    block[sources, torch.arange(len(sources), device=sources.device)] = 1
    return block
