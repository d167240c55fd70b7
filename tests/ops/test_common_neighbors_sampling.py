"""Rows sampled with replacement: what is kept, what the draws depend on, and their expectation."""

import pytest
import torch
from common_neighbor_samples import hub_graph, rows

from graphkit import ops

EDGES, N = hub_graph()
PAIRS = torch.tensor([[40, 41, 3, 0, 42, 40], [41, 0, 8, 40, 44, 40]])


@pytest.fixture
def graph():
    return ops.SimpleGraph(EDGES, num_nodes=N)


def both(graph, pairs, **sampling):
    """[(nodes, values) of each row] of common and then of residual neighbours."""
    found = []
    for operator in (ops.common_neighbors, ops.residual_neighbors):
        ptr, node, value = operator(graph, pairs, num_nodes=N, **sampling)
        found += zip(rows(ptr, node), rows(ptr, value), strict=True)
    return found


def test_rows_up_to_the_cap_are_whole(backend, graph):
    longest = int(graph.degree.max())
    for cap in (longest, longest + 1, 2**31 - 1):
        ptr, node, value = ops.residual_neighbors(graph, PAIRS, num_nodes=N, cap=cap, seed=1)
        plain_ptr, plain, _ = ops.residual_neighbors(graph, PAIRS, num_nodes=N)
        assert torch.equal(ptr, plain_ptr) and torch.equal(node, plain)
        assert value.dtype == torch.float32 and bool((value == 1).all())
        x = torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
        pooled = ops.cn_pool(graph, PAIRS, x, num_nodes=N, cap=cap, weight="degree")
        torch.testing.assert_close(pooled, ops.cn_pool(graph, PAIRS, x, num_nodes=N, weight="degree"))
    # a row exactly as long as the cap is not sampled, one longer is
    whole = both(graph, PAIRS, cap=longest)
    for cap in (3, 5):
        for (nodes, values), (kept, full) in zip(both(graph, PAIRS, cap=cap), whole, strict=True):
            if len(kept) <= cap:
                assert (nodes, values) == (kept, full)
            else:
                assert len(nodes) <= cap and set(nodes) <= set(kept) and nodes == sorted(set(nodes))
                counts = torch.tensor(values) * cap / len(kept)
                torch.testing.assert_close(counts, counts.round(), rtol=0, atol=1e-5)
                assert round(float(counts.sum())) == cap


def test_what_the_draws_depend_on(backend, graph):
    drawn = both(graph, PAIRS, cap=2, seed=7, counter=5)
    count = PAIRS.shape[1]
    assert both(graph, PAIRS, cap=2, seed=7, counter=5) == drawn
    for other in (dict(seed=8, counter=5), dict(seed=7, counter=6), dict(seed=7 + 2**40, counter=5)):
        assert both(graph, PAIRS, cap=2, **other) != drawn
    # not on the batch, the place in it, copies or the order of the two nodes
    order = torch.tensor([4, 1, 1, 0])
    part = both(graph, PAIRS[:, order], cap=2, seed=7, counter=5)
    swapped = both(graph, PAIRS.flip(0), cap=2, seed=7, counter=5)
    for place, p in enumerate(order.tolist()):
        for side in range(3):
            assert part[side * 4 + place] == drawn[side * count + p]
    assert swapped == [*drawn[:count], *drawn[2 * count :], *drawn[count : 2 * count]]
    # the two sides draw differently from rows of one length
    torch.set_num_threads(3)
    assert both(graph, PAIRS, cap=2, seed=7, counter=5) == drawn


def test_backends_draw_the_same(graph):
    if ops.backend_of("residual_neighbors") != "native":
        pytest.skip("the extension is not built")
    sampling = dict(seed=-3, counter=2**32 - 1)
    for cap in (1, 2, 4, 7, 9):
        with ops.force_backend("python"):
            expected = both(graph, PAIRS, cap=cap, **sampling)
        assert both(graph, PAIRS, cap=cap, **sampling) == expected


def test_expectation(backend, graph):
    """The mean over many counters lies within three standard errors of the whole sum."""
    x = torch.randn(N, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    draws = 400
    ptr, node, _ = ops.residual_neighbors(graph, PAIRS, num_nodes=N)
    whole = torch.cat([ops.weighted_pool(ptr, node, None, x), ops.cn_pool(graph, PAIRS, x, num_nodes=N)])
    sums = []
    for counter in range(draws):
        sampling = dict(num_nodes=N, cap=4, seed=11, counter=counter)
        ptr, node, value = ops.residual_neighbors(graph, PAIRS, **sampling)
        sums.append(torch.cat([ops.weighted_pool(ptr, node, value, x), ops.cn_pool(graph, PAIRS, x, **sampling)]))
    sums = torch.stack(sums)
    error = sums.std(0) / draws**0.5
    sampled = error.amax(1) > 0
    assert int(sampled.sum()) >= 6
    torch.testing.assert_close(sums[:, ~sampled].mean(0), whole[~sampled])
    deviation = ((sums.mean(0) - whole) / error.clamp(min=1e-12))[sampled]
    # about one of 370 values lies outside by chance; the seed is fixed
    assert float(deviation.abs().max()) < 3
