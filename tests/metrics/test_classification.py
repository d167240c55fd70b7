"""AUC and AP against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from graphkit import metrics
from graphkit.errors import UserError

SCORES = st.lists(st.integers(0, 5), min_size=1, max_size=8)


@given(SCORES, SCORES)
def test_auc_is_the_chance_to_win_with_ties_half(positive, negative):
    wins = sum((p > n) + (p == n) / 2 for p in positive for n in negative)
    expected = wins / (len(positive) * len(negative))
    assert metrics.auc(positive, negative) == pytest.approx(expected, abs=1e-12)


@given(SCORES, SCORES)
def test_average_precision_is_its_sum_over_thresholds(positive, negative):
    total, recall_before = 0.0, 0.0
    for threshold in sorted({*positive, *negative}, reverse=True):
        hits, alarms = sum(p >= threshold for p in positive), sum(n >= threshold for n in negative)
        recall, precision = hits / len(positive), hits / (hits + alarms)
        total, recall_before = total + (recall - recall_before) * precision, recall
    assert metrics.average_precision(positive, negative) == pytest.approx(total, abs=1e-12)


def test_equal_to_scikit_learn_on_floats_and_unmoved_by_monotone_maps():
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(0.5, 1, 200), rng.normal(0, 1, 300)
    labels, scores = np.repeat([1, 0], [200, 300]), np.concatenate([positive, negative])
    assert metrics.auc(positive, negative) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert metrics.average_precision(positive, negative) == pytest.approx(
        average_precision_score(labels, scores), abs=1e-12
    )
    assert metrics.auc(np.exp(positive), np.exp(negative)) == metrics.auc(positive, negative)


def test_infinities_are_the_ends_of_the_order():
    assert metrics.auc([math.inf, 0.0], [-math.inf, 0.0]) == 0.875
    assert metrics.average_precision([math.inf], [1e300]) == 1.0


@pytest.mark.parametrize("metric", [metrics.auc, metrics.average_precision])
def test_what_has_no_value_is_refused(metric):
    for positive, negative, message in (
        ([], [1.0], "there is no positive score"),
        ([1.0], [], "there is no negative score"),
        ([1.0], [math.nan], "a negative score is NaN"),
    ):
        with pytest.raises(UserError, match=message):
            metric(positive, negative)
