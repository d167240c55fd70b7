"""Chains of street segments merged into streets between junctions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Segment", "Street", "simplify"]


class Segment(NamedTuple):
    """One step of a way, in a direction that traffic may take.

    Attributes:
        source, target: nodes.
        way: the way it belongs to.
        oneway: whether the way is for one direction only.
        reversed: whether the step leads against the order of the way.
        text: attributes, ``"nan"`` where missing.
    """

    source: int
    target: int
    way: int
    oneway: bool
    reversed: bool
    text: dict[str, str]


@dataclass
class Street:
    """A chain of segments between two junctions; several different values become the text of a sorted list."""

    source: int
    target: int
    length: float
    oneway: bool
    reversed: str
    text: dict[str, str]


def simplify(segments: Sequence[Segment], length: Sequence[float]) -> tuple[list[Street], dict[int, int]]:
    """Merge nodes that only shape a street.

    A node stays where a street ends, or more or fewer than two streets meet, where directions change, and where a segment
    leads to itself; of a ring without any such node the smallest one stays. Lengths are summed, and of each attribute the
    different values are kept.

    Args:
        segments: of the whole network.
        length: of each segment, metres.

    Returns:
        the streets, by source and target; and for each node that stays, how many streets end there (both directions are one,
        a loop has two ends).

    Source:
        Boeing: OSMnx, Computers, Environment and Urban Systems (2017), for the rules.

    Example:
        >>> way = [Segment(a, b, 1, False, a > b, {"highway": "path"}) for a, b in [(1, 2), (2, 1), (2, 3), (3, 2)]]
        >>> streets, count = simplify(way, [1.0, 1.0, 2.0, 2.0])
        >>> [(s.source, s.target, s.length) for s in streets], count
        ([(1, 3, 3.0), (3, 1, 3.0)], {1: 1, 3: 1})
    """
    out: dict[int, list[int]] = defaultdict(list)
    into: dict[int, list[int]] = defaultdict(list)
    for number, segment in enumerate(segments):
        out[segment.source].append(number)
        into[segment.target].append(number)
    nodes = sorted(set(out) | set(into))
    stays = {node for node in nodes if _stays(node, segments, out[node], into[node])}
    used = [False] * len(segments)
    streets: list[Street] = []
    ends: Counter[tuple[tuple[int, ...], int]] = Counter()
    for start in (*sorted(stays), *nodes):  # rings without a junction come last
        if start not in stays and all(used[number] for number in (*out[start], *into[start])):
            continue
        stays.add(start)
        for first in out[start]:
            if not used[first]:
                chain = _follow(first, segments, out, stays, used)
                streets.append(_street(chain, segments, length))
                path = (start, *(segments[number].target for number in chain))
                ends[min(path, path[::-1]), _way(chain, segments)] += 1
    count: Counter[int] = Counter(
        {node: 0 for node in sorted({end for one in streets for end in (one.source, one.target)})}
    )
    for path, _ in ends:
        count[path[0]] += 1
        count[path[-1]] += 1
    streets.sort(key=lambda one: (one.source, one.target))
    return streets, dict(count)


def _stays(node: int, segments: Sequence[Segment], out: list[int], into: list[int]) -> bool:
    successors, predecessors = [segments[number].target for number in out], [segments[number].source for number in into]
    neighbours, degree = {*successors, *predecessors}, len(out) + len(into)
    if node in neighbours or not out or not into:
        return True
    return not (len(neighbours) == 2 and degree in (2, 4))


def _follow(
    first: int, segments: Sequence[Segment], out: dict[int, list[int]], stays: set[int], used: list[bool]
) -> list[int]:
    chain = [first]
    used[first] = True
    while (here := segments[chain[-1]].target) not in stays:
        before = segments[chain[-1]].source
        onward = [number for number in out[here] if segments[number].target != before and not used[number]]
        if not onward:
            break
        chain.append(onward[0])
        used[onward[0]] = True
    return chain


def _way(chain: list[int], segments: Sequence[Segment]) -> int:
    return segments[chain[0]].way if len(chain) == 1 else 0


def _street(chain: list[int], segments: Sequence[Segment], length: Sequence[float]) -> Street:
    parts = [segments[number] for number in chain]
    turned = {part.reversed for part in parts}
    text = {}
    for key in parts[0].text:
        values = sorted({part.text[key] for part in parts} - {"nan"})
        text[key] = values[0] if len(values) == 1 else str(values) if values else "nan"
    return Street(
        parts[0].source, parts[-1].target, sum(length[number] for number in chain), any(part.oneway for part in parts),
        "[False, True]" if len(turned) == 2 else str(turned == {True}), text,
    )  # fmt: skip
