"""Networks with labels in formats of their own: Facebook100, airports, WikiCS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphkit.datasets.matlab_file import read_matlab_file
from graphkit.datasets.stored_graph import StoredGraph
from graphkit.errors import UserError

__all__ = ["read_airports", "read_facebook100", "read_wikics"]

_GENDER = 1  # column of local_info: status, gender, major, second major, dorm, year, high school


def read_facebook100(path: Path) -> StoredGraph:
    """``A`` (symmetric) and ``local_info`` [N, 7] of a MATLAB file: friends at one university, and what they say of themselves.

    The class is the gender, 0 in the file where it is not said and -1 here. Features are the six other columns, each a
    one among its different values (a value of its own where nothing is said).

    Args:
        path: the file.

    Raises:
        UserError: for a damaged file, or arrays that do not fit together.

    Source:
        Traud, Mucha, Porter: Social structure of Facebook networks (2012); Lim et al.: Large Scale Learning on
        Non-Homophilous Graphs (NeurIPS 2021).

    Example:
        >>> read_facebook100(path).num_nodes  # doctest: +SKIP
        962
    """
    try:
        content: dict[str, Any] = read_matlab_file(path, ["A", "local_info"])
        adjacency, info = content["A"].tocoo(), np.asarray(content["local_info"])
        nodes = adjacency.shape[0]
        if info.ndim != 2 or info.shape[0] != nodes or info.shape[1] < 2 or adjacency.shape[1] != nodes:
            raise ValueError(f"A is {adjacency.shape}, local_info {info.shape}")
        y = info[:, _GENDER].astype(np.int64) - 1
        parts = []
        for column in range(info.shape[1]):
            if column != _GENDER:
                values, place = np.unique(info[:, column], return_inverse=True)
                parts.append(np.eye(len(values), dtype=np.float32)[place])
        edges = np.stack([adjacency.row, adjacency.col]).astype(np.int64)
        x = torch.from_numpy(np.concatenate(parts, 1))
        return StoredGraph(torch.from_numpy(edges), nodes, x, torch.from_numpy(y), classes=["1", "2"])
    except (ValueError, KeyError, AttributeError, TypeError, MemoryError, OverflowError) as error:
        raise UserError(f"{path} is no file of Facebook100 ({error}); replace it by the original") from None


def read_airports(edges: Path, labels: Path) -> StoredGraph:
    """``NAME-airports.edgelist``, two ids a line, and ``labels-NAME-airports.txt``, an id and a class below its headings.

    Args:
        edges: the edges.
        labels: the classes; the order of its lines is that of the nodes.

    Raises:
        UserError: for lines that hold something else, an id twice, or an edge of an airport without a class.

    Source:
        Ribeiro, Saverese, Figueiredo: struc2vec (KDD 2017).

    Example:
        >>> read_airports(edges, labels).num_nodes  # doctest: +SKIP
        1190
    """
    rows = _number_pairs(labels, skip=1)
    names = [int(node) for node, _ in rows]
    numbers = {name: i for i, name in enumerate(names)}
    if len(numbers) != len(names):
        raise UserError(f"{labels} names an airport twice")
    pairs = _number_pairs(edges)
    strangers = [int(node) for node in np.unique(pairs) if int(node) not in numbers]
    if strangers:
        raise UserError(f"{edges}: the airport {strangers[0]} has no class in {labels.name}")
    edge_index = torch.tensor([[numbers[int(node)] for node in side] for side in pairs.T], dtype=torch.int64)
    return StoredGraph(edge_index, len(names), y=torch.tensor([int(y) for _, y in rows]), nodes=list(map(str, names)))


def read_wikics(path: Path) -> StoredGraph:
    """``data.json``: ``features``, ``labels``, ``links`` (targets of each node), and the masks of twenty splits.

    The nodes of ``stopping_masks`` are in no split here: the file keeps them for stopping early, apart from validation.

    Args:
        path: the file.

    Raises:
        UserError: for a damaged file, or lists that do not fit together.

    Source:
        Mernyei and Cangea: Wiki-CS: A Wikipedia-Based Benchmark for Graph Neural Networks (2020).

    Example:
        >>> read_wikics(path).num_nodes  # doctest: +SKIP
        11701
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        x, y = torch.tensor(content["features"], dtype=torch.float32), torch.tensor(content["labels"])
        pairs = [(node, int(target)) for node, targets in enumerate(content["links"]) for target in targets]
        edge_index = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t().contiguous()
        nodes = y.numel()
        if x.size(0) != nodes or (
            edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < nodes
        ):
            raise ValueError(f"{list(x.shape)} features, {nodes} labels, or an edge to another node")
        train, valid = (torch.tensor(content[key], dtype=torch.bool) for key in ("train_masks", "val_masks"))
        test = torch.tensor(content["test_mask"], dtype=torch.bool)[None]
        masks = {"train": train, "valid": valid, "test": test.expand(len(train), -1)}
        for mask in masks.values():
            if mask.shape != (len(train), nodes):
                raise ValueError(f"a mask of {list(mask.shape)} for {nodes} nodes")
        return StoredGraph(edge_index, nodes, x, y, {"official": masks})
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RuntimeError) as error:
        raise UserError(f"{path} is no data.json of WikiCS ({error}); replace it by the original") from None


def _number_pairs(path: Path, skip: int = 0) -> np.ndarray:
    """[n, 2] int64 from lines of two whole numbers."""
    try:
        lines = path.read_text("utf-8").splitlines()[skip:]
        pairs = np.array([[int(word) for word in line.split()] for line in lines if line.strip()], dtype=np.int64)
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"{path} is no list of pairs of numbers ({error})") from None
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise UserError(f"{path} is no list of pairs of numbers; expected two a line")
    return pairs
