"""Graphs in the files of the Open Graph Benchmark, as arrays: its text, its binary and its processed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.datasets.number_table import read_numbers
from graphkit.datasets.ogb_names import read_rows, whole_number
from graphkit.datasets.torch_files import read_torch_file
from graphkit.errors import UserError
from graphkit.files import ARRAY_DAMAGE

__all__ = ["PROCESSED", "OGBGraph", "OGBTypedGraph", "graph_size", "open_arrays", "read_ogb_graph"]

PROCESSED = "data_processed"
_ALIASES = {"species": "node_species", "node-feat": "node_feat", "edge-feat": "edge_feat"}
_STRUCTURE = ("edge", "num-node-list", "num-edge-list", "num-node-dict", "triplet-type-list", "nodetype-has-label")
Triple = tuple[str, str, str]


@dataclass(frozen=True, eq=False)
class OGBGraph:
    """A graph as OGB's files hold it.

    Args:
        num_nodes: N.
        edge_index: [2, E] int64 (source, target), each edge as the file has it, once even where OGB's own reader adds the
            opposite direction.
        node: by OGB's names (``"node_feat"``, ``"node_year"``, ``"node_species"``), [N, F]; features float32, others int64.
        edge: likewise (``"edge_feat"``, ``"edge_weight"``, ``"edge_year"``), [E, F].

    Example:
        >>> OGBGraph(2, np.array([[0], [1]])).num_edges
        1
    """

    num_nodes: int
    edge_index: np.ndarray
    node: dict[str, np.ndarray] = field(default_factory=dict)
    edge: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def num_edges(self) -> int:
        """Number of edges E."""
        return int(self.edge_index.shape[1])


@dataclass(frozen=True, eq=False)
class OGBTypedGraph:
    """A graph whose nodes and edges have types; nodes are numbered within their type.

    Args:
        num_nodes: by type of node, in the order of the names.
        edge_index: by (type of source, relation, type of target), in the order of the names, [2, E] int64.
        node: by OGB's names, each by type of node, [N, F].
        edge: by OGB's names, each by (source, relation, target), [E, F].

    Example:
        >>> OGBTypedGraph({"author": 2, "paper": 3}, {("author", "writes", "paper"): np.array([[0], [2]])}).num_edges
        1
    """

    num_nodes: dict[str, int]
    edge_index: dict[Triple, np.ndarray]
    node: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    edge: dict[str, dict[Triple, np.ndarray]] = field(default_factory=dict)

    @property
    def num_edges(self) -> int:
        """Number of edges of all kinds."""
        return sum(int(edges.shape[1]) for edges in self.edge_index.values())


def read_ogb_graph(paths: Mapping[str, Path], *, both_directions: bool = False) -> OGBGraph | OGBTypedGraph:
    """The graph in the files of one data set.

    Read is, whichever is there: ``raw/edge.csv.gz`` with its neighbours, ``raw/triplet-type-list.csv.gz`` with the folders
    ``raw/relations`` and ``raw/node-feat``, ``raw/data.npz``, ``raw/edge_index_dict.npz`` with its neighbours, or
    ``processed/data_processed``, which OGB's own reader leaves behind. Nothing is unpickled freely.

    Args:
        paths: the files by their path below the folder of the data set.
        both_directions: whether OGB's own reader adds to each edge its opposite; the processed form has them both, and
            every second one is left out again.

    Raises:
        UserError: for a missing, damaged or unexpected file (it is named).

    Source:
        Hu et al., Open Graph Benchmark: Datasets for Machine Learning on Graphs, NeurIPS 2020.

    Example:
        >>> read_ogb_graph(paths).edge_index.shape  # doctest: +SKIP
        (2, 1166243)
    """
    processed = [path for path in paths.values() if path.name == PROCESSED]
    graph: OGBGraph | OGBTypedGraph
    if processed:
        graph = _from_processed(processed[0], both_directions)
    elif "raw/data.npz" in paths:
        graph = _from_npz(paths["raw/data.npz"])
    elif "raw/edge_index_dict.npz" in paths:
        graph = _typed_from_npz(paths)
    elif "raw/triplet-type-list.csv.gz" in paths:
        graph = _typed_from_text(paths)
    elif "raw/edge.csv.gz" in paths:
        graph = _from_text(paths)
    else:
        raise UserError(
            f"no graph among {', '.join(paths) or 'no files'}; expected raw/edge.csv.gz, raw/triplet-type-list.csv.gz, "
            "raw/data.npz, raw/edge_index_dict.npz or processed/data_processed; unpack OGB's archive as a whole"
        )
    file, path = next(iter(paths.items()))
    _check_ids(graph, path.parents[len(Path(file).parts) - 1])
    return graph


def graph_size(paths: Mapping[str, Path]) -> tuple[int, int]:
    """Numbers of nodes and edges of a graph without types, from ``raw/num-node-list.csv.gz`` and its neighbour.

    Raises:
        UserError: for a missing file, or one that is not about a single graph.
    """
    return _single(paths, "raw/num-node-list.csv.gz"), _single(paths, "raw/num-edge-list.csv.gz")


def open_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file; arrays of objects, which would be unpickled, are refused.

    Raises:
        UserError: for a missing or damaged file.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; unpack OGB's archive as a whole") from None
    except ARRAY_DAMAGE as error:
        raise UserError(f"{path} is damaged or no file of arrays ({error}); unpack OGB's archive anew") from None


def _single(paths: Mapping[str, Path], name: str) -> int:
    if name not in paths:
        raise UserError(f"{name} is missing; unpack OGB's archive as a whole")
    counts = read_numbers(paths[name], np.int64)
    if counts.shape != (1, 1) or counts[0, 0] < 0:
        raise UserError(f"{paths[name]} should hold one whole number, for a single graph")
    return int(counts[0, 0])


def _attribute(file: str) -> tuple[str, Any]:
    """OGB's name of what a file holds, and its type: features are floats, everything else whole numbers."""
    stem = Path(file).name.removesuffix(".csv.gz")
    name = _ALIASES.get(stem, stem)
    return name, np.float32 if name.endswith("_feat") else np.int64


