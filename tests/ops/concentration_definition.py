"""Shared neighbours and overlaps of walks by nested loops over sets and lists, and graphs to try them on."""

from collections import Counter

import networkx as nx
import torch


def edges_of(graph):
    return torch.tensor(list(graph.edges), dtype=torch.int64).reshape(-1, 2).t()


def neighbors_of(edges, n):
    sets = [set() for _ in range(n)]
    for u, v in edges.t().tolist():
        if u != v:
            sets[u].add(v)
            sets[v].add(u)
    return sets


def both_ways(sets):
    return [(i, j) for i in range(len(sets)) for j in sorted(sets[i])]


def walk_ends(sets, start, hops, closed=()):
    """Multisets of the ends of the walks of 1, 2, ... steps; no walk takes the closed edge."""
    level, found = [start], []
    for _ in range(hops):
        level = [u for v in level for u in sets[v] if {v, u} != set(closed)]
        found.append(Counter(level))
    return found


def overlap(sets, i, j, hops, beta, closed=()):
    mine, theirs = walk_ends(sets, i, hops, closed), walk_ends(sets, j, hops, closed)
    return sum(
        beta ** (a + b) * sum(count for u, count in mine[a].items() if u in theirs[b])
        for a in range(hops)
        for b in range(hops)
    )


def graphs():
    """(name, edges, n) of small graphs of every kind."""
    yield "random", edges_of(nx.gnp_random_graph(40, 0.15, seed=0)), 43  # three isolated nodes at the end
    yield "dense", edges_of(nx.gnp_random_graph(12, 0.8, seed=1)), 12
    yield "clustered", edges_of(nx.powerlaw_cluster_graph(30, 3, 0.7, seed=2)), 30
    yield "star", edges_of(nx.star_graph(12)), 13
    yield "tree", edges_of(nx.balanced_tree(2, 4)), 31
    yield "clique", edges_of(nx.complete_graph(7)), 7
    yield "one edge", torch.tensor([[2], [0]]), 4
    yield "no edge", torch.empty(2, 0, dtype=torch.int64), 3
