"""Metrics of link prediction against their definitions and OGB's evaluators, on scores with many ties."""

import numpy as np
import pytest
import torch

from graphkit.errors import UserError
from graphkit.metrics import check_link_metrics, link_metrics, link_ties, pooled_ranks


def tied_scores(positives=40, negatives=120, levels=6, seed=0, personal=None):
    generator = torch.Generator().manual_seed(seed)
    shape = (negatives,) if personal is None else (positives, personal)
    draw = [torch.randint(levels, size, generator=generator).float() for size in ((positives,), shape)]
    return draw[0] + 1, draw[1]


def defined_rank(positive, negatives):
    """OGB's rank of one positive, spelt out."""
    better = sum(bool(n > positive) for n in negatives)
    as_good = sum(bool(n >= positive) for n in negatives)
    return 0.5 * (better + as_good) + 1


@pytest.mark.parametrize("seed", range(3))
def test_pooled_metrics_are_their_definitions(seed):
    positive, negative = tied_scores(seed=seed)
    found = link_metrics(positive, negative, ["mrr", "hits@1", "hits@20", "hits@100"])
    ranks = [defined_rank(p, negative) for p in positive]
    assert pooled_ranks(positive, negative).tolist() == ranks
    assert found["mrr"] == pytest.approx(np.mean([1 / rank for rank in ranks]), abs=1e-12)
    for k in (1, 20, 100):
        threshold = sorted(negative.tolist(), reverse=True)[k - 1]
        assert found[f"hits@{k}"] == np.mean([p > threshold for p in positive.tolist()])


@pytest.mark.parametrize("seed", range(3))
def test_personal_metrics_are_their_definitions(seed):
    positive, negative = tied_scores(seed=seed, personal=30)
    found = link_metrics(positive, negative, ["mrr", "hits@1", "hits@10"])
    ranks = [defined_rank(p, row) for p, row in zip(positive, negative, strict=True)]
    assert found["mrr"] == pytest.approx(np.mean([1 / rank for rank in ranks]), abs=1e-12)
    assert found["hits@10"] == np.mean([rank <= 10 for rank in ranks])


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_ogbs_evaluators(seed):
    evaluate = pytest.importorskip("ogb.linkproppred").Evaluator
    positive, negative = tied_scores(seed=seed)
    for name, k in (("ogbl-ddi", 20), ("ogbl-collab", 50), ("ogbl-ppa", 100)):
        theirs = evaluate(name).eval({"y_pred_pos": positive, "y_pred_neg": negative})[f"hits@{k}"]
        assert link_metrics(positive, negative, [f"hits@{k}"])[f"hits@{k}"] == pytest.approx(theirs, abs=1e-12)
    positive, negative = tied_scores(seed=seed, personal=50)
    theirs = evaluate("ogbl-citation2").eval({"y_pred_pos": positive, "y_pred_neg": negative})
    ours = link_metrics(positive, negative, ["mrr", "hits@1", "hits@3", "hits@10"])
    assert ours["mrr"] == pytest.approx(float(theirs["mrr_list"].mean()), abs=1e-6)
    for k in (1, 3, 10):
        assert ours[f"hits@{k}"] == pytest.approx(float(theirs[f"hits@{k}_list"].mean()), abs=1e-6)


def test_constant_scores_earn_nothing_that_ties_could_give():
    positive, negative = torch.ones(5), torch.ones(200)
    found = link_metrics(positive, negative, ["hits@100", "mrr", "auc"])
    assert found == {"hits@100": 0.0, "mrr": pytest.approx(1 / 101), "auc": 0.5}
    assert link_metrics(positive, torch.ones(5, 200), ["hits@100", "mrr"]) == {
        "hits@100": 0.0,
        "mrr": pytest.approx(1 / 101),
    }


def test_scores_of_different_types_and_infinities():
    positive = torch.tensor([torch.inf, 0.0], dtype=torch.float64)
    assert pooled_ranks(positive, torch.tensor([0.0, -torch.inf])).tolist() == [1.0, 1.5]
    assert pooled_ranks(positive, torch.tensor([[0.0], [1.0]]), ties="pessimistic").tolist() == [1, 3]


def test_tie_rules_are_told():
    assert set(link_ties(["hits@20", "hits@50", "mrr", "auc", "ap"])) == {"hits@K", "mrr", "auc", "ap"}
    assert link_ties(["hits@20"])["hits@K"].startswith("strict")
    assert link_ties(["hits@20", "mrr"], personal=True)["hits@K"].startswith("mean")


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["hits@100"], {"negatives": 99}, "hits@100 needs at least 100 negatives, there are 99"),
        (
            ["hits@11"],
            {"negatives": 10, "personal": True},
            "hits@11 needs at least 11 negatives of each edge, there are 10",
        ),
        (["auc"], {"personal": True}, "auc pools all negatives, but here each edge has negatives of its own"),
        (["hits@0"], {}, "unknown metric of link prediction 'hits@0'; did you mean 'hits@K'"),
        (["mr"], {}, "unknown metric of link prediction 'mr'; did you mean 'mrr'"),
        ([], {}, "expected a list of at least one name"),
        ("mrr", {}, "expected a list of at least one name"),
    ],
)
def test_metrics_that_are_not_defined_are_refused(names, options, message):
    with pytest.raises(UserError, match=message):
        check_link_metrics(names, **options)


def test_scores_that_do_not_fit_are_refused():
    for positive, negative, message in (
        (torch.ones(3), torch.ones(2, 5), r"3 positives and negatives \[2, 5\]"),
        (torch.ones(3), torch.ones(1, 2, 5), r"negatives \[1, 2, 5\]"),
        (torch.tensor([torch.nan]), torch.ones(5), "a positive score is NaN"),
        (torch.ones(1), torch.tensor([1.0, torch.nan]), "a negative score is NaN"),
        (torch.ones(1), torch.ones(0), "no negative score"),
    ):
        with pytest.raises(UserError, match=message):
            link_metrics(positive, negative, ["mrr"])
    with pytest.raises(UserError, match="hits@50 needs at least 50 negatives, there are 20"):
        link_metrics(torch.ones(3), torch.zeros(20), ["hits@50"])
