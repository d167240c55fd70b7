"""Plots of topological concentration: its distribution by split, its shift, and the quality of prediction along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphkit.analysis import Group, LowPerformers, Shift
from graphkit.engine.plots import PLOT_STYLE, Plot, drawn
from graphkit.engine.table_formats import number

__all__ = ["distribution_plot", "quality_plot", "shift_plot"]

# colour and line of each split; the line tells them apart on paper without colour
_SPLITS = {"train": ("#0072B2", "-"), "valid": ("#E69F00", "--"), "test": ("#D55E00", "-.")}
_PROPERTIES = {"concentration": ("#0072B2", "-", "o"), "degree": ("#E69F00", "--", "s")}
_BINS = 20
_BELOW_LEGEND = 0.78  # share of the height that bars and lines take, with the legend above them


def distribution_plot(values: Mapping[str, np.ndarray]) -> Plot:
    """Shares of nodes by their concentration, a line per split.

    Args:
        values: concentration of the nodes with neighbours in a split, by split.

    Example:
        >>> distribution_plot({"train": np.array([0.0, 0.5, 1.0])}).png[1:4]
        b'PNG'
    """
    import matplotlib
    from matplotlib.figure import Figure

    top = max((float(v.max()) for v in values.values() if len(v)), default=0.0) or 1.0
    edges = np.linspace(0, top, _BINS + 1)
    with matplotlib.rc_context(PLOT_STYLE):
        figure = Figure(figsize=(8.6, 3.1), layout="constrained")
        axes = figure.subplots()
        for split, numbers in values.items():
            if len(numbers):
                colour, line = _SPLITS[split]
                counts, _ = np.histogram(numbers, bins=edges)
                axes.stairs(
                    100 * counts / len(numbers), edges, color=colour, linestyle=line, linewidth=1.6, label=split
                )
        axes.set(xlabel="Topological concentration", ylabel="Share of nodes (%)", xlim=(0, top))
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside upper right", ncols=len(values))
        return drawn(figure)


def shift_plot(shifts: Sequence[Shift]) -> Plot:
    """Shares of nodes by the difference between two splits, a panel per pair; zero and the mean are marked.

    Example:
        >>> import torch
        >>> shift_plot([Shift("train", "test", torch.tensor([0.1, 0.2]), 0.15, 0.05, 0.0, 0.01)]).svg[:5]
        b'<?xml'
    """
    import matplotlib
    from matplotlib.figure import Figure

    top = max((float(shift.values.abs().max()) for shift in shifts if len(shift.values)), default=0.0) or 1.0
    edges = np.linspace(-top, top, 2 * _BINS + 1)
    with matplotlib.rc_context(PLOT_STYLE):
        figure = Figure(figsize=(8.6, 2.9), layout="constrained")
        panels: Any = figure.subplots(1, len(shifts), sharey=True, squeeze=False)[0]
        highest = 0.0
        for axes, shift in zip(panels, shifts, strict=True):
            counts, _ = np.histogram(shift.values.numpy(), bins=edges)
            heights = 100 * counts / max(len(shift.values), 1)
            highest = max(highest, float(heights.max()))
            axes.stairs(heights, edges, fill=True, color="#0072B2", alpha=0.35)
            axes.axvline(0, ymax=_BELOW_LEGEND, color="#555555", linewidth=0.9)
            style: dict[str, Any] = {"ymax": _BELOW_LEGEND, "linewidth": 1.6}
            axes.axvline(shift.mean, color="#D55E00", label=f"mean {number(shift.mean, 3, sign=True)}", **style)
            if shift.control is not None:
                text = f"random {number(shift.control, 3, sign=True)}"
                axes.axvline(shift.control, color="#000000", linestyle=":", label=text, **style)
            axes.set(title=f"{shift.earlier} less {shift.later}", xlabel="Difference of concentration")
            axes.legend(loc="upper left", fontsize=7.5)
        panels[0].set(ylabel="Share of nodes (%)", ylim=(0, (highest or 1.0) / _BELOW_LEGEND))
        return drawn(figure)


def quality_plot(groups: Mapping[str, Sequence[Group]], low: Sequence[LowPerformers], metric: str) -> Plot:
    """A metric by groups of nodes along concentration and along degree, and over those lowest in either.

    Args:
        groups: groups from low to high, by ``"concentration"`` and ``"degree"``.
        low: the lowest shares of both.
        metric: what the axis is called.

    Example:
        >>> group = Group(0.0, 0.1, 12, 0.4, 0.05)
        >>> quality_plot({"concentration": [group], "degree": [group]}, [LowPerformers(0.1, 0.2, 0.3)], "recall@20").png[1:4]
        b'PNG'
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context(PLOT_STYLE):
        figure = Figure(figsize=(8.6, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for name, rows in groups.items():
            colour, line, marker = _PROPERTIES[name]
            style: dict[str, Any] = {"color": colour, "linestyle": line, "linewidth": 1.5, "label": name}
            left.errorbar(
                range(1, len(rows) + 1), [row.mean for row in rows], [row.standard_error for row in rows], marker=marker,
                markersize=4, capsize=2.5, **style,
            )  # fmt: skip
            worst = [row.by_concentration if name == "concentration" else row.by_degree for row in low]
            right.plot([100 * row.share for row in low], worst, **style)
        left.set(title="Groups of nodes", xlabel="Group, from low to high", ylabel=f"{metric} (mean over nodes)")
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.set(title="The lowest nodes", xlabel="Share of the nodes (%)")
        left.set_ylim(bottom=0)
        figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=2)
        return drawn(figure)
