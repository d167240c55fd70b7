"""Files of graphs with labelled nodes: read as they stand, faults named, nothing unpickled."""

import json
import pickle

import numpy as np
import pytest
import torch

from graphkit.datasets.geom_gcn import read_geom_gcn, read_geom_gcn_splits
from graphkit.datasets.labelled_networks import read_airports, read_facebook100, read_wikics
from graphkit.datasets.npz_arrays import csr_edges, read_npz
from graphkit.datasets.npz_graphs import read_attributed_npz, read_edge_list_npz, read_telegram
from graphkit.errors import UserError

EDGES = "node_id\tnode_id\n2\t0\n2\t0\n1\t1\n0\t1\n"
NODES = "node_id\tfeature\tlabel\n2\t0,1\t1\n0\t1,1\t0\n1\t0,0\t1\n"
COLUMNS = "node_id\tfeature\tlabel\n2\t3,0\t1\n0\t\t0\n1\t1\t1\n"


def geom_gcn_files(folder, edges=EDGES, nodes=NODES, splits=2, size=3):
    paths = {"out1_graph_edges.txt": edges, "out1_node_feature_label.txt": nodes}
    for name, text in paths.items():
        (folder / name).write_text(text)
    for k in range(splits):
        masks = np.eye(3, size, dtype=np.uint8)
        named = dict(zip(("train_mask", "val_mask", "test_mask"), np.roll(masks, k, 0), strict=True))
        np.savez(folder / f"toy_split_0.6_0.2_{k}.npz", **named)
    return {path.name: path for path in folder.iterdir()}


def test_geom_gcn_keeps_order_directions_repeats_and_loops(tmp_path):
    graph = read_geom_gcn(geom_gcn_files(tmp_path))
    assert graph.edge_index.tolist() == [[2, 2, 1, 0], [0, 0, 1, 1]]
    assert graph.x.tolist() == [[1, 1], [0, 0], [0, 1]] and graph.y.tolist() == [0, 1, 1]
    masks = graph.splits["geom-gcn"]
    assert masks["train"].int().tolist() == [[1, 0, 0], [0, 0, 1]] and masks["test"].int().tolist() == [
        [0, 0, 1],
        [0, 1, 0],
    ]
    assert graph.edges.tolist() == [[0, 0], [1, 2]]


def test_geom_gcn_features_by_column(tmp_path):
    graph = read_geom_gcn(geom_gcn_files(tmp_path, nodes=COLUMNS, splits=0), features="columns", channels=4)
    assert graph.x.tolist() == [[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1]] and graph.splits == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": "a\tb\n0\t3\n"}, r"an edge leads out of the nodes 0 \.\. 2"),
        ({"edges": "a\tb\n0\tx\n"}, "holds something else than ids"),
        ({"edges": "a\tb\n0 1\n"}, "line 2: 1 fields, expected 2 with tabs between them"),
        ({"nodes": NODES.replace("2\t0,1", "1\t0,1")}, r"not the nodes 0 \.\. 2 each once"),
        ({"nodes": NODES.replace("0,1\t1", "0\t1")}, "node 2 has 1 features, node 0 2"),
        ({"nodes": NODES.replace("0,1\t1", "0,z\t1")}, "line 2: invalid literal"),
        ({"nodes": "headings\n"}, "holds nothing below its headings"),
        ({"nodes": NODES.replace("\t1", "\t99999999999999999999")}, "a class is no number of 64 bits"),
        ({"size": 4}, r"train_mask is \(4,\), expected one entry for each of 3 nodes"),
    ],
)
def test_faults_of_geom_gcn_are_named(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        read_geom_gcn(geom_gcn_files(tmp_path, **changes))


def test_a_gap_in_the_splits_is_named(tmp_path):
    paths = geom_gcn_files(tmp_path, splits=3)
    del paths["toy_split_0.6_0.2_1.npz"]
    with pytest.raises(UserError, match=r"are numbers \[0, 2\]; expected 0, 1, ... without a gap"):
        read_geom_gcn_splits(paths, 3)
    with pytest.raises(UserError, match=r"lacks out1_graph_edges.txt"):
        read_geom_gcn({})


def edge_list(**changes):
    masks = np.eye(3, dtype=bool)[:, None].repeat(2, 1)
    arrays = {
        "node_features": np.arange(6.0).reshape(3, 2), "node_labels": np.array([0, 1, 1]), "edges": np.array([[0, 2], [0, 1]]),
        "train_masks": masks[0], "val_masks": masks[1], "test_masks": masks[2], **changes,
    }  # fmt: skip
    return {name: array for name, array in arrays.items() if array is not None}


def test_edge_lists(tmp_path):
    np.savez(tmp_path / "toy.npz", **edge_list())
    graph = read_edge_list_npz(tmp_path / "toy.npz")
    assert graph.edge_index.tolist() == [[0, 0], [2, 1]] and graph.x.dtype == torch.float32 and graph.num_nodes == 3
    assert {split: mask.shape for split, mask in graph.splits["official"].items()} == dict.fromkeys(
        ("train", "valid", "test"), (2, 3)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": None}, "holds no array 'edges'"),
        ({"edges": np.array([[0, 3]])}, r"an edge leads out of the nodes 0 \.\. 2"),
        ({"edges": np.zeros((2, 3), dtype=int)}, r"do not fit together \(edges \(2, 3\)\)"),
        ({"node_features": np.zeros((2, 2))}, r"features \(2, 2\) of labels \(3,\)"),
        ({"test_masks": np.ones((1, 3), dtype=bool)}, r"test masks \(1, 3\)"),
        ({"node_labels": np.array([0, 1, None])}, "is damaged or no archive of plain arrays"),
    ],
)
def test_faults_of_edge_lists_are_named(tmp_path, changes, message):
    np.savez(tmp_path / "toy.npz", **edge_list(**changes))
    with pytest.raises(UserError, match=message):
        read_edge_list_npz(tmp_path / "toy.npz")


