"""Embeddings of nodes from how often pairs of nodes meet: on orbits of graphlets, or on random walks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from graphkit.analysis.block_operator import BlockOperator, truncated_svd
from graphkit.errors import UserError
from graphkit.ops import SimpleGraph, orbit_adjacency_blocks, orbit_counts, orbit_multiplicity
from graphkit.ops.orbits_reference import Key

__all__ = ["Embedding", "combine_embeddings", "embed", "orbit_pmi", "positive_pmi", "walk_pmi"]

_BLOCK = 2**27  # bytes of a block of orbit adjacencies


class Embedding(NamedTuple):
    """Two vectors for each node.

    Attributes:
        row: float32 ``[N, d]``, of u as the first node of a pair: U sqrt(s).
        column: float32 ``[N, d]``, of v as the second: V sqrt(s).
        values: float32 ``[d]``, the singular values s.

    Example:
        >>> embed(scipy.sparse.eye_array(3, format="csr"), 2).row.shape
        (3, 2)
    """

    row: np.ndarray
    column: np.ndarray
    values: np.ndarray


def positive_pmi(
    matrix: scipy.sparse.csr_array, row_sums: np.ndarray, column_sums: np.ndarray, *, shift: float = 1.0
) -> scipy.sparse.csr_array:
    r"""Shifted positive pointwise mutual information of counts, or of a block of their rows.

    .. math:: \max\left(0, \; \log \frac{M(u, v) \, \sum M}{r(u) \, c(v)} - \log k\right)

    Args:
        matrix: counts, ``[B, N]``, not negative.
        row_sums: r ``[B]``, of the rows of the block.
        column_sums: c ``[N]``, of the whole matrix.
        shift: k, as many negatives a pair as in word2vec.

    Returns:
        float32 ``[B, N]``; only positive entries are stored.

    Source:
        Levy, Goldberg, Neural word embedding as implicit matrix factorization (NeurIPS 2014), section 3.

    Example:
        >>> counts = scipy.sparse.csr_array([[0, 2], [2, 1]])
        >>> positive_pmi(counts, counts.sum(1), counts.sum(0)).toarray().astype(float).round(4).tolist()
        [[0.0, 0.5108], [0.5108, 0.0]]
    """
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    counts = matrix.data.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # a stored zero, or a sum in whose row nothing is stored
        offset = np.log(column_sums.sum(dtype=np.float64)) - math.log(shift)
        row_part, column_part = np.log(row_sums.astype(np.float64)), np.log(column_sums.astype(np.float64))
        values = np.log(counts) + offset - row_part[rows] - column_part[matrix.indices]
    return _positive(matrix, values)


def _positive(matrix: scipy.sparse.csr_array, values: np.ndarray) -> scipy.sparse.csr_array:
    """The positive ones of the values at the entries of a matrix."""
    kept = values > 0
    counts = np.concatenate([[0], np.cumsum(kept)])
    return scipy.sparse.csr_array(
        (values[kept].astype(np.float32), matrix.indices[kept], counts[matrix.indptr]), shape=matrix.shape
    )


def orbit_pmi(graph: SimpleGraph, key: Key, *, shift: float = 1.0, memory: int = 2**30) -> BlockOperator:
    """Shifted positive PMI of an orbit adjacency, made in blocks of rows and never whole as counts.

    Row and column sums are known before the matrix is: they are orbit counts times a small number.

    Args:
        graph: :class:`graphkit.ops.SimpleGraph`.
        key: one of ``ops.ORBIT_KEYS``.
        shift: k, see :func:`positive_pmi`.
        memory: bytes that the entries may take to be kept between products; else they are made for each again.

    Returns:
        A scipy ``LinearOperator`` ``[N, N]``.

    Raises:
        UserError: an unknown key, a shift that is not positive.

    Source:
        Windels, Malod-Dognin, Przulj, Graphlets correct for the topological information missed by random walks
        (arXiv 2405.14194); the normalisation is that of :func:`positive_pmi`.

    Example:
        >>> import torch
        >>> ring = SimpleGraph(torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]]), num_nodes=5)
        >>> (orbit_pmi(ring, (2, 1, 1)) @ np.eye(5))[0].astype(float).round(4).tolist()
        [0.0, 0.0, 0.9163, 0.9163, 0.0]
    """
    _check_shift(shift)
    hop, i, j = key
    counts = orbit_counts(graph, num_nodes=graph.num_nodes).numpy()
    row_sums = orbit_multiplicity((hop, i, j)) * counts[:, i]
    column_sums = orbit_multiplicity((hop, j, i)) * counts[:, j]

    def blocks() -> Iterator[tuple[int, int, scipy.sparse.csr_array]]:
        for begin, end, block in orbit_adjacency_blocks(graph, num_nodes=graph.num_nodes, keys=[key], memory=_BLOCK):
            matrix = block[key]
            parts = (matrix.values().numpy(), matrix.col_indices().numpy(), matrix.crow_indices().numpy())
            found = scipy.sparse.csr_array(parts, shape=tuple(matrix.shape))
            yield begin, end, positive_pmi(found, row_sums[begin:end], column_sums, shift=shift)

    return BlockOperator(graph.num_nodes, blocks, memory=memory)


def walk_pmi(graph: SimpleGraph, *, window: int = 10, shift: float = 1.0, memory: int = 2**30) -> BlockOperator:
    r"""The matrix that DeepWalk factorises in the limit of many walks, made in blocks of rows.

    .. math:: \max\left(0, \; \log\left(\frac{\mathrm{vol}(G)}{k T} \sum_{t=1}^{T} (D^{-1} A)^t D^{-1}\right)\right)

    With a window of 1 it is ``orbit_pmi(graph, (1, 0, 0))``. Nodes without edges have empty rows.

    Args:
        graph: :class:`graphkit.ops.SimpleGraph`.
        window: T, steps between two nodes that count as met.
        shift: k, negatives a pair.
        memory: as for :func:`orbit_pmi`.

    Returns:
        A scipy ``LinearOperator`` ``[N, N]``. Its blocks are dense while they are made: time grows with T M N.

    Raises:
        UserError: a window below 1, a shift that is not positive.

    Source:
        Qiu et al., Network embedding as matrix factorization: unifying DeepWalk, LINE, PTE, and node2vec (WSDM 2018),
        equation 12 and algorithm 3.

    Example:
        >>> import torch
        >>> path = SimpleGraph(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
        >>> (walk_pmi(path, window=2) @ np.eye(3))[0].round(4).tolist()
        [0.0, 0.0, 0.0]
    """
    _check_shift(shift)
    if window < 1:
        raise UserError(f"window is {window}, expected at least 1 step")
    n, degree = graph.num_nodes, graph.degree.numpy().astype(np.float64)
    inverse = np.divide(1.0, degree, out=np.zeros_like(degree), where=degree > 0)
    ones = np.ones(len(graph.col), dtype=np.float32)
    adjacency = scipy.sparse.csr_array((ones, graph.col.numpy(), graph.ptr.numpy()), shape=(n, n))
    step = scipy.sparse.csr_array(adjacency.multiply(inverse[:, None]), dtype=np.float32)
    # columns of a block side by side are the rows of the transpose, which a sparse product makes in one go
    back = scipy.sparse.csr_array(step.T)
    rows_at_once = max(1, min(n, _BLOCK // max(12 * n, 1)))

    def blocks() -> Iterator[tuple[int, int, scipy.sparse.csr_array]]:
        for begin in range(0, n, rows_at_once):
            end = min(n, begin + rows_at_once)
            walks = np.ascontiguousarray(step[begin:end].toarray().T)
            total = walks.copy()
            for _ in range(window - 1):
                walks = back @ walks
                total += walks
            with np.errstate(divide="ignore"):
                values = np.log(total.T * (inverse * degree.sum() / (shift * window))[None, :])
            values[values < 0] = 0
            yield begin, end, scipy.sparse.csr_array(values.astype(np.float32))

    return BlockOperator(n, blocks, memory=memory)


def embed(matrix: Any, dims: int = 128, *, iterations: int = 4, seed: int = 0) -> Embedding:
    """Factorise a matrix of pairs, such as :func:`orbit_pmi` or :func:`walk_pmi`: U sqrt(s) and V sqrt(s).

    Args:
        matrix: ``[N, N]``, scipy sparse matrix or ``LinearOperator``.
        dims: d. Where the graph has fewer nodes, the columns beyond them are 0.
        iterations, seed: of :func:`truncated_svd`.

    Raises:
        UserError: dims below 1.

    Source:
        Levy, Goldberg (NeurIPS 2014), section 4, with the root of the singular values on both sides.

    Example:
        >>> import torch
        >>> ring = SimpleGraph(torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]]), num_nodes=5)
        >>> embed(orbit_pmi(ring, (2, 1, 1)), 3).row.shape
        (5, 3)
    """
    n = matrix.shape[0]
    if dims < 1:
        raise UserError(f"dims is {dims}, expected at least 1")
    if n == 0:
        return Embedding(*(np.zeros(shape, dtype=np.float32) for shape in ((0, dims), (0, dims), (dims,))))
    left, values, right = truncated_svd(matrix, min(dims, n), iterations=iterations, seed=seed)
    values[values <= values[0] * n * np.finfo(values.dtype).eps] = 0  # beyond the rank the vectors are arbitrary
    root = np.sqrt(values)
    more = dims - len(values)
    row, column = (np.pad(part * root, ((0, 0), (0, more))).astype(np.float32) for part in (left, right))
    return Embedding(row, column, np.pad(values, (0, more)).astype(np.float32))


def combine_embeddings(parts: Sequence[np.ndarray], dims: int = 128) -> np.ndarray:
    """Several embeddings as one with ``dims`` dimensions: the leading part of all of them side by side, each of one size.

    Args:
        parts: float ``[N, d_i]`` each; those that are 0 take no part.
        dims: d of the result.

    Returns:
        float32 ``[N, d]``: U s of the matrix that has the parts as columns, each divided by its Frobenius norm.

    Raises:
        UserError: no part, or parts of different length.

    Example:
        >>> one, other = np.eye(4)[:, :2], np.ones((4, 1))
        >>> combine_embeddings([one, other], dims=2).shape
        (4, 2)
    """
    if not parts or len({len(part) for part in parts}) != 1:
        raise UserError(
            f"got {len(parts)} embeddings of {[len(part) for part in parts]} nodes, expected one number of nodes"
        )
    scaled = [part / norm for part in parts if (norm := np.linalg.norm(part)) > 0]
    if not scaled:
        return np.zeros((len(parts[0]), dims), dtype=np.float32)
    beside = np.concatenate(scaled, axis=1).astype(np.float64)
    # the Gram matrix has the right singular vectors; the embeddings are far longer than wide
    _, vectors = np.linalg.eigh(beside.T @ beside)
    leading = vectors[:, ::-1][:, : min(dims, vectors.shape[1])]
    signs = np.sign(np.take_along_axis(leading, np.abs(leading).argmax(0)[None], axis=0))
    out = beside @ (leading * signs)
    return np.pad(out, ((0, 0), (0, dims - out.shape[1]))).astype(np.float32)


def _check_shift(shift: float) -> None:
    if not shift > 0:
        raise UserError(f"shift is {shift}, expected a number above 0; 1 leaves the mutual information as it is")
