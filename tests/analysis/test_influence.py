"""Influence by hop: linear models with known Jacobians, locality, halo, the whole graph, PyG's function, probes, mistakes."""

import importlib
import itertools
import math
import warnings

import networkx as nx
import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Data

from graphkit.analysis import influence, total_influence
from graphkit.analysis import receptive_field as receptive_field_module
from graphkit.analysis.ball_blocks import ball_blocks
from graphkit.analysis.influence_jacobian import jacobian_norms, probed_norms
from graphkit.analysis.message_sums import MessageSums, SourceGradients
from graphkit.errors import DataWarning, UserError
from graphkit.models import NodeClassifier, registry
from graphkit.ops import HopGraph, hop_distance

DOUBLE = {"dtype": torch.float64}


def data_of(graph, features=5, seed=0, directed=False):
    edges = torch.tensor(list(graph.edges)).t()
    x = torch.randn(len(graph), features, generator=torch.Generator().manual_seed(seed))
    return Data(x=x, edge_index=edges if directed else torch.cat([edges, edges.flip(0)], 1))


@pytest.fixture(scope="module")
def street():
    """A perturbed grid, as streets are."""
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(14, 14))
    generator = torch.Generator().manual_seed(1)
    for edge in list(graph.edges):
        if float(torch.rand((), generator=generator)) > 0.8:
            graph.remove_edge(*edge)
    return data_of(graph)


@pytest.fixture(scope="module")
def arrows():
    return data_of(nx.gnp_random_graph(60, 0.03, seed=2, directed=True), directed=True)


def by_definition(function, data, seed):
    """I(seed, u) for every u, from the dense Jacobian."""
    x = data.x.double()
    jacobian = torch.autograd.functional.jacobian(lambda x: function(x)[seed], x)
    return jacobian.abs().sum((0, 2))


class Powers(nn.Module):
    """f(X) = P^L X W through PyG's propagate, P row-normalised with loops."""

    def __init__(self, steps, weight):
        super().__init__()
        self.steps, self.weight = steps, nn.Parameter(weight)
        self.conv = pyg.SimpleConv(aggr="mean", combine_root="self_loop")

    def forward(self, x, edge_index):
        for _ in range(self.steps):
            x = self.conv(x, edge_index)
        return x @ self.weight


# ---------------------------------------------------------------- linear models


@pytest.mark.parametrize("method", ["exact", "full"])
@pytest.mark.parametrize("kind", ["street", "arrows"])
def test_linear_models_have_their_closed_form(kind, method, request):
    data = request.getfixturevalue(kind)
    n, steps = len(data.x), 3
    weight = torch.randn(5, 4, dtype=torch.float64)
    matrix = torch.eye(n, dtype=torch.float64)
    matrix[data.edge_index[1], data.edge_index[0]] = 1
    power = torch.linalg.matrix_power(matrix / matrix.sum(1, keepdim=True), steps)
    hops = hop_distance(data.edge_index, torch.arange(n), num_nodes=n)
    nodes = torch.arange(0, n, 7)
    report = influence(Powers(steps, weight), data, 5, nodes, method, **DOUBLE)
    for row, v in enumerate(nodes.tolist()):
        expected = torch.stack([power[v][hops[v] == h].sum() for h in range(6)]) * weight.abs().sum()
        torch.testing.assert_close(report.per_node[row], expected, rtol=1e-12, atol=1e-14)
        radius = (expected * torch.arange(6)).sum() / expected.sum()
        assert abs(float(report.radius_per_node[row] - radius)) < 1e-12
    assert abs(report.radius - float(report.radius_per_node.mean())) < 1e-15
    assert report.method == method and float(report.truncated.abs().max()) < 1e-14


def test_binomial_weights_on_a_path():
    """P = (I + A) / 3 inside a long path: steps of -1, 0, 1."""
    path = data_of(nx.path_graph(41), features=1)
    report = influence(Powers(4, torch.ones(1, 1, dtype=torch.float64)), path, 6, torch.tensor([20]), **DOUBLE)
    ways = {step: 0 for step in range(-4, 5)}
    for steps in itertools.product((-1, 0, 1), repeat=4):
        ways[sum(steps)] += 1
    expected = [ways[0], *(2 * ways[h] for h in range(1, 5)), 0, 0]
    torch.testing.assert_close(report.per_hop, torch.tensor(expected, dtype=torch.float64) / 81, rtol=1e-12, atol=0)


