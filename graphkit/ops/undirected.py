"""Both directions of every edge, each once."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.csr import _check_edges

__all__ = ["undirected_edges"]


def undirected_edges(edge_index: Tensor, *, num_nodes: int) -> tuple[Tensor, Tensor]:
    """An edge list made symmetric: both directions of every edge, copies dropped, loops kept once.

    Args:
        edge_index: int64 ``[2, E]``, whichever directions it stores.
        num_nodes: N.

    Returns:
        edges: int64 ``[2, U]``, sorted by (source, target); origin: int64 ``[U]``, the first column of ``edge_index`` that
        stores the edge in this direction or, where none does, in the other one: features of edges are taken from there.

    Raises:
        UserError: wrong shape or dtype, ids out of range.

    Example:
        >>> edges, origin = undirected_edges(torch.tensor([[2, 0, 1, 1], [1, 1, 0, 1]]), num_nodes=3)
        >>> edges.tolist(), origin.tolist()
        ([[0, 1, 1, 1, 2], [1, 0, 1, 2, 1]], [1, 2, 3, 0, 0])
    """
    _check_edges(edge_index, num_nodes)
    source, target = edge_index.as_subclass(Tensor) if type(edge_index) is not Tensor else edge_index
    key = torch.cat([source * num_nodes + target, target * num_nodes + source])
    key, order = torch.sort(key, stable=True)  # the stored direction of an edge comes before what the other one adds
    new = torch.ones_like(key, dtype=torch.bool)
    new[1:] = key[1:] != key[:-1]
    key = key[new]
    row = key // max(num_nodes, 1)
    return torch.stack([row, key - row * num_nodes]), order[new] % max(len(source), 1)
