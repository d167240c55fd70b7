"""A drawing of paths: entities in boxes, relations over arrows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from graphkit.engine.plots import PLOT_STYLE, Plot, drawn
from graphkit.models.relation_names import INVERSE

__all__ = ["paths_plot", "shown_lines"]

_EDGES = 3  # edges on a line; a longer path goes on below
_BOX, _GAP, _LEFT, _LINE = 1.32, 1.05, 0.62, 0.66  # inches
_FORWARD, _BACKWARD = "#0072B2", "#B34700"
_BOX_LETTERS, _GAP_LETTERS = 18, 16


def paths_plot(paths: Sequence[tuple[float, Sequence[Sequence[str]]]]) -> Plot:
    """Paths below each other, with their weights; the steps that go along a relation backwards are dashed.

    Args:
        paths: (weight, edges) with edges (head, relation, tail) by name; inverse relations end in ``^-1``.

    Example:
        >>> paths_plot([(0.5, [("ann", "knows", "bob"), ("bob", "likes^-1", "cid")])]).svg[:5]
        b'<?xml'
    """
    import matplotlib
    from matplotlib.figure import Figure

    lines = sum(-(-len(edges) // _EDGES) for _, edges in paths)
    height = _LINE * max(lines, 1) + 0.12
    with matplotlib.rc_context({**PLOT_STYLE, "axes.grid": False}):
        # one width for all drawings, so that letters have one size on a page
        figure = Figure(figsize=(_LEFT + 4 * _BOX + 3 * _GAP + 0.08, height))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xlim=(0, figure.get_figwidth()), ylim=(height, 0))
        axes.axis("off")
        line = 0
        for place, (weight, edges) in enumerate(paths):
            if place % 2 == 0:
                rows = -(-len(edges) // _EDGES)
                axes.axhspan(0.06 + line * _LINE, 0.06 + (line + rows) * _LINE, color="#f6f7f9", linewidth=0)
            axes.text(
                0.08, 0.06 + (line + 0.66) * _LINE, f"{weight:.3f}", va="center", fontsize=8.5, color="#222222",
                fontweight="bold",
            )  # fmt: skip
            line = _path(axes, edges, line)
        return drawn(figure)


def _path(axes: Any, edges: Sequence[Sequence[str]], line: int) -> int:
    """Draw one path from a line on; the line after it."""
    for start in range(0, len(edges), _EDGES):
        y = 0.06 + (line + 0.66) * _LINE
        part = edges[start : start + _EDGES]
        nodes = [part[0][0], *(tail for _, _, tail in part)]
        for column, name in enumerate(nodes):
            again = column == 0 and start > 0
            end = column == len(nodes) - 1 and start + len(part) == len(edges)
            first = column == 0 and start == 0
            _box(axes, _LEFT + column * (_BOX + _GAP), y, str(name), ends=first or end, again=again)
        for column, (_, relation, _) in enumerate(part):
            left = _LEFT + column * (_BOX + _GAP) + _BOX
            _arrow(axes, left, y, str(relation))
        line += 1
    return line


def _box(axes: Any, left: float, y: float, name: str, *, ends: bool, again: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    half = 0.155
    axes.add_patch(
        FancyBboxPatch(
            (left + 0.05, y - half + 0.04), _BOX - 0.1, 2 * half - 0.08, boxstyle="round,pad=0.04,rounding_size=0.06",
            facecolor="#e4f0fa" if ends else "white", edgecolor="#c9ced6" if again else "#7b8794",
            linestyle=(0, (2, 2)) if again else "-", linewidth=0.8,
        )
    )  # fmt: skip
    axes.text(
        left + _BOX / 2, y, "\n".join(shown_lines(name, _BOX_LETTERS, 2)), ha="center", va="center", fontsize=7.3,
        linespacing=0.95, color="#9aa3ae" if again else "#1d2430", parse_math=False,
    )  # fmt: skip


def _arrow(axes: Any, left: float, y: float, relation: str) -> None:
    backwards = relation.endswith(INVERSE)
    colour = _BACKWARD if backwards else _FORWARD
    axes.annotate(
        "", (left + _GAP - 0.01, y), (left + 0.01, y),
        arrowprops={
            "arrowstyle": "-|>", "color": colour, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0,
            "linestyle": (0, (4, 2)) if backwards else "-",
        },
    )  # fmt: skip
    axes.text(
        left + _GAP / 2, y - 0.05, "\n".join(shown_lines(relation, _GAP_LETTERS, 3)), ha="center", va="bottom",
        fontsize=6.9, linespacing=0.95, color=colour, parse_math=False,
    )  # fmt: skip


def shown_lines(name: str, letters: int, most: int) -> list[str]:
    """A name in at most ``most`` lines of ``letters`` characters, broken where words end.

    Of a longer name the first letters and three times as many of the last are shown: long names differ at their ends,
    and there is the mark of an inverse relation.

    Example:
        >>> shown_lines("body_space_or_junction", 18, 2)
        ['body_space_or_', 'junction']
        >>> shown_lines("a" * 12 + "z" * 12 + "^-1", 6, 3)
        ['aaaa…', 'zzzzzz', 'zzz^-1']
    """
    lines = _broken(name, letters)
    shown = letters * most - 1
    while len(lines) > most:
        start = shown // 4
        lines = _broken(name[:start] + "…" + name[start - shown :], letters)
        shown -= 1  # words that do not fill their lines leave less room
    return lines


def _broken(name: str, letters: int) -> list[str]:
    """Lines of at most ``letters`` characters; words end after anything but a letter or a digit."""
    words = re.findall(r"[^\W_]+(?:\^-1)?[\W_]?|[\W_]", name) or [""]
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word.rstrip()) > letters and lines[-1]:
            lines.append("")
        while len(word) > letters:
            lines[-1] += word[: letters - len(lines[-1])]
            word = word[letters:]
            lines.append("")
        lines[-1] += word
    return [line.strip() for line in lines if line.strip()] or [""]
