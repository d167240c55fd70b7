"""The operators of topological concentration against their definitions, scipy and networkx; gradients; what goes in."""

import math
import os
import subprocess
import sys

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sparse
import torch
from concentration_definition import both_ways, edges_of, graphs, neighbors_of, overlap, walk_ends

from graphkit import ops
from graphkit.errors import UserError
from graphkit.ops._library import call
from graphkit.ops.concentration import entry_overlaps

GRAPHS = {name: (edges, n) for name, edges, n in graphs()}


def adjacency(edges, n):
    row, col = np.array(both_ways(neighbors_of(edges, n)), dtype=np.int64).reshape(-1, 2).T
    return sparse.csr_array((np.ones(len(row)), (row, col)), shape=(n, n))


# ---------------------------------------------------------------- shared neighbours


@pytest.mark.parametrize("name", GRAPHS)
def test_triangles_on_edges(backend, name):
    edges, n = GRAPHS[name]
    sets = neighbors_of(edges, n)
    listed, counts = ops.edge_triangles(edges, num_nodes=n)
    assert listed.t().tolist() == [[i, j] for i, j in both_ways(sets) if i < j]
    assert counts.dtype == torch.int32
    assert counts.tolist() == [len(sets[i] & sets[j]) for i, j in listed.t().tolist()]
    graph = nx.Graph(edges.t().tolist())
    assert int(counts.sum()) == sum(nx.triangles(graph).values())  # each triangle has three edges and three nodes


@pytest.mark.parametrize("name", ["random", "dense", "clustered"])
def test_triangles_are_the_masked_square_of_the_adjacency(backend, name):
    edges, n = GRAPHS[name]
    matrix = adjacency(edges, n)
    expected = (matrix @ matrix).multiply(matrix).todense()
    row_col, counts = ops.neighborhood_overlaps(edges, edges, num_nodes=n)
    found = np.zeros((n, n))
    found[tuple(row_col.numpy())] = counts.numpy()
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("seed", range(4))
def test_overlaps_across_splits(backend, seed):
    n = 60
    three = [edges_of(nx.gnp_random_graph(n, p, seed=10 * seed + k)) for k, p in enumerate((0.1, 0.3, 0.05))]
    pairs, first, second = (neighbors_of(edges, n) for edges in three)
    listed, counts = ops.neighborhood_overlaps(three[0], three[1], three[2], num_nodes=n)
    assert listed.t().tolist() == [list(pair) for pair in both_ways(pairs)]
    assert counts.tolist() == [len(first[i] & second[j]) for i, j in both_ways(pairs)]


def test_rows_long_enough_for_bitmaps(backend):
    """Rows above N / 64 become bitmaps; both ends, one end or none of an edge may have one, and N may end inside a word."""
    n = 700
    graph = nx.gnp_random_graph(n, 0.004, seed=0)
    graph.add_edges_from((u, v) for u in range(30) for v in range(u + 1, n, 3))
    first, second = edges_of(graph), edges_of(nx.gnp_random_graph(n, 0.02, seed=1))
    for one, two in ((first, first), (first, second), (second, first)):
        sets, others = neighbors_of(one, n), neighbors_of(two, n)
        listed, counts = ops.neighborhood_overlaps(first, one, two, num_nodes=n)
        assert counts.tolist() == [len(sets[i] & others[j]) for i, j in listed.t().tolist()]


def test_triangles_agree_with_the_orbits():
    edges = edges_of(nx.powerlaw_cluster_graph(300, 4, 0.6, seed=3))
    graph = ops.SimpleGraph(edges, num_nodes=300)
    triangles = call("orbit_edge_bases", graph.ptr, graph.col, 0, False)[0]
    assert torch.equal(entry_overlaps(graph, graph, graph), triangles)


