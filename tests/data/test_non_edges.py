"""Pairs that are no edges: numbered, found and drawn exactly."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphkit.data import NonEdges
from graphkit.data.non_edges import pair_numbers, pairs_of_numbers
from graphkit.errors import UserError


def graph(edges):
    return torch.tensor(list(edges), dtype=torch.int64).reshape(-1, 2).t()


def test_numbers_enumerate_the_pairs():
    pairs = graph((u, v) for v in range(9) for u in range(v))
    assert pair_numbers(pairs).tolist() == list(range(36))
    assert pair_numbers(pairs.flip(0)).tolist() == list(range(36))
    assert torch.equal(pairs_of_numbers(torch.arange(36)), pairs)


def test_numbers_are_exact_where_square_roots_are_not():
    largest = 2**27 - 1
    ends = torch.tensor([2, 3, 1000, 94_906_266, largest - 1, largest])
    low = torch.stack([torch.zeros_like(ends), ends - 1])
    for u in low:
        pairs = torch.stack([u, ends])
        assert torch.equal(pairs_of_numbers(pair_numbers(pairs)), pairs)
    # the last pair of one node and the first pair of the next are neighbours in number
    assert torch.equal(pair_numbers(torch.stack([ends - 1, ends])) + 1, pair_numbers(torch.stack([low[0], ends + 1])))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=30))
def test_every_non_edge_is_found_once(edges):
    gaps = NonEdges.of(graph(edges), 7)
    joined = {frozenset(edge) for edge in edges}
    expected = [(u, v) for v in range(7) for u in range(v) if frozenset((u, v)) not in joined]
    assert len(gaps) == len(expected)
    assert gaps.nth(torch.arange(len(gaps))).t().tolist() == [list(pair) for pair in expected]
    every = graph(itertools.product(range(7), repeat=2))
    found = [u != v and frozenset((u, v)) in joined for u, v in every.t().tolist()]
    assert gaps.is_edge(every).tolist() == found


def test_draws_are_uniform_and_depend_on_their_place_only():
    gaps = NonEdges.of(graph([(0, 1), (2, 1), (3, 4)]), 6)
    drawn = pair_numbers(gaps.draw(24_000, seed=3, epoch=1, step=2))
    values, counts = torch.unique(drawn, return_counts=True)
    assert torch.equal(values, pair_numbers(gaps.nth(torch.arange(12))))
    # twelve cells of 2,000 each: a chi-squared of 11 degrees of freedom is above 31.3 once in a thousand
    assert float(((counts - 2000) ** 2 / 2000).sum()) < 31.3
    again, other = gaps.draw(10, seed=3, epoch=1, step=2), gaps.draw(10, seed=3, epoch=1, step=3)
    assert torch.equal(again, gaps.draw(24_000, seed=3, epoch=1, step=2)[:, :10])
    assert not torch.equal(again, other)


def test_samples_are_different_and_can_take_all():
    gaps = NonEdges.of(graph([(0, 1)]), 9)
    whole = gaps.sample(len(gaps), seed=5, which=1)
    assert sorted(pair_numbers(whole).tolist()) == pair_numbers(gaps.nth(torch.arange(35))).tolist()
    part = gaps.sample(20, seed=5, which=1)
    assert torch.equal(part, gaps.sample(20, seed=5, which=1)) and not torch.equal(
        part, gaps.sample(20, seed=5, which=2)
    )
    assert len(set(pair_numbers(part).tolist())) == 20 and not gaps.is_edge(part).any()


def test_a_sample_shares_no_number_with_training():
    gaps = NonEdges.of(graph([(0, 1)]), 3000)
    fixed = set(pair_numbers(gaps.sample(500, seed=0, which=1)).tolist())
    trained = {n for step in range(3) for n in pair_numbers(gaps.draw(500, seed=0, epoch=0, step=step)).tolist()}
    assert len(fixed & trained) < 5  # 4.5 million pairs: by chance less than one


def test_too_few_non_edges():
    complete = NonEdges.of(graph(itertools.combinations(range(4), 2)), 4)
    with pytest.raises(UserError, match="every pair of the 4 nodes is an edge"):
        complete.draw(1, seed=0, epoch=0, step=0)
    with pytest.raises(UserError, match="3 different negatives were asked for, but only 0 pairs"):
        complete.sample(3, seed=0, which=1)
    assert complete.sample(0, seed=0, which=1).shape == (2, 0)
    with pytest.raises(UserError, match="too many pairs"):
        NonEdges.of(graph([]), 2**28)
    assert not NonEdges.of(graph([]), 3).is_edge(graph([(0, 1)])).any()
