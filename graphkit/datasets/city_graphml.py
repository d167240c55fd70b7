"""Streets from osmnx: a graph of networkx, or the GraphML file that osmnx writes."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np

from graphkit.datasets.city_streets import Streets, speed_of, street_length
from graphkit.errors import UserError

__all__ = ["read_graphml", "streets_from_networkx"]

_TRUE, _FALSE = ("true", "yes", "1", "-1", "reverse", "t"), ("false", "no", "0", "nan", "none", "", "f")
Attributes = Mapping[str, Any]


def streets_from_networkx(graph: nx.Graph, name: str | None = None) -> Streets:
    """Streets of a graph with osmnx's attributes: ``x``, ``y`` (or ``lon``, ``lat``) and perhaps ``street_count`` and
    ``landuse`` of nodes; ``length`` and perhaps ``oneway``, ``reversed``, ``lanes``, ``highway``, ``maxspeed`` or ``speed_kph``
    of edges.

    Edges of an undirected graph are streets for both ways. A missing length is the straight one.

    Args:
        graph: ``Graph``, ``DiGraph``, ``MultiGraph`` or ``MultiDiGraph``.
        name: what it is called; None: its own name.

    Raises:
        UserError: for nodes without positions, and values that are no numbers.

    Example:
        >>> lane = nx.Graph([("a", "b", {"length": 30.0})])
        >>> nx.set_node_attributes(lane, {"a": {"x": 0.0, "y": 0.0}, "b": {"x": 0.0, "y": 1e-3}})
        >>> streets_from_networkx(lane).length.tolist()
        [30.0, 30.0]
    """
    return _streets(
        name or str(graph.graph.get("name") or "streets"), graph.nodes(data=True), graph.edges(data=True), graph.is_directed(),
        str(graph.graph.get("crs", "")),
    )  # fmt: skip


def read_graphml(path: str | Path) -> Streets:
    """Streets of a GraphML file as osmnx and networkx write them; every value there is text.

    The standard library reads the file; attributes are numbers, yes or no, or lists such as ``"['3', '4']"``. For the attributes
    see :func:`streets_from_networkx`.

    Raises:
        UserError: for a file that is no GraphML, or whose nodes have no coordinates.
    """
    path, keys, whole = Path(path), {}, {}
    nodes: list[tuple[str, dict[str, str]]] = []
    edges: list[tuple[str, str, dict[str, str]]] = []
    directed = True
    try:
        for event, element in ElementTree.iterparse(path, events=("start", "end")):
            tag = element.tag.rpartition("}")[2]
            if event == "start":
                if tag == "graph":
                    directed = element.get("edgedefault", "directed") == "directed"
                continue
            if tag == "key":
                keys[element.get("id", "")] = element.get("attr.name", "")
            elif tag in ("node", "edge"):
                data = {
                    keys.get(entry.get("key", ""), ""): entry.text or ""
                    for entry in element
                    if entry.tag.rpartition("}")[2] == "data"
                }
                if tag == "node":
                    nodes.append((element.attrib["id"], data))
                else:
                    edges.append((element.attrib["source"], element.attrib["target"], data))
                element.clear()
            elif tag == "graph":
                for entry in element:
                    if entry.tag.rpartition("}")[2] == "data":
                        whole[keys.get(entry.get("key", ""), "")] = entry.text or ""
    except (ElementTree.ParseError, KeyError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no whole GraphML file ({error}); export it again with osmnx.save_graphml") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if not nodes:
        raise UserError(f"{path} holds no nodes; export it again with osmnx.save_graphml")
    return _streets(path.stem, nodes, edges, directed, whole.get("crs", ""))


def _streets(
    name: str,
    nodes: Iterable[tuple[Any, Attributes]],
    edges: Iterable[tuple[Any, Any, Attributes]],
    directed: bool,
    crs: str,
) -> Streets:
    nodes = list(nodes)
    number = {node: i for i, (node, _) in enumerate(nodes)}
    x, y, kind = _positions(name, nodes)
    counts = [_count(name, node, data) for node, data in nodes]
    uses = [_text(data.get("landuse")) for _, data in nodes]
    columns: dict[str, list[Any]] = {
        key: [] for key in ("source", "target", "length", "given", "speed", "oneway", "reversed", "lanes", "highway")
    }
    for u, v, data in edges:
        if u not in number or v not in number:
            raise UserError(f"{name}: a street leads to {u if u not in number else v}, which is no node of the file")
        oneway, turned = _flag(data.get("oneway")) and directed, _reversed(data.get("reversed"))
        length = data.get("length")
        given = length not in (None, "")
        row = {
            "source": number[u],
            "target": number[v],
            "given": given,
            "length": _number(name, "length", length) if given else math.nan,
            "speed": speed_of(data.get("speed_kph", data.get("maxspeed", ""))),
            "oneway": oneway,
            "reversed": turned,
            "lanes": _text(data.get("lanes")),
            "highway": _text(data.get("highway")),
        }
        rows = [row]
        if not directed:
            rows.append({**row, "source": row["target"], "target": row["source"], "reversed": "True"})
        for one in rows:
            for key, value in one.items():
                columns[key].append(value)
    arrays = {key: np.array(columns.pop(key), dtype=np.int64) for key in ("source", "target")}
    length = np.array(columns.pop("length"), dtype=np.float64)
    # only what the source leaves out is measured here; a length that is NaN there is a mistake to be named
    measured = ~np.array(columns.pop("given"), dtype=bool)
    length = np.where(measured, street_length(x, y, arrays["source"], arrays["target"], kind), length)
    return Streets(
        name, **arrays, length=length, x=x, y=y, **columns,
        street_count=None if any(count is None for count in counts) else counts,
        landuse=None if all(use == "nan" for use in uses) else uses, node_ids=[str(node) for node, _ in nodes], crs=kind,
        meta={"source_crs": crs} if crs else {},
    )  # fmt: skip


def _positions(name: str, nodes: list[tuple[Any, Attributes]]) -> tuple[np.ndarray, np.ndarray, str]:
    """Longitude and latitude where there are any, else the plane."""

    def pair(across: str, up: str) -> np.ndarray | None:
        if any(data.get(across) in (None, "") or data.get(up) in (None, "") for _, data in nodes):
            return None
        return np.array(
            [[_number(name, across, data[across]), _number(name, up, data[up])] for _, data in nodes], dtype=np.float64
        ).reshape(-1, 2)

    found = pair("x", "y")
    if found is not None and (np.abs(found) <= (180, 90)).all():
        return found[:, 0], found[:, 1], "lonlat"
    degrees = pair("lon", "lat")
    if degrees is not None:
        return degrees[:, 0], degrees[:, 1], "lonlat"
    if found is None:
        lost = next(
            node
            for node, data in nodes
            if any(data.get(key) in (None, "") for key in ("x", "y")) and any(data.get(key) in (None, "") for key in ("lon", "lat"))
        )  # fmt: skip
        raise UserError(
            f"{name}: node {lost} has no coordinates; a street network needs x and y (or lon and lat) for every node"
        )
    return found[:, 0], found[:, 1], "plane"


def _number(name: str, what: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UserError(f"{name}: {what} is {value!r}, expected a number") from None


def _count(name: str, node: Any, data: Attributes) -> int | None:
    value = data.get("street_count")
    if value in (None, ""):
        return None
    count = _number(name, f"street_count of node {node}", value)
    if not math.isfinite(count):
        raise UserError(f"{name}: street_count of node {node} is {value!r}, expected a whole number")
    return int(count)


def _text(value: Any) -> str:
    missing = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    return "nan" if missing else str(value)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, str) and value.startswith("["):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return [value]
    return list(value) if isinstance(value, (list, tuple, set)) else [value]


def _flag(value: Any) -> bool:
    return any(str(part).strip().lower() in _TRUE for part in _parts(value))


def _reversed(value: Any) -> str:
    found = {str(part).strip().lower() in _TRUE for part in _parts(value)}
    return "[False, True]" if len(found) == 2 else str(found == {True})
