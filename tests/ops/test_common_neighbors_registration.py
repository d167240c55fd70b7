"""How the operators on common neighbours are registered with torch; results for any number of threads."""

import pytest
import torch
from common_neighbor_samples import ALL_STRATEGIES, hub_graph

from graphkit import ops
from graphkit.ops.common_neighbors import force_strategy
from graphkit.ops.common_neighbors_reference import COMMON, RESIDUAL

EDGES, N = hub_graph()
PAIRS = torch.randint(N, (2, 40), generator=torch.Generator().manual_seed(0))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("namespace", ["graphkit", "graphkit_python"])
@pytest.mark.parametrize("masked", [False, True])
def test_opcheck(namespace, masked):
    operators = getattr(torch.ops, namespace)
    utils = ("test_schema", "test_autograd_registration", "test_faketensor")

    def check(operator, *arguments):
        torch.library.opcheck(getattr(operators, operator).default, arguments, test_utils=utils)

    graph = ops.SimpleGraph(EDGES, num_nodes=N)
    ptr, col, removed = graph.ptr, graph.col, graph.removed_by(EDGES[:, ::3])
    first = operators.simple_graph_first(ptr, col)
    check("simple_graph_first", ptr, col)
    check("simple_graph_numbers", ptr, col)
    check("simple_graph_find", ptr, col, first, PAIRS)
    check("simple_graph_mask", ptr, col, first, removed)
    gone, degree = graph.masked(removed) if masked else (None, None)
    of = (ptr, col, gone, degree, PAIRS)
    for sets in (COMMON, RESIDUAL):
        for cap in (0, 2):
            check("neighbor_sets", *of, sets, cap, 3, 5, 0)
    check("common_neighbor_count", *of, 0)
    for dtype in (torch.float32, torch.float64):
        x, weight = torch.randn(N, 5, dtype=dtype, requires_grad=True), torch.rand(N, dtype=dtype, requires_grad=True)
        check("cn_pool", *of, x, weight, 0)
        check("cn_pool", *of, x, None, 0)
        for channels in (5, 400):  # the sets are left out and kept
            x = torch.randn(N, channels, dtype=dtype, requires_grad=True)
            check("cn_pool_with_sets", *of, x, weight, 0)
        x = torch.randn(N, 5, dtype=dtype, requires_grad=True)
        check("cn_spread", *of, torch.randn(40, 5, dtype=dtype, requires_grad=True), 0)
        rows, node = torch.tensor([0, 2, 2, 5, 6]), torch.tensor([1, 2, 3, 4, 4, 59])
        value = torch.rand(6, dtype=dtype, requires_grad=True)
        for count in (4, 2):
            check("weighted_pool", rows, node, value, x, count)
            check("weighted_pool", rows, node, None, x, count)
        g = torch.randn(4, 5, dtype=dtype)
        for need in ((True, True), (True, False), (False, True)):
            check("weighted_pool_backward", rows, node, value.detach(), x.detach(), g, *need)
        entry = torch.rand(len(col), dtype=dtype, requires_grad=True)
        scale = torch.rand(N, dtype=dtype)
        check("masked_spmm", ptr, col, gone, x, scale, scale, entry, graph.reverse, 1.0)
        check("masked_spmm", ptr, col, gone, x, None, None, None, None, 0.0)
        check("masked_sddmm", ptr, col, gone, x.detach(), x.detach(), scale, None)
        check("masked_max", ptr, col, gone, x, True)
        arg = operators.masked_max(ptr, col, gone, x.detach(), True)[1]
        check("masked_max_backward", ptr, col, gone, arg, x.detach(), True)


def test_public_names():
    operators = {"common_neighbors", "residual_neighbors", "common_neighbor_count", "cn_pool", "cn_complete", "weighted_pool",
                 "masked_spmm", "masked_degree"}  # fmt: skip
    assert set(ops.OPS) >= operators
    for name in operators:
        assert ops.backend_of(name) == ops.backend_of("orbit_counts")
        with ops.force_backend("python"):
            assert ops.backend_of(name) == "python"


