"""Streets as a source tells of them, before anything is averaged: a directed multigraph with text attributes."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from graphkit.errors import DataWarning, UserError

__all__ = ["EARTH_RADIUS", "Streets", "count_streets", "local_metres", "street_length"]

EARTH_RADIUS = 6_371_009.0  # metres, as osmnx takes it


@dataclass(eq=False)
class Streets:
    """Junctions and the streets between them; a street for both ways is two rows.

    Args:
        name: what the network is called.
        source, target: ``[M]`` int64.
        length: ``[M]`` float64, metres.
        x, y: ``[N]`` float64, longitude and latitude in degrees (``crs="lonlat"``) or metres (``"plane"``).
        speed: ``[M]`` float64 km/h, NaN where missing; None: all missing.
        oneway: ``[M]`` bool; None: no street is.
        reversed: ``[M]`` texts ``"False"``, ``"True"`` or ``"[False, True]"``; None: all ``"False"``.
        lanes, highway: ``[M]`` texts, ``"nan"`` where missing; None: all missing.
        street_count: ``[N]`` int64, streets that end at a junction, beyond the border too; None: counted here.
        landuse: ``[N]`` texts, ``"nan"`` where unknown; None: all unknown.
        node_ids: names of the junctions; None: their numbers.
        crs: ``"lonlat"`` or ``"plane"``.
        meta: what else is known, plain values.

    Raises:
        UserError: for arrays that do not fit, ends out of range, positions that are no numbers, and lengths that are
            negative or no numbers; the first bad row is named.

    Example:
        >>> Streets("lane", [0, 1], [1, 0], [50.0, 50.0], [0.0, 50.0], [0.0, 0.0], crs="plane").street_count.tolist()
        [1, 1]
    """

    name: str
    # whatever holds the columns is handed in; arrays of the types above are kept
    source: Any
    target: Any
    length: Any
    x: Any
    y: Any
    speed: Any = None
    oneway: Any = None
    reversed: Any = None
    lanes: Any = None
    highway: Any = None
    street_count: Any = None
    landuse: Any = None
    node_ids: list[str] | None = None
    crs: str = "lonlat"
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, kind in (
            ("source", np.int64),
            ("target", np.int64),
            ("length", np.float64),
            ("x", np.float64),
            ("y", np.float64),
        ):
            setattr(self, key, self._numbers(key, kind).reshape(-1))
        rows = len(self.source)
        self.speed = np.full(rows, np.nan) if self.speed is None else self._numbers("speed", np.float64)
        self.oneway = np.zeros(rows, dtype=bool) if self.oneway is None else np.asarray(self.oneway, dtype=bool)
        self.reversed = _texts(self.reversed, rows, "False")
        self.lanes, self.highway = _texts(self.lanes, rows, "nan"), _texts(self.highway, rows, "nan")
        if self.landuse is not None:
            self.landuse = _texts(self.landuse, self.num_nodes, "nan")
        self._check()
        if self.street_count is None:
            self.street_count = count_streets(self.source, self.target, self.oneway, self.num_nodes)
        self.street_count = self._numbers("street_count", np.int64)

    def _numbers(self, key: str, kind: type) -> np.ndarray:
        try:
            return np.asarray(getattr(self, key), dtype=kind)
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{self.name}: the column {key} holds something that is no number ({error})") from None

    @property
    def num_nodes(self) -> int:
        return len(self.x)

    def _check(self) -> None:
        rows, n, name = len(self.source), self.num_nodes, self.name
        of_rows = (self.target, self.length, self.speed, self.oneway, self.reversed, self.lanes, self.highway)
        if any(len(column) != rows for column in of_rows) or len(self.y) != n:
            raise UserError(f"{name}: the columns of its streets or junctions have different lengths")
        if self.node_ids is not None and len(self.node_ids) != n:
            raise UserError(f"{name}: {len(self.node_ids)} names for {n} junctions")
        if self.crs not in ("lonlat", "plane"):
            raise UserError(f"{name}: crs is {self.crs!r}, expected 'lonlat' (degrees) or 'plane' (metres)")
        ends = np.concatenate([self.source, self.target])
        if len(ends) and not (ends.min() >= 0 and ends.max() < n):
            raise UserError(
                f"{name}: a street ends at junction {ends.min() if ends.min() < 0 else ends.max()}, expected ids in [0, {n})"
            )
        lost = ~(np.isfinite(self.x) & np.isfinite(self.y))
        if lost.any():
            raise UserError(
                f"{name}: junction {self.node_name(int(lost.argmax()))} has no position; give every junction x and y"
            )
        bad = ~(np.isfinite(self.length) & (self.length >= 0))
        if bad.any():
            row = int(bad.argmax())
            start, end = (self.node_name(int(ends[row])) for ends in (self.source, self.target))
            raise UserError(
                f"{name}: the street from {start} to {end} has length "
                f"{self.length[row]}, expected metres that are finite and not negative; mend or leave out the street"
            )

    def node_name(self, node: int) -> str:
        return str(node) if self.node_ids is None else self.node_ids[node]

    def keep_nodes(self, keep: np.ndarray) -> Streets:
        """The streets among some junctions (``[N]`` bool); their street counts stay those of the whole network."""
        number = np.cumsum(keep) - 1
        rows = keep[self.source] & keep[self.target]
        of_rows = {
            key: getattr(self, key)[rows] for key in ("length", "speed", "oneway", "reversed", "lanes", "highway")
        }
        return replace(
            self, source=number[self.source[rows]], target=number[self.target[rows]], **of_rows,
            x=self.x[keep], y=self.y[keep], street_count=self.street_count[keep],
            landuse=None if self.landuse is None else self.landuse[keep],
            node_ids=None if self.node_ids is None else [self.node_ids[node] for node in np.flatnonzero(keep)],
        )  # fmt: skip

    def largest_part(self) -> Streets:
        """The largest part that hangs together, whatever the directions; of equals the one with the first junction.

        Warns of what is left out.

        Raises:
            UserError: when fewer than two junctions are left.
        """
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        n = self.num_nodes
        ones = np.ones(len(self.source), dtype=np.int8)
        parts, label = connected_components(
            coo_matrix((ones, (self.source, self.target)), shape=(n, n)), directed=False
        )
        if n:
            size = np.bincount(label, minlength=parts)
            first = np.full(parts, n)
            np.minimum.at(first, label, np.arange(n))
            best = np.lexsort((first, -size))[0]
            if size[best] > 1:
                if parts == 1:
                    return self
                warnings.warn(
                    f"{self.name} falls into {parts} parts; the largest one with {size[best]} of {n} junctions is kept",
                    DataWarning,
                    stacklevel=3,
                )
                kept = self.keep_nodes(label == best)
                kept.meta = {**self.meta, "left_out": {"parts": int(parts) - 1, "junctions": int(n - size[best])}}
                return kept
        what = "no junction" if not n else "a single junction" if n == 1 else "no street between two junctions"
        raise UserError(
            f"{self.name} has {what}; a city needs at least two junctions and a street: choose a larger place"
        )

    def digest(self) -> str:
        """SHA-256 of all columns."""
        whole = hashlib.sha256(self.crs.encode())
        for key in ("source", "target", "length", "x", "y", "speed", "oneway", "street_count"):
            whole.update(np.ascontiguousarray(getattr(self, key)).tobytes())
        for texts in (self.reversed, self.lanes, self.highway, [] if self.landuse is None else self.landuse):
            whole.update("\0".join(texts).encode())
        return whole.hexdigest()


def _texts(values: Iterable[Any] | None, count: int, default: str) -> np.ndarray:
    if values is None:
        return np.array([default] * count, dtype=object)
    return np.array([*map(str, values), None], dtype=object)[:-1]


def count_streets(source: np.ndarray, target: np.ndarray, oneway: np.ndarray, n: int) -> np.ndarray:
    """``[N]`` int64: street ends at each junction; both directions of a street are one, a loop has two ends.

    Example:
        >>> count_streets(np.array([0, 1, 1]), np.array([1, 0, 1]), np.array([False, False, True]), 2).tolist()
        [1, 3]
    """
    low, high = np.minimum(source, target), np.maximum(source, target)
    pairs, pair = np.unique(low * max(n, 1) + high, return_inverse=True)
    loop = source == target
    there = np.bincount(pair, weights=(source < target), minlength=len(pairs))
    back = np.bincount(pair, weights=(source > target), minlength=len(pairs))
    # a loop for both ways has two rows as well
    single = np.bincount(pair, weights=loop & oneway, minlength=len(pairs))
    double = np.bincount(pair, weights=loop & ~oneway, minlength=len(pairs))
    streets = np.maximum(there, back) + single + np.ceil(double / 2)
    a, b = pairs // max(n, 1), pairs % max(n, 1)
    count = np.bincount(a, weights=streets, minlength=n) + np.bincount(b, weights=streets, minlength=n)
    return count.astype(np.int64)


def local_metres(
    lon: np.ndarray, lat: np.ndarray, origin: tuple[float, float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """East and north in metres from an origin (longitude, latitude), on the plane that touches the sphere; None: the mean.

    Example:
        >>> east, north = local_metres(np.array([0.0, 0.0]), np.array([0.0, 1.0]), (0.0, 0.0))
        >>> round(float(north[1]))
        111195
    """
    lon0, lat0 = (float(lon.mean()), float(lat.mean())) if origin is None else origin
    step = np.pi / 180 * EARTH_RADIUS
    return (lon - lon0) * step * np.cos(np.deg2rad(lat0)), (lat - lat0) * step


def street_length(x: np.ndarray, y: np.ndarray, source: np.ndarray, target: np.ndarray, crs: str) -> np.ndarray:
    """Straight lengths in metres: along great circles for degrees.

    Example:
        >>> street_length(np.array([0.0, 3.0]), np.array([0.0, 4.0]), np.array([0]), np.array([1]), "plane").tolist()
        [5.0]
    """
    if crs == "plane":
        return np.hypot(x[source] - x[target], y[source] - y[target])
    a, b = np.deg2rad(y[source]), np.deg2rad(y[target])
    turn = np.deg2rad(x[source] - x[target])
    inside = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(turn / 2) ** 2
    return 2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(inside, 0, 1)))


_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def speed_of(text: Any) -> float:
    """km/h of a ``maxspeed`` tag: a number, with ``mph`` miles an hour; the mean of several; NaN where it holds none.

    Example:
        >>> speed_of("50"), round(speed_of("30 mph"), 1), speed_of("['30', '50']"), speed_of("walk")
        (50.0, 48.3, 40.0, nan)
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text)
    found = []
    for part in re.split(r"[,;|\]]", str(text)):
        number = _NUMBER.search(part)
        if number:
            found.append(float(number.group()) * (1.609344 if "mph" in part else 1.0))
    return sum(found) / len(found) if found else float("nan")
