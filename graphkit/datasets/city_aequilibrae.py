"""Streets of an AequilibraE project, with the standard library alone."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.datasets.city_streets import Streets
from graphkit.errors import UserError

__all__ = ["read_aequilibrae"]

_HEADER = 43  # bytes before the body of a geometry: byte order, reference system, bounding box, kind
_CONNECTOR = "centroid_connector"


def read_aequilibrae(path: str | Path, *, connectors: bool = False) -> Streets:
    """Streets of the tables ``nodes`` and ``links`` of a project.

    Args:
        path: the ``.sqlite`` file of a project, or a ``.zip`` file that holds one.
        connectors: whether to keep links of the type ``centroid_connector``, which are no streets.

    Raises:
        UserError: for a file without such tables or columns, or geometries that are no points.

    Example:
        >>> read_aequilibrae("project_database.sqlite")  # doctest: +SKIP
    """
    path = Path(path)
    if path.suffix.lower() != ".zip":
        return _read(path, path.stem, connectors)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                held = [
                    name
                    for name in archive.namelist()
                    if name.lower().endswith(".sqlite") and "public_transport" not in name.lower()
                ]
                held.sort(key=lambda name: ("project_database" not in name, name))
                if not held:
                    raise UserError(f"{path} holds no .sqlite file; expected the project of AequilibraE")
                target = Path(folder) / "project.sqlite"  # whatever the member is called
                target.write_bytes(archive.read(held[0]))
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
            raise UserError(f"{path} is no whole zip file ({error}); fetch it again") from None
        return _read(target, path.stem, connectors)


def _read(path: Path, name: str, connectors: bool) -> Streets:
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as database:
            nodes = _rows(database, name, "nodes", ("node_id", "geometry"))
            optional = ("distance", "direction", "link_type", "lanes_ab", "lanes_ba", "speed_ab", "speed_ba")
            links = _rows(database, name, "links", ("a_node", "b_node"), optional)
    except sqlite3.Error as error:
        raise UserError(f"{path.name} is no database of AequilibraE ({error})") from None
    try:
        return _streets(name, nodes, links, connectors)
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name}: a cell of its tables holds no number where one is expected ({error})") from None


def _streets(name: str, nodes: list[dict[str, Any]], links: list[dict[str, Any]], connectors: bool) -> Streets:
    place = {int(row["node_id"]): _point(name, row) for row in nodes}
    number = {node: i for i, node in enumerate(place)}
    columns: dict[str, Any] = {
        key: [] for key in ("source", "target", "length", "speed", "oneway", "reversed", "lanes", "highway")
    }
    for row in links:
        if row["link_type"] == _CONNECTOR and not connectors:
            continue
        a, b = row["a_node"], row["b_node"]
        if a not in number or b not in number:
            raise UserError(f"{name}: a link leads to node {a if a not in number else b}, which the table nodes lacks")
        direction = int(row["direction"] or 0)
        for way, end, start, finish in ((1, "ab", a, b), (-1, "ba", b, a)):
            if direction in (0, way):
                columns["source"].append(number[start])
                columns["target"].append(number[finish])
                columns["length"].append(math.nan if row["distance"] is None else float(row["distance"]))
                speed, lanes = row[f"speed_{end}"], row[f"lanes_{end}"]
                columns["speed"].append(math.nan if speed is None else float(speed))
                columns["lanes"].append("nan" if lanes is None else f"{float(lanes):g}")
                columns["highway"].append("nan" if row["link_type"] is None else str(row["link_type"]))
                columns["oneway"].append(direction != 0)
                columns["reversed"].append(str(way == -1 and direction == 0))
    x, y = (np.array([point[axis] for point in place.values()]) for axis in (0, 1))
    crs = "lonlat" if (np.abs(x) <= 180).all() and (np.abs(y) <= 90).all() else "plane"
    return Streets(name, **columns, x=x, y=y, node_ids=[str(node) for node in place], crs=crs)


def _rows(
    database: sqlite3.Connection, name: str, table: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    # a view could be made never to end; a table is as large as the file
    tables = {
        row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0")
    }
    known = {row[1] for row in database.execute(f"PRAGMA table_info({table})")} if table in tables else set()
    lacking = [column for column in needed if column not in known]
    if lacking:
        raise UserError(
            f"{name}: the table {table} lacks {', '.join(lacking)}; expected the database of an AequilibraE project"
        )
    columns = [*needed, *(column for column in optional if column in known)]
    order = needed[0] if table == "nodes" else "rowid"
    found = database.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}")
    return [{**dict.fromkeys(optional), **dict(zip(columns, row, strict=True))} for row in found]


def _point(name: str, row: dict[str, Any]) -> tuple[float, float]:
    """Two doubles behind the header of a Spatialite geometry of kind 1."""
    blob = row["geometry"]
    if not isinstance(blob, bytes) or len(blob) < _HEADER + 16 or blob[0] != 0 or blob[1] not in (0, 1):
        raise UserError(f"{name}: the geometry of node {row['node_id']} is no point of Spatialite")
    order = "<" if blob[1] == 1 else ">"
    if struct.unpack_from(order + "i", blob, _HEADER - 4)[0] != 1:
        raise UserError(f"{name}: the geometry of node {row['node_id']} is no point of Spatialite")
    x, y = struct.unpack_from(order + "2d", blob, _HEADER)
    return x, y
