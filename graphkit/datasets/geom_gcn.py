"""Graphs in the text files of Geom-GCN, and its ten splits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from graphkit.datasets.npz_arrays import read_npz
from graphkit.datasets.stored_graph import Masks, StoredGraph
from graphkit.errors import UserError

__all__ = ["read_geom_gcn", "read_geom_gcn_splits"]

_SPLIT = re.compile(r"_split_0\.6_0\.2_(\d+)\.npz$")


def read_geom_gcn(
    paths: Mapping[str, Path], features: Literal["values", "columns"] = "values", channels: int | None = None
) -> StoredGraph:
    """``out1_graph_edges.txt``, ``out1_node_feature_label.txt`` and, beside them, the files of the splits.

    A line of the first is ``source TAB target``, of the second ``node TAB features TAB class``; each begins with a line of
    headings. Directions, repeats and self-loops are kept as they stand.

    Args:
        paths: the files by name.
        features: whether a node's features are all ``values``, or the ``columns`` of its ones.
        channels: number of features where columns are given.

    Raises:
        UserError: for a missing file or a line that is no such line.

    Source:
        Pei et al.: Geom-GCN: Geometric Graph Convolutional Networks (ICLR 2020).

    Example:
        >>> read_geom_gcn(paths).num_nodes  # doctest: +SKIP
        183
    """
    files = {Path(name).name: path for name, path in paths.items()}
    for name in ("out1_graph_edges.txt", "out1_node_feature_label.txt"):
        if name not in files:
            raise UserError(f"a data set of Geom-GCN lacks {name}")
    nodes_file, edges_file = files["out1_node_feature_label.txt"], files["out1_graph_edges.txt"]
    rows = _lines(nodes_file, 3)
    nodes = len(rows)
    found: dict[int, tuple[list[int], int]] = {}
    for number, (node, words, label) in enumerate(rows, start=2):
        try:
            found[int(node)] = ([int(word) for word in words.split(",") if word], int(label))
        except ValueError as error:
            raise UserError(f"{nodes_file}, line {number}: {error}") from None
    if sorted(found) != list(range(nodes)):
        raise UserError(f"{nodes_file} has {nodes} lines, but not the nodes 0 .. {nodes - 1} each once")
    if features == "values":
        channels = len(found[0][0])
        uneven = [node for node, (words, _) in found.items() if len(words) != channels]
        if uneven:
            raise UserError(
                f"{nodes_file}: node {uneven[0]} has {len(found[uneven[0]][0])} features, node 0 {channels}"
            )
        try:
            x = np.array([found[node][0] for node in range(nodes)], dtype=np.float32)
        except OverflowError as error:
            raise UserError(f"{nodes_file}: a feature is out of range ({error})") from None
    else:
        x = np.zeros((nodes, int(channels or 0)), dtype=np.float32)
        for place, (ones, _) in found.items():
            if ones and not (min(ones) >= 0 and max(ones) < x.shape[1]):
                raise UserError(
                    f"{nodes_file}: node {place} has the feature {max(ones)}, expected 0 .. {x.shape[1] - 1}"
                )
            x[place, ones] = 1
    try:
        edges = np.array([(int(u), int(v)) for u, v in _lines(edges_file, 2)], dtype=np.int64).reshape(-1, 2)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{edges_file} holds something else than ids: {error}") from None
    if edges.size and not (int(edges.min()) >= 0 and int(edges.max()) < nodes):
        raise UserError(f"{edges_file}: an edge leads out of the nodes 0 .. {nodes - 1} of {nodes_file.name}")
    splits = {"geom-gcn": read_geom_gcn_splits(files, nodes)} if any(map(_SPLIT.search, files)) else {}
    try:
        y = torch.tensor([found[node][1] for node in range(nodes)], dtype=torch.int64)
    except (RuntimeError, OverflowError, ValueError):
        raise UserError(f"{nodes_file}: a class is no number of 64 bits") from None
    return StoredGraph(torch.from_numpy(edges.T.copy()), nodes, torch.from_numpy(x), y, splits)


def read_geom_gcn_splits(paths: Mapping[str, Path], num_nodes: int) -> Masks:
    """The masks [S, N] in the files ``NAME_split_0.6_0.2_K.npz``, in the order of K.

    The files hold 48, 32 and 20 % of the nodes, whatever their names say.

    Args:
        paths: files by name; others than those of splits are left alone.
        num_nodes: N.

    Raises:
        UserError: for a gap in the numbers, a damaged file, or masks of another number of nodes.

    Example:
        >>> read_geom_gcn_splits(paths, 183)["train"].shape  # doctest: +SKIP
        torch.Size([10, 183])
    """
    numbered = {int(found[1]): path for name, path in paths.items() if (found := _SPLIT.search(name))}
    if sorted(numbered) != list(range(len(numbered))) or not numbered:
        raise UserError(f"the splits of Geom-GCN are numbers {sorted(numbered)}; expected 0, 1, ... without a gap")
    masks: dict[str, list[torch.Tensor]] = {"train": [], "valid": [], "test": []}
    for _, path in sorted(numbered.items()):
        arrays = read_npz(path, ("train_mask", "val_mask", "test_mask"))
        for split, key in (("train", "train_mask"), ("valid", "val_mask"), ("test", "test_mask")):
            if arrays[key].shape != (num_nodes,):
                raise UserError(
                    f"{path}: {key} is {arrays[key].shape}, expected one entry for each of {num_nodes} nodes"
                )
            masks[split].append(torch.from_numpy(arrays[key].astype(bool)))
    return {split: torch.stack(parts) for split, parts in masks.items()}


def _lines(path: Path, columns: int) -> list[list[str]]:
    """Fields of the lines below the headings."""
    try:
        lines = path.read_text("utf-8").splitlines()[1:]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text: {error}") from None
    rows = [line.rstrip("\r").split("\t") for line in lines if line.strip()]
    for number, row in enumerate(rows, start=2):
        if len(row) != columns:
            raise UserError(f"{path}, line {number}: {len(row)} fields, expected {columns} with tabs between them")
    if not rows:
        raise UserError(f"{path} holds nothing below its headings")
    return rows
