"""Tasks of node classification: what they hold, what they refuse, what they measure."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from torch_geometric.data import Data

from graphkit.data import LeakError, NodeTask
from graphkit.errors import UserError


def graph(nodes=12, classes=3, seed=0, **more):
    draw = torch.Generator().manual_seed(seed)
    edges = torch.randint(nodes, (2, 4 * nodes), generator=draw)
    y = torch.arange(nodes) % classes
    return Data(x=torch.randn(nodes, 5, generator=draw), edge_index=edges, y=y, num_nodes=nodes, **more)


def masks(nodes=12, folds=2):
    """Thirds of the nodes, turned by one fold after fold."""
    found = torch.zeros(3, folds, nodes, dtype=torch.bool)
    for fold in range(folds):
        for place, part in enumerate(torch.arange(nodes).roll(fold).chunk(3)):
            found[place, fold, part] = True
    return dict(zip(("train", "valid", "test"), found, strict=True))


class Scores(torch.nn.Module):
    """Answers with given scores."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def score_nodes(self, data, nodes):
        assert not self.training
        return self.scores[nodes]


def test_folds_share_the_graph_and_differ_in_masks():
    task = NodeTask("toy", graph(), **masks())
    assert (task.num_folds, task.fold, task.at_fold(1).fold) == (2, 0, 1)
    assert task.nodes_of("train").tolist() == [0, 1, 2, 3]
    assert task.at_fold(1).nodes_of("train").tolist() == [0, 1, 2, 11]
    assert task.at_fold(1).graph() is task.graph("test")
    assert task.fold == 0 and task.at_fold(1).fingerprint() == task.fingerprint()
    assert NodeTask("toy", graph(), **masks(folds=1)).fold is None
    with pytest.raises(UserError, match=r"toy has no fold 2; its 2 splits are folds 0 \.\. 1"):
        task.at_fold(2)


def test_masks_may_be_ids_lists_or_those_of_pyg():
    by_mask = NodeTask("toy", graph(), **masks())
    ids = {split: [fold.nonzero().flatten() for fold in found] for split, found in masks().items()}
    names = {"train": "train_mask", "valid": "val_mask", "test": "test_mask"}
    in_data = graph(**{names[split]: found.t() for split, found in masks().items()})
    first = graph(**{names[split]: found[0] for split, found in masks().items()})
    for task in (NodeTask("toy", graph(), **ids), NodeTask("toy", in_data)):
        assert task.fingerprint() == by_mask.fingerprint() and task.num_folds == 2
    assert NodeTask("toy", first).num_folds == 1
    # one test set for several splits of the rest, as in WikiCS
    shared = {**masks(), "test": torch.tensor([5]), "valid": torch.tensor([6])}
    task = NodeTask("toy", graph(), **shared)
    assert task.at_fold(1).nodes_of("test").tolist() == [5] and task.masks("test").shape == (2, 12)


def test_models_see_neither_labels_nor_masks():
    data = graph(train_mask=masks()["train"].t(), edge_attr=torch.ones(48, 2))
    task = NodeTask("toy", data, valid=masks()["valid"], test=masks()["test"])
    assert set(task.graph().keys()) == {"x", "edge_index", "num_nodes", "edge_attr"}
    batch = next(iter(task.loader()))
    assert batch.data is task.graph() and torch.equal(batch.y, task.y[batch.index])
    assert set(task.data.keys()) >= {"y", "train_mask", "val_mask", "test_mask"}
    assert torch.equal(task.at_fold(1).data.test_mask, masks()["test"][1])
    assert "y" not in task.graph()
    assert batch.to("cpu").data is task.graph() and task.placed("cpu") is task.graph()


def test_edges_from_files():
    edges = torch.tensor([[0, 0, 1, 2, 2], [1, 1, 0, 2, 0]])
    y, ids = torch.tensor([0, 1, 0]), torch.tensor([0, 1])
    options = {"train": ids, "valid": torch.tensor([2]), "test": torch.tensor([])}
    directed = NodeTask.from_edges("toy", edges, y, directed=True, **options)
    assert directed.edge_index.tolist() == [[0, 1, 2], [1, 0, 0]] and directed.directed
    undirected = NodeTask.from_edges("toy", edges, y, directed=False, **options)
    assert undirected.edge_index.tolist() == [[0, 0, 1, 2], [1, 2, 0, 0]] and not undirected.directed
    assert directed.statistics()["edges"] == 3 and undirected.statistics()["edges"] == 2
    assert "undirected)" in repr(undirected) and repr(directed).endswith(" directed)")
    with pytest.raises(UserError, match=r"number 0 is \[0, 3\]"):
        NodeTask.from_edges("toy", torch.tensor([[0], [3]]), y, **options)


def test_whether_a_graph_is_directed_is_seen():
    one_way = Data(edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.tensor([0, 1, 0]))
    both = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), y=torch.tensor([0, 1, 0]))
    options = {"train": torch.tensor([0, 1]), "valid": torch.tensor([2]), "test": torch.tensor([])}
    assert NodeTask("toy", one_way, **options).directed and not NodeTask("toy", both, **options).directed
    with pytest.raises(UserError, match=r"toy is said to be undirected, but 100.0% of its edges lack their opposite"):
        NodeTask("toy", one_way, directed=False, **options).leak_check()


