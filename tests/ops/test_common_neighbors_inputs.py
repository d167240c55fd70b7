"""What goes into the operators on common neighbours: odd graphs and pairs, odd storage, mistakes."""

import pytest
import torch
from common_neighbor_samples import common_by_definition, hub_graph, neighbors_of, rows
from torch_geometric import EdgeIndex

from graphkit import ops
from graphkit.errors import UserError
from graphkit.ops.common_neighbors import force_strategy

EDGES, N = hub_graph()
PAIRS = torch.tensor([[40, 41, 3], [41, 0, 3]])


@pytest.mark.parametrize("strategy", ["auto", "merge", "gallop", "bitmap", "probe", "words"])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_nothing_in_nothing_out(backend, n, strategy):
    edges = torch.empty(2, 0, dtype=torch.int64)
    with force_strategy(strategy):
        for pairs in (torch.empty(2, 0, dtype=torch.int64), torch.arange(n).repeat(2, 1)):
            count = pairs.shape[1]
            x = torch.ones(n, 4, requires_grad=True)
            ptr, node = ops.common_neighbors(edges, pairs, num_nodes=n)
            assert ptr.tolist() == [0] * (count + 1) and node.shape == (0,)
            for cap in (None, 2):
                ptr, node, value = ops.residual_neighbors(edges, pairs, num_nodes=n, cap=cap)
                assert ptr.tolist() == [0] * (2 * count + 1) and node.shape == (0,)
            out = ops.cn_pool(edges, pairs, x, num_nodes=n)
            assert torch.equal(out, torch.zeros(count, 4))
            assert torch.equal(ops.cn_pool(edges, pairs, x, num_nodes=n, cap=1), out)
            assert torch.equal(ops.cn_complete(edges, pairs, x, (ptr, node), value, num_nodes=n), out)
            assert ops.common_neighbor_count(edges, pairs, num_nodes=n).tolist() == [0] * count
            out.sum().backward()
            assert torch.equal(x.grad, torch.zeros(n, 4))
        assert ops.cn_pool(EDGES, PAIRS, torch.ones(N, 0), num_nodes=N).shape == (3, 0)
        x = torch.ones(N, 3, requires_grad=True)
        ops.cn_pool(EDGES, PAIRS[:, :0], x, num_nodes=N).sum().backward()
        assert torch.equal(x.grad, torch.zeros(N, 3))


def test_storage_does_not_matter(backend):
    wanted = common_by_definition(neighbors_of(EDGES, N), PAIRS)
    both = torch.cat([EDGES, EDGES.flip(0)], 1)
    strided = PAIRS.t().contiguous().t()
    for edges in (EDGES, both, EdgeIndex(both), ops.CSRGraph(EDGES, num_nodes=N), ops.SimpleGraph(EDGES, num_nodes=N)):
        for pairs in (PAIRS, strided, EdgeIndex(PAIRS)):
            ptr, node = ops.common_neighbors(edges, pairs, num_nodes=N)
            assert type(ptr) is type(node) is torch.Tensor and rows(ptr, node) == wanted
    graph = ops.CSRGraph(EDGES, num_nodes=N)
    ops.common_neighbors(graph, PAIRS, num_nodes=N)
    made = graph._simple
    ops.common_neighbors(graph, PAIRS, num_nodes=N)
    assert graph._simple is made


def test_inference_mode(backend):
    graph = ops.SimpleGraph(EDGES, num_nodes=N)
    with torch.inference_mode():
        removed = graph.removed_by(EDGES[:, :9])
        inside = ops.cn_pool(graph, PAIRS, torch.ones(N, 2), num_nodes=N, removed=removed, weight="degree")
        assert len(graph.edge) == len(graph.reverse) == len(graph.col)
    x = torch.ones(N, 2, requires_grad=True)
    outside = ops.cn_pool(graph, PAIRS, x, num_nodes=N, removed=graph.removed_by(EDGES[:, :9]), weight="degree")
    outside.sum().backward()  # what inference mode made must serve training
    assert torch.equal(inside, outside.detach()) and bool(x.grad.any())


