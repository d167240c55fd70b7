"""Old pickles of arrays, read without running anything that they name."""

from __future__ import annotations

import io
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.data.compressed_sparse import check_compressed
from graphkit.datasets.pickle_limits import Allowance, check_memo
from graphkit.errors import UserError

__all__ = ["read_arrays"]


def read_arrays(path: str | os.PathLike[str]) -> Any:
    """What a pickle holds, where that is numbers, text, lists, dicts, NumPy arrays of numbers and SciPy's CSR matrices.

    No function or class that the file names is ever looked up: the handful of names that such files need stand for
    constructors written here, which keep plain data, and any other name is refused.

    Args:
        path: the file.

    Returns:
        the object; CSR matrices as ``scipy.sparse.csr_matrix``.

    Raises:
        UserError: for a file that names anything else, or is no such pickle.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "graph"
        >>> _ = path.write_bytes(pickle.dumps({0: [1, 2]}, protocol=2))
        >>> read_arrays(path)
        {0: [1, 2]}
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    try:
        check_memo(content, io.BytesIO(content))
        return _plain(_reader(content).load(), Allowance(len(content)))
    except _RefusedName as error:
        raise UserError(
            f"{path} names {error}, and a data file needs arrays and numbers only; it was not opened further: "
            "replace it by the original"
        ) from None
    except Exception as error:
        raise UserError(f"{path} is no pickle of arrays ({error}); replace it by the original") from None


class _RefusedName(Exception):
    """A name that a pickle of arrays has no need of."""


class _Value:
    """What a stand-in keeps of the object it stands for."""

    value: Any = None


def _reader(content: bytes) -> pickle.Unpickler:
    """An unpickler with stand-ins of its own: what a file does to them ends with it."""

    class Dtype(_Value):
        def __init__(self, text: str, align: bool = False, copy: bool = True) -> None:
            if not re.fullmatch(r"[<>|=]?[biuf]\d{1,2}", str(text)):
                raise ValueError(f"arrays of {text!r} are no arrays of numbers")
            self.value = np.dtype(str(text))

        def __setstate__(self, state: tuple[Any, ...]) -> None:
            if state[1] in ("<", ">"):
                self.value = self.value.newbyteorder(state[1])

    class Array(_Value):
        def __setstate__(self, state: tuple[Any, ...]) -> None:
            _, shape, dtype, fortran, raw = state
            content = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
            flat, sizes = np.frombuffer(content, dtype.value), [int(size) for size in shape]
            self.value = flat.reshape(sizes[::-1]).T if fortran else flat.reshape(sizes)

    class Matrix(_Value):
        def __setstate__(self, state: dict[str, Any]) -> None:
            self.value = dict(state)

    def array(kind: Any, shape: Any, code: Any) -> Array:
        return Array()

    def instance(kind: type, base: Any, state: Any) -> Matrix:
        return Matrix()

    def mapping(default: Any = None) -> dict[Any, Any]:
        return {}

    def latin(text: str, encoding: str) -> bytes:
        return text.encode("latin1")

    def nothing() -> bytes:
        return b""

    known: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): Array,
        ("numpy", "dtype"): Dtype,
        ("collections", "defaultdict"): mapping,
        ("collections", "OrderedDict"): mapping,
        ("_codecs", "encode"): latin,
    }
    known |= {(room, "_reconstruct"): array for room in ("numpy.core.multiarray", "numpy._core.multiarray")}
    known |= {(room, "csr_matrix"): Matrix for room in ("scipy.sparse.csr", "scipy.sparse._csr")}
    known |= {(room, "_reconstructor"): instance for room in ("copy_reg", "copyreg")}
    known |= {(room, name): None for room in ("__builtin__", "builtins") for name in ("list", "object")}
    known |= {(room, "bytes"): nothing for room in ("__builtin__", "builtins")}

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) not in known:
                raise _RefusedName(f"{module}.{name}")
            return known[module, name]

        def persistent_load(self, identity: Any) -> Any:
            raise _RefusedName(f"the outside object {identity!r}")

    return Reader(io.BytesIO(content), encoding="latin1")


def _plain(thing: Any, allowance: Allowance) -> Any:
    """The stand-ins replaced by arrays and matrices."""
    from scipy.sparse import csr_matrix

    allowance.take()
    if isinstance(thing, dict):
        return {_plain(key, allowance): _plain(value, allowance) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return type(thing)(_plain(value, allowance) for value in thing)
    if isinstance(thing, _Value):
        if not isinstance(thing.value, dict):
            return _checked(thing.value)
        state = {str(key): _plain(value, allowance) for key, value in thing.value.items()}
        shape = tuple(int(size) for size in state["_shape"])
        matrix = csr_matrix((state["data"], state["indices"], state["indptr"]), shape=shape, copy=True)
        check_compressed(matrix)
        return matrix
    return _checked(thing)


def _checked(thing: Any) -> Any:
    if thing is None or isinstance(thing, (bool, int, float, str, bytes)):
        return thing
    if isinstance(thing, np.ndarray) and thing.dtype.kind in "biuf":
        return thing.copy()
    raise ValueError(f"a {type(thing).__name__} is neither an array nor a number")
