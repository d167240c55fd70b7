"""Pictures of influence by hop, and of the receptive field and results against depth; needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphkit.analysis.influence_report import InfluenceReport
from graphkit.analysis.orbit_plots import _figure
from graphkit.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_depths", "plot_influence", "plot_receptive_field"]

# Okabe and Ito's palette without its yellow; line and marker tell models apart on paper without colour
_STYLES = (
    ("#0072B2", "-", "o"), ("#D55E00", "--", "s"), ("#009E73", "-.", "^"), ("#CC79A7", ":", "D"), ("#56B4E9", "-", "v"),
    ("#E69F00", "--", "P"), ("#000000", "-.", "X"),
)  # fmt: skip
_BAND = 1.96  # standard errors: 95 % of repeated draws of the nodes


def plot_influence(
    reports: Mapping[str, InfluenceReport], *, title: str = "", log: bool | None = None, normalize: bool = True
) -> Figure:
    """Influence by hop, a line per model, with a band of 95 % over the drawn nodes.

    Args:
        reports: what :func:`graphkit.analysis.influence` gives, by name.
        title: above the picture.
        log: whether the axis is logarithmic; None: where values differ a hundredfold. Zeros are then left out.
        normalize: whether the mean is divided by that of hop 0; else as measured.

    Returns:
        A matplotlib figure, not shown and not kept by pyplot; save it with ``savefig``.

    Raises:
        UserError: no report, matplotlib is not installed.

    Example:
        >>> import torch
        >>> plot_influence({"GCN": InfluenceReport.of(torch.rand(8, 5), torch.arange(8))}).savefig("influence.png")
    """
    _some(reports)
    figure, (axis,) = _figure(1, 1, (5.6, 3.4))
    largest, smallest = 0.0, np.inf
    for (name, report), (colour, line, marker) in zip(reports.items(), _styles(len(reports)), strict=True):
        scale = float(report.per_hop[0]) if normalize and float(report.per_hop[0]) > 0 else 1.0
        mean, error = report.per_hop.numpy() / scale, np.nan_to_num(report.per_hop_error.numpy()) / scale
        hops = np.arange(len(mean))
        above = mean > 0
        largest = max(largest, float(mean.max()))
        smallest = min(smallest, float(mean[above].min())) if above.any() else smallest
        label = f"{name}, R = {report.radius:.2f}"
        axis.plot(hops[above], mean[above], color=colour, linestyle=line, marker=marker, markersize=3.5, label=label)
        low = np.maximum(mean - _BAND * error, mean / 100)
        axis.fill_between(hops[above], low[above], (mean + _BAND * error)[above], color=colour, alpha=0.18, linewidth=0)
    if log if log is not None else largest > 100 * smallest:
        axis.set_yscale("log")
    else:
        axis.set_ylim(bottom=0)
    axis.set(xlabel="Hop", ylabel="Influence, that of hop 0 = 1" if normalize else "Influence")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend()
    if title:
        axis.set_title(title)
    return figure


def plot_receptive_field(reports: Mapping[str, Mapping[int, InfluenceReport]], *, title: str = "") -> Figure:
    """R against the number of layers, a line per model, with bars of 95 % over the drawn nodes; dotted: as far as layers reach.

    Args:
        reports: by name and number of layers.
        title: above the picture.

    Raises:
        UserError: no report, matplotlib is not installed.

    Example:
        >>> import torch
        >>> one = InfluenceReport.of(torch.rand(8, 5), torch.arange(8))
        >>> plot_receptive_field({"GCN": {2: one, 4: one}}).savefig("field.png")
    """
    _some(reports)
    figure, (axis,) = _figure(1, 1, (5.2, 3.4))
    top = 0.0
    for (name, by_depth), (colour, line, marker) in zip(reports.items(), _styles(len(reports)), strict=True):
        _some(by_depth)
        depths = sorted(by_depth)
        radius = np.array([by_depth[depth].radius for depth in depths])
        error = _BAND * np.nan_to_num([by_depth[depth].radius_error for depth in depths])
        style: dict[str, Any] = {"color": colour, "linestyle": line, "marker": marker, "markersize": 4, "capsize": 2.5}
        axis.errorbar(depths, radius, error, label=name, **style)
        top = max(top, float(np.nanmax(radius + error)))
    every = sorted({depth for by_depth in reports.values() for depth in by_depth})
    axis.plot([0, every[-1]], [0, every[-1]], color="#888888", linestyle=":", linewidth=1, label="layers")
    axis.set(xlabel="Layers", ylabel="R (hops)", xticks=every, xlim=(0, every[-1] * 1.05), ylim=(0, 1.15 * top or 1))
    axis.legend()
    if title:
        axis.set_title(title)
    return figure


def plot_depths(panels: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]], *, title: str = "") -> Figure:
    """Results against the number of layers: a panel for each quantity, a line per model, bars of a standard deviation over runs.

    Args:
        panels: by the label of the axis, the name of the model and the number of layers: a value for each training.
        title: above the picture.

    Raises:
        UserError: no panel, model, depth or training; matplotlib is not installed.

    Example:
        >>> runs = {"GCN": {2: [24.0, 25.0], 4: [32.0, 31.0], 8: [45.0, 44.5]}, "MLP": {2: [23.0], 8: [24.0]}}
        >>> plot_depths({"Accuracy (%)": runs}).savefig("depths.svg")
    """
    _some(panels)
    figure, axes = _figure(1, len(panels), (4.4 * len(panels) + 0.4, 3.4))
    for axis, (label, by_model) in zip(axes, panels.items(), strict=True):
        _some(by_model)
        for (name, by_depth), (colour, line, marker) in zip(by_model.items(), _styles(len(by_model)), strict=True):
            _some(by_depth)
            depths = sorted(by_depth)
            for depth in depths:
                _some(by_depth[depth])
            values = [np.asarray(by_depth[depth], dtype=float) for depth in depths]
            error = [one.std(ddof=1) if len(one) > 1 else 0.0 for one in values]
            style: dict[str, Any] = {
                "color": colour,
                "linestyle": line,
                "marker": marker,
                "markersize": 4,
                "capsize": 2.5,
            }
            axis.errorbar(depths, [one.mean() for one in values], error, label=name, **style)
        every = sorted({depth for by_depth in by_model.values() for depth in by_depth})
        axis.set_xscale("log", base=2)
        axis.set_xticks(every, [str(depth) for depth in every])
        axis.minorticks_off()
        axis.set(xlabel="Layers", ylabel=label)
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes[0].legend()
    if title:
        figure.suptitle(title)
    return figure


def _styles(count: int) -> list[tuple[str, str, str]]:
    return [_STYLES[number % len(_STYLES)] for number in range(count)]


def _some(reports: Mapping[Any, Any] | Sequence[Any]) -> None:
    if not reports:
        raise UserError("there is no report to draw; give what graphkit.analysis.influence returns, by name")