@pytest.mark.parametrize("norm", ["l1", "fro", "squared"])
def test_norms(norm, street):
    torch.manual_seed(0)
    model = pyg.GCN(5, 8, 2, 3)
    x = street.x.double()
    block = torch.autograd.functional.jacobian(lambda x: model.double()(x, street.edge_index)[40], x)
    expected = {"l1": block.abs().sum((0, 2)), "squared": block.square().sum((0, 2))}
    expected["fro"] = expected["squared"].sqrt()
    hops = hop_distance(street.edge_index, torch.tensor([40]), num_nodes=len(x))[0]
    report = influence(model, street, 3, [40], norm=norm, **DOUBLE)
    wanted = torch.stack([expected[norm][hops == h].sum() for h in range(4)])
    torch.testing.assert_close(report.per_hop, wanted, rtol=1e-10, atol=1e-15)


# ---------------------------------------------------------------- locality and halo


@pytest.mark.parametrize(
    ("make", "reach"),
    [
        (lambda: pyg.GCN(5, 8, 3, 4), 3), (lambda: pyg.GraphSAGE(5, 8, 3, 4), 3), (lambda: pyg.GAT(5, 8, 2, 4), 2),
        (lambda: pyg.GIN(5, 8, 2, 4), 2), (lambda: pyg.MLP([5, 8, 4], norm=None), 0), (lambda: pyg.SGConv(5, 4, K=4), 4),
        (lambda: pyg.ChebConv(5, 4, K=2), 1), (lambda: pyg.ChebConv(5, 4, K=4), 3), (lambda: pyg.TAGConv(5, 4, K=2), 2),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nothing_beyond_the_receptive_field(make, reach, street):
    torch.manual_seed(0)
    model = make()
    if reach == 0:
        inner = model
        model = type("Rows", (nn.Module,), {"forward": lambda self, x, edge_index: inner(x)})()
    report = influence(model, street, 8, 12)
    assert report.method == "exact" and report.receptive_hops == reach
    assert bool((report.per_node[:, reach + 1 :] == 0.0).all()), "exactly zero"
    assert bool((report.per_hop[: reach + 1] > 0).all()) and float(report.truncated.abs().max()) == 0
    assert 0 <= report.radius <= reach
    whole = influence(model, street, 8, report.nodes, "full")
    torch.testing.assert_close(report.per_node, whole.per_node, rtol=2e-4, atol=1e-6)
    assert whole.reason == "asked for" and bool((whole.per_node[:, reach + 1 :] == 0.0).all())


@pytest.mark.parametrize("name", ["GCN", "GraphSAGE", "GAT", "GIN"])
@pytest.mark.parametrize("graph", ["street", "arrows"])
def test_trimmed_layers_give_the_same(name, graph, request, monkeypatch):
    data = request.getfixturevalue(graph)
    torch.manual_seed(0)
    model = getattr(pyg, name)(5, 8, 3, 4)
    used = []
    original = receptive_field_module._untrimmed
    monkeypatch.setattr(receptive_field_module, "_untrimmed", lambda *args: used.append(original(*args)) or used[-1])
    trimmed = influence(model, data, 5, 30, block_nodes=150, **DOUBLE)
    assert used == [""], "the layers are trimmed"
    monkeypatch.setattr(receptive_field_module, "_untrimmed", lambda *args: "not asked for")
    plain = influence(model, data, 5, 30, block_nodes=150, **DOUBLE)
    torch.testing.assert_close(trimmed.per_node, plain.per_node, rtol=1e-11, atol=1e-15)
    assert not [key for layer in model.convs for key in layer.__dict__ if key == "propagate"]


@pytest.mark.parametrize(
    "options",
    [
        {"norm": "batch_norm"}, {"norm": "layer_norm", "norm_kwargs": {"mode": "node"}}, {"jk": "cat"}, {"jk": "last"},
        {"act": "tanh", "dropout": 0.5}, {"normalize": False}, {"add_self_loops": False}, {"improved": True}, {"cached": True},
    ],
)  # fmt: skip
def test_stacks_of_every_kind(options, street):
    torch.manual_seed(0)
    model = pyg.GCN(5, 8, 2, 4, **options)
    model.eval()(street.x, street.edge_index)  # a cached layer remembers the whole graph
    model.train()
    balls = influence(model, street, 4, 15, **DOUBLE)
    assert model.training and balls.method == "exact"
    torch.testing.assert_close(
        balls.per_node, influence(model, street, 4, balls.nodes, "full", **DOUBLE).per_node, rtol=1e-10, atol=1e-15
    )
    if options == {"cached": True}:
        assert model.convs[0].cached and model.convs[0]._cached_edge_index[0].shape[1] > street.edge_index.shape[1]


@pytest.mark.parametrize("aggr", ["mean", "max", "sum"])
def test_sage_of_every_aggregation(aggr, street):
    torch.manual_seed(0)
    model = pyg.GraphSAGE(5, 8, 2, 4, aggr=aggr, project=True)
    balls = influence(model, street, 4, 15, **DOUBLE)
    full = influence(model, street, 4, balls.nodes, "full", **DOUBLE)
    torch.testing.assert_close(balls.per_node, full.per_node, rtol=1e-10, atol=1e-15)


def test_halo(street):
    """A ball of as many hops as the model looks has wrong degrees at its border; one hop more mends it."""
    torch.manual_seed(0)
    gcn, sage = pyg.GCN(5, 8, 3, 4), pyg.GraphSAGE(5, 8, 3, 4)
    nodes = torch.arange(60, 75)
    full = {model: influence(model, street, 3, nodes, "full", **DOUBLE).per_node for model in (gcn, sage)}
    right = influence(gcn, street, 3, nodes, halo=1, **DOUBLE).per_node
    cut = influence(gcn, street, 3, nodes, halo=0, **DOUBLE).per_node
    torch.testing.assert_close(right, full[gcn], rtol=1e-10, atol=1e-15)
    assert float(cut[:, 3].sum() / full[gcn][:, 3].sum()) > 1.02, "the published way counts too much at the last hop"
    torch.testing.assert_close(
        influence(sage, street, 3, nodes, halo=0, **DOUBLE).per_node, full[sage], rtol=1e-10, atol=1e-15
    )


@pytest.mark.parametrize("name", sorted(name for name, model in registry().items() if issubclass(model, NodeClassifier)))
@pytest.mark.parametrize("graph", ["street", "arrows"])
def test_every_node_model(name, graph, request):
    """The declared reach holds: balls give what the whole graph gives."""
    data = request.getfixturevalue(graph)
    torch.manual_seed(0)
    sizes = {"in_channels": 5, "out_channels": 3, "num_nodes": len(data.x)}
    sizes = {key: value for key, value in sizes.items() if key in registry()[name].sizes}
    options = {} if name == "SGC" else {"hidden_channels": 8}
    options |= {"hops": 2} if name in ("SGC", "APPNP", "GPRGNN", "ADPA") else {}
    model = registry()[name](**sizes, **options)
    report = influence(model, data, 6, 8, **DOUBLE)
    full = influence(model, data, 6, report.nodes, "full", **DOUBLE)
    torch.testing.assert_close(report.per_node, full.per_node, rtol=1e-9, atol=1e-14)
    assert report.method == ("full" if model.global_coupling else "exact")
    assert model.global_coupling or report.receptive_hops == model.receptive_hops
    assert float(report.per_hop.sum()) > 0


def test_adpa_differentiates_through_its_propagation(arrows):
    torch.manual_seed(0)
    model = registry()["ADPA"](5, 8, 3, hops=1).double().eval()
    expected = by_definition(lambda x: model(x, arrows.edge_index), arrows, 4)
    hops = hop_distance(arrows.edge_index, torch.tensor([4]), num_nodes=60, direction="both")[0]
    report = influence(model, arrows, 4, [4])
    wanted = torch.stack([expected[hops == h].sum() for h in range(5)])
    torch.testing.assert_close(report.per_hop, wanted, rtol=1e-10, atol=1e-14)


# ---------------------------------------------------------------- the whole graph


def test_models_that_couple_all_nodes_are_measured_on_the_whole_graph(street):
    class Coupled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = pyg.GCNConv(5, 4)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index) + x.mean(0).sum()

    torch.manual_seed(0)
    model = Coupled()
    report = influence(model, street, 3, 6, **DOUBLE)
    assert report.method == "full" and report.receptive_hops is None
    assert "passes messages 1 times, yet nodes farther off have a say" in report.reason
    assert float(report.truncated.min()) > 0, "the rest of the graph has a say beyond three hops"
    for row, v in enumerate(report.nodes.tolist()):
        total = by_definition(lambda x: model.double()(x, street.edge_index), street, v).sum()
        torch.testing.assert_close(report.per_node[row].sum() + report.truncated[row], total, rtol=1e-10, atol=0)


def test_coupling_is_found_where_some_balls_hold_the_whole_graph():
    """The middle of a star sees everything in one hop; the end of its tail does not."""
    graph = nx.star_graph(30)
    nx.add_path(graph, [30, 31, 32, 33, 34, 35])
    data = data_of(graph)

    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = pyg.SAGEConv(5, 4)

        def forward(self, x, edge_index):
            return self.conv(x - x.mean(0), edge_index)

    assert influence(Centred(), data, 3, torch.arange(36)).method == "full"
    assert influence(pyg.SAGEConv(5, 4), data, 3, torch.arange(36)).method == "exact"


@pytest.mark.parametrize("norm", ["graph_norm", "pair_norm", "layer_norm"])
def test_norms_over_the_graph_are_known(norm, street):
    model = pyg.GCN(5, 8, 2, 4, norm=norm)  # PyG's layer norm is over the graph by default
    report = influence(model, street, 3, 3)
    assert report.method == "full" and "takes all nodes together" in report.reason
    with pytest.raises(UserError, match="takes all nodes together, but receptive_hops is 2; leave it out"):
        influence(model, street, 3, 3, receptive_hops=2)


def test_hidden_products_are_found_out(street):
    """A model without a message passing layer that multiplies by the adjacency matrix all the same."""
    n = len(street.x)

    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(5, 3)

        def forward(self, x, edge_index):
            return self.linear(x).index_add(0, edge_index[1], 2 * self.linear(x)[edge_index[0]])

    torch.manual_seed(0)
    model = Hidden()
    report = influence(model, street, 2, 5)
    assert report.per_hop[1] > 0 and report.per_hop[2] == 0
    known = influence(model, street, 2, report.nodes, receptive_hops=1)
    assert known.method == "exact"
    torch.testing.assert_close(
        known.per_node, influence(model, street, 2, report.nodes, "full").per_node, rtol=1e-4, atol=1e-6
    )
    assert n == 196


def test_other_inputs_are_cut_to_the_balls(street):
    torch.manual_seed(0)
    data = street.clone()
    data.edge_weight = torch.rand(data.edge_index.shape[1])
    model = pyg.GCN(5, 8, 2, 4)
    balls = influence(model, data, 3, 10, inputs=("edge_weight",), **DOUBLE)
    full = influence(model, data, 3, balls.nodes, "full", inputs=("edge_weight",), **DOUBLE)
    torch.testing.assert_close(balls.per_node, full.per_node, rtol=1e-10, atol=1e-15)
    assert not torch.allclose(full.per_node, influence(model, data, 3, balls.nodes, "full", **DOUBLE).per_node)
    with pytest.raises(
        UserError, match="data has no edge_wight, which inputs names; known: edge_index, edge_weight, x"
    ):
        influence(model, data, 3, inputs=("edge_wight",))


# ---------------------------------------------------------------- PyG's function


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("make", "hops"),
    [(lambda: pyg.GCN(5, 8, 3, 4), 3), (lambda: pyg.GCN(5, 8, 2, 4), 5), (lambda: pyg.GraphSAGE(5, 8, 3, 4), 2),
     (lambda: pyg.ChebConv(5, 4, K=3), 2), (lambda: pyg.GAT(5, 8, 2, 4), 1)],
)  # fmt: skip
@pytest.mark.parametrize("graph", ["street", "arrows"])
def test_pyg(make, hops, graph, request):
    from torch_geometric.utils import total_influence as peer
    from torch_geometric.utils.influence import jacobian_l1_agg_per_hop

    data = request.getfixturevalue(graph)
    torch.manual_seed(0)
    model = make().eval()
    for average, normalize in ((False, True), (True, True), (True, False)):
        results = []
        for function in (peer, total_influence):
            torch.manual_seed(7)
            results.append(function(model, data, hops, num_samples=6, average=average, normalize=normalize))
        (theirs, their_radius), (ours, radius) = results
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))
        assert math.isclose(radius, their_radius, rel_tol=1e-5)
    nodes = torch.arange(20, 50, 7)  # the whole of PyG's function takes float32 alone
    data = Data(x=data.x.double(), edge_index=data.edge_index)
    theirs = [jacobian_l1_agg_per_hop(model.double(), data, hops, v, torch.device("cpu")) for v in nodes.tolist()]
    ours = influence(model, data, hops, nodes, halo=0, direction="in").per_node
    torch.testing.assert_close(ours, torch.stack(theirs), rtol=1e-10, atol=1e-15)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_all_nodes_are_asked_by_default():
    data = data_of(nx.path_graph(7), features=2)
    per_node, _ = total_influence(pyg.SAGEConv(2, 2), data, 1, average=False)
    assert per_node.shape == (7, 2)


