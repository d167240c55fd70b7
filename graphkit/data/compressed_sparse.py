"""Matrices in compressed form from files: what their pointers lead to is checked before anything follows them."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["check_compressed"]


def check_compressed(matrix: Any) -> None:
    """Refuse pointers and indices that lead out of a matrix.

    Args:
        matrix: scipy's ``csr_matrix`` or ``csc_matrix``, or an array of these kinds.

    Raises:
        ValueError: for pointers that fall or end elsewhere, and indices out of range.

    Example:
        >>> from scipy.sparse import csr_array
        >>> check_compressed(csr_array(np.eye(3)))
    """
    matrix.check_format(full_check=True)
    # scipy looks at the order of the pointers only where there are entries
    if int(np.diff(matrix.indptr).min(initial=0)) < 0:
        raise ValueError("pointers that fall")
