"""Negatives that were handed in, edges that repeat, validation edges as messages: what a task makes of them."""

import pytest
import torch
from link_samples import TableScorer, pairs, random_task

from graphkit.data import LeakError, LinkTask, MessageGraph
from graphkit.data.non_edges import pair_numbers
from graphkit.errors import UserError

TRAIN, VALID, TEST = pairs((0, 1), (1, 2), (2, 3)), pairs((3, 4)), pairs((5, 4), (5, 6))
OWN = {  # three of each edge's own
    "valid_negatives": torch.tensor([[[3, 3, 0]], [[6, 7, 4]]]),
    "test_negatives": torch.tensor([[[5, 5, 0], [5, 5, 2]], [[0, 1, 4], [0, 1, 6]]]),
}
POOL = {"valid_negatives": pairs((0, 4), (7, 0)), "test_negatives": pairs((0, 7), (1, 7), (7, 2))}


def toy(**options):
    return LinkTask("toy", 8, TRAIN, VALID, TEST, **options)


def test_one_pool_for_all_edges():
    task, model = toy(**POOL, metrics=["hits@2", "mrr", "auc"]), TableScorer(8)
    assert torch.equal(task.negatives("test"), POOL["test_negatives"]) and not task.is_personal("test")
    found = task.evaluate(model, "test")
    positive, negative = (model.table[p[0], p[1]] for p in (task.test, POOL["test_negatives"]))
    assert found["hits@2"] == float((positive > negative.sort().values[-2]).double().mean())
    assert found["count"] == 5.0 and list(found) == ["hits@2", "mrr", "auc", "count"]
    assert (task.primary_metric, task.selectable) == ("hits@2", ("hits@2", "mrr", "auc"))
    assert task.leak_check()


def test_negatives_of_each_edge_stay_with_their_edge():
    task, model = toy(**OWN, metrics=["mrr", "hits@1"]), TableScorer(8)
    assert task.is_personal("valid") and task.is_personal("test") and task.leak_check()
    found = task.evaluate(model, "test")
    ranks = []
    for column in range(2):
        (u, v), (a, b) = task.test[:, column], OWN["test_negatives"][:, column]
        ranks.append(1 + int((model.table[a, b] > model.table[u, v]).sum()))
    assert found == {
        "mrr": pytest.approx(sum(1 / r for r in ranks) / 2),
        "hits@1": sum(r == 1 for r in ranks) / 2,
        "count": 8.0,
    }
    assert task.fingerprint()["test_negatives"] != toy(**POOL).fingerprint()["test_negatives"]
    with pytest.raises(UserError, match="train edges of toy have no negatives of their own; evaluate valid or test"):
        task.evaluate(model, "train")


def test_the_order_of_edges_and_rows_is_kept():
    task = toy(**OWN, metrics=["mrr"])
    assert task.test.tolist() == [[4, 5], [5, 6]]  # u < v, in the order given
    assert toy(**OWN, metrics=["mrr"], directed=True).test.tolist() == TEST.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"test_negatives": pairs((0, 9))},
            r"test negatives of toy: number 0 is \[0, 9\], but nodes are numbered up to 7",
        ),
        ({"test_negatives": pairs((0, 7), (5, 5))}, "test negatives of toy: number 1 joins node 5 with itself"),
        (
            {"test_negatives": OWN["valid_negatives"]},
            r"there are rows for 1 edges, but the split has 2 edges; .*\[2, 2, K\]",
        ),
        ({"valid_negatives": pairs((0, 7)).int()}, r"must be an int64 tensor: \[2, n\], pooled, or \[2, P, K\]"),
        ({"valid_negatives": torch.zeros(3, 2, dtype=torch.int64)}, r"must be an int64 tensor \[2, n\]"),
        ({"valid_negatives": pairs()}, "valid negatives of toy: there is none for 1 edges"),
        ({**POOL, "metrics": ["hits@3"]}, "toy, valid: hits@3 needs at least 3 negatives, there are 2"),
        ({"metrics": ["hits@3"]}, "toy, valid: hits@3 needs at least 3 negatives, there are 1"),
        ({**OWN, "metrics": ["hits@4"]}, "toy, valid: hits@4 needs at least 4 negatives of each edge, there are 3"),
        ({**OWN}, "auc pools all negatives, but here each edge has negatives of its own; take mrr or hits@K"),
        ({"metrics": ["hits@x"]}, "unknown metric of link prediction 'hits@x'"),
        ({"negatives_avoid": "splits"}, "unknown value of negatives_avoid 'splits'; did you mean 'split'"),
    ],
)
def test_negatives_that_cannot_be_used_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        toy(**options)


