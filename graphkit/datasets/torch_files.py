"""Arrays from files that torch.save wrote, read without running what a pickle may ask for."""

from __future__ import annotations

import io
import math
import mmap
import os
import pickle
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from graphkit.datasets.pickle_limits import Allowance, check_memo
from graphkit.errors import UserError

__all__ = ["read_torch_file", "read_torch_tensor"]

_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_NUMERIC = re.compile(r"[?b]1?|[iuf][1248]|[US]\d{1,9}")
_PLAIN = {str, int, float, bool}
_DAMAGE = (
    pickle.UnpicklingError, EOFError, AttributeError, ValueError, TypeError, KeyError, IndexError, ImportError,
    OverflowError, zipfile.BadZipFile, zlib.error, struct.error, MemoryError, OSError,
    RuntimeError,  # a flipped bit makes a member "encrypted", or of an unknown compression
)  # fmt: skip


def read_torch_file(path: str | os.PathLike[str], *, nested: bool = False) -> dict[Any, Any]:
    """The mapping in a file of ``torch.save``: NumPy arrays, numbers, text, and lists of numbers or text.

    Both containers are read, torch's zip files and the older sequence of pickles. The pickle inside is followed by an
    interpreter that knows NumPy's arrays of numbers and text and nothing else: whatever else it names is refused before
    it is looked up, so a file cannot import, call or build anything. A file made to exhaust the memory still can.

    Args:
        path: the file.
        nested: whether a value may be None or a mapping of its own, and a name in such a mapping a tuple of texts.

    Returns:
        name -> value; arrays of any byte order, in the order of the file. An array of objects that holds only text is
        a list.

    Raises:
        UserError: for a missing or damaged file, one that names anything else (it is named), torch tensors, or
            something other than a mapping of plain values.

    Example:
        >>> import tempfile, torch
        >>> file = Path(tempfile.mkdtemp()) / "train.pt"
        >>> torch.save({"head": np.array([3, 1]), "type": ["drug", "gene"]}, file)
        >>> read_torch_file(file)
        {'head': array([3, 1]), 'type': ['drug', 'gene']}
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            allowance = Allowance(path.stat().st_size)
            content = _content(file, path)
        if not isinstance(content, dict):
            raise UserError(f"{path} holds a {type(content).__name__}, expected a mapping of names to arrays")
        return {_name(key, path): _finished(value, key, path, nested, allowance) for key, value in content.items()}
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; expected a file written by torch.save") from None
    except _DAMAGE as error:
        raise UserError(f"{path} is damaged or was not written by torch.save ({error}); fetch it again") from None


def read_torch_tensor(file: IO[bytes] | str | os.PathLike[str], name: str | None = None) -> torch.Tensor:
    """The one plain tensor in a file of ``torch.save``.

    torch's own restricted reader follows the pickle inside: it knows tensors and plain containers, and refuses whatever else
    the pickle names before it is looked up.

    Args:
        file: path, or an open file.
        name: what to call it in messages; None: its path.

    Raises:
        UserError: for a missing or damaged file, and one that holds anything but one dense tensor.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "labels.pt"
        >>> torch.save(torch.tensor([3, 1]), path)
        >>> read_torch_tensor(path)
        tensor([3, 1])
    """
    name = name or str(file)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{name} does not exist; expected a tensor written by torch.save") from None
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0] if str(error) else "no plain tensor"
        raise UserError(f"{name} is not read, and nothing of it was run: {reason}") from None
    except Exception as error:  # torch's reader of the older container asserts what a damaged one does not keep
        raise UserError(f"{name} is damaged or was not written by torch.save ({error}); fetch it again") from None
    if type(content) is not torch.Tensor or content.layout != torch.strided:
        raise UserError(f"{name} holds a {type(content).__name__}, expected one dense tensor")
    return content


def _content(file: IO[bytes], path: Path) -> Any:
    if file.read(4) == b"PK\x03\x04":
        with zipfile.ZipFile(file) as archive:
            members = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
            if len(members) != 1:
                raise UserError(f"{path} is a zip file without the data.pkl of torch.save; fetch it again")
            pickled = archive.read(members[0])
            check_memo(pickled, io.BytesIO(pickled))
            return _Interpreter(io.BytesIO(pickled), path).load()
    _check_sequence(file)
    file.seek(0)
    if _Interpreter(file, path).load() != _LEGACY_MAGIC or _Interpreter(file, path).load() != _LEGACY_PROTOCOL:
        raise UserError(f"{path} was not written by torch.save; fetch it again")
    _Interpreter(file, path).load()  # sizes of C types on the machine that wrote it
    return _Interpreter(file, path).load()


def _check_sequence(file: IO[bytes]) -> None:
    """The four pickles of the older container, without a copy of them in memory."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        file.seek(0)
        check_memo(content, file, pickles=4)


