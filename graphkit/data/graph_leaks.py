"""Checks of labels, masks and features of a task on many graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphkit.data.leaks import SPLITS, Certificate, LeakError
from graphkit.errors import UserError

if TYPE_CHECKING:
    from graphkit.data.graph_task import GraphTask

__all__ = ["check_graph_leaks", "check_graphs", "graph_numbers"]

Check = tuple[str, int, str]
_ROUNDS = 3


def check_graphs(task: GraphTask) -> list[Check]:
    """What has to hold before anything is computed, for all folds.

    Raises:
        UserError: naming what is wrong and one case.
    """
    return [
        _edges_sound(task),
        _features_sound(task),
        _labels_sound(task),
        _masks_disjoint(task),
        _masks_labelled(task),
    ]


def check_graph_leaks(task: GraphTask) -> Certificate:
    """Run all checks on a task, see :meth:`GraphTask.leak_check`."""
    return Certificate(task.name, check_graphs(task), _notes(task), [*_classes_missing(task), *_repeats_train(task)])


def _at(task: GraphTask, fold: int) -> str:
    return f" in fold {fold}" if task.num_folds > 1 else ""


def _edges_sound(task: GraphTask) -> Check:
    count = 0
    for number, graph in enumerate(task._graphs):
        edges, nodes = graph.edge_index, int(graph.num_nodes or 0)
        outside = ((edges < 0) | (edges >= nodes)).any(0)
        if bool(outside.any()):
            raise UserError(
                f"{task.name}: graph {number} has the edge {edges[:, outside][:, 0].tolist()}, but nodes are numbered up to "
                f"{nodes - 1}"
            )
        if not nodes:
            raise UserError(f"{task.name}: graph {number} has no nodes; leave it out")
        count += edges.size(1)
    return "ids of edges in range", count, f"{len(task)} graphs"


def _features_sound(task: GraphTask) -> Check:
    count, first = 0, task._graphs[0]
    for key in ("x", "edge_attr"):
        width = first[key].size(1) if key in first else None
        sizes = torch.tensor(task.categories[key]) if key in task.categories else None
        if sizes is not None and width != sizes.numel():
            raise UserError(
                f"{task.name}: categories of {key} are {sizes.numel()} columns, and {key} has {width or 'none'}"
            )
        for number, graph in enumerate(task._graphs):
            found = graph[key].size(1) if key in graph else None
            if found != width:
                raise UserError(
                    f"{task.name}: {key} of graph {number} has {found or 'no'} columns, that of graph 0 {width or 'none'}"
                )
            if width is None:
                continue
            value = graph[key]
            bad = ~torch.isfinite(value) if sizes is None else (value < 0) | (value >= sizes)
            if bool(bad.any()):
                what = "NaN or infinite values" if sizes is None else "categories out of range"
                raise UserError(
                    f"{task.name}: {key} of graph {number} holds {what}; mend them or leave the columns out"
                )
            count += value.numel()
    return "features finite and of one width", count, "" if count else "there are none"


def _labels_sound(task: GraphTask) -> Check:
    y = task.y
    bad = torch.zeros(y.size(0), dtype=torch.bool)
    expected = "finite numbers, or NaN where unknown"
    if task.target == "classes":
        bad = (y < (-1 if task.level == "node" else 0)) | (y >= task.out_channels)
        expected = f"0 .. {task.out_channels - 1}" + (", or -1 where unknown" if task.level == "node" else "")
    elif task.target == "labels":
        bad = ~(torch.isnan(y) | (y == 0) | (y == 1)).all(1)
        expected = "0, 1, or NaN where unknown"
    else:
        bad = torch.isinf(y).any(1)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        raise UserError(
            f"{task.name}: {int(bad.sum()):,} {task.target}, such as {y[row].tolist()} of {task.level} {row}, are out of range; "
            f"expected {expected}"
        )
    return f"{task.target} in range", int(task.labelled.sum()), f"{task.out_channels} {task.target}"


def _masks_disjoint(task: GraphTask) -> Check:
    for first, second in (("train", "valid"), ("train", "test"), ("valid", "test")):
        shared = task.masks(first) & task.masks(second)
        if bool(shared.any()):
            fold, graph = shared.nonzero()[0].tolist()
            raise LeakError(
                f"{task.name}: {int(shared[fold].sum()):,} graphs, such as graph {graph}, are in {first} and in {second}"
                f"{_at(task, fold)}; a graph belongs to one split"
            )
    return "no graph in two splits", len(task), f"train, valid and test compared pairwise, {task.num_folds} folds"


def _known_graphs(task: GraphTask) -> Tensor:
    """[G] bool: graphs of which, or of a node of which, something is known."""
    if task.level == "graph":
        return task.labelled
    owner = torch.arange(len(task)).repeat_interleave(task.ptr[1:] - task.ptr[:-1])
    return torch.bincount(owner[task.labelled], minlength=len(task)) > 0


def _masks_labelled(task: GraphTask) -> Check:
    known, count = _known_graphs(task), 0
    for split in SPLITS:
        bare = task.masks(split) & ~known
        if bool(bare.any()):
            fold, graph = bare.nonzero()[0].tolist()
            raise UserError(
                f"{task.name}: {int(bare[fold].sum()):,} graphs of {split}, such as graph {graph}, have no label"
                f"{_at(task, fold)}; take them out of the mask"
            )
        count += int(task.masks(split).sum())
    empty = (~task.masks("train").any(1)).nonzero()
    if empty.numel():
        raise UserError(f"{task.name}: train has no graph{_at(task, int(empty[0]))}; a model needs some to learn from")
    return "every graph of a split has its label", count, f"{task.num_folds} folds"


def _classes_missing(task: GraphTask) -> list[Check]:
    """Classes, or labels, of which a split has none, over all folds."""
    if task.target == "values":
        return []
    owner = torch.arange(task.y.size(0))
    if task.level == "node":
        owner = torch.arange(len(task)).repeat_interleave(task.ptr[1:] - task.ptr[:-1])
    found = []
    for split in SPLITS:
        lacking: dict[int, list[int]] = {}
        for fold, mask in enumerate(task.masks(split)):
            y = task.y[mask[owner]]
            if not y.size(0):
                continue
            counts = (y == 1).sum(0) if y.dim() == 2 else torch.bincount(y[y >= 0], minlength=task.out_channels)
            for label in (counts == 0).nonzero().flatten().tolist():
                lacking.setdefault(label, []).append(fold)
        if lacking:
            where = [
                f"{label} (folds {', '.join(map(str, folds))})" if task.num_folds > 1 else str(label)
                for label, folds in list(lacking.items())[:5]
            ]
            found.append((f"classes without a {task.level} of {split}", len(lacking), "; ".join(where)))
    return found


def graph_numbers(task: GraphTask, rounds: int = _ROUNDS) -> Tensor:
    """[G] int64 numbers, equal for graphs that are the same but for the numbering of their nodes.

    Nodes are told apart by their features and then, in rounds, by those of their neighbours (Weisfeiler and Leman); so some graphs
    that differ get the same number as well, such as two regular ones of the same degree and size. Features of edges are not
    looked at.

    Example:
        >>> from torch_geometric.data import Data
        >>> from graphkit.data import GraphTask
        >>> paths = [[[0, 1, 1, 2], [1, 0, 2, 1]], [[2, 0, 0, 1], [0, 2, 1, 0]], [[0, 1], [1, 0]]]
        >>> graphs = [Data(edge_index=torch.tensor(path), num_nodes=3, y=torch.tensor([0])) for path in paths]
        >>> task = GraphTask("toy", graphs, train=[0], valid=[1], test=[2])
        >>> one, two, three = graph_numbers(task).tolist()
        >>> one == two, two == three
        (True, False)
    """
    nodes, edges = int(task.ptr[-1]), task.union_edges()
    color = torch.ones(nodes, dtype=torch.int64)
    if "x" in task._graphs[0]:
        x = torch.cat([graph.x for graph in task._graphs]).to(torch.float64)
        words = torch.randint(-(2**62), 2**62, (x.size(1),), generator=torch.Generator().manual_seed(0))
        color = _mixed((x.contiguous().view(torch.int64) * words).sum(1))
    for _ in range(rounds):
        total = torch.zeros(nodes, dtype=torch.int64).index_add_(0, edges[1], _mixed(color)[edges[0]])
        color = _mixed(31 * color + total)
    owner = torch.arange(len(task)).repeat_interleave(task.ptr[1:] - task.ptr[:-1])
    return torch.zeros(len(task), dtype=torch.int64).index_add_(0, owner, _mixed(color))


def _mixed(words: Tensor) -> Tensor:
    """The words with their bits spread (the finisher of splitmix64), so that sums of them tell multisets apart."""
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        words = (words ^ ((words >> shift) & (2 ** (64 - shift) - 1))) * factor
    return words ^ ((words >> 31) & (2**33 - 1))


def _repeats_train(task: GraphTask) -> list[Check]:
    """Test graphs that are a train graph again."""
    numbers, worst, count = graph_numbers(task), 0, 0
    for fold in range(task.num_folds):
        train, test = numbers[task.masks("train")[fold]], numbers[task.masks("test")[fold]]
        again = int(torch.isin(test, train).sum())
        if again > count:
            worst, count = fold, again
    what = f"test graphs that {_ROUNDS} rounds of Weisfeiler and Leman do not tell from a train graph"
    return [(what, count, f"such figures may be flattered{_at(task, worst)}")] if count else []


def _notes(task: GraphTask) -> list[Check]:
    edges, nodes = task.union_edges(), int(task.ptr[-1])
    loops = int((edges[0] == edges[1]).sum())
    repeats = edges.size(1) - torch.unique(edges[0] * nodes + edges[1]).numel()
    lonely = int((torch.bincount(edges.flatten(), minlength=nodes) == 0).sum())
    bare = sum(graph.edge_index.size(1) == 0 for graph in task._graphs)
    unused = int((~torch.stack([task.masks(split) for split in SPLITS]).any(0).any(0)).sum())
    rows = (
        (loops, "self-loops"),
        (repeats, "edges that are repeated"),
        (bare, "graphs without an edge"),
        (lonely, "nodes without an edge"),
        (int((~task.labelled).sum()), f"{task.level}s without a label"),
        (unused, "graphs in no split"),
    )
    return [(what, count, "") for count, what in rows if count]
