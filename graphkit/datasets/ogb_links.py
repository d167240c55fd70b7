"""The fixed splits of OGB's graphs for link prediction, with the negatives that come with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.datasets.number_table import read_numbers
from graphkit.datasets.ogb_graph import PROCESSED, OGBGraph, graph_size, read_ogb_graph
from graphkit.datasets.ogb_names import read_mapping
from graphkit.datasets.torch_files import read_torch_file
from graphkit.errors import UserError

__all__ = ["OGBLinks", "read_ogb_links"]

SPLITS = ("train", "valid", "test")
_NAMES = "mapping/nodeidx2"


@dataclass(frozen=True, eq=False)
class OGBLinks:
    """A split graph as OGB's files hold it; nothing is sorted, symmetrised or thrown away.

    Args:
        num_nodes: N.
        edges: of train, valid and test, [2, n] int64: (one node, other node), or (source, target) where edges have a
            direction. In train an edge may repeat.
        negatives: of valid and test. One pool for all edges of the split, [2, m] int64; or, where ``personal``, for each
            edge targets [n, K] int64 that take the place of its own.
        personal: whether every edge has its own negatives.
        x: [N, F] float32, or None.
        weight: of the train edges, [n] int64, or None.
        year: by split, [n] int64, where edges have a year.
        names: of the N nodes, or None.

    Example:
        >>> edges = {split: torch.tensor([[0], [1]]) for split in ("train", "valid", "test")}
        >>> OGBLinks(2, edges, {}).sizes()
        {'train': 1, 'valid': 1, 'test': 1}
    """

    num_nodes: int
    edges: dict[str, Tensor]
    negatives: dict[str, Tensor]
    personal: bool = False
    x: Tensor | None = None
    weight: Tensor | None = None
    year: dict[str, Tensor] = field(default_factory=dict)
    names: list[str] | None = None

    def sizes(self) -> dict[str, int]:
        """Number of edges of each split."""
        return {split: int(edges.size(1)) for split, edges in self.edges.items()}


def read_ogb_links(name: str, paths: Mapping[str, Path], *, both_directions: bool = False) -> OGBLinks:
    """The split in ``split/*/train.pt``, ``valid.pt`` and ``test.pt``, or in one ``split_dict.pt``, with node features.

    * ``edge`` [n, 2] and beyond train ``edge_neg`` [m, 2], a pool (ogbl-ddi, ogbl-collab, ogbl-ppa); or ``source_node``
      [n], ``target_node`` [n] and beyond train ``target_node_neg`` [n, K] (ogbl-citation2). ``weight`` and ``year`` [n]
      are read where they are.
    * OGB's graph is its train edges, so ``raw/edge.csv.gz`` is not read; only its length must be that of train.

    Args:
        name: name of the data set.
        paths: the files by their path below the folder of the data set.
        both_directions: see :func:`graphkit.datasets.ogb_graph.read_ogb_graph`.

    Raises:
        UserError: for a missing, damaged or unexpected file; the file is named.

    Source:
        Hu et al., Open Graph Benchmark: Datasets for Machine Learning on Graphs, NeurIPS 2020.

    Example:
        >>> read_ogb_links("ogbl-ddi", paths).sizes()  # doctest: +SKIP
        {'train': 1067911, 'valid': 133489, 'test': 133489}
    """
    num_nodes, num_edges, features = _nodes(name, paths, both_directions)
    edges: dict[str, Tensor] = {}
    negatives: dict[str, Tensor] = {}
    year: dict[str, Tensor] = {}
    weight, personal = None, set()
    for split, path, content in _contents(name, paths):
        reader = _Split(content, path, split, num_nodes)
        edges[split] = reader.edges()
        if split == "train":
            weight = reader.column("weight")
        else:
            negatives[split], own = reader.negatives(edges[split].size(1))
            personal.add(own)
        if (when := reader.column("year")) is not None:
            year[split] = when
    if len(personal) != 1:
        raise UserError(f"{name} has one pool of negatives in one split and a pool for each edge in the other")
    if edges["train"].size(1) != num_edges:
        raise UserError(
            f"{name} has {edges['train'].size(1)} train edges, but its graph has {num_edges}; its files are of different "
            "releases: unpack OGB's archive as a whole"
        )
    x = None if features is None else torch.from_numpy(np.require(features, requirements="W"))
    return OGBLinks(num_nodes, edges, negatives, personal.pop(), x, weight, year, _node_names(paths, num_nodes))


def _nodes(name: str, paths: Mapping[str, Path], both_directions: bool) -> tuple[int, int, np.ndarray | None]:
    """Number of nodes, number of edges of the graph, features of nodes."""
    if "raw/num-node-list.csv.gz" in paths and "raw/data.npz" not in paths and not _processed(paths):
        nodes, edges = graph_size(paths)
        features = paths.get("raw/node-feat.csv.gz")
        return nodes, edges, None if features is None else read_numbers(features, np.float32, rows=nodes)
    graph = read_ogb_graph(paths, both_directions=both_directions)
    if not isinstance(graph, OGBGraph):
        raise UserError(f"{name} has types of nodes; a graph without them was expected")
    return graph.num_nodes, graph.num_edges, graph.node.get("node_feat")


def _processed(paths: Mapping[str, Path]) -> bool:
    return any(path.name == PROCESSED for path in paths.values())


def _contents(name: str, paths: Mapping[str, Path]) -> list[tuple[str, Path, dict[str, Any]]]:
    files = {Path(path).name: place for path, place in paths.items() if path.startswith("split/")}
    if "split_dict.pt" in files:
        path = files["split_dict.pt"]
        content = read_torch_file(path, nested=True)
        lacking = [split for split in SPLITS if not isinstance(content.get(split), dict)]
        if lacking:
            raise UserError(f"{path} has no {', '.join(lacking)}; expected a mapping for each of {', '.join(SPLITS)}")
        return [(split, path, content[split]) for split in SPLITS]
    missing = [f"{split}.pt" for split in SPLITS if f"{split}.pt" not in files]
    if missing:
        raise UserError(f"the files of {name!r} lack {', '.join(missing)}; unpack OGB's archive as a whole")
    return [(split, files[f"{split}.pt"], read_torch_file(files[f"{split}.pt"])) for split in SPLITS]


class _Split:
    """Checks the arrays of a split."""

    def __init__(self, content: Mapping[str, Any], path: Path, split: str, num_nodes: int) -> None:
        self.content, self.path, self.split, self.num_nodes = content, path, split, num_nodes

    def edges(self) -> Tensor:
        """[2, n] int64."""
        if "edge" in self.content:
            return _columns(self._ids("edge", (None, 2)))
        sources = self._ids("source_node", (None,))
        return torch.from_numpy(np.stack([sources, self._ids("target_node", (len(sources),))]))

    def negatives(self, count: int) -> tuple[Tensor, bool]:
        """The negatives, and whether every edge has its own."""
        if "target_node_neg" in self.content:
            return torch.from_numpy(self._ids("target_node_neg", (count, None)).copy()), True
        return _columns(self._ids("edge_neg", (None, 2))), False

    def column(self, key: str) -> Tensor | None:
        """[n] int64, or None where there is no such array."""
        if self.content.get(key) is None:
            return None
        values = self._whole(key, (None,))
        return torch.from_numpy(values.astype(np.int64))

    def _ids(self, key: str, shape: tuple[int | None, ...]) -> np.ndarray:
        values = self._whole(key, shape)
        if values.size and not (values.min() >= 0 and values.max() < self.num_nodes):
            row = int(np.argwhere((values < 0) | (values >= self.num_nodes))[0][0])
            raise UserError(
                f"{self.path}: row {row} of {key!r} ({self.split}) names a node outside of 0 .. {self.num_nodes - 1}"
            )
        return values.astype(np.int64, copy=False)

    def _whole(self, key: str, shape: tuple[int | None, ...]) -> np.ndarray:
        if key not in self.content:
            there = ", ".join(map(repr, self.content)) or "nothing"
            raise UserError(f"{self.path} has no {key!r} for {self.split}; it has {there}")
        values = self.content[key]
        fits = (
            isinstance(values, np.ndarray)
            and values.dtype.kind in "iu"
            and values.ndim == len(shape)
            and all(size is None or size == found for size, found in zip(shape, values.shape, strict=True))
        )
        if not fits:
            found = f"{values.dtype} {list(values.shape)}" if isinstance(values, np.ndarray) else type(values).__name__
            wanted = ", ".join("n" if size is None else str(size) for size in shape)
            raise UserError(f"{self.path}: {key!r} of {self.split} is {found}, expected whole numbers [{wanted}]")
        return values


def _columns(rows: np.ndarray) -> Tensor:
    return torch.from_numpy(rows.T.copy())


def _node_names(paths: Mapping[str, Path], num_nodes: int) -> list[str] | None:
    place = next((path for file, path in paths.items() if file.startswith(_NAMES)), None)
    if place is None:
        return None
    names = read_mapping(place)
    if len(names) != num_nodes:
        raise UserError(f"{place} names {len(names)} nodes, expected {num_nodes}")
    return names
