"""Products with A and its transpose: definition by loops, both backends, scipy, gradients, determinism, registration, mistakes."""

import pytest
import scipy.sparse
import torch

from graphkit import ops
from graphkit.errors import UserError

# nodes, edges, channels: whole vectors of every width and a rest, no edges, one node, rows that several pieces share
SIZES = [(7, 20, 3), (40, 300, 64), (31, 90, 37), (5, 0, 4), (1, 0, 2), (300, 20000, 17), (0, 0, 3)]
DIRECTIONS = ["out", "in", "both"]


def sample(nodes, edges, channels, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed + nodes)
    edge_index = torch.randint(max(nodes, 1), (2, edges), generator=generator)
    x = torch.randn(nodes, channels, dtype=torch.float64, generator=generator).to(dtype)
    scales = [torch.rand(nodes, dtype=torch.float64, generator=generator).to(dtype) + 0.5 for _ in range(4)]
    return edge_index, x, tuple(scales[:2]), tuple(scales[2:])


def by_definition(edge_index, x, direction, left, right):
    out = torch.zeros(2, *x.shape, dtype=x.dtype)
    for i, j in sorted({(i, j) for i, j in edge_index.t().tolist() if i != j}):
        out[0, i] += left[0][i] * right[0][j] * x[j]
        out[1, j] += left[1][j] * right[1][i] * x[i]
    return {"out": out[0], "in": out[1], "both": out}[direction]


def one_of(pair, direction):
    return pair if direction == "both" else pair[0 if direction == "out" else 1]


