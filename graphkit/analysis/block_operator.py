"""A large matrix that is only ever there block by block of its rows, and its leading singular vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import LinearOperator

from graphkit.errors import UserError

__all__ = ["BlockOperator", "truncated_svd"]

Blocks = Callable[[], Iterator[tuple[int, int, scipy.sparse.csr_array]]]


class BlockOperator(LinearOperator):
    """A square sparse matrix given by a function that makes its blocks of rows, float32.

    The blocks are kept if all of them fit into ``memory``; else they are made again for every product, and no more than
    one of them is held.

    Args:
        size: N.
        blocks: called without arguments, yields (row_start, row_end, scipy sparse ``[row_end - row_start, N]``), rows
            rising, the same each time.
        memory: bytes that kept blocks may take; 0 keeps none.

    Attributes:
        entries: stored entries of the matrix, None before the first product.
        kept: whether the blocks are kept, None before the first product.

    Example:
        >>> half = scipy.sparse.csr_array(np.array([[0.0, 2.0]], dtype=np.float32))
        >>> operator = BlockOperator(2, lambda: iter([(0, 1, half), (1, 2, half)]))
        >>> operator @ np.array([1.0, 10.0])
        array([20., 20.], dtype=float32)
    """

    def __init__(self, size: int, blocks: Blocks, *, memory: int = 2**30) -> None:
        super().__init__(np.dtype(np.float32), (size, size))
        self._make, self._memory = blocks, memory
        self._blocks: list[tuple[int, int, scipy.sparse.csr_array]] | None = None
        self.entries: int | None = None
        self.kept: bool | None = None

    def _each(self) -> Iterator[tuple[int, int, scipy.sparse.csr_array]]:
        if self._blocks is not None:
            yield from self._blocks
            return
        keep: list[tuple[int, int, scipy.sparse.csr_array]] | None = [] if self.kept is None else None
        entries = size = 0
        for begin, end, block in self._make():
            entries += block.nnz
            size += block.data.nbytes + block.indices.nbytes + block.indptr.nbytes
            if size > self._memory:
                keep = None
            elif keep is not None:
                keep.append((begin, end, block))
            yield begin, end, block
        self.entries, self.kept, self._blocks = entries, self._blocks is not None or keep is not None, keep

    def _matmat(self, dense: np.ndarray) -> np.ndarray:
        dense = np.ascontiguousarray(dense, dtype=np.float32)
        out = np.zeros((self.shape[0], dense.shape[1]), dtype=np.float32)
        for begin, end, block in self._each():
            out[begin:end] = block @ dense
        return out

    def _rmatmat(self, dense: np.ndarray) -> np.ndarray:
        dense = np.ascontiguousarray(dense, dtype=np.float32)
        out = np.zeros((self.shape[1], dense.shape[1]), dtype=np.float32)
        for begin, end, block in self._each():
            out += block.T @ dense[begin:end]
        return out

    def _matvec(self, vector: np.ndarray) -> np.ndarray:
        return self._matmat(vector.reshape(-1, 1)).reshape(vector.shape)

    def _rmatvec(self, vector: np.ndarray) -> np.ndarray:
        return self._rmatmat(vector.reshape(-1, 1)).reshape(vector.shape)


def truncated_svd(
    matrix: Any, rank: int, *, iterations: int = 4, oversampling: int = 16, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The leading singular values and vectors of a matrix of which only products are asked.

    Takes ``2 * iterations + 2`` products with ``rank + oversampling`` columns each. Singular vectors are defined up to their
    sign; the entry of each left one that is largest in size is made positive.

    Args:
        matrix: scipy sparse matrix or ``LinearOperator`` with products from both sides, ``[M, N]``.
        rank: k, at most the shorter side.
        iterations: rounds of the power method; more for values that are close to each other.
        oversampling: further columns that are computed and dropped.
        seed: of the first columns.

    Returns:
        U ``[M, k]``, s ``[k]`` falling, V ``[N, k]``, in the dtype of the products; U diag(s) V^T is the approximation.

    Raises:
        UserError: a rank below 1 or above the shorter side.

    Source:
        Halko, Martinsson, Tropp, Finding structure with randomness (SIAM Review 2011), algorithms 4.4 and 5.1.

    Example:
        >>> u, s, v = truncated_svd(scipy.sparse.diags_array([3.0, 1.0, 2.0]), 2)
        >>> s.round(6).tolist()
        [3.0, 2.0]
    """
    rows, columns = matrix.shape
    if not 1 <= rank <= min(rows, columns):
        raise UserError(f"rank is {rank}, expected 1 to {min(rows, columns)} for a matrix of shape {(rows, columns)}")
    width = min(rank + oversampling, rows, columns)
    transpose = matrix.T
    dtype = np.float32 if matrix.dtype == np.float32 else np.float64
    dense = np.random.default_rng(seed).standard_normal((columns, width)).astype(dtype)
    basis = np.linalg.qr(matrix @ dense)[0]
    for _ in range(iterations):
        basis = np.linalg.qr(transpose @ basis)[0]
        basis = np.linalg.qr(matrix @ basis)[0]
    # the projection of the matrix to the basis, seen from the other side
    other, values, inner = np.linalg.svd(transpose @ basis, full_matrices=False)
    left, right = (basis @ inner.T)[:, :rank], other[:, :rank]
    signs = np.sign(np.take_along_axis(left, np.abs(left).argmax(0)[None], axis=0))
    signs[signs == 0] = 1
    return left * signs, values[:rank], right * signs
