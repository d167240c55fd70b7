"""From verified files to arrays, one reader per file format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphkit.data import InductiveKnowledgeGraphTask, KnowledgeGraphTask, LinkTask, NodeTask, read_triples
from graphkit.datasets.card import Card
from graphkit.datasets.citation_rows import read_citation_rows
from graphkit.datasets.city_archive import read_city_network
from graphkit.datasets.geom_gcn import read_geom_gcn, read_geom_gcn_splits
from graphkit.datasets.labelled_networks import read_airports, read_facebook100, read_wikics
from graphkit.datasets.malnet import read_malnet
from graphkit.datasets.matlab_networks import read_matlab_network
from graphkit.datasets.npz_graphs import read_attributed_npz, read_edge_list_npz, read_telegram
from graphkit.datasets.ogb import read_ogb_knowledge_graph
from graphkit.datasets.ogb_tasks import ogb_link_task, ogb_node_task
from graphkit.datasets.planetoid import read_planetoid
from graphkit.datasets.stored_graph import StoredGraph
from graphkit.datasets.stored_graphs import StoredGraphs
from graphkit.datasets.synthetic import generate
from graphkit.datasets.tensor_graphs import read_gnn_benchmark, read_lrgb
from graphkit.datasets.tu_dataset import read_tu_dataset
from graphkit.errors import UserError, nearest

__all__ = ["READERS", "read"]


def _triples(entry: Card, paths: dict[str, Path]) -> KnowledgeGraphTask:
    """``train.txt``, ``valid.txt``, ``test.txt`` with one triple of names a line; ids follow the sorted names."""
    splits = {Path(name).stem: read_triples(path, **entry.options) for name, path in paths.items()}
    missing = {"train", "valid", "test"} - set(splits)
    if missing:
        raise UserError(f"the card of {entry.name!r} names no file for {', '.join(sorted(missing))}")
    return KnowledgeGraphTask.from_names(entry.name, splits["train"], splits["valid"], splits["test"])


def _planetoid(entry: Card, paths: dict[str, Path]) -> StoredGraph:
    """``ind.NAME.allx`` and its siblings, and the splits of Geom-GCN, where documents without a class are taken out."""
    splits = {name: path for name, path in paths.items() if not name.startswith("ind.")}
    graph = read_planetoid({name: path for name, path in paths.items() if name not in splits})
    if not splits:
        return graph
    assert graph.y is not None
    masks = read_geom_gcn_splits(splits, graph.num_nodes)
    masks = {split: mask & (graph.y >= 0) for split, mask in masks.items()}
    return replace(graph, splits={**graph.splits, "geom-gcn": masks})


def _geom_gcn(entry: Card, paths: dict[str, Path]) -> StoredGraph:
    """``out1_graph_edges.txt``, ``out1_node_feature_label.txt`` and the files of the splits."""
    return read_geom_gcn(paths, **entry.options)


def _edge_list_npz(entry: Card, paths: dict[str, Path]) -> StoredGraph:
    """One archive with ``node_features``, ``node_labels``, ``edges`` and masks."""
    return read_edge_list_npz(_only(entry, paths))


def _attributed_npz(entry: Card, paths: dict[str, Path]) -> StoredGraph:
    """One archive with ``adj_*``, ``attr_*`` and ``labels``."""
    return read_attributed_npz(_only(entry, paths))


def _telegram(entry: Card, paths: dict[str, Path]) -> StoredGraph:
    """``telegram_adj.npz`` and ``telegram_labels.npy``."""
    return read_telegram(paths["telegram_adj.npz"], paths["telegram_labels.npy"])


def _airports(entry: Card, paths: dict[str, Path]) -> StoredGraph:
    """``NAME-airports.edgelist`` and ``labels-NAME-airports.txt``."""
    labels = next(path for name, path in paths.items() if name.startswith("labels-"))
    return read_airports(next(path for path in paths.values() if path != labels), labels)


def _facebook100(entry: Card, paths: dict[str, Path]) -> StoredGraph:
    """One MATLAB file with ``A`` and ``local_info``."""
    return read_facebook100(_only(entry, paths))


def _wikics(entry: Card, paths: dict[str, Path]) -> StoredGraph:
    """``data.json``."""
    return read_wikics(_only(entry, paths))


def _only(entry: Card, paths: dict[str, Path]) -> Path:
    if len(paths) != 1:
        raise UserError(f"the card of {entry.name!r} names {len(paths)} files; its reader {entry.reader!r} reads one")
    return next(iter(paths.values()))


def _matlab_network(entry: Card, paths: dict[str, Path]) -> StoredGraph:
    """One MATLAB file with an adjacency matrix and perhaps labels."""
    return read_matlab_network(_only(entry, paths), **entry.options)


_INDUCTIVE = ("train", "valid", "test_facts", "test")


def _inductive_triples(entry: Card, paths: dict[str, Path]) -> InductiveKnowledgeGraphTask:
    """GraIL's layout: ``KEY/train.txt`` and ``KEY/valid.txt``, and of the test graph ``KEY_ind/train.txt`` (its facts) and
    ``KEY_ind/test.txt`` (its queries)."""
    found = {}
    for name, path in paths.items():
        unseen = Path(name).parent.name.endswith("_ind")
        found["test_facts" if unseen and Path(name).stem == "train" else Path(name).stem] = (unseen, path)
    for split in _INDUCTIVE:
        if split not in found or found[split][0] != split.startswith("test"):
            raise UserError(
                f"the card of {entry.name!r} names no file for {split}; expected KEY/train.txt, KEY/valid.txt, "
                "KEY_ind/train.txt and KEY_ind/test.txt"
            )
    train, valid, test_facts, test = (read_triples(found[split][1], **entry.options) for split in _INDUCTIVE)
    return InductiveKnowledgeGraphTask.from_names(entry.name, train, valid, test_facts, test)


def _citation_rows(entry: Card, paths: dict[str, Path]) -> StoredGraph:
    """``NAME.cites``."""
    return read_citation_rows(_only(entry, paths))


def _city_network(entry: Card, paths: dict[str, Path]) -> StoredGraph:
    """An archive ``NAME.tar.gz`` of tensors, or the folder ``NAME`` that was unpacked from it; found by one of its files."""
    path = _only(entry, paths)
    return read_city_network(path if path.name.endswith(".tar.gz") else path.parent, **entry.options)


def _ogb_knowledge_graph(entry: Card, paths: dict[str, Path]) -> KnowledgeGraphTask:
    """OGB's folder, with the negatives of its evaluation; ids are OGB's."""
    return read_ogb_knowledge_graph(entry.name, paths)


def _ogb_links(entry: Card, paths: dict[str, Path]) -> LinkTask:
    """OGB's split of a graph's edges, with the negatives of its evaluation."""
    return ogb_link_task(entry, paths)


def _ogb_nodes(entry: Card, paths: dict[str, Path]) -> NodeTask:
    """OGB's graph with labels of its nodes and their split."""
    return ogb_node_task(entry, paths)


