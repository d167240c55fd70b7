"""Planetoid's files: documents in their places, edges once, faults named; the real ones as PyG reads them."""

import numpy as np
import pytest
import torch
from planetoid_samples import ALLX, TX, planetoid_files, python2_array, python2_graph, python2_matrix

import graphkit as gk
from graphkit.data import LinkTask
from graphkit.datasets import card, cards, verify
from graphkit.datasets.planetoid import read_planetoid
from graphkit.datasets.restricted_pickle import read_arrays
from graphkit.errors import UserError


@pytest.fixture
def graph_of(tmp_path):
    def graph_of(**changes):
        paths = {}
        for name, content in planetoid_files(**changes).items():
            paths[name] = tmp_path / name
            if content is None:
                del paths[name]
            else:
                paths[name].write_bytes(content)
        return read_planetoid(paths)

    return graph_of


def test_documents_are_in_their_places(graph_of):
    graph = graph_of()
    assert graph.num_nodes == 9 and graph.x.dtype == torch.float32
    expected = np.zeros((9, 3), dtype=np.float32)
    expected[:5], expected[[8, 5, 7]] = ALLX, TX
    assert np.array_equal(graph.x.numpy(), expected)
    # document 6 is in no file but the graph
    assert graph.y.tolist() == [0, 1, 1, 0, 1, 0, -1, 0, 1]


def test_edges_are_undirected_and_each_once(graph_of):
    assert graph_of().edges.t().tolist() == [[0, 1], [0, 2], [3, 4], [4, 5], [5, 7], [2, 8]]
    assert graph_of(graph=python2_graph({0: [], 8: []})).edges.shape == (2, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"allx": None, "graph": None}, "a Planetoid data set lacks allx, graph"),
        ({"test.index": b"8\n5\n"}, "do not fit together"),
        ({"test.index": b"8\n5\n5\n"}, "do not fit together"),
        ({"test.index": b"8\n5\n2\n"}, "test document 2 is among the first 5"),
        ({"test.index": b"8\nfive\n7\n"}, "is no list of document numbers"),
        ({"test.index": b""}, "expected one a line, from 0 upwards"),
        ({"test.index": b"8\n5\n-7\n"}, "expected one a line, from 0 upwards"),
        ({"tx": python2_matrix(TX[:, :2])}, "do not fit together"),
        ({"ally": python2_array(np.eye(2)[:4])}, "do not fit together"),
        ({"graph": python2_graph({0: [9]})}, r"outside of 0 \.\. 8"),
        ({"graph": python2_array(np.eye(2))}, "do not fit together"),
        ({"allx": python2_graph({})}, "do not fit together"),
        ({"tx": b"broken"}, "ind.toy.tx is no pickle of arrays"),
        ({"graph": b"cos\nsystem\n(U\x04truetR."}, "names os.system|names posix.system"),
    ],
)
def test_faults_are_named(graph_of, changes, message):
    with pytest.raises(UserError, match=message):
        graph_of(**changes)


CITATIONS = ("cora", "citeseer", "pubmed")


@pytest.fixture
def real(data_root, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_DATA", str(data_root))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")

    def real(name):
        missing = [file for file, whole, _ in verify(name) if not whole]
        if missing:
            pytest.skip(f"{name} is not in GRAPHKIT_DATA: {missing}")
        return {file.path: data_root / card(name).folders[0] / file.path for file in card(name).files}

    return real


@pytest.mark.data
@pytest.mark.parametrize("name", CITATIONS)
def test_the_real_files_are_read_as_pyg_reads_them(name, real, monkeypatch):
    from torch_geometric.io import planetoid as pyg

    paths = real(name)
    graph = read_planetoid(paths)
    # PyG unpickles whatever it is given; here it gets the arrays that the restricted reader made of the same files
    monkeypatch.setattr(pyg.pickle, "load", lambda file, **options: read_arrays(file.name))
    data = pyg.read_planetoid_data(str(next(iter(paths.values())).parent), name)
    assert data.num_nodes == graph.num_nodes and torch.equal(data.x.float(), graph.x)
    both = torch.cat([graph.edges, graph.edges.flip(0)], 1)
    assert sorted(map(tuple, both.t().tolist())) == sorted(map(tuple, data.edge_index.t().tolist()))
    # PyG gives class 0 to documents that have none
    assert torch.equal(data.y, graph.y.clamp(min=0))
    assert {"nodes": graph.num_nodes, "edges": graph.edges.size(1), "features": graph.x.size(1),
            "classes": int(graph.y.max()) + 1} == card(name).statistics  # fmt: skip


