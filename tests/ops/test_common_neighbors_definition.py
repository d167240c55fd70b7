"""Common and residual neighbours by their definition, in every way of intersecting rows."""

import pytest
import torch
from common_neighbor_samples import (
    ALL_STRATEGIES,
    common_by_definition,
    every_pair,
    hub_graph,
    neighbors_of,
    residual_by_definition,
    rows,
)

from graphkit import ops
from graphkit.ops.common_neighbors import force_strategy

EDGES, N = hub_graph()
PAIRS = every_pair(N)
REMOVED = EDGES[:, ::4]


@pytest.fixture(params=[False, True], ids=["whole", "masked"])
def case(request):
    """(graph, flags of removed edges or None, sets of neighbours)."""
    graph = ops.SimpleGraph(EDGES, num_nodes=N)
    if not request.param:
        return graph, None, neighbors_of(EDGES, N)
    return graph, graph.removed_by(REMOVED), neighbors_of(EDGES, N, REMOVED.t().tolist())


@pytest.mark.parametrize("strategy", ALL_STRATEGIES)
def test_sets(backend, case, strategy):
    graph, removed, neighbors = case
    with force_strategy(strategy):
        ptr, node = ops.common_neighbors(graph, PAIRS, num_nodes=N, removed=removed)
        alone_ptr, alone, value = ops.residual_neighbors(graph, PAIRS, num_nodes=N, removed=removed)
        count = ops.common_neighbor_count(graph, PAIRS, num_nodes=N, removed=removed)
    expected = common_by_definition(neighbors, PAIRS)
    assert ptr.dtype == node.dtype == alone_ptr.dtype == alone.dtype == count.dtype == torch.int64 and value is None
    assert rows(ptr, node) == expected
    assert count.tolist() == [len(row) for row in expected]
    assert rows(alone_ptr, alone) == residual_by_definition(neighbors, PAIRS)
    assert max(map(len, expected)) > 10 and min(map(len, expected)) == 0


@pytest.mark.parametrize("strategy", ALL_STRATEGIES)
def test_pools(backend, case, strategy):
    graph, removed, neighbors = case
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, 5, generator=generator, dtype=torch.float64)
    weight = torch.rand(N, generator=generator, dtype=torch.float64)
    degree = [len(found) for found in neighbors]
    by_name = {
        "one": [1.0] * N, "degree": [1 / d if d else 0 for d in degree],
        "log_degree": [float(1 / torch.tensor(float(d), dtype=torch.float64).log()) if d > 1 else 0 for d in degree],
    }  # fmt: skip
    listed = common_by_definition(neighbors, PAIRS)
    with force_strategy(strategy):
        for given, numbers in [(weight, weight.tolist()), (None, by_name["one"]), *by_name.items()]:
            expected = torch.zeros(len(listed), 5, dtype=torch.float64)
            total = torch.zeros(len(listed), dtype=torch.float64)
            for p, row in enumerate(listed):
                for u in row:
                    expected[p] += numbers[u] * x[u]
                    total[p] += numbers[u]
            numbers = dict(num_nodes=N, weight=given, removed=removed)
            torch.testing.assert_close(ops.cn_pool(graph, PAIRS, x, **numbers), expected, rtol=1e-13, atol=1e-13)
            found = ops.common_neighbor_count(graph, PAIRS, **numbers)
            torch.testing.assert_close(found.double(), total, rtol=1e-6, atol=1e-6)


def test_masked_is_rebuilt(backend):
    """What is computed with flags is what a graph without the edges gives, whichever copies and directions were named."""
    graph = ops.SimpleGraph(EDGES, num_nodes=N)
    named = torch.cat([REMOVED, REMOVED.flip(0), torch.tensor([[3, 0], [3, 59]])], 1)  # a loop, and no edge at all
    removed = graph.removed_by(named)
    out = {frozenset(pair) for pair in REMOVED.t().tolist()}
    keep = torch.tensor([frozenset(pair) not in out for pair in EDGES.t().tolist()])
    rebuilt = ops.SimpleGraph(EDGES[:, keep], num_nodes=N)
    x = torch.randn(N, 9, generator=torch.Generator().manual_seed(1))

    def everything(graph, removed):
        arguments = dict(num_nodes=N, removed=removed)
        return [
            *ops.common_neighbors(graph, PAIRS, **arguments), *ops.residual_neighbors(graph, PAIRS, **arguments)[:2],
            *ops.residual_neighbors(graph, PAIRS, **arguments, cap=3, seed=9), ops.common_neighbor_count(graph, PAIRS, **arguments),
            *(ops.cn_pool(graph, PAIRS, x, **arguments, weight=w) for w in (None, "degree", "log_degree")),
            ops.masked_degree(graph, removed), ops.masked_spmm(graph, x, **arguments, norm="sym", self_loops=True),
            ops.masked_spmm(graph, x, **arguments, reduce="max"),
        ]  # fmt: skip

    for masked, plain in zip(everything(graph, removed), everything(rebuilt, None), strict=True):
        torch.testing.assert_close(masked, plain, rtol=1e-6, atol=1e-6)
    # after the removal no named pair is connected
    at = graph.edge_ids(REMOVED[:, REMOVED[0] != REMOVED[1]])
    assert bool((at >= 0).all()) and bool(removed[at].all())
    assert bool((rebuilt.edge_ids(REMOVED) == -1).all())


