"""Orbit operators against their definition, on every small graph, on random ones and on the golden files."""

import os
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from orbit_definition import count_by_definition, edge_counts_of, edges_of

from graphkit import ops

REFERENCE = Path(os.environ.get("GRAPHKIT_DATA", "data")).parent / "reference" / "orbit_adjacency"
GOLDEN = [
    "barabasi_albert_50_m4", "complete_8", "complete_bipartite_4_6", "cycle_12", "cycle_4", "diamond", "disconnected_isolated",
    "erdos_renyi_25_p50", "erdos_renyi_40_p15", "grid_5x6", "karate", "les_miserables", "path_11", "paw", "petersen",
    "powerlaw_cluster_45_m5", "star_9",
]  # fmt: skip


def check(graph):
    n, edges = graph.number_of_nodes(), edges_of(graph)
    counts, matrices = count_by_definition(graph)
    assert torch.equal(ops.orbit_counts(edges, num_nodes=n), counts)
    found = ops.orbit_adjacency(edges, num_nodes=n)
    assert list(found) == list(ops.ORBIT_KEYS)
    for key, matrix in found.items():
        assert torch.equal(matrix.to_dense().long(), matrices[key]), key
    listed, on_edges = ops.edge_orbit_counts(edges, num_nodes=n)
    assert torch.equal(listed, edges)
    assert torch.equal(on_edges, edge_counts_of(matrices, edges))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_every_connected_graph(backend, size):
    graphs = [g for g in nx.graph_atlas_g() if g.number_of_nodes() == size and nx.is_connected(g)]
    assert len(graphs) == [1, 1, 2, 6, 21, 112][size - 1]
    for graph in graphs:
        check(graph)


@pytest.mark.parametrize("seed", range(6))
def test_random_graphs(backend, seed):
    check(nx.gnp_random_graph(11 + seed, [0.1, 0.2, 0.35, 0.5, 0.7, 0.9][seed], seed=seed))


def test_hubs_and_clusters(backend):
    check(nx.powerlaw_cluster_graph(24, 4, 0.7, seed=1))
    check(nx.barabasi_albert_graph(24, 3, seed=2))
    check(nx.disjoint_union(nx.star_graph(7), nx.disjoint_union(nx.complete_graph(6), nx.empty_graph(3))))


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_graphs(backend, name):
    file = REFERENCE / f"{name}.npz"
    if not file.exists():
        pytest.skip(f"{file.parent.name} is not beside the data sets")
    golden = np.load(file, allow_pickle=False)
    n, edges = int(golden["n"]), torch.from_numpy(golden["edges"].astype(np.int64)).t()
    assert np.array_equal(ops.orbit_counts(edges, num_nodes=n).numpy(), golden["gdv"])
    for key, matrix in ops.orbit_adjacency(edges, num_nodes=n).items():
        assert np.array_equal(matrix.to_dense().numpy(), golden["h{}_o{}_{}".format(*key)]), key


# ---------------------------------------------------------------- larger than the definition can reach


def large_graphs():
    hub = nx.barabasi_albert_graph(700, 4, seed=3)
    hub.add_edges_from((0, v) for v in range(1, 700, 2))
    return {
        "preferential": nx.barabasi_albert_graph(600, 6, seed=0),
        "random": nx.fast_gnp_random_graph(500, 0.03, seed=1),
        "dense": nx.fast_gnp_random_graph(150, 0.5, seed=2),
        "cluster": nx.powerlaw_cluster_graph(500, 6, 0.6, seed=4),
        "hub": hub,
        "sparse": nx.fast_gnp_random_graph(900, 0.002, seed=5),
    }


@pytest.mark.parametrize("name", list(large_graphs()))
def test_kernel_equals_the_body_in_torch(name):
    if ops.backend_of("orbit_counts") != "native":
        pytest.skip("the extension is not built")
    graph = large_graphs()[name]
    n, edges = graph.number_of_nodes(), edges_of(graph)
    with ops.force_backend("python"):
        counts, on_edges = ops.orbit_counts(edges, num_nodes=n), ops.edge_orbit_counts(edges, num_nodes=n)
        matrices = ops.orbit_adjacency(edges, num_nodes=n)
    assert torch.equal(ops.orbit_counts(edges, num_nodes=n), counts)
    for found, expected in zip(ops.edge_orbit_counts(edges, num_nodes=n), on_edges, strict=True):
        assert torch.equal(found, expected)
    for dtype in (torch.int32, torch.int64):
        for key, matrix in ops.orbit_adjacency(edges, num_nodes=n, dtype=dtype).items():
            expected = matrices[key]
            assert matrix.dtype == dtype
            assert torch.equal(matrix.crow_indices(), expected.crow_indices())
            assert torch.equal(matrix.col_indices(), expected.col_indices())
            assert torch.equal(matrix.values().long(), expected.values().long()), key
