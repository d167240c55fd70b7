"""Plots of ranks by relation: bars per category, and per relation for the most frequent ones."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphkit.engine.plots import PLOT_STYLE, SIDES, Plot, drawn

__all__ = ["categories_plot", "relations_plot", "shortened"]

_ROWS = 15


def shortened(name: str, length: int) -> str:
    """A name of at most so many characters: where it is longer, an ellipsis stands in the middle.

    Example:
        >>> shortened("/people/person/nationality", 15)
        '/people…onality'
    """
    if len(name) <= length:
        return name
    front = length // 2
    return f"{name[:front]}…{name[len(name) - (length - front - 1) :]}"


def categories_plot(rows: Sequence[Mapping[str, Any]]) -> Plot:
    """MRR of tail and head queries per category of relation, with the deviation over seeds.

    Args:
        rows: rows of :func:`graphkit.engine.relation_record.mean_over_seeds`, one a category.

    Example:
        >>> side = {"mrr": 0.5}
        >>> seeds = {"tail": {"mrr": [0.5]}, "head": {"mrr": [0.5]}}
        >>> row = {"category": "1-N", "relations": 2, "triples": 7, "tail": side, "head": side, "seeds": seeds}
        >>> categories_plot([row]).png[1:4]
        b'PNG'
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(PLOT_STYLE):
        figure = Figure(figsize=(8.6, 3.3), layout="constrained")
        axes = figure.subplots()
        width = 0.8 / len(SIDES)
        for position, (side, (colour, hatch)) in enumerate(SIDES.items()):
            places = np.arange(len(rows)) + (position - (len(SIDES) - 1) / 2) * width
            bars = axes.bar(
                places, [row[side]["mrr"] for row in rows], 0.94 * width, color=colour, hatch=hatch, edgecolor="white",
                linewidth=0.5, label=f"{side} queries", yerr=_deviations(rows, side), capsize=2.5,
                error_kw={"elinewidth": 0.9, "ecolor": "#333333"},
            )  # fmt: skip
            axes.bar_label(
                bars, [f"{row[side]['mrr']:.3f}" for row in rows], fontsize=7.5, color="#333333", padding=1.5
            )
        axes.grid(axis="x", visible=False)
        axes.set_xticks(range(len(rows)), [_counted(row) for row in rows])
        axes.set_xlim(-0.7, len(rows) - 0.3)
        _unit(rows, axes.set_ylim, axes.set_yticks)
        axes.set(xlabel="Category of relation (heads - tails)", ylabel="MRR")
        figure.legend(loc="outside upper right", ncols=2)
        return drawn(figure)


def relations_plot(rows: Sequence[Mapping[str, Any]]) -> Plot:
    """MRR of tail and head queries for the first 15 relations, the first one on top.

    Args:
        rows: rows of :func:`graphkit.engine.relation_record.mean_over_seeds`, one a relation, the most frequent first.

    Example:
        >>> side = {"mrr": 0.5}
        >>> seeds = {"tail": {"mrr": [0.5]}, "head": {"mrr": [0.5]}}
        >>> row = {"relation": "in", "category": "1-N", "triples": 7, "tail": side, "head": side, "seeds": seeds}
        >>> relations_plot([row]).svg[:5]
        b'<?xml'
    """
    import matplotlib
    from matplotlib.figure import Figure

    rows = rows[:_ROWS]
    with matplotlib.rc_context(PLOT_STYLE):
        figure = Figure(figsize=(8.6, 1.1 + 0.34 * len(rows)), layout="constrained")
        axes = figure.subplots()
        height = 0.8 / len(SIDES)
        for position, (side, (colour, hatch)) in enumerate(SIDES.items()):
            axes.barh(
                np.arange(len(rows)) + (position - (len(SIDES) - 1) / 2) * height, [row[side]["mrr"] for row in rows],
                0.9 * height, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5, label=f"{side} queries",
                xerr=_deviations(rows, side), capsize=1.5, error_kw={"elinewidth": 0.8, "ecolor": "#333333"},
            )  # fmt: skip
        axes.grid(axis="y", visible=False)
        axes.set_yticks(range(len(rows)), [f"{shortened(row['relation'], 44)}  ({row['triples']:,})" for row in rows])
        for label in axes.get_yticklabels():
            label.set_parse_math(False)  # a dollar sign in a name is a dollar sign
        axes.set_ylim(len(rows) - 0.4, -0.6)
        _unit(rows, axes.set_xlim, axes.set_xticks)
        axes.set(xlabel="MRR", ylabel="Relation (test triples)")
        figure.legend(loc="outside upper right", ncols=2)
        return drawn(figure)


def _deviations(rows: Sequence[Mapping[str, Any]], side: str) -> list[float] | None:
    """Unbiased deviations over seeds; None for a single seed, where there is none to show."""
    values = [row["seeds"][side]["mrr"] for row in rows]
    if all(len(one) < 2 for one in values):
        return None
    return [statistics.stdev(one) if len(one) > 1 else 0.0 for one in values]


def _counted(row: Mapping[str, Any]) -> str:
    relations, triples = row["relations"], row["triples"]
    return (
        f"{row['category']}\n{relations:,} relation{'' if relations == 1 else 's'}\n"
        f"{triples:,} test triple{'' if triples == 1 else 's'}"
    )


def _unit(rows: Sequence[Mapping[str, Any]], set_limits: Any, set_ticks: Any) -> None:
    """An axis from 0 to 1, with room for the label above the longest bar and its deviation."""
    tops = [
        row[side]["mrr"] + deviation
        for side in SIDES
        for row, deviation in zip(rows, _deviations(rows, side) or [0.0] * len(rows), strict=True)
    ]
    set_limits(0, max(1.0, *tops) + 0.09)
    set_ticks(np.linspace(0, 1, 6))
