"""Orbit counts and orbit adjacencies by their definition: every set of up to four nodes is looked at."""

from itertools import combinations

import networkx as nx
import torch

from graphkit.ops import ORBIT_KEYS

#: (inner degrees of the graphlet, sorted) -> orbit of a node with that inner degree
GRAPHLETS = {
    (1, 1): {1: 0}, (1, 1, 2): {1: 1, 2: 2}, (2, 2, 2): {2: 3}, (1, 1, 2, 2): {1: 4, 2: 5}, (1, 1, 1, 3): {1: 6, 3: 7},
    (2, 2, 2, 2): {2: 8}, (1, 2, 2, 3): {1: 9, 2: 10, 3: 11}, (2, 2, 3, 3): {2: 12, 3: 13}, (3, 3, 3, 3): {3: 14},
}  # fmt: skip
EDGE_ORBITS = [
    (1, 2),
    (3, 3),
    (4, 5),
    (5, 5),
    (6, 7),
    (8, 8),
    (9, 11),
    (10, 10),
    (10, 11),
    (12, 13),
    (13, 13),
    (14, 14),
]


def edges_of(graph):
    """int64 [2, M], each edge once."""
    return torch.tensor(sorted(graph.edges()), dtype=torch.int64).reshape(-1, 2).t().contiguous()


def count_by_definition(graph):
    """(node counts [N, 15], {key: dense [N, N]}) of a graph on nodes 0..N-1, for N small."""
    n = graph.number_of_nodes()
    counts = torch.zeros(n, 15, dtype=torch.int64)
    matrices = {key: torch.zeros(n, n, dtype=torch.int64) for key in ORBIT_KEYS}
    for size in (2, 3, 4):
        for nodes in combinations(range(n), size):
            inner = graph.subgraph(nodes)
            if not nx.is_connected(inner):
                continue
            degree = dict(inner.degree())
            orbit = GRAPHLETS[tuple(sorted(degree.values()))]
            for u in nodes:
                counts[u, orbit[degree[u]]] += 1
                for v, distance in nx.single_source_shortest_path_length(inner, u).items():
                    if v != u:
                        matrices[distance, orbit[degree[u]], orbit[degree[v]]][u, v] += 1
    return counts, matrices


def edge_counts_of(matrices, edges):
    """[M, 12] from the definition's matrices."""
    u, v = edges
    columns = [matrices[1, i, j][u, v] + (0 if i == j else matrices[1, j, i][u, v]) for i, j in EDGE_ORBITS]
    return torch.stack(columns, 1)
