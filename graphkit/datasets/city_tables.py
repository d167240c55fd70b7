"""Streets from tables: two tables of one's own, TNTP, and the road networks of Li et al. and of Gleich."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.datasets.city_streets import Streets, speed_of, street_length
from graphkit.datasets.matlab_file import read_matlab_file
from graphkit.errors import UserError

__all__ = ["read_minnesota", "read_spatial", "read_street_tables", "read_tntp", "streets_from_tables"]

_ENDS = {"source": ("source", "u", "from"), "target": ("target", "v", "to")}


def streets_from_tables(
    streets: Any, junctions: Any, *, name: str = "streets", directed: bool = False, crs: str | None = None
) -> Streets:
    """Streets of two tables, each a mapping of columns or a pandas frame.

    Args:
        streets: ``source``, ``target`` (or ``u``, ``v``) and perhaps ``length`` (m; else the straight one), ``speed`` (km/h),
            ``oneway``, ``lanes``, ``highway``.
        junctions: ``id``, ``x``, ``y`` and perhaps ``street_count``, ``landuse``.
        name: what the network is called.
        directed: whether a row is one direction only; else a street that is not ``oneway`` is for both.
        crs: ``"lonlat"`` or ``"plane"``; None: degrees where all positions may be such.

    Raises:
        UserError: for missing columns, unknown junctions, values that are no numbers.

    Example:
        >>> streets_from_tables({"u": [7], "v": [9]}, {"id": [7, 9], "x": [0, 300], "y": [0, 400]}).length.tolist()
        [500.0, 500.0]
    """
    edges, nodes = _columns(streets), _columns(junctions)
    ends = [_column(name, edges, *known) for known in _ENDS.values()]
    ids = [str(node) for node in _column(name, nodes, "id", "node_id", "node")]
    number = {node: i for i, node in enumerate(ids)}
    if len(number) != len(ids):
        raise UserError(f"{name}: a junction has two rows; give every id once")
    x, y = (
        _floats(name, key, _column(name, nodes, *names)) for key, names in (("x", ("x", "lon")), ("y", ("y", "lat")))
    )
    for end in ends:
        lost = next((str(node) for node in end if str(node) not in number), None)
        if lost is not None:  # '' is a name that may be lost too
            raise UserError(f"{name}: a street leads to junction {lost!r}, which the table of junctions lacks")
    source, target = (np.array([number[str(node)] for node in end], dtype=np.int64) for end in ends)
    kind = crs or ("lonlat" if (np.abs(x) <= 180).all() and (np.abs(y) <= 90).all() else "plane")
    length = (
        _floats(name, "length", edges["length"]) if "length" in edges else street_length(x, y, source, target, kind)
    )
    optional: dict[str, Any] = {key: edges[key] for key in ("lanes", "highway") if key in edges}
    optional = {key: ["nan" if _missing(value) else value for value in values] for key, values in optional.items()}
    speed = next((edges[key] for key in ("speed", "speed_kph", "maxspeed") if key in edges), None)
    if speed is not None:
        optional["speed"] = np.array([math.nan if _missing(value) else speed_of(value) for value in speed])
    oneway = np.array(
        [str(value).strip().lower() in ("true", "yes", "1") for value in edges.get("oneway", [""] * len(source))]
    )
    optional["oneway"] = oneway.astype(bool)
    of_nodes = {key: nodes[key] for key in ("street_count", "landuse") if key in nodes}
    rows: dict[str, Any] = {"source": source, "target": target, "length": length, **optional}
    rows["reversed"] = np.array(["False"] * len(source), dtype=object)
    if not directed:
        rows = _both_ways(rows)
    return Streets(name, **rows, x=x, y=y, **of_nodes, node_ids=ids, crs=kind)


def _both_ways(rows: dict[str, Any]) -> dict[str, Any]:
    """A second row, the other way, for every street that is not one-way."""
    double = ~rows["oneway"]
    out = {}
    for key, values in rows.items():
        values = np.asarray(values, dtype=object if key in ("lanes", "highway", "reversed") else None)
        other = rows["target" if key == "source" else "source"] if key in ("source", "target") else values
        back = np.array(["True"] * int(double.sum()), dtype=object) if key == "reversed" else np.asarray(other)[double]
        out[key] = np.concatenate([values, back])
    return out


def read_street_tables(path: str | Path) -> Streets:
    """``edges.csv`` beside ``nodes.csv`` (or ``.tsv``), or ``PREFIXedges.csv`` beside ``PREFIXnodes.csv``, each with a header; for
    the columns see :func:`streets_from_tables`.

    Raises:
        UserError: for a missing file, and as :func:`streets_from_tables`.
    """
    path = Path(path)
    if not path.stem.endswith("edges"):
        raise UserError(
            f"{path.name} is no table of streets; name it edges{path.suffix} and put nodes{path.suffix} beside it"
        )
    beside = path.with_name(path.stem.removesuffix("edges") + "nodes" + path.suffix)
    tables = []
    for file in (path, beside):
        try:
            with file.open(newline="", encoding="utf-8") as text:
                rows = list(csv.DictReader(text, delimiter="\t" if file.suffix.lower() == ".tsv" else ","))
        except FileNotFoundError:
            raise UserError(f"there is no file {file}; expected the table of junctions beside {path.name}") from None
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"{file} is no table ({error})") from None
        tables.append({key: [row[key] for row in rows] for key in (rows[0] if rows else {}) if key})
    return streets_from_tables(
        *tables, name=path.stem.removesuffix("edges").rstrip("_-.") or path.parent.name or "streets"
    )


def read_tntp(path: str | Path, *, zones: bool = False, metres_per_unit: float = 1.0) -> Streets:
    """Streets of a TNTP network (``NAME_net.tntp``, or its folder) with its node file beside it.

    Links are directed, a pair of them is a street for both ways. Links of zones (ids below the first through node) are
    connectors, not streets. Lengths are in the unit of the file: kilometres, miles or feet, see its header.

    Args:
        path: the file or folder.
        zones: whether to keep the links of zones.
        metres_per_unit: what lengths are multiplied with.

    Raises:
        UserError: for a missing node file, a broken header or row.
    """
    path = Path(path)
    if path.is_dir():
        nets = sorted(path.glob("*_net.tntp"))
        if len(nets) != 1:
            raise UserError(f"the folder {path} holds {len(nets)} files NAME_net.tntp, expected one")
        path = nets[0]
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    head = {
        line[1 : line.index(">")].strip().upper(): line[line.index(">") + 1 :].strip()
        for line in lines
        if line.startswith("<") and ">" in line
    }
    names = next((line.strip("~;\t ").split() for line in lines if line.startswith("~")), None)
    if (
        "FIRST THRU NODE" not in head
        or names is None
        or names[:2] != ["init_node", "term_node"]
        or "length" not in names
    ):
        raise UserError(
            f"{path.name} is no TNTP network: expected <FIRST THRU NODE> and a line '~ init_node term_node ... length'"
        )
    begin = next(i for i, line in enumerate(lines) if line.startswith("~")) + 1
    try:
        table = [line.replace(";", " ").split() for line in lines[begin:] if line.strip(" \t;")]
        values = {
            key: np.array([float(row[column]) for row in table])
            for column, key in enumerate(names)
            if key in ("init_node", "term_node", "length", "speed", "link_type", "lanes")
        }
        first = 0 if zones else int(head["FIRST THRU NODE"])
    except (ValueError, IndexError) as error:
        raise UserError(f"{path.name} has a broken row or header ({error})") from None
    place = {node: point for node, point in _tntp_nodes(path).items() if node >= first}
    keep = (values["init_node"] >= first) & (values["term_node"] >= first)
    ends = [values[key][keep].astype(np.int64) for key in ("init_node", "term_node")]
    number = {node: i for i, node in enumerate(place)}
    lost = next((int(node) for end in ends for node in end if int(node) not in number), None)
    if lost is not None:
        raise UserError(f"{path.name}: node {lost} has no coordinates in the node file; give every node x and y")
    source, target = (np.array([number[int(node)] for node in end], dtype=np.int64) for end in ends)
    pairs = set(zip(source.tolist(), target.tolist(), strict=True))
    back = np.array([(v, u) in pairs for u, v in zip(source.tolist(), target.tolist(), strict=True)], dtype=bool)
    speed = values["speed"][keep] if "speed" in values else np.zeros(int(keep.sum()))
    texts = {
        column: [f"{value:g}" for value in values[key][keep]]
        for column, key in (("lanes", "lanes"), ("highway", "link_type"))
        if key in values
    }
    x, y = (np.array([point[axis] for point in place.values()]) for axis in (0, 1))
    crs = "lonlat" if (np.abs(x) <= 180).all() and (np.abs(y) <= 90).all() else "plane"
    return Streets(
        path.name.removesuffix("_net.tntp"),
        source,
        target,
        values["length"][keep] * metres_per_unit,
        x,
        y,
        crs=crs,
        speed=np.where(speed > 0, speed, np.nan),
        oneway=~back,
        reversed=[str(bool(b and u > v)) for b, u, v in zip(back, source, target, strict=True)],
        node_ids=[str(node) for node in place],
        meta={"length_unit": f"of the file, times {metres_per_unit:g}"},
        **texts,
    )


def _tntp_nodes(net: Path) -> dict[int, tuple[float, float]]:
    stem = net.name.removesuffix("_net.tntp").lower()
    beside = [
        file
        for file in sorted(net.parent.iterdir())
        if file.name.lower().startswith(stem) and "node" in file.name.lower()
    ]
    if not beside:
        raise UserError(f"{net.name} has no node file beside it; put NAME_node.tntp with the coordinates there")
    try:
        if beside[0].suffix == ".geojson":
            features = json.loads(beside[0].read_text(encoding="utf-8"))["features"]
            places = {int(feature["properties"]["id"]): feature["geometry"]["coordinates"] for feature in features}
            return {node: (float(place[0]), float(place[1])) for node, place in places.items()}
        rows = [line.replace(";", " ").split() for line in beside[0].read_text(encoding="utf-8").splitlines()[1:]]
        return {int(row[0]): (float(row[1]), float(row[2])) for row in rows if row}
    except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
        raise UserError(f"{beside[0].name} is no node file of TNTP ({error}); expected rows of node, x, y") from None


def read_spatial(path: str | Path) -> Streets:
    """``NAME.cedge`` (id, start, end, length) beside ``NAME.cnode`` (id, x, y).

    Source:
        Li et al.: On trip planning queries in spatial databases (SSTD 2005).

    Raises:
        UserError: for a missing or broken file.
    """
    path = Path(path)
    tables = []
    for file, columns in ((path, 4), (path.with_suffix(".cnode"), 3)):
        try:
            table = np.loadtxt(file, ndmin=2)
        except FileNotFoundError:
            raise UserError(f"there is no file {file}; expected NAME.cedge beside NAME.cnode") from None
        except ValueError as error:
            raise UserError(f"{file} has a broken row ({error})") from None
        if table.shape[1] != columns:
            raise UserError(f"{file} has {table.shape[1]} columns, expected {columns}")
        tables.append(table)
    edges, nodes = tables
    columns_of = {"source": edges[:, 1].astype(np.int64), "target": edges[:, 2].astype(np.int64), "length": edges[:, 3]}
    return streets_from_tables(
        columns_of, {"id": nodes[:, 0].astype(np.int64), "x": nodes[:, 1], "y": nodes[:, 2]}, name=path.stem
    )


def read_minnesota(path: str | Path) -> Streets:
    """A MATLAB file with a symmetric matrix ``A`` and positions ``xy``; lengths are the straight ones.

    Raises:
        UserError: for a file without these.
    """
    import scipy.sparse

    try:
        held = read_matlab_file(Path(path), ["A", "xy"])
        matrix, place = scipy.sparse.coo_matrix(held["A"]), np.asarray(held["xy"], dtype=np.float64)
        if place.shape != (matrix.shape[0], 2):
            raise ValueError(f"A is {matrix.shape} and xy {place.shape}")
    except (ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise UserError(f"{path} is no MATLAB file with A and xy ({error})") from None
    once = matrix.row < matrix.col
    edges = {"source": matrix.row[once], "target": matrix.col[once]}
    return streets_from_tables(
        edges, {"id": range(len(place)), "x": place[:, 0], "y": place[:, 1]}, name=Path(path).stem
    )


def _columns(table: Any) -> dict[str, Any]:
    if isinstance(table, Mapping):
        return {str(key).strip().lower(): list(values) for key, values in table.items()}
    if hasattr(table, "columns"):
        return {str(key).strip().lower(): table[key].tolist() for key in table.columns}
    raise UserError(f"a table is a {type(table).__name__}, expected a mapping of columns or a pandas frame")


def _column(name: str, table: dict[str, Any], *names: str) -> Any:
    for key in names:
        if key in table:
            return table[key]
    raise UserError(f"{name}: a table has the columns {sorted(table)}, expected one called {' or '.join(names)}")


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _floats(name: str, what: str, values: Any) -> np.ndarray:
    try:
        return np.array([math.nan if _missing(value) else float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name}: the column {what} holds something that is no number") from None
