"""Predictions by name."""

import pytest
import torch

from graphkit.data import KnowledgeGraphTask
from graphkit.errors import UserError
from graphkit.models import NBFNet
from graphkit.models.relation_names import relation_name, relation_number

FACTS = [("ann", "knows", "bob"), ("bob", "knows", "cid"), ("cid", "likes", "dora"), ("dora", "knows", "ann")]


@pytest.fixture(scope="module")
def task():
    return KnowledgeGraphTask.from_names("people", FACTS, [("ann", "likes", "cid")], [("bob", "likes", "dora")])


@pytest.fixture(scope="module")
def model(task):
    torch.manual_seed(0)
    return NBFNet.for_task(task, hidden_channels=8, num_layers=2).eval()


def by_hand(model, task, head, relation, known):
    with torch.no_grad():
        scores = model.score_queries(task.graph("test"), torch.tensor([head]), torch.tensor([relation]))[0].tolist()
    pairs = [(name, score) for name, score in zip(task.entities, scores, strict=True) if name not in known]
    return sorted(pairs, key=lambda pair: -pair[1])


def same(found, wanted):
    assert [name for name, _ in found] == [name for name, _ in wanted]
    assert [score for _, score in found] == pytest.approx([score for _, score in wanted], abs=1e-5)


def test_tails_and_heads(model, task):
    ann, knows, likes = task.entity_id("ann"), task.relation_id("knows"), task.relation_id("likes")
    same(model.top_tails(task, "ann", "knows"), by_hand(model, task, ann, knows, {"bob"}))
    same(model.top_tails(task, "ann", "knows", filtered=False), by_hand(model, task, ann, knows, ()))
    # facts of all splits are known: (ann, likes, cid) is a valid fact, (bob, likes, dora) a test fact
    same(model.top_tails(task, "ann", "likes"), by_hand(model, task, ann, likes, {"cid"}))
    dora = task.entity_id("dora")
    same(model.top_heads(task, "dora", "likes", 2), by_hand(model, task, dora, likes + 2, {"bob", "cid"})[:2])


def test_ids_names_and_inverses_say_the_same(model, task):
    ids = task.entity_id("dora"), task.relation_id("knows")
    assert model.top_tails(task, *ids) == model.top_tails(task, "dora", "knows")
    assert model.top_heads(task, "dora", "knows") == model.top_tails(task, "dora", "knows^-1")
    assert model.top_tails(task, "dora", "knows") == model.top_heads(task, "dora", "knows^-1")


def test_many_queries_are_answered_in_their_order(model, task):
    queries = [("ann", "knows", None), (None, "likes", "dora"), ("bob", "likes", None), ("ann", "knows", None)]
    found = model.answer_queries(task, queries, k=3, batch_size=2)
    assert found[0] == found[3]
    same(found[0], model.top_tails(task, "ann", "knows", k=3))
    same(found[1], model.top_heads(task, "dora", "likes", k=3))
    same(found[2], model.top_tails(task, "bob", "likes", k=3))
    assert model.answer_queries(task, []) == []


def test_fewer_candidates_than_k(model, task):
    assert len(model.top_tails(task, "ann", "knows", k=100)) == 3
    assert len(model.top_tails(task, "ann", "knows", k=100, filtered=False)) == 4


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (("anne", "knows", None), "unknown entity 'anne'; did you mean 'ann'"),
        (("ann", "konws", None), "unknown relation 'konws'; did you mean 'knows'"),
        (("ann", "konws^-1", None), "unknown relation 'konws'; did you mean 'knows'"),
        ((4, "knows", None), "entity id 4 is out of range"),
        (("ann", 2, None), "relation id 2 is out of range"),
        (("ann", "knows", "bob"), "is no query"),
        ((None, "knows", None), "is no query"),
        (("ann", None, None), "is no query"),
        (("ann", "knows"), "is no query"),
    ],
)
def test_bad_queries_are_named(model, task, query, message):
    with pytest.raises(UserError, match=message):
        model.answer_queries(task, [query])


def test_an_unknown_split_is_named(model, task):
    with pytest.raises(UserError, match="unknown split 'tset'; did you mean 'test'"):
        model.top_tails(task, "ann", "knows", split="tset")


def test_a_relation_whose_name_ends_like_an_inverse():
    task = KnowledgeGraphTask.from_names("odd", [("a", "r", "b"), ("a", "r^-1", "b")], [], [])
    assert [relation_number(task, name) for name in ("r", "r^-1", "r^-1^-1")] == [0, 1, 3]
    assert [relation_name(task, number) for number in range(4)] == ["r", "r^-1", "r^-1", "r^-1^-1"]
