"""Common neighbours, their counts and weights against networkx and scipy."""

import networkx as nx
import numpy as np
import pytest
import scipy.sparse
import torch
from common_neighbor_samples import ALL_STRATEGIES, edges_of, rows

from graphkit import ops
from graphkit.ops.common_neighbors import force_strategy


@pytest.fixture(params=["karate", "power law", "dense"])
def graph(request):
    if request.param == "karate":
        return nx.karate_club_graph()
    if request.param == "power law":
        return nx.powerlaw_cluster_graph(700, 6, 0.4, seed=2)
    return nx.gnp_random_graph(150, 0.5, seed=2)


def pairs_of(graph, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.randint(graph.number_of_nodes(), (2, count), generator=generator)
    return torch.cat([edges_of(graph)[:, :count], pairs[:, pairs[0] != pairs[1]]], 1)


@pytest.mark.parametrize("strategy", ALL_STRATEGIES)
def test_networkx(backend, graph, strategy):
    n, edges, pairs = graph.number_of_nodes(), edges_of(graph), pairs_of(graph, 300)
    listed = pairs.t().tolist()
    with force_strategy(strategy):
        ptr, node = ops.common_neighbors(edges, pairs, num_nodes=n)
        assert rows(ptr, node) == [sorted(nx.common_neighbors(graph, u, v)) for u, v in listed]
        for weight, scores in (("degree", nx.resource_allocation_index), ("log_degree", nx.adamic_adar_index)):
            expected = torch.tensor([score for _, _, score in scores(graph, listed)], dtype=torch.float64)
            found = ops.common_neighbor_count(edges, pairs, num_nodes=n, weight=weight)
            torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
            x = torch.ones(n, 1, dtype=torch.float64)
            pooled = ops.cn_pool(edges, pairs, x, num_nodes=n, weight=weight).squeeze(1)
            torch.testing.assert_close(pooled, expected, rtol=1e-12, atol=1e-12)


def test_scipy(backend, graph):
    """|C| is an entry of A^2; pooling is a product with the rows' product."""
    n, edges, pairs = graph.number_of_nodes(), edges_of(graph), pairs_of(graph, 500, seed=1)
    A = scipy.sparse.csr_array(nx.to_scipy_sparse_array(graph, dtype=np.int64, weight=None))
    squared = (A @ A).toarray()
    i, j = pairs.numpy()
    assert ops.common_neighbor_count(edges, pairs, num_nodes=n).tolist() == squared[i, j].tolist()
    x = torch.randn(n, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    both = A[i].multiply(A[j])
    torch.testing.assert_close(
        ops.cn_pool(edges, pairs, x, num_nodes=n), torch.from_numpy(both @ x.numpy()), rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(
        ops.masked_spmm(edges, x, num_nodes=n), torch.from_numpy(A @ x.numpy()), rtol=1e-12, atol=1e-12
    )
