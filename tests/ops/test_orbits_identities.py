"""Exact equalities between the orbit adjacencies, the adjacency matrix and the counts (each derived, none by counting)."""

import networkx as nx
import pytest
import torch
from orbit_definition import edges_of

from graphkit import ops

GRAPHS = {
    "random": lambda: nx.gnp_random_graph(60, 0.15, seed=0),
    "dense": lambda: nx.gnp_random_graph(40, 0.5, seed=1),
    "preferential": lambda: nx.barabasi_albert_graph(120, 4, seed=2),
    "cluster": lambda: nx.powerlaw_cluster_graph(100, 5, 0.6, seed=3),
    "karate": nx.karate_club_graph,
    "tree": lambda: nx.random_labeled_tree(60, seed=4),
    "grid": lambda: nx.convert_node_labels_to_integers(nx.grid_2d_graph(6, 7)),
}


@pytest.fixture(params=list(GRAPHS))
def sample(request, backend):
    graph = GRAPHS[request.param]()
    n, edges = graph.number_of_nodes(), edges_of(graph)
    m = {key: value.to_dense().long() for key, value in ops.orbit_adjacency(edges, num_nodes=n).items()}
    return graph, n, edges, m


def test_edge_identities(sample):
    _, _, _, m = sample
    a = m[1, 0, 0]
    d = a.sum(1)
    c = a @ a
    t, k, e, b, f = m[1, 3, 3], m[1, 14, 14], m[1, 12, 13], m[1, 8, 8], m[1, 9, 11]
    support = a * (a @ t)
    x = a * (d[None, :] - 1 - t)
    assert torch.equal(t, a * c)
    assert torch.equal(m[1, 1, 2], x)
    assert torch.equal(e + 2 * k, support - t)
    assert torch.equal(m[1, 13, 13] + k, t * (t - 1) // 2)
    assert torch.equal(m[1, 10, 11] + e, t * x)
    assert torch.equal(m[1, 6, 7] + f, x * (x - 1) // 2)
    assert torch.equal(m[1, 5, 5] + b, x * x.t())
    assert torch.equal(f + t + k + e, a * (t.sum(1) // 2)[None, :])
    cube = a @ c
    assert torch.equal(b + e + e.t() + 2 * k, a * (cube - (d[:, None] + d[None, :] - 1)))


def test_pair_identities(sample):
    _, n, _, m = sample
    a = m[1, 0, 0]
    d, c, t = a.sum(1), m[2, 1, 1], m[1, 3, 3]
    apart = (a + torch.eye(n, dtype=torch.int64)) == 0
    z, y = m[2, 12, 12], apart * (a @ t)
    assert torch.equal(c, apart * (a @ a))
    assert torch.equal(m[2, 8, 8] + z, c * (c - 1) // 2)
    assert torch.equal(m[2, 9, 10] + 2 * z, y)
    assert torch.equal(m[2, 4, 5] + 2 * m[2, 8, 8] + y, c * (d[None, :] - 1))
    assert torch.equal(m[2, 6, 6], apart * (a @ (d[:, None] * a)) - 2 * c - y - y.t() + 2 * z)
    assert torch.equal(m[3, 4, 4] + m[2, 9, 10], apart * (c @ a))


def test_walks(sample):
    _, n, _, m = sample
    a = m[1, 0, 0]
    off = 1 - torch.eye(n, dtype=torch.int64)
    assert torch.equal(off * (a @ a), m[2, 1, 1] + m[1, 3, 3])
    seen = (
        m[1, 0, 0] + m[1, 1, 2] + m[1, 2, 1] + 2 * m[1, 3, 3] + m[1, 8, 8] + m[1, 12, 13] + m[1, 13, 12] + 2 * m[1, 14, 14]
        + m[3, 4, 4] + m[2, 9, 10] + m[2, 10, 9] + 2 * m[2, 12, 12]
    )  # fmt: skip
    assert torch.equal(off * (a @ a @ a), seen)


def test_sums_are_orbit_counts(sample):
    _, n, edges, m = sample
    counts = ops.orbit_counts(edges, num_nodes=n)
    for key, matrix in m.items():
        hop, i, j = key
        assert torch.equal(matrix.sum(1), ops.orbit_multiplicity(key) * counts[:, i]), key
        assert torch.equal(matrix.sum(0), ops.orbit_multiplicity((hop, j, i)) * counts[:, j]), key
        assert torch.equal(matrix.t(), m[hop, j, i])
        assert int(matrix.min()) >= 0 and int(matrix.diagonal().abs().sum()) == 0


def test_graphlets_by_edges(sample):
    _, n, edges, m = sample
    counts = ops.orbit_counts(edges, num_nodes=n)
    # (orbits of the graphlet, its nodes on one of them, its edges)
    for orbits, (orbit, nodes), number in [
        ((1, 2), (2, 1), 2), ((3,), (3, 3), 3), ((4, 5), (4, 2), 3), ((6, 7), (7, 1), 3), ((8,), (8, 4), 4),
        ((9, 10, 11), (9, 1), 4), ((12, 13), (12, 2), 5), ((14,), (14, 4), 6),
    ]:  # fmt: skip
        total = sum(int(matrix.sum()) for (hop, i, j), matrix in m.items() if hop == 1 and i in orbits and j in orbits)
        assert total == 2 * number * (int(counts[:, orbit].sum()) // nodes)


def test_relabelling(sample):
    _, n, edges, m = sample
    order = torch.randperm(n, generator=torch.Generator().manual_seed(5))
    moved = ops.orbit_adjacency(order[edges], num_nodes=n)
    for key, matrix in moved.items():
        assert torch.equal(matrix.to_dense().long()[order][:, order], m[key]), key


def test_disjoint_union_is_block_diagonal(backend):
    one, two = nx.karate_club_graph(), nx.gnp_random_graph(20, 0.4, seed=6)
    both = nx.disjoint_union(one, two)
    whole = ops.orbit_adjacency(edges_of(both), num_nodes=54)
    left, right = (ops.orbit_adjacency(edges_of(g), num_nodes=g.number_of_nodes()) for g in (one, two))
    for key, matrix in whole.items():
        assert torch.equal(matrix.to_dense(), torch.block_diag(left[key].to_dense(), right[key].to_dense())), key


def test_complete_graph(backend):
    n = 9
    found = ops.orbit_adjacency(edges_of(nx.complete_graph(n)), num_nodes=n)
    off = 1 - torch.eye(n, dtype=torch.int32)
    values = {(1, 0, 0): 1, (1, 3, 3): n - 2, (1, 14, 14): (n - 2) * (n - 3) // 2}
    for key, matrix in found.items():
        assert torch.equal(matrix.to_dense(), values.get(key, 0) * off), key


def test_bipartite_graph_has_only_bipartite_orbits(backend):
    counts = ops.orbit_counts(edges_of(nx.complete_bipartite_graph(4, 6)), num_nodes=10)
    assert counts.sum(0).nonzero().squeeze(1).tolist() == [0, 1, 2, 6, 7, 8]
