"""What goes into the orbit operators: odd graphs, odd storage, mistakes; keys, dtypes and memory."""

import networkx as nx
import pytest
import torch
from orbit_definition import edges_of
from torch_geometric import EdgeIndex

from graphkit import ops
from graphkit.errors import UserError
from graphkit.ops.simple_graph import as_simple

PAW = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 3]])


def everything(edges, n):
    return [
        ops.orbit_counts(edges, num_nodes=n),
        *ops.edge_orbit_counts(edges, num_nodes=n),
        *(m.to_dense() for m in ops.orbit_adjacency(edges, num_nodes=n).values()),
    ]


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_graphs_without_edges(backend, n):
    edges = torch.empty(2, 0, dtype=torch.int64)
    assert torch.equal(ops.orbit_counts(edges, num_nodes=n), torch.zeros(n, 15, dtype=torch.int64))
    listed, counts = ops.edge_orbit_counts(edges, num_nodes=n)
    assert listed.shape == (2, 0) and counts.shape == (0, 12)
    for matrix in ops.orbit_adjacency(edges, num_nodes=n).values():
        assert matrix.shape == (n, n) and matrix.values().numel() == 0
    blocks = list(ops.orbit_adjacency_blocks(edges, num_nodes=n))
    assert [end for _, end, _ in blocks][-1:] == ([n] if n else [])
    for key in ops.ORBIT_KEYS:
        assert torch.equal(ops.orbit_adjacency_matvec(edges, torch.ones(n), num_nodes=n, key=key), torch.zeros(n))


def test_a_million_isolated_nodes():
    edges = torch.tensor([[5], [7]])
    assert int(ops.orbit_counts(edges, num_nodes=10**6).sum()) == 2
    found = ops.orbit_adjacency(edges, num_nodes=10**6, keys=[(1, 0, 0), (2, 1, 1)])
    assert found[1, 0, 0].values().tolist() == [1, 1] and found[2, 1, 1].values().numel() == 0


def test_storage_does_not_matter(backend):
    graph = nx.karate_club_graph()
    edges = edges_of(graph)
    expected = everything(edges, 34)
    generator = torch.Generator().manual_seed(0)
    both = torch.cat([edges, edges.flip(0)], 1)
    loops = torch.arange(34).repeat(2, 1)
    messy = torch.cat([both, both[:, :40], loops], 1)
    messy = messy[:, torch.randperm(messy.shape[1], generator=generator)]
    for given in (
        both,
        edges.flip(0),
        messy,
        messy.t().contiguous().t(),
        EdgeIndex(both),
        ops.CSRGraph(messy, num_nodes=34),
    ):
        for found, wanted in zip(everything(given, 34), expected, strict=True):
            assert torch.equal(found, wanted)


def test_what_was_dropped(backend):
    edges = torch.tensor([[0, 1, 0, 2, 3, 3, 3], [1, 0, 1, 2, 4, 4, 3]])
    graph = ops.SimpleGraph(edges, num_nodes=6)
    assert graph.info._asdict() == {"self_loops": 2, "duplicates": 2, "one_way": 1}
    assert graph.num_edges == 2 and graph.max_degree == 1 and graph.degree.tolist() == [1, 1, 0, 1, 1, 0]
    assert torch.equal(ops.orbit_counts(graph, num_nodes=6)[:, 0], graph.degree)


def test_sorted_forms_are_built_once():
    for given in (EdgeIndex(PAW), ops.CSRGraph(PAW, num_nodes=4)):
        assert as_simple(given, 4) is as_simple(given, 4)
    graph = ops.SimpleGraph(PAW, num_nodes=4)
    with pytest.raises(UserError, match="made for 4 nodes"):
        ops.orbit_counts(graph, num_nodes=5)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (torch.tensor([[0.0], [1.0]]), "expected torch.int64"),
        (torch.tensor([[0], [-1]]), "node id -1"),
        (torch.tensor([[0], [4]]), "node id 4"),
        (torch.tensor([0, 1]), r"shape \[2, E\]"),
        ([[0], [1]], r"shape \[2, E\]"),
    ],
)
def test_bad_edges(backend, edges, message):
    for call in (ops.orbit_counts, ops.edge_orbit_counts, ops.orbit_adjacency, ops.orbit_adjacency_blocks):
        with pytest.raises(UserError, match=message):
            call(edges, num_nodes=4)


