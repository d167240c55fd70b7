"""Street networks."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import sqlite3
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import scipy.io
import scipy.sparse
from mutations import hostile_pickle
from random_texts import by_ending, made_table, made_xml
from reader import Files, Reader, contents

__all__ = ["city_readers"]


def city_readers(room: Path) -> list[Reader]:
    from graphkit.data import CityGraph
    from graphkit.datasets import build_city
    from graphkit.datasets.city_archive import read_city_network
    from graphkit.datasets.city_sources import read_streets

    streets = nx.MultiDiGraph(name="town", crs="epsg:4326")
    for i in range(8):
        streets.add_node(i, x=2.0 + i / 100, y=48.0 + i * i / 1000, street_count=2, landuse="park" if i % 2 else "")
    for i in range(8):
        for u, v in ((i, (i + 1) % 8), ((i + 1) % 8, i)):
            streets.add_edge(
                u,
                v,
                osmid=i,
                length=30.5 + i,
                oneway=False,
                reversed=u > v,
                highway="residential",
                lanes="2",
                maxspeed="30 mph",
            )
    as_text = nx.MultiDiGraph(**{key: str(value) for key, value in streets.graph.items()})
    as_text.add_nodes_from(
        (node, {key: str(value) for key, value in data.items()}) for node, data in streets.nodes(data=True)
    )
    as_text.add_edges_from(
        (u, v, {key: str(value) for key, value in data.items()}) for u, v, data in streets.edges(data=True)
    )
    graphml = "\n".join(nx.generate_graphml(as_text)).encode()
    places = "".join(f'<node id="{i}" lon="{2 + i / 100}" lat="{48 + i * i / 1000}"/>\n' for i in range(8))
    ways = "".join(
        f'<way id="{i}">'
        + "".join(f'<nd ref="{ref}"/>' for ref in refs)
        + f'<tag k="highway" v="primary"/><tag k="oneway" v="{way}"/></way>\n'
        for i, (refs, way) in enumerate((((0, 1, 2, 3), "no"), ((3, 4, 5, 6, 7, 3), "yes"), ((2, 6, 99), "-1")))
    )
    osm = f'<?xml version="1.0"?>\n<osm version="0.6">\n{places}{ways}'
    osm = f'{osm}<way id="9"><nd ref="1"/><tag k="landuse" v="park"/></way></osm>'.encode()
    point = b"\x00\x01" + struct.pack("<i4d", 4326, *[0.0] * 4) + b"\x7c" + struct.pack("<i2d", 1, 2.0, 48.0) + b"\xfe"
    project = sqlite3.connect(":memory:")
    with contextlib.closing(project):
        project.execute("CREATE TABLE nodes (node_id INTEGER, geometry BLOB)")
        project.execute(
            "CREATE TABLE links (a_node INTEGER, b_node INTEGER, distance REAL, direction INTEGER, "
            "link_type TEXT, lanes_ab INTEGER, lanes_ba INTEGER, speed_ab REAL, speed_ba REAL)"
        )
        project.executemany(
            "INSERT INTO nodes VALUES (?, ?)",
            [(i, point[:43] + struct.pack("<2d", 2 + i / 100, 48 + i * i / 1000) + b"\xfe") for i in range(1, 5)],
        )
        project.executemany(
            "INSERT INTO links VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(i, i % 4 + 1, 10.5, i % 3 - 1, "street", 1, 2, 30.0, None) for i in range(1, 5)],
        )
        project.commit()
        sqlite = project.serialize()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("p/project_database.sqlite", sqlite)
    net = (
        b"<NUMBER OF NODES> 4\n<FIRST THRU NODE> 1\n<END OF METADATA>\n"
        b"~\tinit_node\tterm_node\tcapacity\tlength\tspeed\tlink_type\t;\n"
        + b"".join(b"\t%d\t%d\t100.0\t5.5\t30\t1\t;\n" % (u, v) for u, v in ((1, 2), (2, 1), (2, 3), (3, 4), (4, 1)))
    )
    nodes = b"node\tX\tY\t;\n" + b"".join(b"%d\t%d.5\t%d\t;\n" % (i, i, i * i) for i in range(1, 5))
    geojson = json.dumps(
        {"features": [{"properties": {"id": i}, "geometry": {"coordinates": [i / 2, i * i]}} for i in range(1, 5)]}
    ).encode()
    minnesota = io.BytesIO()
    scipy.io.savemat(
        minnesota, {"A": scipy.sparse.csc_matrix(np.eye(5, k=1) + np.eye(5, k=-1)), "xy": np.arange(10.0).reshape(5, 2)}
    )
    edges = b"source,target,length,oneway,lanes,speed\n" + b"".join(
        b"a%d,a%d,%d.5,no,2,30\n" % (i, i + 1, i + 3) for i in range(5)
    )
    junctions = b"id,x,y,street_count\n" + b"".join(b"a%d,%d,%d,2\n" % (i, i, i * i) for i in range(6))
    sources: dict[str, list[tuple[str, Files]]] = {
        "GraphML of osmnx": [("a.graphml", {"a.graphml": graphml})],
        "OSM XML": [("a.osm", {"a.osm": osm}), ("a.osm.gz", {"a.osm.gz": gzip.compress(osm, 1)})],
        "AequilibraE": [("a.sqlite", {"a.sqlite": sqlite}), ("a.zip", {"a.zip": zipped.getvalue()})],
        "TNTP": [
            ("a_net.tntp", {"a_net.tntp": net, "a_node.tntp": nodes}),
            ("a_net.tntp", {"a_net.tntp": net, "a_nodes.geojson": geojson}),
        ],
        "road_spatial": [
            (
                "a.cedge",
                {
                    "a.cedge": b"".join(b"%d %d %d 1.5\n" % (i, i, i + 1) for i in range(4)),
                    "a.cnode": b"".join(b"%d %d.5 %d\n" % (i, i, i * i) for i in range(5)),
                },
            )
        ],
        "Minnesota": [("a.mat", {"a.mat": minnesota.getvalue()})],
        "street tables": [("edges.csv", {"edges.csv": edges, "nodes.csv": junctions})],
    }

    def reads(names: list[str]) -> Callable[[Path, int], Any]:
        def read(folder: Path, which: int) -> Any:
            streets = read_streets(folder / names[which])
            if streets.digest()[0] in "07e":  # what is read must also be fit for use, or be refused
                return build_city(streets, k=2, n_classes=2, split=(0.3, 0.3, 0.4))
            return streets.largest_part()

        return read

    make = by_ending(
        graphml=made_xml, osm=made_xml, gz=made_xml, other=made_table, sqlite=lambda rng, _: rng.randbytes(100)
    )
    found = [
        Reader(
            name,
            [files for _, files in variants],
            reads([first for first, _ in variants]),
            None if name in ("AequilibraE", "Minnesota") else make,
            1.3,
        )
        for name, variants in sources.items()
    ]
    city = build_city("synthetic:grid:60:1", k=2, n_classes=2)
    city.save(room / "city.npz")
    published = build_city("synthetic:grid:60:1", n_classes=10)
    published.write_reference(room / "town")
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted((room / "town").iterdir()):
            member = tarfile.TarInfo(f"town/{path.name}")
            member.size = path.stat().st_size
            archive.addfile(member, io.BytesIO(path.read_bytes()))
    found.append(
        Reader(
            "City-Networks",
            [{"town.tar.gz": held.getvalue()}],
            lambda folder, _: read_city_network(folder / "town.tar.gz", name="town"),
        )
    )
    found.append(
        Reader(
            "City-Networks folder",
            [{f"town/{name}": data for name, data in contents(room / "town").items()}],
            lambda folder, _: read_city_network(folder / "town", name="town"),
            lambda rng, _: hostile_pickle(rng),
            0.6,
        )
    )
    found.append(
        Reader(
            "city npz",
            [{"city.npz": (room / "city.npz").read_bytes()}],
            lambda folder, _: CityGraph.load(folder / "city.npz"),
        )
    )
    return found
