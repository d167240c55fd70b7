"""Pairs of nodes that no edge joins: counted, told apart and drawn uniformly, without rejection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphkit.data.random_streams import EVALUATION, NEGATIVES, uniform_below
from graphkit.errors import UserError

__all__ = ["NonEdges", "pair_numbers", "pairs_of_numbers"]


def pair_numbers(pairs: Tensor) -> Tensor:
    """One int64 per unordered pair of two nodes: v (v - 1) / 2 + u for u < v, whichever way round a pair is given.

    Args:
        pairs: [2, P] int64, no node paired with itself.

    Returns:
        [P] int64; the pairs of N nodes are 0 .. N (N - 1) / 2 - 1.

    Example:
        >>> pair_numbers(torch.tensor([[0, 2, 2], [1, 0, 1]])).tolist()
        [0, 1, 2]
    """
    low, high = torch.minimum(pairs[0], pairs[1]), torch.maximum(pairs[0], pairs[1])
    return torch.div(high * (high - 1), 2, rounding_mode="floor") + low


def pairs_of_numbers(numbers: Tensor) -> Tensor:
    """The pairs [2, P] (u < v) of :func:`pair_numbers`.

    Example:
        >>> pairs_of_numbers(torch.tensor([0, 1, 2])).tolist()
        [[0, 0, 1], [1, 2, 2]]
    """
    root = (1.0 + (1.0 + 8.0 * numbers.double()).sqrt()) / 2.0
    high = root.floor().to(torch.int64)
    # The root is rounded; whole numbers say which side it fell on.
    high -= (torch.div(high * (high - 1), 2, rounding_mode="floor") > numbers).long()
    high += (torch.div(high * (high + 1), 2, rounding_mode="floor") <= numbers).long()
    return torch.stack([numbers - torch.div(high * (high - 1), 2, rounding_mode="floor"), high])


@dataclass(frozen=True, eq=False)
class NonEdges:
    """The unordered pairs of N nodes that are no edges; a node and itself are no pair.

    The k-th of them is found by one bisection in the sorted edges: edge j, numbered e_j, has e_j - j non-edges below it.

    Args:
        num_nodes: N.
        edge: [M] int64, sorted numbers of the edges, each once.

    Example:
        >>> gaps = NonEdges.of(torch.tensor([[0, 2], [1, 1]]), num_nodes=3)
        >>> len(gaps), gaps.nth(torch.tensor([0])).tolist()
        (1, [[0], [2]])
    """

    num_nodes: int
    edge: Tensor

    @classmethod
    def of(cls, edges: Tensor, num_nodes: int) -> NonEdges:
        """The non-edges of a graph with the edges [2, n], given either way round; duplicates and self-loops are dropped.

        Raises:
            UserError: when the pairs of so many nodes cannot be drawn exactly (2^53 pairs or more).
        """
        if num_nodes * (num_nodes - 1) // 2 >= 2**53:
            raise UserError(
                f"{num_nodes} nodes have too many pairs to draw from exactly; at most 134,217,728 are possible"
            )
        proper = edges[:, edges[0] != edges[1]].cpu()
        return cls(num_nodes, torch.unique(pair_numbers(proper)))

    def __len__(self) -> int:
        return self.num_nodes * (self.num_nodes - 1) // 2 - self.edge.numel()

    def is_edge(self, pairs: Tensor) -> Tensor:
        """Whether each pair [2, P], given either way round, is an edge; bool [P].

        Example:
            >>> NonEdges.of(torch.tensor([[0], [1]]), num_nodes=3).is_edge(torch.tensor([[1, 1], [0, 2]])).tolist()
            [True, False]
        """
        if self.edge.numel() == 0:
            return torch.zeros(pairs.size(1), dtype=torch.bool)
        number = pair_numbers(pairs)
        place = torch.searchsorted(self.edge, number).clamp_(max=self.edge.numel() - 1)
        return (self.edge[place] == number) & (pairs[0] != pairs[1])

    def nth(self, k: Tensor) -> Tensor:
        """The k-th non-edges [2, P], u < v, for k in [0, len(self))."""
        gap = self.edge - torch.arange(self.edge.numel())
        return pairs_of_numbers(k + torch.searchsorted(gap, k, right=True))

    def draw(self, count: int, *, seed: int, epoch: int, step: int) -> Tensor:
        """``count`` non-edges [2, count], uniform, with replacement; they depend on (seed, epoch, step) only.

        Raises:
            UserError: when every pair is an edge.

        Example:
            >>> NonEdges.of(torch.tensor([[0], [1]]), num_nodes=2).draw(1, seed=0, epoch=0, step=0)
            Traceback (most recent call last):
            graphkit.errors.UserError: every pair of the 2 nodes is an edge, so there is no negative; pass strict=False
        """
        if len(self) < 1:
            raise UserError(
                f"every pair of the {self.num_nodes} nodes is an edge, so there is no negative; pass strict=False"
            )
        return self.nth(
            uniform_below(torch.tensor([len(self)]), count, seed=seed, epoch=epoch, step=step, stream=NEGATIVES)[0]
        )

    def sample(self, count: int, *, seed: int, which: int) -> Tensor:
        """``count`` different non-edges [2, count], uniform: the negatives of an evaluation split.

        Args:
            count: how many.
            seed: seed of the split.
            which: number of the split; the draw depends on (seed, which) only and on no number that training uses.

        Raises:
            UserError: when there are fewer non-edges.

        Example:
            >>> NonEdges.of(torch.tensor([[0], [1]]), num_nodes=3).sample(2, seed=0, which=1).shape
            torch.Size([2, 2])
        """
        if count > len(self):
            raise UserError(
                f"{count:,} different negatives were asked for, but only {max(len(self), 0):,} pairs of the "
                f"{self.num_nodes} nodes are no edges; take fewer negatives or a sparser graph"
            )
        size = count
        while True:
            # A longer draw begins with the shorter one, so this ends with the first `count` different numbers.
            drawn = uniform_below(torch.tensor([len(self)]), size, seed=seed, epoch=0, step=which, stream=EVALUATION)[0]
            first = np.sort(np.unique(drawn.numpy(), return_index=True)[1])
            if len(first) >= count:
                return self.nth(drawn[torch.from_numpy(first[:count])])
            size *= 2
