"""The form of the measured tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ratios(row: Row) -> str:
    return ", ".join(f"{ratio:.1f}x {name}" for name, ratio in row["ratio"].items())


def figure(value: float) -> str:
    """Three digits that count, without an exponent."""
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 1e-3 else f"{value:.6f}"


def beside(
    times: Mapping[str, Mapping[str, float]], per_unit: Mapping[str, float] | None = None, unit: str = ""
) -> str:
    """Every implementation with its seconds or its time per unit, and its memory."""
    shown = [
        f"{name}: {figure(per_unit[name])} {unit}" if per_unit else f"{name}: {figure(time['median'])} s"
        for name, time in times.items()
    ]
    return "; ".join(f"{text}, {time['peak_mib']:.0f} MiB" for text, time in zip(shown, times.values(), strict=True))


def faster(own: float, others: Mapping[str, float]) -> str:
    return ", ".join(f"{value / own:.1f}x {name}" for name, value in others.items())