def test_metrics_are_those_of_scikit_learn():
    data, scores = graph(classes=3), torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    task = NodeTask("toy", data, **masks())
    found = task.at_fold(1).evaluate(Scores(scores), "test")
    nodes = task.at_fold(1).nodes_of("test")
    truth, guess = data.y[nodes].numpy(), scores.argmax(1)[nodes].numpy()
    assert found == {
        "accuracy": pytest.approx(accuracy_score(truth, guess)),
        "macro_f1": pytest.approx(f1_score(truth, guess, average="macro", zero_division=0)),
        "count": 4.0,
    }
    assert task.selectable == ("accuracy", "macro_f1") and task.primary_metric == "accuracy"
    assert task.evaluate(Scores(scores), "test", batch_size=3) == task.evaluate(Scores(scores), "test")


def test_two_classes_have_a_roc_auc():
    data, scores = graph(classes=2), torch.randn(12, 2, generator=torch.Generator().manual_seed(1))
    task = NodeTask("toy", data, primary_metric="roc_auc", **masks())
    found, nodes = task.evaluate(Scores(scores), "test"), task.nodes_of("test")
    assert found["roc_auc"] == pytest.approx(roc_auc_score(data.y[nodes], torch.softmax(scores, 1)[nodes, 1]))
    assert set(found) == {"accuracy", "macro_f1", "roc_auc", "count"}
    one_class = {**masks(), "test": torch.tensor([[8, 10]] * 2).sort().values[0]}
    assert "roc_auc" not in NodeTask("toy", data, **one_class).evaluate(Scores(scores), "test")
    with pytest.raises(UserError, match="unknown metric of its labels 'roc'"):
        NodeTask("toy", data, primary_metric="roc", **masks())


def test_several_labels_a_node():
    draw = torch.Generator().manual_seed(3)
    data, scores = graph(nodes=40), torch.randn(40, 3, generator=draw)
    labels = torch.randint(2, (40, 3), generator=draw).float()
    labels[::7, 1] = torch.nan
    data.y = labels
    task = NodeTask("toy", data, **masks(40))
    assert task.multi_label and task.primary_metric == "roc_auc" and task.out_channels == 3
    nodes = task.nodes_of("test")
    found = task.evaluate(Scores(scores), "test")
    by_hand, f1 = [], []
    for column in range(3):
        truth, score = labels[nodes, column], scores[nodes, column]
        known = ~torch.isnan(truth)
        by_hand.append(roc_auc_score(truth[known], score[known]))
        f1.append(f1_score(truth[known], score[known] > 0))
    assert found["roc_auc"] == pytest.approx(np.mean(by_hand)) and found["macro_f1"] == pytest.approx(np.mean(f1))
    assert next(iter(task.loader())).y.shape == (14, 3)
    data.y = labels.nan_to_num(-1).long()  # -1 stands for unknown as well
    assert torch.equal(torch.isnan(NodeTask("toy", data, **masks(40)).y), torch.isnan(labels))


def test_batches_come_back_after_a_stop():
    task = NodeTask("toy", graph(), **masks())
    whole = [batch.index.tolist() for batch in task.loader(batch_size=3, seed=1, epoch=2)]
    assert sorted(node for part in whole for node in part) == task.nodes_of("train").tolist()
    assert [len(part) for part in whole] == [3, 1]
    assert [batch.index.tolist() for batch in task.loader(batch_size=3, seed=1, epoch=2, start=1)] == whole[1:]
    orders = {tuple(next(iter(task.loader(batch_size=4, epoch=epoch))).index.tolist()) for epoch in range(6)}
    assert len(orders) > 1
    assert len(task.loader()) == 1 and len(list(task.loader(start=1))) == 0
    shares = [next(iter(task.loader())).share(rank, 3) for rank in range(3)]
    assert torch.equal(torch.cat([share.index for share in shares]), task.nodes_of("train"))
    assert sum(share.weight for share in shares) == pytest.approx(1)
    for options in ({"batch_size": 0}, {"start": 2}, {"split": "tset"}):
        with pytest.raises(UserError):
            task.loader(**options)


def spoiled(**changes):
    data, options = graph(), masks()
    for key, value in changes.items():
        if key in options:
            options[key] = value
        else:
            data[key] = value
    return NodeTask("toy", data, **options)