def test_too_few_negatives_are_never_a_perfect_score():
    task = random_task(metrics=("auc", "hits@9"))
    assert task.negatives("valid").size(1) == 9
    model = TableScorer()
    model.table = torch.zeros(40, 40)
    assert [task.evaluate(model, split)["hits@9"] for split in ("valid", "test", "train")] == [0, 0, 0]
    with pytest.raises(UserError, match="toy, valid: hits@10 needs at least 10 negatives, there are 9"):
        random_task(metrics=("auc", "hits@10"))


def test_valid_edges_carry_messages_at_test_time_alone():
    plain, task = toy(), toy(use_valedges=True)
    for split in ("train", "valid"):
        assert torch.equal(task.graph(split).edge_index, plain.graph(split).edge_index)
    found = set(pair_numbers(task.graph("test").edge_index).tolist())
    assert found == set(pair_numbers(torch.cat([TRAIN, VALID], 1)).tolist()) and task.graph("test").num_edges == 8
    assert torch.equal(task.data.edge_index, plain.data.edge_index)
    assert task.graph("test") is task.graph("test") and task.provenance["protocol"]["use_valedges"] is True
    text = str(task.leak_check())
    assert "every valid edge is an edge of the test message graph (1): use_valedges" in text
    assert "use_valedges" not in str(plain.leak_check())


def test_a_model_sees_the_graph_of_the_split():
    task, model = toy(use_valedges=True), TableScorer(8)
    task.evaluate(model, "valid")
    task.evaluate(model, "test")
    assert [graph.num_edges for graph, _, _ in model.asked] == [6, 8]


class OtherGraphs(LinkTask):
    """A task whose message graphs are what a test puts there."""

    messages: dict

    def graph(self, split="train"):
        edges = self.messages.get(split, self.train)
        return MessageGraph.from_edges(edges, self.num_nodes)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("where", "what", "use_valedges", "message"),
    [
        ("test", VALID, False, "valid edges are edges of the message graph of test, in either direction"),
        ("train", VALID, False, "valid edges are edges of the message graph of train"),
        ("train", VALID, True, "valid edges are edges of the message graph of train"),
        ("valid", VALID, True, "valid edges are edges of their message graph"),
        ("valid", TEST, False, "test edges are edges of the message graph of valid"),
        ("test", TEST, True, "test edges are edges of their message graph"),
        ("test", TRAIN, True, "valid edges are missing from the test message graph, use_valedges"),
    ],
)
def test_planted_edges_are_found_in_every_graph(where, what, use_valedges, message, flip):
    task = OtherGraphs("toy", 8, TRAIN, VALID, TEST, use_valedges=use_valedges)
    task.messages = {"test": torch.cat([TRAIN, VALID], 1)} if use_valedges else {}
    planted = what.flip(0) if flip else what
    base = TRAIN if what is TRAIN else task.messages.get(where, TRAIN)
    task.messages[where] = base if what is TRAIN else torch.cat([base, planted], 1)
    with pytest.raises(LeakError, match=message):
        task.leak_check()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("split", "negative", "avoid", "message"),
    [
        ("test", (1, 2), "split", "negatives of test are edges of its graph, in either direction"),
        ("test", (3, 4), "split", "negatives of test are edges of its graph"),
        ("test", (5, 6), "split", "negatives of test are edges of its graph"),
        ("test", (3, 4), "earlier", "negatives of test are edges of train or valid, in either direction"),
        ("valid", (0, 1), "earlier", "negatives of valid are edges of train, in either direction"),
    ],
)
def test_positives_among_given_negatives(split, negative, avoid, message, flip):
    one = pairs(negative[::-1] if flip else negative)
    for given in (torch.cat([pairs((0, 7)), one], 1), one.unsqueeze(2).expand(2, 1 if split == "valid" else 2, 1)):
        options = {**(OWN if given.dim() == 3 else POOL), f"{split}_negatives": given}
        with pytest.raises(LeakError, match=message):
            toy(**options, negatives_avoid=avoid, metrics=["mrr"]).leak_check()


def test_what_the_rule_of_the_negatives_allows_is_warned_of():
    own = {**POOL, "test_negatives": pairs((0, 7), (6, 5))}
    with pytest.raises(LeakError, match="negatives of test are edges of its graph"):
        toy(**own).leak_check()
    warnings = {what: count for what, count, _ in toy(**own, negatives_avoid="earlier").leak_check().warnings}
    assert warnings == {"negatives of test are test edges, in either direction": 1}
    published = {**POOL, "test_negatives": pairs((0, 7), (7, 0), (5, 5), (1, 2), (6, 5))}
    certificate = toy(**published, negatives_avoid="nothing").leak_check()
    assert {what: count for what, count, _ in certificate.warnings} == {
        "negatives of test join a node with itself": 1,
        "negatives of test are test edges, in either direction": 1,
        "negatives of test are edges of train or valid, in either direction": 1,
        "negatives of test stand there more than once": 1,
    }
    assert "WARN" in str(certificate)


