"""Categories of relations against nested loops, and the means taken over them."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from kg_samples import TableModel, random_task, task_of, triple_lists

from graphkit.data import relation_cardinalities, relation_categories, relation_metrics
from graphkit.errors import UserError


def defined(triples, relations):
    """Mean tails per (h, r) and heads per (r, t), by the definition."""
    tails, heads = [], []
    for r in range(relations):
        facts = {(h, t) for h, q, t in triples if q == r}
        per_head = [len({t for g, t in facts if g == h}) for h in {h for h, _ in facts}]
        per_tail = [len({h for h, s in facts if s == t}) for t in {t for _, t in facts}]
        tails.append(sum(per_head) / len(per_head) if per_head else math.nan)
        heads.append(sum(per_tail) / len(per_tail) if per_tail else math.nan)
    return tails, heads


@given(triple_lists(entities=5, relations=3, most=40))
@settings(max_examples=100, deadline=None)
def test_against_the_definition(rows):
    triples = torch.tensor(rows + rows[:2], dtype=torch.int64).reshape(-1, 3)  # repeated facts count once
    expected = defined(rows, 3)
    found = relation_cardinalities(triples, 3)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-12)
    names = {(False, False): "1-1", (False, True): "1-N", (True, False): "N-1", (True, True): "N-N"}
    wanted = [
        "unseen" if math.isnan(t) else names[h >= 1.5, t >= 1.5] for t, h in zip(*expected, strict=True)
    ]  # heads stand before the dash
    assert relation_categories(triples, 3) == wanted


def test_one_relation_of_each_category_and_one_on_the_threshold():
    facts = [(0, 0, 1), (2, 0, 3)]
    facts += [(0, 1, t) for t in (1, 2, 3)]
    facts += [(h, 2, 0) for h in (1, 2, 3)]
    facts += [(h, 3, t) for h in (0, 1) for t in (2, 3)]
    facts += [(0, 4, 1), (0, 4, 2), (3, 4, 4)]  # 3 facts of 2 heads: exactly 1.5 tails a head
    categories = relation_categories(torch.tensor(facts), 6)
    assert categories == ["1-1", "1-N", "N-1", "N-N", "1-N", "unseen"]


def test_swapping_heads_and_tails_mirrors_the_categories():
    triples = random_task(3).train
    mirrored = {"1-1": "1-1", "1-N": "N-1", "N-1": "1-N", "N-N": "N-N"}
    swapped = relation_categories(triples[:, [2, 1, 0]], 3)
    assert swapped == [mirrored[name] for name in relation_categories(triples, 3)]


def test_breakdown_against_loops_and_the_whole():
    task = random_task(1, entities=9, relations=4, facts=120)
    result = task.evaluate(TableModel(task), "test", return_ranks=True, ties="mean")
    ranks, found = result["ranks"], task.by_relation(result["ranks"])
    assert json.loads(json.dumps(found)) == found and found["threshold"] == 1.5
    categories = relation_categories(task.train, 4)
    relation = task.test[:, 1].tolist()
    for row in found["relations"]:
        r = task.relations.index(row["relation"])
        rows = [i for i, q in enumerate(relation) if q == r]
        assert row["triples"] == len(rows) and row["category"] == categories[r]
        for side in ("tail", "head"):
            values = [float(ranks[side][i]) for i in rows]
            assert row[side]["mrr"] == pytest.approx(sum(1 / value for value in values) / len(values))
            assert row[side]["hits@3"] == pytest.approx(sum(value <= 3 for value in values) / len(values))
            assert "count" not in row[side]
    counts = [row["triples"] for row in found["relations"]]
    assert counts == sorted(counts, reverse=True)
    for level in ("categories", "relations"):
        total = sum(row["triples"] for row in found[level])
        assert total == len(task.test)
        for side in ("tail", "head"):
            mean = sum(row["triples"] * row[side]["mrr"] for row in found[level]) / total
            assert mean == pytest.approx(result[f"{side}_mrr"])
    assert sum(row["relations"] for row in found["categories"]) == len(found["relations"])


def test_a_test_relation_without_train_facts_is_kept_apart():
    task = task_of([(0, 0, 1)], [], [(0, 1, 1), (1, 0, 0)], entities=2, relations=3)
    found = task.by_relation({"tail": torch.tensor([2, 1]), "head": torch.tensor([1, 1])})
    assert [row["category"] for row in found["categories"]] == ["1-1", "unseen"]
    unseen = next(row for row in found["relations"] if row["category"] == "unseen")
    assert unseen["relation"] == "r1" and unseen["tails_per_head"] is None and unseen["tail"]["mrr"] == 0.5
    assert "r2" not in [row["relation"] for row in found["relations"]]


def test_only_the_train_facts_are_counted():
    # With the test facts the relation would be 1-N.
    task = task_of([(0, 0, 1)], [], [(0, 0, 2), (0, 0, 3)], entities=4)
    ranks = {"tail": torch.tensor([1, 1]), "head": torch.tensor([1, 1])}
    assert task.by_relation(ranks)["relations"][0]["category"] == "1-1"


def test_misuse_is_named():
    facts = torch.tensor([[0, 0, 1]])
    with pytest.raises(UserError, match=r"relation outside of 0 \.\. 0"):
        relation_categories(torch.tensor([[0, 1, 1]]), 1)
    with pytest.raises(UserError, match=r"expected int64 \[n, 3\]"):
        relation_categories(facts.float(), 1)
    with pytest.raises(UserError, match="1 triples and 2 head ranks"):
        relation_metrics(facts, facts, {"tail": torch.ones(1), "head": torch.ones(2)}, ["r"])
    with pytest.raises(UserError, match="1 triples and no tail ranks"):
        relation_metrics(facts, facts, {"head": torch.ones(1)}, ["r"])
