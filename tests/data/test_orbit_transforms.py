"""Orbits in a PyG Data: as features of nodes, features of edges, and edges of further types."""

import networkx as nx
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv, RGCNConv
from torch_geometric.transforms import Compose

from graphkit import ops
from graphkit.data.orbit_transforms import AddOrbitCounts, AddOrbitEdgeFeatures, AddOrbitEdges
from graphkit.errors import UserError

GRAPH = nx.powerlaw_cluster_graph(40, 3, 0.6, seed=1)
ONCE = torch.tensor(sorted(GRAPH.edges())).t()
BOTH = torch.cat([ONCE, ONCE.flip(0)], 1)[
    :, torch.randperm(2 * ONCE.shape[1], generator=torch.Generator().manual_seed(0))
]


def sample(**more):
    return Data(edge_index=BOTH.clone(), num_nodes=40, **more)


def test_counts_are_appended():
    counts = ops.orbit_counts(BOTH, num_nodes=40)
    x = torch.rand(40, 3)
    data = AddOrbitCounts()(sample(x=x))
    assert data.x.shape == (40, 18) and torch.equal(data.x[:, :3], x)
    torch.testing.assert_close(data.x[:, 3:], counts.double().log1p().float())
    plain = AddOrbitCounts([7, 3], log1p=False)(sample())
    assert torch.equal(plain.x, counts[:, [7, 3]].float())
    named = AddOrbitCounts(attr_name="orbits")(sample(x=x))
    assert named.x is not None and named.x.shape == (40, 3) and named.orbits.shape == (40, 15)


def test_counts_beside_whole_numbers_and_single_features():
    data = AddOrbitCounts([0], log1p=False)(sample(x=torch.arange(40)))
    assert data.x.shape == (40, 2) and data.x.dtype == torch.float32
    assert data.x[:, 0].tolist() == list(range(40))
    assert data.x[:, 1].tolist() == [degree for _, degree in GRAPH.degree()]
    double = AddOrbitCounts([0])(sample(x=torch.rand(40, 2, dtype=torch.float64)))
    assert double.x.dtype == torch.float64


def test_the_given_data_is_left_alone():
    given = sample(x=torch.rand(40, 3))
    AddOrbitCounts()(given), AddOrbitEdges([(2, 1, 1)])(given), AddOrbitEdgeFeatures()(given)
    assert given.x.shape == (40, 3) and torch.equal(given.edge_index, BOTH) and "edge_attr" not in given


def test_features_of_edges_are_entries_of_the_matrices():
    data = AddOrbitEdgeFeatures(log1p=False)(sample())
    assert data.edge_attr.shape == (BOTH.shape[1], 18)
    keys = [key for key in ops.ORBIT_KEYS if key[0] == 1 and key != (1, 0, 0)]
    for k, key in enumerate(keys):
        dense = ops.orbit_adjacency(BOTH, num_nodes=40, keys=[key])[key].to_dense()
        assert torch.equal(data.edge_attr[:, k], dense[BOTH[0], BOTH[1]].float()), key
    more = AddOrbitEdgeFeatures([(1, 3, 3)])(sample(edge_attr=torch.ones(BOTH.shape[1])))
    assert more.edge_attr.shape == (BOTH.shape[1], 2)