def attributed(**changes):
    return {
        "adj_indptr": np.array([0, 2, 2, 3]), "adj_indices": np.array([1, 2, 0]), "adj_data": np.ones(3),
        "adj_shape": np.array([3, 3]),
        "attr_indptr": np.array([0, 1, 1, 2]), "attr_indices": np.array([1, 0]), "attr_data": np.array([0.5, 2.0]),
        "attr_shape": np.array([3, 2]), "labels": np.array([1, 0, 1]), "node_names": np.array(["a", "b", "c"]), **changes,
    }  # fmt: skip


def test_attributed_graphs(tmp_path):
    np.savez(tmp_path / "toy.npz", **attributed(), class_names=np.array([{"a": 1}, None], dtype=object))
    graph = read_attributed_npz(tmp_path / "toy.npz")
    assert graph.edge_index.tolist() == [[0, 0, 2], [1, 2, 0]] and graph.x.tolist() == [[0, 0.5], [0, 0], [2, 0]]
    assert graph.y.tolist() == [1, 0, 1] and graph.nodes == ["a", "b", "c"] and graph.classes is None
    np.savez(tmp_path / "bare.npz", **{key: array for key, array in attributed().items() if key.startswith("adj")})
    bare = read_attributed_npz(tmp_path / "bare.npz")
    assert bare.x is None and bare.y is None and bare.nodes is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adj_indptr": np.array([0, 2, 3])}, "row pointers"),
        ({"adj_indptr": np.array([0, 2, 1, 3])}, "row pointers"),
        ({"adj_indices": np.array([1, 2, 3])}, r"a column is outside of 0 \.\. 2"),
        ({"adj_shape": np.array([3, 2])}, "is not square"),
        ({"attr_shape": np.array([4, 2])}, "features .* of 3 nodes"),
        ({"labels": np.array([1, 0])}, "labels .* of 3 nodes"),
    ],
)
def test_faults_of_attributed_graphs_are_named(tmp_path, changes, message):
    np.savez(tmp_path / "toy.npz", **attributed(**changes))
    with pytest.raises(UserError, match=message):
        read_attributed_npz(tmp_path / "toy.npz")