def hub(leaves=30_000):
    """A row that is longer than a piece, and a column too."""
    centre = torch.zeros(leaves, dtype=torch.int64)
    rest = torch.arange(1, leaves + 1)
    return torch.stack([torch.cat([centre, rest[: leaves // 2]]), torch.cat([rest, centre[: leaves // 2]])]), leaves + 1


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("size", SIZES)
def test_definition(size, direction, backend):
    edge_index, x, left, right = sample(*size)
    wanted = by_definition(edge_index, x, direction, left, right)
    scaled = {"left": one_of(left, direction), "right": one_of(right, direction)}
    found = ops.directed_spmm(edge_index, x, num_nodes=size[0], direction=direction, **scaled)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_scipy(dtype, tolerance, backend):
    edge_index, x, _, _ = sample(500, 20_000, 70, dtype)
    simple = torch.unique(edge_index[:, edge_index[0] != edge_index[1]], dim=1).numpy()
    matrix = scipy.sparse.csr_array(([1.0] * simple.shape[1], tuple(simple)), shape=(500, 500))
    found = ops.directed_spmm(edge_index, x, num_nodes=500, direction="both")
    for mine, theirs in zip(found, (matrix @ x.double().numpy(), matrix.T @ x.double().numpy()), strict=True):
        torch.testing.assert_close(mine.double(), torch.from_numpy(theirs), rtol=tolerance, atol=tolerance)


def test_rows_shared_by_pieces(backend):
    edge_index, nodes = hub()
    x = torch.randn(nodes, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    out, into = ops.directed_spmm(edge_index, x, num_nodes=nodes, direction="both")
    torch.testing.assert_close(out[0], x[1:].sum(0), rtol=1e-9, atol=1e-9)
    half = (nodes - 1) // 2
    torch.testing.assert_close(into[0], x[1 : half + 1].sum(0), rtol=1e-9, atol=1e-9)
    assert torch.equal(out[1 : half + 1], x[:1].expand(half, -1)) and not out[half + 1 :].any()
    assert torch.equal(into[1:], x[:1].expand(nodes - 1, -1))


def test_both_are_the_two_products_to_the_last_bit():
    edge_index, x, left, right = sample(300, 2000, 19, torch.float32)
    together = ops.directed_spmm(edge_index, x, num_nodes=300, direction="both", left=left, right=right)
    for direction, mine in zip(("out", "in"), together, strict=True):
        alone = ops.directed_spmm(
            edge_index,
            x,
            num_nodes=300,
            direction=direction,
            left=one_of(left, direction),
            right=one_of(right, direction),
        )
        assert torch.equal(mine, alone)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 8, 16, 31, 32])
def test_columns_are_those_of_the_whole_matrix_to_the_last_bit(channels):
    """However many columns come at once, and so whatever vectors they fill, each is rounded in the same way."""
    edge_index, x, left, right = sample(300, 2000, 64, torch.float32)
    factors = {"num_nodes": 300, "left": left[0], "right": right[0]}
    whole = ops.directed_spmm(edge_index, x, **factors)
    assert torch.equal(ops.directed_spmm(edge_index, x[:, :channels], **factors), whole[:, :channels])


def test_pyg_convention(backend):
    """A x is message passing along the flipped edges; A^T x along the edges as stored."""
    from torch_geometric.nn import SimpleConv

    edge_index = torch.tensor([[0, 0, 2, 3], [1, 2, 1, 0]])
    x = torch.randn(4, 3)
    conv = SimpleConv(aggr="sum")
    torch.testing.assert_close(ops.directed_spmm(edge_index, x, num_nodes=4, direction="in"), conv(x, edge_index))
    torch.testing.assert_close(ops.directed_spmm(edge_index, x, num_nodes=4), conv(x, edge_index.flip(0)))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_gradients_of_any_order(direction, backend):
    edge_index, x, left, right = sample(6, 15, 3)
    scaled = {"left": one_of(left, direction), "right": one_of(right, direction)}
    graph = ops.DirectedGraph(edge_index, num_nodes=6)

    def product(values):
        return ops.directed_spmm(graph, values, num_nodes=6, direction=direction, **scaled)

    x.requires_grad_()
    assert torch.autograd.gradcheck(product, (x,))
    assert torch.autograd.gradgradcheck(lambda v: product(v).square(), (x,))


def test_entries_of_any_kind(backend):
    ptr, col = torch.tensor([0, 2, 2, 4]), torch.tensor([0, 2, 0, 1])
    value = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)
    graph = ops.DirectedGraph.from_rows(ptr, col, value)
    dense = torch.tensor([[1.0, 0, -2], [0, 0, 0], [3, 0.5, 0]], dtype=torch.float64)
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    found = ops.directed_spmm(graph, x, num_nodes=3, direction="both")
    torch.testing.assert_close(found, torch.stack([dense @ x, dense.t() @ x]))
    weight = torch.randn(2, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(found, x, weight)[0], dense.t() @ weight[0] + dense @ weight[1], rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_threads_change_nothing(direction):
    edge_index, nodes = hub(40_000)
    x = torch.randn(nodes, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            out = ops.directed_spmm(edge_index, x, num_nodes=nodes, direction=direction)
            results.append((out, *torch.autograd.grad(out.square().sum(), x)))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("sides", [0, 1, 2])
def test_registration(sides):
    edge_index, x, left, right = sample(6, 15, 3)
    graph = ops.DirectedGraph(edge_index, num_nodes=6)
    x = (torch.stack([x, -x]) if sides == 2 else x).requires_grad_()
    matrix = (graph.ptr, graph.col, None, graph.t_ptr, graph.t_col, None)
    for namespace in (torch.ops.graphkit, torch.ops.graphkit_python):
        torch.library.opcheck(
            namespace.directed_product.default, (*matrix, left[0], right[0], left[1], right[1], x, sides)
        )
        torch.library.opcheck(
            namespace.directed_graph.default, (edge_index, 6), test_utils=("test_schema", "test_autograd_registration")
        )


def test_backend_is_named():
    assert ops.backend_of("directed_spmm") in ("native", "python")
    with ops.force_backend("python"):
        assert ops.backend_of("directed_spmm") == "python"


# ---- the graph --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_graph_by_definition(size, backend):
    nodes = size[0]
    edge_index = sample(*size)[0]
    graph = ops.DirectedGraph(edge_index, num_nodes=nodes)
    listed = edge_index.t().tolist()
    kept = sorted({(i, j) for i, j in listed if i != j})
    assert graph.edge_index.t().tolist() == [list(pair) for pair in kept]
    assert graph.reversed().edge_index.t().tolist() == sorted([j, i] for i, j in kept)
    loops = sum(i == j for i, j in listed)
    reciprocal = sum((j, i) in set(kept) for i, j in kept)
    assert graph.info == (loops, len(listed) - loops - len(kept), reciprocal, sum(i < j for i, j in kept))
    assert graph.out_degree.sum() == graph.in_degree.sum() == graph.num_edges == len(kept)
    assert graph.is_symmetric == (reciprocal == len(kept))


def test_a_graph_is_built_once():
    from torch_geometric import EdgeIndex

    edge_index = torch.tensor([[0, 1], [1, 2]])
    for holder in (EdgeIndex(edge_index), ops.CSRGraph(edge_index, num_nodes=3)):
        assert ops.directed.as_directed(holder, 3) is ops.directed.as_directed(holder, 3)
    changing = EdgeIndex(edge_index.clone())
    first = ops.directed.as_directed(changing, 3)
    changing[0, 0] = 2
    assert ops.directed.as_directed(changing, 3) is not first


def test_a_graph_made_in_inference_mode_serves_training():
    with torch.inference_mode():
        graph = ops.DirectedGraph(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
    x = torch.ones(2, 2, requires_grad=True)
    ops.directed_spmm(graph, x, num_nodes=2).sum().backward()
    assert x.grad.eq(1).all()


def test_mistakes_are_named():
    edge_index, x, left, _ = sample(6, 15, 3)
    graph = ops.DirectedGraph(edge_index, num_nodes=6)
    for arguments, options, words in [
        ((edge_index, x), {"num_nodes": 4}, "expected ids in \\[0, 4\\)"),
        ((graph, x), {"num_nodes": 7}, "made for 6 nodes"),
        ((graph, x[:5]), {"num_nodes": 6}, "expected a tensor of shape \\[6, D\\]"),
        ((graph, x.half()), {"num_nodes": 6}, "float32 or float64"),
        ((graph, x), {"num_nodes": 6, "direction": "up"}, "expected 'out'"),
        ((graph, x), {"num_nodes": 6, "left": left}, "both"),
        ((graph, x), {"num_nodes": 6, "left": left[0][:3]}, "one per node"),
        ((graph, x), {"num_nodes": 6, "left": left[0].clone().requires_grad_()}, "constants"),
        ((edge_index.float(), x), {"num_nodes": 6}, "int64"),
    ]:
        with pytest.raises(UserError, match=words):
            ops.directed_spmm(*arguments, **options)
