"""Weighted directed multigraphs with what path algorithms stumble over."""

import networkx as nx
import torch


def weighted_graph(seed, num_nodes=8, num_edges=20, low=0.1, high=1.0):
    """Edges [2, E] and values [E] in float64: cycles, self-loops, parallel edges; the last node is isolated."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(num_nodes - 1, (2, num_edges), generator=generator)
    ring = torch.arange(3)
    fixed = torch.stack([torch.cat([ring, ring[:1], ring[:2]]), torch.cat([ring.roll(-1), ring[:1], ring[1:3]])])
    edges = torch.cat([edges, fixed], 1)
    value = low + (high - low) * torch.rand(edges.shape[1], generator=generator, dtype=torch.float64)
    return edges, value


def sparse_graph(seed, num_nodes=10):
    """Few edges, so that some nodes cannot be reached from others."""
    return weighted_graph(seed, num_nodes=num_nodes, num_edges=num_nodes - 4)


def adjacency(edges, value, num_nodes):
    """Dense matrix A[source, target]; parallel edges add up."""
    dense = torch.zeros(num_nodes, num_nodes, dtype=value.dtype)
    return dense.index_put((edges[0], edges[1]), value, accumulate=True)


def networkx_graph(edges, value, num_nodes):
    """The same edges as a networkx MultiDiGraph with ``weight``."""
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(num_nodes))
    graph.add_weighted_edges_from(zip(*edges.tolist(), value.tolist(), strict=True))
    return graph