def _tu_dataset(entry: Card, paths: dict[str, Path]) -> StoredGraphs:
    """``NAME_A.txt`` and its siblings."""
    return read_tu_dataset(paths)


def _lrgb(entry: Card, paths: dict[str, Path]) -> StoredGraphs:
    """``train``, ``val`` and ``test`` as ``*.pt`` or ``*.pickle``."""
    return read_lrgb(paths, **entry.options)


def _gnn_benchmark(entry: Card, paths: dict[str, Path]) -> StoredGraphs:
    """One file ``*.pt`` with all three splits."""
    return read_gnn_benchmark(_only(entry, paths), **entry.options)


def _malnet(entry: Card, paths: dict[str, Path]) -> StoredGraphs:
    """``malnet-graphs-tiny.tar.gz`` and ``split_info_tiny.zip``."""
    return read_malnet(paths["malnet-graphs-tiny.tar.gz"], paths["split_info_tiny.zip"])


def _generated(entry: Card, paths: dict[str, Path]) -> StoredGraphs:
    """No file; the graphs of seed 0."""
    return generate(entry.options)


READERS: dict[str, Callable[[Card, dict[str, Path]], Any]] = {
    "airports": _airports,
    "attributed_npz": _attributed_npz,
    "citation_rows": _citation_rows,
    "city_network": _city_network,
    "edge_list_npz": _edge_list_npz,
    "facebook100": _facebook100,
    "generated": _generated,
    "geom_gcn": _geom_gcn,
    "gnn_benchmark": _gnn_benchmark,
    "inductive_triples": _inductive_triples,
    "lrgb": _lrgb,
    "malnet": _malnet,
    "matlab_network": _matlab_network,
    "ogb_knowledge_graph": _ogb_knowledge_graph,
    "ogb_links": _ogb_links,
    "ogb_nodes": _ogb_nodes,
    "planetoid": _planetoid,
    "telegram": _telegram,
    "triples": _triples,
    "tu_dataset": _tu_dataset,
    "wikics": _wikics,
}


def read(entry: Card, paths: dict[str, Path]) -> Any:
    """The task, or the graph, in the files of a card.

    Raises:
        UserError: for an unknown reader, or files that do not hold what the reader expects.
    """
    if entry.reader not in READERS:
        raise UserError(f"the card of {entry.name!r}: " + nearest(entry.reader, READERS, "reader"))
    return READERS[entry.reader](entry, paths)