def _attributes(paths: Mapping[str, Path], folder: str, count: dict[str, int]) -> dict[str, dict[str, np.ndarray]]:
    """``{"node": {...}, "edge": {...}}`` from the files of one folder."""
    found: dict[str, dict[str, np.ndarray]] = {"node": {}, "edge": {}}
    for file, path in paths.items():
        stem = Path(file).name.removesuffix(".csv.gz")
        if str(Path(file).parent) != folder or not file.endswith(".csv.gz") or stem in _STRUCTURE:
            continue
        name, dtype = _attribute(file)
        side = name.split("_")[0]
        if side in found and side in count:
            found[side][name] = read_numbers(path, dtype, rows=count[side])
    return found


def _from_text(paths: Mapping[str, Path]) -> OGBGraph:
    nodes, edges = graph_size(paths)
    pairs = read_numbers(paths["raw/edge.csv.gz"], np.int64, columns=2, rows=edges)
    found = _attributes(paths, "raw", {"node": nodes, "edge": edges})
    return OGBGraph(nodes, np.ascontiguousarray(pairs.T), found["node"], found["edge"])


def _typed_from_text(paths: Mapping[str, Path]) -> OGBTypedGraph:
    sizes = _typed_sizes(paths)
    triples: list[Triple] = []
    for row in read_rows(paths["raw/triplet-type-list.csv.gz"]):
        if len(row) != 3 or row[0] not in sizes or row[2] not in sizes:
            raise UserError(
                f"{paths['raw/triplet-type-list.csv.gz']} has the line {','.join(row)!r}, expected a type of node, a "
                f"relation and a type of node; the types are {', '.join(sizes)}"
            )
        triples.append((row[0], row[1], row[2]))
    graph = OGBTypedGraph(sizes, {})
    for triple in sorted(triples):
        folder = f"raw/relations/{'___'.join(triple)}"
        edges = _single(paths, f"{folder}/num-edge-list.csv.gz")
        if f"{folder}/edge.csv.gz" not in paths:
            raise UserError(f"{folder}/edge.csv.gz is missing; unpack OGB's archive as a whole")
        pairs = read_numbers(paths[f"{folder}/edge.csv.gz"], np.int64, columns=2, rows=edges)
        graph.edge_index[triple] = np.ascontiguousarray(pairs.T)
        for name, values in _attributes(paths, folder, {"edge": edges})["edge"].items():
            graph.edge.setdefault(name, {})[triple] = values
    for kind, size in sizes.items():
        for name, values in _attributes(paths, f"raw/node-feat/{kind}", {"node": size})["node"].items():
            graph.node.setdefault(name, {})[kind] = values
    return graph


