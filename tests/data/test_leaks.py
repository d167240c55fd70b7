"""The leak check finds every kind of leak, and says what is only worth knowing."""

import pytest
import torch
from kg_samples import random_task, task_of

from graphkit.data import KnowledgeGraphTask, LeakError, MessageGraph, QueryBatch

TRAIN, VALID, TEST = [(0, 0, 1), (1, 0, 2)], [(2, 0, 3)], [(3, 0, 0)]


def test_a_clean_task_has_a_printable_certificate():
    certificate = random_task().leak_check()
    text = str(certificate)
    assert text.startswith("leak check of toy: passed")
    assert all(what in text for what, _, _ in certificate.checks)
    assert {count for what, count, _ in certificate.checks if what == "ids in range"} == {90}
    assert len(certificate.checks) == 8 and all(count > 0 for _, count, _ in certificate.checks)


@pytest.mark.parametrize(
    ("valid", "test", "message"),
    [
        ([(0, 0, 1)], TEST, "triples of valid are in train too: 1 cases, such as .e0, r0, e1."),
        (VALID, [(3, 0, 0), (1, 0, 2)], "triples of test are in train too"),
        (VALID, VALID, "triples of test are in valid too"),
    ],
)
def test_triples_in_two_splits(valid, test, message):
    with pytest.raises(LeakError, match=message):
        task_of(TRAIN, valid, test, entities=4).leak_check()


def test_ids_out_of_range():
    task = task_of(TRAIN, VALID, TEST, entities=4)
    task.valid = torch.tensor([[2, 0, 4]])
    with pytest.raises(LeakError, match="ids out of range in valid"):
        task.leak_check()


class LeakyGraph(KnowledgeGraphTask):
    """A task whose message graph for evaluation holds one more fact, or other inverses."""

    extra: tuple[int, int, int] | None = None
    shift = 0

    def graph(self, split="train"):
        facts = self.train if self.extra is None else torch.cat([self.train, torch.tensor([self.extra])])
        graph = MessageGraph.from_triples(facts, self.num_entities, self.num_relations)
        edge_type = graph.edge_type.clone()
        edge_type[-1] -= self.shift
        return MessageGraph(graph.edge_index, edge_type, graph.num_nodes, graph.num_relations)


def leaky(**attributes):
    plain = task_of(TRAIN, VALID, TEST, entities=4)
    task = LeakyGraph("toy", plain.train, plain.valid, plain.test, plain.entities, plain.relations)
    for name, value in attributes.items():
        setattr(task, name, value)
    return task


def test_an_evaluation_triple_in_the_message_graph():
    assert leaky().leak_check()
    with pytest.raises(LeakError, match="test triples are edges of their message graph, as they are"):
        leaky(extra=TEST[0]).leak_check()
    with pytest.raises(LeakError, match="valid triples are edges of their message graph"):
        leaky(extra=VALID[0]).leak_check()


def test_an_evaluation_triple_in_the_message_graph_by_its_inverse_only():
    task = task_of(TRAIN, VALID, TEST, entities=4)
    h, r, t = TEST[0]
    # The inverse of the test triple stands where a fact should.
    task._graphs["train"] = MessageGraph(torch.tensor([[t, h], [h, t]]), torch.tensor([r + 1, r + 1]), 4, 2)
    with pytest.raises(LeakError, match="test triples are edges of their message graph, inverted"):
        task.leak_check()


def test_an_edge_without_its_inverse():
    with pytest.raises(LeakError, match=r"have no inverse .tail, r \+ R, head."):
        leaky(shift=1).leak_check()


class LeakyNegatives(KnowledgeGraphTask):
    """A task that hands out a train fact as a negative, or a stranger as a positive."""

    rows: list[list[tuple[int, int, int]]]

    def loader(self, split="train", **options):
        return [QueryBatch(self.graph(), torch.tensor(self.rows))]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[TRAIN[0], (2, 0, 2), TRAIN[1]]], "negatives of a training batch are train facts"),
        ([[TEST[0], (2, 0, 2)]], "positives of a training batch are no train facts"),
    ],
)
def test_negatives_that_are_facts(rows, message):
    plain = task_of(TRAIN, VALID, TEST, entities=4)
    task = LeakyNegatives("toy", plain.train, plain.valid, plain.test, plain.entities, plain.relations)
    task.rows = rows
    with pytest.raises(LeakError, match=message):
        task.leak_check()


def test_notes_count_what_is_no_error():
    task = task_of(
        [(0, 0, 1), (0, 0, 1), (2, 1, 0)],
        [(0, 2, 4)],
        [(1, 0, 0), (0, 0, 2), (0, 1, 1)],
        entities=6,
        relations=3,
    )
    notes = {what: count for what, count, _ in task.leak_check().notes}
    assert notes == {
        "triples that train repeats": 1,
        "entities of valid without an edge in its message graph": 1,
        "relations of valid without an edge in its message graph": 1,
        "test triples whose mirror (t, r, h) is a train fact": 1,
        "test triples whose entities a train fact joins, from tail to head": 2,
        "test triples whose entities a train fact joins, from head to tail": 1,
    }


def test_saturated_queries_are_a_note():
    task = task_of([(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1)], entities=2)
    assert any("without a strict negative" in what for what, _, _ in task.leak_check().notes)
