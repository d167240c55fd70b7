"""Tasks on many graphs: what they hold, what they refuse, what they measure."""

import numpy as np
import pytest
import torch
from graph_samples import ring, rings, thirds, toy_task
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    mean_absolute_error,
    roc_auc_score,
)
from torch_geometric.data import Data

from graphkit.data import GraphTask, LeakError, split_graphs
from graphkit.data.graph_leaks import graph_numbers
from graphkit.errors import UserError


class Scores(torch.nn.Module):
    """Answers with given scores, one row a graph or node, by a feature that holds its number."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def score_graphs(self, data):
        assert not self.training
        return self.scores[data.x[data.ptr[:-1], 0].long()]

    def score_nodes(self, data, nodes):
        return self.scores[data.x[nodes, 0].long()]


def numbered(graphs, level="graph"):
    """The graphs with a first feature that says which one they, or their nodes, are."""
    done = 0
    for number, graph in enumerate(graphs):
        graph.x = graph.x.clone()
        graph.x[:, 0] = number if level == "graph" else done + torch.arange(graph.num_nodes)
        done += graph.num_nodes
    return graphs


def test_sizes_folds_and_graphs():
    task = toy_task()
    assert (len(task), task.num_folds, task.fold, task.at_fold(1).fold) == (12, 2, 0, 1)
    assert task.graphs_of("train").tolist() == [0, 1, 2, 3]
    assert task.at_fold(1).graphs_of("train").tolist() == [0, 1, 2, 11]
    assert toy_task(folds=1).fold is None
    assert (task.in_channels, task.edge_channels, task.out_channels, task.level) == (3, 0, 2, "graph")
    nodes = sum(3 + k % 5 for k in range(12))
    assert task.statistics() == {
        "graphs": 12, "nodes": nodes, "edges": nodes, "features": 3, "classes": 2, "train": 4, "valid": 4, "test": 4
    }  # fmt: skip
    assert task[5].y.tolist() == [1] and task[5].num_nodes == 3 and task[-1].num_nodes == 4
    assert task.fingerprint() == task.at_fold(1).fingerprint()
    with pytest.raises(UserError, match=r"toy has no fold 2; its 2 splits are folds 0 \.\. 1"):
        task.at_fold(2)
    with pytest.raises(UserError, match="unknown split 'tset'"):
        task.graphs_of("tset")


def test_batches_are_the_graphs_in_their_order_without_labels():
    task, graphs = toy_task(), rings()
    data = task.together(torch.tensor([7, 2]))
    assert torch.equal(data.x, torch.cat([graphs[7].x, graphs[2].x])) and data.ptr.tolist() == [0, 5, 10]
    assert torch.equal(data.edge_index, torch.cat([graphs[7].edge_index, graphs[2].edge_index + 5], 1))
    assert "y" not in data and data.num_graphs == 2
    batch = next(iter(task.loader(batch_size=None)))
    assert batch.graphs.tolist() == [0, 1, 2, 3] and batch.y.tolist() == [0, 1, 0, 1]
    assert batch.to("cpu").data.x.shape == (18, 3) and batch.index.tolist() == [0, 1, 2, 3]


def test_batches_come_back_after_a_stop():
    task = toy_task()
    options = {"batch_size": 3, "seed": 1, "epoch": 2}
    whole = [batch.graphs.tolist() for batch in task.loader(**options)]
    assert sorted(number for part in whole for number in part) == [0, 1, 2, 3] and [len(part) for part in whole] == [
        3,
        1,
    ]
    assert [batch.graphs.tolist() for batch in task.loader(**options, start=1)] == whole[1:]
    assert len(task.loader(**options, start=2)) == 0
    orders = {tuple(next(iter(task.loader(batch_size=4, epoch=e))).graphs.tolist()) for e in range(6)}
    assert len(orders) > 1
    assert [b.num_graphs for b in task.loader(batch_size=3, drop_last=True)] == [3]
    assert [b.num_graphs for b in task.loader(batch_size=5, drop_last=True)] == [4]
    for options in ({"batch_size": 0}, {"start": 2, "batch_size": None}, {"split": "tset"}, {"start": -1}):
        with pytest.raises(UserError):
            task.loader(**options)


def test_shares_add_up_to_the_batch():
    labels = [torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, torch.nan]])] * 6
    task = toy_task(rings(labels=labels), target="labels")
    batch = next(iter(task.loader(batch_size=None)))
    shares = [batch.share(rank, 3) for rank in range(3)]
    assert [share.num_graphs for share in shares] == [2, 1, 1]
    assert torch.equal(torch.cat([share.graphs for share in shares]), batch.graphs)
    assert [share.weight for share in shares] == [pytest.approx(k / 6) for k in (3, 2, 1)]  # of what is known
    assert next(iter(task.loader(batch_size=1))).share(1, 2).weight == 0


def test_metrics_of_classes():
    draw = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (30,), generator=draw)
    scores = torch.randn(30, 3, generator=draw)
    task = toy_task(numbered(rings(30, labels=list(labels[:, None]))))
    truth, guess = labels[20:], scores[20:].argmax(1)
    found = task.evaluate(Scores(scores), "test", batch_size=4)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, guess)) and found["count"] == 10
    assert found["macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, guess))
    assert "roc_auc" not in found and task.primary_metric == "accuracy"
    two = toy_task(numbered(rings(30)), primary_metric="roc_auc")
    y = torch.arange(30) % 2
    found = two.evaluate(Scores(scores[:, :2]), "test")
    assert found["roc_auc"] == pytest.approx(roc_auc_score(y[20:], (scores[:, 1] - scores[:, 0])[20:]))


def test_metrics_of_labels_leave_unknown_ones_out():
    draw = torch.Generator().manual_seed(2)
    labels, scores = torch.randint(2, (60, 3), generator=draw).float(), torch.randn(60, 3, generator=draw)
    labels[::5, 1] = torch.nan
    task = toy_task(numbered(rings(60, labels=[row[None] for row in labels])), target="labels")
    assert task.multi_label and task.primary_metric == "ap" and task.out_channels == 3
    found, ap, auc = task.evaluate(Scores(scores), "test"), [], []
    for column in range(3):
        truth, score = labels[40:, column], scores[40:, column]
        known = ~torch.isnan(truth)
        ap.append(average_precision_score(truth[known], score[known]))
        auc.append(roc_auc_score(truth[known], score[known]))
    assert found["ap"] == pytest.approx(np.mean(ap)) and found["roc_auc"] == pytest.approx(np.mean(auc))


def test_metrics_of_values():
    draw = torch.Generator().manual_seed(3)
    values, scores = torch.randn(12, 2, generator=draw), torch.randn(12, 2, generator=draw)
    task = toy_task(numbered(rings(labels=[row[None] for row in values])), target="values")
    assert task.selectable == ("mae",) and task.primary_metric == "mae"
    found = task.evaluate(Scores(scores), "test")
    assert found == {"mae": pytest.approx(mean_absolute_error(values[8:], scores[8:])), "count": 4.0}


def test_nodes_of_graphs_that_were_never_seen():
    graphs = rings()
    for graph in graphs:
        graph.y = torch.arange(graph.num_nodes) % 3
        graph.y[1] = -1  # not known
    task = toy_task(numbered(graphs, "node"), level="node")
    assert task.y.numel() == int(task.ptr[-1]) and task[2].y.tolist() == [0, -1, 2, 0, 1]
    batch = next(iter(task.loader(batch_size=None)))
    assert batch.index.tolist() == [0, 2, 3, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17]
    assert torch.equal(batch.y, task.y[batch.index])
    scores = torch.randn(int(task.ptr[-1]), 3, generator=torch.Generator().manual_seed(4))
    nodes = torch.arange(int(task.ptr[-1]))[task.ptr[8] :]
    nodes = nodes[task.y[nodes] >= 0]
    found = task.evaluate(Scores(scores), "test", batch_size=3)
    assert found["macro_f1"] == pytest.approx(f1_score(task.y[nodes], scores[nodes].argmax(1), average="macro"))
    assert found["count"] == nodes.numel()


def test_models_of_another_kind_and_scores_that_are_none():
    task = toy_task(numbered(rings()))
    with pytest.raises(UserError, match="Linear has no score_graphs, but toy is about graphs; choose a model of them"):
        task.evaluate(torch.nn.Linear(1, 1))
    with pytest.raises(UserError, match=r"score_graphs returned \[4, 3\], expected \[4, 2\]"):
        task.evaluate(Scores(torch.zeros(12, 3)))
    spoiled = torch.zeros(12, 2)
    spoiled[6, 1] = torch.nan
    with pytest.raises(UserError, match="the model gives NaN for graph 6"):
        task.evaluate(Scores(spoiled))
    with pytest.raises(UserError, match="batch_size is 0"):
        task.evaluate(Scores(torch.zeros(12, 2)), batch_size=0)


def test_categories_become_columns():
    graphs = [Data(x=torch.tensor([[0, 2], [1, 0]]), edge_index=torch.tensor([[0, 1], [1, 0]]), edge_attr=torch.tensor([[1], [0]]),
                   y=k % 2) for k in range(3)]  # fmt: skip
    options = {"train": [0], "valid": [1], "test": [2], "categories": {"x": [2, 3], "edge_attr": [2]}}
    task = GraphTask("toy", graphs, **options)
    assert (task.in_channels, task.edge_channels) == (5, 2)
    data = task.together(torch.tensor([1]))
    assert data.x.tolist() == [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0]] and data.edge_attr.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(UserError, match="x of graph 0 holds categories out of range"):
        GraphTask("toy", graphs, **{**options, "categories": {"x": [2, 2]}})


def test_encodings_stand_beside_the_features_and_training_flips_their_signs():
    task = toy_task(encodings=["laplacian:2", "random_walk:3"])
    plain = toy_task()
    assert task.in_channels == 8 and task.feature_channels == 3 and task.statistics() == plain.statistics()
    ids = torch.tensor([4, 1, 9])
    still = task.together(ids)
    assert torch.equal(still.x[:, :3], plain.together(ids).x)
    batches = {epoch: task.together(ids, (0, epoch)) for epoch in range(8)}
    seen = set()
    for data in batches.values():
        assert torch.equal(data.x[:, :3], still.x[:, :3]) and torch.equal(data.x[:, 5:], still.x[:, 5:])
        ratio = torch.where(still.x[:, 3:5].abs() > 1e-6, data.x[:, 3:5] / still.x[:, 3:5], 0.0)
        for graph in range(3):  # one sign for all nodes of a graph, its own for every column
            rows = ratio[data.ptr[graph] : data.ptr[graph + 1]]
            assert all(
                set(rows[:, column].tolist()) <= {0.0, float(sign)} for column, sign in enumerate(rows.sum(0).sign())
            )
            seen.add((graph, tuple(rows.sum(0).sign().tolist())))
    assert len(seen) > 6
    alone = task.together(torch.tensor([9]), (0, 3))  # whatever else is in the batch
    assert torch.equal(alone.x, batches[3].x[batches[3].ptr[2] :])


def test_ten_folds_test_every_graph_once():
    y = torch.tensor([0] * 63 + [1] * 125)
    masks = split_graphs(y, "10-fold")
    again, other = split_graphs(y, "10-fold"), split_graphs(y, "10-fold", seed=1)
    assert all(torch.equal(masks[split], again[split]) for split in masks)
    assert not torch.equal(masks["test"], other["test"])
    assert torch.equal(masks["test"].sum(0), torch.ones(188, dtype=torch.int64))
    assert torch.equal(masks["valid"], masks["test"].roll(-1, 0))
    assert not (masks["train"] & (masks["valid"] | masks["test"])).any()
    assert (masks["train"] | masks["valid"] | masks["test"]).all()
    sizes = masks["test"].sum(1)
    assert set(sizes.tolist()) == {18, 19}
    assert set((masks["test"] & (y == 0)).sum(1).tolist()) == {6, 7}
    assert split_graphs(torch.randn(20, 2), "4-fold")["test"].sum(1).tolist() == [5] * 4
    assert split_graphs(y, "80/10/10", folds=3)["test"].sum(1).tolist() == [18] * 3
    for split, message in (
        ("2-fold", "expected from 3-fold"),
        ("189-fold", "to 188-fold"),
        ("ten", "expected whole percentages"),
    ):
        with pytest.raises(UserError, match=message):
            split_graphs(y, split)


def spoiled(change, **options):
    graphs = rings()
    change(graphs)
    return toy_task(graphs, **options)


def put(number, **values):
    def change(graphs):
        for key, value in values.items():
            graphs[number][key] = value

    return change


NAN = torch.full((5, 3), torch.nan)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (put(2, x=NAN), {}, "x of graph 2 holds NaN or infinite values"),
        (put(2, x=torch.zeros(5, 4)), {}, "x of graph 2 has 4 columns, that of graph 0 3"),
        (put(2, x=None), {}, "x of graph 2 has no columns, that of graph 0 3"),
        (put(2, x=torch.zeros(5)), {}, r"x of graph 2 of toy is \[5\], expected a row for each of 5"),
        (
            put(2, edge_index=torch.tensor([[0], [5]])),
            {},
            r"graph 2 has the edge \[0, 5\], but nodes are numbered up to 4",
        ),
        (put(2, edge_index=torch.zeros(2, 3)), {}, "edge_index of graph 2 of toy must be an int64 tensor"),
        (put(2, edge_attr=torch.zeros(1, 2)), {}, "edge_attr of graph 2 of toy is"),
        (put(2, y=None), {}, "graph 2 of toy has no label"),
        (put(2, y=torch.tensor([-1])), {}, "such as -1 of graph 2, are out of range; expected 0 .. 1"),
        (put(2, y=torch.tensor([0, 1])), {}, "y of graph 2 of toy has 2 columns, that of graph 0 1"),
        (put(0, y=torch.tensor([0.5])), {}, "say target='labels' or 'values'"),
        (put(0, y=torch.tensor([0.5])), {"target": "classes"}, "expected one column of whole numbers"),
        (put(0, y=torch.tensor([2])), {"target": "labels"}, r"1 labels, such as \[2.0\] of graph 0, are out of range"),
        (
            put(0, y=torch.tensor([torch.nan])),
            {"target": "values"},
            "1 graphs of train, such as graph 0, have no label",
        ),
        (put(0, y=torch.tensor([torch.inf])), {"target": "values"}, "1 values, such as"),
        (put(0), {"level": "nodes"}, "unknown level 'nodes'; did you mean 'node'"),
        (put(0), {"level": "node"}, r"y of graph 0 of toy is \[1\], expected a row for each of 3"),
        (put(0), {"target": "class"}, "unknown target 'class'; did you mean 'classes'"),
        (put(0), {"primary_metric": "mae"}, "unknown metric of its labels 'mae'"),
        (put(0), {"classes": ["a"]}, "1 names for 2 classes"),
        (put(0), {"encodings": ["laplacian"]}, "encoding 'laplacian' is none"),
        (list.clear, {}, "has no graphs|cannot"),
    ],
)
def test_bad_input_is_named(change, options, message):
    if change is list.clear:
        with pytest.raises(UserError, match="toy has no graphs"):
            GraphTask("toy", [], train=[], valid=[], test=[])
        return
    with pytest.raises(UserError, match=message):
        spoiled(change, **options)


def test_splits_that_are_none():
    for options, message in (
        ({"train": torch.tensor([0, 12])}, "train of toy: 12 is no graph; graphs are numbered up to 11"),
        ({"train": torch.zeros(12, dtype=torch.bool)}, "train has no graph"),
        ({"valid": torch.ones(5, dtype=torch.bool)}, r"expected a mask for each of the 12 graphs"),
        ({"fold": 3}, "toy has no fold 3"),
    ):
        with pytest.raises(UserError, match=message):
            GraphTask("toy", rings(), **{**thirds(), **options})


def test_a_graph_in_two_splits_is_a_leak():
    with pytest.raises(LeakError, match="4 graphs, such as graph 0, are in train and in test in fold 0"):
        GraphTask("toy", rings(), **{**thirds(), "test": thirds()["train"]})
    task = toy_task()
    task._masks = {**task._masks, "test": task._masks["valid"]}
    with pytest.raises(LeakError, match="are in valid and in test"):
        task.leak_check()


def warned(task):
    return {what: (count, detail) for what, count, detail in task.leak_check().warnings}


def test_a_sound_task_has_a_printable_certificate_and_its_notes():
    text = str(toy_task().leak_check())
    assert text.startswith("leak check of toy: passed") and text.count("  ok  ") == 5 and "WARN" not in text
    graphs = rings()
    graphs[0].edge_index = torch.zeros(2, 0, dtype=torch.int64)
    graphs[1].edge_index = torch.tensor([[0, 0, 1], [0, 1, 0]])
    options = {"train": list(range(6)), "valid": [6, 7], "test": [8, 9]}
    notes = {what: count for what, count, _ in GraphTask("toy", graphs, **options).leak_check().notes}
    assert notes == {"self-loops": 1, "graphs without an edge": 1, "nodes without an edge": 5, "graphs in no split": 2}


def test_test_graphs_that_repeat_a_train_graph_are_found_under_any_numbering():
    key = "test graphs that 3 rounds of Weisfeiler and Leman do not tell from a train graph"
    graphs = rings()
    assert key not in warned(toy_task(graphs))
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    twin = ring(7, torch.tensor([1]), seed=4, chord=3)
    graphs[0] = ring(7, torch.tensor([0]), seed=4, chord=3)
    graphs[8] = Data(x=twin.x[order.argsort()], edge_index=order[twin.edge_index], y=torch.tensor([1]))
    assert warned(toy_task(graphs))[key] == (1, "such figures may be flattered in fold 0")
    numbers = graph_numbers(toy_task(graphs))
    assert numbers[0] == numbers[8] and numbers.unique().numel() == 11
    graphs[8].x = graphs[8].x + 1e-6
    assert key not in warned(toy_task(graphs))


def test_classes_that_a_split_lacks_are_warned_of():
    labels = [torch.tensor([0 if k >= 8 else k % 2]) for k in range(12)]
    assert warned(toy_task(rings(labels=labels), folds=1))["classes without a graph of test"] == (1, "1")
