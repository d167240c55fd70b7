"""Undirected link prediction: what is in which split, what is drawn, what is scored on which graph."""

import numpy as np
import pytest
import torch
from link_samples import TableScorer, pairs, random_edges, random_task
from sklearn.metrics import average_precision_score, roc_auc_score

from graphkit.data import LinkTask, PairBatch
from graphkit.data.non_edges import pair_numbers
from graphkit.errors import UserError


def keys(edges):
    return set(pair_numbers(edges).tolist())


def test_every_edge_is_in_one_split_once():
    edges = random_edges()
    task = random_task()
    parts = [task.train, task.valid, task.test]
    assert [part.size(1) for part in parts] == [63, 9, 18]
    assert set.union(*map(keys, parts)) == keys(edges) and sum(len(keys(part)) for part in parts) == 90
    assert all(bool((part[0] < part[1]).all()) for part in parts)
    assert task.statistics() == {"nodes": 40, "edges": 90, "features": 0, "train": 63, "valid": 9, "test": 18}


def test_directions_duplicates_and_self_loops_do_not_matter():
    edges = random_edges()
    spoiled = torch.cat([edges.flip(0), edges[:, :7], torch.tensor([[5, 6], [5, 6]])], 1)[:, torch.randperm(99)]
    plain, other = random_task(), LinkTask.from_edges("toy", spoiled, 40, split="70/10/20")
    assert plain.fingerprint() == other.fingerprint()


def test_messages_flow_along_train_edges_in_both_directions_in_every_split():
    task = random_task()
    for split in ("train", "valid", "test"):
        graph = task.graph(split)
        assert graph.num_nodes == 40 and graph.num_relations == 1 and not graph.edge_type.any()
        found = sorted(map(tuple, graph.edge_index.t().tolist()))
        assert found == sorted(map(tuple, torch.cat([task.train, task.train.flip(0)], 1).t().tolist()))
    loops = task.graph().with_self_loops
    assert loops is task.graph().with_self_loops and loops.num_edges == 2 * 63 + 40
    assert torch.equal(loops.edge_index[:, :126], task.graph().edge_index)
    assert torch.equal(loops.edge_index[:, 126:], torch.arange(40).expand(2, -1))


def test_the_container_holds_no_answer():
    task = random_task(x=torch.rand(40, 3))
    assert torch.equal(task.data.x, task.x) and task.data.num_nodes == 40
    seen = keys(task.data.edge_index)
    assert seen == keys(task.train) and not seen & (keys(task.valid) | keys(task.test))
    assert random_task().data.num_nodes == 40 and random_task().data.x is None


def test_negatives_are_strict_for_the_graph_of_their_split():
    task = random_task(nodes=16, edges=60, num_negatives=3)
    known = {
        "valid": keys(task.train) | keys(task.valid),
        "test": keys(task.train) | keys(task.valid) | keys(task.test),
    }
    for split in ("valid", "test"):
        negatives = task.negatives(split)
        assert negatives.size(1) == 3 * task.edges(split).size(1) == len(keys(negatives))
        assert not keys(negatives) & known[split] and bool((negatives[0] < negatives[1]).all())
        assert task.negatives(split) is negatives
    # 60 non-edges of 120 pairs and 18 validation negatives: some of them are test edges, as the rule allows
    assert keys(task.negatives("valid")) & keys(task.test)
    with pytest.raises(UserError, match="negatives of train are drawn with each batch"):
        task.negatives("train")


def test_fixed_negatives_depend_on_the_seed_of_the_split_only():
    first, again, other = random_task(), random_task(), random_task(split_seed=1)
    assert first.fingerprint() == again.fingerprint() and first.fingerprint() != other.fingerprint()
    first.loader(seed=5)
    assert torch.equal(first.negatives("test"), again.negatives("test"))
    assert first.provenance["split"] == {"shares": "70/10/20", "seed": 0, **first.fingerprint()}


