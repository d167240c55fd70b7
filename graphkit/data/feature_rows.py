"""Feature matrices of the nodes, several per node, in memory or in a file that is larger than memory."""

from __future__ import annotations

import mmap
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.errors import UserError

__all__ = ["DTYPES", "FeatureFile", "FeatureRows"]

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_STORED: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<i2"),
}
_KEPT_BYTES = 2**30  # rows asked for again and again are kept, up to this size
_KEPT = 3  # train, valid and test
_BLOCK_BYTES = 2**26


class FeatureRows:
    """S feature vectors for each of N nodes, read by rows.

    Args:
        values: ``[N, S, F]``, any floating dtype, in memory or mapped from a file.

    Example:
        >>> rows = FeatureRows(torch.arange(12.0).view(3, 2, 2))
        >>> rows[torch.tensor([2])].tolist()
        [[[8.0, 9.0], [10.0, 11.0]]]
    """

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self._kept: list[tuple[Tensor, Tensor]] = []

    @property
    def shape(self) -> torch.Size:
        return self.values.shape

    def __len__(self) -> int:
        return self.values.shape[0]

    def __getitem__(self, index: Tensor) -> Tensor:
        """The rows of nodes ``[n]`` as float32 (float64 stays), ``[n, S, F]``; do not write into them.

        The last few index sets are remembered with their rows, so that training on the same nodes copies nothing.
        """
        for known, rows in self._kept:
            if known is index or (known.shape == index.shape and torch.equal(known, index)):
                return rows
        rows = self._read(index)
        if 8 * rows.numel() <= _KEPT_BYTES:
            self._kept = [*self._kept[-_KEPT + 1 :], (index.clone(), rows)]
        return rows

    def _read(self, index: Tensor) -> Tensor:
        rows = self.values[index]
        return rows if rows.dtype == torch.float64 else rows.float()


class FeatureFile(FeatureRows):
    """The same in a file ``[N, S, F]``, read a few rows at a time; written matrix by matrix.

    What is written goes to a scratch file as it comes and is then sorted by rows: all passes are sequential, a training batch
    reads one run of bytes per node, and at no time is more than a few blocks of rows in memory.

    Args:
        folder: where the file shall be; it belongs to this object alone and is removed with it.
        size: (N, S, F).
        dtype: ``"float16"``, ``"bfloat16"`` or ``"float32"``.

    Raises:
        UserError: unknown dtype, values beyond float16's range, a disk that is too small.

    Example:
        >>> import tempfile
        >>> file = FeatureFile(tempfile.mkdtemp(), (3, 2, 2), "float16")
        >>> for slot in range(2):
        ...     file.write(slot, 0, torch.full((3, 2), float(slot)))
        >>> file.finish()[torch.tensor([1])].tolist()
        [[[0.0, 0.0], [1.0, 1.0]]]
    """

    def __init__(self, folder: str | Path, size: tuple[int, int, int], dtype: str = "float16") -> None:
        if dtype not in DTYPES:
            raise UserError(f"dtype is {dtype!r}, expected one of {', '.join(DTYPES)}")
        self.folder, self.size, self.dtype = Path(folder), size, dtype
        self.folder.mkdir(parents=True, exist_ok=True)
        need, free = 2 * self.num_bytes, shutil.disk_usage(self.folder).free
        if need > free:
            raise UserError(
                f"{self.folder} has {free / 2**30:.1f} GiB free, but features of this size need {need / 2**30:.1f} GiB while they "
                "are written; give another folder, fewer hops or a lower order"
            )
        self._remove = weakref.finalize(self, shutil.rmtree, str(self.folder), ignore_errors=True)
        self._scratch = open(self.folder / "as_it_came", "w+b")  # noqa: SIM115  (closed by finish)
        self._parts: list[tuple[int, int, int, int]] = []  # slot, first column, columns, place in the scratch file
        self._kept = []

    @property
    def num_bytes(self) -> int:
        """Size of the finished file."""
        return int(np.prod(self.size, dtype=np.int64)) * _STORED[self.dtype].itemsize

    def write(self, slot: int, begin: int, values: Tensor) -> None:
        """Columns ``[begin, begin + c)`` of a matrix, ``[N, c]``.

        Raises:
            UserError: values beyond the range of the dtype.
        """
        if values.shape[0] != self.size[0] or slot not in range(self.size[1]) or begin + values.shape[1] > self.size[2]:
            raise UserError(
                f"values are {list(values.shape)} at ({slot}, {begin}), expected columns of {list(self.size)}"
            )
        self._parts.append((slot, begin, values.shape[1], self._scratch.tell()))
        step = max(1, _BLOCK_BYTES // max(4 * values.shape[1], 1))
        for row in range(0, len(values), step):
            part = values[row : row + step].to(DTYPES[self.dtype])
            if not bool(torch.isfinite(part).all()):
                raise UserError(
                    f"features exceed the range of {self.dtype} or are not finite; scale them, or choose dtype='bfloat16'"
                )
            raw = part.view(torch.int16) if self.dtype == "bfloat16" else part
            self._scratch.write(np.ascontiguousarray(raw.cpu().numpy()).data)

    def finish(self) -> FeatureFile:
        """Sorts the file by rows and opens it for reading.

        Raises:
            UserError: columns that were never written.
        """
        nodes, slots, channels = self.size
        stored = _STORED[self.dtype]
        if sum(columns for _, _, columns, _ in self._parts) != slots * channels:
            raise UserError(f"{self.folder}: not all columns of the {slots} matrices were written")
        step = max(1, _BLOCK_BYTES // max(self.num_bytes // max(nodes, 1), 1))
        with open(self.folder / "by_row", "wb") as out:
            for row in range(0, nodes, step):
                block = np.empty((min(step, nodes - row), slots, channels), stored)
                for slot, begin, columns, place in self._parts:
                    self._scratch.seek(place + row * columns * stored.itemsize)
                    flat = np.fromfile(self._scratch, stored, len(block) * columns)
                    block[:, slot, begin : begin + columns] = flat.reshape(len(block), columns)
                out.write(block.data)
        self._scratch.close()
        (self.folder / "as_it_came").unlink()
        shape = (nodes, slots, channels)
        # an empty file cannot be mapped
        rows: Any = (
            np.memmap(self.folder / "by_row", stored, "r", shape=shape) if self.num_bytes else np.empty(shape, stored)
        )
        self._rows = rows
        return self

    @property
    def shape(self) -> torch.Size:
        return torch.Size(self.size)

    def __len__(self) -> int:
        return self.size[0]

    def _read(self, index: Tensor) -> Tensor:
        ids = index.cpu().numpy()
        order: Any = np.argsort(ids, kind="stable")  # forward through the file
        raw = np.empty((len(ids), *self.size[1:]), _STORED[self.dtype])
        raw[order] = self._rows[ids[order]]
        mapped = getattr(self._rows, "_mmap", None)
        if mapped is not None and self.num_bytes > _KEPT_BYTES and hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_DONTNEED)  # what was read no longer counts as this process's memory
        rows = torch.from_numpy(raw)
        return (rows.view(torch.bfloat16) if self.dtype == "bfloat16" else rows).float().to(index.device)