# ---------------------------------------------------------------- walks


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_overlap_of_walks(backend, name, hops):
    edges, n = GRAPHS[name]
    sets = neighbors_of(edges, n)
    listed, found = ops.walk_overlap(edges, num_nodes=n, hops=hops, beta=0.3)
    expected = [overlap(sets, i, j, hops, 0.3) for i, j in both_ways(sets)]
    assert listed.t().tolist() == [list(pair) for pair in both_ways(sets)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("hops", [1, 2, 4])
def test_overlap_at_other_pairs_by_sparse_products(backend, hops):
    n, beta = 80, 0.7
    edges, pairs = edges_of(nx.gnp_random_graph(n, 0.05, seed=4)), edges_of(nx.gnp_random_graph(n, 0.1, seed=5))
    matrix = adjacency(edges, n)
    powers = [matrix]
    for _ in range(hops - 1):
        powers.append(powers[-1] @ matrix)
    counted = sum(beta**a * power for a, power in enumerate(powers)).toarray()
    reached = sum(beta**a * (power.toarray() > 0) for a, power in enumerate(powers))
    (row, col), found = ops.walk_overlap(edges, num_nodes=n, hops=hops, beta=beta, pairs=pairs)
    np.testing.assert_allclose(found.numpy(), (counted @ reached.T)[row.numpy(), col.numpy()], rtol=1e-12)


def test_overlap_one_hop_is_a_count_of_shared_neighbours(backend):
    edges, n = GRAPHS["clustered"]
    _, found = ops.walk_overlap(edges, num_nodes=n, hops=1, beta=0.5)
    _, counts = ops.neighborhood_overlaps(edges, edges, num_nodes=n)
    assert torch.equal(found, counts.double())


@pytest.mark.parametrize("memory", [1, 500, 5000])
def test_overlap_in_blocks(backend, memory):
    edges, n = GRAPHS["clustered"]
    whole = ops.walk_overlap(edges, num_nodes=n, hops=3, beta=0.3)[1]
    assert torch.equal(ops.walk_overlap(edges, num_nodes=n, hops=3, beta=0.3, memory=memory)[1], whole)


@pytest.mark.parametrize("beta", [0.0, 1e-200, 1.0])
def test_overlap_with_extreme_discounts(backend, beta):
    edges, n = GRAPHS["random"]
    sets = neighbors_of(edges, n)
    found = ops.walk_overlap(edges, num_nodes=n, hops=3, beta=beta)[1]
    expected = [overlap(sets, i, j, 3, beta) for i, j in both_ways(sets)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13)


def test_sparse_reach_keeps_the_order_of_discovery():
    """In a large sparse graph the reach of a node is not sorted; sums are the same."""
    n = 5000
    ring = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
    found = ops.walk_overlap(ring, num_nodes=n, hops=3, beta=0.5)[1]
    # ends of 1, 2, 3 steps: {-1, 1}, {-2, 0, 0, 2}, {-3, -1, -1, -1, 1, 1, 1, 3}, for both ends of an edge
    sets = [{(v - 1) % 40, (v + 1) % 40} for v in range(40)]
    assert found.unique().tolist() == [overlap(sets, 10, 11, 3, 0.5)]


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_overlap_without_the_edge(backend, name, hops):
    edges, n = GRAPHS[name]
    graph, sets = ops.SimpleGraph(edges, num_nodes=n), neighbors_of(edges, n)
    found, sizes = call("walk_overlap_apart", graph.ptr, graph.col, hops, 0.3)
    pairs = both_ways(sets)
    expected = [overlap(sets, i, j, hops, 0.3, closed=(i, j)) for i, j in pairs]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13)
    assert sizes.tolist() == [[c.total() for c in walk_ends(sets, i, hops, closed=(i, j))] for i, j in pairs]


# ---------------------------------------------------------------- sums, products, softmax


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", GRAPHS)
def test_sums_and_products_over_neighbours(backend, name, dtype):
    edges, n = GRAPHS[name]
    sets, generator = neighbors_of(edges, n), torch.Generator().manual_seed(0)
    x = torch.randn(n, 7, generator=generator, dtype=dtype)
    summed = torch.stack([sum((x[j] for j in sorted(sets[i])), torch.zeros(7, dtype=dtype)) for i in range(n)])
    dots = [sum(float(x[i].double() @ x[j].double()) for j in sets[i]) / max(len(sets[i]), 1) for i in range(n)]
    torch.testing.assert_close(ops.neighbor_sum(edges, x, num_nodes=n), summed)
    torch.testing.assert_close(ops.edge_dot_mean(edges, x, num_nodes=n), torch.tensor(dots, dtype=dtype))


