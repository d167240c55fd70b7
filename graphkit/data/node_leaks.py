"""Checks of labels, masks and features of a node classification task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphkit.data.edge_direction import edge_direction
from graphkit.data.leaks import SPLITS, Certificate, LeakError
from graphkit.errors import UserError

if TYPE_CHECKING:
    from graphkit.data.node_task import NodeTask

__all__ = ["check_node_leaks", "check_nodes"]

Check = tuple[str, int, str]


def check_nodes(task: NodeTask) -> list[Check]:
    """What has to hold before anything is computed, for all folds.

    Raises:
        UserError: naming what is wrong, how often, and one case.
    """
    return [
        _edges_sound(task),
        _features_finite(task),
        _labels_sound(task),
        _masks_disjoint(task),
        _masks_labelled(task),
    ]


def check_node_leaks(task: NodeTask) -> Certificate:
    """Run all checks on a task, see :meth:`NodeTask.leak_check`."""
    checks = check_nodes(task)
    if not task.directed:
        checks.append(_both_directions(task))
    warnings = [*_direction_is_storage(task), *_classes_missing(task), *_same_as_train(task)]
    return Certificate(task.name, checks, _notes(task), warnings)


def _at(task: NodeTask, fold: int) -> str:
    return f" in fold {fold}" if task.num_folds > 1 else ""


def _edges_sound(task: NodeTask) -> Check:
    edges = task.edge_index
    outside = ((edges < 0) | (edges >= task.num_nodes)).any(0)
    if bool(outside.any()):
        case = edges[:, outside][:, 0].tolist()
        raise UserError(
            f"{task.name}: {int(outside.sum()):,} edges, such as {case}, lead out of the nodes 0 .. {task.num_nodes - 1}; "
            "remove them, or pass num_nodes"
        )
    return "ids of edges in range", edges.size(1), f"{task.num_nodes} nodes"


def _features_finite(task: NodeTask) -> Check:
    x = task.x
    if x is None:
        return "features finite", 0, "there are none"
    bad = ~torch.isfinite(x).all(1)
    if bool(bad.any()):
        node = int(bad.nonzero()[0])
        raise UserError(
            f"{task.name}: features of {int(bad.sum()):,} nodes, such as node {node}, hold NaN or infinite values; fill them in "
            "or leave these columns out"
        )
    return "features finite", x.numel(), f"{x.size(0)} rows of {x.size(1)}"


def _labels_sound(task: NodeTask) -> Check:
    y = task.y
    if task.multi_label:
        bad = ~(torch.isnan(y) | (y == 0) | (y == 1)).all(1)
        expected = "0, 1, or NaN where unknown"
    else:
        bad = (y < -1) | (y >= task.out_channels)
        expected = f"0 .. {task.out_channels - 1}, or -1 where unknown"
    if bool(bad.any()):
        node = int(bad.nonzero()[0])
        raise UserError(
            f"{task.name}: labels of {int(bad.sum()):,} nodes, such as {y[node].tolist()} of node {node}, are out of range; "
            f"expected {expected}"
        )
    return (
        "labels in range",
        int(task.labelled.sum()),
        f"{task.out_channels} {'labels' if task.multi_label else 'classes'}",
    )


def _masks_disjoint(task: NodeTask) -> Check:
    for first, second in (("train", "valid"), ("train", "test"), ("valid", "test")):
        shared = task.masks(first) & task.masks(second)
        if bool(shared.any()):
            fold, node = shared.nonzero()[0].tolist()
            raise LeakError(
                f"{task.name}: {int(shared[fold].sum()):,} nodes, such as node {node}, are in {first} and in {second}"
                f"{_at(task, fold)}; a node belongs to one split"
            )
    return "no node in two splits", task.num_nodes, f"train, valid and test compared pairwise, {task.num_folds} folds"


def _masks_labelled(task: NodeTask) -> Check:
    count = 0
    for split in SPLITS:
        mask = task.masks(split)
        bare = mask & ~task.labelled
        if bool(bare.any()):
            fold, node = bare.nonzero()[0].tolist()
            raise UserError(
                f"{task.name}: {int(bare[fold].sum()):,} nodes of {split}, such as node {node}, have no label{_at(task, fold)}; "
                "take them out of the mask"
            )
        count += int(mask.sum())
    empty = (~task.masks("train").any(1)).nonzero()
    if empty.numel():
        raise UserError(f"{task.name}: train has no node{_at(task, int(empty[0]))}; a model needs some to learn from")
    return "every node of a split has its label", count, f"{task.num_folds} folds"


def _both_directions(task: NodeTask) -> Check:
    found = edge_direction(task.edge_index, task.num_nodes)
    if not found.undirected:
        raise UserError(
            f"{task.name} is said to be undirected, but {1 - found.reciprocity:.1%} of its edges lack their opposite; store "
            "both directions, or say directed=True"
        )
    return "every edge in both directions", found.edges // 2, "the graph is undirected"


def _direction_is_storage(task: NodeTask) -> list[Check]:
    if not task.directed:
        return []
    found = edge_direction(task.edge_index, task.num_nodes)
    if found.undirected:
        return [("edges of a graph said to be directed, all with their opposite", found.edges, "nothing to tell apart")]
    if found.storage_order:
        order = "smaller to the larger" if found.ascending else "larger to the smaller"
        detail = f"all lead from the {order} id and none has its opposite: an undirected list stored once"
        return [("edges whose direction is that of storage", found.edges, detail)]
    return []


def _classes_missing(task: NodeTask) -> list[Check]:
    """Classes without a node in a split, over all folds."""
    found = []
    for split in SPLITS:
        lacking: dict[int, list[int]] = {}
        for fold in range(task.num_folds):
            for label in _absent(task, task.masks(split)[fold]):
                lacking.setdefault(label, []).append(fold)
        if lacking:
            detail = "; ".join(
                f"{label} (folds {', '.join(map(str, folds))})" if task.num_folds > 1 else str(label)
                for label, folds in list(lacking.items())[:5]
            )
            found.append((f"classes without a node of {split}", len(lacking), detail))
    return found


def _absent(task: NodeTask, mask: Tensor) -> list[int]:
    y = task.y[mask]
    if not y.numel():
        return []  # an empty split is another matter
    counts = (y == 1).sum(0) if task.multi_label else torch.bincount(y, minlength=task.out_channels)
    return (counts == 0).nonzero().flatten().tolist()


def _same_as_train(task: NodeTask) -> list[Check]:
    """Test nodes that a train node repeats in features, neighbours and label."""
    twins = _numbered_alike(task)
    if twins is None:
        return []
    worst, count = 0, 0
    for fold in range(task.num_folds):
        train, test = twins[task.masks("train")[fold]], twins[task.masks("test")[fold]]
        again = int(torch.isin(test, train).sum())
        if again > count:
            worst, count = fold, again
    what = "test nodes that repeat a train node's features, neighbours and label"
    return [(what, count, f"such figures are flattered{_at(task, worst)}")] if count else []


def _numbered_alike(task: NodeTask) -> Tensor | None:
    """[N] numbers, equal where features, neighbours and label are; None without edges. Nodes without an edge are
    different from all others. Equal means equal 64-bit sums of random words: exact but for odds of 1 in 2**64 a pair."""
    n, edges = task.num_nodes, task.edge_index
    if not edges.size(1):
        return None
    draw = torch.Generator().manual_seed(0)

    def words(count: int) -> Tensor:
        return torch.randint(-(2**62), 2**62, (count,), generator=draw)

    total = torch.zeros(n, dtype=torch.int64)
    for ends in (edges, edges.flip(0)):
        total.index_add_(0, ends[0], words(n)[ends[1]])
    if task.x is not None:
        bits = task.x.contiguous().view(torch.int32) if task.x.dtype == torch.float32 else task.x.to(torch.int64)
        factor = words(bits.size(1))
        rows = max(1, 2**24 // max(bits.size(1), 1))
        total += torch.cat([(part.to(torch.int64) * factor).sum(1) for part in bits.split(rows)])
    labels = task.y.nan_to_num(-1).to(torch.int64) if task.multi_label else task.y[:, None]
    total += ((labels + 1) * words(labels.size(1))).sum(1)
    lonely = torch.bincount(edges.flatten(), minlength=n) == 0
    return torch.where(lonely, words(n), total)


def _notes(task: NodeTask) -> list[Check]:
    notes = []
    edges, n = task.edge_index, task.num_nodes
    loops = int((edges[0] == edges[1]).sum())
    repeats = edges.size(1) - torch.unique(edges[0] * n + edges[1]).numel()
    lonely = int((torch.bincount(edges.flatten(), minlength=n) == 0).sum())
    bare = 0 if task.x is None else int((task.x == 0).all(1).sum())
    for count, what in (
        (loops, "self-loops"),
        (repeats, "edges that are repeated"),
        (lonely, "nodes without an edge"),
        (bare, "nodes whose features are all 0"),
        (int((~task.labelled).sum()), "nodes without a label"),
    ):
        if count:
            notes.append((what, count, ""))
    return notes
