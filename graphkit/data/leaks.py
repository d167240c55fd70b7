"""Checks that a split does not give its answers away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from graphkit.data.fact_index import FactIndex, triple_keys
from graphkit.errors import UserError

if TYPE_CHECKING:
    from graphkit.data.knowledge_graph import KnowledgeGraphTask

__all__ = ["Certificate", "LeakError", "check_leaks"]

SPLITS = ("train", "valid", "test")


class LeakError(UserError):
    """A split gives away what it asks for; the message names the check, the number of cases and one of them.

    Example:
        >>> issubclass(LeakError, UserError)
        True
    """


@dataclass(frozen=True)
class Certificate:
    """What was checked of a task and held, and what a reader should know besides.

    Args:
        task: name of the task.
        checks: (what holds, how many cases were looked at, detail).
        notes: (what is worth knowing but no error, how many cases, detail).
        warnings: (what makes figures doubtful but is no error, how many cases, detail).

    Example:
        >>> print(Certificate("toy", [("no triple in two splits", 3, "train, valid, test")]))
        leak check of toy: passed
          ok    no triple in two splits (3): train, valid, test
    """

    task: str
    checks: list[tuple[str, int, str]]
    notes: list[tuple[str, int, str]] = field(default_factory=list)
    warnings: list[tuple[str, int, str]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"leak check of {self.task}: passed"]
        for mark, rows in (("ok  ", self.checks), ("WARN", self.warnings), ("note", self.notes)):
            for what, count, detail in rows:
                lines.append(f"  {mark}  {what} ({count:,})" + (f": {detail}" if detail else ""))
        return "\n".join(lines)


def check_leaks(task: KnowledgeGraphTask) -> Certificate:
    """Run all checks on a task, see :meth:`KnowledgeGraphTask.leak_check`."""
    checks = [
        _ids_in_range(task),
        _splits_disjoint(task),
        *(_absent_from_message_graph(task, split) for split in ("valid", "test")),
        *(_inverses_match(task, split) for split in SPLITS),
    ]
    notes = [*_duplicates(task), *_unseen(task), *_redundancy(task)]
    negatives = _negatives_are_no_facts(task, notes)
    if negatives is not None:
        checks.append(negatives)
    return Certificate(task.name, checks, notes, _shared_entities(task))


def _fail(task: KnowledgeGraphTask, what: str, count: int, example: str) -> LeakError:
    return LeakError(f"{task.name}: {what}: {count:,} cases, such as {example}; remove them before you train")


def _named(task: KnowledgeGraphTask, triple: Tensor, split: str) -> str:
    head, relation, tail = triple.tolist()
    entities = task.entities_of(split)
    return f"({entities[head]}, {task.relations[relation]}, {entities[tail]})"


def _keys(task: KnowledgeGraphTask, triples: Tensor, split: str) -> Tensor:
    """One number per triple, comparable between splits on the same graph."""
    head, relation, tail = triples.t()
    return triple_keys(head, relation, tail, len(task.entities_of(split)), task.num_relations)


def _renumbered(task: KnowledgeGraphTask, triples: Tensor, split: str, onto: str) -> Tensor:
    """Those triples of a split whose entities are entities of another split's graph, with the ids they have there."""
    here, there = task.entities_of(split), task.entities_of(onto)
    if here is there:
        return triples
    numbers = {name: i for i, name in enumerate(there)}
    ids = torch.tensor([numbers.get(name, -1) for name in here], dtype=torch.int64)
    moved = torch.stack([ids[triples[:, 0]], triples[:, 1], ids[triples[:, 2]]], 1)
    return moved[(moved >= 0).all(1)]


def _among(values: Tensor, pool: Tensor) -> Tensor:
    """Which values occur in the pool. torch.isin compares all with all here, which takes seconds."""
    return torch.from_numpy(np.isin(values.numpy(), pool.numpy(), kind="sort"))


