"""Features, labels and splits of cities, checked by hand and against published figures; bad input; every synthetic kind."""

import json
import warnings

import numpy as np
import pytest
import torch

from graphkit.data import CityGraph, standardize
from graphkit.datasets import Streets, build_city, synthetic_streets
from graphkit.datasets.city_features import BLOCKS, city_features, impute_speed, one_hot
from graphkit.datasets.city_labels import quantile_labels, split_city
from graphkit.datasets.city_synthetic import KINDS
from graphkit.errors import DataWarning, UserError


def five_nodes():
    """0 <-> 1 for both ways, 1 -> 2 one-way, two parallel streets 2 <-> 3, 3 <-> 4, and a loop at 4."""
    rows = [
        (0, 1, 10.0, False, "False", "2", "residential"),
        (1, 0, 10.0, False, "True", "2", "residential"),
        (1, 2, 20.0, True, "False", "nan", "primary"),
        (2, 3, 30.0, False, "False", "nan", "residential"),
        (3, 2, 30.0, False, "True", "nan", "residential"),
        (2, 3, 50.0, False, "False", "['2', '3']", "service"),
        (3, 2, 50.0, False, "True", "['2', '3']", "service"),
        (3, 4, 40.0, False, "[False, True]", "nan", "residential"),
        (4, 3, 40.0, False, "[False, True]", "nan", "residential"),
        (4, 4, 5.0, False, "False", "nan", "service"),
    ]
    source, target, length, oneway, turned, lanes, highway = zip(*rows, strict=True)
    return Streets(
        "five",
        source,
        target,
        length,
        [0.0, 1, 2, 3, 4],
        [5.0, 6, 7, 8, 9],
        speed=[30, 30, 50, np.nan, np.nan, 20, 20, 10, 10, 20],
        oneway=oneway,
        reversed=turned,
        lanes=lanes,
        highway=highway,
        landuse=["a", "b", "b", "nan", "nan"],
        crs="plane",
    )


def test_features_by_hand():
    streets = five_nodes()
    assert streets.street_count.tolist() == [1, 2, 3, 3, 3]  # the loop has two ends
    found = city_features(streets)
    assert found.vocab["landuse"] == ["b", "nan", "a"] + [""] * 6
    assert found.vocab["oneway"] == ["False", "True"] and found.vocab["reversed"] == ["False", "True", "[False, True]"]
    assert found.vocab["lanes"] == ["nan", "2", "['2', '3']"] + [""] * 6
    assert found.vocab["highway"] == ["residential", "service", "primary"] + [""] * 6
    assert found.edge_index.tolist() == [[0, 1, 1, 2, 2, 3, 3, 4], [1, 0, 2, 1, 3, 2, 4, 3]]
    assert found.edge_attr.shape == (8, 25) and found.x_node.shape == (5, 12) and found.x.shape == (5, 37)
    assert len(found.names) == 37 and len(found.edge_names) == 25
    # missing speed of a residential street: mean of 30, 30, 10, 10
    length_speed = [[10, 30], [10, 30], [20, 50], [20, 50], [40, 20], [40, 20], [40, 10], [40, 10]]
    np.testing.assert_allclose(found.edge_attr[:, :2], length_speed)
    both, one, parallel, mixed = (
        found.edge_attr[0, 2:],
        found.edge_attr[2, 2:],
        found.edge_attr[4, 2:],
        found.edge_attr[6, 2:],
    )
    np.testing.assert_allclose(both, [1, 0, *[0, 1] + [0] * 7, 0.5, 0.5, 0, *[1] + [0] * 8])
    np.testing.assert_allclose(one, [0, 1, *[1] + [0] * 8, 1, 0, 0, *[0, 0, 1] + [0] * 6])
    np.testing.assert_allclose(parallel, [1, 0, *[0.5, 0, 0.5] + [0] * 6, 0.5, 0.5, 0, *[0.5, 0.5] + [0] * 7])
    np.testing.assert_allclose(mixed, [1, 0, *[1] + [0] * 8, 0, 0, 1, *[1] + [0] * 8])
    np.testing.assert_allclose(found.x_node[:, :3], [[0, 5, 1], [1, 6, 2], [2, 7, 3], [3, 8, 3], [4, 9, 3]])
    np.testing.assert_allclose(found.x_node[:, 3:6], [[0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]])
    incoming = [found.edge_attr[found.edge_index[1] == v].mean(0) for v in range(5)]
    np.testing.assert_allclose(found.x[:, 12:], incoming)
    again = city_features(streets, found.vocab)
    np.testing.assert_array_equal(again.x, found.x)


