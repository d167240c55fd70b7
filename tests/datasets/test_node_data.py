"""Node classification by the name of the data set: cards, options, and the real data as the cards describe them."""

import warnings

import numpy as np
import pytest
import torch
import yaml

import graphkit as gk
from graphkit.analysis import homophily
from graphkit.data import NodeTask, edge_direction, split_nodes
from graphkit.datasets import card, cards, where
from graphkit.errors import DataWarning, UserError

LABELLED = [entry for entry in cards() if entry.task == "graph" and entry.splits]
NAMES = [entry.name for entry in LABELLED]
LARGE = {"coauthor-physics", "cornell5"}  # read by their siblings' code; a minute of everybody's time


def test_the_families_are_there():
    expected = {
        "texas",
        "cornell",
        "wisconsin",
        "actor",
        "chameleon",
        "squirrel",
        "minesweeper",
        "tolokers",
        "questions",
        "wikics",
    }
    expected |= {
        f"{name}/{variant}" for name in ("chameleon", "squirrel") for variant in ("filtered", "filtered_directed")
    }
    expected |= {
        "roman-empire",
        "amazon-ratings",
        "cora_ml",
        "cora/directed",
        "citeseer/directed",
        "cora",
        "citeseer",
        "pubmed",
    }
    expected |= {"amazon-photo", "coauthor-cs", "penn94", "reed98", "polblogs", "telegram", "airports/usa"}
    assert expected <= set(NAMES)
    assert card("squirrel", variant="filtered_directed").name == "squirrel/filtered_directed"


@pytest.mark.parametrize("entry", LABELLED, ids=NAMES)
def test_every_card_says_what_its_directions_mean(entry):
    assert entry.directed in (True, False) and entry.direction.strip() and entry.defects
    assert all(folds >= 1 for folds in entry.splits.values())
    held = {file.split for file in entry.files} - {None}
    assert held <= set(entry.splits) and entry.metric in (None, "roc_auc")