# ---------------------------------------------------------------- probes


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_second_moments_over_all_signs_are_the_frobenius_norm(channels):
    torch.manual_seed(0)
    x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    out = (torch.randn(2, 7, dtype=torch.float64) @ x.tanh() @ torch.randn(3, channels, dtype=torch.float64))[:1]
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=channels)), dtype=torch.float64)[:, None]
    exact = jacobian_norms(out, x, "squared", keep=True)
    torch.testing.assert_close(probed_norms(out, x, signs, "squared"), exact, rtol=1e-12, atol=0)


def test_probes_come_close(street):
    torch.manual_seed(0)
    model = pyg.GCN(5, 16, 4, 6)
    nodes = torch.arange(60, 100)
    exact = influence(model, street, 4, nodes, norm="fro", **DOUBLE)
    errors = {}
    for probes in (1, 4, 64):
        found = influence(model, street, 4, nodes, "probe", probes=probes, **DOUBLE)
        assert found.norm == "fro" and found.method == "probe"
        errors[probes] = float((found.radius_per_node - exact.radius_per_node).abs().mean())
        assert abs(found.radius - exact.radius) < (0.02 if probes == 64 else 0.1)
    assert errors[64] < errors[4] < errors[1] and errors[64] < errors[1] / 4
    again = influence(model, street, 4, nodes, "probe", probes=4, seed=0, block_nodes=60, **DOUBLE)
    (
        torch.testing.assert_close(
            again.per_node,
            influence(model, street, 4, nodes, "probe", probes=4, **DOUBLE).per_node,
            rtol=1e-9,
            atol=1e-14,
        ),
        "signs do not depend on blocks",
    )
    squared = influence(model, street, 4, nodes, "probe", norm="squared", probes=64, **DOUBLE)
    assert squared.radius < 0.8 * exact.radius, "squares are far nearer"


