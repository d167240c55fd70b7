"""MalNet-Tiny: call graphs of programs, in the archives that its authors publish."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from graphkit.datasets.stored_graphs import StoredGraphs
from graphkit.errors import UserError

__all__ = ["read_malnet"]

_SPLITS = {"train": "train", "valid": "val", "test": "test"}


def read_malnet(graphs: Path, splits: Path) -> StoredGraphs:
    """Edge lists in a ``tar.gz``, and their names by split in a zip file; nothing is unpacked to the disk.

    A graph belongs to the type of malware that its path begins with; classes are numbered in the order of their names. The graphs
    have no features. Edges lead from the caller to the called.

    Args:
        graphs: ``malnet-graphs-tiny.tar.gz`` with ``.../TYPE/FAMILY/HASH.edgelist``: comments begin with ``#``, then two
            numbers a line.
        splits: ``split_info_tiny.zip`` with ``.../type/train.txt``, ``val.txt`` and ``test.txt``: ``TYPE/FAMILY/HASH`` a line.

    Raises:
        UserError: for a damaged archive, a graph that is missing, or lines that are no edges.

    Source:
        Freitas et al.: A Large-Scale Database for Graph Representation Learning (NeurIPS Datasets and Benchmarks 2021).
    """
    from torch_geometric.data import Data

    names = _names(splits)
    edges: dict[str, torch.Tensor] = {}
    try:
        with tarfile.open(graphs, "r:gz") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".edgelist"):
                    content = archive.extractfile(member)
                    key = "/".join(Path(member.name).with_suffix("").parts[-3:])
                    edges[key] = _edges(b"" if content is None else content.read(), f"{member.name} in {graphs}")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, OSError) as error:
        raise UserError(f"{graphs} is damaged or no tar.gz ({error}); fetch it again") from None
    classes = sorted({name.split("/")[0] for part in names.values() for name in part})
    found: list[Data] = []
    parts: dict[str, torch.Tensor] = {}
    for split, part in names.items():
        parts[split] = torch.arange(len(found), len(found) + len(part))
        for name in part:
            if name not in edges:
                raise UserError(f"{graphs} lacks the graph {name} that {splits} names")
            edge_index = edges[name]
            data = Data(edge_index=edge_index, y=torch.tensor([classes.index(name.split("/")[0])]))
            data.num_nodes = int(edge_index.max()) + 1 if edge_index.numel() else 1
            found.append(data)
    return StoredGraphs(found, splits={"official": parts}, classes=classes)


def _names(path: Path) -> dict[str, list[str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {}
            for split, word in _SPLITS.items():
                wanted = [name for name in archive.namelist() if name.endswith(f"type/{word}.txt")]
                if len(wanted) != 1:
                    raise UserError(f"{path} has {len(wanted)} files type/{word}.txt, expected one")
                members[split] = archive.read(wanted[0]).decode("utf-8").split()
            return members
    except (zipfile.BadZipFile, zlib.error, UnicodeDecodeError, OSError, EOFError, RuntimeError) as error:
        raise UserError(f"{path} is damaged or no zip file ({error}); fetch it again") from None


def _edges(content: bytes, what: str) -> torch.Tensor:
    try:
        lines = [
            line.split() for line in content.decode("ascii").splitlines() if line.strip() and not line.startswith("#")
        ]
        numbers = np.array(lines, dtype=np.int64).reshape(len(lines), 2)
        if numbers.size and numbers.min() < 0:
            raise ValueError("a number below 0")
    except (ValueError, OverflowError) as error:
        raise UserError(f"{what} is no list of edges, two numbers a line ({error})") from None
    return torch.from_numpy(np.unique(numbers, axis=0).T.copy())
