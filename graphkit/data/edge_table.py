"""A user's own graph: named edges from files, networkx or pandas, and the tasks on it."""

from __future__ import annotations

import gzip
import hashlib
import os
import warnings
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from graphkit.data.edge_features import feature_tensor, text_features
from graphkit.data.edge_sources import (
    column_edges,
    networkx_edges,
    node_names,
    node_values,
    parquet_columns,
    read_graphml,
)
from graphkit.data.edge_tasks import PARTS, inductive_task, link_task, node_task, transductive_task
from graphkit.data.edge_text import Edge, text_edges
from graphkit.data.knowledge_graph import KnowledgeGraphTask
from graphkit.data.leaks import SPLITS
from graphkit.data.link_task import LinkTask
from graphkit.data.node_task import NodeTask
from graphkit.data.triples import file_bytes
from graphkit.errors import DataWarning, UserError, nearest

if TYPE_CHECKING:
    import networkx

__all__ = ["EdgeTable"]

PathLike = str | os.PathLike[str]


class EdgeTable:
    """A graph of your own: named entities, named relations, distinct triples.

    Ids follow the sorted names (by code point), triples are sorted by id, so neither depends on the order in a file.
    Triples that repeat are dropped with a warning and counted; self loops stay and are counted. Make one with
    :meth:`read`, :meth:`from_networkx`, :meth:`from_pandas` or :meth:`from_triples`.

    Args:
        edges: rows of names; ``split`` is None in all of them, or in none.
        name: name of the graph.
        nodes: entities that need no edge.
        source: where the edges come from (plain values).

    Attributes:
        triples: [E, 3] int64 (head, relation, tail).
        entities: names of the N entities; id i is the i-th.
        relations: names of the R relations.
        splits: [E] int8, 0 train, 1 valid, 2 test, 3 facts of a test graph; None where no split came with the edges.
        features: [N, F] float32 node features, or None.
        feature_names: names of the F features.
        duplicates: rows dropped because they repeat another one.
        self_loops: triples whose head is their tail.
        source: where the edges come from.

    Raises:
        UserError: for no edge at all.

    Example:
        >>> table = EdgeTable.from_triples([("rome", "in", "italy"), ("milan", "in", "italy")], name="towns")
        >>> table
        EdgeTable('towns', entities=3, relations=1, triples=2)
        >>> table.triples.tolist()
        [[1, 0, 0], [2, 0, 0]]
    """

    features: Tensor | None = None
    feature_names: Sequence[str] = ()

    def __init__(
        self,
        edges: Iterable[Edge],
        *,
        name: str = "graph",
        nodes: Iterable[str] = (),
        source: Mapping[str, Any] | None = None,
    ) -> None:
        entity_ids: dict[str, int] = {}
        relation_ids: dict[str, int] = {}
        ids = array("q")
        for head, relation, tail, split in edges:
            ids.extend(
                (
                    -1 if split is None else split,
                    entity_ids.setdefault(head, len(entity_ids)),
                    relation_ids.setdefault(relation, len(relation_ids)),
                    entity_ids.setdefault(tail, len(entity_ids)),
                )
            )
        if not ids:
            raise UserError(f"{name} holds no edge; expected at least one (head, relation, tail)")
        for node in nodes:
            entity_ids.setdefault(node, len(entity_ids))
        self.name = name
        self.source = dict(source or {})
        self.entities, entity_rank = _sorted(entity_ids)
        self.relations, relation_rank = _sorted(relation_ids)
        rows = np.frombuffer(ids, dtype=np.int64).reshape(-1, 4)
        columns = (rows[:, 0], entity_rank[rows[:, 1]], relation_rank[rows[:, 2]], entity_rank[rows[:, 3]])
        found = np.unique(np.stack(columns, axis=1), axis=0)
        self.triples = torch.from_numpy(np.ascontiguousarray(found[:, 1:]))
        self.splits = torch.from_numpy(found[:, 0].astype(np.int8)) if found[0, 0] >= 0 else None
        self.duplicates = len(rows) - len(found)
        self.self_loops = int((found[:, 1] == found[:, 3]).sum())
        if self.duplicates:
            warnings.warn(
                f"{name}: {self.duplicates:,} of {len(rows):,} edges repeat another one and are dropped",
                DataWarning,
                stacklevel=2,
            )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{key}={value}" for key, value in self.statistics().items())
        return f"{type(self).__name__}({self.name!r}, {sizes})"

    def statistics(self) -> dict[str, int]:
        """Sizes: entities, relations, triples; duplicates, self loops and features where there are any.

        Example:
            >>> EdgeTable.from_triples([("a", "r", "a")]).statistics()
            {'entities': 1, 'relations': 1, 'triples': 1, 'self_loops': 1}
        """
        sizes = {"entities": len(self.entities), "relations": len(self.relations), "triples": len(self.triples)}
        extra = {
            "duplicates": self.duplicates, "self_loops": self.self_loops, "features": len(self.feature_names)
        }  # fmt: skip
        return {**sizes, **{key: value for key, value in extra.items() if value}}

    @classmethod
    def from_triples(cls, triples: Iterable[Sequence[str]], *, name: str = "graph") -> EdgeTable:
        """A table from (head, relation, tail) in names.

        Raises:
            UserError: for a row that is no triple of non-empty names, and for no row at all.

        Example:
            >>> EdgeTable.from_triples([("b", "r", "a")]).entities
            ['a', 'b']
        """
        return cls(_named(triples, name), name=name)

    @classmethod
    def read(
        cls,
        path: PathLike | Mapping[str, PathLike],
        *,
        head: int | str | None = None,
        relation: int | str | None = None,
        tail: int | str | None = None,
        split: int | str | None = None,
        delimiter: str | None = None,
        header: bool | None = None,
        comment: str | None = "#",
        features: PathLike | Sequence[str] | None = None,
        name: str | None = None,
    ) -> EdgeTable:
        """Edges from a file: text, Parquet (``.parquet``) or GraphML (``.graphml``); a further ``.gz`` is unpacked.

        Text is UTF-8, one edge a line: head, relation, tail, or head and tail alone, which gives the one relation
        ``edge``. Fields stand between tabs in ``.tsv`` and between commas (or semicolons) in ``.csv``; elsewhere the
        first lines decide among tabs, commas, semicolons, ``|`` and blanks. Fields with the delimiter inside are quoted
        with ``"``. Blanks around names do not count; blank lines are skipped.

        A first line that calls its columns head, relation, tail (or subject, predicate, object; source, type, target;
        ...) is a header; a column ``split`` in it with train, valid and test gives the split.

        Args:
            path: the file; or one file per split, ``{"train": ..., "valid": ..., "test": ...}``, and ``"test_facts"``
                where the test has a graph of its own.
            head: name or number (from 0) of the column of heads; None: by header or position.
            relation: the same for relations; in GraphML the edge attribute that holds them.
            tail: the same for tails.
            split: the same for splits.
            delimiter: one character, or tab, comma, semicolon, pipe, blanks; None: by the ending or the first lines.
            header: whether the first line names the columns; None: where it looks like it.
            comment: what begins a line that is left out; None: nothing does.
            features: node features: a text file (name, then numbers, one node a line); for GraphML the names of the
                node attributes.
            name: name of the graph; None: of the file, or of the folder of several.

        Raises:
            UserError: for a missing, empty or malformed file (file and line are named), and for a column that is not
                there.

        Example:
            >>> import tempfile
            >>> file = Path(tempfile.mkdtemp()) / "towns.tsv"
            >>> _ = file.write_text("# made up\\nrome\\tin\\titaly\\nmilan\\tin\\titaly\\n")
            >>> EdgeTable.read(file)
            EdgeTable('towns', entities=3, relations=1, triples=2)
        """
        columns = {"head": head, "relation": relation, "tail": tail, "split": split}
        options = {"delimiter": delimiter, "header": header, "comment": comment}
        parts = _paths(path)
        hashes: dict[str, Any] = {}
        first = Path(next(iter(parts.values())))
        if first.name.lower().removesuffix(".gz").endswith(".graphml"):
            if len(parts) > 1:
                raise UserError(f"{first}: GraphML is read from one file; give splits as text or Parquet")
            for option, given in {**columns, **options, "relation": None, "comment": None}.items():
                if given is not None:
                    raise UserError(f"{first}: {option}= does not apply to GraphML; leave it out")
            graph = read_graphml(_unpacked(first, hashes), first)
            wanted = [features] if isinstance(features, str) else [] if features is None else features
            if isinstance(wanted, os.PathLike):
                raise UserError(f"{first}: features= of GraphML are names of node attributes, such as ['age']")
            asked = None if relation is None else str(relation)
            return cls.from_networkx(
                graph, relation=asked, features=wanted, name=name or _stem(first), source={"files": hashes}
            )
        edges = _all_edges(parts, columns, options, hashes)
        own_name = _stem(first) if len(parts) == 1 else first.absolute().parent.name
        table = cls(edges, name=name or own_name or "graph", source={"files": hashes})
        if features is not None:
            if not isinstance(features, (str, os.PathLike)):
                raise UserError(f"{first}: features= is the path of a text file: the name of a node, then its numbers")
            values, table.feature_names = text_features(_unpacked(Path(features), hashes), features)
            table.features = feature_tensor(values, table.entities, str(features))
        return table

    @classmethod
    def from_networkx(
        cls,
        graph: networkx.Graph,
        *,
        relation: str | None = None,
        features: Sequence[str] = (),
        name: str | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> EdgeTable:
        """A table from a networkx graph of any kind; nodes are named by their text, isolated nodes are entities too.

        An undirected edge {u, v} counts as the two facts (u, r, v) and (v, r, u).

        Args:
            graph: the graph.
            relation: edge attribute that holds the relation; None: ``relation``, ``predicate``, ``type`` or the like
                where edges have it, else all edges are the one relation ``edge``.
            features: node attributes with numbers that become node features.
            name: name of the graph; None: the graph's own.
            source: where the graph comes from (plain values).

        Raises:
            UserError: for a graph without edges, an unknown attribute (the nearest one is suggested), a node or an
                edge without it, and two nodes with one name.

        Example:
            >>> import networkx as nx
            >>> graph = nx.DiGraph([("rome", "italy", {"relation": "in"})])
            >>> EdgeTable.from_networkx(graph, name="towns").relations
            ['in']
        """
        name = name or getattr(graph, "name", "") or "graph"
        nodes = node_names(graph, name)
        table = cls(networkx_edges(graph, relation, name), name=name, nodes=nodes, source=source)
        if features:
            table.feature_names = list(features)
            table.features = feature_tensor(node_values(graph, features, name), table.entities, name)
        return table

    @classmethod
    def from_pandas(
        cls,
        frame: Any,
        head: int | str | None = None,
        relation: int | str | None = None,
        tail: int | str | None = None,
        *,
        split: int | str | None = None,
        features: Any = None,
        name: str = "graph",
    ) -> EdgeTable:
        """A table from a pandas data frame, one edge a row.

        Args:
            frame: the data frame.
            head: column of the heads, by name or number from 0; None: as in :meth:`read`.
            relation: column of the relations.
            tail: column of the tails.
            split: column of the splits.
            features: data frame of node features, its index the names of the nodes, or None.
            name: name of the graph.

        Raises:
            UserError: for an unknown column (the nearest one is suggested), and for a cell that is empty or neither
                text nor a whole number (column and row are named).

        Example:
            >>> import pandas as pd
            >>> frame = pd.DataFrame({"town": ["rome"], "land": ["italy"]})
            >>> EdgeTable.from_pandas(frame, head="town", tail="land").relations
            ['edge']
        """
        if not hasattr(frame, "columns") or not hasattr(frame, "iloc"):
            raise UserError(f"from_pandas got a {type(frame).__name__}, expected a pandas data frame")
        names = [str(column) for column in frame.columns]
        columns = {"head": head, "relation": relation, "tail": tail, "split": split}
        table = cls(column_edges(names, lambda i: frame.iloc[:, i].tolist(), columns, name), name=name)
        if features is not None:
            values = {str(node): row for node, row in zip(features.index, features.values.tolist(), strict=True)}
            table.feature_names = [str(column) for column in features.columns]
            table.features = feature_tensor(values, table.entities, f"features of {name}")
        return table

    def knowledge_graph_task(
        self,
        *,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.1,
        together: Literal["mirror", "pair"] = "mirror",
        inductive: bool = False,
        test_entities: float = 0.3,
        name: str | None = None,
    ) -> KnowledgeGraphTask:
        """Link prediction on this graph, leak-checked.

        The split that came with the edges is used where there is one; the other arguments, but for ``inductive`` and
        ``name``, do nothing then. Otherwise triples are held out at random, but never the last train triple of an
        entity or relation: what no message reaches cannot be predicted. Where too few triples qualify, the splits are
        smaller, with a warning. See :func:`graphkit.data.triple_splits.hold_out`.

        What gives a held-out triple away: its mirror (t, r, h) stays on the same side as the triple, so symmetric
        relations are no free lunch; other relations between its two entities (an inverse relation under another
        name) may be in train, which the certificate of ``task.leak_check()`` counts. ``together="pair"`` keeps all
        triples between two entities on one side, then there is nothing of the kind.

        ``inductive=True`` parts the entities first: a connected region of them becomes a test graph of its own, and the
        triples between the two graphs are dropped (counted in the task's provenance). ``valid`` is then a share of the
        training graph and ``test`` one of the test graph, whose other triples are the facts known there. Triples of
        the test graph whose relation the training never sees are dropped too.

        Args:
            seed: seed of the split.
            valid: share of the triples for validation.
            test: share of the triples for test.
            together: what stays on one side, ``"mirror"`` or ``"pair"``.
            inductive: whether the test has a graph of its own; a ready split needs the part ``test_facts`` then.
            test_entities: share of the entities in the test graph, for ``inductive``.
            name: name of the task; None: of the graph.

        Returns:
            :class:`KnowledgeGraphTask`, or :class:`InductiveKnowledgeGraphTask`.

        Raises:
            UserError: for shares out of range, too few triples, or an empty split.
            LeakError: when a split that came with the edges leaks.

        Example:
            >>> ring = [(f"e{i}", r, f"e{(i + k) % 9}") for i in range(9) for k, r in ((1, "next"), (3, "far"))]
            >>> task = EdgeTable.from_triples(ring, name="ring").knowledge_graph_task(seed=0)
            >>> task
            KnowledgeGraphTask('ring', entities=9, relations=2, train=14, valid=2, test=2)
        """
        options: dict[str, Any] = {"seed": seed, "valid": valid, "test": test, "together": together}
        if inductive:
            return inductive_task(self, test_entities=test_entities, name=name or self.name, **options)
        return transductive_task(self, name=name or self.name, **options)

    def link_task(
        self, *, seed: int = 0, split: str = "85/5/10", num_negatives: int = 1, name: str | None = None
    ) -> LinkTask:
        """Link prediction without relations and directions, leak-checked.

        Edges count once, whichever directions and relations they have; self loops are left out. The split that came
        with the edges is used where there is one.

        Args:
            seed: seed of the split and of the negatives of valid and test.
            split: percentages of train, valid and test.
            num_negatives: negatives an edge of valid and test.
            name: name of the task; None: of the graph.

        Raises:
            UserError: as for :class:`LinkTask`.
            LeakError: when a split that came with the edges leaks.

        Example:
            >>> ring = [(f"e{i}", "next", f"e{(i + 1) % 40}") for i in range(40)]
            >>> EdgeTable.from_triples(ring, name="ring").link_task(seed=0)
            LinkTask('ring', nodes=40, edges=40, features=0, train=34, valid=2, test=4)
        """
        return link_task(self, seed=seed, split=split, num_negatives=num_negatives, name=name or self.name)


    def node_task(
        self,
        labels: PathLike | Mapping[str, Any],
        *,
        directed: bool = True,
        split: str = "48/32/20",
        folds: int = 10,
        seed: int = 0,
        name: str | None = None,
    ) -> NodeTask:
        """Classification of the entities; relations play no part.

        Features are those of the table; without any, a node has the logarithms of its in- and out-degree.

        Args:
            labels: the class of each labelled entity by name, as text or whole number; or a file of lines "entity, class" (tab,
                comma or blanks between them, ``#`` begins a comment). Entities that are not named have no label.
            directed: whether head and tail differ; otherwise both directions of every edge.
            split: as for :func:`graphkit.data.split_nodes`.
            folds: number of splits.
            seed: of the splits.
            name: name of the task; None: of the graph.

        Raises:
            UserError: labels of unknown entities, none at all, a file that cannot be read, and as for
                :class:`graphkit.data.NodeTask`.

        Example:
            >>> ring = [(f"e{i}", "next", f"e{(i + 1) % 10}") for i in range(10)]
            >>> labels = {f"e{i}": "even" if i % 2 == 0 else "odd" for i in range(10)}
            >>> EdgeTable.from_triples(ring, name="ring").node_task(labels, split="60/20/20", folds=1)
            NodeTask('ring', nodes=10, edges=10, features=2, classes=2, train=6, valid=2, test=2, directed)
        """
        return node_task(
            self, labels, directed=directed, split=split, folds=folds, seed=seed, name=name or self.name
        )


def _sorted(ids: Mapping[str, int]) -> tuple[list[str], np.ndarray]:
    """Sorted names, and the position of each former id among them."""
    names = sorted(ids)
    rank = np.empty(len(names), dtype=np.int64)
    rank[[ids[name] for name in names]] = np.arange(len(names))
    return names, rank


def _named(triples: Iterable[Sequence[str]], name: str) -> Iterator[Edge]:
    for row, triple in enumerate(triples):
        if isinstance(triple, str) or len(triple) != 3 or not all(isinstance(part, str) and part for part in triple):
            raise UserError(f"{name}, row {row}: {triple!r} is no triple of non-empty names (head, relation, tail)")
        yield Edge(triple[0], triple[1], triple[2], None)


def _paths(path: PathLike | Mapping[str, PathLike]) -> dict[str, PathLike]:
    """The file of each split; of a single file under the name ``""``."""
    if not isinstance(path, Mapping):
        return {"": path}
    for split in path:
        if split not in PARTS:
            raise UserError(nearest(str(split), PARTS, "split"))
    missing = [split for split in SPLITS if path.get(split) is None]
    if missing:
        raise UserError(
            f"files of a ready split are named train, valid and test (and test_facts, where the test has a graph of its "
            f"own); there is none for {missing[0]}"
        )
    return {split: path[split] for split in PARTS if path.get(split) is not None}


def _all_edges(
    parts: Mapping[str, PathLike], columns: Mapping[str, Any], options: Mapping[str, Any], hashes: dict[str, Any]
) -> Iterator[Edge]:
    for which, path in parts.items():
        file = Path(path)
        data = _unpacked(file, hashes)
        if file.name.lower().removesuffix(".gz").endswith((".parquet", ".pq")):
            for option, given in {**options, "comment": None}.items():
                if given is not None:
                    raise UserError(f"{file}: {option}= does not apply to Parquet; leave it out")
            names, values = parquet_columns(data, file)
            edges = column_edges(names, values, columns, str(file))
        else:
            edges = text_edges(data, file, columns=columns, **options)
        if not which:
            yield from edges
            continue
        for edge in edges:
            if edge.split is not None:
                raise UserError(f"{file}: the split is given by the files and by a column; give it once")
            yield edge._replace(split=PARTS.index(which))


def _unpacked(path: Path, hashes: dict[str, Any]) -> bytes:
    """Content of a file; its hash, as it lies on the disk, is noted."""
    data = file_bytes(path)
    hashes[str(path)] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if not path.name.lower().endswith(".gz"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is no whole gzip file: {error}") from None


def _stem(path: Path) -> str:
    name = path.name[: -len(".gz")] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem
