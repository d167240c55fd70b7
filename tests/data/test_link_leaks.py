"""The leak check of undirected graphs finds every kind of planted leak."""

import pytest
import torch
from link_samples import pairs, random_task

from graphkit.data import LeakError, LinkTask, MessageGraph, PairBatch


def clean(**options):
    return LinkTask("toy", 8, pairs((0, 1), (1, 2), (2, 3)), pairs((3, 4)), pairs((4, 5), (5, 6)), **options)


def test_a_clean_task_has_a_printable_certificate():
    certificate = random_task().leak_check()
    text = str(certificate)
    assert text.startswith("leak check of toy: passed") and len(certificate.checks) == 11
    assert all(what in text and count > 0 for what, count, _ in certificate.checks)


def test_notes_count_what_is_no_error():
    notes = {what: count for what, count, _ in clean().leak_check().notes}
    assert notes["nodes of valid without an edge in the message graph"] == 1
    assert notes["nodes of test without an edge in the message graph"] == 3
    crowded = random_task(nodes=16, edges=60, num_negatives=3).leak_check()
    assert any(what == "validation negatives that are test edges" for what, _, _ in crowded.notes)
    full = LinkTask("full", 3, pairs((0, 1), (1, 2), (0, 2)), pairs(), pairs()).leak_check()
    assert any(what == "training without a strict negative" for what, _, _ in full.notes)


def planted(**splits):
    """A clean task whose edges are changed afterwards, past the checks of the constructor."""
    task = clean()
    for split, edges in splits.items():
        setattr(task, split, edges)
    return task


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"valid": pairs((3, 9))}, r"ids out of range in valid .*: 1 cases, such as \[3, 9\]"),
        ({"train": pairs((0, 1), (1, 2), (2, 2))}, "edges of train join a node with itself"),
        ({"train": pairs((0, 1), (1, 2), (0, 1))}, "edges stand more than once in train"),
        ({"test": pairs((4, 5), (5, 4))}, r"edges stand more than once in test, .*such as \(5, 4\)"),
        ({"valid": pairs((1, 2))}, "edges of valid are in train too"),
        ({"valid": pairs((2, 1))}, r"edges of valid are in train too, in either direction: 1 cases, such as \(2, 1\)"),
        ({"test": pairs((5, 6), (1, 0))}, "edges of test are in train too"),
        ({"test": pairs((4, 3))}, "edges of test are in valid too"),
    ],
)
def test_edges_where_they_should_not_be(splits, message):
    with pytest.raises(LeakError, match=message):
        planted(**splits).leak_check()


class OtherGraph(LinkTask):
    """A task whose message graph is what a test puts there."""

    messages: torch.Tensor

    def graph(self, split="train"):
        return MessageGraph(self.messages, torch.zeros_like(self.messages[0]), self.num_nodes, 1)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (pairs((4, 5), (5, 4)), "test edges are edges of their message graph"),
        (pairs((4, 3), (3, 4)), "valid edges are edges of their message graph"),
        (pairs((5, 4)), "edges of the train message graph have no opposite direction"),
        (pairs((0, 3)), "edges of the train message graph have no opposite direction"),
        (pairs((6, 6)), None),
    ],
)
def test_evaluation_edges_in_the_message_graph(extra, message):
    plain = clean()
    task = OtherGraph("toy", 8, plain.train, plain.valid, plain.test)
    task.messages = torch.cat([plain.graph().edge_index, extra], 1)
    if message is None:
        assert task.leak_check()
        return
    with pytest.raises(LeakError, match=message):
        task.leak_check()


@pytest.mark.parametrize("split", ["valid", "test"])
@pytest.mark.parametrize(
    ("negative", "message"),
    [
        ((1, 0), "negatives of {} are edges of its graph, in either direction"),
        ((3, 4), "negatives of {} are edges of its graph"),
        ((7, 7), "negatives of {} join a node with itself"),
    ],
)
def test_positives_among_the_negatives(split, negative, message):
    task = clean()
    task.negatives(split)
    task._negatives[split] = pairs((0, 7), negative)
    with pytest.raises(LeakError, match=message.format(split)):
        task.leak_check()


def test_a_test_edge_among_the_test_negatives_and_a_negative_twice():
    task = clean()
    task._negatives["test"] = pairs((0, 7), (6, 5))
    with pytest.raises(LeakError, match=r"negatives of test are edges of its graph, .*such as \(6, 5\)"):
        task.leak_check()
    task._negatives["test"] = pairs((0, 7), (7, 0))
    with pytest.raises(LeakError, match="negatives of test stand there more than once"):
        task.leak_check()


class OtherBatches(LinkTask):
    """A task whose loader hands out what a test puts there."""

    batch: tuple[torch.Tensor, torch.Tensor]

    def loader(self, split="train", **options):
        return [PairBatch(self.graph(), *self.batch)]


@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [
        (pairs((0, 1)), pairs((2, 1)), "negatives of a training batch are train edges or self-loops"),
        (pairs((0, 1)), pairs((4, 4)), "negatives of a training batch are train edges or self-loops"),
        (pairs((4, 5)), pairs((0, 7)), "positives of a training batch are no train edges"),
    ],
)
def test_training_batches(positive, negative, message):
    plain = clean()
    task = OtherBatches("toy", 8, plain.train, plain.valid, plain.test)
    task.batch = (positive, negative)
    with pytest.raises(LeakError, match=message):
        task.leak_check()


def test_names_are_shown_where_there_are_some():
    task = clean(nodes=list("abcdefgh"))
    task.valid = pairs((2, 1))
    with pytest.raises(LeakError, match=r"such as \(c, b\)"):
        task.leak_check()
