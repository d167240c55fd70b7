"""Street networks drawn at random: lattices, neighbourhood graphs of points, grown towns, and a composite of them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from graphkit.datasets.city_streets import Streets, local_metres
from graphkit.errors import UserError, nearest

__all__ = ["KINDS", "synthetic_streets"]

KINDS = ("grid", "gabriel", "rng", "delaunay", "growth", "city")
_CLASSES = ("primary", "secondary", "tertiary", "residential", "living_street", "service")
_SPEED = (70.0, 50.0, 50.0, 30.0, 20.0, 20.0)
_LANDUSE = (
    "residential",
    "commercial",
    "industrial",
    "retail",
    "farmland",
    "forest",
    "grass",
    "cemetery",
    "allotments",
    "meadow",
)

Plan = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Positions ``[N, 2]`` in metres, streets ``[M, 2]``, tier ``[M]`` (0 the most important)."""


def synthetic_streets(
    kind: str, n: int = 2000, *, seed: int = 0, spacing: float = 90.0, origin: tuple[float, float] = (10.0, 50.0)
) -> Streets:
    """A street network drawn at random, with attributes as a map has them; the same arguments give the same network.

    ``"grid"``: a lattice with moved junctions (0.15 of the spacing), a quarter of its streets taken out and a few diagonals.
    ``"gabriel"``, ``"rng"``, ``"delaunay"``: points that keep a distance, and of their neighbourhood graph a random spanning tree
    and further edges up to 1.35 a junction, short ones first. ``"growth"``: settlements join the nearest street one after the
    other. ``"city"``: arterials, lattices of several spacings and directions, grown suburbs, and a river with few bridges.

    Lengths are straight ones times a detour (lognormal, mean 1.08, at least 1). Classes follow the importance of a street, four of
    five streets lack ``lanes``, a tenth of the inner ones are one-way, land use is that of the nearest of labelled centres.

    Args:
        kind: one of :data:`KINDS`.
        n: about how many junctions; the largest part that hangs together is kept, so a few percent fewer come out.
        seed: of everything.
        spacing: metres between junctions.
        origin: longitude and latitude of the middle.

    Raises:
        UserError: for an unknown kind, fewer than 16 junctions, or a spacing that is not positive.

    Example:
        >>> streets = synthetic_streets("gabriel", 200, seed=1)
        >>> bool(2.2 < streets.street_count.mean() < 3.4)
        True
    """
    if kind not in KINDS:
        raise UserError(nearest(str(kind), KINDS, "kind of synthetic city"))
    if isinstance(n, bool) or not isinstance(n, int) or n < 16:
        raise UserError(f"n is {n!r}, expected a whole number of junctions from 16 upwards")
    if not spacing > 0:
        raise UserError(f"spacing is {spacing!r}, expected metres above 0")
    rng = np.random.Generator(np.random.PCG64(seed))
    plans: dict[str, Any] = {"grid": _grid, "growth": _growth, "city": _city}
    place, pairs, tier = plans[kind](n, rng) if kind in plans else _neighbourhood(n, rng, kind)
    place, pairs, tier = _hanging_together(place * spacing, pairs, tier)
    return _dressed(
        f"synthetic-{kind}-{n}-{seed}",
        place,
        pairs,
        tier,
        rng,
        origin,
        {"kind": kind, "n": n, "seed": seed, "spacing": spacing},
    )


