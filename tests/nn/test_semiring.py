"""bellman_ford against the classic algorithms of the table, and against the enumeration of all walks."""

import math

import networkx as nx
import pytest
import scipy.sparse
import torch
from weighted_graphs import adjacency, networkx_graph, sparse_graph, weighted_graph

from graphkit.errors import UserError
from graphkit.nn import SEMIRINGS, Semiring, bellman_ford
from graphkit.ops import CSRGraph, force_backend

SEEDS = range(4)
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def from_every_node(edges, value, semiring, iterations, num_nodes):
    return bellman_ford(edges, torch.arange(num_nodes), semiring, iterations, value, num_nodes=num_nodes)


# ---- the table ----


@pytest.mark.parametrize("iterations", [0, 1, 2, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_katz_index_truncated(seed, iterations):
    edges, weight = weighted_graph(seed)
    beta = 0.3
    got = from_every_node(edges, beta * weight, "sum_product", iterations, 8)
    matrix = adjacency(edges, weight, 8)
    wanted = sum(torch.linalg.matrix_power(beta * matrix, i) for i in range(iterations + 1))
    torch.testing.assert_close(got, wanted, **EXACT)


@pytest.mark.parametrize("seed", SEEDS)
def test_katz_index_in_the_limit(seed):
    edges, weight = weighted_graph(seed)
    matrix = adjacency(edges, weight, 8)
    beta = 0.5 / torch.linalg.eigvals(matrix).abs().max().item()
    got = from_every_node(edges, beta * weight, "sum_product", 80, 8)
    torch.testing.assert_close(got, torch.linalg.inv(torch.eye(8, dtype=torch.float64) - beta * matrix), **EXACT)


@pytest.mark.parametrize("seed", SEEDS)
def test_personalised_pagerank(seed):
    edges, weight = weighted_graph(seed)
    edges = torch.cat([edges, torch.tensor([range(8), [(v + 3) % 8 for v in range(8)]])], 1)  # no dangling nodes
    weight = torch.cat([weight, torch.full((8,), 0.2, dtype=torch.float64)])
    alpha = 0.85
    matrix = adjacency(edges, weight, 8)
    out_weight = matrix.sum(1)
    got = (1 - alpha) * from_every_node(edges, alpha * weight / out_weight[edges[0]], "sum_product", 200, 8)
    transition = matrix / out_weight.unsqueeze(1)
    wanted = (1 - alpha) * torch.linalg.inv(torch.eye(8, dtype=torch.float64) - alpha * transition)
    torch.testing.assert_close(got, wanted, **EXACT)
    torch.testing.assert_close(got.sum(1), torch.ones(8, dtype=torch.float64), **EXACT)
    simple = nx.from_scipy_sparse_array(scipy.sparse.csr_array(matrix.numpy()), create_using=nx.DiGraph)
    for source in range(8):
        rank = nx.pagerank(simple, alpha, personalization={source: 1.0}, tol=1e-13, max_iter=1000)
        torch.testing.assert_close(got[source], torch.tensor([rank[v] for v in range(8)], dtype=torch.float64), **EXACT)


@pytest.mark.parametrize("seed", SEEDS)
def test_distance_is_dijkstras(seed):
    edges, length = sparse_graph(seed)
    got = from_every_node(edges, length, "min_plus", 9, 10)
    graph = networkx_graph(edges, length, 10)
    wanted = torch.full((10, 10), math.inf, dtype=torch.float64)
    for source in range(10):
        for target, distance in nx.single_source_dijkstra_path_length(graph, source).items():
            wanted[source, target] = distance
    assert wanted.isinf().any() and (wanted.isfinite().sum() > 20)
    torch.testing.assert_close(got, wanted, **EXACT)
    torch.testing.assert_close(from_every_node(edges, length, "min_plus", 40, 10), got, rtol=0, atol=0)


def test_an_infinite_length_is_no_edge():
    edges = torch.tensor([[0, 1, 0], [1, 2, 2]])
    length = torch.tensor([1.0, 1.0, math.inf], dtype=torch.float64)
    got = bellman_ford(edges, torch.tensor([0, 2]), "min_plus", 3, length, num_nodes=4)
    assert got.tolist() == [[0, 1, 2, math.inf], [math.inf, math.inf, 0, math.inf]]


@pytest.mark.parametrize("seed", SEEDS)
def test_widest_path_by_taking_narrow_edges_out(seed):
    edges, width = sparse_graph(seed)
    got = from_every_node(edges, width, "max_min", 9, 10)
    wanted = torch.full((10, 10), -math.inf, dtype=torch.float64)
    for threshold in width.sort().values:
        wide = width >= threshold
        graph = networkx_graph(edges[:, wide], width[wide], 10)
        for source in range(10):
            for target in nx.descendants(graph, source):
                wanted[source, target] = threshold
    wanted.fill_diagonal_(math.inf)
    torch.testing.assert_close(got, wanted, **EXACT)
    assert (got == -math.inf).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_most_reliable_path_is_dijkstras_in_logarithms(seed):
    edges, reliability = sparse_graph(seed)
    got = from_every_node(edges, reliability, "max_times", 9, 10)
    graph = networkx_graph(edges, -reliability.log(), 10)
    wanted = torch.zeros(10, 10, dtype=torch.float64)
    for source in range(10):
        for target, distance in nx.single_source_dijkstra_path_length(graph, source).items():
            wanted[source, target] = math.exp(-distance)
    torch.testing.assert_close(got, wanted, **EXACT)
    assert (got == 0).any()


# ---- T iterations are the walks of at most T edges ----

PRODUCTS = {"mul": lambda a, b: a * b, "add": lambda a, b: a + b, "min": min}
SUMS = {"sum": math.fsum, "min": min, "max": max}
LONGEST = Semiring("add", "max", -math.inf, 0.0)
RINGS = {**SEMIRINGS, "max_plus": LONGEST}


def over_walks(edges, value, semiring, iterations, num_nodes):
    """The sum over all walks, listed one by one."""
    triples = list(zip(*edges.tolist(), value.tolist(), strict=True))
    found = [[[] for _ in range(num_nodes)] for _ in range(num_nodes)]
    for source in range(num_nodes):
        walks = [(source, semiring.one)]
        for step in range(iterations + 1):
            for end, product in walks:
                found[source][end].append(product)
            if step < iterations:
                multiply = PRODUCTS[semiring.message]
                walks = [(v, multiply(p, w)) for end, p in walks for u, v, w in triples if u == end]
    add = SUMS[semiring.reduce]
    table = [[add(products) if products else semiring.zero for products in row] for row in found]
    return torch.tensor(table, dtype=torch.float64)


@pytest.mark.parametrize("iterations", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("name", RINGS)
def test_iterations_are_the_walks_of_at_most_that_many_edges(name, iterations):
    semiring = RINGS[name]
    for seed in range(2):
        edges, value = weighted_graph(seed, num_nodes=6, num_edges=4)
        wanted = over_walks(edges, value, semiring, iterations, 6)
        got = from_every_node(edges, value, semiring, iterations, 6)
        torch.testing.assert_close(got, wanted, **EXACT)


def test_the_edges_of_a_walk_are_multiplied_in_any_iteration_by_hand():
    # 0 -> 1 -> 2, a self-loop of 3 at 1
    edges, value = torch.tensor([[0, 1, 1], [1, 1, 2]]), torch.tensor([2.0, 3.0, 5.0])
    rows = [bellman_ford(edges, torch.tensor([0]), "sum_product", t, value, num_nodes=3)[0].tolist() for t in range(4)]
    assert rows == [[1, 0, 0], [1, 2, 0], [1, 8, 10], [1, 26, 40]]


# ---- use ----


@pytest.mark.parametrize("name", RINGS)
def test_backends_agree(name):
    edges, value = weighted_graph(0, num_nodes=30, num_edges=100)
    got = from_every_node(edges, value, RINGS[name], 4, 30)
    with force_backend("python"):
        torch.testing.assert_close(from_every_node(edges, value, RINGS[name], 4, 30), got, rtol=1e-13, atol=0)


def test_the_gradient_of_a_distance_marks_the_edges_of_the_shortest_path():
    edges = torch.tensor([[0, 0, 1, 2, 0], [1, 2, 3, 3, 3]])
    length = torch.tensor([1.0, 4.0, 2.0, 0.5, 9.0], dtype=torch.float64, requires_grad=True)
    bellman_ford(edges, torch.tensor([0]), "min_plus", 3, length, num_nodes=4)[0, 3].backward()
    assert length.grad.tolist() == [1, 0, 1, 0, 0]


def test_the_gradient_of_the_sum_over_walks():
    edges, value = weighted_graph(1, num_nodes=5, num_edges=6)
    sources = torch.tensor([0, 3])
    value.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: bellman_ford(edges, sources, "sum_product", 3, v, num_nodes=5), (value,))


def test_a_sorted_graph_and_float32():
    edges, value = weighted_graph(0)
    graph = CSRGraph(edges, num_nodes=8)
    got = bellman_ford(graph, torch.tensor([2, 2]), "max_min", 3, value.float(), num_nodes=8)
    assert got.dtype == torch.float32 and torch.equal(got[0], got[1])
    torch.testing.assert_close(got[0].double(), from_every_node(edges, value, "max_min", 3, 8)[2], rtol=1e-6, atol=0)


def test_no_edges_and_no_sources():
    none = torch.empty(2, 0, dtype=torch.int64)
    got = bellman_ford(none, torch.tensor([1]), "min_plus", 2, torch.empty(0), num_nodes=2)
    assert got.tolist() == [[math.inf, 0]]
    empty = torch.empty(0, dtype=torch.int64)
    assert bellman_ford(none, empty, "min_plus", 2, torch.empty(0), num_nodes=2).shape == (0, 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"semiring": "min_plsu"}, "unknown semiring 'min_plsu'; did you mean 'min_plus'"),
        ({"T": -1}, "T is -1.*at least 0"),
        ({"edge_value": torch.ones(3)}, r"edge_value is torch.float32 \(3,\).*each of the 2 edges"),
        ({"edge_value": torch.ones(2, 1)}, r"edge_value is torch.float32 \(2, 1\)"),
        ({"edge_value": torch.tensor([1, 2])}, "edge_value is torch.int64.*floating point"),
        ({"source": torch.tensor([3])}, r"source holds an id outside \[0, 3\)"),
        ({"source": torch.tensor([-1])}, r"source holds an id outside \[0, 3\)"),
        ({"num_nodes": 2}, "node id 2"),
    ],
)
def test_mistakes_are_named(changes, words):
    arguments = {
        "graph": torch.tensor([[0, 1], [1, 2]]),
        "source": torch.tensor([0]),
        "semiring": "min_plus",
        "T": 2,
        "edge_value": torch.ones(2),
        "num_nodes": 3,
    } | changes
    with pytest.raises(UserError, match=words):
        bellman_ford(**arguments)
