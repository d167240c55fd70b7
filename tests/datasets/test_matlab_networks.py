"""Networks in MATLAB's files: what is read, what is counted, what is refused."""

import numpy as np
import pytest
import torch
from scipy.io import savemat
from scipy.sparse import csc_matrix

import graphkit as gk
import graphkit.datasets as datasets
from graphkit.datasets.matlab_networks import read_matlab_network
from graphkit.datasets.readers import read
from graphkit.errors import UserError


def symmetric(nodes, *edges):
    matrix = np.zeros((nodes, nodes))
    for u, v, weight in edges:
        matrix[u, v] = matrix[v, u] = weight
    return matrix


NET = symmetric(5, (0, 1, 1.0), (1, 2, 0.5), (3, 4, 2.0), (2, 2, 1.0))


def test_edges_and_labels_as_they_stand(tmp_path):
    groups = np.array([[1, 0], [1, 1], [0, 0], [0, 2], [0, 1]])
    for form in (csc_matrix, np.asarray):
        path = tmp_path / "net.mat"
        savemat(path, {"net": csc_matrix(NET), "group": form(groups)})
        graph = read_matlab_network(path)
        assert graph.num_nodes == 5 and graph.x is None and graph.edge_index.size(1) == 7
        assert graph.edges.tolist() == [[0, 1, 3], [1, 2, 4]]  # without the self-loop, whatever the weight
        assert graph.y.dtype == torch.float32 and graph.y.tolist() == (groups > 0).tolist()
    savemat(path, {"network": csc_matrix(NET)})
    assert read_matlab_network(path, adjacency="network").y is None


def test_explicit_zeros_are_no_edges(tmp_path):
    matrix = csc_matrix(NET)
    matrix.data[matrix.data == 0.5] = 0.0
    savemat(tmp_path / "net.mat", {"net": matrix})
    assert read_matlab_network(tmp_path / "net.mat").edges.tolist() == [[0, 3], [1, 4]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"network": csc_matrix(NET)}, "no matrix 'net' in it"),
        ({"net": NET}, "'net' is no sparse matrix of numbers"),
        ({"net": csc_matrix(NET[:, :3])}, "'net' is .*not square"),
        ({"net": csc_matrix(NET), "group": np.ones((4, 2))}, "one row for each of 5 nodes"),
        ({"net": csc_matrix(NET), "group": np.array([["a"] * 5])}, "'group' holds no numbers"),
    ],
)
def test_files_that_hold_something_else(content, message, tmp_path):
    savemat(tmp_path / "net.mat", content)
    with pytest.raises(
        UserError, match=f"net.mat is no network in a MATLAB file .*{message}.*replace it by the original"
    ):
        read_matlab_network(tmp_path / "net.mat")


def test_damaged_files_and_other_formats(tmp_path):
    path = tmp_path / "net.mat"
    savemat(path, {"net": csc_matrix(NET), "group": np.ones((5, 2))})
    whole = path.read_bytes()
    for content in (b"", b"nonsense", whole[:150], whole[: len(whole) // 2], b"\x89HDF\r\n\x1a\n" + bytes(600)):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is no network in a MATLAB file"):
            read_matlab_network(path)
    with pytest.raises(UserError, match="is no network in a MATLAB file"):
        read_matlab_network(tmp_path / "missing.mat")


def test_pointers_out_of_range_are_not_followed(tmp_path):
    matrix = csc_matrix(NET)
    path = tmp_path / "net.mat"
    savemat(path, {"net": matrix})
    # the row numbers stand in the file as 32-bit integers
    rows = matrix.indices.astype("<i4").tobytes()
    assert path.read_bytes().count(rows) == 1
    path.write_bytes(path.read_bytes().replace(rows, np.array([0, 0, 2, 1, 2, 4, 900000], "<i4").tobytes()))
    with pytest.raises(UserError, match="is no network in a MATLAB file"):
        read_matlab_network(path)


def test_pointers_that_fall_are_not_followed(tmp_path):
    """Without entries scipy does not look at their order."""
    matrix = csc_matrix((7, 7))
    matrix.indptr = np.array([0, 0, 2, 0, 1, 0, 0, 0], matrix.indptr.dtype)
    matrix.has_sorted_indices = True  # or scipy sorts them before it writes, and reads what is not there
    path = tmp_path / "net.mat"
    savemat(path, {"net": matrix})
    with pytest.raises(UserError, match="pointers that fall"):
        read_matlab_network(path)


@pytest.mark.data
@pytest.mark.parametrize("name", ["blogcatalog", "wikipedia", "ppi"])
def test_labels_of_the_real_networks(name, data_root):
    card = datasets.card(name)
    path = data_root / card.folders[0] / card.files[0].path
    if not path.is_file():
        pytest.skip(f"{name} is not in GRAPHKIT_DATA")
    graph = read(card, {card.files[0].path: path})
    assert graph.y.shape == (card.statistics["nodes"], card.statistics["labels"])
    assert bool((graph.y.sum(1) > 0).all())  # every node has a label


@pytest.mark.data
def test_both_published_files_of_blogcatalog_hold_the_same_graph(data_root):
    seal, deepwalk = data_root / "seal" / "BlogCatalog.mat", data_root / "deepwalk" / "blogcatalog.mat"
    if not seal.is_file() or not deepwalk.is_file():
        pytest.skip("BlogCatalog is not in both of its forms in GRAPHKIT_DATA")
    one, other = read_matlab_network(seal), read_matlab_network(deepwalk, adjacency="network")
    assert torch.equal(one.edges, other.edges) and torch.equal(one.y, other.y)


@pytest.mark.data
def test_a_small_network_by_its_names(data_root, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_DATA", str(data_root))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    if datasets.where("celegans")[0].path is None:
        pytest.skip("celegans is not in GRAPHKIT_DATA")
    tasks = [gk.load(name, task="link") for name in ("celegans", "C.ele", "seal/celegans")]
    assert len({task.fingerprint()["test"] for task in tasks}) == 1 and tasks[0].num_nodes == 297
    assert tasks[0].x is None and tasks[0].leak_check()
