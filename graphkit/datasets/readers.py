"""From verified files to arrays, one reader per file format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphkit.data import InductiveKnowledgeGraphTask, KnowledgeGraphTask, LinkTask, NodeTask, read_triples
from graphkit.datasets.card import Card
from graphkit.datasets.matlab_networks import read_matlab_network
from graphkit.datasets.ogb import read_ogb_knowledge_graph
from graphkit.datasets.ogb_tasks import ogb_link_task, ogb_node_task
from graphkit.datasets.planetoid import read_planetoid
from graphkit.datasets.stored_graph import StoredGraph
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
    """``ind.NAME.allx`` and its siblings."""
    return read_planetoid(paths)


def _matlab_network(entry: Card, paths: dict[str, Path]) -> StoredGraph:
    """One MATLAB file with an adjacency matrix and perhaps labels."""
    if len(paths) != 1:
        raise UserError(f"the card of {entry.name!r} names {len(paths)} files; its reader {entry.reader!r} reads one")
    return read_matlab_network(next(iter(paths.values())), **entry.options)


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


def _ogb_knowledge_graph(entry: Card, paths: dict[str, Path]) -> KnowledgeGraphTask:
    """OGB's folder, with the negatives of its evaluation; ids are OGB's."""
    return read_ogb_knowledge_graph(entry.name, paths)


def _ogb_links(entry: Card, paths: dict[str, Path]) -> LinkTask:
    """OGB's split of a graph's edges, with the negatives of its evaluation."""
    return ogb_link_task(entry, paths)


def _ogb_nodes(entry: Card, paths: dict[str, Path]) -> NodeTask:
    """OGB's graph with labels of its nodes and their split."""
    return ogb_node_task(entry, paths)


READERS: dict[str, Callable[[Card, dict[str, Path]], Any]] = {
    "inductive_triples": _inductive_triples,
    "matlab_network": _matlab_network,
    "ogb_knowledge_graph": _ogb_knowledge_graph,
    "ogb_links": _ogb_links,
    "ogb_nodes": _ogb_nodes,
    "planetoid": _planetoid,
    "triples": _triples,
}


def read(entry: Card, paths: dict[str, Path]) -> Any:
    """The task, or the graph, in the files of a card.

    Raises:
        UserError: for an unknown reader, or files that do not hold what the reader expects.
    """
    if entry.reader not in READERS:
        raise UserError(f"the card of {entry.name!r}: " + nearest(entry.reader, READERS, "reader"))
    return READERS[entry.reader](entry, paths)
