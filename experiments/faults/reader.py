"""A reader with valid files to begin from, and how such files are made."""

from __future__ import annotations

import gzip
import io
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["ROOT", "Files", "Reader", "contents", "gzip_bytes", "npz_bytes", "paths", "pt_bytes"]


ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "datasets"))  # the samples of the tests

Files = dict[str, bytes]


@dataclass
class Reader:
    """A reader and what it reads.

    Args:
        name: for the results.
        variants: whole sets of files by name, each of which the reader accepts.
        read: reads a folder with one set; gets its path and the number of the variant.
        made: makes a text of the format at random, to take the place of a file of that ending.
        share: how many inputs it gets beside the others.
        valid: whether the untouched files must be accepted.
    """

    name: str
    variants: list[Files]
    read: Callable[[Path, int], Any]
    made: Callable[[random.Random, str], bytes] | None = None
    share: float = 1.0
    valid: bool = True


def contents(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def paths(folder: Path) -> dict[str, Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() or path.is_symlink()
    }


def npz_bytes(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def pt_bytes(content: Any, zipped: bool = True, protocol: int = 4) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


def gzip_bytes(text: str) -> bytes:
    return gzip.compress(text.encode(), 1)
