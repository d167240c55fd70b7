"""Hits@K that is zero because scores are level is said to be that; lower scores are not complained of."""

import warnings

import pytest
import torch
from link_samples import random_edges

from graphkit.data import LinkTask
from graphkit.data.saturation import warn_of_saturation
from graphkit.errors import DataWarning


class Level:
    """All pairs have the score 1, but for edges of the task that are better or worse."""

    def __init__(self, better=None):
        self.better = better

    def score_pairs(self, graph, pairs, *, batch_size=None, progress=None):
        scores = torch.ones(pairs.size(1))
        if self.better is not None:
            scores[: len(self.better)] = self.better
        return scores


def task_of(metrics):
    return LinkTask.from_edges("toy", random_edges(), 40, split="70/10/20", metrics=metrics, protocol="pooled")


def test_level_scores_are_told():
    task = task_of(["hits@3", "hits@1", "auc"])
    with pytest.warns(DataWarning, match=r"hits@3, hits@1 is 0 because scores are level") as said:
        found = task.evaluate(Level(), "valid")
    assert found["hits@3"] == 0 and found["auc"] == 0.5 and len(said) == 1


@pytest.mark.parametrize("better", [torch.tensor([2.0]), torch.full((9,), 0.5)])  # one edge above all; all below
def test_nothing_is_said_where_another_reason_decides(better):
    task = task_of(["hits@3", "auc"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = task.evaluate(Level(better), "valid")
    assert found["hits@3"] == (len(better) == 1) / task.valid.size(1)


def test_ranks_among_personal_negatives_share_ties():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_saturation(torch.ones(4), torch.ones(4, 7), ["hits@3"])
        warn_of_saturation(torch.ones(0), torch.ones(7), ["hits@3"])
