"""Ranks and their means, against nested loops and values worked out by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit import metrics
from graphkit.errors import UserError

# Few distinct values, so ties are common.
LEVEL = st.integers(-2, 2).map(float)


def defined_rank(positive, negatives, ties):
    greater = sum(score > positive for score in negatives)
    equal = sum(score == positive for score in negatives)
    return {"pessimistic": 1 + greater + equal, "optimistic": 1 + greater, "mean": 1 + greater + equal / 2}[ties]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(metrics.TIES), st.integers(1, 4), st.integers(0, 6))
def test_ranks_follow_the_definition(data, ties, rows, width):
    positive = data.draw(st.lists(LEVEL, min_size=rows, max_size=rows))
    negative = [data.draw(st.lists(LEVEL, min_size=width, max_size=width)) for _ in range(rows)]
    mask = [data.draw(st.lists(st.booleans(), min_size=width, max_size=width)) for _ in range(rows)]
    scores = torch.tensor(negative).reshape(rows, width)
    counts = torch.tensor(mask, dtype=torch.bool).reshape(rows, width)
    found = metrics.ranks(torch.tensor(positive), scores, mask=counts, ties=ties)
    expected = [
        defined_rank(p, [n for n, counted in zip(row, keep, strict=True) if counted], ties)
        for p, row, keep in zip(positive, negative, mask, strict=True)
    ]
    assert found.tolist() == expected
    assert found.dtype == (torch.float64 if ties == "mean" else torch.int64)


def test_means_by_hand():
    ranks = torch.tensor([1, 2, 4, 20])
    assert metrics.mean_rank(ranks) == 27 / 4
    assert metrics.reciprocal_rank(ranks) == (1 + 0.5 + 0.25 + 0.05) / 4
    assert [metrics.hits(ranks, k) for k in (1, 3, 10, 20)] == [0.25, 0.5, 0.75, 1.0]
    assert metrics.ranking_metrics(ranks) == {
        "mr": 6.75,
        "mrr": 0.45,
        "hits@1": 0.25,
        "hits@3": 0.5,
        "hits@10": 0.75,
        "count": 4.0,
    }
    assert all(type(value) is float for value in metrics.ranking_metrics(ranks).values())


def test_means_take_lists_and_half_ranks():
    assert metrics.mean_rank([1, 2.5]) == 1.75
    assert metrics.hits([1.5, 3.0], 1) == 0.0


def test_constant_scores_rank_last_first_and_in_the_middle():
    positive, negative = torch.zeros(1), torch.zeros(1, 8)
    assert [metrics.ranks(positive, negative, ties=ties).item() for ties in metrics.TIES] == [9, 1, 5.0]


def test_infinite_scores_have_ranks():
    negative = torch.tensor([[math.inf, -math.inf, 0.0]])
    assert metrics.ranks(torch.tensor([-math.inf]), negative).tolist() == [4]
    assert metrics.ranks(torch.tensor([math.inf]), negative).tolist() == [2]


def test_pooled_hits_is_strict():
    negative = torch.tensor([5.0, 4.0, 3.0, 2.0])
    positive = torch.tensor([6.0, 4.0, 3.5, 1.0])
    assert metrics.pooled_hits(positive, negative, 1) == 0.25
    assert metrics.pooled_hits(positive, negative, 2) == 0.25  # 4.0 does not exceed the second best
    assert metrics.pooled_hits(positive, negative, 3) == 0.75
    assert metrics.pooled_hits(positive, negative.reshape(2, 2), 3) == 0.75
    with pytest.raises(UserError, match="needs at least 5"):
        metrics.pooled_hits(positive, negative, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.ranks(torch.tensor([math.nan]), torch.zeros(1, 2)), "positive score in row 0 is NaN"),
        (lambda: metrics.ranks(torch.zeros(2), torch.tensor([[0.0], [math.nan]])), "negative score in row 1 is NaN"),
        (lambda: metrics.ranks(torch.zeros(2), torch.zeros(3, 1)), r"expected \[P\] and \[P, K\]"),
        (lambda: metrics.ranks(torch.zeros(1), torch.zeros(1, 2), mask=torch.ones(1, 2)), "expected bool"),
        (lambda: metrics.ranks(torch.zeros(1), torch.zeros(1, 2), ties="pesimistic"), "did you mean 'pessimistic'"),
        (lambda: metrics.mean_rank(torch.tensor([])), "no ranks"),
        (lambda: metrics.mean_rank([0, 1]), "from 1 upwards"),
        (lambda: metrics.hits([1], 0), "k is 0"),
        (lambda: metrics.hits([1], 1.5), "k is 1.5"),
        (lambda: metrics.pooled_hits(torch.tensor([]), torch.zeros(3), 1), "no positive"),
        (lambda: metrics.pooled_hits(torch.zeros(1), torch.tensor([math.nan]), 1), "NaN"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_nan_among_negatives_that_do_not_count_is_no_mistake():
    mask = torch.tensor([[True, False]])
    assert metrics.ranks(torch.zeros(1), torch.tensor([[1.0, math.nan]]), mask=mask).tolist() == [2]
