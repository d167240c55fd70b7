"""Graphs in files of torch tensors, read without running what a pickle may ask for."""

from __future__ import annotations

import collections
import io
import mmap
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.datasets.pickle_limits import check_memo
from graphkit.datasets.stored_graphs import StoredGraphs
from graphkit.errors import UserError

__all__ = ["read_gnn_benchmark", "read_lrgb", "read_tensor_pickle", "read_torch_tensors"]

_SPLITS = {"train": "train", "valid": "val", "test": "test"}
# Numbers of categories of OGB's tables for the atoms and bonds of molecules.
_ATOMS, _BONDS = [119, 5, 12, 12, 10, 6, 6, 2, 2], [5, 6, 2]
# The 81 numbers that classes of COCO have among 0 .. 90.
_COCO = [k for k in range(91) if k not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]


def read_lrgb(
    paths: dict[str, Path], *, target: str, level: str, molecules: bool = False, coco: bool = False
) -> StoredGraphs:
    """Three files, ``train``, ``val`` and ``test``, each a list of ``(x, edge_attr, edge_index, y)``.

    Args:
        paths: path by the file's name; ``*.pt`` of ``torch.save`` or ``*.pickle``.
        target: what ``y`` is.
        level: what it is about.
        molecules: whether ``x`` and ``edge_attr`` are categories of atoms and bonds as OGB numbers them.
        coco: whether classes are numbered as in COCO, with gaps, which are closed.

    Raises:
        UserError: for a missing or damaged file, or one that holds something else.

    Source:
        Dwivedi et al.: Long Range Graph Benchmark (NeurIPS 2022).
    """
    from torch_geometric.data import Data

    graphs: list[Any] = []
    parts: dict[str, Tensor] = {}
    for split, word in _SPLITS.items():
        path = next((path for name, path in paths.items() if Path(name).stem == word), None)
        if path is None:
            raise UserError(f"the files {', '.join(sorted(paths))} lack one of the split {word}")
        begin = len(graphs)
        content = read_torch_tensors(path) if path.suffix == ".pt" else read_tensor_pickle(path)
        try:
            for x, edge_attr, edge_index, y in content:
                y = torch.as_tensor(y)
                if coco:
                    y = torch.searchsorted(torch.tensor(_COCO), y.to(torch.int64))
                if not molecules:
                    x, edge_attr = x.float(), edge_attr.float()
                graphs.append(
                    Data(x=x, edge_index=edge_index, edge_attr=edge_attr.reshape(edge_index.size(1), -1), y=y)
                )
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise UserError(f"{path} is no list of (x, edge_attr, edge_index, y) ({error})") from None
        parts[split] = torch.arange(begin, len(graphs))
    categories = {"x": _ATOMS, "edge_attr": _BONDS} if molecules else {}
    return StoredGraphs(graphs, level, target, splits={"official": parts}, categories=categories)  # type: ignore[arg-type]


def read_gnn_benchmark(path: Path, *, level: str) -> StoredGraphs:
    """One file of ``torch.save``: for train, val and test a list of mappings with ``edge_index``, ``y`` and, where there are
    any, ``x``, ``pos`` and ``edge_attr``; positions stand beside the features.

    Args:
        path: the file.
        level: what ``y`` is about.

    Raises:
        UserError: for a missing or damaged file, or one that holds something else.

    Source:
        Dwivedi et al.: Benchmarking Graph Neural Networks (JMLR 2023), in PyG's form.
    """
    from torch_geometric.data import Data

    graphs: list[Any] = []
    parts: dict[str, Tensor] = {}
    try:
        for split, content in zip(_SPLITS, read_torch_tensors(path), strict=True):
            begin = len(graphs)
            for one in content:
                beside = [one[key].float() for key in ("x", "pos") if one.get(key) is not None]
                data = Data(edge_index=one["edge_index"], y=torch.as_tensor(one["y"]))
                if beside:
                    data.x = torch.cat([part.reshape(part.size(0), -1) for part in beside], 1)
                if one.get("edge_attr") is not None:
                    data.edge_attr = one["edge_attr"].float().reshape(data.edge_index.size(1), -1)
                graphs.append(data)
            parts[split] = torch.arange(begin, len(graphs))
    except UserError:
        raise
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, RuntimeError, MemoryError) as error:
        raise UserError(f"{path} holds no three lists of graphs ({error})") from None
    return StoredGraphs(graphs, level, splits={"official": parts})  # type: ignore[arg-type]


def read_torch_tensors(path: Path) -> Any:
    """What ``torch.save`` wrote, by torch's own restricted reader: tensors, numbers, text, and containers of them.

    Raises:
        UserError: for a missing or damaged file, or one that names anything else.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "train.pt"
        >>> torch.save([(torch.ones(2), 3)], file)
        >>> read_torch_tensors(file)
        [(tensor([1., 1.]), 3)]
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; expected a file written by torch.save") from None
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is damaged, or holds more than tensors and plain values ({first})") from None


def read_tensor_pickle(path: Path) -> Any:
    """What a pickle holds, where that is torch tensors, NumPy arrays of numbers, numbers, text and containers of them.

    Only the few functions that such a file needs are known; any other name is refused before it is looked up, and the bytes
    of a tensor go through torch's own restricted reader.

    Raises:
        UserError: for a missing or damaged file, or one that names anything else.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "train.pickle"
        >>> _ = file.write_bytes(pickle.dumps([(torch.ones(2), [1, 2])]))
        >>> read_tensor_pickle(file)
        [(tensor([1., 1.]), [1, 2])]
    """
    try:
        with path.open("rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                check_memo(content, file)
            file.seek(0)
            return _Interpreter(file, path).load()
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; expected a pickle of tensors") from None
    except Exception as error:
        raise UserError(f"{path} is no pickle of tensors ({error}); replace it by the original") from None


class _Interpreter(pickle.Unpickler):
    """Follows a pickle; a name in it leads to one of a few makers of tensors and arrays, or nowhere."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file)
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise UserError(
                f"{self.path} names {module}.{name}, and graphs need tensors and numbers only; it was not read"
            )
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise UserError(f"{self.path} is a part of another file; replace it by the original")


def _storage(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _tensor(storage: Any, offset: int, size: Any, stride: Any, requires_grad: bool, hooks: Any, *rest: Any) -> Tensor:
    """``torch._utils._rebuild_tensor_v2``, for a size that the storage holds."""
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    empty, content = torch.empty(0, dtype=storage.dtype), storage._untyped_storage
    if min([offset, *size, *stride]) < 0 or (0 not in size and last >= content.nbytes() // empty.element_size()):
        raise pickle.UnpicklingError("a tensor larger than its storage")
    return empty.set_(content, offset, tuple(size), tuple(stride))


def _array(kind: Any, shape: Any, code: Any) -> np.ndarray:
    return np.ndarray((0,), "b")


def _dtype(code: str, *rest: Any) -> np.dtype[Any]:
    found = np.dtype(code)
    if found.kind not in "biuf":
        raise pickle.UnpicklingError(f"an array of type {code!r}")
    return found


def _scalar(dtype: np.dtype[Any], content: bytes) -> Any:
    return np.frombuffer(content, dtype)[0].item()


class _Mark:
    """A name that only stands as an argument."""


_KNOWN: dict[tuple[str, str], Callable[..., Any] | type] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("numpy", "ndarray"): _Mark,
    ("numpy", "dtype"): _dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
}
