"""Classification of the nodes of a graph of one's own: labels by name or in a file, features, splits, mistakes."""

import pytest
import torch

from graphkit.data import EdgeTable
from graphkit.errors import UserError

RING = [(f"e{i}", "next", f"e{(i + 1) % 10}") for i in range(10)]
LABELS = {f"e{i}": "even" if i % 2 == 0 else "odd" for i in range(10)}


def table():
    return EdgeTable.from_triples(RING, name="ring")


def test_labels_by_name():
    task = table().node_task(LABELS, split="60/20/20", folds=3)
    assert task.classes == ["even", "odd"] and task.nodes == [f"e{i}" for i in range(10)] and task.num_folds == 3
    assert task.y.tolist() == [0, 1] * 5 and task.directed and task.edge_index.shape == (2, 10)
    torch.testing.assert_close(task.x, torch.full((10, 2), 2.0).log())
    assert not table().node_task(LABELS, directed=False, split="60/20/20").directed
    assert (
        task.provenance["split"] == {"name": "60/20/20", "seed": 0} and "graph of your own" in task.provenance["title"]
    )
    again = table().node_task(LABELS, split="60/20/20", folds=1)
    assert torch.equal(again.mask("train"), task.mask("train"))


def test_unlabelled_nodes_and_numbers():
    task = table().node_task({f"e{i}": 10 * (i % 3) for i in range(9)}, split="60/20/20", folds=1)
    assert (
        task.classes == ["0", "10", "20"]
        and int(task.y[9]) == -1
        and not any(task.mask(s)[9] for s in ("train", "valid", "test"))
    )


def test_labels_of_a_file(tmp_path):
    for separator in ("\t", ",", " "):
        file = tmp_path / "labels.txt"
        file.write_text("# node, class\n\n" + "\n".join(f"{node}{separator}{label}" for node, label in LABELS.items()))
        assert table().node_task(file, split="60/20/20").y.tolist() == [0, 1] * 5


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({}, "there are no labels"), ({"e11": "even"}, "a label is given for .*e11.*did you mean"),
        ({"e1": 1.5}, "label of 'e1' is 1.5, expected a text or a whole number"),
    ],
)  # fmt: skip
def test_mistakes(labels, message):
    with pytest.raises(UserError, match=message):
        table().node_task(labels)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("e1 even odd\n", "line 1: expected a node and its class"),
        ("e1,a\ne1,b\n", "line 2: 'e1' has the class 'a' further up"),
    ],
)
def test_mistakes_in_files(tmp_path, text, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        table().node_task(tmp_path / "labels.csv")
    with pytest.raises(UserError):
        table().node_task(tmp_path / "absent.csv")