def test_order_of_categories():
    values = np.array(list("aaabbcdefghij"), dtype=object)
    coded, names = one_hot(values, 3, 2)
    assert names == ["others", "a", "b", "c"]  # others is the most frequent after the rest has become it
    assert coded.sum() == len(values) and coded[:, 0].sum() == 7
    known, same = one_hot(np.array(["a", "z", "nan"], dtype=object), 3, 2, ["a", "others", ""])
    assert same == ["a", "others", ""] and known.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert one_hot(np.array(["z"], dtype=object), 3, 2, ["a", ""])[0].tolist() == [[0, 0]]


def test_missing_speeds():
    speed = impute_speed(np.array([10.0, np.nan, 50, np.nan]), np.array(["['a', 'b']", "a", "c", "d"], dtype=object))
    assert speed.tolist() == [10, 10, 50, 30]
    assert impute_speed(np.array([np.nan]), np.array(["a"], dtype=object)).tolist() == [0]


@pytest.mark.parametrize(
    ("n", "first", "last"), [(114127, 11413, 11410), (183917, 18392, 18389), (240587, 24059, 24056), (568795, 56880, 56875)]
)  # fmt: skip
def test_class_sizes_of_the_published_cities(n, first, last):
    score = np.random.default_rng(n).random(n)
    label = quantile_labels(score)
    assert np.bincount(label).tolist() == [first] * 9 + [last]
    order = np.argsort(score)
    assert (np.diff(label[order]) >= 0).all()


def test_labels_of_small_places():
    for n in range(10, 130):
        label = quantile_labels(np.arange(n, 0, -1.0))
        sizes = np.bincount(label, minlength=10)
        assert len(sizes) == 10 and sizes.min() > 0
    assert len(np.unique(quantile_labels(np.arange(10.0), compat=True))) == 5
    assert len(np.unique(quantile_labels(np.arange(20.0), compat=True))) == 7
    assert quantile_labels(np.array([2.0, 1, 1, 1]), 2).tolist() == [1, 0, 0, 0]  # equal scores by node


def test_published_splits():
    paris, shanghai = split_city(114127, (0.1, 0.1, 0.8)), split_city(183917, (0.1, 0.1, 0.8))
    heads = {
        "paris": (paris, [3, 6, 14, 17, 23, 25, 34, 36], [9, 12, 26, 38, 41, 52, 54, 60], (11412, 11412, 91303)),
        "shanghai": (
            shanghai,
            [5, 17, 20, 29, 32, 45, 49, 62],
            [12, 16, 28, 36, 56, 89, 105, 117],
            (18391, 18391, 147135),
        ),
    }
    for masks, train, valid, sizes in heads.values():
        assert np.flatnonzero(masks["train"])[:8].tolist() == train
        assert np.flatnonzero(masks["valid"])[:8].tolist() == valid
        assert tuple(int(mask.sum()) for mask in masks.values()) == sizes
        assert (sum(mask.astype(int) for mask in masks.values()) == 1).all()