class Trap:
    """A pickle that leaves a mark when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_inside_is_never_opened(tmp_path):
    mark = tmp_path / "mark"
    np.savez(tmp_path / "toy.npz", **attributed(labels=np.array([Trap(mark)] * 3, dtype=object)))
    assert read_attributed_npz(tmp_path / "toy.npz").y is None and not mark.exists()
    with pytest.raises(UserError, match="is damaged or no archive of plain arrays"):
        read_npz(tmp_path / "toy.npz", ["labels"])
    assert not mark.exists()
    (tmp_path / "whole.npz").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(UserError, match="is damaged"):
        read_npz(tmp_path / "whole.npz", ["labels"])
    assert not mark.exists()


def test_missing_and_torn_archives(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_npz(tmp_path / "none.npz", ["labels"])
    np.savez(tmp_path / "toy.npz", **attributed())
    content = (tmp_path / "toy.npz").read_bytes()
    (tmp_path / "torn.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="is damaged"):
        read_attributed_npz(tmp_path / "torn.npz")
    assert csr_edges(np.array([0, 0]), np.array([], dtype=int), (1, 1)).shape == (2, 0)


def test_telegram(tmp_path):
    from scipy.sparse import csr_matrix, save_npz

    save_npz(tmp_path / "a.npz", csr_matrix(np.array([[0, 3], [0, 0]])))
    np.save(tmp_path / "y.npy", np.array([1, 0]))
    graph = read_telegram(tmp_path / "a.npz", tmp_path / "y.npy")
    assert graph.edge_index.tolist() == [[0], [1]] and graph.y.tolist() == [1, 0] and graph.x is None
    np.save(tmp_path / "y.npy", np.array([1, 0, 2]))
    with pytest.raises(UserError, match="do not fit together"):
        read_telegram(tmp_path / "a.npz", tmp_path / "y.npy")


def test_airports(tmp_path):
    (tmp_path / "toy.edgelist").write_text("20 10\n30 20\n")
    (tmp_path / "labels.txt").write_text("node label\n30 1\n10 0\n20 1\n")
    graph = read_airports(tmp_path / "toy.edgelist", tmp_path / "labels.txt")
    assert (
        graph.nodes == ["30", "10", "20"]
        and graph.edge_index.tolist() == [[2, 0], [1, 2]]
        and graph.y.tolist() == [1, 0, 1]
    )
    for edges, labels, message in (
        ("20 10\n40 20\n", "h\n30 1\n10 0\n20 1\n", "the airport 40 has no class"),
        ("20 10\n", "h\n10 1\n10 0\n20 1\n", "names an airport twice"),
        ("20 10 3\n", "h\n10 1\n20 1\n", "no list of pairs of numbers"),
        ("20 ten\n", "h\n10 1\n20 1\n", "no list of pairs of numbers"),
    ):
        (tmp_path / "toy.edgelist").write_text(edges)
        (tmp_path / "labels.txt").write_text(labels)
        with pytest.raises(UserError, match=message):
            read_airports(tmp_path / "toy.edgelist", tmp_path / "labels.txt")


def test_facebook100(tmp_path):
    from scipy.io import savemat
    from scipy.sparse import csc_matrix

    info = np.array([[1, 2, 7], [1, 0, 9], [4, 1, 7]], dtype=np.uint16)
    savemat(
        tmp_path / "data.mat",
        {"A": csc_matrix(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=float)), "local_info": info},
    )
    graph = read_facebook100(tmp_path / "data.mat")
    assert graph.y.tolist() == [1, -1, 0] and graph.x.tolist() == [[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0]]
    assert graph.edges.tolist() == [[0, 1], [1, 2]]
    (tmp_path / "data.mat").write_bytes(b"MATLAB")
    with pytest.raises(UserError, match="is no file of Facebook100"):
        read_facebook100(tmp_path / "data.mat")


def test_wikics(tmp_path):
    content = {
        "features": [[0.5, 1], [1, 0], [0, 0]], "labels": [0, 1, 1], "links": [[1, 2], [], [0]],
        "train_masks": [[True, False, False], [False, True, False]], "val_masks": [[False, True, False], [True, False, False]],
        "stopping_masks": [[False] * 3] * 2, "test_mask": [False, False, True],
    }  # fmt: skip
    (tmp_path / "data.json").write_text(json.dumps(content))
    graph = read_wikics(tmp_path / "data.json")
    assert (
        graph.edge_index.tolist() == [[0, 0, 2], [1, 2, 0]]
        and graph.splits["official"]["test"].int().tolist() == [[0, 0, 1]] * 2
    )
    for key, value in (("links", [[3], [], []]), ("test_mask", [True]), ("labels", [0, 1])):
        (tmp_path / "data.json").write_text(json.dumps({**content, key: value}))
        with pytest.raises(UserError, match=r"is no data.json of WikiCS"):
            read_wikics(tmp_path / "data.json")
