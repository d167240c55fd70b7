"""Processed forms of data sets in the cache: arrays only, never a pickle."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphkit.data import InductiveKnowledgeGraphTask, KnowledgeGraphTask, OGBKnowledgeGraphTask
from graphkit.datasets.card import Card
from graphkit.datasets.locate import cache_folder
from graphkit.files import ARRAY_DAMAGE, atomic_write

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
            unseen = torch.from_numpy(arrays["test_facts"].astype(np.int64)) if "test_facts" in arrays else None
        if unseen is not None:
            return InductiveKnowledgeGraphTask(
                name, train, valid, unseen, test, names["entities"], names["test_entities"], names["relations"]
            )
        return KnowledgeGraphTask(name, train, valid, test, names["entities"], names["relations"])
    except ARRAY_DAMAGE:  # UserError is a ValueError
        return None


def write_processed(path: Path, task: KnowledgeGraphTask) -> None:
    """Keep a processed form, whole or not at all; a cache that cannot be written to is no error.

    OGB's files are arrays already, and large; they have no second form.
    """
    if isinstance(task, OGBKnowledgeGraphTask):
        return
    names = {"entities": task.entities, "relations": task.relations}
    arrays: dict[str, Any] = {split: task.triples(split).to(torch.int32).numpy() for split in _SPLITS}
    if isinstance(task, InductiveKnowledgeGraphTask):
        names["test_entities"] = task.test_entities
        arrays["test_facts"] = task.test_facts.to(torch.int32).numpy()
    arrays["names"] = np.frombuffer(json.dumps(names, ensure_ascii=False).encode("utf-8"), dtype=np.uint8)
    with contextlib.suppress(OSError), atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
