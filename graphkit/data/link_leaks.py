"""Checks that a split of an undirected graph does not give its answers away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphkit.data.leaks import SPLITS, Certificate, LeakError, _among
from graphkit.data.link_negative_leaks import Check, check_link_negatives, failure, repeated
from graphkit.data.non_edges import NonEdges, pair_numbers
from graphkit.errors import UserError

if TYPE_CHECKING:
    from graphkit.data.link_task import LinkTask

__all__ = ["check_link_leaks"]


def check_link_leaks(task: LinkTask) -> Certificate:
    """Run all checks on a task, see :meth:`LinkTask.leak_check`."""
    notes: list[Check] = []
    warnings: list[Check] = []
    checks = [_pairs_sound(task), _edges_once(task, notes, warnings), _splits_disjoint(task, warnings)]
    for split in SPLITS:
        checks.append(_both_directions(task, split))
    for split in ("valid", "test"):
        checks += [_absent_from_message_graphs(task, split), *check_link_negatives(task, split, warnings)]
    if task.use_valedges:
        checks.append(_valid_edges_carry_messages(task))
    notes += [*_unreached(task), *_answers_among_validation_negatives(task)]
    batch = _training_negatives_are_no_edges(task, notes)
    return Certificate(task.name, checks if batch is None else [*checks, batch], notes, warnings)


def _pairs_sound(task: LinkTask) -> Check:
    count = 0
    for split in SPLITS:
        edges = task.edges(split)
        outside = ((edges < 0) | (edges >= task.num_nodes)).any(0)
        if bool(outside.any()):
            bad = edges[:, outside][:, 0].tolist()
            what = f"ids out of range in {split} (nodes are 0 .. {task.num_nodes - 1})"
            raise LeakError(f"{task.name}: {what}: {int(outside.sum()):,} cases, such as {bad}")
        loops = edges[0] == edges[1]
        if bool(loops.any()):
            raise failure(task, f"edges of {split} join a node with itself", edges, loops)
        count += edges.size(1)
    return "ids in range, no self-loop", count, f"{task.num_nodes} nodes"


def _edges_once(task: LinkTask, notes: list[Check], warnings: list[Check]) -> Check:
    count = 0
    for split in SPLITS:
        edges = task.edges(split)
        again = repeated(pair_numbers(edges))
        if bool(again.any()):
            if not task.repeats:
                raise failure(task, f"edges stand more than once in {split}, in either direction", edges, again)
            if split == "train":
                notes.append(
                    ("train edges that repeat an earlier one", int(again.sum()), "one edge of the message graph")
                )
            else:
                warnings.append((f"{split} edges that repeat an earlier one", int(again.sum()), "each is scored"))
        count += edges.size(1)
    what = "edges that stand twice in a split are counted" if task.repeats else "every edge once in its split"
    return what, count, "directions do not matter"


def _splits_disjoint(task: LinkTask, warnings: list[Check]) -> Check:
    count = 0
    for first, second in (("train", "valid"), ("train", "test"), ("valid", "test")):
        edges = task.edges(second)
        shared = _among(pair_numbers(edges), pair_numbers(task.edges(first)))
        if bool(shared.any()):
            if not task.repeats:
                raise failure(task, f"edges of {second} are in {first} too, in either direction", edges, shared)
            warnings.append((f"edges of {second} that {first} has too", int(shared.sum()), "edges are events here"))
        count += edges.size(1)
    what = "edges that stand in two splits are counted" if task.repeats else "no edge in two splits"
    return what, count, "train, valid and test compared pairwise, in either direction"


def _message_edges(task: LinkTask, split: str) -> Tensor:
    """The edges along which messages flow, without self-loops; a loop carries no answer."""
    edges = task.graph(split).edge_index.cpu()
    return edges[:, edges[0] != edges[1]]


def _both_directions(task: LinkTask, split: str) -> Check:
    edges = _message_edges(task, split)
    forward, back = (a * task.num_nodes + b for a, b in (edges, edges.flip(0)))
    lonely = ~_among(back, forward)
    if bool(lonely.any()):
        raise failure(task, f"edges of the {split} message graph have no opposite direction", edges, lonely)
    return f"every edge of the {split} message graph in both directions", edges.size(1) // 2, ""


def _absent_from_message_graphs(task: LinkTask, split: str) -> Check:
    """No graph may show a held-out edge, but for valid edges where they are meant to carry messages."""
    edges = task.edges(split)
    if task.repeats:  # what train has as well is no secret; the overlap of the splits has been counted
        edges = edges[:, ~_among(pair_numbers(edges), pair_numbers(task.train))]
    others = [graph for graph in SPLITS if graph != split]
    for graph in (split, *others):
        if task.use_valedges and (split, graph) == ("valid", "test"):
            continue
        leaked = _among(pair_numbers(edges), pair_numbers(_message_edges(task, graph)))
        if task.repeats and task.use_valedges and (split, graph) == ("test", "test"):
            leaked &= ~_among(pair_numbers(edges), pair_numbers(task.valid))
        if bool(leaked.any()):
            which = "their message graph" if graph == split else f"the message graph of {graph}"
            raise failure(task, f"{split} edges are edges of {which}, in either direction", edges, leaked)
    return f"no {split} edge is an edge of a message graph", edges.size(1), _graphs_looked_at(task, split)


def _graphs_looked_at(task: LinkTask, split: str) -> str:
    if task.use_valedges and split == "valid":
        return "in either direction; that of test has them, use_valedges"
    return "in either direction; those of train, valid and test"


def _valid_edges_carry_messages(task: LinkTask) -> Check:
    missing = ~_among(pair_numbers(task.valid), pair_numbers(_message_edges(task, "test")))
    if bool(missing.any()):
        raise failure(task, "valid edges are missing from the test message graph, use_valedges", task.valid, missing)
    return "every valid edge is an edge of the test message graph", task.valid.size(1), "use_valedges"


def _training_negatives_are_no_edges(task: LinkTask, notes: list[Check]) -> Check | None:
    try:
        batch = next(iter(task.loader("train", batch_size=256, num_negatives=32, strict=True)))
    except UserError as error:
        notes.append(("training without a strict negative", 1, str(error)))
        return None
    train = NonEdges.of(task.train, task.num_nodes)
    strangers = ~train.is_edge(batch.positive)
    if bool(strangers.any()):
        raise failure(task, "positives of a training batch are no train edges", batch.positive, strangers)
    edges = train.is_edge(batch.negative) | (batch.negative[0] == batch.negative[1])
    if bool(edges.any()):
        raise failure(task, "negatives of a training batch are train edges or self-loops", batch.negative, edges)
    return "no negative of a sampled batch is a train edge", batch.negative.size(1), ""


def _unreached(task: LinkTask) -> list[Check]:
    notes = []
    for split in ("valid", "test"):
        used = torch.unique(task.edges(split))
        lonely = used[~_among(used, _message_edges(task, split))]
        if lonely.numel():
            ids = ", ".join(map(str, lonely[:3].tolist())) + (", ..." if lonely.numel() > 3 else "")
            notes.append((f"nodes of {split} without an edge in the message graph", lonely.numel(), ids))
    return notes


def _answers_among_validation_negatives(task: LinkTask) -> list[Check]:
    negatives = task.negatives("valid").flatten(1)
    shared = _among(pair_numbers(negatives[:, negatives[0] != negatives[1]]), pair_numbers(task.test))
    what = "validation negatives that are test edges"
    return [(what, int(shared.sum()), "they avoid the edges of train and valid only")] if bool(shared.any()) else []