class _Interpreter(pickle.Unpickler):
    """Follows a pickle; every name in it leads to one of the stand-ins below, or nowhere."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file)
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise UserError(
                f"{self.path} asks for {module}.{name}, which is neither an array nor a plain value; it is not read, and "
                "nothing of it was run"
            )
        return _STAND_INS[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise UserError(f"{self.path} holds torch tensors, expected NumPy arrays")


# The stand-ins have no attributes (__slots__), so a pickle can neither change them nor hang anything on them.


class _Array:
    """An array under construction: empty until the pickle hands over its state."""

    __slots__ = ("value",)
    value: np.ndarray | list[str]

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        self.value = _array(shape, dtype, bool(fortran), raw)


class _Dtype:
    """A type of numbers or text; the pickle hands over the byte order afterwards."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        if not isinstance(code, str) or not (_NUMERIC.fullmatch(code) or code in ("O", "O8")):
            raise pickle.UnpicklingError(f"an array of type {code!r}")
        self.code, self.order = code, "|"

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "|", "=") or any(state[2:5]):
            raise pickle.UnpicklingError("an array of records")
        self.order = state[1]

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _MakeDtype:
    __slots__ = ()

    def __call__(self, code: str, align: bool = False, copy: bool = True) -> _Dtype:
        return _Dtype(code)


class _MakeArray:
    """``_reconstruct(ndarray, (0,), b"b")``: an empty array, whatever the arguments."""

    __slots__ = ()

    def __call__(self, kind: Any, shape: Any, code: Any) -> _Array:
        return _Array()


class _ArrayFromBuffer:
    """``_frombuffer(buffer, dtype, shape, order)`` of pickle protocol 5."""

    __slots__ = ()

    def __call__(self, raw: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        array = _Array()
        array.value = _array(shape, dtype, order == "F", bytes(raw))
        return array


class _MakeScalar:
    """A NumPy number, as a plain one."""

    __slots__ = ()

    def __call__(self, dtype: Any, raw: Any) -> Any:
        return _array((), dtype, False, raw).item()  # type: ignore[union-attr]


class _Encode:
    """Older pickles keep bytes as Latin-1 text."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise pickle.UnpicklingError("text in an unexpected encoding")
        return text.encode("latin1")


class _NoBytes:
    """Older pickles write empty bytes as a call without arguments."""

    __slots__ = ()

    def __call__(self) -> bytes:
        return b""


class _Mark:
    """A name that only stands as an argument."""

    __slots__ = ()


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _MakeDtype(),
    ("numpy", "ndarray"): _Mark(),
    ("_codecs", "encode"): _Encode(),
    **{(module, "bytes"): _NoBytes() for module in ("__builtin__", "builtins")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _MakeArray() for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _MakeScalar() for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _ArrayFromBuffer() for core in ("core", "_core")},
}


def _array(shape: Any, dtype: Any, fortran: bool, raw: Any) -> np.ndarray | list[str]:
    whole = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    if not whole or not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("an array without shape or type")
    if dtype.code.startswith("O"):
        if len(shape) != 1 or not isinstance(raw, list) or set(map(type, raw)) - {str}:
            raise pickle.UnpicklingError("an array of objects other than text")
        return list(raw)
    kind = dtype.numpy()
    if not isinstance(raw, bytes) or len(raw) != math.prod(shape) * kind.itemsize:
        raise pickle.UnpicklingError("an array whose bytes do not fill its shape")
    return np.frombuffer(raw, kind).reshape(shape, order="F" if fortran else "C")


def _name(key: Any, path: Path, tuples: bool = False) -> Any:
    parts = key if tuples and isinstance(key, tuple) else (key,)
    if set(map(type, parts)) - {str}:
        raise UserError(f"{path} names a value {key!r}, expected text")
    return key


def _finished(value: Any, key: Any, path: Path, nested: bool, allowance: Allowance) -> Any:
    allowance.take()
    if isinstance(value, _Array):
        return value.value
    if nested and value is None:
        return None
    if nested and isinstance(value, dict):
        return {
            _name(inner, path, True): _finished(one, inner, path, nested, allowance) for inner, one in value.items()
        }
    plain = type(value) in _PLAIN or (isinstance(value, (list, tuple)) and not set(map(type, value)) - _PLAIN)
    if not plain:
        raise UserError(f"{path}: {key!r} is neither an array, a number, text nor a list of them")
    return value
