"""The task itself: ids, names, facts, statistics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kg_samples import random_task, task_of, triple_lists

from graphkit.data import KnowledgeGraphTask
from graphkit.errors import UserError


@settings(max_examples=30, deadline=None)
@given(triple_lists(5, 2, least=1), st.randoms())
def test_ids_do_not_depend_on_the_order_of_lines(triples, random):
    named = [(f"entity {h}", f"relation {r}", f"entity {t}") for h, r, t in triples]
    task = KnowledgeGraphTask.from_names("toy", named, [], [])
    random.shuffle(named)
    again = KnowledgeGraphTask.from_names("toy", named, [], [])
    assert (task.entities, task.relations) == (again.entities, again.relations)
    assert sorted(task.train.tolist()) == sorted(again.train.tolist())
    back = [(again.entities[h], again.relations[r], again.entities[t]) for h, r, t in again.train.tolist()]
    assert back == named


def test_entities_of_all_splits_count():
    task = KnowledgeGraphTask.from_names("toy", [("a", "r", "b")], [("c", "r", "a")], [("a", "s", "d")])
    assert task.statistics() == {"entities": 4, "relations": 2, "train": 1, "valid": 1, "test": 1}
    assert task.valid.tolist() == [[2, 0, 0]] and task.test.tolist() == [[0, 1, 3]]
    assert "entities=4" in repr(task)


def test_facts_of_train_and_of_evaluation():
    task = random_task()
    assert torch.equal(task.facts("train"), task.train)
    assert torch.equal(task.facts("valid"), torch.cat([task.train, task.valid, task.test]))
    assert torch.equal(task.facts("test"), task.facts("valid"))
    with pytest.raises(UserError, match="did you mean 'train'"):
        task.facts("trian")


def test_names_and_ids():
    task = KnowledgeGraphTask.from_names("toy", [("rome", "capital_of", "italy")], [], [])
    assert task.entity_id("rome") == 1 and task.entity_id(1) == 1 and task.entity_id(np.int64(0)) == 0
    assert task.relation_id("capital_of") == 0 and task.relation_id(torch.tensor(0)) == 0
    for call, message in (
        (lambda: task.entity_id("rom"), "unknown entity 'rom'; did you mean 'rome'"),
        (lambda: task.entity_id(2), "entity id 2 is out of range; ids are 0 .. 1"),
        (lambda: task.entity_id(-1), "out of range"),
        (lambda: task.entity_id(1.0), "1.0 is no entity"),
        (lambda: task.relation_id("capitalof"), "did you mean 'capital_of'"),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_wrong_triples_are_refused():
    with pytest.raises(UserError, match=r"train triple 1 of toy is \[0, 1, 0\]"):
        task_of([(0, 0, 0), (0, 1, 0)], entities=1)
    with pytest.raises(UserError, match="int64 tensor"):
        KnowledgeGraphTask("toy", torch.zeros(1, 3), *[torch.zeros(0, 3).long()] * 2, entities=["a"], relations=["r"])
    with pytest.raises(UserError, match="'a' occurs twice"):
        KnowledgeGraphTask("toy", *[torch.zeros(0, 3).long()] * 3, entities=["a", "a"], relations=["r"])
