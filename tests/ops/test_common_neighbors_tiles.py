"""Pools in tiles of bits, and pairs that signatures sort out: bit for bit what merged rows give."""

import pytest
import torch

from graphkit import ops
from graphkit.ops.common_neighbors import force_strategy

if ops.backend_of("cn_pool") != "native":
    pytest.skip("the extension is not built", allow_module_level=True)


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def drawn(nodes, edges, pairs, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randint(nodes, (2, edges), generator=generator)
    ends[0, : edges // 4] %= 5  # hubs
    chosen = torch.randint(nodes, (2, pairs), generator=generator)
    chosen[:, : pairs // 3] = ends[:, torch.randint(edges, (pairs // 3,), generator=generator)]
    return ops.SimpleGraph(ends, num_nodes=nodes), chosen


def results(graph, pairs, x, weight, removed):
    of = dict(num_nodes=graph.num_nodes, removed=removed)
    x = x.clone().requires_grad_()
    out = ops.cn_pool(graph, pairs, x, weight=weight, **of)
    g = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(x.dtype)
    sets = ops.common_neighbors(graph, pairs, **of)
    plain = ops.cn_pool(graph, pairs, x.detach(), **of)
    count = ops.common_neighbor_count(graph, pairs, **of)
    return [*sets, count, out.detach(), plain, torch.autograd.grad(out, x, g)[0]]


# 700 nodes and 1,500 pairs fill no last tile, 1,030 pairs leave fewer than 64 for it
CASES = {"dense": (700, 60_000, 1_500), "one more tile": (513, 40_000, 1_030), "short rows": (3_000, 6_000, 20_000)}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("channels", [1, 5, 64, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_as_merged(case, dtype, channels, masked):
    graph, pairs = drawn(*CASES[case])
    removed = graph.removed_by(pairs[:, ::7]) if masked else None
    x = torch.randn(graph.num_nodes, channels, generator=torch.Generator().manual_seed(1)).to(dtype)
    weight = torch.rand(graph.num_nodes, generator=torch.Generator().manual_seed(3))
    with force_strategy("merge"):
        wanted = results(graph, pairs, x, weight, removed)
    assert wanted[2].max() > 2
    for threads in (1, 3):
        torch.set_num_threads(threads)
        for found, expected in zip(results(graph, pairs, x, weight, removed), wanted, strict=True):
            assert torch.equal(found, expected)


def test_short_rows_mostly_share_nothing():
    """Or the case above would not try what it is for."""
    graph, pairs = drawn(*CASES["short rows"])
    shorter = graph.degree[pairs].amin(0).sum()
    assert shorter <= 8 * pairs.shape[1] and len(graph.col) <= 4 * pairs.shape[1]
    empty = ops.common_neighbor_count(graph, pairs, num_nodes=graph.num_nodes) == 0
    assert 0.3 < empty.float().mean() < 1


def test_dense_rows_are_long_enough_for_tiles():
    graph, pairs = drawn(*CASES["dense"])
    words = (graph.num_nodes + 63) // 64
    assert graph.degree[pairs].amin(0).sum() >= 4 * words * pairs.shape[1]
