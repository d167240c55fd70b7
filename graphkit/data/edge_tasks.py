"""Tasks on a user's own graph: splits made or taken as given, checked for leaks, on record."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from graphkit.data.degree_features import degree_features
from graphkit.data.edge_labels import class_labels, text_labels
from graphkit.data.edge_split import undirected_edges
from graphkit.data.inductive import InductiveKnowledgeGraphTask
from graphkit.data.knowledge_graph import KnowledgeGraphTask
from graphkit.data.leaks import SPLITS
from graphkit.data.link_task import LinkTask
from graphkit.data.node_split import split_nodes
from graphkit.data.node_task import NodeTask
from graphkit.data.triple_splits import HeldOut, check_shares, entity_region, hold_out
from graphkit.errors import DataWarning, UserError, nearest

if TYPE_CHECKING:
    from graphkit.data.edge_table import EdgeTable

__all__ = ["PARTS", "inductive_task", "link_task", "node_task", "transductive_task"]

PARTS = (*SPLITS, "test_facts")
"""What a ready split may name; the last one makes it inductive."""

Together = Literal["mirror", "pair"]


def transductive_task(
    table: EdgeTable, *, seed: int, valid: float, test: float, together: Together, name: str
) -> KnowledgeGraphTask:
    """See :meth:`EdgeTable.knowledge_graph_task`."""
    if table.splits is not None:
        train_facts, valid_facts, test_facts = _given(table, SPLITS, name)
        made: dict[str, Any] = {"kind": "as given with the edges"}
    else:
        check_shares(valid=valid, test=test)
        if valid + test >= 1:
            raise UserError(f"valid={valid:g} and test={test:g} leave nothing for train; together they must be below 1")
        sizes = len(table.entities), len(table.relations)
        held = _held_out(table.triples, *sizes, [valid, test], seed, together, name, "valid and test")
        train_facts, valid_facts, test_facts = (table.triples[held.part == number] for number in range(3))
        made = {
            "kind": "made", "seed": seed, "valid": valid, "test": test, "together": together, "wanted": held.wanted,
            "held_out": held.counts,
        }  # fmt: skip
    _say_features_are_unused(table, name)
    task = KnowledgeGraphTask(name, train_facts, valid_facts, test_facts, table.entities, table.relations)
    return _recorded(task, table, made)


def inductive_task(
    table: EdgeTable, *, seed: int, valid: float, test: float, test_entities: float, together: Together, name: str
) -> InductiveKnowledgeGraphTask:
    """See :meth:`EdgeTable.knowledge_graph_task`."""
    if table.splits is not None:
        parts = _given(table, ("train", "valid", "test_facts", "test"), name)
        made: dict[str, Any] = {"kind": "as given with the edges"}
    else:
        check_shares(valid=valid, test=test, test_entities=test_entities)
        parts, made = _two_graphs(table, seed, valid, test, test_entities, together, name)
    _say_features_are_unused(table, name)
    known = torch.unique(torch.cat([parts[0][:, 1], parts[1][:, 1], parts[2][:, 1], parts[3][:, 1]]))
    relation_ids = torch.full((len(table.relations),), -1, dtype=torch.int64)
    relation_ids[known] = torch.arange(len(known))
    entities: list[list[str]] = []
    renumbered: list[Tensor] = []
    for first, second in ((parts[0], parts[1]), (parts[2], parts[3])):
        used = torch.unique(torch.cat([first, second])[:, [0, 2]])
        ids = torch.full((len(table.entities),), -1, dtype=torch.int64)
        ids[used] = torch.arange(len(used))
        entities.append([table.entities[i] for i in used.tolist()])
        renumbered += [
            torch.stack([ids[part[:, 0]], relation_ids[part[:, 1]], ids[part[:, 2]]], 1) for part in (first, second)
        ]
    relations = [table.relations[i] for i in known.tolist()]
    train_facts, valid_facts, facts, queries = renumbered
    seen, unseen = entities
    task = InductiveKnowledgeGraphTask(name, train_facts, valid_facts, facts, queries, seen, unseen, relations)
    shared = task.shared_entities()
    if shared:
        warnings.warn(
            f"{name}: {len(shared):,} entities of the test graph, such as {shared[0]!r}, are in the training graph too; "
            "what is measured on them is not inductive",
            DataWarning,
            stacklevel=3,
        )
    return _recorded(task, table, made)


def link_task(table: EdgeTable, *, seed: int, split: str, num_negatives: int, name: str) -> LinkTask:
    """See :meth:`EdgeTable.link_task`."""
    options: dict[str, Any] = {"x": table.features, "nodes": table.entities, "num_negatives": num_negatives}
    if len(table.relations) > 1:
        warnings.warn(
            f"{name}: a link task does not tell relations apart; its {len(table.relations):,} relations count as one",
            DataWarning,
            stacklevel=3,
        )
    if table.splits is None:
        edges = table.triples[:, [0, 2]].t().contiguous()
        task = LinkTask.from_edges(name, edges, len(table.entities), split=split, split_seed=seed, **options)
    else:
        parts = [undirected_edges(part[:, [0, 2]].t().contiguous()) for part in _given(table, SPLITS, name)]
        task = LinkTask(name, len(table.entities), *parts, negative_seed=seed, **options)
        task.provenance["split"] = {"kind": "as given with the edges"}
    task.provenance = {**_provenance(table), **task.provenance}
    task.provenance["leak_check"] = {what: count for what, count, _ in task.leak_check().notes}
    return task


def node_task(
    table: EdgeTable,
    labels: str | os.PathLike[str] | Mapping[str, Any],
    *,
    directed: bool,
    split: str,
    folds: int,
    seed: int,
    name: str,
) -> NodeTask:
    """See :meth:`EdgeTable.node_task`."""
    given = labels if isinstance(labels, Mapping) else text_labels(labels)
    y, classes = class_labels(given, table.entities, name)
    edges = table.triples[:, [0, 2]].t().contiguous()
    both = edges if directed else torch.cat([edges, edges.flip(0)], 1)
    x = degree_features(both, len(table.entities)) if table.features is None else table.features
    masks = split_nodes(y, split, folds=folds, seed=seed)
    task = NodeTask.from_edges(
        name, edges, y, x=x, directed=directed, direction="as given with the edges" if directed else None, nodes=table.entities,
        classes=classes, num_classes=len(classes), **masks,
    )  # fmt: skip
    task.provenance = {**_provenance(table), "split": {"name": split, "seed": seed}}
    return task


def _given(table: EdgeTable, parts: tuple[str, ...], name: str) -> list[Tensor]:
    """The parts of a split that came with the edges; none may be empty or left over."""
    assert table.splits is not None
    found = {part: table.triples[table.splits == PARTS.index(part)] for part in PARTS}
    for part in parts:
        if not len(found[part]):
            hint = ": the known facts of the test graph, which an inductive task needs" if part == "test_facts" else ""
            raise UserError(f"{name}: the split that came with the edges has no {part} triples{hint}")
    if len(found["test_facts"]) and "test_facts" not in parts:
        raise UserError(f"{name} has test_facts, the facts of a test graph of its own; pass inductive=True")
    return [found[part] for part in parts]


def _held_out(
    triples: Tensor,
    num_entities: int,
    num_relations: int,
    shares: list[float],
    seed: int,
    together: Together,
    name: str,
    what: str,
) -> HeldOut:
    if together not in ("mirror", "pair"):
        raise UserError(nearest(str(together), ("mirror", "pair"), "value of together"))
    try:
        held = hold_out(triples, num_entities, num_relations, shares, seed=seed, together=together)
    except UserError as error:
        raise UserError(f"{name}: {what}: {error}") from None
    if sum(held.counts) < sum(held.wanted):
        got, wanted = (" and ".join(f"{count:,}" for count in counts) for counts in (held.counts, held.wanted))
        warnings.warn(
            f"{name}: {what} got {got} triples instead of {wanted}: every other one is the last of an entity or relation",
            DataWarning,
            stacklevel=4,
        )
    return held


def _two_graphs(
    table: EdgeTable, seed: int, valid: float, test: float, share: float, together: Together, name: str
) -> tuple[list[Tensor], dict[str, Any]]:
    """Train, valid, test facts and test triples (ids of the table), and how they came about."""
    sizes = len(table.entities), len(table.relations)
    unseen = entity_region(table.triples, sizes[0], share, seed=seed)
    head, tail = unseen[table.triples[:, 0]], unseen[table.triples[:, 2]]
    seen_graph, unseen_graph = table.triples[~head & ~tail], table.triples[head & tail]
    crossing = len(table.triples) - len(seen_graph) - len(unseen_graph)
    trained = torch.zeros(sizes[1], dtype=torch.bool)
    trained[seen_graph[:, 1]] = True
    foreign = ~trained[unseen_graph[:, 1]]
    unseen_graph = unseen_graph[~foreign]
    seen = _held_out(seen_graph, *sizes, [valid], seed, together, name, "valid, of the training graph")
    asked = _held_out(unseen_graph, *sizes, [test], seed, together, name, "test, of the test graph")
    made = {
        "kind": "made, inductive", "seed": seed, "valid": valid, "test": test, "test_entities": share,
        "together": together, "wanted": [*seen.wanted, *asked.wanted], "held_out": [*seen.counts, *asked.counts],
        "dropped_between_the_graphs": crossing, "dropped_relation_not_in_training": int(foreign.sum()),
    }  # fmt: skip
    parts = [
        seen_graph[seen.part == 0], seen_graph[seen.part == 1], unseen_graph[asked.part == 0], unseen_graph[asked.part == 1]
    ]  # fmt: skip
    return parts, made


def _say_features_are_unused(table: EdgeTable, name: str) -> None:
    if table.features is not None:
        warnings.warn(
            f"{name}: a knowledge graph task uses names and relations; its node features are not used",
            DataWarning,
            stacklevel=4,
        )


def _recorded(task: Any, table: EdgeTable, made: dict[str, Any]) -> Any:
    certificate = task.leak_check()
    notes = {what: count for what, count, _ in [*certificate.warnings, *certificate.notes]}
    task.provenance = {**_provenance(table), "split": made, "leak_check": notes}
    return task


def _provenance(table: EdgeTable) -> dict[str, Any]:
    counts = {"duplicates_dropped": table.duplicates, "self_loops": table.self_loops}
    return {"title": f"{table.name}, a graph of your own", **table.source, "edges": counts}