def _typed_sizes(paths: Mapping[str, Path]) -> dict[str, int]:
    if "raw/num-node-dict.csv.gz" not in paths:
        raise UserError("raw/num-node-dict.csv.gz is missing; unpack OGB's archive as a whole")
    rows = read_rows(paths["raw/num-node-dict.csv.gz"])
    if len(rows) != 2 or len(rows[0]) != len(rows[1]) or None in map(whole_number, rows[1]):
        raise UserError(
            f"{paths['raw/num-node-dict.csv.gz']} should hold one whole number a type of node, for a single graph"
        )
    return {kind: int(count) for kind, count in sorted(zip(rows[0], rows[1], strict=True))}


def _from_npz(path: Path) -> OGBGraph:
    content = open_arrays(path)
    missing = [name for name in ("edge_index", "num_nodes_list", "num_edges_list") if name not in content]
    if missing:
        raise UserError(f"{path} has no {', '.join(missing)}; it has {', '.join(content) or 'nothing'}")
    for name in ("num_nodes_list", "num_edges_list"):
        if content[name].shape != (1,) or content[name].dtype.kind not in "iu":
            raise UserError(f"{path}: {name} should hold one whole number, for a single graph")
    edge_index = _edges(content.pop("edge_index"), f"edge_index in {path}")
    nodes, edges = int(content.pop("num_nodes_list")[0]), int(content.pop("num_edges_list")[0])
    if edge_index.shape[1] != edges:
        raise UserError(f"{path} has {edge_index.shape[1]} edges, but names {edges}")
    graph = OGBGraph(nodes, edge_index)
    for name, values in content.items():
        side, counted = (graph.node, nodes) if name.startswith("node_") else (graph.edge, edges)
        side[name] = _attribute_array(name, values, counted, path)
    return graph


def _typed_from_npz(paths: Mapping[str, Path]) -> OGBTypedGraph:
    missing = [f for f in ("raw/num_nodes_dict.npz", "raw/num_edges_dict.npz") if f not in paths]
    if missing:
        raise UserError(f"{', '.join(missing)} is missing; unpack OGB's archive as a whole")
    sizes = dict(sorted(_counts(paths["raw/num_nodes_dict.npz"]).items()))
    counts = {_triple(key): count for key, count in _counts(paths["raw/num_edges_dict.npz"]).items()}
    content = open_arrays(paths["raw/edge_index_dict.npz"])
    edges = {
        _triple(key): _edges(array, f"{key} in {paths['raw/edge_index_dict.npz']}") for key, array in content.items()
    }
    wrong = [
        triple for triple in {**counts, **edges} if triple not in edges or edges[triple].shape[1] != counts.get(triple)
    ]
    if wrong:
        raise UserError(
            f"{paths['raw/edge_index_dict.npz']} and num_edges_dict.npz disagree about the edges {'___'.join(wrong[0])}"
        )
    graph = OGBTypedGraph(sizes, {triple: edges[triple] for triple in sorted(edges)})
    for file, path in paths.items():
        name = Path(file).name.removesuffix(".npz")
        if str(Path(file).parent) != "raw" or not name.startswith(("node_", "edge_")) or name == "edge_index_dict":
            continue
        for key, values in open_arrays(path).items():
            if name.startswith("node_"):
                graph.node.setdefault(_plain(name), {})[key] = _attribute_array(name, values, sizes.get(key, -1), path)
            else:
                triple = _triple(key)
                checked = _attribute_array(name, values, counts.get(triple, -1), path)
                graph.edge.setdefault(_plain(name), {})[triple] = checked
    return graph


def _counts(path: Path) -> dict[str, int]:
    content = open_arrays(path)
    for key, values in content.items():
        if values.shape != (1,) or values.dtype.kind not in "iu":
            raise UserError(f"{path}: {key} should hold one whole number, for a single graph")
    return {key: int(values[0]) for key, values in content.items()}


def _from_processed(path: Path, both_directions: bool) -> OGBGraph | OGBTypedGraph:
    content = read_torch_file(path, nested=True)
    content = content["graph"] if isinstance(content.get("graph"), dict) else content
    step = 2 if both_directions else 1
    if "edge_index_dict" in content:
        sizes = {kind: int(count) for kind, count in sorted(content["num_nodes_dict"].items())}
        typed = OGBTypedGraph(
            sizes,
            {
                triple: _edges(array, f"{triple} in {path}")
                for triple, array in sorted(content["edge_index_dict"].items())
            },
        )
        for name, values in content.items():
            if not isinstance(values, dict) or name in ("edge_index_dict", "num_nodes_dict"):
                continue
            for key, array in values.items():
                if name.startswith("node_"):
                    checked = _attribute_array(name, array, sizes.get(key, -1), path)
                    typed.node.setdefault(_plain(name), {})[key] = checked
                else:
                    count = typed.edge_index[key].shape[1] if key in typed.edge_index else -1
                    typed.edge.setdefault(_plain(name), {})[key] = _attribute_array(name, array, count, path)
        return typed
    if not isinstance(content.get("num_nodes"), int) or "edge_index" not in content:
        raise UserError(f"{path} has no edge_index or num_nodes; it has {', '.join(content) or 'nothing'}")
    edge_index = _edges(content["edge_index"], f"edge_index in {path}")
    edges = edge_index.shape[1]
    graph = OGBGraph(content["num_nodes"], np.ascontiguousarray(edge_index[:, ::step]))
    for name, values in content.items():
        if name.startswith("node_") and values is not None:
            graph.node[name] = _attribute_array(name, values, graph.num_nodes, path)
        elif name.startswith("edge_") and name != "edge_index" and values is not None:
            graph.edge[name] = _attribute_array(name, values, edges, path)[::step]
    return graph


def _plain(name: str) -> str:
    return name.removesuffix("_dict")


def _triple(key: str) -> Triple:
    parts = key.split("___")
    if len(parts) != 3:
        raise UserError(f"{key!r} should name a type of node, a relation and a type of node, joined by ___")
    return parts[0], parts[1], parts[2]


def _edges(array: Any, what: str) -> np.ndarray:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu" or array.ndim != 2 or array.shape[0] != 2:
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        raise UserError(f"{what} is {found}, expected whole numbers [2, E]")
    return array.astype(np.int64, copy=False)


def _attribute_array(name: str, values: Any, count: int, path: Path) -> np.ndarray:
    """[count, F]; features float32, others int64."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf" or values.ndim not in (1, 2):
        raise UserError(f"{path}: {name} is no table of numbers")
    if len(values) != count:
        raise UserError(f"{path}: {name} has {len(values)} rows, expected {max(count, 0)}")
    values = values.reshape(len(values), -1)
    return values.astype(
        np.float32 if _plain(name).endswith("_feat") or values.dtype.kind == "f" else np.int64, copy=False
    )


def _check_ids(graph: OGBGraph | OGBTypedGraph, where: Path) -> None:
    parts = (
        [(graph.edge_index, graph.num_nodes, graph.num_nodes, "")]
        if isinstance(graph, OGBGraph)
        else [
            (edges, graph.num_nodes.get(triple[0], 0), graph.num_nodes.get(triple[2], 0), f" of {' '.join(triple)}")
            for triple, edges in graph.edge_index.items()
        ]
    )
    for edges, sources, targets, what in parts:
        for side, row, count in (("source", edges[0], sources), ("target", edges[1], targets)):
            if row.size and not (row.min() >= 0 and row.max() < count):
                place = int(np.flatnonzero((row < 0) | (row >= count))[0])
                raise UserError(
                    f"edge {place}{what} in {where} has the {side} {row[place]}, but its nodes are numbered "
                    f"0 .. {count - 1}"
                )