@pytest.mark.parametrize("keys", [[(1, 4, 4)], [(2, 5, 5)], [(1, 2)], [7], [(1, 0, 15)]])
def test_unknown_keys(keys):
    with pytest.raises(UserError, match="orbit key"):
        ops.orbit_adjacency(PAW, num_nodes=4, keys=keys)
    with pytest.raises(UserError, match="orbit key"):
        ops.orbit_multiplicity(keys[0])


def test_valid_keys_are_listed():
    with pytest.raises(UserError, match=r"1:0:0, 1:1:2, .*1:14:14"):
        ops.orbit_adjacency(PAW, num_nodes=4, keys=[(3, 5, 5)])


@pytest.mark.parametrize("key", ops.ORBIT_KEYS)
def test_one_key_alone(backend, key):
    edges = edges_of(nx.powerlaw_cluster_graph(40, 4, 0.5, seed=1))
    every = ops.orbit_adjacency(edges, num_nodes=40)
    alone = ops.orbit_adjacency(edges, num_nodes=40, keys=[key])
    assert list(alone) == [key]
    assert torch.equal(alone[key].to_dense(), every[key].to_dense())


def test_order_of_keys_is_kept():
    keys = [(3, 4, 4), (1, 0, 0), (2, 9, 10), (1, 0, 0)]
    assert list(ops.orbit_adjacency(PAW, num_nodes=4, keys=iter(keys))) == keys[:3]
    assert ops.orbit_adjacency(PAW, num_nodes=4, keys=[]) == {}


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32, torch.float64])
def test_dtypes(backend, dtype):
    found = ops.orbit_adjacency(PAW, num_nodes=4, dtype=dtype)
    expected = ops.orbit_adjacency(PAW, num_nodes=4)
    for key, matrix in found.items():
        assert matrix.dtype == dtype and torch.equal(matrix.to_dense().long(), expected[key].to_dense().long())


def star(leaves):
    return torch.stack([torch.zeros(leaves, dtype=torch.int64), torch.arange(1, leaves + 1)])


def test_bounds_of_the_dtypes():
    assert ops.orbit_adjacency(star(46_340), num_nodes=46_341, keys=[(1, 6, 7)])[1, 6, 7].dtype == torch.int32
    wide = ops.orbit_adjacency(star(46_341), num_nodes=46_342, keys=[(1, 6, 7)])[1, 6, 7]
    assert wide.dtype == torch.int64
    assert int(wide.values().max()) == 46_340 * 46_339 // 2
    with pytest.raises(UserError, match=r"values may reach 2147488281, which torch.int32"):
        ops.orbit_adjacency(star(46_341), num_nodes=46_342, keys=[(1, 6, 7)], dtype=torch.int32)
    with pytest.raises(UserError, match=r"which torch.float32 does not hold"):
        ops.orbit_adjacency(star(5000), num_nodes=5001, keys=[(1, 0, 0)], dtype=torch.float32)
    with pytest.raises(UserError, match=r"expected torch.int32"):
        ops.orbit_adjacency(PAW, num_nodes=4, dtype=torch.int16)


