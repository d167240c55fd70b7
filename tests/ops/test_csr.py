"""The two sorted forms of a graph."""

import pytest
import torch
from torch_geometric import EdgeIndex

from graphkit import ops
from graphkit.errors import UserError
from graphkit.ops import CSRGraph, csr

# columns 0..6; (2, 1) twice, a self-loop at 1, node 3 without edges, node 4 the last
EDGES = torch.tensor([[2, 0, 2, 1, 4, 0, 1], [1, 1, 1, 1, 0, 4, 4]])


@pytest.fixture
def graph():
    return CSRGraph(EDGES, num_nodes=5)


def test_the_order_by_target_by_hand(graph):
    assert (graph.num_nodes, graph.num_edges) == (5, 7)
    assert graph.ptr.tolist() == [0, 1, 5, 5, 5, 7]
    assert graph.source.tolist() == [4, 0, 1, 2, 2, 0, 1]
    assert graph.perm.tolist() == [4, 1, 3, 0, 2, 5, 6]  # equal pairs keep the order in which they were given


def test_the_order_by_source_by_hand(graph):
    assert graph.t_ptr.tolist() == [0, 2, 4, 6, 6, 7]
    assert graph.t_target.tolist() == [1, 4, 1, 4, 1, 1, 0]
    assert graph.t_position.tolist() == [1, 5, 2, 6, 3, 4, 0]


def test_dtypes(graph):
    assert {graph.ptr.dtype, graph.t_ptr.dtype, graph.perm.dtype} == {torch.int64}
    assert {graph.source.dtype, graph.t_target.dtype, graph.t_position.dtype} == {torch.int32}


@pytest.mark.parametrize("seed", range(3))
def test_both_orders_hold_every_edge_once(seed):
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(6, (2, 40), generator=generator)
    graph = CSRGraph(edges, num_nodes=8)
    target = torch.repeat_interleave(torch.arange(8), graph.ptr.diff())
    assert torch.equal(torch.stack([graph.source.long(), target]), edges[:, graph.perm])
    pairs = list(zip(target.tolist(), graph.source.tolist(), graph.perm.tolist(), strict=True))
    assert pairs == sorted(pairs)
    t_source = torch.repeat_interleave(torch.arange(8), graph.t_ptr.diff())
    position = graph.t_position.long()
    assert sorted(position.tolist()) == list(range(40))
    assert torch.equal(edges[:, graph.perm[position]], torch.stack([t_source, graph.t_target.long()]))
    by_source = list(zip(t_source.tolist(), position.tolist(), strict=True))
    assert by_source == sorted(by_source)


def test_the_edges_come_back_in_the_given_order(graph):
    assert torch.equal(graph.edge_index, EDGES)


def test_graphs_without_edges_or_nodes():
    empty = CSRGraph(torch.empty(2, 0, dtype=torch.int64), num_nodes=2)
    assert empty.ptr.tolist() == [0, 0, 0] and empty.in_degree().tolist() == [0, 0]
    assert empty.edge_index.shape == (2, 0)
    pair, edge = empty.edges_between(torch.tensor([0, 1]), torch.tensor([1, 1]))
    assert len(pair) == len(edge) == 0
    nothing = CSRGraph(torch.empty(2, 0, dtype=torch.int64), num_nodes=0)
    assert nothing.ptr.tolist() == [0] and nothing.in_degree().tolist() == []


def test_repr(graph):
    assert repr(graph) == "CSRGraph(num_nodes=5, num_edges=7, device='cpu')"


# ---- edge values ----


def test_values_by_position_are_remembered(graph):
    values = torch.arange(7)
    first = graph.by_position(values, torch.int32)
    assert first.tolist() == graph.perm.tolist() and first.dtype == torch.int32
    assert graph.by_position(values, torch.int32) is first
    assert graph.by_position(values, torch.float32) is not first
    assert graph.by_position(values, torch.float32).dtype == torch.float32


def test_a_change_in_place_is_noticed(graph):
    values = torch.arange(7)
    graph.by_position(values, torch.int32)
    values[4] = 70
    assert graph.by_position(values, torch.int32).tolist() == [70, 1, 3, 0, 2, 5, 6]
    values.mul_(2)
    assert graph.by_position(values, torch.int32).tolist() == [140, 2, 6, 0, 4, 10, 12]