def test_spatial_blocks():
    rng = np.random.default_rng(0)
    x, y = rng.random(3000), rng.random(3000)
    blocks = split_city(3000, (0.2, 0.2, 0.6), kind="spatial_block", x=x, y=y)
    assert (sum(mask.astype(int) for mask in blocks.values()) == 1).all()
    assert 600 <= blocks["train"].sum() < 640 and 600 <= blocks["valid"].sum() < 640
    from scipy.spatial import cKDTree

    near = cKDTree(np.stack([x, y], 1)).query(np.stack([x, y], 1), k=2)[1][:, 1]
    shared = (blocks["train"][near] == blocks["train"]).mean()
    drawn = split_city(3000, (0.2, 0.2, 0.6))
    assert shared > 0.9 > (drawn["train"][near] == drawn["train"]).mean()
    other = split_city(3000, (0.2, 0.2, 0.6), kind="spatial_block", x=x, y=y, seed=1)
    assert (other["train"] != blocks["train"]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_cities_look_like_streets(kind):
    import networkx as nx

    city = build_city(synthetic_streets(kind, 1500, seed=2))
    graph = nx.Graph(city.edge_index.t().tolist())
    degree = torch.bincount(city.edge_index[0])
    assert nx.is_connected(graph) and city.num_nodes > 1300 and city.x.shape[1] == 37
    assert 2.3 < degree.double().mean() < 3.2 and degree.max() <= 15
    assert 0.025 < (degree == 1).double().mean() < 0.3
    assert nx.average_clustering(graph) < 0.06
    far = max(nx.single_source_shortest_path_length(graph, int(city.pos[:, 0].argmin())).values())
    assert far >= 1.2 * city.num_nodes**0.5
    assert len(set(city.vocab["highway"])) > 3 and len(set(city.vocab["landuse"])) > 3
    straight = synthetic_streets(kind, 1500, seed=2)
    assert (
        straight.digest()
        == synthetic_streets(kind, 1500, seed=2).digest()
        != synthetic_streets(kind, 1500, seed=3).digest()
    )


DIGESTS = {
    "city": "f60e014db2e41820eb1aaca61090c82538d125a25c64a10b14d8778f7f020b3a",
    "delaunay": "12307a176a31fb094d1396a858ebc64c9abb838d18a284d2dfd37c4c215b4708",
    "gabriel": "733b78ba927a27e80a3e34e19691a4af92da53677c85a61411f6edce60924099",
    "grid": "f69e79771de7f03e6cf2c7fdf14ed8e193c7b6a522cdf2f89b3dbe48fb620682",
    "growth": "49e0171f5d162747bff7d78d34741801ea5ec16a922b60be46c0c7c9bf915a27",
    "rng": "03ad71d0daf3d3a7dcd24e82b7dd18e1c7306f60e7aef8c0baf63e993abbc0b1",
}


def test_digests_are_those_of_before():
    found = {kind: build_city(f"synthetic:{kind}:300:0").digest for kind in KINDS}
    assert found == DIGESTS


def test_threads_and_order_change_nothing():
    first = build_city("synthetic:city:700:3")
    for threads in (1, 2, 8):
        assert build_city("synthetic:city:700:3", num_threads=threads).digest == first.digest
    moved = build_city("synthetic:city:700:3", relabel="morton")
    assert moved.digest != first.digest
    place = {tuple(p): i for i, p in enumerate(first.pos.tolist())}
    order = torch.tensor([place[tuple(p)] for p in moved.pos.tolist()])
    assert torch.equal(moved.ecc, first.ecc[order]) and torch.equal(moved.x[:, 2:12], first.x[order][:, 2:12])


def test_saved_and_loaded(tmp_path):
    city = build_city("synthetic:gabriel:150:0", name="town")
    again = CityGraph.load(city.save(tmp_path / "town.npz"))
    assert again.digest == city.digest == city.meta["digest"] and again.name == "town"
    for key in ("x", "x_node", "edge_index", "edge_attr", "y", "ecc", "pos"):
        assert torch.equal(getattr(again, key), getattr(city, key))
    assert (
        again.meta == json.loads(json.dumps(city.meta))
        and again.vocab == city.vocab
        and again.feature_names == city.feature_names
    )
    assert all(torch.equal(again.masks[split], mask) for split, mask in city.masks.items())
    (tmp_path / "cut.npz").write_bytes((tmp_path / "town.npz").read_bytes()[:500])
    with pytest.raises(UserError, match="damaged"):
        CityGraph.load(tmp_path / "cut.npz")
    with pytest.raises(UserError, match="there is no file"):
        CityGraph.load(tmp_path / "none.npz")
    with pytest.raises(UserError, match=r"does not end in \.npz"):
        city.save(tmp_path / "town.pt")


def test_task_and_line_graph():
    city = build_city("synthetic:gabriel:150:0")
    task = city.task()
    assert not task.directed and task.in_channels == 37 and task.out_channels == 10
    graph = task.graph()
    assert "ecc" not in graph and torch.equal(graph.pos, city.pos) and graph.edge_attr.shape[1] == 25
    lines = city.line_graph()
    ends = city.edge_index
    assert torch.equal(ends[1, lines[0]], ends[0, lines[1]]) and (ends[0, lines[0]] != ends[1, lines[1]]).all()
    degree = torch.bincount(ends[0])
    assert lines.shape[1] == int((degree * (degree - 1)).sum())
    assert "x" not in city.data(structure_only=True)


def test_options():
    streets = synthetic_streets("grid", 200, seed=1)
    plain = build_city(streets)
    assert build_city(streets, feature_set="geometry").feature_names == ["x", "y", "street_count", "mean length"]
    own = build_city(streets, feature_set=lambda streets, features: features.x[:, :2])
    assert torch.equal(own.x, plain.x[:, :2])
    assert build_city(streets, weight=None, k=3).ecc.max() == 3
    assert (build_city(streets, path_scope="global").ecc <= plain.ecc).all()
    near = build_city(streets, ball_metric="distance", k=300)
    assert near.ecc.max() <= 300 and near.num_classes == 10
    other = build_city(synthetic_streets("city", 200, seed=9), category_vocab=plain.vocab)
    assert other.vocab == plain.vocab and other.x.shape[1] == 37
    tagged = build_city(
        streets, landuse=(np.array([[streets.x[0], streets.y[0]], [streets.x[5], streets.y[5]]]), ["park", "port"])
    )
    assert set(tagged.vocab["landuse"]) == {"park", "port", ""} and "nearest" in tagged.meta["landuse"]
    assert set(build_city(streets, landuse={"0": "park"}).vocab["landuse"]) == {"park", "nan", ""}
    assert build_city(streets, landuse=["park"] * streets.num_nodes).vocab["landuse"][0] == "park"
    scaled = standardize(plain.x, (0, 1, 2, 12, 13), plain.masks["train"])
    assert scaled[plain.masks["train"]][:, [0, 1, 2, 12, 13]].mean(0).abs().max() < 1e-3
    assert torch.equal(scaled[:, 3:12], plain.x[:, 3:12])


def lane(**changes):
    columns = {
        "source": [0, 1],
        "target": [1, 2],
        "length": [5.0, 5.0],
        "x": [0.0, 1, 2],
        "y": [0.0, 0, 0],
        "crs": "plane",
    }
    return Streets("lane", **{**columns, **changes})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lane(length=[5.0, -1.0]), "the street from 1 to 2 has length -1.0, expected metres"),
        (lambda: lane(length=[np.nan, 1.0]), "the street from 0 to 1 has length nan"),
        (lambda: lane(x=[0.0, np.nan, 1]), "junction 1 has no position"),
        (lambda: lane(target=[1, 3]), r"ends at junction 3, expected ids in \[0, 3\)"),
        (lambda: lane(length=[1.0]), "different lengths"),
        (lambda: lane(crs="utm"), "crs is 'utm'"),
        (lambda: lane(node_ids=["a"]), "1 names for 3 junctions"),
        (lambda: build_city(lane()), "3 nodes cannot fill 10 classes"),
        (
            lambda: build_city(Streets("spot", [], [], [], [1.0], [2.0])),
            "spot has a single junction; a city needs at least two",
        ),
        (lambda: build_city(Streets("loop", [0], [0], [1.0], [1.0, 2], [2.0, 2])), "no street between two junctions"),
        (lambda: build_city(lane(), n_classes=1), "n_classes is 1"),
        (lambda: build_city("synthetic:grd:100"), "did you mean 'grid'"),
        (lambda: build_city("synthetic:grid:many"), "expected synthetic:KIND:N:SEED"),
        (lambda: synthetic_streets("grid", 3), "n is 3"),
        (lambda: synthetic_streets("grid", 100, spacing=0), "spacing is 0"),
        (lambda: build_city(3), "a int is no source of streets"),
        (lambda: build_city("nowhere.graphml"), "there is no file nowhere.graphml"),
        (lambda: build_city("synthetic:grid:100", split=(0.5, 0.4, 0.2)), "expected shares of train, valid and test"),
        (lambda: build_city("synthetic:grid:100", split_kind="block"), "spatial_block"),
        (lambda: build_city("synthetic:grid:100", relabel="hilbert"), "relabel"),
        (lambda: build_city("synthetic:grid:100", crs="mercator"), "crs"),
        (lambda: build_city("synthetic:grid:100", feature_set="city12"), "did you mean 'city37'"),
        (lambda: build_city("synthetic:grid:100", weight="time"), "weight is 'time'"),
        (lambda: build_city("synthetic:grid:100", category_vocab={"lanes": []}), "category_vocab has the blocks"),
        (lambda: build_city("synthetic:grid:100", landuse=["park"]), "landuse has 1 entries"),
        (lambda: build_city("synthetic:grid:100", num_threads=-1), "num_threads is -1"),
        (lambda: build_city("synthetic:grid:100", feature_set=lambda s, f: np.zeros(3)), "feature_set returned"),
        (lambda: build_city("synthetic:grid:100", k=-2), "k is -2"),
        (lambda: standardize(torch.zeros(2, 2), [5]), "columns are"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_warnings():
    streets = synthetic_streets("grid", 100, seed=0)
    far = Streets(
        "two",
        np.append(streets.source, 0),
        np.append(streets.target, 1),
        np.append(streets.length, 0.0),
        np.append(streets.x, 11.0),
        np.append(streets.y, 50.0),
    )
    with pytest.warns(DataWarning) as said:
        city = build_city(far)
    text = " ".join(str(one.message) for one in said)
    assert "falls into 2 parts; the largest one with" in text and "1 streets of length 0" in text
    assert city.meta["left_out"] == {"parts": 1, "junctions": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_city(streets)


def test_blocks_make_thirty_seven_columns():
    widths = [width for _, width in BLOCKS.values()]
    assert 3 + widths[0] + 2 + sum(widths[1:]) == 37
