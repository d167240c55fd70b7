"""What an evaluation asks of a model that scores pairs."""

import pytest
import torch
from link_samples import pairs, random_task

from graphkit.data import score_pairs
from graphkit.data.query_batches import in_batches
from graphkit.errors import UserError


class Linear(torch.nn.Module):
    """Scores by node, remembering in which modes."""

    def __init__(self, scores):
        super().__init__()
        self.scores, self.inner, self.modes = scores, torch.nn.Dropout(), []

    def score_pairs(self, graph, pairs, *, batch_size=None, progress=None):
        self.modes.append((self.training, self.inner.training, torch.is_grad_enabled()))
        progress and progress(1, 1)
        return self.scores


def test_the_model_evaluates_and_gets_its_modes_back():
    graph, model, seen = random_task().graph(), Linear(torch.ones(1)), []
    model.train()
    model.inner.eval()
    assert score_pairs(
        model, graph, pairs((0, 1)), progress=lambda done, total: seen.append((done, total))
    ).tolist() == [1]
    assert model.modes == [(False, False, False)] and model.training and not model.inner.training and seen == [(1, 1)]


@pytest.mark.parametrize(
    ("scores", "asked", "options", "message"),
    [
        (torch.ones(3), pairs((0, 1)), {}, r"score_pairs returned \[3\], expected one score a pair, \[1\]"),
        (torch.ones(1, 1), pairs((0, 1)), {}, r"score_pairs returned \[1, 1\]"),
        (torch.tensor([1.0, float("nan")]), pairs((0, 1), (2, 3)), {}, r"NaN for the pair \(2, 3\)"),
        (torch.ones(0), pairs(), {}, "there are no pairs to score"),
        (torch.ones(1), pairs((0, 1)), {"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_bad_scores_are_named(scores, asked, options, message):
    with pytest.raises(UserError, match=message):
        score_pairs(Linear(scores), random_task().graph(), asked, **options)


def test_batches_are_halved_when_memory_runs_out():
    graph, tried, told, results = random_task().graph(), [], [], []

    def run(start, stop):
        tried.append((start, stop))
        if stop - start > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        results.append(torch.arange(start, stop))

    in_batches(None, graph, 7, run, batch_size=5, progress=lambda done, total: told.append((done, total)))
    assert torch.cat(results).tolist() == list(range(7))
    assert tried == [(0, 5), (0, 2), (2, 4), (4, 6), (6, 7)] and told == [(2, 7), (4, 7), (6, 7), (7, 7)]

    def full(start, stop):
        raise MemoryError("full")

    with pytest.raises(UserError, match="not even one query on a graph of 40 nodes and 126 edges fits in memory"):
        in_batches(None, graph, 4, full, batch_size=4)

    def broken(start, stop):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        in_batches(None, graph, 4, broken, batch_size=4)