def _ids_in_range(task: KnowledgeGraphTask) -> tuple[str, int, str]:
    count = 0
    for split in SPLITS:
        triples = task.triples(split)
        entities = len(task.entities_of(split))
        bound = torch.tensor([entities, task.num_relations, entities])
        bad = ((triples < 0) | (triples >= bound)).any(1)
        if bool(bad.any()):
            what = (
                f"ids out of range in {split} "
                f"(entities are 0 .. {entities - 1}, relations 0 .. {task.num_relations - 1})"
            )
            raise _fail(task, what, int(bad.sum()), str(triples[bad][0].tolist()))
        count += triples.size(0)
    sizes = dict.fromkeys(len(task.entities_of(split)) for split in SPLITS)
    return "ids in range", count, f"{' + '.join(map(str, sizes))} entities, {task.num_relations} relations"


def _splits_disjoint(task: KnowledgeGraphTask) -> tuple[str, int, str]:
    count = 0
    for first, second in (("train", "valid"), ("train", "test"), ("valid", "test")):
        triples = _renumbered(task, task.triples(second), second, first)
        shared = _among(_keys(task, triples, first), _keys(task, task.triples(first), first))
        if bool(shared.any()):
            what = f"triples of {second} are in {first} too"
            raise _fail(task, what, int(shared.sum()), _named(task, triples[shared][0], first))
        count += task.triples(second).size(0)
    return "no triple in two splits", count, "train, valid and test compared pairwise"


def _edge_keys(task: KnowledgeGraphTask, split: str) -> Tensor:
    graph = task.graph(split)
    source, target = graph.edge_index.cpu()
    return triple_keys(source, graph.edge_type.cpu(), target, graph.num_nodes, graph.num_relations)


def _inverses_match(task: KnowledgeGraphTask, split: str) -> tuple[str, int, str]:
    graph = task.graph(split)
    edge_index, edge_type = graph.edge_index.cpu(), graph.edge_type.cpu()
    half = graph.num_edges // 2
    wrong = torch.ones(half, dtype=torch.bool)
    if graph.num_edges % 2 == 0 and graph.num_relations == 2 * task.num_relations:
        wrong = (edge_index[:, :half] != edge_index[:, half:].flip(0)).any(0)
        wrong |= edge_type[:half] + task.num_relations != edge_type[half:]
    if bool(wrong.any()) or graph.num_edges % 2:
        what = f"edges of the {split} message graph have no inverse (tail, r + R, head) in its second half"
        example = int(wrong.nonzero()[0]) if bool(wrong.any()) else graph.num_edges - 1
        raise _fail(task, what, max(int(wrong.sum()), 1), f"edge {example}")
    return f"every edge of the {split} message graph has its inverse", half, ""


def _absent_from_message_graph(task: KnowledgeGraphTask, split: str) -> tuple[str, int, str]:
    """Neither (h, r, t) nor (t, r + R, h) of an evaluation triple may be an edge."""
    edges = _edge_keys(task, split)
    triples = task.triples(split)
    head, relation, tail = triples.t()
    for source, edge_type, target, direction in (
        (head, relation, tail, "as they are"),
        (tail, relation + task.num_relations, head, "inverted"),
    ):
        keys = triple_keys(source, edge_type, target, len(task.entities_of(split)), 2 * task.num_relations)
        leaked = _among(keys, edges)
        if bool(leaked.any()):
            what = f"{split} triples are edges of their message graph, {direction}"
            raise _fail(task, what, int(leaked.sum()), _named(task, triples[leaked][0], split))
    return f"no {split} triple is an edge of its message graph", triples.size(0), "in either direction"


def _negatives_are_no_facts(task: KnowledgeGraphTask, notes: list[tuple[str, int, str]]) -> tuple[str, int, str] | None:
    index = FactIndex.build(task.train, task.num_entities, task.num_relations)
    try:
        batch = next(iter(task.loader("train", batch_size=256, num_negatives=32, strict=True)))
    except UserError as error:
        notes.append(("training queries without a strict negative", 1, str(error)))
        return None
    triples = batch.triples.cpu()
    positive = triples[:, 0]
    strangers = ~_among(_keys(task, positive, "train"), _keys(task, task.train, "train"))
    if bool(strangers.any()):
        what = "positives of a training batch are no train facts"
        raise _fail(task, what, int(strangers.sum()), _named(task, positive[strangers][0], "train"))
    negative = triples[:, 1:].reshape(-1, 3)
    facts = index.contains(negative[:, 0], negative[:, 1], negative[:, 2])
    if bool(facts.any()):
        what = "negatives of a training batch are train facts"
        raise _fail(task, what, int(facts.sum()), _named(task, negative[facts][0], "train"))
    return "no negative of a sampled batch is a train fact", negative.size(0), ""