def test_features_of_loops_and_of_edges_stored_one_way():
    data = Data(edge_index=torch.tensor([[0, 1, 2, 2, 3], [1, 2, 0, 3, 3]]), num_nodes=4)
    found = AddOrbitEdgeFeatures([(1, 0, 0), (1, 11, 9)], log1p=False)(data).edge_attr
    assert found.tolist() == [[1, 0], [1, 0], [1, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize("weight", ["value", "log1p", "mean", "symmetric", "one"])
def test_edges_are_the_matrices(weight):
    keys = [(2, 9, 10), (1, 3, 3), (3, 4, 4)]
    data = AddOrbitEdges(keys, weight=weight)(sample())
    assert data.num_nodes == 40 and data.is_sorted() in (True, False)
    assert torch.equal(data.edge_index[:, data.edge_type == 0], BOTH)
    assert bool((data.edge_weight[data.edge_type == 0] == 1).all())
    for k, key in enumerate(keys, start=1):
        dense = ops.orbit_adjacency(BOTH, num_nodes=40, keys=[key])[key].to_dense().double()
        expected = {
            "value": dense, "log1p": dense.log1p(), "one": (dense > 0).double(),
            "mean": torch.nan_to_num(dense / dense.sum(1, keepdim=True)),
            "symmetric": torch.nan_to_num(dense / (dense.sum(1, keepdim=True) * dense.sum(0, keepdim=True)).sqrt()),
        }[weight]  # fmt: skip
        at = data.edge_type == k
        source, target = data.edge_index[:, at]
        found = torch.zeros(40, 40, dtype=torch.float64)
        found[target, source] = data.edge_weight[at].double()
        assert int(at.sum()) == int((dense > 0).sum())
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_a_layer_gathers_what_the_matrix_gathers():
    key = (2, 9, 10)  # not symmetric
    data = AddOrbitEdges([key], weight="value")(sample())
    at = data.edge_type == 1
    layer = GCNConv(4, 4, normalize=False, add_self_loops=False, bias=False)
    x = torch.rand(40, 4)
    dense = ops.orbit_adjacency(BOTH, num_nodes=40, keys=[key])[key].to_dense().float()
    found = layer(x, data.edge_index[:, at], data.edge_weight[at])
    torch.testing.assert_close(found, dense @ layer.lin(x))
    relations = RGCNConv(4, 4, num_relations=2)
    assert relations(x, data.edge_index, data.edge_type).shape == (40, 4)
    kinds = data.to_heterogeneous().edge_types
    assert len(kinds) == 2


def test_types_and_weights_that_are_there():
    types, weights = torch.randint(3, (BOTH.shape[1],)), torch.rand(BOTH.shape[1])
    types[0] = 2
    data = AddOrbitEdges([(1, 3, 3)])(sample(edge_type=types, edge_weight=weights))
    assert torch.equal(data.edge_type[: len(types)], types) and torch.equal(data.edge_weight[: len(types)], weights)
    assert data.edge_type.unique().tolist() == [0, 1, 2, 3]


def test_in_a_pipeline():
    both = Compose([AddOrbitCounts(), AddOrbitEdges([(2, 1, 1)])])
    assert both(sample()).validate()
    assert "log1p=True" in repr(both) and "(2, 1, 1)" in repr(both)
    empty = both(Data(edge_index=torch.empty(2, 0, dtype=torch.int64), num_nodes=3))
    assert empty.edge_index.shape == (2, 0) and empty.x.tolist() == [[0.0] * 15] * 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AddOrbitCounts([15]), "orbit 15, expected numbers from 0 to 14"),
        (lambda: AddOrbitEdges([(1, 4, 4)]), "unknown orbit key"),
        (lambda: AddOrbitEdges([(1, 3, 3)], weight="log"), "weight is 'log', expected one of value, log1p"),
        (lambda: AddOrbitEdgeFeatures([(2, 1, 1)]), "use AddOrbitEdges, or keys of hop 1"),
        (lambda: AddOrbitCounts()(Data(x=torch.ones(3, 1))), "expected a PyG Data with edges"),
        (lambda: AddOrbitCounts()(sample(x=torch.ones(3, 1))), "no matrix with one row for each of 40 nodes"),
        (lambda: AddOrbitEdgeFeatures()(sample(edge_attr=torch.ones(3, 1))), "one row for each of"),
        (lambda: AddOrbitEdges([(1, 3, 3)])(sample(edge_attr=torch.ones(BOTH.shape[1], 2))), "edges have edge_attr"),
        (lambda: AddOrbitEdges([(3, 4, 4)], memory=100)(sample()), "GiB are allowed"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
