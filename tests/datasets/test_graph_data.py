"""Collections of graphs: TUDataset's text, files of tensors, generated tasks, and options of load."""

import io
import pickle
import shutil
import tarfile
import zipfile

import networkx as nx
import numpy as np
import pytest
import torch
import yaml

import graphkit as gk
from graphkit.data import GraphTask
from graphkit.datasets import chain_copy, path_parity
from graphkit.datasets.malnet import read_malnet
from graphkit.datasets.synthetic import generate
from graphkit.datasets.tensor_graphs import read_gnn_benchmark, read_lrgb, read_tensor_pickle, read_torch_tensors
from graphkit.datasets.tu_dataset import read_tu_dataset
from graphkit.errors import UserError

TEXTS = {
    "A": "1, 2\n2, 1\n2, 2\n1, 2\n3, 4\n4, 5\n",  # a loop, a repeat, and edges of one direction
    "graph_indicator": "1\n1\n2\n2\n2\n3\n",
    "graph_labels": "7\n-1\n7\n",
    "node_labels": "2\n4\n2\n3\n3\n2\n",
    "node_attributes": " 0.5, 1\n1.0, 2\n0, 0\n0, 0\n0, 0\n0, 1.25\n",
    "edge_labels": "1\n0\n1\n1\n0\n2\n",
}


def write(folder, texts):
    folder.mkdir(exist_ok=True, parents=True)
    for kind, text in texts.items():
        (folder / f"X_{kind}.txt").write_text(text)
    return {f"X_{kind}.txt": folder / f"X_{kind}.txt" for kind in texts}


def test_text_files_by_hand(tmp_path):
    stored = read_tu_dataset(write(tmp_path, TEXTS))
    assert [graph.num_nodes for graph in stored.graphs] == [2, 3, 1] and stored.classes == ["-1", "7"]
    assert [graph.edge_index.tolist() for graph in stored.graphs] == [[[0, 1], [1, 0]], [[0, 1], [1, 2]], [[], []]]
    assert [graph.y.tolist() for graph in stored.graphs] == [[1], [0], [1]]
    assert stored.graphs[1].x.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert stored.graphs[0].edge_attr.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert stored.attributes[2].tolist() == [[0, 1.25]]
    few = {kind: TEXTS[kind] for kind in ("A", "graph_indicator", "graph_labels")}
    shutil.rmtree(tmp_path)
    bare = read_tu_dataset(write(tmp_path, few))
    assert "x" not in bare.graphs[0] and "edge_attr" not in bare.graphs[0] and bare.attributes is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A": "1, 2\n2, 7\n"}, "an edge leads out of the nodes 1 .. 6"),
        ({"A": "1, 3\n"}, "an edge leads from one graph to another"),
        ({"A": "1\n2\n"}, "X_A.txt has 1 numbers a line, expected 2"),
        ({"A": "1, two\n"}, "X_A.txt is no table of numbers between commas"),
        ({"graph_indicator": "1\n1\n2\n1\n2\n3\n"}, "does not number the graphs 1 .. 3, in their order"),
        ({"graph_indicator": "1\n1\n2\n2\n2\n4\n"}, "does not number the graphs"),
        ({"node_labels": "1\n"}, "X_node_labels.txt has 1 lines, expected one for each of 6"),
        ({"edge_labels": "1\n"}, "X_edge_labels.txt has 1 lines, expected one for each of 6"),
    ],
)
def test_files_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        read_tu_dataset(write(tmp_path, {**TEXTS, **changes}))
    with pytest.raises(UserError, match=r"lack NAME_A\.txt of TUDataset"):
        read_tu_dataset({"X_graph_labels.txt": tmp_path / "X_graph_labels.txt"})


@pytest.mark.data
@pytest.mark.parametrize("name", ["MUTAG", "ENZYMES"])
def test_real_files_are_read_as_pyg_reads_them(name, data_root, tmp_path, monkeypatch):
    from torch_geometric.datasets import TUDataset

    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    shutil.copytree(data_root / "tudataset" / name / "raw", tmp_path / name / "raw")
    theirs = TUDataset(tmp_path, name, use_node_attr=True)
    ours = gk.load(name, root=data_root, features="attributes" if name == "ENZYMES" else None)
    assert len(ours) == len(theirs)
    for k in range(0, len(ours), 7):
        one, other = ours[k], theirs[k]
        assert torch.equal(one.x, other.x) and torch.equal(one.edge_index, other.edge_index)
        assert torch.equal(one.y, other.y) and (other.edge_attr is None or torch.equal(one.edge_attr, other.edge_attr))


