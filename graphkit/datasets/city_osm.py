"""Streets of an OpenStreetMap extract: the ways that are streets, cut at junctions."""

from __future__ import annotations

import bz2
import gzip
import itertools
import math
import warnings
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from graphkit.datasets.city_simplify import Segment, simplify
from graphkit.datasets.city_streets import Streets, local_metres, speed_of, street_length
from graphkit.errors import DataWarning, UserError, nearest

__all__ = ["is_street", "read_osm"]

# what osmnx 2 leaves out of its network type "all", and "all_public" besides
_NO_STREETS = {
    "abandoned", "construction", "no", "planned", "platform", "proposed", "raceway", "razed", "rest_area", "services",
}  # fmt: skip
NETWORKS = ("all", "all_public")
_ONE_WAY, _BACKWARD = {"yes", "true", "1", "-1", "reverse", "t", "f"}, {"-1", "reverse", "t"}

Way = tuple[int, list[int], dict[str, str]]


def is_street(tags: dict[str, str], network: str = "all") -> bool:
    """Whether a way with these tags belongs to the network.

    Args:
        tags: of the way.
        network: ``"all"`` as in osmnx 2, private ways too; ``"all_public"`` without them, which osmnx 1 called ``all``.

    Example:
        >>> is_street({"highway": "service", "service": "driveway"}), is_street({"highway": "platform"})
        (True, False)
    """
    kind = tags.get("highway")
    if kind is None or kind in _NO_STREETS or tags.get("area") == "yes":
        return False
    return network == "all" or (tags.get("access") != "private" and tags.get("service") != "private")


def read_osm(path: str | Path, *, network: str = "all") -> Streets:
    """Streets of an extract, ``.osm`` or ``.xml`` (also ``.gz``, ``.bz2``) with the standard library, ``.pbf`` through osmium.

    A way is cut where it leaves the extract, at every junction, and where streets end; see :func:`simplify`. Land use is that
    of the nearest node of an object tagged ``landuse``, which stands in for the nearest polygon.

    Args:
        path: the file.
        network: ``"all"`` or ``"all_public"``, see :func:`is_street`.

    Raises:
        UserError: for a damaged file, one without streets, or a PBF without osmium.
    """
    path = Path(path)
    if network not in NETWORKS:
        raise UserError(nearest(str(network), NETWORKS, "network"))
    place, ways, uses = _pbf(path) if path.suffix.lower() == ".pbf" else _xml(path)
    kept = [way for way in ways if is_street(way[2], network)]
    if not kept:
        raise UserError(f"{path.name} holds no street; expected ways tagged highway")
    segments, cut = _segments(kept, place)
    if cut:
        warnings.warn(
            f"{path.name}: {cut} of {len(kept)} streets lead out of the extract and are cut at its border; street counts there "
            "may be too small",
            DataWarning,
            stacklevel=3,
        )
    return _streets(path, segments, place, uses, {"ways": len(kept), "ways_cut": cut, "network": network})


def _xml(path: Path) -> tuple[dict[int, tuple[float, float]], list[Way], list[tuple[list[int], str]]]:
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open}
    place: dict[int, tuple[float, float]] = {}
    ways: list[Way] = []
    uses: list[tuple[list[int], str]] = []
    try:
        with openers.get(path.suffix.lower(), open)(path, "rb") as file:
            events = ElementTree.iterparse(file, events=("start", "end"))
            root = next(events)[1]
            if root.tag != "osm":
                raise UserError(f"{path.name} is no OSM file: its root is <{root.tag}>, expected <osm>")
            for event, element in events:
                if event != "end" or element.tag not in ("node", "way", "relation"):
                    continue
                if element.tag != "relation" and element.get("visible", "true") != "false":
                    tags = {tag.attrib["k"]: tag.attrib["v"] for tag in element.iter("tag")}
                    number = int(element.attrib["id"])
                    if element.tag == "node":
                        place[number] = float(element.attrib["lon"]), float(element.attrib["lat"])
                        lon, lat = place[number]
                        if not (abs(lon) <= 180 and abs(lat) <= 90):
                            raise ValueError(f"node {number} is nowhere, at {lon:g}, {lat:g}")
                        if "landuse" in tags:
                            uses.append(([number], tags["landuse"]))
                    else:
                        refs = [int(ref.attrib["ref"]) for ref in element.iter("nd")]
                        ways.append((number, refs, tags))
                        if "landuse" in tags:
                            uses.append((refs, tags["landuse"]))
                root.clear()
    except (ElementTree.ParseError, KeyError, ValueError, EOFError, OSError, zlib.error, StopIteration) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path.name} is no whole OSM file ({error}); fetch it again") from None
    return place, ways, uses


