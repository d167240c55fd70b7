"""The generalized Bellman-Ford iteration against the classic quantities it unites (NBFNet, Table 1)."""

import itertools
import math

import networkx
import numpy
import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import SEMIRINGS, bellman_ford


def random_graph(num_nodes=9, num_edges=25, seed=0):
    """Directed, with cycles, parallel edges, self-loops and a node without edges (the last)."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(num_nodes - 1, (2, num_edges), generator=generator)
    value = torch.rand(num_edges, dtype=torch.float64, generator=generator) * 0.9 + 0.05
    return edges, value, num_nodes


def solve(semiring, edges, value, num_nodes, steps):
    return bellman_ford(edges, torch.arange(num_nodes), semiring, steps, value, num_nodes=num_nodes).numpy()


def dense(edges, value, num_nodes):
    matrix = numpy.zeros((num_nodes, num_nodes))
    numpy.add.at(matrix, (edges[0].numpy(), edges[1].numpy()), value.numpy())
    return matrix


def test_katz_index():
    edges, value, n = random_graph()
    matrix = 0.1 * dense(edges, value, n)
    expected = sum(numpy.linalg.matrix_power(matrix, i) for i in range(6))
    assert numpy.allclose(solve("sum_product", edges, 0.1 * value, n, 5), expected, atol=1e-10)
    limit = numpy.linalg.inv(numpy.eye(n) - matrix)
    assert numpy.allclose(solve("sum_product", edges, 0.1 * value, n, 200), limit, atol=1e-10)


def test_personalised_pagerank():
    edges, value, n = random_graph(seed=1)
    out = torch.zeros(n, dtype=torch.float64).index_add(0, edges[0], value)
    share = value / out[edges[0]]
    walk = dense(edges, share, n)
    found = 0.15 * solve("sum_product", edges, 0.85 * share, n, 400)
    assert numpy.allclose(found, 0.15 * numpy.linalg.inv(numpy.eye(n) - 0.85 * walk), atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_distances_are_dijkstras_with_real_infinities(seed):
    edges, value, n = random_graph(seed=seed)
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from(range(n))
    graph.add_weighted_edges_from(zip(*edges.tolist(), value.tolist(), strict=True))
    found = solve("min_plus", edges, value, n, n - 1)
    known = dict(networkx.all_pairs_dijkstra_path_length(graph))
    for u, v in itertools.product(range(n), repeat=2):
        assert found[u, v] == pytest.approx(known[u].get(v, math.inf), abs=1e-10)
    assert numpy.isinf(found[0, n - 1])


@pytest.mark.parametrize("seed", range(3))
def test_most_reliable_path_is_a_shortest_path_of_logarithms(seed):
    edges, value, n = random_graph(seed=seed)
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from(range(n))
    graph.add_weighted_edges_from(zip(*edges.tolist(), (-value.log()).tolist(), strict=True))
    known = dict(networkx.all_pairs_dijkstra_path_length(graph))
    found = solve("max_times", edges, value, n, n - 1)
    for u, v in itertools.product(range(n), repeat=2):
        assert found[u, v] == pytest.approx(math.exp(-known[u].get(v, math.inf)), abs=1e-10)


COMBINE = {"sum_product": sum, "min_plus": min, "max_min": max, "max_times": max}
EXTEND = {
    "sum_product": lambda a, b: a * b, "min_plus": lambda a, b: a + b, "max_min": min, "max_times": lambda a, b: a * b,
}  # fmt: skip


@pytest.mark.parametrize("semiring", sorted(SEMIRINGS))
@pytest.mark.parametrize("steps", [0, 1, 2, 4])
def test_t_iterations_reduce_over_all_walks_of_at_most_t_edges(semiring, steps):
    edges, value, n = random_graph(num_nodes=6, num_edges=9, seed=3)
    zero, one = SEMIRINGS[semiring].zero, SEMIRINGS[semiring].one
    walks = {(u, v): [one] if u == v else [] for u in range(n) for v in range(n)}
    frontier = [(u, u, one) for u in range(n)]
    for _ in range(steps):
        frontier = [
            (u, int(edges[1, e]), EXTEND[semiring](product, float(value[e])))
            for u, v, product in frontier
            for e in range(edges.shape[1])
            if int(edges[0, e]) == v
        ]
        for u, v, product in frontier:
            walks[u, v].append(product)
    found = solve(semiring, edges, value, n, steps)
    for (u, v), products in walks.items():
        assert found[u, v] == pytest.approx(COMBINE[semiring](products) if products else zero, abs=1e-10)


def test_edge_values_have_gradients():
    edges, value, n = random_graph(num_edges=8)
    for semiring in ("sum_product", "max_times"):
        assert torch.autograd.gradcheck(
            lambda v, s=semiring: bellman_ford(edges, torch.tensor([0, 1]), s, 3, v, num_nodes=n), value.clone().requires_grad_()
        )


def test_mistakes_are_named():
    edges, value, n = random_graph()
    source = torch.tensor([0])
    with pytest.raises(UserError, match="did you mean 'min_plus'"):
        bellman_ford(edges, source, "min_pls", 2, value, num_nodes=n)
    with pytest.raises(UserError, match="one floating point value for each"):
        bellman_ford(edges, source, "min_plus", 2, value[:3], num_nodes=n)
    with pytest.raises(UserError, match="outside"):
        bellman_ford(edges, torch.tensor([n]), "min_plus", 2, value, num_nodes=n)
    with pytest.raises(UserError, match="T is -1"):
        bellman_ford(edges, source, "min_plus", -1, value, num_nodes=n)
