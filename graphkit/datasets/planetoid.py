"""The citation networks of Planetoid, from their raw files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.datasets.restricted_pickle import read_arrays
from graphkit.datasets.stored_graph import Masks, StoredGraph
from graphkit.errors import UserError

__all__ = ["read_planetoid"]

_VALID = 500


def read_planetoid(paths: Mapping[str, Path]) -> StoredGraph:
    """The graph in ``ind.NAME.{allx,ally,tx,ty,graph,test.index}``.

    ``allx`` and ``ally`` hold the first documents in order, of which those in ``y`` are the public split's for training and
    the next 500 those for validation. ``test.index`` says which documents the rows of ``tx`` and
    ``ty`` are. CiteSeer's leaves out 15 ids below its largest one: these documents exist, without words and class.

    Args:
        paths: the files by name.

    Raises:
        UserError: for a missing file, or files that do not fit together.

    Source:
        Yang, Cohen, Salakhutdinov: Revisiting Semi-Supervised Learning with Graph Embeddings (ICML 2016).

    Example:
        >>> read_planetoid(paths).num_nodes  # doctest: +SKIP
        2708
    """
    files = {name.split(".", 2)[-1]: path for name, path in paths.items()}
    missing = {"allx", "ally", "tx", "ty", "graph", "test.index"} - set(files)
    if missing:
        raise UserError(f"a Planetoid data set lacks {', '.join(sorted(missing))}")
    allx, ally, tx, ty, graph = (read_arrays(files[name]) for name in ("allx", "ally", "tx", "ty", "graph"))
    index = _test_index(files["test.index"])
    try:
        known, total = allx.shape[0], int(index.max()) + 1
        if not (len(index) == len(np.unique(index)) == tx.shape[0] == ty.shape[0]) or ally.shape[0] != known:
            raise ValueError(f"{len(index)} test documents, {tx.shape} words of them and {ty.shape} classes")
        if total > 2 * (known + len(index) + len(graph)):
            raise ValueError(f"test document {total - 1}, but there are {known} others and {len(graph)} in the graph")
        if int(index.min()) < known:
            raise ValueError(f"test document {int(index.min())} is among the first {known}")
        x, y = np.zeros((total, allx.shape[1]), dtype=np.float32), np.full(total, -1, dtype=np.int64)
        x[:known], x[index] = allx.toarray(), tx.toarray()
        for rows, labels in ((np.arange(known), ally), (index, ty)):
            labelled = labels.sum(1) > 0
            y[rows[labelled]] = labels[labelled].argmax(1)
        edges = _edges(graph, total)
        train = read_arrays(files["y"]).shape[0] if "y" in files else 0
        splits = {"public": _public_split(train, known, index, total)} if 0 < train <= known else {}
    except (
        AttributeError,
        ValueError,
        IndexError,
        KeyError,
        TypeError,
        OverflowError,
        RuntimeError,
        MemoryError,
    ) as error:
        raise UserError(f"the files beside {files['graph']} do not fit together ({error})") from None
    return StoredGraph(edges, total, torch.from_numpy(x), torch.from_numpy(y), splits)


def _public_split(train: int, known: int, index: np.ndarray, total: int) -> Masks:
    """Yang et al.'s split: the first documents, the 500 after them, and those of ``test.index``."""
    masks = {split: torch.zeros(1, total, dtype=torch.bool) for split in ("train", "valid", "test")}
    masks["train"][0, :train] = True
    masks["valid"][0, train : min(train + _VALID, known)] = True
    masks["test"][0, torch.from_numpy(index)] = True
    return masks


def _test_index(path: Path) -> np.ndarray:
    try:
        index = np.array([int(line) for line in path.read_text("ascii").split()], dtype=np.int64)
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"{path} is no list of document numbers ({error})") from None
    if index.size == 0 or int(index.min()) < 0:
        raise UserError(f"{path} is no list of document numbers; expected one a line, from 0 upwards")
    return index


def _edges(graph: Any, num_nodes: int) -> Tensor:
    pairs = [(int(u), int(v)) for u, neighbours in graph.items() for v in neighbours]
    edge_index = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t()
    if edge_index.numel() and not (int(edge_index.min()) >= 0 and int(edge_index.max()) < num_nodes):
        raise ValueError(f"a citation leads to a document outside of 0 .. {num_nodes - 1}")
    return edge_index