def _pbf(path: Path) -> tuple[dict[int, tuple[float, float]], list[Way], list[tuple[list[int], str]]]:
    try:
        import osmium
    except ImportError:
        raise UserError(
            f"{path.name} is a PBF file, which needs osmium; install graphkit-torch[osm], or convert it to .osm"
        ) from None
    place: dict[int, tuple[float, float]] = {}
    ways: list[Way] = []
    uses: list[tuple[list[int], str]] = []

    class Handler(osmium.SimpleHandler):  # type: ignore[misc, name-defined]
        def node(self, node: Any) -> None:
            if node.location.valid():
                place[node.id] = node.location.lon, node.location.lat
                if "landuse" in node.tags:
                    uses.append(([node.id], node.tags["landuse"]))

        def way(self, way: Any) -> None:
            refs, tags = [node.ref for node in way.nodes], {tag.k: tag.v for tag in way.tags}
            if "highway" in tags:
                ways.append((way.id, refs, tags))
            if "landuse" in tags:
                uses.append((refs, tags["landuse"]))

    try:
        Handler().apply_file(str(path))
    except RuntimeError as error:
        raise UserError(f"{path.name} is no whole PBF file ({error}); fetch it again") from None
    return place, ways, uses


def _segments(ways: Iterable[Way], place: dict[int, tuple[float, float]]) -> tuple[list[Segment], int]:
    """Steps between nodes that follow each other in a way, in the directions that traffic may take."""
    segments, cut = [], 0
    for number, refs, tags in ways:
        one_way = tags.get("oneway", "").lower() in _ONE_WAY or (
            tags.get("junction") in ("roundabout", "circular") and "oneway" not in tags
        )
        if one_way and tags.get("oneway", "").lower() in _BACKWARD:
            refs = refs[::-1]
        pieces = list(_present(refs, place))
        cut += len(refs) != sum(map(len, pieces))
        text = {key: tags.get(key, "nan") for key in ("lanes", "highway", "maxspeed")}
        for piece in pieces:
            steps = [(a, b) for a, b in itertools.pairwise(piece) if a != b]
            segments += [Segment(a, b, number, one_way, False, text) for a, b in steps]
            if not one_way:
                segments += [Segment(b, a, number, one_way, True, text) for a, b in steps]
    return segments, cut


def _present(refs: list[int], place: dict[int, tuple[float, float]]) -> Iterator[list[int]]:
    run: list[int] = []
    for ref in [*refs, None]:
        if ref is not None and ref in place:
            run.append(ref)
        elif run:
            yield run
            run = []


def _streets(
    path: Path,
    segments: list[Segment],
    place: dict[int, tuple[float, float]],
    uses: list[tuple[list[int], str]],
    meta: dict[str, Any],
) -> Streets:
    nodes = sorted({end for segment in segments for end in (segment.source, segment.target)})
    number = {node: i for i, node in enumerate(nodes)}
    x, y = (np.array([place[node][axis] for node in nodes], dtype=np.float64) for axis in (0, 1))
    ends = [
        np.array([number[getattr(segment, end)] for segment in segments], dtype=np.int64)
        for end in ("source", "target")
    ]
    length = street_length(x, y, ends[0], ends[1], "lonlat")
    paths, count = simplify(segments, length.tolist())
    kept = sorted({end for one in paths for end in (one.source, one.target)})
    junction = {node: i for i, node in enumerate(kept)}
    where = np.array([number[node] for node in kept], dtype=np.int64)
    name = path.name.split(".")[0]
    streets = Streets(
        name,
        [junction[one.source] for one in paths],
        [junction[one.target] for one in paths],
        [one.length for one in paths],
        x[where],
        y[where],
        speed=[speed_of(one.text["maxspeed"]) if one.text["maxspeed"] != "nan" else math.nan for one in paths],
        oneway=[one.oneway for one in paths],
        reversed=[one.reversed for one in paths],
        lanes=[one.text["lanes"] for one in paths],
        highway=[one.text["highway"] for one in paths],
        street_count=[count[node] for node in kept],
        node_ids=[str(node) for node in kept],
        meta={**meta, "licence": "OpenStreetMap contributors, ODbL"},
    )
    points = [(place[ref], use) for refs, use in uses for ref in refs if ref in place]
    if points and kept:
        from scipy.spatial import cKDTree

        origin = float(streets.x.mean()), float(streets.y.mean())
        lon, lat = np.array([point for point, _ in points]).T
        tagged = np.stack(local_metres(lon, lat, origin), 1)
        found = cKDTree(tagged).query(np.stack(local_metres(streets.x, streets.y, origin), 1))[1]
        streets.landuse = np.array([*(points[which][1] for which in found), None], dtype=object)[:-1]
        streets.meta["landuse"] = "nearest tagged node, in metres"
    return streets
