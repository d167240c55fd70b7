"""Convolutions as sparse products against PyG's own code on the same weights."""

import pytest
import torch
import torch_geometric.nn as pyg

from graphkit import ops
from graphkit.models import GCN, GraphSAGE
from graphkit.nn.sparse_convolutions import DirectedGCNConv, DirGNNConv, GCNConv, GCNPropagation, SAGEConv


class OneWeightConv(pyg.GCNConv):
    """PyG's convolution with the weights of Dir-GNN, from degrees that are counted edge by edge."""

    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels, normalize=False, add_self_loops=False)

    def forward(self, x, edge_index):
        pairs = edge_index.t().tolist()
        leaving, reaching = ([sum(pair[end] == v for pair in pairs) for v in range(len(x))] for end in (0, 1))
        weight = torch.tensor([(leaving[a] * reaching[b]) ** -0.5 for a, b in pairs], dtype=torch.float64)
        # propagate_type: (x: Tensor, edge_weight: OptTensor)
        return super().forward(x, edge_index, weight.to(x.dtype))


PAIRS = [
    (GCNConv, pyg.GCNConv),
    (SAGEConv, pyg.SAGEConv),
    (DirectedGCNConv, OneWeightConv),
    (lambda a, b: SAGEConv(a, b, root_weight=False), lambda a, b: pyg.SAGEConv(a, b, root_weight=False)),
    (
        lambda a, b: DirGNNConv(SAGEConv(a, b, root_weight=False)),
        lambda a, b: pyg.DirGNNConv(pyg.SAGEConv(a, b, root_weight=False)),
    ),
    (lambda a, b: DirGNNConv(DirectedGCNConv(a, b), 0.3), lambda a, b: pyg.DirGNNConv(OneWeightConv(a, b), 0.3)),
]


def graph(seed=0):
    """20 nodes with an edge twice and a loop, and 5 without edges."""
    torch.manual_seed(seed)
    edges = torch.randint(20, (2, 100))
    edges[:, 3], edges[0, 7] = edges[:, 4], edges[1, 7]
    return edges


def twins(ours, theirs, dtype=torch.float64):
    torch.manual_seed(0)
    a, b = ours(5, 7).to(dtype), theirs(5, 7).to(dtype)
    b.load_state_dict(a.state_dict())
    return a, b


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_values_and_gradients_are_those_of_pyg(ours, theirs, dtype, tolerance):
    layers, edges = twins(ours, theirs, dtype), graph()
    x, weight = torch.randn(25, 5, dtype=dtype), torch.randn(25, 7, dtype=dtype)
    found = []
    for layer in layers:
        leaf = x.clone().requires_grad_()
        out = layer(leaf, edges)
        found.append([out, *torch.autograd.grad(out, [leaf, *layer.parameters()], weight)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_no_message_is_written(ours, theirs, monkeypatch):
    layer, _ = twins(ours, theirs)
    for part in layer.modules():
        if isinstance(part, pyg.MessagePassing):
            monkeypatch.setattr(part, "message", None)  # PyG would call it
    layer(torch.randn(25, 5, dtype=torch.float64), graph())


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_edges_changed_in_place_are_another_graph(ours, theirs):
    (one, other), edges, x = twins(ours, theirs), graph(), torch.randn(25, 5, dtype=torch.float64)
    before = one(x, edges)
    edges[1] = edges[1].flip(0)
    assert not torch.allclose(one(x, edges), before)
    torch.testing.assert_close(one(x, edges), other(x, edges))
    torch.testing.assert_close(one(x[:22], edges), other(x[:22], edges))


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_what_inference_mode_saw_first_can_be_trained_on(ours, theirs):
    (layer, _), edges, x = twins(ours, theirs), graph(), torch.randn(25, 5, dtype=torch.float64)
    with torch.inference_mode():
        seen = layer(x, edges)
        layer(x, graph())  # edges made in here
    out = layer(x, edges)
    out.sum().backward()
    assert torch.equal(out, seen) and all(p.grad is not None for p in layer.parameters())


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_second_derivatives(ours, theirs):
    (layer, _), edges = twins(ours, theirs), graph()
    x = torch.randn(25, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x, edges).sin(), x)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_what_the_kernel_does_not_do_is_left_to_pyg(ours, theirs):
    (one, other), edges = twins(ours, theirs, torch.float32), graph()
    x = torch.randn(25, 5)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(one(x, edges), other(x, edges), rtol=2e-2, atol=2e-2)
    with ops.force_backend("python"):
        torch.testing.assert_close(one(x, edges), other(x, edges))
    if ours is GCNConv:
        weight = torch.rand(edges.shape[1])
        assert torch.equal(one(x, edges, weight), other(x, edges, weight))


def test_a_step_of_propagation_is_a_convolution_without_weights(monkeypatch):
    layer = pyg.GCNConv(5, 5, bias=False).double()
    torch.nn.init.eye_(layer.lin.weight)
    edges, x, step = graph(), torch.randn(25, 5, dtype=torch.float64, requires_grad=True), GCNPropagation()
    with monkeypatch.context() as patched, torch.no_grad():
        patched.setattr(step, "message", None)  # no message is written
        torch.testing.assert_close(step(x, edges), layer(x, edges))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(step(x, edges), layer(x, edges), rtol=2e-2, atol=2e-2)
    assert torch.autograd.gradcheck(lambda x: step(x, edges), x)


@pytest.mark.parametrize(("model", "stack"), [(GCN, pyg.GCN), (GraphSAGE, pyg.GraphSAGE)])
def test_plain_models_keep_the_names_of_their_weights(model, stack):
    ours = model(5, 8, 3, 2).eval()
    theirs = stack(5, 8, 2, 3).eval()
    theirs.load_state_dict({name.removeprefix("stack."): value for name, value in ours.state_dict().items()})
    x, edges = torch.randn(25, 5), graph()
    torch.testing.assert_close(ours(x, edges), theirs(x, edges), rtol=1e-5, atol=1e-5)
