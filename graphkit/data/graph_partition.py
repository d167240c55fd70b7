"""A graph cut into connected pieces, so that one graph can be learned from as if it were many."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.data.random_streams import SPLIT, permutation
from graphkit.errors import UserError
from graphkit.ops import SimpleGraph

__all__ = ["partition_graph"]


def partition_graph(graph: SimpleGraph, parts: int, *, seed: int = 0) -> Tensor:
    """Number of the piece of each node: pieces grow from random nodes, one step at a time, all together.

    A node that several pieces reach at once goes to the one with the smallest number; one that none reaches goes to a piece
    at random. Labels play no part.

    Args:
        graph: an undirected graph of N nodes.
        parts: number of pieces, at most N.
        seed: of the first nodes.

    Returns:
        int64 ``[N]`` in [0, parts), every piece with a node at least.

    Raises:
        UserError: for a number of pieces out of range.

    Example:
        >>> path = SimpleGraph(torch.tensor([[0, 1, 2], [1, 2, 3]]), num_nodes=5)
        >>> sorted(partition_graph(path, 2).unique().tolist())
        [0, 1]
    """
    nodes = graph.num_nodes
    if isinstance(parts, bool) or not isinstance(parts, int) or not 1 <= parts <= nodes:
        raise UserError(f"parts is {parts!r}, expected a whole number from 1 to {nodes}, the number of nodes")
    order = permutation(nodes, seed=seed, epoch=0, stream=SPLIT)
    piece = torch.full((nodes,), parts)
    piece[order[:parts]] = torch.arange(parts)
    row, col = graph.row().cpu(), graph.col.long().cpu()
    while True:
        reach = torch.full((nodes,), parts).scatter_reduce(0, row, piece[col], "amin")
        grown = torch.where(piece == parts, reach, piece)
        if torch.equal(grown, piece):
            break
        piece = grown
    alone = order[piece[order] == parts]
    piece[alone] = torch.arange(len(alone)) % parts
    return piece
