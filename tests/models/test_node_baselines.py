"""Node baselines by their formulas on dense matrices, their symmetries, and what they refuse."""

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import NodeTask
from graphkit.errors import UserError
from graphkit.models import APPNP, GAT, GCN, GPRGNN, LINKX, MLP, SGC, DirGNN, GraphSAGE, label_loss

N, F, C = 9, 5, 3


@pytest.fixture
def graph():
    draw = torch.Generator().manual_seed(0)
    a = (torch.rand(N, N, generator=draw) < 0.3).float().fill_diagonal_(0)
    a[:, 0] = 0  # nobody points to node 0
    a[0, 3] = 1
    return a, a.nonzero().t().contiguous(), torch.randn(N, F, generator=draw)


def made(model, *arguments, **options):
    torch.manual_seed(1)
    return model(*arguments, **options).eval()


MODELS = {
    "MLP": lambda: made(MLP, F, 8, C),
    "GCN": lambda: made(GCN, F, 8, C, jumping_knowledge="cat", norm="layer"),
    "GraphSAGE": lambda: made(GraphSAGE, F, 8, C),
    "GAT": lambda: made(GAT, F, 8, C, heads=2),
    "SGC": lambda: made(SGC, F, C),
    "APPNP": lambda: made(APPNP, F, 8, C),
    "GPRGNN": lambda: made(GPRGNN, F, 8, C, hops=3),
    "DirGNN": lambda: made(DirGNN, F, 8, C, conv="gcn"),
    "DirGNN-sage": lambda: made(DirGNN, F, 8, C, conv="sage", jumping_knowledge="max"),
    "DirGNN-gat": lambda: made(DirGNN, F, 8, C, conv="gat", jumping_knowledge=None, normalize=True),
}


@pytest.mark.parametrize("name", MODELS)
def test_names_of_nodes_do_not_matter(graph, name):
    _, edge_index, x = graph
    model, order = MODELS[name](), torch.randperm(N)
    moved = torch.empty_like(x)
    moved[order] = x
    assert torch.allclose(model(moved, order[edge_index])[order], model(x, edge_index), atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_node_hears_along_edges_only(graph, name):
    """Node 0 has no in-edge: without out-neighbours' influence its scores depend on its own features alone."""
    _, edge_index, x = graph
    model = MODELS[name]()
    changed = x.clone()
    changed[3] += 1  # node 0 points to node 3
    moves = not torch.equal(model(x, edge_index)[0], model(changed, edge_index)[0])
    assert moves == name.startswith("DirGNN")


def hat(a):
    """PyG's normalisation with self-loops, row = target."""
    a = a.t() + torch.eye(N)
    d = a.sum(1).rsqrt()
    return d[:, None] * a * d


def test_propagation_is_that_of_dense_matrices(graph):
    a, edge_index, x = graph
    model = MODELS["GPRGNN"]()
    with torch.no_grad():
        model.gamma.copy_(torch.tensor([0.5, -1.0, 0.25, 2.0]))
        h = model.encoder(x)
        wanted = 0.5 * h - hat(a) @ h + 0.25 * hat(a) @ hat(a) @ h + 2 * hat(a) @ hat(a) @ hat(a) @ h
        assert torch.allclose(model(x, edge_index), wanted, atol=1e-5)
        model = MODELS["SGC"]()
        assert torch.allclose(model(x, edge_index), model.lin(hat(a) @ hat(a) @ x) + model.bias, atol=1e-5)
        model = MODELS["APPNP"]()
        h = z = model.encoder(x)
        for _ in range(10):
            z = 0.9 * hat(a) @ z + 0.1 * h
        assert torch.allclose(model(x, edge_index), z, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_dir_gnn_is_its_equation(graph, alpha):
    a, edge_index, x = graph
    model = made(DirGNN, F, 8, C, num_layers=1, alpha=alpha, jumping_knowledge=None)
    leaving, reaching = a.sum(1), a.sum(0)
    weights = torch.where(a > 0, (leaving[:, None] * reaching).clamp(min=1).rsqrt(), 0.0)
    layer = model.convs[0]
    into, out = layer.conv_in, layer.conv_out
    with torch.no_grad():
        heard = weights.t() @ into.lin(x) + into.bias
        said = weights @ out.lin(x) + out.bias
        wanted = alpha * said + (1 - alpha) * heard + layer.lin(x)
        assert torch.allclose(model(x, edge_index), wanted, atol=1e-5)


def test_a_node_that_nobody_points_to_is_heard(graph):
    """With in-degrees on both ends, as in PyG's GCNConv, node 0 would send nothing."""
    _, edge_index, x = graph
    model = made(DirGNN, F, 8, C, num_layers=1, alpha=0.0, jumping_knowledge=None)
    changed = x.clone()
    changed[0] += 1
    assert not torch.equal(model(x, edge_index)[3], model(changed, edge_index)[3])


def test_linkx_belongs_to_its_graph(graph):
    _, edge_index, x = graph
    task = NodeTask("toy", Data(x=x, edge_index=edge_index, y=torch.arange(N) % C), train=torch.arange(3), valid=torch.tensor([4]),
                    test=torch.tensor([5]))  # fmt: skip
    model = LINKX.for_task(task, hidden_channels=8)
    assert model.config["num_nodes"] == N and "num_nodes" in LINKX.sizes
    with pytest.raises(UserError, match="LINKX was made for 9 nodes and got 8"):
        model(x[:8], edge_index)


def test_losses_are_their_definitions():
    scores = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    assert torch.isclose(label_loss(scores, y), -torch.log_softmax(scores, 1)[torch.arange(6), y].mean())
    several = torch.tensor([[1.0, 0.0, torch.nan, 1.0]] * 6)
    signs = torch.where(several == 1, 1.0, -1.0)
    terms = torch.log1p(torch.exp(-signs * scores))
    assert torch.isclose(label_loss(scores, several), terms[:, [0, 1, 3]].mean())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GCN(F, 8, C, num_layers=0), "num_layers is 0, expected a whole number from 1 upwards"),
        (lambda: MLP(F, 8, C, dropout=1.0), "dropout is 1.0, expected a number from 0 to below 1"),
        (lambda: GAT(F, 9, C, heads=2), "hidden_channels is 9, expected a multiple of heads, 2"),
        (lambda: APPNP(F, 8, C, alpha=0.0), "alpha is 0.0"),
        (lambda: GPRGNN(F, 8, C, alpha=1.5), "alpha is 1.5"),
        (lambda: SGC(F, C, hops=0), "hops is 0"),
        (lambda: DirGNN(F, 8, C, conv="gcm"), "unknown convolution 'gcm'; did you mean 'gcn'"),
        (lambda: DirGNN(F, 8, C, jumping_knowledge="cta"), "unknown jumping_knowledge 'cta'; did you mean 'cat'"),
        (lambda: DirGNN(F, 8, C, alpha=-0.1), "alpha is -0.1"),
        (lambda: LINKX(F, 8, C, 5, num_edge_layers=0), "num_edge_layers is 0"),
    ],
)
def test_numbers_out_of_range_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_features_are_asked_for():
    data = Data(edge_index=torch.tensor([[0], [1]]), y=torch.tensor([0, 1]))
    task = NodeTask("bare", data, train=torch.tensor([0, 1]), valid=torch.tensor([]), test=torch.tensor([]))
    with pytest.raises(UserError, match="bare has no features; load it with features='degrees' or 'ids'"):
        GCN.for_task(task, hidden_channels=4)
