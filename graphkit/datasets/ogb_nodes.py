"""Labels and fixed splits of OGB's graphs for node classification, with the graph they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.datasets.number_table import read_numbers
from graphkit.datasets.ogb_graph import PROCESSED, OGBGraph, OGBTypedGraph, open_arrays, read_ogb_graph
from graphkit.datasets.torch_files import read_torch_file
from graphkit.errors import UserError

__all__ = ["OGBNodes", "read_ogb_nodes"]

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class OGBNodes:
    """Nodes to classify as OGB's files hold them.

    Args:
        graph: the graph.
        labels: [N, T] of the nodes to classify: int64 classes, for T > 1 each a yes (1) or no (0); float32 where some are
            missing (NaN).
        split: of train, valid and test, [n] int64 numbers of nodes.
        kind: type of the nodes to classify, which are numbered within it; None where nodes have no types.

    Example:
        >>> graph = OGBGraph(2, np.array([[0], [1]]))
        >>> nodes = {"train": np.array([0]), "valid": np.array([], np.int64), "test": np.array([1])}
        >>> OGBNodes(graph, np.array([[3], [1]]), nodes).sizes()
        {'train': 1, 'valid': 0, 'test': 1}
    """

    graph: OGBGraph | OGBTypedGraph
    labels: np.ndarray
    split: dict[str, np.ndarray]
    kind: str | None = None

    def sizes(self) -> dict[str, int]:
        """Number of nodes of each split."""
        return {split: len(nodes) for split, nodes in self.split.items()}


def read_ogb_nodes(name: str, paths: Mapping[str, Path], *, both_directions: bool = False) -> OGBNodes:
    """The graph, ``raw/node-label.csv.gz`` (or ``raw/node-label/TYPE/node-label.csv.gz``) and ``split/*/train.csv.gz`` (or
    ``split/*/TYPE/train.csv.gz``) with ``valid`` and ``test``.

    In their place ``raw/node-label.npz`` or the labels in ``processed/data_processed``, and ``split/*/split_dict.pt``.

    Args:
        name: name of the data set.
        paths: the files by their path below the folder of the data set.
        both_directions: see :func:`graphkit.datasets.ogb_graph.read_ogb_graph`.

    Raises:
        UserError: for a missing, damaged or unexpected file (it is named).

    Source:
        Hu et al., Open Graph Benchmark: Datasets for Machine Learning on Graphs, NeurIPS 2020.

    Example:
        >>> read_ogb_nodes("ogbn-arxiv", paths).sizes()  # doctest: +SKIP
        {'train': 90941, 'valid': 29799, 'test': 48603}
    """
    graph = read_ogb_graph(paths, both_directions=both_directions)
    labels, kind = _labels(name, paths)
    if isinstance(graph, OGBGraph) != (kind is None) or (
        isinstance(graph, OGBTypedGraph) and kind not in graph.num_nodes
    ):
        raise UserError(f"the labels of {name} are of nodes of type {kind!r}, which its graph has not")
    count = graph.num_nodes if isinstance(graph, OGBGraph) else graph.num_nodes[str(kind)]
    if labels.ndim != 2 or len(labels) != count or labels.dtype.kind not in "iuf":
        raise UserError(f"the labels of {name} are {labels.dtype} {list(labels.shape)}, expected numbers [{count}, T]")
    labels = labels.astype(np.float32 if labels.dtype.kind == "f" else np.int64, copy=False)
    split = {part: _nodes(nodes, part, count, name) for part, nodes in _split(name, paths, kind).items()}
    return OGBNodes(graph, labels, split, kind)


def _labels(name: str, paths: Mapping[str, Path]) -> tuple[np.ndarray, str | None]:
    for file, path in paths.items():
        parts = Path(file).parts
        if parts == ("raw", "node-label.csv.gz"):
            return read_numbers(path, np.int64), None
        if len(parts) == 4 and parts[:2] == ("raw", "node-label") and parts[3] == "node-label.csv.gz":
            return read_numbers(path, np.int64), parts[2]
    if "raw/node-label.npz" in paths:
        content: dict[str, Any] = open_arrays(paths["raw/node-label.npz"])
        return _only(content, "node_label", paths["raw/node-label.npz"])
    processed = next((path for path in paths.values() if path.name == PROCESSED), None)
    if processed is None:
        raise UserError(f"the files of {name!r} lack raw/node-label.csv.gz; unpack OGB's archive as a whole")
    labels = read_torch_file(processed, nested=True).get("labels")
    return _only(labels if isinstance(labels, dict) else {"labels": labels}, "labels", processed)


def _only(content: Mapping[str, Any], untyped: str, path: Path) -> tuple[np.ndarray, str | None]:
    """The labels of the one type of node that has some, and the type."""
    if len(content) != 1 or not isinstance(next(iter(content.values())), np.ndarray):
        raise UserError(f"{path} should hold the labels of one type of node, found {', '.join(content) or 'none'}")
    kind, labels = next(iter(content.items()))
    return labels, None if kind == untyped else kind


def _split(name: str, paths: Mapping[str, Path], kind: str | None) -> dict[str, Any]:
    files = {Path(file).name: path for file, path in paths.items() if file.startswith("split/")}
    if "split_dict.pt" in files:
        content = read_torch_file(files["split_dict.pt"], nested=True)
        return {part: content.get(part) if kind is None else (content.get(part) or {}).get(kind) for part in SPLITS}
    missing = [f"{part}.csv.gz" for part in SPLITS if f"{part}.csv.gz" not in files]
    if missing:
        raise UserError(
            f"the files of {name!r} lack {', '.join(missing)} of the split; unpack OGB's archive as a whole"
        )
    return {part: read_numbers(files[f"{part}.csv.gz"], np.int64, columns=1)[:, 0] for part in SPLITS}


def _nodes(nodes: Any, part: str, count: int, name: str) -> np.ndarray:
    if not isinstance(nodes, np.ndarray) or nodes.ndim != 1 or nodes.dtype.kind not in "iu":
        raise UserError(f"the split of {name} has no list of nodes for {part}")
    nodes = nodes.astype(np.int64, copy=False)
    if nodes.size and not (nodes.min() >= 0 and nodes.max() < count):
        raise UserError(f"{part} of {name} names a node outside of 0 .. {count - 1}")
    return nodes