def test_a_change_in_place_reaches_the_operators(backend, graph):
    x, relation = torch.ones(1, 5, 1), torch.tensor([[1.0], [10.0]])
    kind, weight, mask = torch.zeros(7, dtype=torch.int64), torch.ones(7), torch.ones(7, dtype=torch.bool)

    def total():
        options = {"num_nodes": 5, "edge_weight": weight, "edge_mask": mask}
        return ops.relational_spmm(graph, kind, x, relation, **options).sum().item()

    assert total() == 7
    kind[0] = 1
    assert total() == 16
    weight[0] = 3
    assert total() == 36
    mask[0] = False
    assert total() == 6
    assert graph.in_degree(mask).tolist() == [1, 3, 0, 0, 2]


def test_other_values_at_the_same_address_are_not_confused(graph):
    # ids of objects are used again after an object has died
    for number in range(50):
        values = torch.full((7,), number)
        assert graph.by_position(values, torch.int32).tolist() == [number] * 7
        del values


def test_the_memory_of_sorted_values_is_bounded(graph):
    held = [torch.full((7,), number) for number in range(30)]
    for values in held:
        graph.by_position(values, torch.int32)
    assert len(graph._sorted) <= 8
    assert graph.by_position(held[0], torch.int32).tolist() == [0] * 7


def test_values_made_in_inference_mode_are_taken_as_they_are(graph):
    with torch.inference_mode():
        values = torch.rand(graph.num_edges)
        before = graph.by_position(values, torch.float32)
        torch.testing.assert_close(before, values[graph.perm])
        values[0] += 1.0
        torch.testing.assert_close(graph.by_position(values, torch.float32), values[graph.perm])


def test_values_with_gradients_pass_them_on(graph):
    values = torch.arange(7.0, requires_grad=True)
    (graph.by_position(values, torch.float64) * torch.arange(7)).sum().backward()
    wanted = torch.empty(7)
    wanted[graph.perm] = torch.arange(7.0)
    assert torch.equal(values.grad, wanted)


# ---- questions ----


def test_in_degree(graph):
    assert graph.in_degree().tolist() == [1, 4, 0, 0, 2]
    mask = torch.tensor([True, False, True, True, False, True, False])
    assert graph.in_degree(mask).tolist() == [0, 3, 0, 0, 1]
    assert graph.in_degree(torch.zeros(7, dtype=torch.bool)).tolist() == [0] * 5


def test_in_degree_under_a_mask_is_that_of_the_smaller_graph():
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(20, (2, 500), generator=generator)
    mask = torch.rand(500, generator=generator) < 0.5
    smaller = CSRGraph(edges[:, mask], num_nodes=20)
    assert torch.equal(CSRGraph(edges, num_nodes=20).in_degree(mask), smaller.in_degree())


def test_more_than_255_edges_into_a_node_are_counted():
    graph = CSRGraph(torch.zeros(2, 1000, dtype=torch.int64), num_nodes=1)
    assert graph.in_degree(torch.ones(1000, dtype=torch.bool)).tolist() == [1000]


@pytest.mark.parametrize("seed", range(3))
def test_edges_between(seed):
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(7, (2, 60), generator=generator)
    source, target = torch.randint(8, (2, 50), generator=generator)  # node 7 has no edges
    pair, edge = CSRGraph(edges, num_nodes=8).edges_between(source, target)
    wanted = [
        (i, e)
        for i in range(50)
        for e in range(60)
        if edges[0, e] == source[i] and edges[1, e] == target[i]
    ]  # fmt: skip
    assert wanted and list(zip(pair.tolist(), edge.tolist(), strict=True)) == wanted


def test_edges_between_of_no_pairs(graph):
    none = torch.empty(0, dtype=torch.int64)
    assert [part.tolist() for part in graph.edges_between(none, none)] == [[], []]


def test_edges_between_ids_that_would_name_another_pair_are_refused(graph):
    # N + 0 * N is what the pair (0, 1) sorts under
    with pytest.raises(UserError, match=rf"node id {graph.num_nodes}, expected ids in \[0, {graph.num_nodes}\)"):
        graph.edges_between(torch.tensor([graph.num_nodes]), torch.tensor([0]))
    with pytest.raises(UserError, match="node id -1"):
        graph.edges_between(torch.tensor([0]), torch.tensor([-1]))