def large_case(channels):
    """Lists in more than one block: the sum of the smaller degrees is above four million."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.cat(
        [torch.randint(900, (2, 100_000), generator=generator), torch.randint(3000, (2, 9000), generator=generator)], 1
    )
    pairs = torch.randint(3000, (2, 40_000), generator=generator)
    pairs[:, :30_000] %= 900
    graph = ops.SimpleGraph(edges, num_nodes=3000)
    assert int(graph.degree[pairs].amin(0).sum()) > 2**22
    x = torch.randn(3000, channels, generator=generator)
    return graph, pairs, x


def everything(graph, pairs, x, removed):
    arguments = dict(num_nodes=graph.num_nodes, removed=removed)
    x, weight = x.clone().requires_grad_(), torch.linspace(0.5, 2, graph.num_nodes).requires_grad_()
    out = ops.cn_pool(graph, pairs, x, weight=weight, **arguments)
    ptr, node, value = ops.residual_neighbors(graph, pairs[:, :4000], cap=20, **arguments)
    value.requires_grad_()
    whole = ops.cn_complete(graph, pairs[:, :4000], x, (ptr, node), value, **arguments)
    spread = ops.masked_spmm(graph, x, norm="sym", self_loops=True, **arguments)
    highest = ops.masked_spmm(graph, x, reduce="max", **arguments)
    gradients = torch.autograd.grad(
        out.square().sum() + whole.square().sum() + spread.square().sum() + highest.square().sum(), [x, weight, value]
    )
    return [
        *ops.common_neighbors(graph, pairs, **arguments), *ops.residual_neighbors(graph, pairs[:, :4000], **arguments)[:2],
        ptr, node, ops.common_neighbor_count(graph, pairs, **arguments), out, whole, spread, highest, *gradients,
    ]  # fmt: skip


@pytest.mark.parametrize("channels", [3, 64])
def test_any_number_of_threads_and_any_strategy(channels):
    """Bit for bit: every sum has one order."""
    graph, pairs, x = large_case(channels)
    removed = graph.removed_by(pairs[:, :500])
    torch.set_num_threads(1)
    alone = everything(graph, pairs, x, removed)
    native = ops.backend_of("cn_pool") == "native"
    for threads, strategy in [(2, "auto"), (5, "auto"), *((2, s) for s in (ALL_STRATEGIES if native else []))]:
        torch.set_num_threads(threads)
        with force_strategy(strategy):
            for a, b in zip(everything(graph, pairs, x, removed), alone, strict=True):
                assert torch.equal(a, b)


@pytest.mark.parametrize("pairs_of", [40_000, 300])
def test_gradients_from_kept_sets(pairs_of):
    """Bit for bit those from sets that are found again, for any number of threads and any strategy."""
    if ops.backend_of("cn_pool") != "native":
        pytest.skip("the extension is not built")
    graph, pairs, x = large_case(320)
    pairs, operators = pairs[:, -pairs_of:].contiguous(), torch.ops.graphkit
    masked = graph.masked(graph.removed_by(pairs[:, :200]))
    of = (graph.ptr, graph.col, masked[0], masked[1], pairs)
    g = torch.randn(pairs_of, 320, generator=torch.Generator().manual_seed(1))
    wanted, gradient = operators.cn_pool(*of, x, None, 0), operators.cn_spread(*of, g, 0)
    for threads, strategy in [(1, 0), (2, 0), (5, 0), (2, 1), (2, 3)]:
        torch.set_num_threads(threads)
        x.requires_grad_()
        out, ptr, node = operators.cn_pool_with_sets(*of, x, None, strategy)
        sets = operators.neighbor_sets(*of, COMMON, 0, 0, 0, 0)
        assert torch.equal(ptr, sets[0]) and torch.equal(node, sets[1])
        assert torch.equal(out, wanted) and torch.equal(torch.autograd.grad(out, x, g)[0], gradient)


def test_more_nodes_than_a_bit_matrix_holds():
    """At 40,000 nodes and rows above sixteen entries the rows are sorted by the longer one and share its bits."""
    n, hubs = 40_000, 40
    generator = torch.Generator().manual_seed(0)
    edges = torch.cat([
        torch.stack([torch.randint(hubs, (60_000,), generator=generator), torch.randint(n, (60_000,), generator=generator)]),
        torch.randint(n, (2, 200_000), generator=generator),
    ], 1)  # fmt: skip
    pairs = torch.stack(
        [torch.randint(hubs, (2500,), generator=generator), torch.randint(n, (2500,), generator=generator)]
    )
    pairs[:, ::2] = pairs[:, ::2].flip(0)
    graph = ops.SimpleGraph(edges, num_nodes=n)
    removed = graph.removed_by(edges[:, ::9])
    for flags in (None, removed):
        with ops.force_backend("python"):
            expected = ops.common_neighbors(graph, pairs, num_nodes=n, removed=flags)
        for strategy in ("auto", "merge", "gallop", "bitmap"):
            with force_strategy(strategy):
                found = ops.common_neighbors(graph, pairs, num_nodes=n, removed=flags)
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert len(expected[1]) > 900
