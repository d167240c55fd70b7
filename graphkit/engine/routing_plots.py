"""Plots of expert usage: who is used over time, which source goes to whom, how prompts point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphkit.engine.plots import COLOURS, PLOT_STYLE, Plot, drawn
from graphkit.engine.relation_plots import shortened
from graphkit.engine.table_formats import number

__all__ = ["gate_plot", "prompt_plot", "usage_plot"]

_HATCHES = (None, "///", "...", "xxx")  # experts beyond the seven colours
_FIGURES = 12  # rows and columns up to which figures are written into the cells


def usage_plot(epochs: Sequence[int], usage: Sequence[Sequence[float]]) -> Plot:
    """Stacked bars: the share of assignments of each expert, epoch by epoch.

    Args:
        epochs: numbers of the epochs.
        usage: utilisation of each expert, a row per epoch; rows are brought to sum 1.

    Example:
        >>> usage_plot([1, 2], [[0.5, 0.5], [0.9, 0.1]]).png[1:4]
        b'PNG'
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    shares = np.asarray(usage, dtype=float)
    shares = 100 * shares / np.maximum(shares.sum(1, keepdims=True), 1e-12)
    places = np.asarray(epochs, dtype=float)
    width = 0.9 * float(np.min(np.diff(places), initial=np.inf)) if len(places) > 1 else 0.9
    with matplotlib.rc_context(PLOT_STYLE):
        figure = Figure(figsize=(8.6, 3.1), layout="constrained")
        axes = figure.subplots()
        below = np.zeros(len(shares))
        for expert in range(shares.shape[1]):
            axes.bar(
                places, shares[:, expert], width, bottom=below, color=COLOURS[expert % len(COLOURS)],
                hatch=_HATCHES[expert // len(COLOURS) % len(_HATCHES)], edgecolor="white", linewidth=0.4, label=f"{expert}",
            )  # fmt: skip
            below = below + shares[:, expert]
        axes.grid(axis="x", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set(xlabel="Epoch", ylabel="Share of assignments (%)", ylim=(0, 100))
        if shares.shape[1] <= 28:
            figure.legend(loc="outside right center", title="Expert", ncols=1 if shares.shape[1] <= 10 else 2)
        return drawn(figure)


def gate_plot(sources: Sequence[str], gates: Sequence[Sequence[float]]) -> Plot:
    """Heat map of the mean gate: a row per source, a column per expert.

    Args:
        sources: names.
        gates: mean weight of each expert, a row per source.

    Example:
        >>> gate_plot(["cora"], [[0.25, 0.75]]).svg[:5]
        b'<?xml'
    """
    names = [shortened(str(source), 24) for source in sources]
    height = 1.2 + 0.32 * len(names)
    return _heat_map(
        np.asarray(gates, dtype=float), names, "Blues", 0.0, 1.0, "Mean gate", (8.6, min(height, 12.0)), "Source"
    )


def prompt_plot(cosines: Sequence[Sequence[float]]) -> Plot:
    """Heat map of the cosines between prompts.

    Args:
        cosines: ``[M, M]``.

    Example:
        >>> prompt_plot([[1.0, -0.1], [-0.1, 1.0]]).png[1:4]
        b'PNG'
    """
    values = np.asarray(cosines, dtype=float)
    side = min(2.2 + 0.45 * len(values), 8.6)
    names = [str(number) for number in range(len(values))]
    return _heat_map(values, names, "RdBu_r", -1.0, 1.0, "Cosine", (side + 1.0, side), "Expert")


def _heat_map(
    values: np.ndarray,
    rows: Sequence[str],
    colours: str,
    low: float,
    high: float,
    unit: str,
    size: tuple[float, float],
    side: str,
) -> Plot:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(PLOT_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes: Any = figure.subplots()
        image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto")
        axes.grid(visible=False)
        axes.set_xticks(range(values.shape[1]))
        axes.set_yticks(range(len(rows)), rows)
        axes.set(xlabel="Expert", ylabel=side)
        if max(values.shape) <= _FIGURES:
            for row, column in np.ndindex(*values.shape):
                value = values[row, column]
                axes.text(
                    column, row, number(float(value), 2), ha="center", va="center", fontsize=7.5,
                    color=_readable_on(image.to_rgba(value)),
                )  # fmt: skip
        figure.colorbar(image, ax=axes, label=unit)
        return drawn(figure)


def _readable_on(colour: Sequence[float]) -> str:
    """White or near-black, whichever stands out more from a colour (contrast as WCAG defines it)."""
    red, green, blue, alpha = colour
    on_paper = [1 - alpha * (1 - v) for v in (red, green, blue)]
    levels = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in on_paper]
    light = 0.2126 * levels[0] + 0.7152 * levels[1] + 0.0722 * levels[2]
    return "#ffffff" if 1.05 / (light + 0.05) > (light + 0.05) / 0.066 else "#222222"
