"""Arrays by name from NumPy's archives, never a pickle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graphkit.errors import UserError
from graphkit.files import ARRAY_DAMAGE

__all__ = ["csr_edges", "csr_rows", "read_npz"]


def read_npz(path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Some arrays of an ``.npz`` file; others are not looked at, so a pickle among them harms nobody.

    Args:
        path: the file.
        names: arrays that have to be there.
        optional: arrays that are left out where the file lacks them or holds them as a pickle.

    Raises:
        UserError: for a missing or damaged file, or an array that is not there or is pickled.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "toy.npz"
        >>> np.savez(path, labels=np.arange(3))
        >>> read_npz(path, ["labels"])
        {'labels': array([0, 1, 2])}
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {}
            for name in [*names, *(name for name in optional if name in archive.files)]:
                if name not in archive.files:
                    raise UserError(f"{path} holds no array {name!r}; expected {', '.join(names)}")
                try:
                    array = archive[name]
                except ValueError:
                    if name in names:
                        raise
                    continue
                if array.dtype.kind not in "biufUS":
                    raise UserError(f"{path}: the array {name!r} is {array.dtype}, expected numbers or text")
                found[name] = array
            return found
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; expected an archive of arrays") from None
    except ARRAY_DAMAGE as error:
        raise UserError(f"{path} is damaged or no archive of plain arrays ({error}); fetch it again") from None


def csr_rows(indptr: np.ndarray, indices: np.ndarray, shape: Sequence[int] | np.ndarray) -> np.ndarray:
    """The row of every entry of a compressed sparse matrix, [E] int64.

    Raises:
        ValueError: when pointers, indices and shape do not fit together.

    Example:
        >>> csr_rows(np.array([0, 2, 2, 3]), np.array([0, 1, 1]), (3, 2)).tolist()
        [0, 0, 2]
    """
    rows, columns = (int(size) for size in shape)
    count: np.ndarray = np.diff(indptr.astype(np.int64)).astype(np.int64)
    if len(indptr) != rows + 1 or int(indptr[0]) != 0 or int(indptr[-1]) != len(indices) or bool((count < 0).any()):
        raise ValueError(f"row pointers {indptr.shape} of {len(indices)} entries do not make {rows} rows")
    if len(indices) and not (int(indices.min()) >= 0 and int(indices.max()) < columns):
        raise ValueError(f"a column is outside of 0 .. {columns - 1}")
    return np.repeat(np.arange(rows, dtype=np.int64), count)


def csr_edges(indptr: np.ndarray, indices: np.ndarray, shape: Sequence[int] | np.ndarray) -> np.ndarray:
    """The edges [2, E] int64 of an adjacency matrix, row to column.

    Raises:
        ValueError: as in :func:`csr_rows`, and for a matrix that is not square.

    Example:
        >>> csr_edges(np.array([0, 1, 1]), np.array([1]), (2, 2)).tolist()
        [[0], [1]]
    """
    if len(shape) != 2 or int(shape[0]) != int(shape[1]):
        raise ValueError(f"an adjacency matrix of {tuple(map(int, shape))} is not square")
    return np.stack([csr_rows(indptr, indices, shape), indices.astype(np.int64)])