# ---------------------------------------------------------------- invariances, states, results


def test_invariances(street):
    torch.manual_seed(0)
    model, nodes = pyg.GCN(5, 8, 3, 4), torch.arange(0, 196, 9)
    plain = influence(model, street, 5, nodes, **DOUBLE)
    scaled = influence(model, street, 5, nodes, output=lambda out: 3 * out.flip(1), **DOUBLE)
    assert abs(scaled.radius - plain.radius) < 1e-12
    torch.testing.assert_close(scaled.per_hop, 3 * plain.per_hop)
    assert abs(influence(model, street, 5, nodes, output="prob", **DOUBLE).radius - plain.radius) > 1e-4
    order = torch.randperm(196)
    there = torch.empty_like(order)
    there[order] = torch.arange(196)
    moved = Data(x=street.x[order], edge_index=there[street.edge_index])
    relabelled = influence(model, moved, 5, there[nodes], **DOUBLE)
    torch.testing.assert_close(relabelled.per_node, plain.per_node, rtol=1e-9, atol=1e-14)
    for block_nodes in (1, 100, 10**6):
        torch.testing.assert_close(
            influence(model, street, 5, nodes, block_nodes=block_nodes, **DOUBLE).per_node,
            plain.per_node,
            rtol=1e-10,
            atol=1e-15,
        )