@pytest.mark.data
def test_what_the_cards_say_of_cora_and_citeseer(real):
    cora, citeseer = (read_planetoid(real(name)) for name in ("cora", "citeseer"))
    for graph in (cora, citeseer):
        assert set(graph.x.unique().tolist()) == {0.0, 1.0}
    degree = citeseer.edges.flatten().bincount(minlength=3327)
    assert int((degree == 0).sum()) == 48 and int((citeseer.y < 0).sum()) == 15
    assert torch.equal(citeseer.x.sum(1) == 0, citeseer.y < 0) and int(cora.y.min()) == 0
    raw = read_arrays(real("citeseer")["ind.citeseer.graph"])
    entries = [(u, v) for u, neighbours in raw.items() for v in neighbours]
    loops = [pair for pair in entries if pair[0] == pair[1]]
    assert (len(entries), len(loops), len(set(loops))) == (9464, 248, 124)
    assert len(entries) - len(loops) - 2 * 4552 == 112
    raw = read_arrays(real("cora")["ind.cora.graph"])
    assert sum(map(len, raw.values())) - 2 * 5278 == 302


@pytest.mark.data
def test_loading_a_link_task(real):
    real("cora")
    task = gk.load("cora", task="link")
    assert isinstance(task, LinkTask) and task.leak_check()
    assert task.statistics() == {
        "nodes": 2708,
        "edges": 5278,
        "features": 1433,
        "train": 4488,
        "valid": 263,
        "test": 527,
    }
    assert task.data.num_nodes == 2708 and task.data.edge_index.shape == (2, 2 * 4488)
    assert task.provenance["task"] == "link" and task.provenance["split"]["shares"] == "85/5/10"
    # pinned: runs on different machines must share split and negatives
    assert {name: digest[:12] for name, digest in task.fingerprint().items()} == CORA
    other = gk.load("planetoid/cora", task="link", split="70/10/20", split_seed=1)
    assert (other.train.size(1), other.valid.size(1), other.test.size(1)) == (3696, 527, 1055)


CORA = {
    "train": "69c092467409", "valid": "7b60fc4d5e3f", "test": "6ba3469f4f0e",
    "valid_negatives": "1ef985404870", "test_negatives": "d335294bed6d",
}  # fmt: skip


def test_the_cards():
    graphs = {entry.name: entry for entry in cards() if entry.task == "graph"}
    assert set(CITATIONS) <= set(graphs)
    for name in CITATIONS:
        parts = [file.path.removeprefix(f"ind.{name}.") for file in graphs[name].for_split("public").files]
        assert parts == ["x", "y", "tx", "ty", "allx", "ally", "graph", "test.index"]
        unknown = [file.path for file in graphs[name].files if file.sha256 is None]
        assert unknown == (["ind.pubmed.allx"] if name == "pubmed" else [])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cora", {}, "cora is a graph and says nothing of what to predict; pass task='link'"),
        ("cora", {"task": "linc"}, "cora does not serve the task 'linc'; it serves 'link'"),
        ("umls", {"task": "link"}, "umls does not serve the task 'link'; it serves 'knowledge_graph'"),
        ("umls", {"split": "85/5/10"}, "umls has a split of its own; leave out split"),
        ("cora", {"task": "link", "splt": "85/5/10"}, "unknown option 'splt'; did you mean 'split'"),
    ],
)
def test_mistakes_in_load_are_named_before_any_file_is_looked_for(name, options, message):
    with pytest.raises(UserError, match=message):
        gk.load(name, **options)