@pytest.mark.data
@pytest.mark.parametrize("entry", LABELLED, ids=NAMES)
def test_the_real_data_are_as_the_cards_say(entry, data_root, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_DATA", str(data_root))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    missing = [place.file for place in where(entry.name) if place.path is None]
    if missing:
        pytest.skip(f"{entry.name} is not in GRAPHKIT_DATA: {missing}")
    if entry.name in LARGE:
        pytest.skip(f"{entry.name} is large")
    for split, folds in entry.splits.items():
        task = gk.load(entry.name, task="node", split=split)
        found, said = task.statistics(), entry.statistics
        features = said["features"] or 2  # degrees stand in
        assert (found["nodes"], found["features"], found["classes"]) == (said["nodes"], features, said["classes"])
        assert found["edges"] == said["arcs" if entry.directed else "edges"] and task.directed == entry.directed
        assert task.num_folds == folds and task.primary_metric == (entry.metric or "accuracy")
        certificate = task.leak_check()
        storage = [what for what, _, _ in certificate.warnings if "direction" in what]
        assert storage == []  # what is directed here is so by more than storage
        assert task.provenance["direction"]["why"] == entry.direction and task.provenance["split"]["name"] == split


@pytest.fixture
def real(data_root, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_DATA", str(data_root))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    return lambda name, **options: gk.load(name, task="node", **options)


@pytest.mark.data
def test_official_splits_of_real_data(real):
    texas = real("texas", fold=3)
    assert (texas.num_folds, texas.fold) == (10, 3)
    assert [int(texas.mask(split).sum()) for split in ("train", "valid", "test")] == [87, 59, 37]
    assert texas.fingerprint() == real("texas/canonical").fingerprint()
    cora = real("cora")
    assert (cora.num_folds, cora.fold, int(cora.mask("train").sum())) == (1, None, 140)
    assert torch.bincount(cora.y[cora.mask("train")]).tolist() == [20] * 7
    assert real("citeseer", split="geom-gcn", fold=4).mask("train").sum() < 1017  # documents without a class are out
    drawn = real("cora_ml")
    assert [int(drawn.mask(split).sum()) for split in ("train", "valid", "test")] == [140, 500, 2355]
    assert real("minesweeper").primary_metric == "roc_auc"


@pytest.mark.data
def test_directions_of_real_data(real):
    assert real("texas").directed and real("texas").statistics()["edges"] == 309
    once = real("texas", direction="undirected")
    assert not once.directed and once.statistics()["edges"] == 279
    with pytest.warns(DataWarning, match="the direction of its edges is that of storage and means nothing"):
        stored = real("texas/canonical", direction="stored")
    assert edge_direction(stored.edge_index, 183).storage_order and stored.directed
    assert any("direction is that of storage" in what for what, _, _ in stored.leak_check().warnings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        real("texas", direction="stored")
    with pytest.raises(UserError, match="cora holds every edge in both directions"):
        real("cora", direction="stored")


@pytest.mark.data
def test_cornell_of_geom_gcn_has_the_pages_of_texas(real):
    """What the cards say of the most used file of Cornell."""
    texas, wrong, cornell = real("texas"), real("cornell/geom-gcn"), real("cornell")
    assert torch.equal(texas.x, wrong.x) and torch.equal(texas.y, wrong.y)
    assert not torch.equal(texas.y, cornell.y) and cornell.fingerprint() == wrong.fingerprint() != texas.fingerprint()


@pytest.mark.data
def test_variants_of_real_data_are_the_same_graph(real):
    for one, other in (
        ("actor", "actor/canonical"),
        ("chameleon", "chameleon/canonical"),
        ("texas", "texas/canonical"),
    ):
        first, second = real(one, direction="undirected"), real(other)
        assert (
            torch.equal(first.edge_index, second.edge_index)
            and torch.equal(first.x, second.x)
            and torch.equal(first.y, second.y)
        )
        assert first.fingerprint() == second.fingerprint()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "edge"),
    [("cora_ml", 0.792), ("citeseer/directed", 0.739), ("actor/canonical", 0.217), ("texas/canonical", 0.061), ("cornell", 0.123),
     ("chameleon/filtered_directed", 0.245), ("chameleon", 0.234)],
)  # fmt: skip
def test_edge_homophily_of_real_data(name, edge, real):
    found = homophily(real(name))
    measured = found.edge if found.directed is None else found.directed.edge
    assert measured == pytest.approx(edge, abs=0.0006)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A card of one's own: six nodes, a list of edges, two official folds."""
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    monkeypatch.delenv("GRAPHKIT_DATA", raising=False)
    folder = tmp_path / "data" / "toy"
    folder.mkdir(parents=True)
    masks = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]], dtype=bool)
    arrays = {
        f"{key}_masks": np.stack([mask, mask[::-1]]) for key, mask in zip(("train", "val", "test"), masks, strict=True)
    }
    edges = np.array([[0, 1], [0, 1], [1, 2], [2, 2], [3, 5]])
    x = np.array([[1, 1], [0, 0], [3, 1], [1, 0], [0, 1], [2, 2]], dtype=np.float32)
    np.savez(folder / "toy.npz", node_features=x, node_labels=np.array([0, 1, 0, 1, 0, 1]), edges=edges, **arrays)
    content = {
        "name": "toy", "title": "toy", "task": "graph", "reader": "edge_list_npz", "folders": ["toy"], "licence": "none",
        "files": [{"path": "toy.npz", "url": None, "bytes": None, "sha256": None}], "citation": "nobody", "source": "here",
        "statistics": {}, "directed": True, "direction": "made up", "splits": {"official": 2}, "metric": "roc_auc",
    }  # fmt: skip

    def load(changes=(), **options):
        path = tmp_path / "toy.yaml"
        path.write_text(yaml.safe_dump({**content, **dict(changes)}))
        return gk.load(str(path), root=tmp_path / "data", task="node", **options)

    return load


def test_load_gives_a_node_task(toy):
    task = toy(fold=1)
    assert isinstance(task, NodeTask) and task.primary_metric == "roc_auc" and task.fold == 1
    assert task.edge_index.tolist() == [[0, 1, 3], [1, 2, 5]] and task.nodes_of("train").tolist() == [4, 5]
    said = task.provenance
    assert said["direction"] == {
        "directed": True, "read": "as the card says", "why": "made up", "edges as stored": 5, "reciprocity": 0.0, "ascending": 1.0,
    }  # fmt: skip
    assert said["features"] == "own" and said["split"]["name"] == "official" and said["split"]["folds"] == 2
    assert said["files"]["toy.npz"]["pinned"] is True and said["options"] == {"fold": 1}


