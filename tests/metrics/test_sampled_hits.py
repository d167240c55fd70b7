"""Hits@k(n) against its definition: draw the negatives and count."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from graphkit.errors import UserError
from graphkit.metrics import hits, sampled_hits


def test_worked_by_hand():
    # p = 1/2, two draws, a hit where fewer than one is above: (1/2)^2
    assert sampled_hits([2], [2], k=1, n=2) == pytest.approx(0.25)
    # fewer than two of three: (1/2)^3 + 3 (1/2)^3
    assert sampled_hits([2], [2], k=2, n=3) == pytest.approx(0.5)
    # p = 0.2, the case where 50 and 49 negatives are told apart
    assert sampled_hits([21], [100]) == pytest.approx(0.444, abs=5e-4)
    assert sampled_hits([21], [100], n=49) == pytest.approx(0.472, abs=5e-4)


@settings(max_examples=60, deadline=None)
@given(total=st.integers(1, 20000), share=st.floats(0, 1), k=st.integers(1, 20), more=st.integers(0, 200))
def test_closed_forms_equal_scipy(total, share, k, more):
    above, n = round(share * total), k + more
    expected = stats.binom.cdf(k - 1, n, above / total)
    assert sampled_hits([above + 1], [total], k, n) == pytest.approx(expected, abs=1e-11)
    drawn = min(n, total)
    expected = stats.hypergeom.cdf(k - 1, total, above, drawn)
    assert sampled_hits([above + 1], total, k, n, replacement=False) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("replacement", [True, False])
def test_equals_sampling_within_three_sigma(replacement):
    generator = np.random.default_rng(0)
    total = generator.integers(60, 3000, size=40)
    ranks = 1 + (generator.random(40) ** 2 * total).astype(int)
    draws = 4000
    estimate, variance = [], []
    for rank, size in zip(ranks, total, strict=True):
        # Negatives 0 .. rank - 2 are the ones above; they are really drawn, 50 at a time.
        if replacement:
            drawn = generator.integers(size, size=(draws, 50))
        else:
            drawn = np.stack([generator.choice(size, 50, replace=False) for _ in range(draws)])
        hit = (drawn < rank - 1).sum(1) < 10
        estimate.append(hit.mean())
        variance.append(hit.var() / draws)
    sigma = math.sqrt(sum(variance)) / len(ranks)
    value = sampled_hits(torch.from_numpy(ranks), torch.from_numpy(total), replacement=replacement)
    assert 0 < sigma < 0.01
    assert abs(value - np.mean(estimate)) < 3 * sigma


def test_with_all_negatives_drawn_it_is_the_exact_metric():
    generator = torch.Generator().manual_seed(0)
    total = torch.randint(5, 60, (200,), generator=generator)
    ranks = 1 + (torch.rand(200, generator=generator) * (total + 1)).long()
    for k in (1, 3, 10):
        exact = hits(ranks, k)
        assert 0 < exact < 1
        for n in (60, 1000):
            assert sampled_hits(ranks, total, k, n, replacement=False) == pytest.approx(exact, abs=1e-12)
        # and fewer draws are easier
        assert sampled_hits(ranks, total, k, 10, replacement=False) > exact


def test_the_two_forms_meet_where_drawing_twice_is_rare():
    gaps = [
        abs(sampled_hits([1 + size // 5], [size]) - sampled_hits([1 + size // 5], [size], replacement=False))
        for size in (100, 1000, 10_000, 100_000)
    ]
    assert all(later < earlier / 5 for earlier, later in itertools.pairwise(gaps))
    assert gaps[-1] < 1e-4


def test_bounds():
    assert sampled_hits([1], [500]) == 1
    assert sampled_hits([501], [500]) == 0
    assert sampled_hits([1], [0]) == 1  # all candidates are known answers: nothing to lose against
    assert sampled_hits([1, 501], 500) == pytest.approx(0.5)
    values = [sampled_hits([rank], [500]) for rank in range(1, 502)]
    assert all(first >= second for first, second in itertools.pairwise(values))
    assert sampled_hits([2.5], [500]) == pytest.approx(float(stats.binom.cdf(9, 50, 1.5 / 500)))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([], []), {}, "there are no ranks"),
        (([0], [5]), {}, "from 1 upwards"),
        (([7], [5]), {}, "rank 7 in row 0 is impossible among 5 negatives"),
        (([1, 2], [5, 5, 5]), {}, "2 ranks and 3 numbers of negatives"),
        (([1], [5]), {"k": 0}, "k is 0"),
        (([1], [5]), {"n": 9}, "n is 9, expected a whole number of negatives, at least k = 10"),
        (([1], [5]), {"n": True}, "n is True"),
        (([1.5], [5]), {"replacement": False}, "must be whole numbers"),
        (([1], [float("nan")]), {}, "impossible among nan"),
    ],
)
def test_refusals(arguments, options, message):
    with pytest.raises(UserError, match=message):
        sampled_hits(*arguments, **options)
