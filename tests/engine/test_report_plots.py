"""Plots: the shares they show, and that they are drawn the same each time."""

import numpy as np
import pytest

from graphkit.engine.plots import rank_shares, ranks_plot, training_plot

pytest.importorskip("matplotlib")


def test_shares_against_a_loop():
    ranks = np.random.default_rng(0).integers(1, 1200, size=500)
    bins = rank_shares(ranks)
    assert [end for end, _ in bins] == [1, 3, 10, 30, 100, 300, 1000, 3000]
    low = 1
    for end, share in bins:
        assert share == pytest.approx(100 * sum(low <= rank <= end for rank in ranks) / 500)
        low = end + 1
    assert sum(share for _, share in bins) == pytest.approx(100)


def test_mean_ranks_between_two_bins_are_not_lost():
    assert rank_shares(np.array([1.5, 3.5, 10.5, 10.5])) == [(1, 25.0), (3, 25.0), (10, 50.0), (30, 0.0)]


def test_no_ranks_at_all():
    assert rank_shares(np.array([], dtype=np.int64)) == [(1, 0.0), (3, 0.0)]


def test_plots_are_the_same_each_time_and_leave_the_settings_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    ranks = {"tail": np.array([1, 2, 50]), "head": np.array([1, 1, 4])}
    first, second = ranks_plot(ranks), ranks_plot(ranks)
    assert first == second
    assert first.png.startswith(b"\x89PNG") and b"<svg" in first.svg and b"<dc:date>" not in first.svg
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("seeds", [1, 2, 30])
def test_training_curves_of_any_number_of_seeds(seeds):
    epochs = [
        {"seed": seed, "epoch": epoch, "loss": 1.0 / epoch, "valid": {"mrr": 0.1 * epoch} if epoch % 2 else None}
        for seed in range(seeds)
        for epoch in range(1, 4)
    ]
    assert training_plot(epochs, {0: 3}, "mrr").png.startswith(b"\x89PNG")


def test_epochs_without_loss_or_validation_are_drawn_as_empty_axes():
    assert training_plot([{"seed": 0, "epoch": 1}], {}, "mrr").svg