def test_features_are_a_choice(toy):
    assert toy(features="rows").x.tolist()[:3] == [[0.5, 0.5], [0, 0], [0.75, 0.25]]
    assert torch.equal(toy(features="ids").x, torch.eye(6))
    degrees = toy(features="degrees").x.expm1().round()
    assert degrees.tolist() == [[0, 1], [1, 1], [1, 0], [0, 1], [0, 0], [1, 0]]  # in, out


def test_splits_are_drawn_where_asked(toy):
    task = toy(split="50/17/33", split_seed=3)
    assert task.num_folds == 10 and [int(task.mask(s).sum()) for s in ("train", "valid", "test")] == [4, 1, 1]
    assert (
        task.fingerprint() == toy(split="50/17/33", split_seed=3).fingerprint() != toy(split="50/17/33").fingerprint()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 2}, r"has no fold 2; its 2 splits are folds 0 \.\. 1"),
        ({"split": "offical"}, "unknown split 'offical'; did you mean 'official'"),
        ({"split": "60/20/30"}, "expected whole percentages that make 100"),
        ({"split_seed": 1}, "the split 'official' is given, not drawn; leave out split_seed"),
        ({"direction": "up"}, "unknown direction 'up'"),
        ({"features": "row"}, "unknown features 'row'; did you mean 'rows'"),
        ({"protocol": "heart"}, "protocol: for the prediction of links only"),
    ],
)
def test_mistakes_are_named(toy, options, message):
    with pytest.raises(UserError, match=message):
        toy(**options)
    with pytest.raises(UserError, match="fold: for the classification of nodes only"):
        gk.load("cora", task="link", fold=1)


def test_a_direction_of_storage_is_warned_of(toy):
    changes = {"directed": False, "direction": "a list that stores each edge once"}
    assert not toy(changes).directed and toy(changes).edge_index.size(1) == 6
    with pytest.warns(DataWarning, match=r"means nothing \(a list that stores each edge once\)"):
        assert toy(changes, direction="stored").edge_index.size(1) == 3


def test_folds_of_drawn_splits_do_not_depend_on_their_number():
    y = torch.arange(50) % 4
    y[:6] = -1
    many, few = (
        split_nodes(y, "3-per-class/8/rest", folds=5, seed=2),
        split_nodes(y, "3-per-class/8/rest", folds=2, seed=2),
    )
    for part in ("train", "valid", "test"):
        assert torch.equal(many[part][:2], few[part]) and not many[part][:, :6].any()
    assert all(torch.bincount(y[mask]).tolist() == [3] * 4 for mask in many["train"])
    assert torch.equal(sum(mask.int() for mask in many.values()), (y >= 0).int().expand(5, -1))
    assert len({tuple(mask.tolist()) for mask in many["train"]}) == 5
    for split, message in (
        ("12-per-class/1/rest", "class 0 has 11 nodes"),
        ("3-per-class/40/rest", "32 nodes are left"),
    ):
        with pytest.raises(UserError, match=message):
            split_nodes(y, split)


def test_a_split_drawn_as_published_takes_class_after_class_from_one_stream():
    y = torch.tensor([2, 0, -1, 1, 0, 2, 1, 0, 1, 2, 0, 1])
    masks = split_nodes(y, "2-per-class/3/rest/numpy", folds=3, seed=4)
    for fold in range(3):
        draw = np.random.RandomState(4 + fold)
        train = []
        for label in range(3):
            members = [node for node in range(12) if y[node] == label]
            train += draw.choice(members, 2, replace=False).tolist()
        others = [node for node in range(12) if y[node] >= 0 and node not in train]
        valid = draw.choice(others, 3, replace=False).tolist()
        expected = {"train": train, "valid": valid, "test": [node for node in others if node not in valid]}
        for part, nodes in expected.items():
            assert masks[part][fold].nonzero().flatten().tolist() == sorted(nodes)
    assert masks["train"][0].nonzero().flatten().tolist() == [1, 3, 4, 5, 8, 9]  # NumPy keeps this stream as it is
    with pytest.raises(UserError, match="seed of the splits is -1, expected 0 to"):
        split_nodes(y, "2-per-class/3/rest/numpy", seed=-1)


def test_a_number_in_place_of_the_name_of_a_split_is_answered():
    with pytest.raises(UserError, match="split is 3, expected a name such as '60/20/20'; fold= says"):
        gk.load("texas", task="node", split=3)