def test_what_lies_beyond_is_counted(street):
    torch.manual_seed(0)
    model = pyg.GCN(5, 8, 4, 4)
    near, far = (influence(model, street, hops, [80, 90], **DOUBLE) for hops in (2, 4))
    torch.testing.assert_close(near.per_node, far.per_node[:, :3], rtol=1e-12, atol=0)
    torch.testing.assert_close(near.truncated, far.per_node[:, 3:].sum(1), rtol=1e-10, atol=0)
    assert 0 < near.truncated_share < 1 and far.truncated_share == 0
    total = by_definition(lambda x: model.double().eval()(x, street.edge_index), street, 80).sum()
    torch.testing.assert_close(near.per_node[0].sum() + near.truncated[0], total, rtol=1e-10, atol=0)


def test_lonely_nodes():
    data = Data(x=torch.randn(5, 2), edge_index=torch.tensor([[0, 1], [1, 0]]))
    report = influence(pyg.GCN(2, 4, 2, 3), data, 3, [4, 0])
    assert report.per_node[0, 1:].tolist() == [0, 0, 0] and report.radius_per_node[0] == 0
    with pytest.warns(DataWarning, match="1 of 2 nodes have no influence at any hop.*the first one is node 4"):
        undefined = influence(pyg.SimpleConv(), data, 3, [4, 0], receptive_hops=1)
    assert undefined.undefined.tolist() == [4] and undefined.radius == 1.0 and math.isnan(undefined.radius_per_node[0])
    with pytest.warns(DataWarning):
        nothing = influence(pyg.SimpleConv(), data, 3, [4])
    assert math.isnan(nothing.radius)


