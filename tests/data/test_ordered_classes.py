"""Ordered classes: class error and rank correlation beside accuracy, from the task's own score, which no model sees."""

from itertools import pairwise

import pytest
import torch
from scipy.stats import spearmanr
from torch_geometric.data import Data

import graphkit as gk
from graphkit.data import FewShotSplit, NodeTask
from graphkit.datasets import build_city
from graphkit.errors import UserError
from graphkit.metrics import LOWER_IS_BETTER, goodness, mean_absolute_error, spearman


class Says:
    """Predicts the given classes."""

    def __init__(self, classes, out):
        self.scores = torch.nn.functional.one_hot(torch.tensor(classes), out).float()

    def score_nodes(self, data, nodes):
        assert "score" not in data and "ecc" not in data
        return self.scores[nodes]


def task(y=(0, 1, 2, 3, 0, 1, 2, 3), **options):
    y = torch.tensor(y)
    data = Data(x=torch.eye(len(y)), edge_index=torch.tensor([[0, 1], [1, 0]]), y=y)
    train, test = torch.arange(len(y)) < 2, torch.arange(len(y)) >= 2
    return NodeTask("toy", data, train=train, valid=torch.tensor([]), test=test, **options)


SCORE = torch.tensor([1.0, 12.0, 25.0, 39.0, 5.0, 14.0, 21.0, 31.0])
SAID = [0, 1, 2, 2, 1, 1, 3, 0]


def test_a_near_miss_counts_less_than_a_far_one():
    found = task(ordered=True, score=SCORE).evaluate(Says(SAID, 4), "test")
    # of the true classes 2 3 0 1 2 3 the model says 2 2 1 1 3 0
    assert found["class_mae"] == pytest.approx((0 + 1 + 1 + 0 + 1 + 3) / 6)
    assert found["accuracy"] == pytest.approx(2 / 6) and found["count"] == 6
    assert found["spearman"] == pytest.approx(spearmanr(SAID[2:], SCORE[2:]).statistic)


def test_without_a_score_the_classes_are_ranked():
    found = task(ordered=True).evaluate(Says(SAID, 4), "test")
    assert found["spearman"] == pytest.approx(spearmanr(SAID[2:], [2, 3, 0, 1, 2, 3]).statistic)
    assert task(ordered=True).evaluate(Says([2] * 8, 4), "test")["spearman"] == 0.0


def test_classes_without_an_order_have_neither():
    plain = task()
    assert set(plain.evaluate(Says(SAID, 4), "test")) == {"accuracy", "macro_f1", "count"}
    assert plain.selectable == ("accuracy", "macro_f1") and not plain.ordered
    with pytest.raises(UserError, match="class_mae"):
        task(primary_metric="class_mae")


def test_either_selects_an_epoch():
    ordered = task(ordered=True, score=SCORE, primary_metric="class_mae")
    assert ordered.selectable == ("accuracy", "macro_f1", "class_mae", "spearman")
    assert "class_mae" in LOWER_IS_BETTER and goodness("class_mae", 0.2) > goodness("class_mae", 0.3)
    assert goodness("spearman", 0.3) > goodness("spearman", 0.2)


def test_cities_have_ordered_classes_and_their_score_stays_hidden():
    city = build_city("synthetic:grid:150:1")
    for found in (city.task(), gk.load("city/sample")):
        assert found.ordered and found.score is not None and "ecc" not in found.graph()
        by_class = [found.score[found.y == k] for k in range(found.out_channels)]
        assert all(a.max() <= b.min() for a, b in pairwise(by_class))
    few = FewShotSplit(k=2, seed=0).of(city.task())
    assert few.ordered and torch.equal(few.score, city.ecc)


def test_rank_correlation_is_scipys_and_says_what_is_wrong():
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randint(5, (50,), generator=draw), torch.rand(50, generator=draw)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert spearman([1, 2, 3], [10, 20, 30]) == pytest.approx(1) == -spearman([1, 2, 3], [3, 2, 1])
    assert mean_absolute_error([0, 3], [1, 1]) == 1.5
    for pair, message in (
        (([1], [1]), "n at least 2"),
        (([1, 2], [1, 2, 3]), "expected"),
        (([1, float("nan")], [1, 2]), "NaN"),
    ):
        with pytest.raises(UserError, match=message):
            spearman(*pair)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": SCORE}, "toy: a score orders the classes; pass ordered=True"),
        ({"ordered": True, "score": SCORE[:3]}, r"toy: score is \[3\], expected a number for each of 8 nodes"),
        ({"ordered": True, "score": torch.full((8,), torch.nan)}, "toy: node 0 of a split has no score"),
        ({"ordered": True, "score": [1.0]}, "toy: score is list"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(UserError, match=message):
        task(**options)


def test_several_labels_have_no_order():
    data = Data(x=torch.eye(3), edge_index=torch.tensor([[0], [1]]), y=torch.tensor([[0.0, 1], [1, 0], [1, 1]]))
    with pytest.raises(UserError, match="several labels; only classes can be ordered"):
        NodeTask("toy", data, train=torch.tensor([0]), valid=torch.tensor([]), test=torch.tensor([]), ordered=True)
