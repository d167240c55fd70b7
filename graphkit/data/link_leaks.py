"""Checks that a split of an undirected graph does not give its answers away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from graphkit.data.leaks import SPLITS, Certificate, LeakError, _among
from graphkit.data.non_edges import NonEdges, pair_numbers
from graphkit.errors import UserError

if TYPE_CHECKING:
    from graphkit.data.link_task import LinkTask

__all__ = ["check_link_leaks"]

Check = tuple[str, int, str]


def check_link_leaks(task: LinkTask) -> Certificate:
    """Run all checks on a task, see :meth:`LinkTask.leak_check`."""
    checks = [_pairs_sound(task), _edges_once(task), _splits_disjoint(task)]
    for split in SPLITS:
        checks.append(_both_directions(task, split))
    for split in ("valid", "test"):
        checks += [_absent_from_message_graph(task, split), _negatives_are_no_edges(task, split)]
    notes = [*_unreached(task), *_answers_among_validation_negatives(task)]
    batch = _training_negatives_are_no_edges(task, notes)
    return Certificate(task.name, checks if batch is None else [*checks, batch], notes)


def _fail(task: LinkTask, what: str, pairs: Tensor, bad: Tensor) -> LeakError:
    u, v = pairs[:, int(bad.nonzero()[0])].tolist()
    shown = f"({u}, {v})" if task.nodes is None else f"({task.nodes[u]}, {task.nodes[v]})"
    return LeakError(f"{task.name}: {what}: {int(bad.sum()):,} cases, such as {shown}; remove them before you train")


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
            raise _fail(task, f"edges of {split} join a node with itself", edges, loops)
        count += edges.size(1)
    return "ids in range, no self-loop", count, f"{task.num_nodes} nodes"


def _repeated(numbers: Tensor) -> Tensor:
    """Which numbers have occurred before."""
    again = np.ones(numbers.numel(), dtype=bool)
    again[np.unique(numbers.numpy(), return_index=True)[1]] = False
    return torch.from_numpy(again)


def _edges_once(task: LinkTask) -> Check:
    count = 0
    for split in SPLITS:
        edges = task.edges(split)
        again = _repeated(pair_numbers(edges))
        if bool(again.any()):
            raise _fail(task, f"edges stand more than once in {split}, in either direction", edges, again)
        count += edges.size(1)
    return "every edge once in its split", count, "directions do not matter"


def _splits_disjoint(task: LinkTask) -> Check:
    count = 0
    for first, second in (("train", "valid"), ("train", "test"), ("valid", "test")):
        edges = task.edges(second)
        shared = _among(pair_numbers(edges), pair_numbers(task.edges(first)))
        if bool(shared.any()):
            raise _fail(task, f"edges of {second} are in {first} too, in either direction", edges, shared)
        count += edges.size(1)
    return "no edge in two splits", count, "train, valid and test compared pairwise, in either direction"


def _message_edges(task: LinkTask, split: str) -> Tensor:
    """The edges along which messages flow, without self-loops; a loop carries no answer."""
    edges = task.graph(split).edge_index.cpu()
    return edges[:, edges[0] != edges[1]]


def _both_directions(task: LinkTask, split: str) -> Check:
    edges = _message_edges(task, split)
    forward, back = (a * task.num_nodes + b for a, b in (edges, edges.flip(0)))
    lonely = ~_among(back, forward)
    if bool(lonely.any()):
        raise _fail(task, f"edges of the {split} message graph have no opposite direction", edges, lonely)
    return f"every edge of the {split} message graph in both directions", edges.size(1) // 2, ""


def _absent_from_message_graph(task: LinkTask, split: str) -> Check:
    edges = task.edges(split)
    leaked = _among(pair_numbers(edges), pair_numbers(_message_edges(task, split)))
    if bool(leaked.any()):
        raise _fail(task, f"{split} edges are edges of their message graph, in either direction", edges, leaked)
    return f"no {split} edge is an edge of its message graph", edges.size(1), "in either direction"


def _negatives_are_no_edges(task: LinkTask, split: str) -> Check:
    negatives = task.negatives(split)
    loops = negatives[0] == negatives[1]
    if bool(loops.any()):
        raise _fail(task, f"negatives of {split} join a node with itself", negatives, loops)
    edges = NonEdges.of(task.known_edges(split), task.num_nodes).is_edge(negatives)
    if bool(edges.any()):
        raise _fail(task, f"negatives of {split} are edges of its graph, in either direction", negatives, edges)
    again = _repeated(pair_numbers(negatives))
    if bool(again.any()):
        raise _fail(task, f"negatives of {split} stand there more than once", negatives, again)
    known = {"valid": "train and valid", "test": "train, valid and test"}[split]
    return f"no negative of {split} is an edge, none stands twice", negatives.size(1), f"edges of {known}"


def _training_negatives_are_no_edges(task: LinkTask, notes: list[Check]) -> Check | None:
    try:
        batch = next(iter(task.loader("train", batch_size=256, num_negatives=32, strict=True)))
    except UserError as error:
        notes.append(("training without a strict negative", 1, str(error)))
        return None
    train = NonEdges.of(task.train, task.num_nodes)
    strangers = ~train.is_edge(batch.positive)
    if bool(strangers.any()):
        raise _fail(task, "positives of a training batch are no train edges", batch.positive, strangers)
    edges = train.is_edge(batch.negative) | (batch.negative[0] == batch.negative[1])
    if bool(edges.any()):
        raise _fail(task, "negatives of a training batch are train edges or self-loops", batch.negative, edges)
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
    shared = _among(pair_numbers(task.negatives("valid")), pair_numbers(task.test))
    what = "validation negatives that are test edges"
    return [(what, int(shared.sum()), "strict with regard to train and valid only")] if bool(shared.any()) else []