def call(**changed):
    arguments = (
        dict(edge_index=EDGES, pairs=PAIRS, x=torch.ones(N, 2), num_nodes=N, weight=None, removed=None) | changed
    )
    return ops.cn_pool(arguments.pop("edge_index"), arguments.pop("pairs"), arguments.pop("x"), **arguments)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (dict(pairs=torch.tensor([[0], [60]])), r"pairs hold node id 60, expected ids in \[0, 60\)"),
        (dict(pairs=torch.tensor([[-1], [3]])), r"pairs hold node id -1"),
        (dict(pairs=torch.zeros(2, 3)), "pairs has dtype torch.float32, expected torch.int64"),
        (
            dict(pairs=torch.zeros(3, 2, dtype=torch.int64)),
            r"pairs is \(3, 2\), expected an int64 tensor of shape \[2, P\]",
        ),
        (dict(pairs=[[0], [1]]), "pairs is list"),
        (dict(edge_index=torch.tensor([[0], [99]])), "edge_index holds node id 99"),
        (dict(edge_index=ops.SimpleGraph(EDGES, num_nodes=61)), "num_nodes is 60, but the SimpleGraph was made for 61"),
        (dict(x=torch.ones(59, 2)), r"x is \(59, 2\), expected a tensor \[60, F\]"),
        (dict(x=torch.ones(N, 2, dtype=torch.float16)), "x has dtype torch.float16"),
        (dict(weight="degre"), "did you mean 'degree'"),
        (dict(weight=torch.ones(3)), r"weight is \(3,\), expected a tensor \[60\]"),
        (dict(weight=torch.ones(N, dtype=torch.int64)), "weight has dtype torch.int64"),
        (dict(removed=torch.zeros(7, dtype=torch.bool)), r"removed has shape \(7,\)"),
        (dict(cap=0), "cap is 0, expected a whole number"),
        (dict(cap=2.5), "cap is 2.5"),
        (dict(cap=3, counter=2**32), r"counter is 4294967296, expected a number in \[0, 2\^32\)"),
    ],
)
def test_mistakes(changed, message):
    with pytest.raises(UserError, match=message) as caught:
        call(**changed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("position", "given", "message"),
    [
        (0, torch.tensor([0, 2]), "ptr does not rise from 0 to 3"),
        (0, torch.tensor([0, 3, 1, 3]), "ptr does not rise"),
        (0, torch.tensor([], dtype=torch.int64), "ptr does not rise"),
        (0, torch.tensor([0.0, 3.0]), "ptr is torch.float32"),
        (1, torch.tensor([0, 4, 1]), r"node holds 4, expected ids in \[0, 4\)"),
        (1, torch.tensor([[0, 1, 1]]), "node is"),
        (2, torch.ones(2), r"value is torch.float32 \(2,\), expected floating-point \[3\]"),
        (2, torch.ones(3, dtype=torch.int64), "value is torch.int64"),
        (3, torch.ones(4), r"x is torch.float32 \(4,\)"),
    ],
)
def test_mistakes_in_ragged_rows(position, given, message):
    arguments = [torch.tensor([0, 3]), torch.tensor([0, 1, 3]), torch.ones(3), torch.ones(4, 2)]
    arguments[position] = given
    with pytest.raises(UserError, match=message):
        ops.weighted_pool(*arguments)


def test_residual_of_other_pairs():
    ptr, node, _ = ops.residual_neighbors(EDGES, PAIRS[:, :2], num_nodes=N)
    with pytest.raises(UserError, match=r"residual ptr is \(5,\), expected \[7\]"):
        ops.cn_complete(EDGES, PAIRS, torch.ones(N, 2), (ptr, node), None, num_nodes=N)


def test_an_unknown_strategy():
    with pytest.raises(UserError, match="did you mean 'gallop'"), force_strategy("galop"):
        pass
