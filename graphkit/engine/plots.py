"""Plots of a run: training curves and the histogram of ranks. matplotlib is imported when a plot is drawn."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphkit.engine.table_formats import DASH, metric_name

__all__ = ["COLOURS", "PLOT_STYLE", "SIDES", "Plot", "can_plot", "drawn", "rank_shares", "ranks_plot", "training_plot"]

# Okabe and Ito's palette without its yellow, which is too faint on white paper
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_DASHES = ("-", "--", "-.", ":")
# colour and hatching of each side; hatching tells them apart on paper without colour
SIDES = {"tail": ("#0072B2", None), "head": ("#E69F00", "///")}
PLOT_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": "#222222",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
    "legend.frameon": False,
    "savefig.dpi": 144,
    "svg.hashsalt": "graphkit",
}


@dataclass(frozen=True)
class Plot:
    """A drawn plot in both forms that a report needs."""

    png: bytes
    svg: bytes


def can_plot() -> bool:
    """Whether matplotlib is there.

    Example:
        >>> can_plot()      # doctest: +SKIP
        True
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def training_plot(epochs: Sequence[Mapping[str, Any]], best: Mapping[tuple[int, int | None], int], metric: str) -> Plot:
    """Training loss and a validation metric per epoch, a line per training; the best epoch of each is marked.

    Args:
        epochs: epoch events (``seed``, ``fold`` where there are several splits, ``epoch``, ``loss``, ``valid``), sorted.
        best: best epoch by seed and fold (None with one split).
        metric: validation metric that selected the best epoch.

    Example:
        >>> plot = training_plot([{"seed": 0, "epoch": 1, "loss": 0.5, "valid": {"mrr": 0.8}}], {(0, None): 1}, "mrr")
        >>> plot.png[1:4]
        b'PNG'
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    trainings = list(dict.fromkeys((event["seed"], event.get("fold")) for event in epochs))
    with matplotlib.rc_context(PLOT_STYLE):
        figure = Figure(figsize=(8.6, 3.1), layout="constrained")
        left, right = figure.subplots(1, 2, sharex=True)  # validation may skip epochs
        for position, training in enumerate(trainings):
            events = [event for event in epochs if (event["seed"], event.get("fold")) == training]
            name = f"seed {training[0]}" + ("" if training[1] is None else f", fold {training[1]}")
            style = {
                "color": COLOURS[position % len(COLOURS)],
                "linestyle": _DASHES[position // len(COLOURS) % len(_DASHES)],
                "linewidth": 1.5,
                "marker": "o",
                "markersize": 2.5 if len(events) > 1 else 5,
            }
            losses = [(e["epoch"], e["loss"]) for e in events if isinstance(e.get("loss"), (int, float))]
            scores = [(e["epoch"], e["valid"][metric]) for e in events if metric in (e.get("valid") or {})]
            if losses:
                left.plot(*zip(*losses, strict=True), label=name, **style)
            if scores:
                right.plot(*zip(*scores, strict=True), **style)
            marked = [point for point in scores if point[0] == best.get(training)]
            if marked:
                right.plot(
                    *marked[0],
                    "*",
                    color=style["color"],
                    markersize=10,
                    markeredgecolor="white",
                    markeredgewidth=0.5,
                    zorder=5,
                )
        left.set(title="Training loss", xlabel="Epoch", ylabel="Loss (mean over the epoch)")
        right.set(title=f"Validation {metric_name(metric)}", xlabel="Epoch", ylabel=metric_name(metric))
        for axes in (left, right):
            # one tick is enough: two would need fractions of an epoch where there is only one
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if 1 < len(trainings) <= 24:
            figure.legend(loc="outside right center", ncols=1 if len(trainings) <= 10 else 2)
        return drawn(figure)


def rank_shares(ranks: np.ndarray) -> list[tuple[int, float]]:
    """Shares of ranks, in %, in bins that grow with the rank: 1, 2-3, 4-10, 11-30, 31-100, 101-300, ...

    Args:
        ranks: ranks of the queries, at least 1 (fractions where ties share their mean).

    Returns:
        (largest rank of the bin, share in %) up to the bin of the largest rank.

    Example:
        >>> rank_shares(np.array([1, 1, 2, 12]))
        [(1, 50.0), (3, 25.0), (10, 0.0), (30, 25.0)]
    """
    largest = float(np.max(ranks, initial=1))
    ends = [1, 3]
    while ends[-1] < largest:
        ends.append(10 * ends[-2])
    # the mean of tied ranks may fall between two bins, as 3.5 does; it belongs to the lower one
    counts, _ = np.histogram(np.floor(ranks), bins=[0.5, *(end + 0.5 for end in ends)])
    shares = 100.0 * counts / max(len(ranks), 1)
    return [(end, float(share)) for end, share in zip(ends, shares, strict=True)]


def ranks_plot(ranks: Mapping[str, np.ndarray]) -> Plot:
    """Histogram of the ranks of the known entities, tail and head queries apart, in bins that grow with the rank.

    Args:
        ranks: ranks by side (``"tail"``, ``"head"``), pooled over seeds.

    Example:
        >>> ranks_plot({"tail": np.array([1, 2]), "head": np.array([1, 40])}).svg[:5]
        b'<?xml'
    """
    import matplotlib
    from matplotlib.figure import Figure

    shares = {side: rank_shares(values) for side, values in ranks.items()}
    ends = [end for end, _ in max(shares.values(), key=len)]
    starts = [1, *(end + 1 for end in ends)]
    labels = [f"{low:,}" if low == high else f"{low:,}{DASH}{high:,}" for low, high in zip(starts, ends, strict=False)]
    with matplotlib.rc_context(PLOT_STYLE):
        figure = Figure(figsize=(8.6, 3.1), layout="constrained")
        axes = figure.subplots()
        width = 0.8 / len(shares)
        for position, (side, bins) in enumerate(shares.items()):
            heights = [share for _, share in bins]
            places = np.arange(len(heights)) + (position - (len(shares) - 1) / 2) * width
            colour, hatch = SIDES[side]
            bars = axes.bar(
                places, heights, 0.94 * width, color=colour, label=f"{side} queries", edgecolor="white", linewidth=0.5,
                hatch=hatch,
            )  # fmt: skip
            axes.bar_label(bars, [_percent(share) for share in heights], fontsize=7.5, color="#333333", padding=1.5)
        axes.grid(axis="x", visible=False)
        axes.set_xticks(range(len(labels)), labels)
        axes.set(xlabel="Rank of the known entity", ylabel="Share of queries (%)")
        axes.margins(y=0.12)
        figure.legend(loc="outside upper right", ncols=2)  # bars may be high anywhere
        return drawn(figure)


def _percent(share: float) -> str:
    return "" if share == 0 else "<0.1" if share < 0.1 else f"{share:.1f}"


def drawn(figure: Any) -> Plot:
    """A figure in both forms; to be called within the settings it was drawn under."""
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    # no date: the same run gives the same report, byte for byte
    figure.savefig(svg, format="svg", metadata={"Date": None})
    return Plot(png.getvalue(), svg.getvalue())
