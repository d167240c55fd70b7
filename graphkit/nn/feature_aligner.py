"""Features of graphs from different domains, brought to one width by a truncated singular value decomposition."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.errors import UserError, nearest

__all__ = ["FeatureAligner"]

_SCALES = ("s", "sqrt_s", "none")
_DENSE_ENTRIES = 10**8  # a sparse matrix with more entries is never made dense
_SMALL = 2500  # shorter sides are decomposed exactly


class FeatureAligner:
    r"""A projection of features ``[N, F]`` to ``[N, channels]`` that keeps as much of them as the width allows.

    .. math:: X \approx U S V^\top, \qquad \tilde X = X V S^{e - 1} / \overline{\|\cdot\|}, \qquad
        e = 1, \tfrac12, 0 \text{ for } \texttt{scale} = \texttt{"s"}, \texttt{"sqrt\_s"}, \texttt{"none"}

    The last division makes the mean length of the rows 1, so prompts have the same relative size in every graph. In each column of
    V the entry with the largest absolute value is positive, so two fits agree. Columns beyond the rank are zeros. Columns of
    different data sets have nothing to do with each other. Computed in float64; a sparse matrix with more than 10^8 entries is
    decomposed without making it dense.

    Args:
        channels: width d0.
        scale: as above.
        normalize: whether rows are made 1 long in the mean.
        seed: of the iteration where it starts at random.

    Attributes:
        projection: ``[F, channels]`` after :meth:`fit`.

    Raises:
        UserError: for sizes or options out of range.

    Source:
        "SVD to a common width" as GMoPE's summaries say; the details are this library's.

    Example:
        >>> x = torch.randn(10, 6)
        >>> aligner = FeatureAligner(8)
        >>> aligner.fit_transform(x).shape, bool((aligner.transform(x)[:, 6:] == 0).all())
        (torch.Size([10, 8]), True)
    """

    def __init__(self, channels: int, *, scale: str = "s", normalize: bool = True, seed: int = 0) -> None:
        if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
            raise UserError(f"channels is {channels!r}, expected a whole number from 1")
        if scale not in _SCALES:
            raise UserError(nearest(str(scale), _SCALES, "scale of aligned features"))
        self.channels, self.scale, self.normalize, self.seed = channels, scale, normalize, seed
        self.projection: Tensor | None = None

    @property
    def options(self) -> tuple[Any, ...]:
        """What decides the result besides the features.

        Example:
            >>> FeatureAligner(4).options
            (4, 's', True, 0)
        """
        return self.channels, self.scale, self.normalize, self.seed

    def fit(self, x: Tensor, rows: Tensor | None = None) -> FeatureAligner:
        """Find the projection.

        Args:
            x: ``[N, F]``, dense or sparse (COO or CSR).
            rows: bool ``[N]`` or int64 ids: the nodes that may be looked at, where others are new; None: all.

        Raises:
            UserError: for no rows, another shape, or values that are not finite.
        """
        if not isinstance(x, Tensor) or x.dim() != 2:
            shape = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise UserError(f"x is {shape}, expected features [N, F]")
        matrix = _matrix(x, rows)
        if 0 in matrix.shape:
            raise UserError(
                f"x is {list(matrix.shape)}, so there is nothing to align; give features, or a node to look at"
            )
        values = matrix.data if hasattr(matrix, "tocsr") else matrix
        if not np.isfinite(values).all():
            raise UserError("features hold NaN or infinite values; fill them in or leave these columns out")
        singular, right = _decomposed(matrix, self.channels, self.seed)
        largest = np.take_along_axis(right, np.abs(right).argmax(0)[None], 0)
        right = right * np.where(largest < 0, -1.0, 1.0)
        power = {"s": 0.0, "sqrt_s": -0.5, "none": -1.0}[self.scale]
        projection = np.zeros((matrix.shape[1], self.channels))
        projection[:, : right.shape[1]] = right * singular**power
        if self.normalize:
            length = np.sqrt(np.square(np.asarray(matrix @ projection)).sum(1)).mean()
            projection /= length if length > 0 else 1.0
        self.projection = torch.from_numpy(projection)
        return self

    def transform(self, x: Tensor) -> Tensor:
        """Aligned features ``[N, channels]``, float32 (float64 for features in float64).

        Raises:
            UserError: before :meth:`fit`, or for features of another width.
        """
        if self.projection is None:
            raise UserError("the aligner has not seen any features; call fit first")
        if x.dim() != 2 or x.size(1) != self.projection.size(0):
            raise UserError(
                f"x is {list(x.shape)}, but the aligner was fitted on features of {self.projection.size(0)}; fit one for each data "
                "set"
            )
        matrix = _matrix(x, None)
        out = torch.from_numpy(np.asarray(matrix @ self.projection.numpy()))
        return out.to(device=x.device, dtype=torch.float64 if x.dtype == torch.float64 else torch.float32)

    def fit_transform(self, x: Tensor) -> Tensor:
        """:meth:`fit` and :meth:`transform` on the same features."""
        return self.fit(x).transform(x)

    def fingerprint(self) -> str:
        """SHA-256 of options and projection, the latter to six digits.

        Example:
            >>> x = torch.eye(3)
            >>> FeatureAligner(2).fit(x).fingerprint() == FeatureAligner(2).fit(x).fingerprint()
            True
        """
        found = hashlib.sha256(repr(self.options).encode())
        if self.projection is not None:
            found.update((np.round(self.projection.numpy(), 6) + 0.0).tobytes())
        return found.hexdigest()


def _matrix(x: Tensor, rows: Tensor | None) -> Any:
    """float64: a NumPy array, or a SciPy matrix for sparse features that are large."""
    if x.layout == torch.strided:
        dense = x.detach() if rows is None else x.detach()[rows]
        return dense.double().cpu().numpy()
    import scipy.sparse

    coo = x.detach().to_sparse_coo().coalesce().cpu()
    index, values = coo.indices().numpy(), coo.values().double().numpy()
    matrix = scipy.sparse.csr_matrix((values, (index[0], index[1])), shape=tuple(x.shape))
    if rows is not None:
        matrix = matrix[rows.cpu().numpy()]
    return matrix if x.size(0) * x.size(1) > _DENSE_ENTRIES else matrix.toarray()


def _decomposed(matrix: Any, channels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Singular values ``[r]`` above rounding, descending, and right singular vectors ``[F, r]``."""
    rows, width = matrix.shape
    rank = min(channels, rows, width)
    if min(rows, width) <= _SMALL:
        # the smaller Gram matrix, exactly
        wide = width > rows
        gram = np.asarray((matrix @ matrix.T if wide else matrix.T @ matrix).toarray() if hasattr(matrix, "toarray") else (
            matrix @ matrix.T if wide else matrix.T @ matrix))  # fmt: skip
        values, vectors = np.linalg.eigh(gram)
        values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
        kept = values > max(values[0], 0.0) * min(rows, width) * np.finfo(np.float64).eps
        singular, vectors = np.sqrt(values[kept]), vectors[:, kept]
        return singular, np.asarray(matrix.T @ vectors) / singular if wide else vectors
    import scipy.sparse
    from scipy.sparse.linalg import svds

    if not hasattr(matrix, "tocsr") and np.count_nonzero(matrix) < 0.1 * matrix.size:
        matrix = scipy.sparse.csr_matrix(matrix)  # bags of words: the iteration skips the zeros
    start = np.random.Generator(np.random.Philox(seed)).standard_normal(min(rows, width))
    _, singular, right = svds(matrix, k=rank, v0=start, solver="arpack")
    order = np.argsort(-singular)
    singular, right = singular[order], right[order].T
    kept = singular > singular[0] * max(rows, width) * np.finfo(np.float64).eps
    return singular[kept], right[:, kept]