def test_to_keeps_everything_but_the_remembered_values(graph):
    values = torch.arange(7)
    graph.by_position(values, torch.int32)
    moved = graph.to("cpu")
    assert moved is not graph and moved._sorted == {} and graph._sorted
    for name in ("ptr", "source", "perm", "t_ptr", "t_target", "t_position"):
        assert torch.equal(getattr(moved, name), getattr(graph, name))
    assert graph.to("meta").device.type == "meta"


# ---- what holds the edges ----


@pytest.fixture
def sorts(monkeypatch):
    """Counts how many graphs are sorted."""
    made = []
    original = CSRGraph.__init__

    def counting(self, *args, **kwargs):
        made.append(self)
        original(self, *args, **kwargs)

    monkeypatch.setattr(CSRGraph, "__init__", counting)
    return made


def run(edges, **options):
    return ops.relational_spmm(edges, torch.arange(7), torch.ones(1, 5, 2), torch.ones(7, 2), num_nodes=5, **options)


def test_a_plain_tensor_is_accepted(sorts):
    assert run(EDGES)[0, :, 0].tolist() == [1, 4, 0, 0, 2]
    run(EDGES)
    assert len(sorts) == 2


def test_a_csr_graph_is_sorted_once(sorts, graph):
    assert len(sorts) == 1
    for _ in range(3):
        assert torch.equal(run(graph), run(graph, reduce="sum"))
    assert len(sorts) == 1


def test_an_edge_index_of_pyg_is_sorted_once(sorts):
    edges = EdgeIndex(EDGES, sparse_size=(5, 5))
    wanted = run(EDGES)
    del sorts[:]
    for _ in range(3):
        assert torch.equal(run(edges), wanted)
    assert len(sorts) == 1
    # another number of nodes is another graph
    csr.as_csr(edges, 6)
    assert len(sorts) == 2


def test_an_edge_index_that_changes_is_sorted_again(sorts):
    edges = EdgeIndex(EDGES.clone(), sparse_size=(5, 5))
    run(edges)
    with torch.no_grad():
        edges.as_subclass(torch.Tensor)[1, 0] = 3
    assert run(edges)[0, :, 0].tolist() == [1, 3, 0, 1, 2]
    assert len(sorts) == 2


def test_a_subclass_gives_plain_tensors(graph):
    made = CSRGraph(EdgeIndex(EDGES, sparse_size=(5, 5)), num_nodes=5)
    for name in ("ptr", "source", "perm", "t_ptr", "t_target", "t_position", "key"):
        assert type(getattr(made, name)) is torch.Tensor
        assert torch.equal(getattr(made, name), getattr(graph, name))


@pytest.mark.parametrize(
    ("edges", "num_nodes", "words"),
    [
        ([[0], [1]], 2, "edge_index is list, expected an int64 tensor"),
        (torch.zeros(2, 2, 1, dtype=torch.int64), 2, r"edge_index is \(2, 2, 1\)"),
        (torch.zeros(1, 2, dtype=torch.int64), 2, r"edge_index is \(1, 2\).*sources, targets"),
        (torch.zeros(2, 2, dtype=torch.int32), 2, "dtype torch.int32"),
        (torch.tensor([[0], [2]]), 2, r"node id 2, expected ids in \[0, 2\)"),
        (torch.tensor([[-1], [1]]), 2, "node id -1"),
        (torch.tensor([[0], [0]]), 0, r"node id 0, expected ids in \[0, 0\)"),
        (torch.empty(2, 0, dtype=torch.int64), -1, "num_nodes=-1"),
        (torch.empty(2, 0, dtype=torch.int64), 2**31, "num_nodes=2147483648"),
        (torch.empty(2, 1, dtype=torch.int64).expand(2, 2**31), 2, "2147483648 edges"),
    ],
)
def test_mistakes_are_named(edges, num_nodes, words):
    with pytest.raises(UserError, match=words):
        CSRGraph(edges, num_nodes=num_nodes)
