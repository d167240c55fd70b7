"""Graphs and pairs for the tests on common neighbours, and the definitions: loops over all nodes."""

import networkx as nx
import torch

from graphkit.ops.common_neighbors_reference import STRATEGIES


def edges_of(graph):
    """int64 [2, M], each edge once."""
    return torch.tensor(sorted(graph.edges()), dtype=torch.int64).reshape(-1, 2).t().contiguous()


def hub_graph():
    """60 nodes: two hubs, a clique, a path, isolated nodes; with loops, copies and both directions here and there."""
    graph = nx.gnp_random_graph(40, 0.08, seed=3)
    graph.add_edges_from((40, v) for v in range(0, 40, 2))
    graph.add_edges_from((41, v) for v in range(0, 41, 3))
    graph.add_edges_from(nx.complete_graph(range(42, 48)).edges())
    graph.add_edges_from((v, v + 1) for v in range(48, 53))
    edges = edges_of(graph)
    loops = torch.tensor([[0, 41, 59], [0, 41, 59]])
    return torch.cat([edges, edges[:, ::3].flip(0), edges[:, :7], loops], 1), 60


def every_pair(n):
    """All ordered pairs, self-pairs among them, and some of them again."""
    pairs = torch.cartesian_prod(torch.arange(n), torch.arange(n)).t().contiguous()
    return torch.cat([pairs, pairs[:, ::7]], 1)


def neighbors_of(edges, n, without=()):
    """Sets of neighbours; `without` are pairs whose edge is taken out."""
    found = [set() for _ in range(n)]
    out = {frozenset(pair) for pair in without}
    for u, v in edges.t().tolist():
        if u != v and frozenset((u, v)) not in out:
            found[u].add(v)
            found[v].add(u)
    return found


def common_by_definition(neighbors, pairs):
    """A list per pair: every node that is a neighbour of both."""
    return [
        [u for u in range(len(neighbors)) if u in neighbors[i] and u in neighbors[j]] for i, j in pairs.t().tolist()
    ]


def residual_by_definition(neighbors, pairs):
    """A list per pair for its first node, then one per pair for its second."""

    def alone(i, j):
        return [u for u in range(len(neighbors)) if u in neighbors[i] and u not in neighbors[j] and u not in (i, j)]

    both = pairs.t().tolist()
    return [alone(i, j) for i, j in both] + [alone(j, i) for i, j in both]


def rows(ptr, values):
    return [part.tolist() for part in values.split(ptr.diff().tolist())]


ALL_STRATEGIES = list(STRATEGIES)