@pytest.mark.parametrize("batch_size", [1, 10, 63, 200])
def test_a_pass_shows_every_edge_once_with_strict_negatives(batch_size):
    task = random_task()
    batches = list(task.loader(batch_size=batch_size, num_negatives=2, seed=3))
    assert len(batches) == len(task.loader(batch_size=batch_size)) == -(-63 // batch_size)
    assert sorted(n for batch in batches for n in pair_numbers(batch.positive).tolist()) == sorted(keys(task.train))
    for batch in batches:
        assert batch.graph is task.graph() and batch.negative.size(1) == 2 * batch.positive.size(1)
        assert not keys(batch.negative) & keys(task.train)
        assert torch.equal(batch.pairs, torch.cat([batch.positive, batch.negative], 1))


def test_a_pass_can_begin_anywhere():
    task = random_task()
    whole = list(task.loader(batch_size=10, seed=1, epoch=2))
    for start in range(8):
        rest = list(task.loader(batch_size=10, seed=1, epoch=2, start=start))
        assert len(rest) == 7 - start
        for one, other in zip(whole[start:], rest, strict=True):
            assert torch.equal(one.pairs, other.pairs)
    assert len(list(task.loader(batch_size=10, steps=2))) == 2
    for other in ({"seed": 2, "epoch": 2}, {"seed": 1, "epoch": 3}):
        first = next(iter(task.loader(batch_size=10, **other)))
        assert not torch.equal(first.positive, whole[0].positive)
        assert not torch.equal(first.negative, whole[0].negative)


def test_plain_negatives_may_be_edges_but_no_self_loops():
    task = LinkTask("dense", 5, torch.combinations(torch.arange(5)).t(), pairs(), pairs())
    with pytest.raises(UserError, match="every pair of the 5 nodes is an edge"):
        next(iter(task.loader()))
    negative = next(iter(task.loader(strict=False, num_negatives=20))).negative
    assert keys(negative) <= keys(task.train) and bool((negative[0] != negative[1]).all())


def test_a_batch_moves_with_its_graph():
    batch = next(iter(random_task().loader()))
    assert batch.to("cpu").graph is batch.graph
    moved = batch.to("meta")
    assert isinstance(moved, PairBatch) and moved.positive.device.type == moved.graph.device.type == "meta"


@pytest.mark.parametrize("split", ["valid", "test", "train"])
def test_evaluation_is_scikit_learns(split):
    task, model = random_task(num_negatives=2), TableScorer()
    result = task.evaluate(model, split, batch_size=7)
    ((graph, asked, batch_size),) = model.asked
    assert graph is task.graph() and batch_size == 7
    positive = task.edges(split).size(1)
    assert torch.equal(asked[:, :positive], task.edges(split)) and asked.size(1) == 3 * positive
    if split != "train":
        assert torch.equal(asked[:, positive:], task.negatives(split))
    labels, scores = np.arange(3 * positive) < positive, model.table[asked[0], asked[1]].numpy()
    assert result == {
        "auc": pytest.approx(roc_auc_score(labels, scores), abs=1e-12),
        "ap": pytest.approx(average_precision_score(labels, scores), abs=1e-12),
        "count": 3.0 * positive,
    }


def test_names():
    task = LinkTask("toy", 3, pairs((0, 1)), pairs(), pairs(), nodes=["ann", "bob", "cid"])
    assert (task.node_id("bob"), task.node_id(2)) == (1, 2)
    with pytest.raises(UserError, match="unknown node 'bop'; did you mean 'bob'"):
        task.node_id("bop")
    plain = LinkTask("toy", 3, pairs((0, 1)), pairs(), pairs())
    assert plain.node_id(2) == 2
    with pytest.raises(UserError, match="have no names; give an id from 0 to 2"):
        plain.node_id("ann")
    with pytest.raises(UserError, match="node id 3 is out of range"):
        plain.node_id(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LinkTask("toy", 3, torch.tensor([[0.0], [1.0]]), pairs(), pairs()),
            "train edges of toy must be an int64",
        ),
        (lambda: LinkTask("toy", 3, pairs((0, 1)), pairs(), torch.zeros(3, 2)), "test edges of toy must be an int64"),
        (
            lambda: LinkTask("toy", 3, pairs((0, 1)), pairs((1, 3)), pairs()),
            r"valid edges of toy: number 0 is \[1, 3\]",
        ),
        (lambda: LinkTask("toy", 3, pairs((0, 1), (2, 2)), pairs(), pairs()), "number 1 joins node 2 with itself"),
        (
            lambda: LinkTask("toy", 3, pairs((0, 1)), pairs(), pairs(), x=torch.zeros(2, 4)),
            "a row for each of the 3 nodes",
        ),
        (lambda: LinkTask("toy", 3, pairs((0, 1)), pairs(), pairs(), nodes=["a"]), "3 nodes, but 1 names"),
        (lambda: LinkTask("toy", 2, pairs((0, 1)), pairs(), pairs(), nodes=["a", "a"]), "'a' occurs twice"),
        (lambda: LinkTask("toy", 3, pairs((0, 1)), pairs(), pairs(), num_negatives=0), "num_negatives is 0"),
        (lambda: LinkTask.from_edges("toy", pairs((0, 5)), 3), r"edges of toy: number 0 is \[0, 5\]"),
        (lambda: LinkTask.from_edges("toy", pairs(), 3), "leaves no edge to train on"),
        (lambda: LinkTask.from_edges("toy", torch.combinations(torch.arange(5)).t(), 5), "1 different negatives"),
        (lambda: random_task().edges("trian"), "unknown split 'trian'; did you mean 'train'"),
        (lambda: random_task().graph("all"), "unknown split 'all'"),
        (lambda: random_task(split="100/0/0").evaluate(TableScorer(), "test"), "toy has no test edges to evaluate"),
        (lambda: random_task().loader(batch_size=0), "batch_size is 0, expected a whole number from 1"),
        (lambda: random_task().loader(num_negatives=True), "num_negatives is True"),
        (lambda: random_task().loader(batch_size=10, start=8), "start is 8, but the pass has 7 steps of 10 edges"),
        (lambda: random_task(split="100/0/0").loader("valid"), "there are no edges to load"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()
