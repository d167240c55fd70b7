"""Processed forms of data sets in the cache: arrays only, never a pickle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphkit.data import KnowledgeGraphTask
from graphkit.datasets.card import Card
from graphkit.datasets.locate import cache_folder
from graphkit.errors import UserError
from graphkit.files import atomic_write

__all__ = ["processed_path", "read_processed", "write_processed"]

_FORMAT = 1
_SPLITS = ("train", "valid", "test")


def processed_path(entry: Card, hashes: dict[str, str]) -> Path:
    """Where the processed form belongs; card, options, file hashes and format version make the name."""
    key = json.dumps([_FORMAT, entry.name, entry.reader, entry.options, hashes], sort_keys=True)
    digest = hashlib.sha256(key.encode()).hexdigest()
    return cache_folder() / "processed" / f"{entry.slug}-{digest[:20]}.npz"


def read_processed(path: Path, name: str) -> KnowledgeGraphTask | None:
    """The task in a processed file; None when there is none or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            # Reading an entry checks its CRC, so flipped bytes are noticed.
            train, valid, test = (torch.from_numpy(arrays[split].astype(np.int64)) for split in _SPLITS)
            names: dict[str, Any] = json.loads(arrays["names"].tobytes().decode("utf-8"))
        return KnowledgeGraphTask(name, train, valid, test, names["entities"], names["relations"])
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, UserError):
        return None


def write_processed(path: Path, task: KnowledgeGraphTask) -> None:
    """Keep a processed form, whole or not at all; a cache that cannot be written to is no error."""
    names = json.dumps({"entities": task.entities, "relations": task.relations}, ensure_ascii=False)
    arrays: dict[str, Any] = {split: task.triples(split).to(torch.int32).numpy() for split in _SPLITS}
    arrays["names"] = np.frombuffer(names.encode("utf-8"), dtype=np.uint8)
    with contextlib.suppress(OSError), atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