def _grid(n: int, rng: np.random.Generator, jitter: float = 0.15, gone: float = 0.25, diagonal: float = 0.02) -> Plan:
    width = max(2, round((n * 1.05) ** 0.5))
    ids = np.arange(width * width).reshape(width, width)
    place = (
        np.stack(np.meshgrid(np.arange(width), np.arange(width), indexing="ij"), -1).reshape(-1, 2) - (width - 1) / 2
    )
    place = place + rng.normal(0, jitter, place.shape)
    pairs, tier = [], []
    for axis, (a, b) in enumerate(((ids[1:], ids[:-1]), (ids[:, 1:], ids[:, :-1]))):
        line = np.broadcast_to(np.arange(width)[:, None] if axis else np.arange(width)[None], a.shape)
        major = np.where(line % 12 == 6, 1, np.where(line % 4 == 2, 2, 3))
        keep = rng.random(a.shape) >= np.where(major < 3, gone / 2.5, gone * 1.3)
        pairs.append(np.stack([a[keep], b[keep]], 1))
        tier.append(major[keep])
    for a, b in ((ids[1:, 1:], ids[:-1, :-1]), (ids[1:, :-1], ids[:-1, 1:])):
        keep = rng.random(a.shape) < diagonal / 2
        pairs.append(np.stack([a[keep], b[keep]], 1))
        tier.append(np.full(int(keep.sum()), 3))
    return _turned(place, float(rng.uniform(0, np.pi / 2))), np.concatenate(pairs), np.concatenate(tier)


