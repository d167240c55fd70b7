"""Gradients of pools by numerical differences and against the bodies in torch."""

import pytest
import torch
from common_neighbor_samples import ALL_STRATEGIES, hub_graph

from graphkit import ops
from graphkit.errors import UserError
from graphkit.ops.common_neighbors import force_strategy

EDGES, N = hub_graph()
# a hub, a self-pair, a pair twice, an isolated node, an edge
PAIRS = torch.tensor([[40, 41, 40, 3, 3, 59, 42, 0, 7], [41, 40, 40, 8, 8, 1, 43, 40, 12]])


def leaf(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


@pytest.fixture
def graph():
    return ops.SimpleGraph(EDGES, num_nodes=N)


@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck_of_pools(backend, graph, masked):
    removed = graph.removed_by(EDGES[:, ::5]) if masked else None

    def pool(x, weight=None):
        return ops.cn_pool(graph, PAIRS, x, num_nodes=N, weight=weight, removed=removed)

    x, weight = leaf(N, 3), leaf(N, seed=1)
    assert torch.autograd.gradcheck(pool, (x, weight))
    assert torch.autograd.gradcheck(pool, (x,))
    assert torch.autograd.gradgradcheck(pool, (x, weight))

    wide = leaf(N, 100)  # the sets are kept for the gradient
    assert torch.autograd.gradcheck(pool, (wide, weight), fast_mode=True)
    assert torch.autograd.gradgradcheck(pool, (wide, weight), fast_mode=True)

    def named(x):
        return pool(x, "log_degree")

    assert torch.autograd.gradcheck(named, (x,))

    def count(weight):
        return ops.common_neighbor_count(graph, PAIRS, num_nodes=N, weight=weight, removed=removed)

    assert torch.autograd.gradcheck(count, (weight,))


def test_gradcheck_of_completion(backend, graph):
    for cap in (None, 3):
        ptr, node, sampled = ops.residual_neighbors(graph, PAIRS, num_nodes=N, cap=cap)
        logit = leaf(len(node), seed=2)

        def complete(x, logit, ptr=ptr, node=node, sampled=sampled):
            value = logit.sigmoid() if sampled is None else logit.sigmoid() * sampled
            return ops.cn_complete(graph, PAIRS, x, (ptr, node), value, num_nodes=N)

        assert torch.autograd.gradcheck(complete, (leaf(N, 3), logit))
        assert torch.autograd.gradcheck(
            lambda x, c=cap: ops.cn_pool(graph, PAIRS, x, num_nodes=N, cap=c), (leaf(N, 2),)
        )


def test_gradcheck_of_weighted_pools(backend):
    ptr, node = torch.tensor([0, 2, 2, 6]), torch.tensor([4, 0, 1, 1, 3, 4])
    assert torch.autograd.gradcheck(lambda v, x: ops.weighted_pool(ptr, node, v, x), (leaf(6), leaf(5, 3, seed=1)))
    assert torch.autograd.gradcheck(lambda x: ops.weighted_pool(ptr, node, None, x), (leaf(5, 3),))
    with pytest.raises(UserError, match="second derivatives"):
        torch.autograd.gradgradcheck(lambda v, x: ops.weighted_pool(ptr, node, v, x), (leaf(6), leaf(5, 3, seed=1)))


@pytest.mark.parametrize("channels", [1, 7, 16, 64, 100])
@pytest.mark.parametrize("strategy", ALL_STRATEGIES)
def test_native_agrees_with_torch(strategy, channels):
    if ops.backend_of("cn_pool") != "native":
        pytest.skip("the extension is not built")
    generator = torch.Generator().manual_seed(channels)
    edges, pairs = torch.randint(300, (2, 4000), generator=generator), torch.randint(300, (2, 900), generator=generator)
    graph = ops.SimpleGraph(edges, num_nodes=300)
    removed = graph.removed_by(edges[:, :900])

    def everything():
        results = []
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            x, weight = leaf(300, channels, dtype=dtype), leaf(300, seed=1, dtype=torch.float64)
            for of_nodes in (None, weight):
                out = ops.cn_pool(graph, pairs, x, num_nodes=300, weight=of_nodes, removed=removed)
                ptr, node, value = ops.residual_neighbors(graph, pairs, num_nodes=300, removed=removed, cap=5)
                value = value.requires_grad_()
                whole = ops.cn_complete(graph, pairs, x, (ptr, node), value, num_nodes=300, removed=removed)
                wanted = [x, value] if of_nodes is None else [x, value, weight]
                g = leaf(*out.shape, seed=3, dtype=dtype).detach()
                results += [out, whole, *torch.autograd.grad([out, whole], wanted, [g, g])]
        return results

    with force_strategy(strategy):
        ours = everything()
    with ops.force_backend("python"):
        theirs = everything()
    exact = len(ours) // 3  # with features in float64; the others are summed in float32, whatever asks for the gradient
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.dtype == b.dtype
        tolerance = 1e-11 if k < exact and a.dtype == torch.float64 else 4e-2 if a.dtype == torch.bfloat16 else 1e-4
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * max(1.0, float(b.detach().abs().max())))
