"""The text files of TUDataset, the collection of graph classification benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.datasets.stored_graphs import StoredGraphs
from graphkit.errors import UserError

__all__ = ["read_tu_dataset"]


def read_tu_dataset(paths: dict[str, Path]) -> StoredGraphs:
    """``NAME_A.txt``, ``NAME_graph_indicator.txt``, ``NAME_graph_labels.txt`` and, where there are any, labels and attributes of
    nodes and edges.

    Labels become columns of zeros and ones, in the order of their values from the smallest to the largest number that
    occurs; classes of graphs are numbered in the order of their labels. Self-loops and repeated edges are left out.

    Args:
        paths: path by the file's name.

    Raises:
        UserError: for a missing file, text that is no number, or files that do not fit together.

    Source:
        Morris et al.: TUDataset: A collection of benchmark datasets for learning with graphs (GRL+ workshop at ICML 2020).

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> texts = {"A": "1, 2\\n2, 1\\n3, 4\\n4, 3\\n", "graph_indicator": "1\\n1\\n2\\n2\\n", "graph_labels": "1\\n-1\\n"}
        >>> for kind, text in texts.items():
        ...     _ = (folder / f"X_{kind}.txt").write_text(text)
        >>> stored = read_tu_dataset({path.name: path for path in folder.iterdir()})
        >>> [graph.y.tolist() for graph in stored.graphs], stored.classes
        ([[1], [0]], ['-1', '1'])
    """
    from torch_geometric.data import Data

    files = {
        next((kind for kind in _KINDS if Path(name).stem.endswith(f"_{kind}")), name): path
        for name, path in paths.items()
    }
    for kind in ("A", "graph_indicator", "graph_labels"):
        if kind not in files:
            raise UserError(f"the files {', '.join(sorted(paths))} lack NAME_{kind}.txt of TUDataset")
    owner = _numbers(files["graph_indicator"], np.int64, 1)[:, 0] - 1
    classes, y = np.unique(_numbers(files["graph_labels"], np.int64, 1)[:, 0], return_inverse=True)
    nodes, graphs = len(owner), len(y)
    if not nodes or owner.min() < 0 or owner.max() >= graphs or (np.diff(owner) < 0).any():
        raise UserError(f"{files['graph_indicator']} does not number the graphs 1 .. {graphs}, in their order")
    edges = _numbers(files["A"], np.int64, 2) - 1
    if edges.size and (edges.min() < 0 or edges.max() >= nodes):
        raise UserError(f"{files['A']}: an edge leads out of the nodes 1 .. {nodes}")
    if (owner[edges[:, 0]] != owner[edges[:, 1]]).any():
        raise UserError(f"{files['A']}: an edge leads from one graph to another")
    # one row each of edges that are no loops, by graph, source and target
    _, first = np.unique(edges[:, 0] * nodes + edges[:, 1], return_index=True)
    first = first[edges[first, 0] != edges[first, 1]]
    x, attributes, edge_attr = _features(files, nodes, len(edges))
    begins = np.searchsorted(owner, np.arange(graphs + 1))
    cuts = np.searchsorted(owner[edges[first, 0]], np.arange(graphs + 1))
    edge_index = torch.from_numpy(edges[first].T.copy())
    edge_attr = None if edge_attr is None else edge_attr[torch.from_numpy(first)]
    stored = []
    for k in range(graphs):
        span, cut = slice(begins[k], begins[k + 1]), slice(cuts[k], cuts[k + 1])
        data = Data(edge_index=edge_index[:, cut] - int(begins[k]), y=torch.tensor([int(y[k])]))
        data.num_nodes = int(begins[k + 1] - begins[k])
        if x is not None:
            data.x = x[span]
        if edge_attr is not None:
            data.edge_attr = edge_attr[cut]
        stored.append(data)
    parts = None if attributes is None else [attributes[begins[k] : begins[k + 1]] for k in range(graphs)]
    return StoredGraphs(stored, attributes=parts, classes=[str(label) for label in classes.tolist()])


_LABELS = 100_000  # columns that labels may become
_KINDS = ("node_attributes", "edge_attributes", "node_labels", "edge_labels", "graph_indicator", "graph_labels", "A")


def _features(files: dict[str, Path], nodes: int, edges: int) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Labels of nodes, attributes of nodes, and labels of edges beside their attributes."""
    found: dict[str, Tensor] = {}
    for kind in ("node_labels", "node_attributes", "edge_labels", "edge_attributes"):
        if kind in files:
            labels = kind.endswith("labels")
            values = _numbers(files[kind], np.int64 if labels else np.float32, None)
            rows = nodes if kind.startswith("node") else edges
            if len(values) != rows:
                raise UserError(f"{files[kind]} has {len(values)} lines, expected one for each of {rows}")
            found[kind] = _one_hot(values, files[kind]) if labels else torch.from_numpy(values)
    beside = [found[kind] for kind in ("edge_attributes", "edge_labels") if kind in found]
    return found.get("node_labels"), found.get("node_attributes"), torch.cat(beside, 1) if beside else None


def _one_hot(labels: np.ndarray, path: Path) -> Tensor:
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if high - low > _LABELS:
        raise UserError(
            f"{path} has labels from {low} to {high}; expected no more than {_LABELS} different ones in a row"
        )
    values = torch.from_numpy(labels - labels.min(0, keepdims=True))
    return torch.cat([torch.nn.functional.one_hot(column) for column in values.t()], 1).float()


def _numbers(path: Path, dtype: Any, columns: int | None) -> np.ndarray:
    """Numbers between commas, one row a line."""
    try:
        table = np.loadtxt(path, dtype=dtype, delimiter=",", ndmin=2, comments=None)
    except (ValueError, OSError, OverflowError, MemoryError) as error:
        raise UserError(f"{path} is no table of numbers between commas ({error})") from None
    if columns is not None and table.shape[1] != columns:
        raise UserError(f"{path} has {table.shape[1]} numbers a line, expected {columns}")
    return table