@pytest.mark.parametrize("heads", [None, 1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softmax_over_the_edges_into_a_node(backend, heads, dtype):
    generator = torch.Generator().manual_seed(1)
    edges = torch.randint(9, (2, 40), generator=generator)  # loops and copies among them
    score = 30 * torch.randn(40, *([] if heads is None else [heads]), generator=generator, dtype=dtype)
    found = ops.edge_softmax(edges, score, num_nodes=12)
    for v in range(12):
        into = edges[1] == v
        torch.testing.assert_close(found[into], torch.softmax(score[into], 0))
    assert found.shape == score.shape and found.dtype == dtype
    assert ops.edge_softmax(edges[:, :0], score[:0], num_nodes=12).shape == score[:0].shape


def test_softmax_of_large_scores_stays_finite(backend):
    edges, score = torch.tensor([[0, 1, 2], [3, 3, 3]]), torch.tensor([1e30, 1e30, -1e30])
    assert ops.edge_softmax(edges, score, num_nodes=4).tolist() == [0.5, 0.5, 0.0]


def test_gradients(backend):
    edges, n = GRAPHS["random"]
    x = torch.randn(n, 3, dtype=torch.float64, requires_grad=True)
    score = torch.randn(edges.shape[1], 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: ops.neighbor_sum(edges, x, num_nodes=n), x)
    assert torch.autograd.gradcheck(lambda x: ops.edge_dot_mean(edges, x, num_nodes=n), x)
    assert torch.autograd.gradgradcheck(lambda x: ops.edge_dot_mean(edges, x, num_nodes=n), x)
    assert torch.autograd.gradcheck(lambda s: ops.edge_softmax(edges, s, num_nodes=n), score)
    assert torch.autograd.gradcheck(lambda s: ops.edge_softmax(edges, s[:, 0], num_nodes=n), score)


def test_second_derivatives_of_the_softmax_are_refused(backend):
    score = torch.randn(3, dtype=torch.float64, requires_grad=True)
    out = ops.edge_softmax(torch.tensor([[0, 1, 2], [3, 3, 3]]), score, num_nodes=4)
    (first,) = torch.autograd.grad(out.square().sum(), score, create_graph=True)
    with pytest.raises(UserError, match="second derivatives"):
        first.sum().backward()


# ---------------------------------------------------------------- random features


def philox(counter, key):
    """One block of 4 x 32 bits, word by word."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


@pytest.mark.parametrize("seed", [0, 3, -1, 2**40 + 5])
@pytest.mark.parametrize("stream", [0, 7, 2**32 - 1])
def test_normal_numbers_word_by_word(backend, seed, stream):
    found = ops.counter_normal(3, 8, seed=seed, stream=stream, first=4)
    for row in range(3):
        for group in range(2):
            key = (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)
            u = [((w >> 9) + 0.5) / 2**23 for w in philox((row, 0, group + 1, stream), key)]
            expected = []
            for a, b in (u[:2], u[2:]):
                radius = math.sqrt(-2 * math.log(a))
                expected += [radius * math.cos(2 * math.pi * b), radius * math.sin(2 * math.pi * b)]
            got = found[row, 4 * group : 4 * group + 4]
            torch.testing.assert_close(got.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=2e-6)


def test_normal_numbers_are_normal(backend):
    from scipy import stats

    z = ops.counter_normal(2000, 64, seed=5)
    assert stats.kstest(z.flatten().double().numpy(), "norm").pvalue > 1e-3
    products = (z.double() @ z.double().t()) / 8  # of two rows: variance 1
    off = products[~torch.eye(2000, dtype=torch.bool)]
    assert abs(float(off.mean())) < 0.005 and abs(float(off.var()) - 1) < 0.02
    other = ops.counter_normal(2000, 64, seed=5, stream=1)
    assert abs(float((z * other).mean())) < 4 / math.sqrt(z.numel())
    assert torch.equal(z[:10], ops.counter_normal(10, 64, seed=5)), "a number depends on its place only"


# ---------------------------------------------------------------- registration, threads, input


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("namespace", ["graphkit", "graphkit_python"])
def test_opcheck(namespace):
    edges, n = GRAPHS["clustered"]
    graph, operators = ops.SimpleGraph(edges, num_nodes=n), getattr(torch.ops, namespace)
    ptr, col = graph.ptr, graph.col
    x = torch.randn(n, 4, requires_grad=True)
    value = torch.randn(len(col), 2, requires_grad=True)
    soft = operators.edge_softmax(ptr, value).detach()
    utils = ("test_schema", "test_autograd_registration", "test_faketensor")
    for operator, arguments in (
        (operators.neighborhood_overlaps, (ptr, col, ptr, col, ptr, col)),
        (operators.walk_overlap, (ptr, col, ptr, col, 2, 0.5, 1000)),
        (operators.walk_overlap_apart, (ptr, col, 2, 0.5)),
        (operators.neighbor_sum, (ptr, col, x)),
        (operators.edge_dot_mean, (ptr, col, x)),
        (operators.edge_softmax, (ptr, value)),
        (operators.edge_softmax_backward, (ptr, soft, torch.ones_like(soft))),
        (operators.counter_normal, (torch.empty(0), 1, 2, 3, 4, 8)),
    ):
        torch.library.opcheck(operator.default, arguments, test_utils=utils)


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_any_number_of_threads(threads):
    graph = nx.powerlaw_cluster_graph(3000, 5, 0.5, seed=1)
    graph.add_edges_from((0, v) for v in range(1, 3000))
    made = ops.SimpleGraph(edges_of(graph), num_nodes=3000)
    others = ops.SimpleGraph(edges_of(nx.gnp_random_graph(3000, 0.002, seed=2)), num_nodes=3000)
    x, score = torch.randn(3000, 20), torch.randn(len(made.col), 3)

    def everything():
        return [
            entry_overlaps(made, made, made), entry_overlaps(others, made, others),
            ops.walk_overlap(made, num_nodes=3000, hops=2, beta=0.1, memory=10**6)[1],
            *call("walk_overlap_apart", others.ptr, others.col, 2, 0.1), ops.neighbor_sum(made, x, num_nodes=3000),
            ops.edge_dot_mean(made, x, num_nodes=3000), call("edge_softmax", made.ptr, score),
            call("edge_softmax_backward", made.ptr, score.abs(), score), ops.counter_normal(3000, 8, seed=1),
        ]  # fmt: skip

    torch.set_num_threads(1)
    alone = everything()
    torch.set_num_threads(threads)
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(everything(), alone, strict=True))


def test_storage_does_not_matter(backend):
    edges, n = GRAPHS["clustered"]
    loops = torch.arange(n).repeat(2, 1)
    messy = torch.cat([edges.flip(0), edges[:, :20], loops], 1)
    for given in (
        messy,
        messy.t().contiguous().t(),
        ops.CSRGraph(messy, num_nodes=n),
        ops.SimpleGraph(messy, num_nodes=n),
    ):
        assert torch.equal(ops.edge_triangles(given, num_nodes=n)[1], ops.edge_triangles(edges, num_nodes=n)[1])


def test_mistakes_are_named():
    edges, x = torch.tensor([[0, 1], [1, 2]]), torch.zeros(3, 4)
    mistakes = [
        (lambda: ops.edge_triangles(edges, num_nodes=2), "node id 2, expected ids in"),
        (
            lambda: ops.neighborhood_overlaps(edges, ops.SimpleGraph(edges, num_nodes=4), num_nodes=3),
            "made for 4 nodes",
        ),
        (lambda: ops.walk_overlap(edges, num_nodes=3, hops=0, beta=0.5), "hops is 0, expected a whole number"),
        (lambda: ops.walk_overlap(edges, num_nodes=3, hops=2, beta=-1.0), "beta is -1.0, expected a number"),
        (lambda: ops.walk_overlap(edges, num_nodes=3, hops=2, beta=0.5, memory=0), "memory is 0"),
        (lambda: ops.neighbor_sum(edges, x[:2], num_nodes=3), r"x is \[2, 4\], expected a row for each of the 3 nodes"),
        (lambda: ops.edge_dot_mean(edges, x.half(), num_nodes=3), "x has dtype torch.float16"),
        (
            lambda: ops.edge_softmax(edges, torch.zeros(3), num_nodes=3),
            r"score is \[3\], expected one for each of the 2",
        ),
        (
            lambda: ops.edge_softmax(edges, torch.zeros(2, dtype=torch.int64), num_nodes=3),
            "score has dtype torch.int64",
        ),
        (
            lambda: ops.counter_normal(3, 6, seed=0),
            "columns is 6, expected a whole number from 0 upwards that 4 divides",
        ),
    ]
    for mistake, message in mistakes:
        with pytest.raises(UserError, match=message):
            mistake()


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_bitmaps_in_smaller_instruction_sets(isa, tmp_path):
    graph = nx.gnp_random_graph(1100, 0.1, seed=0)
    torch.save(edges_of(graph), tmp_path / "edges.pt")
    script = (
        "import sys, torch; from graphkit import ops\n"
        "edges = torch.load(sys.argv[1], weights_only=True)\n"
        "torch.save(ops.edge_triangles(edges, num_nodes=1100)[1], sys.argv[2])"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "edges.pt"), str(tmp_path / "counts.pt")]
    environment = {**os.environ, "GRAPHKIT_ISA": isa, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    subprocess.run(command, env=environment, check=True)
    counts = torch.load(tmp_path / "counts.pt", weights_only=True)
    assert torch.equal(counts, ops.edge_triangles(edges_of(graph), num_nodes=1100)[1])
    assert int(counts.sum()) == sum(nx.triangles(graph).values())
