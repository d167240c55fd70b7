"""The gated graph convolution, edge states, readouts and residual layers by their formulas."""

import pytest
import torch
from torch_geometric.nn import SAGEConv

from graphkit.errors import UserError
from graphkit.nn import EdgeStates, GatedGCNConv, GraphReadout, ResidualLayers, pool_nodes

N, H = 6, 4
EDGES = torch.tensor([[0, 1, 2, 2, 4, 0], [1, 2, 1, 2, 1, 1]])  # a loop, a repeated edge, a node that nothing reaches


@pytest.fixture
def states():
    draw = torch.Generator().manual_seed(0)
    return torch.randn(N, H, generator=draw).double(), torch.randn(EDGES.size(1), H, generator=draw).double()


def made(**options):
    torch.manual_seed(1)
    return GatedGCNConv(H, **options).double()


def by_loops(conv, x, e, norm):
    a, b, d, c_source = conv.nodes(x).split(H, 1)  # A, B, D (at the target), E (at the source)
    hat = torch.stack([d[t] + c_source[s] + conv.edges(e[k]) for k, (s, t) in enumerate(EDGES.t().tolist())])
    added = a.clone()
    for i in range(N):
        above, below = torch.zeros(H).double(), torch.zeros(H).double()
        for k, (s, t) in enumerate(EDGES.t().tolist()):
            if t == i:
                above, below = above + hat[k].sigmoid() * b[s], below + hat[k].sigmoid()
        added[i] = a[i] + above / (below + 1e-6)
    return norm(added).relu(), norm(hat).relu()


@pytest.mark.parametrize("kind", [None, "layer", "batch"])
def test_it_is_its_equations(states, kind):
    x, e = states
    conv = made(norm=kind)

    def norm(values):
        if kind is None:
            return values
        axis = 1 if kind == "layer" else 0
        middle, spread = values.mean(axis, keepdim=True), values.var(axis, correction=0, keepdim=True)
        return (values - middle) / (spread + 1e-5).sqrt()

    nodes, edges = by_loops(conv, x, e, norm)
    found = conv(x, EDGES, e)
    assert torch.allclose(found[0], x + nodes, atol=1e-12) and torch.allclose(found[1], e + edges, atol=1e-12)
    plain = made(norm=kind, residual=False)
    found = plain(x, EDGES, e)
    assert torch.allclose(found[0], nodes, atol=1e-12) and torch.allclose(found[1], edges, atol=1e-12)
    last = made(norm=kind, update_edges=False)
    found = last(x, EDGES, e)
    assert torch.allclose(found[0], x + nodes, atol=1e-12) and found[1] is e
    assert kind is None or not any("edge_norm" in name for name, _ in last.named_parameters())


def test_gradients(states):
    x, e = states
    conv = made(norm="layer")
    assert torch.autograd.gradcheck(
        lambda *inputs: conv(inputs[0], EDGES, inputs[1]), (x.requires_grad_(), e.requires_grad_())
    )


def test_numbering_does_not_matter_and_dropout_drops(states):
    x, e = states
    conv, order, shuffled = made(norm="layer"), torch.randperm(N), torch.randperm(EDGES.size(1))
    moved = torch.empty_like(x)
    moved[order] = x
    nodes, edges = conv(moved, order[EDGES][:, shuffled], e[shuffled])
    wanted = conv(x, EDGES, e)
    assert torch.allclose(nodes[order], wanted[0]) and torch.allclose(edges, wanted[1][shuffled])
    dropped = made(norm=None, dropout=0.99)
    assert torch.equal(dropped(x, EDGES, e)[0], x) or (dropped(x, EDGES, e)[0] == x).double().mean() > 0.5
    with pytest.raises(UserError, match="norm is 'group', expected one of batch, layer, or None"):
        GatedGCNConv(4, norm="group")


@pytest.mark.parametrize("edges", [0, 1])
def test_a_batch_with_hardly_an_edge_can_be_trained_on(states, edges):
    x, e = states
    conv = made(norm="batch")
    nodes, state = conv(x, EDGES[:, :edges], e[:edges])
    assert bool(nodes.isfinite().all()) and torch.allclose(
        state, made(norm="batch").eval()(x, EDGES[:, :edges], e[:edges])[1]
    )
    lonely = conv(x[:1], EDGES[:, :0], e[:0])[0]
    assert bool(lonely.isfinite().all())


def test_edges_without_features_share_one_state():
    plain = EdgeStates(0, H)(None, EDGES)
    assert plain.shape == (6, H) and torch.equal(plain, plain[:1].expand(6, -1))
    states = EdgeStates(2, H)
    assert torch.allclose(states(torch.ones(6, 2, dtype=torch.int64), EDGES), states.map(torch.ones(6, 2)))
    with pytest.raises(UserError, match=r"edge_attr is None, expected \[6, 2\]"):
        states(None, EDGES)


def test_pooling_by_hand():
    x, batch = torch.tensor([[1.0, -2.0], [3.0, -4.0], [5.0, 0.0]]), torch.tensor([0, 0, 2])
    assert pool_nodes(x, batch, "mean", 3).tolist() == [[2, -3], [0, 0], [5, 0]]
    assert pool_nodes(x, batch, "sum").tolist() == [[4, -6], [0, 0], [5, 0]]
    assert pool_nodes(x, batch, "max", 3).tolist() == [[3, -2], [0, 0], [5, 0]]
    assert pool_nodes(x, None, "sum").tolist() == [[9, -6]]
    for make in (lambda: pool_nodes(x, batch, "min"), lambda: GraphReadout(2, 4, 3, pooling="min")):
        with pytest.raises(UserError, match="pooling is 'min', expected one of mean, sum, max"):
            make()
    readout = GraphReadout(2, 4, 3, pooling=None)
    assert torch.allclose(readout(x), readout.layers(x)) and len(GraphReadout(2, 4, 3, num_layers=1).layers) == 1
    with pytest.raises(UserError, match="num_layers is 0"):
        GraphReadout(2, 4, 3, num_layers=0)


@pytest.mark.parametrize("feed_forward", [False, True])
def test_residual_layers_are_their_equations(feed_forward):
    torch.manual_seed(0)
    x = torch.randn(N, 3)
    layers = ResidualLayers(3, H, 2, lambda: SAGEConv(H, H), out_channels=2, feed_forward=feed_forward)
    gelu, norm = torch.nn.functional.gelu, lambda values: torch.nn.functional.layer_norm(values, (H,))
    h = gelu(layers.enter[0](x))
    for k in range(2):
        h = h + gelu(layers.convs[k](norm(h), EDGES))
        if feed_forward:
            first, second = layers.feed_forward[k][1], layers.feed_forward[k][4]
            h = h + second(gelu(first(norm(h))))
    assert torch.allclose(layers(x, EDGES), layers.leave[1](norm(h)), atol=1e-6)
    assert len(layers.feed_forward) == 2 * feed_forward
    assert ResidualLayers(3, H, 1, lambda: SAGEConv(H, H), norm=None)(x, EDGES).shape == (N, H)