def test_the_model_stays_as_it_was(street):
    model = pyg.GCN(5, 8, 2, 4, dropout=0.5).train()
    model.convs[0].eval()
    model.convs[1].lin.weight.grad = torch.ones_like(model.convs[1].lin.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    keys = [sorted(layer.__dict__) for layer in model.modules()]
    with torch.no_grad():
        pass
    influence(model, street, 3, 5, **DOUBLE)
    influence(model, street, 3, 5)
    assert model.training and not model.convs[0].training and model.convs[1].training
    assert bool((model.convs[1].lin.weight.grad == 1).all()) and model.convs[0].lin.weight.grad is None
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert [sorted(layer.__dict__) for layer in model.modules()] == keys
    assert not street.x.requires_grad and street.x.dtype == torch.float32
    with torch.no_grad():
        assert influence(model, street, 3, 5).per_hop[1] > 0, "also where gradients are off"


def test_threads_change_nothing(street):
    torch.manual_seed(0)
    model, results, before = pyg.GraphSAGE(5, 8, 2, 4), [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(influence(model, street, 3, 20).per_node)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(*results, rtol=1e-6, atol=0)


def test_report(street):
    torch.manual_seed(0)
    calls = []
    report = influence(pyg.GCN(5, 8, 2, 4), street, 3, 40, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (40, 40) and report.nodes.unique().numel() == 40
    torch.testing.assert_close(report.per_hop, report.per_node.mean(0))
    torch.testing.assert_close(report.normalized, report.per_hop / report.per_hop[0])
    torch.testing.assert_close(report.mean_of_ratios, (report.per_node / report.per_node[:, :1]).mean(0))
    torch.testing.assert_close(report.per_hop_error, report.per_node.std(0) / 40**0.5)
    assert math.isclose(report.radius_error, float(report.radius_per_node.std()) / 40**0.5)
    assert math.isclose(float(report.shares.sum()) + report.truncated_share, 1)
    text = str(report)
    assert "40 nodes up to 3 hops: R = " in text and "looks 2 hops at most" in text and "hop 3" not in text
    assert influence(pyg.GCN(5, 8, 2, 4), street, 3).nodes.numel() == 196, "all nodes of a small graph"


def test_drawn_nodes_in_proportion(street):
    data = street.clone()
    data.y = (torch.arange(196) < 20).long()
    model = pyg.SAGEConv(5, 2)
    drawn = influence(model, data, 1, 49, stratify="class").nodes
    assert int(data.y[drawn].sum()) == 5 and drawn.unique().numel() == 49
    assert not torch.equal(drawn, influence(model, data, 1, 49, stratify="class", seed=1).nodes)
    degree = torch.bincount(data.edge_index[1], minlength=196)
    by_degree = influence(model, data, 1, 49, stratify="degree").nodes
    share = lambda ids: float((degree[ids] >= 3).float().mean())  # noqa: E731
    assert abs(share(by_degree) - share(torch.arange(196))) < 0.03
    mask = data.y.bool()
    assert influence(model, data, 1, mask).nodes.tolist() == list(range(20))


def test_a_task_is_a_graph(street):
    from graphkit.data import NodeTask

    data = street.clone()
    data.y = torch.arange(196) % 3
    task = NodeTask("street", data, train=torch.arange(100), valid=torch.arange(100, 150), test=torch.arange(150, 196))
    model = registry()["GCN"].for_task(task, hidden_channels=8)
    assert influence(model, task, 2, task.nodes_of("test")).per_node.shape == (46, 3)


def test_blocks_hold_whole_balls(street):
    graph = HopGraph(street.edge_index, num_nodes=196)
    seeds = torch.arange(196).flip(0)
    blocks = list(ball_blocks(graph, seeds, radius=3, budget=100))
    assert torch.cat([block.seeds for block in blocks]).tolist() == seeds.tolist()
    for block in blocks:
        assert torch.equal(block.nodes[: len(block.seeds)], block.seeds) and bool((block.hop.diff() >= 0).all())
        assert bool((block.edge_index[1].diff() >= 0).all())
        assert torch.equal(street.edge_index[:, block.edge], block.nodes[block.edge_index])
        assert torch.equal(*block.owner[block.edge_index]), "no edge leads from ball to ball"
        assert len(block.nodes) <= 100 or len(block.seeds) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_hops": -1}, "max_hops is -1, expected a whole number from 0 upwards"),
        ({"max_hops": 2.0}, "max_hops is 2.0, expected a whole number"),
        ({"method": "exacto"}, "unknown method 'exacto'; did you mean 'exact'?"),
        ({"norm": "l3"}, "unknown norm 'l3'"),
        ({"method": "probe", "norm": "l1"}, "probes of random signs estimate the Frobenius norm, not l1"),
        ({"method": "probe", "probes": 0}, "probes is 0, expected a whole number from 1"),
        ({"nodes": 0}, "nodes is 0, expected a number from 1 to 196"),
        ({"nodes": 197}, "nodes is 197, expected a number from 1 to 196"),
        ({"nodes": torch.tensor([196])}, r"nodes hold id 196, expected ids in \[0, 196\)"),
        ({"nodes": torch.tensor([])}, r"nodes are torch.float32 \[0\], expected ids"),
        ({"nodes": 5, "stratify": "klass"}, "unknown stratify 'klass'; did you mean 'class'?"),
        ({"nodes": 5, "stratify": "class"}, "data has no y with a class for each node"),
        ({"nodes": 5, "stratify": torch.zeros(3)}, r"stratify is \[3\], expected a stratum for each node, \[196\]"),
        ({"output": "probs"}, "unknown output 'probs'; did you mean 'prob'.*or a function"),
        ({"receptive_hops": -2}, "receptive_hops is -2, expected a whole number"),
        ({"halo": 0, "method": "full"}, "halo is 0, but method='full' cuts no balls"),
        ({"direction": "up"}, "unknown direction 'up'"),
        ({"block_nodes": 0}, "block_nodes is 0"),
    ],
)
def test_mistakes_are_named(options, words, street):
    with pytest.raises(UserError, match=words):
        influence(pyg.GCN(5, 8, 2, 4), street, **{"max_hops": 3, **options})


def test_data_that_do_not_fit_are_named(street):
    model = pyg.GCN(5, 8, 2, 4)
    for data, words in (
        (Data(edge_index=street.edge_index), "data has no x"),
        (Data(x=street.x), "data has no edge_index"),
        (Data(x=torch.ones(3, 5, dtype=torch.int64), edge_index=street.edge_index), "x is torch.int64"),
    ):
        with pytest.raises(UserError, match=words):
            influence(model, data, 3)

    class Two(nn.Module):
        def forward(self, x, edge_index):
            return x, edge_index

    with pytest.raises(UserError, match="Two returns 2 results; wrap it in a module that returns one tensor"):
        influence(Two(), street, 3, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        constant = type("Constant", (nn.Module,), {"forward": lambda self, x, edge_index: torch.ones(len(x), 2)})()
        assert math.isnan(influence(constant, street, 3, 2).radius)


# ---------------------------------------------------------------- features through one linear layer


def test_the_first_linear_layer_is_recognised():
    from graphkit.analysis.first_linear import first_linear

    torch.manual_seed(0)
    edges = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    x = torch.randn(4, 9, requires_grad=True)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(9, 3), nn.Linear(9, 3)

        def forward(self, x, edge_index):
            return self.one(x) + self.two(x)

    for model, expected in (
        (pyg.GCN(9, 4, 2, 3), lambda model: model.convs[0].lin), (pyg.GAT(9, 4, 2, 3), lambda model: model.convs[0].lin),
        (pyg.GraphSAGE(9, 4, 2, 3), lambda model: None),  # features are averaged first
        (pyg.GCN(9, 16, 2, 3), lambda model: None),  # no smaller behind it
        (Twice(), lambda model: None),
    ):  # fmt: skip
        call = lambda model=model: model(x, edges)  # noqa: E731
        out, layer, inner = first_linear(model, x, call)
        assert layer is expected(model) and (inner is x) == (layer is None)
        assert torch.equal(out, model(x, edges))


@pytest.mark.parametrize("norm", ["l1", "fro", "squared"])
@pytest.mark.parametrize("name", ["GCN", "GAT", "GraphSAGE"])
def test_many_features(name, norm, monkeypatch):
    """More features than channels, and blocks of more rows than are multiplied at a time."""
    data = data_of(nx.random_regular_graph(4, 300, seed=0), features=40)
    torch.manual_seed(0)
    model = getattr(pyg, name)(40, 8, 2, 3)
    made = []
    influence_module = importlib.import_module("graphkit.analysis.influence")  # not the function of that name
    monkeypatch.setattr(influence_module, "SourceGradients", lambda sums: made.append(SourceGradients(sums)) or made[-1])
    balls = influence(model, data, 3, 60, norm=norm, block_nodes=1600, **DOUBLE)
    assert bool(made) == (name == "GCN") and all(len(found) < 0.7 * len(found.place) for found in made)
    full = influence(model, data, 3, balls.nodes, "full", norm=norm, **DOUBLE)
    torch.testing.assert_close(balls.per_node, full.per_node, rtol=1e-9, atol=1e-14)
    if norm != "l1":
        probe = influence(model, data, 3, balls.nodes, "probe", norm=norm, probes=400, **DOUBLE)
        torch.testing.assert_close(probe.per_hop, full.per_hop, rtol=0.1, atol=0)


def test_gradients_of_sources_by_loops():
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randint(30, (60,), generator=generator), torch.randint(20, (60,), generator=generator)
    edges = torch.stack([source, target])[:, target.argsort(stable=True)]
    weight = torch.randn(60, generator=generator, dtype=torch.float64)
    sources = SourceGradients(MessageSums(edges, weight, rows=20, columns=30))
    grad = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    expected = torch.zeros(30, 3, dtype=torch.float64)
    for (u, v), w in zip(edges.t().tolist(), weight, strict=True):
        expected[u] += w * grad[v]
    assert len(sources) <= 30
    for power, norm in ((1, lambda rows: rows.abs().sum(1)), (2, lambda rows: rows.square().sum(1))):
        torch.testing.assert_close(sources.norms(norm(sources(grad)), power), norm(expected), rtol=1e-13, atol=0)


def test_a_model_without_scores_of_nodes_is_told(street):
    from graphkit.models import GMoPE

    with pytest.raises(UserError, match=r"GMoPE returns .* expected a row of scores"):
        influence(GMoPE(5, 8, num_experts=2, prompt_channels=2, num_layers=2), street, 2, 3)
