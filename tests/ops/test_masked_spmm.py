"""Aggregation on a graph without some edges, against dense matrices and PyG's layers; edge numbers and flags."""

import pytest
import torch
from common_neighbor_samples import hub_graph
from torch_geometric.nn import GCNConv
from torch_geometric.utils import scatter

from graphkit import ops
from graphkit.errors import UserError

EDGES, N = hub_graph()


@pytest.fixture
def graph():
    return ops.SimpleGraph(EDGES, num_nodes=N)


def entries(graph, removed):
    """(row, neighbour, is it left) of each entry."""
    left = torch.ones(len(graph.col), dtype=torch.bool) if removed is None else removed[graph.edge.long()] == 0
    return graph.row(), graph.col.long(), left


def dense(graph, removed, weight=None, loops=False):
    matrix = torch.zeros(N, N, dtype=torch.float64)
    row, far, left = entries(graph, removed)
    value = torch.ones(len(row), dtype=torch.float64) if weight is None else weight
    matrix = matrix.index_put((row[left], far[left]), value[left])
    return matrix + torch.eye(N, dtype=torch.float64) * loops


def expected(matrix, x, norm):
    total = matrix.sum(1)
    power = {"none": 0.0, "sym": -0.5, "row": -1.0}[norm]
    scale = torch.where(total > 0, total.clamp(min=1e-30) ** power, 0 if norm != "none" else 1)
    out = scale[:, None] * (matrix @ (x * scale[:, None] if norm == "sym" else x))
    return out


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("norm", ["none", "sym", "row"])
def test_sums(backend, graph, norm, loops, masked):
    removed = graph.removed_by(EDGES[:, ::3]) if masked else None
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(len(graph.col), generator=generator, dtype=torch.float64)
    weight[::5] = 0  # dropped, in one direction
    arguments = dict(num_nodes=N, norm=norm, self_loops=loops, removed=removed)
    for channels in (1, 6, 40):
        x = torch.randn(N, channels, generator=generator, dtype=torch.float64)
        for given in (None, weight):
            out = ops.masked_spmm(graph, x, edge_weight=given, **arguments)
            wanted = expected(dense(graph, removed, given, loops), x, norm)
            torch.testing.assert_close(out, wanted, rtol=1e-12, atol=1e-12)
            for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 3e-2)):
                found = ops.masked_spmm(graph, x.to(dtype), edge_weight=given, **arguments)
                assert found.dtype == dtype
                torch.testing.assert_close(
                    found.double(), wanted, rtol=tolerance, atol=tolerance * float(wanted.abs().max())
                )
    if norm == "row" and not loops:
        mean = ops.masked_spmm(graph, x, num_nodes=N, reduce="mean", removed=removed)
        row, far, left = entries(graph, removed)
        torch.testing.assert_close(mean, scatter(x[far[left]], row[left], 0, N, "mean"), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("norm", ["none", "sym", "row"])
def test_gradcheck(backend, graph, norm, masked):
    removed = graph.removed_by(EDGES[:, ::3]) if masked else None
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(len(graph.col), generator=generator, dtype=torch.float64).add(0.1).requires_grad_()
    fixed, small = weight.detach(), x.detach()[:, :1]
    for loops in (False, True):
        arguments = dict(num_nodes=N, norm=norm, self_loops=loops, removed=removed)
        assert torch.autograd.gradcheck(lambda x, a=arguments: ops.masked_spmm(graph, x, **a), (x,))
        assert torch.autograd.gradcheck(lambda x, a=arguments: ops.masked_spmm(graph, x, edge_weight=fixed, **a), (x,))
        assert torch.autograd.gradcheck(
            lambda w, a=arguments: ops.masked_spmm(graph, small, edge_weight=w, **a), (weight,), fast_mode=True
        )
    assert torch.autograd.gradgradcheck(
        lambda x: ops.masked_spmm(graph, x, num_nodes=N, norm=norm), (x,), fast_mode=True
    )


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("channels", [1, 5, 35])
def test_maximum(backend, graph, loops, channels):
    removed = graph.removed_by(EDGES[:, ::3])
    x = torch.randint(-4, 4, (N, channels), generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    matrix = dense(graph, removed, loops=loops) > 0
    wanted, grad_x = torch.zeros(N, channels, dtype=torch.float64), torch.zeros(N, channels, dtype=torch.float64)
    grad = torch.randn(N, channels, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for v in range(N):
        nodes = matrix[v].nonzero().squeeze(1)
        for c in range(channels):
            if len(nodes):
                values = x.detach()[nodes, c]
                wanted[v, c] = values.max()
                grad_x[nodes[values == values.max()][0], c] += grad[v, c]  # ties go to the first node
    out = ops.masked_spmm(graph, x, num_nodes=N, reduce="max", self_loops=loops, removed=removed)
    assert torch.equal(out, wanted)
    torch.testing.assert_close(torch.autograd.grad(out, x, grad)[0], grad_x, rtol=1e-12, atol=1e-12)
    half = ops.masked_spmm(graph, x.detach().bfloat16(), num_nodes=N, reduce="max", self_loops=loops, removed=removed)
    assert half.dtype == torch.bfloat16 and torch.equal(half.double(), wanted)


def test_what_is_no_number_is_not_hidden(backend, graph):
    x = torch.zeros(N, 3)
    x[40, 1] = torch.nan
    neighbors = graph.col[graph.ptr[40] : graph.ptr[41]].long()
    for arguments in (dict(reduce="max"), dict(norm="sym")):
        out = ops.masked_spmm(graph, x, num_nodes=N, **arguments)
        assert torch.equal(out.isnan().nonzero(), torch.stack([neighbors, torch.ones_like(neighbors)], 1))


def test_pyg_convolution(backend, graph):
    removed = graph.removed_by(EDGES[:, ::4])
    row, far, left = entries(graph, removed)
    x = torch.randn(N, 8, generator=torch.Generator().manual_seed(0))
    conv = GCNConv(8, 8, bias=False)
    with torch.no_grad():
        conv.lin.weight.copy_(torch.eye(8))
    wanted = conv(x, torch.stack([far[left], row[left]]))
    ours = ops.masked_spmm(graph, x, num_nodes=N, norm="sym", self_loops=True, removed=removed)
    torch.testing.assert_close(ours, wanted.detach(), rtol=1e-5, atol=1e-6)


def test_edge_numbers(backend):
    graph = ops.SimpleGraph(EDGES, num_nodes=N)
    ends = sorted({(min(u, v), max(u, v)) for u, v in EDGES.t().tolist() if u != v})
    assert graph.num_edges == len(ends)
    row, far = graph.row(), graph.col.long()
    listed = list(zip(row.tolist(), far.tolist(), strict=True))
    assert graph.edge.dtype == graph.reverse.dtype == torch.int32
    assert graph.edge.tolist() == [ends.index((min(u, v), max(u, v))) for u, v in listed]
    assert [listed[e] for e in graph.reverse.tolist()] == [(v, u) for u, v in listed]
    every = torch.cartesian_prod(torch.arange(N), torch.arange(N)).t().contiguous()
    wanted = [ends.index((min(p), max(p))) if (min(p), max(p)) in ends else -1 for p in every.t().tolist()]
    assert graph.edge_ids(every).tolist() == wanted
    assert graph.edge_ids(every.t().contiguous().t()).tolist() == wanted
    removed = graph.removed_by(EDGES[:, 5:9])
    gone, degree = graph.masked(removed)
    assert gone.tolist() == removed[graph.edge.long()].tolist()
    assert degree.tolist() == (dense(graph, removed) > 0).sum(1).tolist() == ops.masked_degree(graph, removed).tolist()
    assert torch.equal(ops.masked_degree(graph), graph.degree)
    every_edge = graph.removed_by(EDGES)
    assert bool(every_edge.all()) and not ops.masked_degree(graph, every_edge).any()


def test_flags_are_looked_at_again_when_they_change(graph):
    removed = graph.removed_by(EDGES[:, :4])
    first = graph.masked(removed)
    assert graph.masked(removed) is first
    removed[20] = 1
    assert graph.masked(removed).gone.sum() == first.gone.sum() + 2
    assert torch.equal(graph.masked(removed.bool()).gone, graph.masked(removed).gone)
    assert torch.equal(graph.masked(removed * 255).gone, graph.masked(removed).gone)
    with torch.inference_mode():
        inside = graph.removed_by(EDGES[:, :4])
        assert torch.equal(graph.masked(inside).gone, first.gone)
        inside[20] = 1
        assert graph.masked(inside).gone.sum() == first.gone.sum() + 2


@pytest.mark.parametrize("n", [0, 1, 4])
def test_graphs_without_edges(backend, n):
    graph = ops.SimpleGraph(torch.empty(2, 0, dtype=torch.int64), num_nodes=n)
    removed = graph.removed_by(torch.empty(2, 0, dtype=torch.int64))
    x = torch.ones(n, 3, requires_grad=True)
    for flags in (None, removed):
        for norm in ("none", "sym", "row"):
            assert torch.equal(ops.masked_spmm(graph, x, num_nodes=n, norm=norm, removed=flags), torch.zeros(n, 3))
            with_loops = ops.masked_spmm(graph, x, num_nodes=n, norm=norm, self_loops=True, removed=flags)
            assert torch.equal(with_loops, torch.ones(n, 3))
        assert torch.equal(ops.masked_spmm(graph, x, num_nodes=n, reduce="max", removed=flags), torch.zeros(n, 3))
    with_loops.sum().backward()
    assert torch.equal(x.grad, torch.ones(n, 3)) and graph.edge.numel() == graph.reverse.numel() == 0
    assert graph.edge_ids(torch.zeros(2, n, dtype=torch.int64)).tolist() == [-1] * n


def test_mistakes(graph):
    x, entries = torch.ones(N, 2), len(graph.col)
    for arguments, message in (
        (dict(norm="symm"), "did you mean 'sym'"),
        (dict(reduce="men"), "did you mean 'mean'"),
        (dict(reduce="mean", norm="sym"), "goes with norm='none'"),
        (dict(reduce="max", edge_weight=torch.ones(entries)), "takes no edge_weight"),
        (dict(edge_weight=torch.ones(3)), rf"expected \[{entries}\], one value per entry"),
        (dict(edge_weight=torch.ones(entries, dtype=torch.int64)), "edge_weight has dtype torch.int64"),
        (dict(removed=torch.zeros(3, dtype=torch.bool)), rf"removed has shape \(3,\), expected \[{graph.num_edges}\]"),
        (dict(removed=torch.zeros(graph.num_edges)), "removed is torch.float32, expected a bool or uint8"),
        (dict(removed=[0, 1]), "removed is list"),
    ):
        with pytest.raises(UserError, match=message):
            ops.masked_spmm(graph, x, num_nodes=N, **arguments)
    with pytest.raises(UserError, match=r"x is \(3, 2\), expected a tensor \[60, F\]"):
        ops.masked_spmm(graph, x[:3], num_nodes=N)
    with pytest.raises(UserError, match=r"x has dtype torch\.int64"):
        ops.masked_spmm(graph, x.long(), num_nodes=N)
    with pytest.raises(UserError, match="num_nodes is missing"):
        ops.masked_degree(EDGES)
    assert torch.equal(ops.masked_degree(EDGES, num_nodes=N), graph.degree)
