"""Eigenvectors and return probabilities, against dense matrices and other libraries."""

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import AddRandomWalkPE
from torch_geometric.utils import from_networkx

from graphkit.data import (
    AddEncodings,
    encode_graph,
    laplacian_encoding,
    positional_encodings,
    random_walk_encoding,
    sampled_walk_encoding,
)
from graphkit.data.random_streams import signs
from graphkit.errors import UserError


def edges_of(graph):
    return from_networkx(graph).edge_index


def dense_returns(edge_index, nodes, size):
    matrix = np.zeros((nodes, nodes))
    matrix[edge_index[0], edge_index[1]] = 1
    degree = matrix.sum(1, keepdims=True)
    matrix = np.divide(matrix, degree, out=np.zeros_like(matrix), where=degree > 0)
    power, found = np.eye(nodes), []
    for _ in range(size):
        power = power @ matrix
        found.append(np.diag(power))
    return np.stack(found, 1)


def samples():
    yield edges_of(nx.karate_club_graph()), 34
    yield (
        torch.randint(20, (2, 60), generator=torch.Generator().manual_seed(0)),
        23,
    )  # directed, loops, repeats, lonely nodes
    yield torch.zeros(2, 0, dtype=torch.int64), 3
    yield edges_of(nx.star_graph(30)), 31


@pytest.mark.parametrize("entries", [2**24, 50])
def test_return_probabilities_are_those_of_the_dense_matrix(monkeypatch, entries):
    monkeypatch.setattr(positional_encodings, "_ENTRIES", entries)  # blocks of rows that are split until they fit
    for edge_index, nodes in samples():
        for size in (1, 2, 7):
            found = random_walk_encoding(edge_index, nodes, size)
            assert np.allclose(found, dense_returns(edge_index, nodes, size), atol=1e-7)


def test_return_probabilities_are_those_of_pyg():
    edge_index = edges_of(nx.karate_club_graph())
    data = AddRandomWalkPE(6, attr_name="pe")(Data(edge_index=edge_index, num_nodes=34))
    assert torch.allclose(random_walk_encoding(edge_index, 34, 6), data.pe, atol=1e-6)


def test_nothing_of_the_size_of_the_square_is_made():
    edge_index = edges_of(nx.path_graph(30_000))
    found = random_walk_encoding(edge_index, 30_000, 6)
    assert found[15_000].tolist() == pytest.approx([0, 1 / 2, 0, 3 / 8, 0, 5 / 16])
    assert found[0].tolist() == pytest.approx([0, 1 / 2, 0, 3 / 8, 0, 5 / 16])


def test_sampled_walks_agree_with_the_exact_ones():
    for edge_index, nodes in samples():
        exact = random_walk_encoding(edge_index, nodes, 5)
        found = sampled_walk_encoding(edge_index, nodes, 5, walks=4000)
        assert float((found - exact).abs().max()) <= 4 / (2 * 4000**0.5)
        assert torch.equal(found, sampled_walk_encoding(edge_index, nodes, 5, walks=4000))
    assert not torch.equal(found, sampled_walk_encoding(edge_index, nodes, 5, walks=4000, seed=1))


def test_eigenvectors_solve_their_equation():
    graph = nx.connected_watts_strogatz_graph(40, 4, 0.3, seed=1)
    matrix = nx.normalized_laplacian_matrix(graph, nodelist=range(40)).toarray()
    values = np.linalg.eigvalsh(matrix)
    for edge_index in (edges_of(graph), torch.cat([edges_of(graph), torch.tensor([[3], [3]])], 1)):
        vectors = laplacian_encoding(edge_index, 40, 5).double().numpy()
        assert np.allclose(vectors.T @ vectors, np.eye(5), atol=1e-5)
        assert np.allclose(matrix @ vectors, vectors * values[1:6], atol=1e-5)
        assert (vectors[np.abs(vectors).argmax(0), np.arange(5)] > 0).all()


def test_large_graphs_take_the_sparse_way(monkeypatch):
    graph = nx.connected_watts_strogatz_graph(120, 6, 0.4, seed=2)
    edge_index = edges_of(graph)
    whole = laplacian_encoding(edge_index, 120, 4)
    monkeypatch.setattr(positional_encodings, "_DENSE", 50)
    assert torch.allclose(laplacian_encoding(edge_index, 120, 4), whole, atol=1e-5)
    assert torch.equal(laplacian_encoding(edge_index, 120, 4), laplacian_encoding(edge_index, 120, 4))


def test_small_graphs_are_filled_up_with_zeros():
    pair = torch.tensor([[0, 1], [1, 0]])
    found = laplacian_encoding(pair, 2, 4)
    assert found[:, 1:].abs().max() == 0 and found[:, 0].abs().tolist() == pytest.approx([0.5**0.5] * 2)
    assert laplacian_encoding(torch.zeros(2, 0, dtype=torch.int64), 1, 2).tolist() == [[0, 0]]


def test_encodings_follow_the_numbering_of_nodes():
    edge_index = edges_of(nx.connected_watts_strogatz_graph(25, 4, 0.5, seed=3))
    order = torch.randperm(25, generator=torch.Generator().manual_seed(1))
    for word in ("laplacian:3", "random_walk:6"):
        one = encode_graph(edge_index, 25, [word]).values
        other = encode_graph(order[edge_index], 25, [word]).values[order]
        assert torch.allclose(one, other, atol=1e-5)


def test_words():
    found = encode_graph(torch.tensor([[0, 1], [1, 0]]), 2, ["random_walk:2", "laplacian:1", "sampled_walk:3"])
    assert found.values.shape == (2, 6) and found.signed.tolist() == [False, False, True, False, False, False]
    data = Data(x=torch.zeros(2, 1), edge_index=torch.tensor([[0, 1], [1, 0]]))
    assert AddEncodings(["laplacian:2"])(data).x.shape == (2, 3) and data.x.shape == (2, 1)
    for words, message in (
        (["laplacian"], "encoding 'laplacian' is none; expected words such as"),
        (["laplacean:3"], "unknown kind 'laplacean'; did you mean 'laplacian'"),
        (["laplacian:0"], "the size of encoding 'laplacian:0' is 0"),
    ):
        with pytest.raises(UserError, match=message):
            AddEncodings(words)
    with pytest.raises(UserError, match="the number of walks a node is 0"):
        sampled_walk_encoding(torch.zeros(2, 0, dtype=torch.int64), 1, 1, walks=0)


def test_signs_are_fair_and_depend_on_their_row_alone():
    rows = torch.arange(2000)
    found = signs(rows, 70, seed=3, epoch=1)
    assert found.abs().eq(1).all() and abs(float(found.mean())) < 0.02
    assert torch.equal(signs(torch.tensor([7, 3]), 70, seed=3, epoch=1), found[[7, 3]])
    assert not torch.equal(signs(rows, 70, seed=3, epoch=2), found)
