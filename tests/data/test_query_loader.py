"""Training batches: order, strict negatives, resuming."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kg_samples import random_task, task_of, triple_lists
from scipy.stats import chisquare

from graphkit.data import MessageGraph, QueryBatch, corrupt
from graphkit.data.random_streams import permutation, uniform_below
from graphkit.errors import UserError


def batches(loader):
    return [batch.triples for batch in loader]


def same(first, second):
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@settings(max_examples=40, deadline=None)
@given(triple_lists(6, 2, least=1, most=20), st.integers(0, 2**70), st.integers(1, 7))
def test_strict_negatives_are_never_train_facts(train, seed, batch_size):
    task = task_of(train, entities=7, relations=2)
    known = set(train)
    for batch in task.loader(batch_size=batch_size, num_negatives=9, seed=seed):
        size = batch.triples.size(0)
        for row, (positive, *negatives) in enumerate(batch.triples.tolist()):
            assert tuple(positive) in known
            for negative in negatives:
                assert tuple(negative) not in known
                # The first half has other tails, the second other heads; the rest of the triple stays.
                kept = (0, 1) if row < size // 2 else (1, 2)
                assert [negative[i] for i in kept] == [positive[i] for i in kept]
                assert 0 <= negative[0] < 7 and 0 <= negative[2] < 7


def test_a_pass_visits_every_triple_once():
    task = random_task()
    seen = torch.cat([triples[:, 0] for triples in batches(task.loader(batch_size=7))])
    assert sorted(seen.tolist()) == sorted(task.train.tolist())
    assert seen.tolist() != task.train.tolist()


@pytest.mark.parametrize("side", ["tail", "head"])
def test_strict_negatives_are_uniform(side):
    # Entities 2, 3, 7 complete the query, the other seven must come equally often.
    known = [2, 3, 7]
    facts = [(0, 0, e) if side == "tail" else (e, 0, 0) for e in known]
    task = task_of(facts, entities=10)
    column = 2 if side == "tail" else 0
    drawn = []
    for epoch in range(40):
        for batch in task.loader(batch_size=3, num_negatives=200, epoch=epoch):
            rows = batch.triples[:1] if side == "tail" else batch.triples[1:]
            drawn.append(rows[:, 1:, column].reshape(-1))
    count = torch.cat(drawn).bincount(minlength=10)
    assert count[known].sum() == 0
    others = count[[e for e in range(10) if e not in known]]
    assert chisquare(others.numpy()).pvalue > 1e-4


def test_negatives_that_are_not_strict_cover_all_entities():
    task = task_of([(0, 0, 1)], entities=4)
    drawn = torch.cat([triples.reshape(-1, 3) for triples in batches(task.loader(num_negatives=300, strict=False))])
    assert drawn[:, 0].unique().tolist() == [0, 1, 2, 3]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9), st.integers(0, 3), st.integers(0, 5))
def test_a_loader_that_starts_in_the_middle_goes_on_exactly(start, epoch, seed):
    task = random_task()
    options = {"batch_size": 7, "num_negatives": 5, "epoch": epoch, "seed": seed}
    whole = batches(task.loader(**options))
    loader = task.loader(**options, start=start)
    assert len(loader) == len(whole) - start
    assert same(batches(loader), whole[start:])
    assert same(batches(loader), whole[start:])  # a second pass over the same loader


def test_global_random_state_has_no_part():
    task = random_task()
    torch.manual_seed(1)
    first = batches(task.loader())
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert same(batches(task.loader()), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_epochs_and_steps_differ():
    task = random_task()
    plain = task.loader(batch_size=30)
    for other in (task.loader(batch_size=30, seed=1), task.loader(batch_size=30, epoch=1)):
        assert not same(batches(plain), batches(other))
    draw = [uniform_below(torch.full((4,), 2**40), 4, seed=0, epoch=0, step=step) for step in (0, 1)]
    assert not torch.isin(draw[0], draw[1]).any()
    assert not torch.equal(permutation(50, seed=0, epoch=0), permutation(50, seed=0, epoch=1))


def test_draws_are_the_same_on_every_machine_and_version():
    assert permutation(8, seed=3, epoch=1).tolist() == [7, 3, 5, 6, 4, 0, 2, 1]
    assert uniform_below(torch.tensor([10, 1000]), 3, seed=3, epoch=1, step=2).tolist() == [[4, 8, 0], [651, 467, 647]]


def test_steps_limit_a_pass():
    task = random_task()
    whole = batches(task.loader(batch_size=7))
    assert same(batches(task.loader(batch_size=7, steps=3)), whole[:3])
    assert same(batches(task.loader(batch_size=7, steps=3, start=2)), whole[2:3])
    assert len(task.loader(batch_size=7, steps=1000)) == len(whole) == len(task.loader(batch_size=7))


def test_negatives_of_an_evaluation_split_avoid_all_known_facts():
    task = random_task()
    known = {tuple(fact) for fact in task.facts("valid").tolist()}
    negatives = torch.cat([triples[:, 1:].reshape(-1, 3) for triples in batches(task.loader("valid"))])
    assert not known & {tuple(negative) for negative in negatives.tolist()}


def test_a_query_that_every_entity_completes_is_refused():
    task = task_of([(0, 0, e) for e in range(3)], entities=3)
    with pytest.raises(UserError, match=r"every entity is a known tail of the query \(0, 0, \?\).*strict=False"):
        batches(task.loader(batch_size=3))
    assert len(batches(task.loader(batch_size=3, strict=False))) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"num_negatives": 0}, "num_negatives is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"start": -1}, "start is -1"),
        ({"start": 100}, "the pass has 2 steps"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
    ],
)
def test_wrong_sizes_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        random_task().loader(**{"batch_size": 30, **options})


def test_an_empty_or_unknown_split_is_refused():
    task = task_of([(0, 0, 1)], entities=3)
    with pytest.raises(UserError, match="no triples"):
        task.loader("valid")
    with pytest.raises(UserError, match="did you mean 'valid'"):
        task.loader("valdi")


def test_tail_form_asks_every_row_for_a_tail():
    facts = torch.tensor([[0, 1, 2], [3, 0, 1], [2, 2, 0], [1, 1, 3], [4, 0, 4]])
    graph = MessageGraph.from_triples(facts, 5, 3)
    batch = QueryBatch(graph, corrupt(facts, None, 5, 6, seed=0, epoch=0, step=0))
    sources, relations, targets = batch.tail_form()
    for row, triples in enumerate(batch.triples.tolist()):
        for column, (head, relation, tail) in enumerate(triples):
            asked = (head, relation, tail) if row < 2 else (tail, relation + 3, head)
            assert (sources[row], relations[row], targets[row, column]) == asked
