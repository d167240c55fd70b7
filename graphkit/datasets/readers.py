"""From verified files to arrays, one reader per file format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphkit.data import InductiveKnowledgeGraphTask, KnowledgeGraphTask, read_triples
from graphkit.datasets.card import Card
from graphkit.datasets.ogb import read_ogb_knowledge_graph
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


READERS: dict[str, Callable[[Card, dict[str, Path]], Any]] = {
    "inductive_triples": _inductive_triples,
    "ogb_knowledge_graph": _ogb_knowledge_graph,
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
