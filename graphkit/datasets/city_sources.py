"""Which reader serves which source of streets."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import networkx as nx

from graphkit.datasets.city_aequilibrae import read_aequilibrae
from graphkit.datasets.city_graphml import read_graphml, streets_from_networkx
from graphkit.datasets.city_osm import read_osm
from graphkit.datasets.city_streets import Streets
from graphkit.datasets.city_synthetic import KINDS, synthetic_streets
from graphkit.datasets.city_tables import (
    read_minnesota,
    read_spatial,
    read_street_tables,
    read_tntp,
    streets_from_tables,
)
from graphkit.errors import UserError, nearest

__all__ = ["read_streets"]

_KNOWN = (
    "GraphML of osmnx (.graphml), OSM (.osm, .xml, .pbf), AequilibraE (.sqlite or .zip), TNTP (.tntp or its folder), road_spatial "
    "(.cedge), MATLAB (.mat), tables (edges.csv beside nodes.csv) or synthetic:KIND:N:SEED"
)


def read_streets(source: Any) -> Streets:
    """The streets of a source, told by its type or the ending of its name.

    Args:
        source: what :func:`build_city` takes.

    Raises:
        UserError: for a source of no known kind, and for what its reader refuses.

    Example:
        >>> read_streets("synthetic:grid:100").num_nodes > 50
        True
    """
    if isinstance(source, Streets):
        return source
    if isinstance(source, nx.Graph):
        return streets_from_networkx(source)
    if isinstance(source, tuple) and len(source) == 2:
        return streets_from_tables(*source)
    if not isinstance(source, (str, os.PathLike)):
        raise UserError(f"a {type(source).__name__} is no source of streets; give {_KNOWN}")
    if str(source).startswith("synthetic:"):
        return _synthetic(str(source))
    path = Path(source)
    if not path.exists():
        raise UserError(f"there is no file {path}; give {_KNOWN}")
    streets = _read(path)
    streets.meta = {**streets.meta, "file": path.name, **({"file_sha256": _sha256(path)} if path.is_file() else {})}
    return streets


def _read(path: Path) -> Streets:
    name, endings = path.name.lower(), path.suffix.lower()
    if path.is_dir():
        if (net := sorted(path.glob("*_net.tntp"))) and len(net) == 1:
            return read_tntp(net[0])
        if projects := sorted(path.glob("*.sqlite")):
            return read_aequilibrae(projects[0])
        if tables := [table for ending in ("csv", "tsv") for table in [path / f"edges.{ending}"] if table.exists()]:
            return read_street_tables(tables[0])
        raise UserError(f"the folder {path} holds no NAME_net.tntp, no .sqlite file and no edges.csv; give {_KNOWN}")
    if endings == ".graphml":
        return read_graphml(path)
    if endings in (".osm", ".xml", ".pbf") or name.endswith((".osm.gz", ".osm.bz2")):
        return read_osm(path)
    if endings in (".sqlite", ".zip"):
        return read_aequilibrae(path)
    if endings == ".tntp":
        return read_tntp(path)
    if endings in (".cedge", ".cnode"):
        return read_spatial(path.with_suffix(".cedge"))
    if endings == ".mat":
        return read_minnesota(path)
    if endings in (".csv", ".tsv"):
        return read_street_tables(path)
    raise UserError(f"{path.name} is of no known kind; give {_KNOWN}")


def _synthetic(text: str) -> Streets:
    parts = text.split(":")[1:]
    if parts[0] not in KINDS:
        raise UserError(nearest(parts[0], KINDS, "kind of synthetic city"))
    try:
        numbers = [int(part) for part in parts[1:]]
        if len(numbers) > 2:
            raise ValueError
    except ValueError:
        raise UserError(
            f"the source is {text!r}, expected synthetic:KIND:N:SEED with whole numbers, such as synthetic:city:2000:0"
        ) from None
    return synthetic_streets(parts[0], *numbers[:1], seed=numbers[1] if len(numbers) > 1 else 0)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
