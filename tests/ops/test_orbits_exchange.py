"""Graphs from scipy and networkx, matrices to scipy; graphlets as sums of orbits; blocks by ranges of rows."""

import networkx as nx
import numpy as np
import pytest
import scipy.sparse
import torch
from orbit_definition import count_by_definition, edges_of

from graphkit import ops
from graphkit.errors import UserError

KARATE = nx.karate_club_graph()


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_scipy_in_any_format(form, kind):
    """A peer gives silent nonsense for some of these."""
    make = {
        "array": nx.to_scipy_sparse_array,
        "matrix": lambda g, format: scipy.sparse.csr_matrix(nx.to_numpy_array(g)),
    }
    matrix = make[kind](KARATE, format=form)
    matrix = matrix if kind == "array" else matrix.asformat(form)
    graph = ops.from_scipy(matrix)
    assert graph.info == (0, 0, 0)  # the weights of the edges do not count
    expected = ops.orbit_counts(edges_of(KARATE), num_nodes=34)
    assert torch.equal(ops.orbit_counts(graph, num_nodes=34), expected)


def test_scipy_with_what_a_simple_graph_cannot_hold():
    entries = ([1.0, 0.0, -2.0, 3.0, 1.0], ([0, 0, 1, 2, 0], [1, 2, 2, 2, 1]))
    graph = ops.from_scipy(scipy.sparse.coo_array(entries, shape=(4, 4)))  # a stored zero, a loop, a copy, one way
    assert graph.num_edges == 2 and graph.num_nodes == 4
    assert graph.info == (1, 1, 2)


@pytest.mark.parametrize(
    "given", [np.eye(3), scipy.sparse.csr_array((2, 3)), [[0, 1], [1, 0]], torch.eye(2), scipy.sparse.coo_array((4,))]
)
def test_no_adjacency_matrix(given):
    with pytest.raises(UserError, match="expected a square scipy sparse matrix"):
        ops.from_scipy(given)


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph])
def test_networkx_of_any_kind(kind):
    graph = kind([("c", "a"), ("a", "b"), ("b", "c"), ("c", "d"), ("d", "d")])
    made = ops.from_networkx(graph)
    counts = ops.orbit_counts(made, num_nodes=4)
    paw = {name: counts[k, 9:12].tolist() for k, name in enumerate(graph.nodes)}
    assert paw == {"a": [0, 1, 0], "b": [0, 1, 0], "c": [0, 0, 1], "d": [1, 0, 0]}
    assert made.info == (1, 0, 4 if graph.is_directed() else 0)
    assert ops.from_networkx(kind()).num_nodes == 0
    with pytest.raises(UserError, match="expected a networkx graph"):
        ops.from_networkx([(0, 1)])


def test_export_has_arrays_of_its_own():
    found = ops.orbit_adjacency(edges_of(KARATE), num_nodes=34)
    dense = {key: matrix.to_dense() for key, matrix in found.items()}
    for key in found:
        out = ops.to_scipy(found[key])
        assert isinstance(out, scipy.sparse.csr_array) and np.array_equal(out.toarray(), dense[key].numpy())
        assert out.nnz == np.count_nonzero(out.data)
        out.data[:] = 7
        out.indices[:] = 0
    assert all(torch.equal(matrix.to_dense(), dense[key]) for key, matrix in found.items())


def test_export_without_copy_cannot_be_written():
    found = ops.orbit_adjacency(edges_of(KARATE), num_nodes=34)
    one, other = (ops.to_scipy(found[key], copy=False) for key in ((1, 9, 11), (1, 3, 3)))
    assert np.shares_memory(one.indices, other.indices)
    for change in (lambda: one.eliminate_zeros(), lambda: one.data.fill(0), lambda: one.indices.sort()):
        with pytest.raises(ValueError, match="read-only"):
            change()
    found[1, 9, 11].values().clone().fill_(1)  # the tensor itself is not marked
    assert np.array_equal((one @ other).toarray(), (found[1, 9, 11].to_dense() @ found[1, 3, 3].to_dense()).numpy())


def test_only_csr_is_exported():
    with pytest.raises(UserError, match="expected a sparse CSR tensor"):
        ops.to_scipy(torch.eye(3))
    with pytest.raises(UserError, match="expected a sparse CSR tensor"):
        ops.to_scipy(scipy.sparse.eye_array(3))


@pytest.mark.parametrize("seed", range(3))
def test_graphlets_are_sums_of_orbits(backend, seed):
    graph = nx.gnp_random_graph(13, [0.2, 0.4, 0.7][seed], seed=seed)
    edges = edges_of(graph)
    counts, matrices = count_by_definition(graph)
    found = ops.graphlet_adjacency(edges, num_nodes=13)
    assert list(found) == list(range(9))
    for graphlet, matrix in found.items():
        expected = sum(matrices[key] for key in ops.graphlet_keys(graphlet))
        assert torch.equal(matrix.to_dense(), expected) and torch.equal(expected, expected.t())
        assert bool((matrix.values() > 0).all())
        # in a graphlet with k nodes each one has k - 1 others
        size = [2, 3, 3, 4, 4, 4, 4, 4, 4][graphlet]
        of_nodes = ops.graphlet_counts(edges, num_nodes=13)[:, graphlet]
        assert torch.equal(matrix.to_dense().sum(1), (size - 1) * of_nodes)
        assert torch.equal(of_nodes, counts[:, list(ops.GRAPHLET_ORBITS[graphlet])].sum(1))


def test_graphlets_partition_the_keys():
    assert sorted(key for graphlet in range(9) for key in ops.graphlet_keys(graphlet)) == sorted(ops.ORBIT_KEYS)
    for wrong in (9, -1, "paw", True, 1.0):
        with pytest.raises(UserError, match="expected a number from 0 to 8"):
            ops.graphlet_keys(wrong)
    star = ops.SimpleGraph(torch.tensor([[0], [1]]), num_nodes=2)
    star.max_degree = 1_500_000
    with pytest.raises(UserError, match="1500000 neighbours, so graphlet counts may exceed"):
        ops.graphlet_counts(star, num_nodes=2)


def test_the_result_says_what_was_dropped(backend):
    messy = torch.tensor([[0, 0, 1, 2, 1], [1, 1, 2, 2, 0]])
    assert ops.orbit_adjacency(messy, num_nodes=3).info._asdict() == {"self_loops": 1, "duplicates": 1, "one_way": 1}


def test_blocks_by_ranges_of_rows(backend):
    edges = edges_of(nx.barabasi_albert_graph(70, 3, seed=5))
    whole = ops.orbit_adjacency(edges, num_nodes=70)
    blocks = ops.orbit_row_blocks(edges, num_nodes=70, memory=20_000)
    assert blocks == [(a, b) for a, b, _ in ops.orbit_adjacency_blocks(edges, num_nodes=70, memory=20_000)]
    chosen = blocks[::-2]
    for rows, (start, end, block) in zip(
        chosen, ops.orbit_adjacency_blocks(edges, num_nodes=70, rows=chosen), strict=True
    ):
        assert rows == (start, end)
        for key, matrix in block.items():
            assert torch.equal(matrix.to_dense(), whole[key].to_dense()[start:end]), key
    for wrong in ([(0, 71)], [(3, 3)], [(-1, 2)]):
        with pytest.raises(UserError, match="expected 0 <= row_start < row_end <= 70"):
            ops.orbit_adjacency_blocks(edges, num_nodes=70, rows=wrong)