def _duplicates(task: KnowledgeGraphTask) -> list[tuple[str, int, str]]:
    notes = []
    repeated = [(f"triples that {split} repeats", task.triples(split), split) for split in SPLITS]
    if task.message_facts("test") is not task.train:
        repeated.append(("facts that the test graph repeats", task.message_facts("test"), "test"))
    for what, triples, split in repeated:
        keys = _keys(task, triples, split)
        count = keys.numel() - torch.unique(keys).numel()
        if count:
            notes.append((what, count, ""))
    return notes


def _unseen(task: KnowledgeGraphTask) -> list[tuple[str, int, str]]:
    """What occurs in an evaluation split and in no edge of its message graph cannot be reached by any message."""
    notes = []
    for split in ("valid", "test"):
        graph, triples = task.graph(split), task.triples(split)
        if not triples.size(0):
            continue
        for what, used, seen, names in (
            ("entities", triples[:, [0, 2]], graph.edge_index.cpu(), task.entities_of(split)),
            ("relations", triples[:, 1], graph.edge_type.cpu(), task.relations),
        ):
            new = torch.unique(used)
            new = new[~_among(new, seen)]
            if new.numel():
                shown = ", ".join(names[int(i)] for i in new[:3]) + (", ..." if new.numel() > 3 else "")
                notes.append((f"{what} of {split} without an edge in its message graph", new.numel(), shown))
    return notes


def _redundancy(task: KnowledgeGraphTask) -> list[tuple[str, int, str]]:
    """Test triples that a fact between the same two entities may give away, as in WN18 and FB15k."""
    facts = task.message_facts("test")
    fact = "train fact" if facts is task.train else "fact of the test graph"
    head, relation, tail = task.test.t()
    fact_head, _, fact_tail = facts.t()
    entities = max(len(task.entities_of("test")), 1)
    pair = fact_head * entities + fact_tail
    same, opposite = _among(head * entities + tail, pair), _among(tail * entities + head, pair)
    mirrored = torch.stack([tail, relation, head], 1)
    symmetric = _among(_keys(task, mirrored, "test"), _keys(task, facts, "test"))
    total = max(task.test.size(0), 1)
    rows = (
        (f"test triples whose mirror (t, r, h) is a {fact}", symmetric),
        (f"test triples whose entities a {fact} joins, from tail to head", opposite),
        (f"test triples whose entities a {fact} joins, from head to tail", same),
    )
    return [
        (what, int(mask.sum()), f"{100 * int(mask.sum()) / total:.1f} % of test") for what, mask in rows if mask.any()
    ]


def _shared_entities(task: KnowledgeGraphTask) -> list[tuple[str, int, str]]:
    """Entities that a test graph of its own shares with the training graph: there the test is not inductive."""
    here, there = task.entities_of("test"), task.entities_of("train")
    if here is there:
        return []
    seen = set(there)
    shared = [name for name in here if name in seen]
    if not shared:
        return []
    ids = torch.tensor([i for i, name in enumerate(here) if name in seen])
    touched = int((_among(task.test[:, 0], ids) | _among(task.test[:, 2], ids)).sum())
    facts = _renumbered(task, task.message_facts("test"), "test", "train")
    known = int(_among(_keys(task, facts, "train"), _keys(task, task.train, "train")).sum())
    detail = (
        f"{', '.join(shared[:3])}{', ...' if len(shared) > 3 else ''}; in {touched} test triples; "
        f"{known} facts of the test graph are train facts"
    )
    return [("entities of the test graph that the training graph has too", len(shared), detail)]
