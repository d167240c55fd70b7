"""Logistic regressions against scikit-learn's; folds, scores and the choice of the penalty."""

import math

import networkx as nx
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from graphkit import ops
from graphkit.analysis.label_prediction import LabelScores, label_folds, predict_labels
from graphkit.analysis.logistic_regression import fit_logistic_regressions
from graphkit.analysis.pair_embedding import embed, orbit_pmi, walk_pmi
from graphkit.errors import UserError


def sample(n=120, width=6, labels=4, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, width))
    y = x @ rng.standard_normal((width, labels)) + rng.standard_normal((n, labels)) > 0.5
    return x, y


@pytest.mark.parametrize("c", [0.01, 1.0, 30.0])
def test_each_label_as_in_scikit_learn(c):
    x, y = sample()
    found = fit_logistic_regressions(x, y, c=c, tolerance=1e-8, max_iterations=5000)
    for label in range(y.shape[1]):
        theirs = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(x, y[:, label])
        np.testing.assert_allclose(found.weight[:, label], theirs.coef_[0], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found.bias[label], theirs.intercept_[0], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found.scores(x)[:, label], theirs.decision_function(x), rtol=1e-3, atol=1e-4)


def test_another_beginning_ends_at_the_same_place():
    x, y = sample()
    strong = fit_logistic_regressions(x, y, c=0.01)
    one, other = (fit_logistic_regressions(x, y, start=start, tolerance=1e-7) for start in (None, strong))
    np.testing.assert_allclose(one.weight, other.weight, atol=1e-4)


def test_labels_that_all_or_none_have():
    x, y = sample()
    y[:, 0], y[:, 1] = True, False
    found = fit_logistic_regressions(x, y)
    assert (found.scores(x)[:, 0] > 5).all() and (found.scores(x)[:, 1] < -5).all()
    alone = fit_logistic_regressions(x, y[:, 2:])
    np.testing.assert_allclose(found.weight[:, 2:], alone.weight, atol=1e-3)
    assert not fit_logistic_regressions(x, y[:, :2]).weight.any()


def test_features_far_from_one():
    x, y = sample()
    assert np.isfinite(fit_logistic_regressions(x * 1e4, y, c=10.0).scores(x * 1e4)).all()


def test_folds_are_a_partition_with_every_class_in_its_share():
    y = np.eye(3, dtype=bool)[np.repeat([0, 1, 2], [50, 30, 20])]
    folds = label_folds(y, 10, seed=3)
    assert sorted(np.concatenate(folds).tolist()) == list(range(100))
    assert all(y[fold].sum(0).tolist() == [5, 3, 2] for fold in folds)
    assert all(np.array_equal(a, b) for a, b in zip(folds, label_folds(y, 10, seed=3), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(folds, label_folds(y, 10, seed=4), strict=True))
    several = label_folds(np.ones((23, 2), dtype=bool), 5)
    assert sorted(map(len, several)) == [4, 4, 5, 5, 5]


def test_the_number_of_labels_is_known_and_the_penalty_is_not():
    """The protocol again, written out, with scikit-learn's regression."""
    x, y = sample(n=90)
    x, y = x[y.any(1)], y[y.any(1)]
    found = predict_labels(x, y, folds=3, seed=1, penalties=[0.1])
    for number, fold in enumerate(label_folds(y, 3, 1)):
        rest = np.setdiff1d(np.arange(len(y)), fold)
        scale = np.sqrt(((x[rest] - x[rest].mean(0)) ** 2).mean())
        scores = np.stack([
            LogisticRegression(C=0.1, tol=1e-8).fit((x[rest] - x[rest].mean(0)) / scale, y[rest, k])
            .decision_function((x[fold] - x[rest].mean(0)) / scale) for k in range(y.shape[1])
        ], 1)  # fmt: skip
        predicted = np.zeros_like(y[fold])
        for row, order in enumerate(np.argsort(-scores, 1)):
            predicted[row, order[: y[fold][row].sum()]] = True
        assert found.micro[number] == pytest.approx(f1_score(y[fold], predicted, average="micro"))
        assert found.macro[number] == pytest.approx(f1_score(y[fold], predicted, average="macro"))
    assert found.c == (0.1, 0.1, 0.1)


def test_single_labels_are_accuracy():
    x, _ = sample()
    single = np.eye(4, dtype=bool)[(x @ np.random.default_rng(5).standard_normal((6, 4))).argmax(1)]
    scores = predict_labels(x, single, folds=5)
    assert 0.6 < scores.mean() <= 1 and scores.mean() >= scores.mean("macro") - 0.2
    assert scores.standard_error() == pytest.approx(np.std(scores.micro, ddof=1) / math.sqrt(5))
    assert math.isnan(LabelScores((0.5,), (0.5,), (1.0,)).standard_error())


def test_nodes_without_label_take_no_part():
    x, y = sample()
    y = y & (np.arange(len(y)) % 3 > 0)[:, None]
    kept = y.any(1)
    assert predict_labels(x, y, folds=4) == predict_labels(x[kept], y[kept], folds=4)


def test_noise_predicts_nothing_and_communities_are_found():
    graph = nx.planted_partition_graph(4, 40, 0.25, 0.01, seed=2)
    made, y = ops.from_networkx(graph), np.eye(4, dtype=bool).repeat(40, axis=0)
    noise = predict_labels(np.random.default_rng(0).standard_normal((160, 16)), y)
    assert noise.mean() < 0.45
    for matrix in (orbit_pmi(made, (2, 1, 1)), orbit_pmi(made, (1, 10, 10)), walk_pmi(made, window=3)):
        assert predict_labels(embed(matrix, 16).row, y).mean() > 0.8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: predict_labels(x[:5], y), r"expected \[n, F\] and \[n, L\]"),
        (lambda x, y: predict_labels(x[:5], y[:5], folds=10), "10 folds of"),
        (lambda x, y: predict_labels(x, y, folds=1), "expected 2 or more folds"),
        (lambda x, y: predict_labels(x * np.nan, y), "NaN or infinity"),
        (lambda x, y: fit_logistic_regressions(x, y, c=0), "c is 0"),
        (lambda x, y: fit_logistic_regressions(x, y[:3]), r"expected \[n, F\] and \[n, L\]"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(UserError, match=message):
        call(*sample())