NAN = torch.zeros(12, 5).index_put((torch.tensor(3), torch.tensor(1)), torch.tensor(float("nan")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": NAN}, "features of 1 nodes, such as node 3, hold NaN or infinite values"),
        ({"x": torch.zeros(11, 5)}, r"x of toy is \[11, 5\], expected a dense row for each of the 12 labels"),
        ({"y": None}, "toy has no labels"),
        ({"y": torch.full((12,), -1)}, "no node has a label"),
        ({"y": torch.arange(12) % 3 - 2}, "labels of 4 nodes, such as -2 of node 0, are out of range"),
        ({"y": (torch.arange(12) % 3) - 1}, "2 nodes of train, such as node 0, have no label in fold 0"),
        ({"y": torch.arange(12) / 2}, "with fractions"),
        ({"y": torch.full((12, 2), 2)}, r"such as \[2.0, 2.0\] of node 0, are out of range"),
        ({"edge_index": torch.tensor([[0], [12]])}, r"\[0, 12\]"),
        ({"edge_index": torch.zeros(2, 3)}, "edge_index of toy must be an int64 tensor"),
        ({"train": torch.tensor([0, 12])}, "train of toy: 12 is no node"),
        ({"train": torch.zeros(12, dtype=torch.bool)}, "train has no node in fold 0"),
        ({"train": torch.ones(3, 12, dtype=torch.bool)}, "has 2 folds, and another split 3"),
        ({"valid": torch.ones(2, 5, dtype=torch.bool)}, r"valid of toy is \[2, 5\], expected a mask"),
        ({"test": torch.tensor([0.5])}, "expected a bool mask"),
        ({"train": None}, "toy has no train nodes; pass train=, or a train_mask in data"),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        spoiled(**changes)


def test_a_node_in_two_splits_is_a_leak():
    with pytest.raises(LeakError, match="4 nodes, such as node 0, are in train and in test in fold 0"):
        spoiled(test=masks()["train"])
    planted = spoiled()
    planted._masks["test"] = planted._masks["test"] | planted._masks["valid"]
    with pytest.raises(LeakError, match="are in valid and in test"):
        planted.leak_check()


def test_a_sound_task_has_a_printable_certificate():
    text = str(spoiled().leak_check())
    assert text.startswith("leak check of toy: passed") and text.count("  ok  ") == 5
    undirected = NodeTask.from_edges("toy", graph().edge_index, graph().y, x=graph().x, directed=False, **masks())
    assert "every edge in both directions" in str(undirected.leak_check())


def warned(task):
    return {what: (count, detail) for what, count, detail in task.leak_check().warnings}


def test_what_makes_figures_doubtful_is_warned_of():
    list_once = torch.tensor([[0, 1, 1], [4, 2, 7]])
    found = warned(spoiled(edge_index=list_once))
    assert found["edges whose direction is that of storage"][0] == 3
    mutual = torch.cat([list_once, list_once.flip(0)], 1)
    found = warned(NodeTask("toy", spoiled(edge_index=mutual).data, directed=True, **masks()))
    assert "edges of a graph said to be directed, all with their opposite" in found
    y = torch.arange(12) % 3
    y[torch.tensor([2, 5, 8, 11])] = torch.tensor([0, 1, 0, 2])
    found = warned(spoiled(y=y))
    assert found["classes without a node of train"] == (1, "2 (folds 0)")


def test_test_nodes_that_repeat_a_train_node_are_found():
    data = graph(nodes=6, classes=2)
    data.edge_index = torch.tensor([[0, 0, 5, 5, 4], [2, 3, 2, 3, 1]])
    data.x[5], data.y[5] = data.x[0], data.y[0]
    options = {"train": torch.tensor([0, 1]), "valid": torch.tensor([2]), "test": torch.tensor([4, 5])}
    key = "test nodes that repeat a train node's features, neighbours and label"
    assert warned(NodeTask("toy", data, **options))[key][0] == 1
    for spoil in (lambda: data.x[5].add_(1), lambda: data.edge_index.__setitem__((1, 3), 4)):
        before = data.x.clone(), data.edge_index.clone()
        spoil()
        assert key not in warned(NodeTask("toy", data, **options))
        data.x, data.edge_index = before


def test_notes_count_what_is_no_error():
    edges = torch.tensor([[0, 0, 1, 1], [0, 2, 2, 2]])
    x = torch.ones(12, 5)
    x[3] = 0
    y = torch.arange(12) % 3
    y[5] = -1
    found = spoiled(
        edge_index=edges, x=x, y=y, train=torch.tensor([0]), valid=torch.tensor([1]), test=torch.tensor([2])
    )
    notes = {what: count for what, count, _ in found.leak_check().notes}
    assert notes == {
        "self-loops": 1, "edges that are repeated": 1, "nodes without an edge": 9, "nodes whose features are all 0": 1,
        "nodes without a label": 1,
    }  # fmt: skip


def test_names_of_nodes():
    data = graph()
    task = NodeTask("toy", data, nodes=[f"n{i}" for i in range(12)], **masks())
    assert task.node_id("n3") == 3 and task.node_id(4) == 4
    with pytest.raises(UserError, match="did you mean"):
        task.node_id("n33")
    with pytest.raises(UserError, match="11 names for 12 nodes"):
        NodeTask("toy", data, nodes=["a"] * 11, **masks())


def test_nan_scores_are_refused():
    scores = torch.zeros(12, 3)
    scores[9] = torch.nan
    with pytest.raises(UserError, match="gives NaN for node 9"):
        NodeTask("toy", graph(), **masks()).evaluate(Scores(scores), "test")
    with pytest.raises(UserError, match=r"score_nodes returned \[4, 2\], expected 3 scores a node"):
        NodeTask("toy", graph(), **masks()).evaluate(Scores(torch.zeros(12, 2)), "test")
