"""Pictures of scores per orbit adjacency and of the orbits of classes; needs matplotlib."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphkit.analysis.orbit_profile import OrbitProfile
from graphkit.analysis.walk_visibility import VISIBLE_KEYS
from graphkit.errors import UserError
from graphkit.ops import ORBIT_KEYS
from graphkit.ops.orbits_reference import Key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_key_scores", "plot_orbit_profile"]


def plot_key_scores(
    scores: Mapping[Key, float], *, title: str = "", label: str = "", reference: float | None = None
) -> Figure:
    """A heat map of a score for each orbit adjacency: row i, column j; hop 1 on the left, hops 2 and 3 on the right.

    Orbit adjacencies that walks of up to three steps see have a frame.

    Args:
        scores: ``{key: score}``; keys without one stay white.
        title: above the picture.
        label: of the colours.
        reference: a score of something else, such as DeepWalk's; colours then show the difference, 0 being white.

    Returns:
        A matplotlib figure, not shown and not kept by pyplot; save it with ``savefig``.

    Raises:
        UserError: an unknown key, no score, matplotlib is not installed.

    Example:
        >>> plot_key_scores({(1, 0, 0): 0.2, (2, 9, 10): 0.3}).savefig("scores.png")
    """
    unknown = next((key for key in scores if key not in ORBIT_KEYS), None)
    if unknown is not None or not scores:
        raise UserError(
            f"scores hold {unknown!r}, expected keys of ops.ORBIT_KEYS" if scores else "there is no score to draw"
        )
    figure, axes = _figure(1, 2, (11.0, 5.4))
    values = {key: value - (reference or 0.0) for key, value in scores.items()}
    low, high = min(values.values()), max(values.values())
    if reference is not None:
        low, high = (-max(abs(low), abs(high)), max(abs(low), abs(high)))
    colours: Any = {"cmap": "RdBu_r" if reference is not None else "viridis", "vmin": low, "vmax": high}
    image: Any = None
    for axis, hops in zip(axes, ((1,), (2, 3)), strict=True):
        grid = np.full((15, 15), np.nan)
        for (hop, i, j), value in values.items():
            if hop in hops:
                grid[i, j] = value
        image = axis.imshow(grid, **colours)
        for hop, i, j in VISIBLE_KEYS:
            if hop in hops:
                axis.add_patch(_frame(j, i))
        for (hop, i, j), value in values.items():
            if hop in hops:
                axis.text(
                    j,
                    i,
                    _short(value, reference is not None),
                    ha="center",
                    va="center",
                    fontsize=6,
                    color=_ink(value, low, high, reference),
                )
        axis.set_xticks(range(15)), axis.set_yticks(range(15))
        axis.set_xlabel("orbit of v"), axis.set_ylabel("orbit of u")
        axis.set_title(f"hop {' and '.join(map(str, hops))}", fontsize=10)
    figure.colorbar(image, ax=list(axes), label=label, shrink=0.8)
    if title:
        figure.suptitle(title)
    return figure


def plot_orbit_profile(
    profile: OrbitProfile, names: Sequence[str] | None = None, *, title: str = "", most: int = 40
) -> Figure:
    """A heat map of :func:`graphkit.analysis.orbit_profile`: a class a row, an orbit a column.

    Args:
        profile: what :func:`orbit_profile` gives.
        names: of the classes; None: their numbers.
        title: above the picture.
        most: only so many of the largest classes are drawn.

    Returns:
        A matplotlib figure.

    Raises:
        UserError: names that do not fit, matplotlib is not installed.

    Example:
        >>> from graphkit.analysis.orbit_profile import orbit_profile
        >>> plot_orbit_profile(orbit_profile(np.arange(30).reshape(2, 15), np.array([0, 1]))).savefig("profile.png")
    """
    classes = len(profile.size)
    names = [str(k) for k in range(classes)] if names is None else list(names)
    if len(names) != classes or not classes:
        raise UserError(f"{len(names)} names for {classes} classes, expected one for each, and a class at least")
    order = np.sort(np.argsort(-profile.size, kind="stable")[:most])
    figure, (axis,) = _figure(1, 1, (7.5, 1.6 + 0.24 * len(order)))
    top = float(np.nanmax(np.abs(profile.mean[order]))) or 1.0
    image = axis.imshow(profile.mean[order], cmap="RdBu_r", vmin=-top, vmax=top, aspect="auto")
    axis.set_xticks(range(15)), axis.set_yticks(range(len(order)), [f"{names[k]} ({profile.size[k]:,})" for k in order])
    axis.set_xlabel("orbit"), axis.set_ylabel("class (nodes)")
    axis.tick_params(labelsize=8)
    figure.colorbar(image, ax=axis, label="standard deviations from all nodes")
    if title:
        figure.suptitle(title)
    return figure


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("pictures need matplotlib; install graphkit-torch[plots]") from None
    figure = Figure(figsize=size, layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def _frame(x: int, y: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=1.2)


def _short(value: float, signed: bool) -> str:
    """Two decimals, or one where two digits stand before them: a cell holds five characters. No zero before the point."""
    text = f"{value:{'+' if signed else ''}.{1 if abs(value) >= 9.995 else 2}f}"
    return re.sub(r"^([+-]?)0\.", r"\1.", text)


def _ink(value: float, low: float, high: float, reference: float | None) -> str:
    place = (value - low) / (high - low) if high > low else 0.5
    return "white" if (place < 0.5 if reference is None else abs(place - 0.5) > 0.35) else "black"