def test_repeats_are_looked_for_in_the_pool_or_in_the_row_of_an_edge():
    with pytest.raises(LeakError, match=r"negatives of test stand there more than once: 1 cases, such as \(7, 0\)"):
        toy(valid_negatives=POOL["valid_negatives"], test_negatives=pairs((0, 7), (7, 0))).leak_check()
    rows = OWN["test_negatives"].clone()
    rows[:, 1] = torch.tensor([[5, 0, 6], [0, 5, 1]])
    with pytest.raises(LeakError, match="negatives of test stand there more than once: 1 cases"):
        toy(valid_negatives=OWN["valid_negatives"], test_negatives=rows, metrics=["mrr"]).leak_check()
    rows[:, 1] = OWN["test_negatives"][:, 1]
    rows[:, 0, 0] = torch.tensor([5, 0])  # also in the row of the other edge, where it is another question
    assert toy(valid_negatives=OWN["valid_negatives"], test_negatives=rows, metrics=["mrr"]).leak_check()


def test_rows_in_another_order_than_the_edges_are_warned_of():
    test = pairs((0, 1), (4, 5))
    rows = torch.tensor([[[0, 0], [4, 4]], [[6, 7], [6, 7]]])
    sound = LinkTask(
        "toy",
        8,
        TRAIN[:, 1:],
        VALID,
        test,
        test_negatives=rows,
        valid_negatives=OWN["valid_negatives"],
        metrics=["mrr"],
    )
    assert not sound.leak_check().warnings
    mixed = LinkTask(
        "toy",
        8,
        TRAIN[:, 1:],
        VALID,
        test,
        test_negatives=rows.flip(1),
        valid_negatives=OWN["valid_negatives"],
        metrics=["mrr"],
    )
    assert [(what, count) for what, count, _ in mixed.leak_check().warnings] == [
        ("negatives of test keep no node of their edge", 4)
    ]


def test_edges_that_are_events():
    train = pairs((0, 1), (1, 0), (1, 2), (0, 1))
    with pytest.raises(LeakError, match="edges stand more than once in train"):
        LinkTask("toy", 8, train, VALID, TEST).leak_check()
    task = LinkTask("toy", 8, train, pairs((2, 1)), pairs((1, 2), (3, 4)), repeats=True, use_valedges=True)
    assert task.graph("train").num_edges == 4 and task.graph("test").num_edges == 4
    shown = torch.cat([batch.positive for batch in task.loader(batch_size=3)], 1)
    assert sorted(pair_numbers(shown).tolist()) == [0, 0, 0, 2]
    certificate = task.leak_check()
    assert ("train edges that repeat an earlier one", 2) in [(what, count) for what, count, _ in certificate.notes]
    assert [(what, count) for what, count, _ in certificate.warnings] == [
        ("edges of valid that train has too", 1),
        ("edges of test that train has too", 1),
        ("edges of test that valid has too", 1),
    ]
    twice = LinkTask("toy", 8, train, VALID, pairs((5, 6), (6, 5)), repeats=True).leak_check().warnings
    assert ("test edges that repeat an earlier one", 1) in [(what, count) for what, count, _ in twice]
    with pytest.raises(LeakError, match="edges stand more than once in test"):
        LinkTask("toy", 8, pairs((0, 1)), VALID, pairs((5, 6), (6, 5))).leak_check()


@pytest.mark.parametrize(
    ("batch_size", "steps", "edges"), [(10, 6, 60), (63, 1, 63), (64, 1, 63), (1000, 1, 63), (62, 1, 62), (9, 7, 63)]
)
def test_dropping_the_last_batch_never_drops_everything(batch_size, steps, edges):
    loader = random_task().loader(batch_size=batch_size, drop_last=True)
    batches = list(loader)
    assert len(loader) == len(batches) == steps and sum(batch.positive.size(1) for batch in batches) == edges


def test_negatives_that_keep_the_source():
    task = LinkTask("toy", 8, pairs((7, 0), (6, 1), (5, 2)), VALID, pairs(), directed=True)
    with pytest.raises(UserError, match="pass strict=False with keep_source"):
        task.loader(keep_source=True)
    batch = next(iter(task.loader(keep_source=True, strict=False, num_negatives=400)))
    assert torch.equal(batch.negative[0], batch.positive[0].repeat_interleave(400))
    assert set(batch.positive[0].tolist()) == {5, 6, 7}
    for source in (5, 6, 7):
        drawn = batch.negative[1][batch.negative[0] == source]
        assert set(drawn.tolist()) == set(range(8)) - {source}
        assert torch.bincount(drawn, minlength=8).max() < 100  # 57 on average
    again = next(iter(task.loader(keep_source=True, strict=False, num_negatives=400)))
    assert torch.equal(batch.negative, again.negative)
