"""Pictures of influence: what is drawn, and what cannot be."""

import sys

import pytest
import torch

from graphkit.analysis import InfluenceReport
from graphkit.errors import UserError

pytest.importorskip("matplotlib")
from graphkit.analysis.influence_plots import plot_depths, plot_influence, plot_receptive_field


def report(*means, nodes=20):
    noise = torch.rand(nodes, len(means), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return InfluenceReport.of(torch.tensor(means, dtype=torch.float64) * (0.5 + noise), torch.arange(nodes))


def test_a_line_and_a_band_for_each_model():
    one, two = report(2, 3, 1), report(1, 1, 1)
    (axis,) = plot_influence({"GCN": one, "SAGE": two}, title="both").axes
    assert [line.get_ydata().tolist() for line in axis.lines] == [one.normalized.tolist(), two.normalized.tolist()]
    assert len(axis.collections) == 2 and axis.get_title() == "both"
    assert axis.get_legend().get_texts()[0].get_text() == f"GCN, R = {one.radius:.2f}"
    (axis,) = plot_influence({"GCN": one}, normalize=False).axes
    assert axis.lines[0].get_ydata().tolist() == one.per_hop.tolist()


def test_far_smaller_values_are_drawn_on_a_logarithmic_axis_without_zeros():
    tail = report(1, 1e-2, 1e-6, 0)
    (axis,) = plot_influence({"GCN": tail}).axes
    assert axis.get_yscale() == "log" and len(axis.lines[0].get_xdata()) == 3
    (axis,) = plot_influence({"GCN": tail}, log=False).axes
    assert axis.get_yscale() == "linear"


def test_receptive_field_against_depth():
    by_depth = {2: report(1, 1, 1), 8: report(1, 1, 1, 3, 5)}
    (axis,) = plot_receptive_field({"GCN": by_depth}).axes
    assert axis.lines[0].get_xdata().tolist() == [2, 8]
    assert axis.lines[0].get_ydata().tolist() == [by_depth[2].radius, by_depth[8].radius]
    one_node = report(1, 1, nodes=1)
    assert plot_receptive_field({"GCN": {2: one_node}}) is not None and plot_influence({"GCN": one_node}) is not None


def test_mistakes_are_named(monkeypatch):
    for draw in (
        lambda: plot_influence({}),
        lambda: plot_receptive_field({}),
        lambda: plot_receptive_field({"GCN": {}}),
    ):
        with pytest.raises(UserError, match="there is no report to draw"):
            draw()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match="pictures need matplotlib"):
        plot_influence({"GCN": report(1, 1)})


def test_results_against_depth():
    runs = {"GCN": {2: [20.0, 24.0], 16: [50.0]}, "SAGE": {4: [30.0, 30.0]}}
    figure = plot_depths({"Accuracy (%)": runs, "R (hops)": {"GCN": {2: [1.0]}}}, title="city")
    left, right = figure.axes
    assert (left.get_ylabel(), right.get_ylabel(), left.get_xlabel()) == ("Accuracy (%)", "R (hops)", "Layers")
    assert left.containers[0].lines[0].get_xydata().tolist() == [[2, 22], [16, 50]]
    (bar, none) = left.containers[0].lines[2][0].get_segments()
    assert bar[1][1] - 22 == pytest.approx(8**0.5) and none[1][1] == 50
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["2", "4", "16"]
    for empty in ({}, {"Accuracy": {}}, {"Accuracy": {"GCN": {}}}, {"Accuracy": {"GCN": {2: []}}}):
        with pytest.raises(UserError, match="no report to draw"):
            plot_depths(empty)
