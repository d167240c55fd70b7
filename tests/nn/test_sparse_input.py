"""First layers on features that are mostly zero, against the same layers on dense features."""

import pytest
import torch

from graphkit.models import APPNP, GCN, GPRGNN, MLP, DirGNN, GraphSAGE
from graphkit.nn import sparse_features
from graphkit.nn.sparse_convolutions import SAGEConv
from graphkit.nn.sparse_input import SparseInput, dropped_input

MODELS = [MLP, GCN, GraphSAGE, GPRGNN, APPNP, DirGNN]


def bags(nodes=30, words=60, share=0.05):
    torch.manual_seed(0)
    return torch.rand(nodes, words) * (torch.rand(nodes, words) < share)


def dense(monkeypatch):
    """From here on no features are sparse enough."""
    monkeypatch.setattr(sparse_features, "_DENSE", -1.0)
    monkeypatch.setattr(sparse_features, "_KNOWN", {})


@pytest.mark.parametrize("model", MODELS)
def test_scores_and_gradients_are_those_of_dense_features(model, monkeypatch):
    x, edges = bags(), torch.randint(30, (2, 80))
    assert isinstance(dropped_input(x, 0.0, True), SparseInput)
    net = model(60, 8, 3, dropout=0.0)
    found = []
    for _ in range(2):
        out = net(x, edges)
        found.append([out, *torch.autograd.grad(out.square().sum(), list(net.parameters()))])
        dense(monkeypatch)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_an_untrained_pass_reads_every_word(model, monkeypatch):
    x, edges = bags(), torch.randint(30, (2, 80))
    net = model(60, 8, 3, dropout=0.9).eval()
    whole = net(x, edges)
    dense(monkeypatch)
    torch.testing.assert_close(whole, net(x, edges), rtol=1e-4, atol=1e-5)


def test_words_are_dropped_as_often_as_asked_and_the_rest_scaled():
    x = (torch.rand(200, 400) < 0.05).float()
    layer = torch.nn.Linear(400, 400, bias=False)
    torch.nn.init.eye_(layer.weight)
    (kept,) = dropped_input(x, 0.3, True).times(layer)
    share = (kept[x > 0] == 0).float().mean().item()
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / int(x.sum())) ** 0.5
    torch.testing.assert_close(kept[kept > 0], torch.full((int((kept > 0).sum()),), 1 / 0.7))
    assert not kept[x == 0].any()


def test_a_node_and_its_neighbours_see_the_same_words_dropped():
    x, layer = bags(), SAGEConv(60, 8)
    layer.lin_r.weight.data = -layer.lin_l.weight.data
    itself = torch.arange(30).expand(2, -1)  # its mean over sources is the node
    out = layer(dropped_input(x, 0.5, True), itself)
    torch.testing.assert_close(out, layer.lin_l.bias.expand(30, -1))


def test_the_first_layer_can_be_drawn_anew():
    net = MLP(60, 8, 3)
    before = net.stack.lins[0].weight.clone()
    net.stack.reset_parameters()
    assert not torch.equal(net.stack.lins[0].weight, before)
    assert net.stack.lins[0].weight.abs().max() <= 60**-0.5 and net.stack.lins[0].bias.abs().max() <= 60**-0.5


def test_features_that_learn_and_dense_features_stay_tensors():
    x = bags()
    assert isinstance(dropped_input(x.clone().requires_grad_(), 0.5, True), torch.Tensor)
    assert isinstance(dropped_input(torch.rand(30, 60), 0.5, True), torch.Tensor)
    with torch.autocast("cpu", torch.bfloat16):
        assert isinstance(dropped_input(x, 0.5, True), torch.Tensor)


@pytest.mark.parametrize("model", [GCN, GraphSAGE])
def test_gradients_of_sparse_features_themselves(model):
    x, edges = bags().requires_grad_(), torch.randint(30, (2, 80))
    net = model(60, 8, 3).eval()
    (grad,) = torch.autograd.grad(net(x, edges).sum(), x)
    assert grad.abs().sum() > 0