@pytest.mark.data
def test_load_gives_a_task_with_folds(data_root, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_DATA", str(data_root))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    task = gk.load("mutag", fold=3)
    assert isinstance(task, GraphTask) and (task.num_folds, task.fold, task.level) == (10, 3, "graph")
    assert task.fingerprint() == gk.load("tudataset/mutag").fingerprint()
    assert task.fingerprint() != gk.load("mutag", split_seed=1).fingerprint()
    assert gk.load("mutag", split="80/10/10").statistics()["train"] == 152
    assert gk.load("mutag", features="degrees").in_channels == 2
    assert gk.load("proteins", features="attributes").in_channels == 4
    encoded = gk.load("mutag", encodings=["laplacian:4", "random_walk:8"])
    assert encoded.in_channels == 19 and encoded.provenance["encodings"] == ["laplacian:4", "random_walk:8"]
    assert task.provenance["split"]["name"] == "10-fold" and task.provenance["task"] == "graphs"
    for options, message in (
        ({"features": "atributes"}, "unknown features 'atributes'; did you mean 'attributes'"),
        ({"features": "attributes"}, "mutag has no attributes of its nodes"),
        ({"direction": "stored"}, "mutag is about whole graphs, or the nodes of many; leave out direction"),
        ({"task": "node"}, "mutag does not serve the task 'node'; it serves 'graphs'"),
        ({"split": "official"}, "unknown split 'official'"),
        ({"encodings": ["walk:3"]}, "encoding 'walk:3'"),
        ({"fold": 10}, "mutag has no fold 10"),
    ):
        with pytest.raises(UserError, match=message):
            gk.load("mutag", **options)


@pytest.mark.data
def test_nodes_of_one_graph_take_encodings_too(data_root):
    plain = gk.load("texas", root=data_root, task="node")
    task = gk.load("texas", root=data_root, task="node", encodings=["random_walk:3"])
    assert task.in_channels == plain.in_channels + 3 and torch.equal(task.x[:, :-3], plain.x)
    assert task.provenance["encodings"] == ["random_walk:3"] and "encodings" not in plain.provenance


def test_parity_by_counting():
    stored = path_parity(graphs=30, min_length=9, max_length=12, hops=2, seed=5)
    for graph in stored.graphs:
        n, marks = graph.num_nodes, graph.x[:, 1].long()
        path = nx.Graph(graph.edge_index.t().tolist())
        assert nx.is_isomorphic(path, nx.path_graph(n)) and 9 <= n <= 12 and (graph.x.sum(1) == 1).all()
        for node in range(n):
            near = nx.single_source_shortest_path_length(path, node, cutoff=2)
            assert graph.y[node] == sum(int(marks[other]) for other in near) % 2
    assert {graph.num_nodes for graph in stored.graphs} == {9, 10, 11, 12}


def test_parity_cannot_be_told_from_what_is_near():
    """Given all marks within two hops, the class is a fair coin: near and far marks are independent."""
    counts = torch.zeros(32, 2)
    for graph in path_parity(seed=1).graphs:
        marks = graph.x[:, 1].long()
        for node in range(6, graph.num_nodes - 6):
            seen = int((marks[node - 2 : node + 3] * 2 ** torch.arange(5)).sum())
            counts[seen, graph.y[node]] += 1
    share = counts[:, 1] / counts.sum(1)
    assert counts.sum(1).min() > 200 and float((share - 0.5).abs().max()) < 4 * 0.5 / 200**0.5


def test_one_node_in_so_many_is_marked():
    marks = torch.cat([graph.x[:, 1] for graph in path_parity(one_in=5).graphs])
    assert abs(float(marks.mean()) - 0.2) < 4 * 0.4 / len(marks) ** 0.5
    card = gk.load("synthetic/path-parity")
    again = torch.cat([card[k].x[:, 1] for k in range(card.statistics()["graphs"])])
    assert torch.equal(marks, again)


def test_copied_symbols_stand_at_the_far_end():
    stored, backwards = chain_copy(graphs=200, seed=2), 0
    for graph in stored.graphs:
        source, target = graph.x[:, 4].nonzero(), graph.x[:, 5].nonzero()
        assert source.numel() == target.numel() == 1 and {int(source), int(target)} == {0, graph.num_nodes - 1}
        assert graph.y[target] == graph.x[source, :4].argmax() and int((graph.y >= 0).sum()) == 1
        assert (graph.x[:, :4].sum(1) == 1).all() and graph.num_nodes >= 16
        backwards += int(target) == 0
    assert 70 < backwards < 130
    classes = torch.bincount(torch.cat([graph.y[graph.y >= 0] for graph in stored.graphs]))
    assert classes.min() > 30


@pytest.mark.parametrize("name", ["synthetic/path-parity", "synthetic/chain-copy"])
def test_generated_tasks_come_back_from_their_seed(name, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    one, two, other = gk.load(name), gk.load(name, split_seed=0), gk.load(name, split_seed=1)
    assert all(torch.equal(one[k].x, two[k].x) and torch.equal(one[k].y, two[k].y) for k in range(0, 1000, 50))
    assert not all(torch.equal(one[k].x, other[k].x) for k in range(5))
    assert one.level == "node" and one.fold is None
    graphs = gk.datasets.card(name).statistics["graphs"]
    assert [one.statistics()[split] for split in ("train", "valid", "test")] == [graphs * t // 10 for t in (8, 1, 1)]
    assert one.statistics()["graphs"] == graphs


def test_generators_refuse_what_they_cannot_make():
    for call, message in (
        (lambda: path_parity(hops=9), "hops is 9, expected a whole number from 1 to 7"),
        (lambda: path_parity(one_in=1), r"one_in is 1, expected a whole number from 2 \(fair coins\)"),
        (lambda: path_parity(graphs=3), "graphs is 3, expected a whole number from 10"),
        (lambda: chain_copy(max_length=3), "max_length is 3, expected a whole number from 16"),
        (lambda: chain_copy(symbols=1), "symbols is 1"),
        (lambda: generate({"generator": "path"}), "unknown generator 'path'; did you mean 'path_parity'"),
        (lambda: generate({"generator": "chain_copy", "hops": 3}), "the generator 'chain_copy'"),
    ):
        with pytest.raises(UserError, match=message):
            call()


def superpixels(count=2, labels=(0, 13)):
    draw = torch.Generator().manual_seed(0)
    edges = torch.tensor([[0, 1], [1, 0]])
    return [
        (torch.randn(2, 14, generator=draw), torch.randn(2, 2, generator=draw), edges, list(labels))
        for _ in range(count)
    ]


def test_pickles_and_files_of_tensors(tmp_path):
    for word in ("train", "val", "test"):
        content = superpixels()
        content[1] = (*content[1][:3], np.array(content[1][3]))
        (tmp_path / f"{word}.pickle").write_bytes(pickle.dumps(content))
    paths = {f"{word}.pickle": tmp_path / f"{word}.pickle" for word in ("train", "val", "test")}
    stored = read_lrgb(paths, target="classes", level="node", coco=True)
    assert stored.graphs[1].y.tolist() == [0, 12] and torch.equal(stored.graphs[2].x, superpixels()[0][0])
    assert [part.tolist() for part in stored.splits["official"].values()] == [[0, 1], [2, 3], [4, 5]]
    molecule = (
        torch.zeros(2, 9, dtype=torch.int64),
        torch.ones(2, 3, dtype=torch.int64),
        torch.tensor([[0, 1], [1, 0]]),
        torch.ones(1, 10),
    )
    for word in ("train", "val", "test"):
        torch.save([molecule], tmp_path / f"{word}.pt")
    paths = {f"{word}.pt": tmp_path / f"{word}.pt" for word in ("train", "val", "test")}
    stored = read_lrgb(paths, target="labels", level="graph", molecules=True)
    task = GraphTask(
        "peptides", stored.graphs, target="labels", categories=stored.categories, **stored.splits["official"]
    )
    assert (task.in_channels, task.edge_channels, task.out_channels) == (174, 13, 10)
    with pytest.raises(UserError, match="lack one of the split val"):
        read_lrgb({"train.pt": paths["train.pt"]}, target="labels", level="graph")
    torch.save([1], paths["val.pt"])
    with pytest.raises(UserError, match=r"val.pt is no list of \(x, edge_attr, edge_index, y\)"):
        read_lrgb(paths, target="labels", level="graph")


def test_benchmark_files(tmp_path):
    one = {
        "x": torch.ones(2, 1),
        "pos": torch.zeros(2, 2),
        "edge_index": torch.tensor([[0], [1]]),
        "edge_attr": torch.ones(1),
        "y": torch.tensor([3]),
    }
    torch.save([[one, one], [one], [one]], tmp_path / "MNIST_v2.pt")
    stored = read_gnn_benchmark(tmp_path / "MNIST_v2.pt", level="graph")
    assert stored.graphs[0].x.shape == (2, 3) and stored.graphs[0].edge_attr.shape == (1, 1)
    assert [len(part) for part in stored.splits["official"].values()] == [2, 1, 1]
    torch.save([[one]], tmp_path / "MNIST_v2.pt")
    with pytest.raises(UserError, match="holds no three lists of graphs"):
        read_gnn_benchmark(tmp_path / "MNIST_v2.pt", level="graph")


def test_features_are_standardized_over_train():
    from graphkit.datasets.graph_loading import graph_task

    draw = torch.Generator().manual_seed(0)
    stored = chain_copy(graphs=20)
    for graph in stored.graphs:
        graph.x = torch.cat(
            [5 + 3 * torch.randn(graph.num_nodes, 2, generator=draw), torch.ones(graph.num_nodes, 1)], 1
        )
        graph.edge_attr = torch.randn(graph.num_edges, 1, generator=draw) - 7
    task = graph_task(gk.datasets.card("synthetic/chain-copy"), stored, {}, features="standardized")
    for key in ("x", "edge_attr"):
        seen = torch.cat([task[int(k)][key] for k in task.graphs_of("train")])
        assert torch.allclose(seen.mean(0), torch.zeros(seen.size(1)), atol=1e-5)
        spread = [1.0, 1.0, 0.0] if key == "x" else [1.0]
        assert torch.allclose(seen.std(0, correction=0), torch.tensor(spread), atol=1e-5)
    assert stored.graphs[0].x[0, 2] == 1  # the stored graphs are as they were
    with pytest.raises(UserError, match="features='standardized' needs numbers and one split"):
        graph_task(gk.datasets.card("synthetic/chain-copy"), stored, {}, features="standardized", split="3-fold")


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch /tmp/graphkit-was-here",)


def test_nothing_that_a_file_names_is_run(tmp_path):
    path = tmp_path / "train.pickle"
    path.write_bytes(pickle.dumps([Evil()]))
    with pytest.raises(UserError, match=r"names (posix|nt)\.system, and graphs need tensors and numbers only"):
        read_tensor_pickle(path)
    torch.save([Evil()], path)
    with pytest.raises(UserError, match="is damaged, or holds more than tensors and plain values"):
        read_torch_tensors(path)
    path.write_bytes(pickle.dumps(np.array([Evil()], dtype=object)))
    with pytest.raises(UserError, match=r"train\.pickle"):
        read_tensor_pickle(path)
    path.write_bytes(pickle.dumps([torch.ones(3)])[:-9])
    with pytest.raises(UserError, match="is no pickle of tensors"):
        read_tensor_pickle(path)
    for read in (read_tensor_pickle, read_torch_tensors):
        with pytest.raises(UserError, match="does not exist"):
            read(tmp_path / "nowhere")


def malnet_archives(folder, graphs, names):
    with tarfile.open(folder / "g.tar.gz", "w:gz") as archive:
        for name, text in graphs.items():
            member = tarfile.TarInfo(f"malnet-graphs-tiny/{name}.edgelist")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    with zipfile.ZipFile(folder / "s.zip", "w") as archive:
        for word, lines in names.items():
            archive.writestr(f"split_info_tiny/type/{word}.txt", "\n".join(lines) + "\n")
    return folder / "g.tar.gz", folder / "s.zip"


def test_archives_of_call_graphs(tmp_path):
    graphs = {"trojan/a/1": "# five\n# lines\n0 1\n1 2\n0 1\n", "adware/b/2": "# x\n", "adware/b/3": "1 0\n"}
    names = {"train": ["trojan/a/1"], "val": ["adware/b/2"], "test": ["adware/b/3"]}
    stored = read_malnet(*malnet_archives(tmp_path, graphs, names))
    assert stored.classes == ["adware", "trojan"] and [graph.y.tolist() for graph in stored.graphs] == [[1], [0], [0]]
    assert stored.graphs[0].edge_index.tolist() == [[0, 1], [1, 2]] and [g.num_nodes for g in stored.graphs] == [
        3,
        1,
        2,
    ]
    with pytest.raises(UserError, match="lacks the graph adware/b/9"):
        read_malnet(*malnet_archives(tmp_path, graphs, {**names, "test": ["adware/b/9"]}))
    with pytest.raises(UserError, match="is no list of edges, two numbers a line"):
        read_malnet(*malnet_archives(tmp_path, {**graphs, "adware/b/3": "1 x\n"}, names))
    with pytest.raises(UserError, match=r"has 0 files type/val.txt, expected one"):
        read_malnet(*malnet_archives(tmp_path, graphs, {"train": [], "test": []}))
    malnet_archives(tmp_path, graphs, names)
    (tmp_path / "g.tar.gz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"is damaged or no tar\.gz"):
        read_malnet(tmp_path / "g.tar.gz", tmp_path / "s.zip")


def test_a_collection_of_ones_own(tmp_path):
    paths = write(tmp_path / "root" / "X", {**TEXTS, "graph_labels": "0\n1\n1\n"})
    files = [{"path": name, "url": None, "bytes": None, "sha256": None} for name in paths]
    card = {
        "name": "mine", "title": "Mine", "task": "graphs", "reader": "tu_dataset", "files": files, "folders": ["X"],
        "licence": "none",
        "citation": "none", "source": "made up", "statistics": {}, "splits": {"3-fold": 3}, "metric": "macro_f1",
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(card))
    task = gk.load(str(tmp_path / "mine.yaml"), root=tmp_path / "root")
    assert (len(task), task.num_folds, task.primary_metric) == (3, 3, "macro_f1")
