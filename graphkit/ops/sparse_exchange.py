"""Graphs from scipy and networkx, and sparse matrices back to scipy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops.simple_graph import SimpleGraph

if TYPE_CHECKING:
    import networkx
    import scipy.sparse

__all__ = ["from_networkx", "from_scipy", "to_scipy"]


def from_scipy(matrix: Any) -> SimpleGraph:
    """The simple graph of a sparse adjacency matrix of scipy's.

    Every entry that is not 0 is an edge; its weight is ignored, its direction too.

    Args:
        matrix: scipy sparse array or matrix of any format, ``[N, N]``.

    Returns:
        :class:`SimpleGraph` on N nodes; ``info`` says what was dropped.

    Raises:
        UserError: anything but a square sparse matrix.

    Example:
        >>> import scipy.sparse
        >>> from_scipy(scipy.sparse.coo_array(([2.5, 0.0], ([0, 1], [1, 2])), shape=(3, 3)))
        SimpleGraph(num_nodes=3, num_edges=1)
    """
    import scipy.sparse

    if not scipy.sparse.issparse(matrix) or len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
        shape = getattr(matrix, "shape", None)
        raise UserError(
            f"got {type(matrix).__name__}{'' if shape is None else f' of shape {tuple(shape)}'}, expected a square scipy"
            " sparse matrix; make one of a dense array with scipy.sparse.csr_array"
        )
    entries = scipy.sparse.coo_array(matrix)
    kept = entries.data != 0
    edges = np.stack([entries.row[kept], entries.col[kept]]).astype(np.int64)
    return SimpleGraph(torch.from_numpy(edges), num_nodes=int(matrix.shape[0]))


def from_networkx(graph: networkx.Graph) -> SimpleGraph:
    """The simple graph of a networkx graph of any kind; node k is the k-th of ``graph.nodes``.

    Args:
        graph: with or without directions, weights, loops and parallel edges, all of which are ignored.

    Returns:
        :class:`SimpleGraph`; ``info`` says what was dropped.

    Raises:
        UserError: anything but a networkx graph.

    Example:
        >>> import networkx as nx
        >>> from_networkx(nx.Graph([("rome", "milan"), ("milan", "turin")]))
        SimpleGraph(num_nodes=3, num_edges=2)
    """
    if not hasattr(graph, "nodes") or not hasattr(graph, "is_directed"):
        raise UserError(f"got {type(graph).__name__}, expected a networkx graph")
    place = {node: k for k, node in enumerate(graph.nodes)}
    pairs = [(place[edge[0]], place[edge[1]]) for edge in graph.edges]
    edges = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t()
    if not graph.is_directed():  # networkx lists an edge once, which is no sign of a direction
        edges = torch.cat([edges, edges.flip(0)[:, edges[0] != edges[1]]], 1)
    return SimpleGraph(edges, num_nodes=len(place))


def to_scipy(matrix: Tensor, *, copy: bool = True) -> scipy.sparse.csr_array:
    """A sparse CSR tensor as scipy's ``csr_array``.

    Orbit adjacencies of one hop share the arrays of their pattern and store the zeros in it. The copy shares nothing and
    stores no zero, so it can be changed. Without the copy the arrays are those of the tensor, and read-only: what
    would write into one matrix and change others raises ValueError instead.

    Args:
        matrix: sparse CSR tensor ``[M, N]`` on the CPU.
        copy: whether the result has arrays of its own.

    Raises:
        UserError: for anything but a sparse CSR tensor.

    Example:
        >>> from graphkit.ops import orbit_adjacency
        >>> paw = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 3]])
        >>> found = orbit_adjacency(paw, num_nodes=4)
        >>> to_scipy(found[1, 9, 11]).nnz, to_scipy(found[1, 9, 11], copy=False).nnz
        (1, 8)
    """
    import scipy.sparse

    if not isinstance(matrix, Tensor) or matrix.layout != torch.sparse_csr:
        what = matrix.layout if isinstance(matrix, Tensor) else type(matrix).__name__
        raise UserError(f"got {what}, expected a sparse CSR tensor such as those of orbit_adjacency")
    parts = [t.detach().cpu().numpy() for t in (matrix.values(), matrix.col_indices(), matrix.crow_indices())]
    if not copy:
        # views, so that the flag is theirs and the tensor's memory stays as it is
        parts = [part.view() for part in parts]
        for part in parts:
            part.flags.writeable = False
        return scipy.sparse.csr_array(tuple(parts), shape=tuple(matrix.shape), copy=False)
    out = scipy.sparse.csr_array(tuple(parts), shape=tuple(matrix.shape), copy=True)
    out.eliminate_zeros()
    return out
