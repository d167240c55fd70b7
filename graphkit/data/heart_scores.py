"""How near other nodes are to some nodes: resource allocation, personalised PageRank, likeness of features."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["feature_cosine", "personalized_pagerank", "resource_allocation", "rounded"]


def resource_allocation(adjacency: Any, nodes: np.ndarray) -> np.ndarray:
    r"""Resource allocation index of nodes with all nodes, :math:`\sum_{z \in N(u) \cap N(v)} 1 / d_z`; [B, N] float64.

    Args:
        adjacency: SciPy CSR matrix [N, N] of zeros and ones, symmetric, without self-loops.
        nodes: [B] int64.

    Source:
        Zhou, Lü, Zhang: Predicting missing links via local information (European Physical Journal B 2009).

    Example:
        >>> from scipy.sparse import csr_matrix
        >>> path = csr_matrix(np.array([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]]))
        >>> resource_allocation(path, np.array([0])).tolist()
        [[0.5, 0.0, 0.5]]
    """
    return (adjacency[nodes] @ _by_degree(adjacency)).toarray()


def personalized_pagerank(
    adjacency: Any, nodes: np.ndarray, *, restart: float = 0.15, tolerance: float = 1e-7
) -> np.ndarray:
    r"""Personalised PageRank of all nodes, seen from some nodes, by forward push; [B, N] float64.

    Residuals r start at 1 at the node. In a round every v with :math:`r_v > \epsilon d_v` gives the share :math:`\alpha`
    of its residual to its PageRank and the rest to its neighbours in equal parts, all such v at once; the rounds end when
    there is none. What is found lies below the exact value by at most :math:`\epsilon d_v`.

    Args:
        adjacency: as for :func:`resource_allocation`.
        nodes: [B] int64.
        restart: :math:`\alpha`.
        tolerance: :math:`\epsilon`.

    Source:
        Andersen, Chung, Lang: Local Graph Partitioning using PageRank Vectors (FOCS 2006).

    Example:
        >>> from scipy.sparse import csr_matrix
        >>> pair = csr_matrix(np.array([[0.0, 1], [1, 0]]))
        >>> personalized_pagerank(pair, np.array([0])).round(3).tolist()
        [[0.541, 0.459]]
    """
    columns = np.arange(nodes.size)
    residual = np.zeros((adjacency.shape[0], nodes.size))
    residual[nodes, columns] = 1.0
    found = np.zeros_like(residual)
    spread = _by_degree(adjacency).T.tocsr()
    limit = tolerance * np.diff(adjacency.indptr)[:, None]
    while columns.size:  # those whose residual is small everywhere drop out
        pushed = np.where(residual > limit, residual, 0.0)
        found[:, columns] += restart * pushed
        residual -= pushed
        residual += (1.0 - restart) * (spread @ pushed)
        busy = pushed.any(0)
        if not busy.all():
            residual, columns = residual[:, busy], columns[busy]
    return found.T


def feature_cosine(x: Any, nodes: np.ndarray) -> np.ndarray:
    r"""Cosine of the features of nodes with those of all nodes, :math:`x_u \cdot x_v / \sqrt{|x_u|^2 |x_v|^2}`; [B, N].

    0 where one of the two has no features. Exact to the last bit, whatever the order of the sums, for whole numbers.

    Args:
        x: SciPy CSR matrix [N, F] of float64.
        nodes: [B] int64.

    Example:
        >>> from scipy.sparse import csr_matrix
        >>> feature_cosine(csr_matrix(np.array([[1.0, 1], [0, 1], [0, 0]])), np.array([1])).round(3).tolist()
        [[0.707, 1.0, 0.0]]
    """
    squares = np.asarray(x.multiply(x).sum(1)).ravel()
    norms = np.sqrt(squares[nodes][:, None] * squares[None, :])
    dots = (x[nodes] @ x.T.tocsr()).toarray()
    return np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0)


def rounded(scores: np.ndarray) -> np.ndarray:
    """Scores to 40 binary digits: what is equal in exact arithmetic is then equal, in whatever order it was added up.

    Example:
        >>> bool(rounded(np.array([0.1 + 0.2]))[0] == rounded(np.array([0.3]))[0])
        True
    """
    mantissa, exponent = np.frexp(scores)
    return np.ldexp(np.round(np.ldexp(mantissa, 40)), exponent - 40)


def _by_degree(adjacency: Any) -> Any:
    """Row z of the adjacency divided by the degree of z."""
    from scipy.sparse import diags

    degree = np.diff(adjacency.indptr)
    return diags(np.divide(1.0, degree, out=np.zeros(degree.size), where=degree > 0)).tocsr() @ adjacency