def test_a_star_in_64_bits():
    leaves = 100_000
    counts = ops.orbit_counts(star(leaves), num_nodes=leaves + 1)
    assert int(counts[0, 7]) == leaves * (leaves - 1) * (leaves - 2) // 6
    assert int(counts[1, 6]) == (leaves - 1) * (leaves - 2) // 2
    _, on_edges = ops.edge_orbit_counts(star(leaves), num_nodes=leaves + 1)
    assert on_edges[:, 4].unique().tolist() == [(leaves - 1) * (leaves - 2) // 2]


def test_counts_that_could_overflow():
    graph = ops.SimpleGraph(PAW, num_nodes=4)
    graph.max_degree = 2_097_152
    with pytest.raises(UserError, match="orbit counts may reach 9223372036854775808"):
        ops.orbit_counts(graph, num_nodes=4)


def test_more_memory_than_allowed():
    edges = edges_of(nx.barabasi_albert_graph(400, 5, seed=0))
    with pytest.raises(
        UserError, match=r"would take about .* GiB are allowed; ask for fewer keys or use orbit_adjacency_blocks"
    ):
        ops.orbit_adjacency(edges, num_nodes=400, memory=10_000)
    ops.orbit_adjacency(edges, num_nodes=400, memory=10**8)


def test_a_star_too_large_for_pairs_is_refused_at_once():
    with pytest.raises(UserError, match="GiB are free"):
        ops.orbit_adjacency(star(10**6), num_nodes=10**6 + 1)


# ---------------------------------------------------------------- blocks


@pytest.mark.parametrize("memory", [20_000, 60_000, 2**30])
@pytest.mark.parametrize("keys", [None, [(1, 3, 3)], [(2, 8, 8), (2, 1, 1)], [(3, 4, 4)]])
def test_blocks_are_the_matrix(backend, memory, keys):
    graph = nx.barabasi_albert_graph(70, 3, seed=5)
    whole = ops.orbit_adjacency(edges_of(graph), num_nodes=70, keys=keys)
    before, parts = 0, {key: [] for key in whole}
    for start, end, block in ops.orbit_adjacency_blocks(edges_of(graph), num_nodes=70, keys=keys, memory=memory):
        assert start == before < end
        before = end
        for key, matrix in block.items():
            assert matrix.shape == (end - start, 70)
            parts[key].append(matrix.to_dense())
    assert before == 70
    for key, rows in parts.items():
        assert torch.equal(torch.cat(rows), whole[key].to_dense()), key
    if memory == 20_000 and keys is None:
        assert len(rows) > 5


def test_blocks_keep_to_their_memory():
    edges = edges_of(nx.barabasi_albert_graph(300, 4, seed=5))
    for _, _, block in ops.orbit_adjacency_blocks(edges, num_nodes=300, memory=200_000):
        storages = {
            t.untyped_storage().data_ptr(): t.numel() * t.element_size()
            for m in block.values() for t in (m.crow_indices(), m.col_indices(), m.values())
        }  # fmt: skip
        assert sum(storages.values()) <= 100_000 + 4 * 2 * edges.shape[1] * 2


def test_blocks_of_less_than_a_row():
    with pytest.raises(UserError, match="memory=100 is less than"):
        ops.orbit_adjacency_blocks(edges_of(nx.barabasi_albert_graph(50, 4, seed=5)), num_nodes=50, memory=100)


def test_saving_a_matrix_saves_no_more_than_it():
    n = 600
    edges = edges_of(nx.random_regular_graph(3, n, seed=1))
    matrix = ops.orbit_adjacency(edges, num_nodes=n, keys=[(3, 4, 4)])[3, 4, 4]
    assert matrix.values().untyped_storage().nbytes() == 4 * len(matrix.values()) < 4 * n * n / 4


# ---------------------------------------------------------------- products


@pytest.mark.parametrize("key", ops.ORBIT_KEYS)
def test_products(backend, key):
    graph = nx.powerlaw_cluster_graph(60, 4, 0.6, seed=2)
    edges, generator = edges_of(graph), torch.Generator().manual_seed(1)
    dense = ops.orbit_adjacency(edges, num_nodes=60, keys=[key])[key].to_dense()
    whole = torch.randint(-9, 10, (60, 3), generator=generator)
    assert torch.equal(ops.orbit_adjacency_matvec(edges, whole, num_nodes=60, key=key), dense.long() @ whole)
    assert torch.equal(
        ops.orbit_adjacency_matvec(edges, whole[:, 0], num_nodes=60, key=key), dense.long() @ whole[:, 0]
    )
    for dtype, rtol in ((torch.float64, 1e-13), (torch.float32, 1e-6)):
        x = torch.rand(60, 2, dtype=dtype, generator=generator)
        found = ops.orbit_adjacency_matvec(ops.SimpleGraph(edges, num_nodes=60), x, num_nodes=60, key=key)
        expected = dense.double() @ x.double()
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), expected, rtol=rtol, atol=rtol * float(expected.abs().max()))


@pytest.mark.parametrize("key", [(1, 4, 5), (2, 9, 10), (2, 4, 5), (3, 4, 4)])
def test_gradients_of_products(key):
    edges = edges_of(nx.gnp_random_graph(14, 0.3, seed=3))
    x = torch.rand(14, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: ops.orbit_adjacency_matvec(edges, v, num_nodes=14, key=key), (x,))


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (torch.ones(3), r"expected a tensor \[4\]"),
        (torch.ones(4, 1, 1), r"expected a tensor \[4\]"),
        ([1, 2, 3, 4], r"expected a tensor \[4\]"),
        (torch.ones(4, dtype=torch.bool), "has dtype torch.bool"),
    ],
)
def test_bad_vectors(vector, message):
    with pytest.raises(UserError, match=message):
        ops.orbit_adjacency_matvec(PAW, vector, num_nodes=4, key=(1, 0, 0))
