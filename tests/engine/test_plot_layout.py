"""What a reader sees of a plot: legends beside the data, whole epochs, figures that stand out from their cells."""

import numpy as np
import pytest
import torch

from graphkit.analysis import Group, LowPerformers, Shift
from graphkit.engine import concentration_plots, plots, routing_plots

pytest.importorskip("matplotlib")


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn from here on, laid out."""
    made, drawn = [], plots.drawn

    def kept(figure):
        made.append(figure)
        return drawn(figure)

    for module in (plots, concentration_plots, routing_plots):
        monkeypatch.setattr(module, "drawn", kept)
    return made


def test_an_axis_of_epochs_has_whole_numbers_where_validation_came_once(figures):
    epochs = [{"seed": 0, "epoch": e, "loss": 1.0 / e, "valid": {"mrr": 0.4} if e == 3 else None} for e in (1, 2, 3)]
    plots.training_plot(epochs, {(0, None): 3}, "mrr")
    plots.training_plot(epochs[:1], {}, "mrr")
    routing_plots.usage_plot([4], [[0.5, 0.5]])
    for figure in figures:
        for axes in figure.axes:
            ticks = axes.get_xticks()
            assert len(ticks) and np.array_equal(ticks, np.round(ticks)), ticks
    losses, scores = figures[0].axes
    assert losses.get_xlim() == scores.get_xlim()


def test_legends_stand_beside_the_data(figures):
    low_ranks = np.full(50, 200)  # the highest bar is at the right
    plots.ranks_plot({"tail": low_ranks, "head": low_ranks})
    concentration_plots.distribution_plot({split: np.linspace(0.9, 1.0, 40) for split in ("train", "valid", "test")})
    groups = {name: [Group(0.0, 0.1, 12, 0.4, 0.05)] * 3 for name in ("concentration", "degree")}
    low = [LowPerformers(share, 0.0, 0.01) for share in (0.1, 0.2, 1.0)]
    concentration_plots.quality_plot(groups, low, "recall@20")
    assert len(figures) == 3
    for figure in figures:
        (legend,) = figure.legends
        box = legend.get_window_extent()
        for axes in figure.axes:
            assert axes.get_legend() is None
            assert not box.overlaps(axes.get_window_extent())


def test_the_bars_and_lines_of_a_shift_end_below_its_legend(figures):
    left = torch.full((30,), -0.4)
    concentration_plots.shift_plot([Shift("train", "test", left, -0.4, 0.01, -0.35, 0.01)])
    (axes,) = figures[0].axes
    legend = axes.get_legend().get_window_extent()
    bars = axes.transData.transform((0, 100))[1]
    lines = [line.get_window_extent().ymax for line in axes.lines]
    assert bars < legend.ymin and max(lines) < legend.ymin
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["mean \u22120.400", "random \u22120.350"]


def luminance(colour):
    from matplotlib.colors import to_rgb

    levels = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    return 0.2126 * levels[0] + 0.7152 * levels[1] + 0.0722 * levels[2]


def test_figures_stand_out_from_their_cells(figures):
    values = np.linspace(0, 1, 12)
    routing_plots.gate_plot(["cora"], [values])
    cosines = np.linspace(-1, 1, 144).reshape(12, 12)
    routing_plots.prompt_plot(cosines)
    for figure, shown in zip(figures, (values, cosines.ravel()), strict=True):
        axes = figure.axes[0]
        (image,) = axes.images
        assert len(axes.texts) == len(shown)
        for text, value in zip(axes.texts, shown, strict=True):
            bright, dark = sorted((luminance(image.to_rgba(value)[:3]), luminance(text.get_color())), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) > 3.9, value
    assert "-" not in "".join(text.get_text() for text in figures[1].axes[0].texts)