def _turned(place: np.ndarray, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return place @ np.array([[c, s], [-s, c]])


def _spread_points(n: int, rng: np.random.Generator) -> np.ndarray:
    """About n points in a square of side sqrt(n) that keep a distance of 0.62."""
    from scipy.spatial import cKDTree

    side, out = n**0.5, np.empty((0, 2))
    for _ in range(6):
        fresh = np.concatenate([out, rng.uniform(-side / 2, side / 2, (n, 2))])
        alive = np.ones(len(fresh), dtype=bool)
        close = cKDTree(fresh).query_pairs(0.62, output_type="ndarray")
        for a, b in close[np.lexsort((close[:, 1], close[:, 0]))]:
            if alive[a] and alive[b]:
                alive[max(a, b)] = False
        out = fresh[alive]
        if len(out) >= n:
            break
    return out[:n] if len(out) > n else out


def _neighbourhood(n: int, rng: np.random.Generator, kind: str) -> Plan:
    from scipy.spatial import Delaunay, cKDTree

    place = _spread_points(n, rng)
    faces = np.sort(Delaunay(place).simplices, axis=1)
    pairs = np.unique(np.concatenate([faces[:, [0, 1]], faces[:, [0, 2]], faces[:, [1, 2]]]), axis=0)
    tree, length = cKDTree(place), np.linalg.norm(place[pairs[:, 0]] - place[pairs[:, 1]], axis=1)
    if kind in ("gabriel", "rng"):  # no point in the circle over the edge
        close = tree.query(place[pairs].mean(1))[0]
        alive = close >= length / 2 * (1 - 1e-9)
        pairs, length = pairs[alive], length[alive]
    if kind == "rng":  # no point nearer to both ends than they are to each other
        near = tree.query_ball_point(place[pairs[:, 0]], length * (1 - 1e-9))
        alive = np.array([
            not (np.linalg.norm(place[others] - place[b], axis=1) < d * (1 - 1e-9)).any()
            for others, (_, b), d in zip(near, pairs, length, strict=True)
        ])  # fmt: skip
        pairs, length = pairs[alive], length[alive]
    # streets close few triangles: the longest side of one is taken last
    long = np.isin(pairs[:, 0] * len(place) + pairs[:, 1], _longest_sides(place, faces))
    bound = _spanning(len(place), pairs, rng.random(len(pairs)) + long)
    rank = np.where(bound, np.inf, rng.exponential(size=len(pairs)) / length**2 * np.where(long, 0.02, 1.0))
    alive = np.zeros(len(pairs), dtype=bool)
    alive[np.argsort(-rank, kind="stable")[: max(int(bound.sum()), round(1.35 * len(place)))]] = True
    return place, pairs[alive], _tier_of_lines(place, pairs[alive], rng)


def _longest_sides(place: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The longest edge u < v of each triangle, as u N + v."""
    sides = np.stack([faces[:, [0, 1]], faces[:, [0, 2]], faces[:, [1, 2]]], 1)
    longest = np.linalg.norm(place[sides[..., 0]] - place[sides[..., 1]], axis=2).argmax(1)
    ends = sides[np.arange(len(faces)), longest].astype(np.int64)
    return ends[:, 0] * len(place) + ends[:, 1]


def _spanning(n: int, pairs: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Which edges belong to the spanning forest of least weight."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import minimum_spanning_tree

    forest = minimum_spanning_tree(coo_matrix((weight + 1e-9, (pairs[:, 0], pairs[:, 1])), shape=(n, n))).tocoo()
    return np.isin(pairs[:, 0] * n + pairs[:, 1], forest.row.astype(np.int64) * n + forest.col)


def _tier_of_lines(place: np.ndarray, pairs: np.ndarray, rng: np.random.Generator, lines: int = 6) -> np.ndarray:
    """Streets near a few straight lines through the place are the important ones."""
    middle, tier = place[pairs].mean(1), np.full(len(pairs), 3)
    extent = float(np.ptp(place))
    for line in range(lines):
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3) * extent
        distance = np.abs(middle @ np.array([np.cos(angle), np.sin(angle)]) - offset)
        tier = np.where(distance < 0.5, np.minimum(tier, 1 if line < 2 else 2), tier)
    return tier


class _Roads:
    """Streets that grow: a table of cells tells which pass near a point."""

    def __init__(self, cell: float = 2.0) -> None:
        self.place: list[tuple[float, float]] = []
        self.ends: list[tuple[int, int]] = []
        self.tier: list[int] = []
        self.alive: list[bool] = []
        self.cell = cell
        self.cells: dict[tuple[int, int], list[int]] = defaultdict(list)

    def node(self, x: float, y: float) -> int:
        self.place.append((x, y))
        return len(self.place) - 1

    def street(self, a: int, b: int, tier: int) -> None:
        number = len(self.ends)
        self.ends.append((a, b))
        self.tier.append(tier)
        self.alive.append(True)
        (ax, ay), (bx, by) = self.place[a], self.place[b]
        steps = int(max(abs(ax - bx), abs(ay - by)) / self.cell * 2) + 1
        seen = {
            (int((ax + (bx - ax) * t / steps) // self.cell), int((ay + (by - ay) * t / steps) // self.cell))
            for t in range(steps + 1)
        }
        for key in sorted(seen):
            self.cells[key].append(number)

    def near(self, x: float, y: float, reach: int) -> list[tuple[float, int, float, float, float]]:
        """(distance, street, share of the way, x, y) of the streets in the cells around a point, the nearest first."""
        column, row = int(x // self.cell), int(y // self.cell)
        numbers = {
            number
            for i in range(column - reach, column + reach + 1)
            for j in range(row - reach, row + reach + 1)
            for number in self.cells.get((i, j), ())
            if self.alive[number]
        }
        found = []
        for number in numbers:
            (ax, ay), (bx, by) = (self.place[end] for end in self.ends[number])
            dx, dy = bx - ax, by - ay
            share = min(max(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy or 1.0), 0.0), 1.0)
            px, py = ax + share * dx, ay + share * dy
            found.append((((x - px) ** 2 + (y - py) ** 2) ** 0.5, number, share, px, py))
        return sorted(found)

    def join(self, number: int, share: float, x: float, y: float) -> int:
        """The node at a point of a street, made by splitting it unless it is near an end."""
        a, b = self.ends[number]
        (ax, ay), (bx, by) = self.place[a], self.place[b]
        length = ((ax - bx) ** 2 + (ay - by) ** 2) ** 0.5
        if share * length < 0.3:
            return a
        if (1 - share) * length < 0.3:
            return b
        self.alive[number] = False
        middle = self.node(x, y)
        self.street(a, middle, self.tier[number])
        self.street(middle, b, self.tier[number])
        return middle

    def plan(self) -> Plan:
        alive = np.array(self.alive, dtype=bool)
        pairs = np.array(self.ends, dtype=np.int64).reshape(-1, 2)[alive]
        return np.array(self.place), pairs, np.array(self.tier, dtype=np.int64)[alive]


def _grow(roads: _Roads, n: int, rng: np.random.Generator, side: float, blocked: Any = None) -> None:
    """Settlements until there are n junctions; each joins one or two streets that it can see."""
    tries = 0
    while len(roads.place) < n and tries < 12 * n:
        tries += 1
        x, y = rng.uniform(-side / 2, side / 2, 2).tolist()
        second = rng.random() < 0.45
        if blocked is not None and blocked(x, y):
            continue
        seen = roads.near(x, y, 1) or roads.near(x, y, 3)
        if not seen or seen[0][0] < 0.45 or seen[0][0] > 4:
            continue
        node = roads.node(x, y)
        joined: list[tuple[float, float]] = []
        for distance, number, share, px, py in seen:
            hidden = any((px - qx) ** 2 + (py - qy) ** 2 < distance**2 for qx, qy in joined)
            crossing = blocked is not None and any(
                blocked(x + (px - x) * t / 4, y + (py - y) * t / 4) for t in range(1, 5)
            )
            if hidden or crossing or not roads.alive[number]:
                continue
            end = roads.join(number, share, px, py)
            roads.street(node, end, 3 if len(joined) == 0 else 4)
            joined.append((px, py))
            if len(joined) == (2 if second else 1):
                break


def _arterials(roads: _Roads, rng: np.random.Generator, side: float, count: int) -> None:
    """Wavy streets from border to border; where two cross they meet."""
    for line in range(count):
        angle = np.pi * line / count + rng.uniform(-0.2, 0.2)
        offset = rng.uniform(-0.15, 0.15) * side
        along = np.arange(-side / 2, side / 2 + 1e-9, 1.4)
        bend = np.cumsum(rng.normal(0, 0.12, len(along)))
        line_place = np.stack([along, offset + bend - bend.mean()], 1) @ np.array(
            [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        )
        before = None
        for x, y in line_place.tolist():
            seen = [entry for entry in roads.near(x, y, 1) if before is None or before not in roads.ends[entry[1]]]
            node = roads.join(seen[0][1], *seen[0][2:]) if seen and seen[0][0] < 0.75 else roads.node(x, y)
            if before is not None and node != before:
                roads.street(before, node, 0 if line < 2 else 1)
            before = node


def _growth(n: int, rng: np.random.Generator) -> Plan:
    roads, side = _Roads(), (n * 1.3) ** 0.5
    _arterials(roads, rng, side, 3)
    _grow(roads, n, rng, side)
    return roads.plan()


def _city(n: int, rng: np.random.Generator) -> Plan:
    """Suburbs grow around a core of lattices; a river crosses all of it and few streets cross the river."""
    side = (n * 1.25) ** 0.5
    slope, level, wave = rng.uniform(-0.3, 0.3), rng.uniform(-0.1, 0.1) * side, rng.uniform(0, 2 * np.pi)

    def bank(x: float) -> float:
        return float(level + slope * x + 0.06 * side * np.sin(2 * np.pi * x / side + wave))

    def water(x: float, y: float) -> bool:
        return abs(y - bank(x)) < 0.6

    roads = _Roads()
    _arterials(roads, rng, side, 4)
    _lattices(roads, n, rng, side, water)
    _grow(roads, n, rng, side, water)
    place, pairs, tier = roads.plan()
    shore = np.array([bank(x) for x in place[:, 0]])
    across = (place[pairs[:, 0], 1] > shore[pairs[:, 0]]) != (place[pairs[:, 1], 1] > shore[pairs[:, 1]])
    # bridges: those of the arterials, and few others
    alive = ~across | (tier <= 1) | (rng.random(len(pairs)) < 0.05)
    return place, pairs[alive], tier[alive]


def _lattices(roads: _Roads, n: int, rng: np.random.Generator, side: float, water: Any) -> None:
    """Districts of right angles in the middle, each with a spacing and a direction of its own, tied to the arterials."""
    centres = rng.normal(0, 0.14 * side, (5, 2))
    for district, (cx, cy) in enumerate(centres.tolist()):
        width = max(2, int((n * 0.09) ** 0.5))
        spacing, angle = rng.uniform(0.75, 1.15), rng.uniform(0, np.pi / 2)
        grid = (
            np.stack(np.meshgrid(np.arange(width), np.arange(width), indexing="ij"), -1) - (width - 1) / 2
        ) * spacing
        spots = _turned((grid + rng.normal(0, 0.06, grid.shape)).reshape(-1, 2), float(angle)) + np.array([cx, cy])
        gone = rng.random((2, width * width)) < 0.2
        number: dict[int, int] = {}
        own = np.linalg.norm(spots[:, None] - centres[None], axis=2).argmin(1) == district
        for spot, (x, y) in enumerate(spots.tolist()):
            seen = roads.near(x, y, 1)
            if own[spot] and not water(x, y) and (not seen or seen[0][0] > 0.35):
                number[spot] = roads.node(x, y)
                for axis, back in ((0, width), (1, 1)):
                    other = spot - back
                    if other in number and (axis == 0 or spot % width) and not gone[axis, spot]:
                        roads.street(
                            number[other], number[spot], 2 if (spot // width if axis else spot % width) % 5 == 2 else 3
                        )
        for spot, node in number.items():
            x, y = spots[spot].tolist()
            edge = spot // width in (0, width - 1) or spot % width in (0, width - 1)
            seen = [
                entry for entry in roads.near(x, y, 1) if node not in roads.ends[entry[1]] and roads.tier[entry[1]] <= 1
            ]
            if seen and seen[0][0] < (1.6 if edge else 0.9):
                roads.street(node, roads.join(seen[0][1], *seen[0][2:]), 3)


def _hanging_together(place: np.ndarray, pairs: np.ndarray, tier: np.ndarray) -> Plan:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = np.sort(pairs, axis=1)
    pairs, first = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0, return_index=True)
    tier, n = tier[first], len(place)
    label = connected_components(
        coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n)), directed=False
    )[1]
    keep = label == np.bincount(label).argmax()
    number, rows = np.cumsum(keep) - 1, keep[pairs[:, 0]]
    return place[keep], number[pairs[rows]], tier[rows]


def _dressed(
    name: str,
    place: np.ndarray,
    pairs: np.ndarray,
    tier: np.ndarray,
    rng: np.random.Generator,
    origin: tuple[float, float],
    meta: dict[str, Any],
) -> Streets:
    """Lengths, classes, lanes, directions and land use."""
    from scipy.spatial import cKDTree

    m, spread = len(pairs), 0.05
    length = np.linalg.norm(place[pairs[:, 0]] - place[pairs[:, 1]], axis=1)
    length = length * np.maximum(1.0, rng.lognormal(np.log(1.08) - spread**2 / 2, spread, m))
    tier = np.minimum(tier + ((tier >= 3) & (rng.random(m) < 0.15)), len(_CLASSES) - 1)
    highway = np.array(_CLASSES, dtype=object)[tier]
    speed = np.where(rng.random(m) < 0.35, np.array(_SPEED)[tier], np.nan)
    lanes = np.array(["1", "2", "3", "4"], dtype=object)[np.clip(3 - tier + rng.integers(0, 2, m), 0, 3)]
    lanes[rng.random(m) < 0.8] = "nan"
    oneway = (tier >= 2) & (rng.random(m) < 0.1)
    centres = place[rng.choice(len(place), max(4, len(place) // 150), replace=False)]
    use = np.array(_LANDUSE, dtype=object)[
        rng.choice(len(_LANDUSE), len(centres), p=np.array([30, 14, 12, 8, 8, 8, 8, 4, 4, 4]) / 100)
    ]
    east, north = local_metres(np.array([origin[0], origin[0] + 1]), np.array([origin[1], origin[1] + 1]), origin)
    lon, lat = origin[0] + place[:, 0] / east[1], origin[1] + place[:, 1] / north[1]
    rows = np.concatenate([np.arange(m), np.flatnonzero(~oneway)])
    back = np.arange(len(rows)) >= m
    a, b = pairs[rows, 0], pairs[rows, 1]
    return Streets(
        name, np.where(back, b, a), np.where(back, a, b), length[rows], lon, lat, speed=speed[rows], oneway=oneway[rows],
        reversed=np.where(back, "True", "False"), lanes=lanes[rows], highway=highway[rows],
        landuse=use[cKDTree(centres).query(place)[1]], meta={"synthetic": meta},
    )  # fmt: skip
