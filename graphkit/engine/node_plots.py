"""Plots of an analysis of labelled nodes: accuracy by depth, influence by hop, maps. matplotlib is imported when drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphkit.analysis import InfluenceReport
from graphkit.analysis.depth_probe import DepthProbe
from graphkit.analysis.influence_plots import plot_influence
from graphkit.engine.plots import PLOT_STYLE, Plot, drawn

__all__ = ["depth_plot", "error_map", "influence_plot", "label_map"]

_POINTS = 30_000  # drawn at most


def influence_plot(reports: Mapping[str, InfluenceReport]) -> Plot:
    """:func:`graphkit.analysis.influence_plots.plot_influence` in the style of reports.

    Example:
        >>> import torch
        >>> influence_plot({"GCN": InfluenceReport.of(torch.rand(8, 5), torch.arange(8))}).png[1:4]
        b'PNG'
    """
    import matplotlib

    with matplotlib.rc_context(PLOT_STYLE):
        return drawn(plot_influence(reports))


def depth_plot(probe: DepthProbe) -> Plot:
    """Accuracy against hops, all hops together and the last one alone.

    Example:
        >>> depth_plot(DepthProbe((0, 1), (0.5, 0.8), (0.5, 0.7), 100, 100)).png[1:4]
        b'PNG'
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(PLOT_STYLE):
        figure = Figure(figsize=(5.6, 3.1), layout="constrained")
        axes: Any = figure.subplots()
        aside = 0.008 * max(probe.depths)  # bars of errors at one depth stand beside each other
        for values, colour, line, marker, name, moved in (
            (probe.together, "#0072B2", "-", "o", "all hops up to it", -aside),
            (probe.alone, "#E69F00", "--", "s", "that hop alone", aside),
        ):
            errors = [100 * probe.error(value) for value in values]
            style: dict[str, Any] = {
                "color": colour,
                "linestyle": line,
                "marker": marker,
                "markersize": 4,
                "capsize": 2.5,
            }
            places = [depth + moved for depth in probe.depths]
            axes.errorbar(places, [100 * value for value in values], errors, label=name, **style)
        axes.set(xlabel="Hops", ylabel="Accuracy on valid (%)", xticks=probe.depths)
        axes.legend()
        return drawn(figure)


def label_map(pos: np.ndarray, y: np.ndarray, classes: Sequence[str] | None = None) -> Plot:
    """Nodes where they lie, coloured by class; grey without one.

    Args:
        pos: ``[N, 2]``, x and y.
        y: ``[N]`` classes, -1 where unknown.
        classes: their names.

    Example:
        >>> label_map(np.random.rand(9, 2), np.arange(9) % 3).png[1:4]
        b'PNG'
    """
    import matplotlib
    from matplotlib.colors import ListedColormap

    count = int(y.max(initial=0)) + 1
    few = count <= 10
    # classes that are an order, as distances are, keep it in the colours; the light end would vanish on white paper
    colours = ListedColormap(matplotlib.colormaps["plasma"](np.linspace(0.0, 0.8, count)))
    with matplotlib.rc_context({**PLOT_STYLE, "axes.grid": False}):
        figure = _map_figure(pos)
        axes: Any = figure.subplots()
        shown = _some(len(y))
        unknown = y[shown] < 0
        size = _dot_size(len(shown))
        _dots(axes, pos[shown][unknown], "#cccccc", size)
        dots = _dots(axes, pos[shown][~unknown], y[shown][~unknown], size, cmap=colours, vmin=-0.5, vmax=count - 0.5)
        ticks = np.arange(count) if few else np.linspace(0, count - 1, 6).astype(int)
        bar = figure.colorbar(dots, ax=axes, ticks=ticks)
        bar.ax.set_yticklabels([classes[k] if classes else str(k) for k in ticks])
        bar.set_label("Class")
        return _map(figure, axes)


def error_map(pos: np.ndarray, wrong: np.ndarray) -> Plot:
    """Nodes where they lie, those with a wrong prediction in front.

    Args:
        pos: ``[n, 2]``.
        wrong: bool ``[n]``.

    Example:
        >>> error_map(np.random.rand(9, 2), np.arange(9) % 3 == 0).png[1:4]
        b'PNG'
    """
    import matplotlib

    with matplotlib.rc_context({**PLOT_STYLE, "axes.grid": False}):
        figure = _map_figure(pos)
        axes: Any = figure.subplots()
        shown = _some(len(wrong))
        size = _dot_size(len(shown))
        _dots(axes, pos[shown][~wrong[shown]], "#56B4E9", size, label="right", marker="o")
        _dots(axes, pos[shown][wrong[shown]], "#D55E00", size, label="wrong", marker="^")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=6 / size**0.5)
        return _map(figure, axes)


def _dots(axes: Any, pos: np.ndarray, colour: Any, size: float, **options: Any) -> Any:
    # as an image inside the vector drawing: thousands of marks would make a page slow
    return axes.scatter(pos[:, 0], pos[:, 1], s=size, c=colour, linewidths=0, rasterized=True, **options)


def _dot_size(count: int) -> float:
    """Area of a dot in square points."""
    return float(np.clip(30_000 / max(count, 1), 1.0, 16))


def _map_figure(pos: np.ndarray) -> Any:
    """A figure as high as the map needs."""
    from matplotlib.figure import Figure

    placed = pos[np.isfinite(pos).all(1)]
    wide, high = np.maximum(np.ptp(placed, axis=0), 1e-12) if len(placed) else (1.0, 1.0)
    return Figure(figsize=(6.4, float(np.clip(5.2 * high / wide, 2.4, 6.4))), layout="constrained")


def _map(figure: Any, axes: Any) -> Plot:
    axes.set_aspect("equal", adjustable="box")
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(False)
    return drawn(figure)


def _some(count: int) -> np.ndarray:
    if count <= _POINTS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, _POINTS, replace=False))
