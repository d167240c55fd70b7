"""Whether the directions in which edges are stored can mean something."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["EdgeDirection", "directed_edges", "edge_direction"]


@dataclass(frozen=True)
class EdgeDirection:
    """What the stored directions look like.

    Args:
        edges: different edges, each direction one, without self-loops.
        reciprocity: share of them whose opposite is there too; 1 for an undirected graph in both directions.
        ascending: share of them that lead from a smaller to a larger id.

    Example:
        >>> edge_direction(torch.tensor([[0, 0, 1], [1, 2, 2]]), num_nodes=3).storage_order
        True
    """

    edges: int
    reciprocity: float
    ascending: float

    @property
    def undirected(self) -> bool:
        """Whether every edge has its opposite: then there is no direction to speak of."""
        return self.reciprocity == 1.0

    @property
    def storage_order(self) -> bool:
        """Whether all edges lead the same way in the order of ids, and none has its opposite.

        That is what an undirected list looks like that stores every edge once. Read as directed, it encodes how the nodes
        were numbered. A real directed graph looks so only when ids follow its order, as dates do.
        """
        return self.edges > 0 and self.reciprocity == 0.0 and self.ascending in (0.0, 1.0)


def edge_direction(edge_index: Tensor, num_nodes: int) -> EdgeDirection:
    """Reciprocity and order of the edges [2, E] as stored; repeats count once, self-loops not at all.

    Example:
        >>> edge_direction(torch.tensor([[0, 1, 2], [1, 0, 0]]), num_nodes=3).reciprocity
        0.6666666666666666
    """
    edges = directed_edges(edge_index, num_nodes)
    count = edges.size(1)
    if not count:
        return EdgeDirection(0, 1.0, 0.0)
    key, opposite = edges[0] * num_nodes + edges[1], edges[1] * num_nodes + edges[0]
    place = torch.searchsorted(key, opposite).clamp(max=count - 1)
    mutual = int((key[place] == opposite).sum())
    return EdgeDirection(count, mutual / count, int((edges[0] < edges[1]).sum()) / count)


def directed_edges(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Every edge once per direction in which it is given, sorted by source and target; no self-loops.

    Args:
        edge_index: [2, E] int64.
        num_nodes: N.

    Example:
        >>> directed_edges(torch.tensor([[2, 0, 2, 1], [0, 1, 0, 1]]), num_nodes=3).tolist()
        [[0, 2], [1, 0]]
    """
    edges = edge_index[:, edge_index[0] != edge_index[1]]
    key = torch.unique(edges[0] * num_nodes + edges[1])
    return torch.stack([torch.div(key, num_nodes, rounding_mode="floor"), key % num_nodes])