def test_common_and_residual_make_the_neighbors(backend):
    """Sum over C and over N(i) without N(j) is (A x)_i, where i and j are not neighbours."""
    graph = ops.SimpleGraph(EDGES, num_nodes=N)
    apart = PAIRS[:, (graph.edge_ids(PAIRS) < 0) & (PAIRS[0] != PAIRS[1])]
    x = torch.randint(-50, 50, (N, 4), generator=torch.Generator().manual_seed(0)).double()
    ptr, node, _ = ops.residual_neighbors(graph, apart, num_nodes=N)
    alone = ops.weighted_pool(ptr, node, None, x)[: apart.shape[1]]
    whole = ops.masked_spmm(graph, x, num_nodes=N)[apart[0]]
    assert torch.equal(ops.cn_pool(graph, apart, x, num_nodes=N) + alone, whole)


def test_completion_between_its_ends(backend):
    """Values 0 leave the common neighbours, values 1 take all neighbours but i and j."""
    graph = ops.SimpleGraph(EDGES, num_nodes=N)
    x = torch.randint(-50, 50, (N, 4), generator=torch.Generator().manual_seed(0)).double()
    ptr, node, _ = ops.residual_neighbors(graph, PAIRS, num_nodes=N)
    zeros = torch.zeros(len(node), dtype=torch.float64)
    common = ops.cn_pool(graph, PAIRS, x, num_nodes=N)
    assert torch.equal(ops.cn_complete(graph, PAIRS, x, (ptr, node), zeros, num_nodes=N), common)
    neighbors = neighbors_of(EDGES, N)
    union = torch.stack([
        x[sorted((neighbors[i] | neighbors[j]) - ({i, j} if i != j else {i}))].sum(0) for i, j in PAIRS.t().tolist()
    ])  # fmt: skip
    assert torch.equal(ops.cn_complete(graph, PAIRS, x, (ptr, node), None, num_nodes=N), union)
    assert torch.equal(ops.cn_complete(graph, PAIRS, x, (ptr, node), zeros + 1, num_nodes=N), union)


def test_weighted_pool(backend):
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([0, 3, 0, 1, 700, 2, 0])
    ptr = torch.cat([size.new_zeros(1), size.cumsum(0)])
    node = torch.randint(50, (int(size.sum()),), generator=generator)  # not sorted, with copies
    value = torch.randn(len(node), generator=generator, dtype=torch.float64)
    x = torch.randn(50, 33, generator=generator, dtype=torch.float64)
    for weights in (value, None):
        expected = torch.zeros(len(size), 33, dtype=torch.float64)
        for r in range(len(size)):
            for k in range(int(ptr[r]), int(ptr[r + 1])):
                expected[r] += (1 if weights is None else weights[k]) * x[node[k]]
        torch.testing.assert_close(ops.weighted_pool(ptr, node, weights, x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("channels", [64, 50])  # whole lines of memory, which go past the caches, and others
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_larger_than_caches(threads, channels):
    """Whole numbers, whose sums are exact in any order; most rows have no neighbours in common."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    nodes, count = 60_000, 50_000
    edges = torch.randint(nodes, (2, 4 * nodes), generator=generator)
    graph = ops.SimpleGraph(edges, num_nodes=nodes)
    pairs = torch.cat([edges[:, : count // 2], edges[:, 1 : count // 2 + 1].flip(0)], 1)
    pairs[1, ::2] = graph.col[graph.ptr[pairs[0, ::2]].clamp(max=len(graph.col) - 1)]
    x = torch.randint(-9, 9, (nodes, channels), generator=generator).float().requires_grad_()
    grad = torch.randint(-9, 9, (count, channels), generator=generator).float()
    out = ops.cn_pool(graph, pairs, x, num_nodes=nodes)
    ptr, node = ops.common_neighbors(graph, pairs, num_nodes=nodes)
    pair = torch.arange(count).repeat_interleave(ptr.diff())
    assert len(node) > 0 and torch.equal(out, torch.zeros_like(out).index_add(0, pair, x.detach()[node]))
    assert torch.equal(torch.autograd.grad(out, x, grad)[0], torch.zeros_like(x).index_add(0, node, grad[pair]))
