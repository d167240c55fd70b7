"""HeaRT's negatives kept in the cache: they take seconds to minutes to make and never change."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.data import heart_negatives
from graphkit.datasets.locate import cache_folder
from graphkit.files import ARRAY_DAMAGE, atomic_write

__all__ = ["cached_heart_negatives", "heart_path"]

_FORMAT = 1  # to be raised with every change of what the negatives are


def cached_heart_negatives(
    train: Tensor, valid: Tensor, test: Tensor, num_nodes: int, *, x: Tensor | None = None, **options: Any
) -> tuple[Tensor, Tensor]:
    """See :func:`graphkit.data.heart_negatives`; made once for the same edges, features and options.

    A damaged file is made anew, a cache that cannot be written to is no error.

    Raises:
        UserError: as there.

    Example:
        >>> cached_heart_negatives(train, valid, test, 2708, x=x)[1].shape  # doctest: +SKIP
        torch.Size([2, 527, 500])
    """
    path = heart_path(train, valid, test, num_nodes, x=x, **options)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = tuple(torch.from_numpy(arrays[split].astype(np.int64)) for split in ("valid", "test"))
        if all(
            len(pairs) == 2 and pairs.size(1) == edges.size(1)
            for pairs, edges in zip(found, (valid, test), strict=True)
        ):
            return found[0], found[1]
    except ARRAY_DAMAGE:
        pass
    made = heart_negatives(train, valid, test, num_nodes, x=x, **options)
    arrays = {split: pairs.to(torch.int32).numpy() for split, pairs in zip(("valid", "test"), made, strict=True)}
    with contextlib.suppress(OSError), atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
    return made


def heart_path(
    train: Tensor, valid: Tensor, test: Tensor, num_nodes: int, *, x: Tensor | None = None, **options: Any
) -> Path:
    """Where they belong; edges, features, options and format version make the name."""
    digest = hashlib.sha256(json.dumps([_FORMAT, num_nodes, options], sort_keys=True).encode())
    for tensor in (train, valid, test, x):
        content = b"none" if tensor is None else tensor.contiguous().numpy().tobytes()
        digest.update(json.dumps(None if tensor is None else [str(tensor.dtype), *tensor.shape]).encode())
        digest.update(content)
    return cache_folder() / "processed" / f"heart-{digest.hexdigest()[:20]}.npz"
