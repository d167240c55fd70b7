"""Arrays of numbers from MATLAB's files of format 5, dense and sparse, every length checked before it is followed."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graphkit.data.compressed_sparse import check_compressed
from graphkit.errors import UserError

if TYPE_CHECKING:
    import scipy.sparse

__all__ = ["read_matlab_file"]

_HEADER = 128
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # as stored
_CLASSES = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip  # as meant
_MATRIX, _COMPRESSED, _SPARSE = 14, 15, 5
_COMPLEX = 0x0800


def read_matlab_file(path: Path, names: Sequence[str]) -> dict[str, np.ndarray | scipy.sparse.csc_matrix]:
    """Some arrays of a MATLAB file, those that are there; whatever else it holds is not looked at.

    Args:
        path: a file of format 5, as MATLAB writes it with ``-v6`` and ``-v7``; those of ``-v7.3`` are HDF5.
        names: of the arrays.

    Returns:
        name -> array of numbers (at least two dimensions, as MATLAB has it) or ``csc_matrix`` with checked pointers.

    Raises:
        UserError: for a missing file, one of another format or a damaged one, and an array that holds no real numbers.

    Source:
        MathWorks: MAT-File Format (R2023b), chapter 1.

    Example:
        >>> import tempfile
        >>> from scipy.io import savemat
        >>> path = Path(tempfile.mkdtemp()) / "pair.mat"
        >>> savemat(path, {"xy": np.array([[1.0, 2.0]])})
        >>> read_matlab_file(path, ["xy"])
        {'xy': array([[1., 2.]])}
    """
    try:
        data = memoryview(path.read_bytes())
        if len(data) < _HEADER or bytes(data[126:128]) not in (b"IM", b"MI"):
            raise ValueError("it is not of format 5; save it with -v7")
        order = "<" if bytes(data[126:128]) == b"IM" else ">"
        found = {}
        for kind, content in _elements(data[_HEADER:], order):
            if kind == _COMPRESSED:
                kind, content = next(_elements(memoryview(zlib.decompress(content)), order))
            if kind == _MATRIX and len(content):
                name, value = _array(content, order, names)
                if name in names and value is not None:
                    found[name] = value
        return found
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; expected a MATLAB file") from None
    except (OSError, ValueError, struct.error, zlib.error, StopIteration, OverflowError, MemoryError) as error:
        raise UserError(f"{path} is no whole MATLAB file ({error or 'it ends early'})") from None


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """(type, content) of the elements one behind the other."""
    place = 0
    while place + 8 <= len(data):
        kind, size = struct.unpack_from(order + "2I", data, place)
        begin = place + 8
        if kind >> 16:  # up to four bytes stand in the tag itself
            kind, size, begin = kind & 0xFFFF, kind >> 16, place + 4
            if size > 4:
                raise ValueError(f"a short element of {size} bytes")
        if begin + size > len(data):
            raise ValueError(f"an element of {size} bytes, where {len(data) - begin} are left")
        yield kind, data[begin : begin + size]
        end = place + 8 if begin == place + 4 else begin + size
        place = end if kind == _COMPRESSED else end + -end % 8


def _array(
    content: memoryview, order: str, names: Sequence[str]
) -> tuple[str, np.ndarray | scipy.sparse.csc_matrix | None]:
    parts = _elements(content, order)
    flags = _numbers(*next(parts), order)
    if len(flags) < 1:
        raise ValueError("an array without flags")
    shape = tuple(int(size) for size in _numbers(*next(parts), order))
    name = bytes(next(parts)[1]).decode("latin1")
    if name not in names:
        return name, None
    if len(shape) < 2 or min(shape) < 0:
        raise ValueError(f"{name!r} is {shape}")
    if int(flags[0]) & _COMPLEX:
        raise ValueError(f"{name!r} holds complex numbers")
    kind = int(flags[0]) & 0xFF
    if kind == _SPARSE:
        return name, _sparse(name, shape, [_numbers(*next(parts), order) for _ in range(3)])
    if kind not in _CLASSES:
        raise ValueError(f"{name!r} holds no numbers")
    values = _numbers(*next(parts), order)
    if len(values) != math.prod(shape):
        raise ValueError(f"{name!r} is {shape}, but has {len(values)} numbers")
    return name, values.astype(_CLASSES[kind]).reshape(shape, order="F")


def _sparse(name: str, shape: tuple[int, ...], parts: list[np.ndarray]) -> scipy.sparse.csc_matrix:
    from scipy.sparse import csc_matrix

    rows, pointers, values = parts
    if len(shape) != 2 or len(pointers) != shape[1] + 1:
        raise ValueError(f"{name!r} is {shape}, but has {len(pointers)} columns and one")
    count = int(pointers[-1])  # there may be room behind the last entry
    if not 0 <= count <= min(len(rows), len(values)):
        raise ValueError(f"{name!r} has {min(len(rows), len(values))} entries, but names {count}")
    matrix = csc_matrix((values[:count], rows[:count].astype(np.int64), pointers.astype(np.int64)), shape=shape)
    check_compressed(matrix)  # before anything follows its pointers
    return matrix


def _numbers(kind: int, content: memoryview, order: str) -> np.ndarray:
    if kind not in _NUMBERS:
        raise ValueError(f"an element of type {kind} where numbers are expected")
    stored = np.dtype(order + _NUMBERS[kind])
    if len(content) % stored.itemsize:
        raise ValueError(f"{len(content)} bytes of numbers of {stored.itemsize}")
    values = np.frombuffer(content, stored)
    return values.astype(stored.newbyteorder("="))
