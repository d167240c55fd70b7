"""Message weights in an encoder: by dense algebra, with edges removed, on another graph; schedule and mistakes."""

import math

import pytest
import torch
from neighbor_graphs import N, random_edges

from graphkit.errors import UserError
from graphkit.nn import CommonNeighborHead, LinkEncoder, MessageReweighting
from graphkit.nn.link_encoder import CONVOLUTIONS
from graphkit.ops import SimpleGraph

CONVS = ("gcn", "puregcn", "sage", "puremean")


def graph_of(seed=0):
    return SimpleGraph(random_edges(seed), num_nodes=N)


def dense(graph, edge, loop):
    a = torch.zeros(N, N, dtype=torch.float64)
    a[graph.row(), graph.col.long()] = edge.double()
    return a if loop is None else a + torch.diag(loop.double())


def first_weights(conv, a):
    """A of the encoder's own layers from the adjacency."""
    hat = a + torch.eye(N, dtype=a.dtype) if CONVOLUTIONS[conv][1] else a
    degree = hat.sum(1).clamp(min=1)
    return hat / degree[:, None] if conv in ("sage", "puremean") else hat / (degree[:, None] * degree).sqrt()


def reweighted(graph, conv="gcn", gamma=2.0, seed=1, **options):
    weights = MessageReweighting(N, graph.num_edges, conv=conv, gamma=gamma, warm_up=0, interval=1, **options).double()
    h = torch.randn(N, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    weights.update(graph, h, logits)
    return weights, h


def logits(products):
    return (products * torch.tensor([3.0, -2.0, 1.0, 5.0], dtype=products.dtype)).sum(1)


def test_an_edge_by_hand():
    """Nodes 0 - 1 and their loops: A0 is 1/2 everywhere, so both surroundings are (H_0 + H_1) / 2 = 2."""
    graph = SimpleGraph(torch.tensor([[0], [1]]), num_nodes=2)
    weights = MessageReweighting(2, 1, conv="gcn", gamma=3.0)
    weights.update(graph, torch.tensor([[1.0], [3.0]]), lambda products: products.sum(1) - 2)
    z = [1 / (1 + math.exp(-logit)) for logit in (2 * 1 - 2, 2 * 3 - 2)]  # of messages from 0 and from 1, at both nodes
    p = [math.exp(one) / sum(map(math.exp, z)) for one in z]
    edge, loop = weights.of(graph)  # entries: 0 hears 1, 1 hears 0
    torch.testing.assert_close(edge, torch.tensor([0.5 + 3 * p[1], 0.5 + 3 * p[0]]))
    torch.testing.assert_close(loop, torch.tensor([0.5 + 3 * p[0], 0.5 + 3 * p[1]]))


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("aggregate", ["gcn", "sage"])
def test_weights_by_dense_algebra(conv, aggregate):
    graph = graph_of()
    weights, h = reweighted(graph, conv, aggregate=aggregate)
    a = dense(graph, torch.ones(len(graph.col)), None)
    own = first_weights(conv, a)
    loops = CONVOLUTIONS[conv][1]
    hat = a + torch.eye(N, dtype=a.dtype) if loops else a
    degree = hat.sum(1).clamp(min=1)
    around = hat / degree[:, None] if aggregate == "sage" else hat / (degree[:, None] * degree).sqrt()
    z = torch.stack([logits(row * h) for row in around @ h]).sigmoid()
    share = torch.where(hat > 0, z.exp(), 0.0)
    share = share / share.sum(1, keepdim=True).clamp(min=1e-300)
    expected = own + 2.0 * share * own.sum(1, keepdim=True)
    # the first weights are made in float32
    torch.testing.assert_close(dense(graph, *weights.of(graph)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("conv", CONVS)
@torch.no_grad()
def test_an_encoder_under_weights_is_the_product_with_them(conv):
    graph, x = graph_of(), torch.randn(N, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    encoder = LinkEncoder(5, 4, 1, conv=conv, layer_norm=False).double().eval()
    edge, loop = reweighted(graph, conv)[0].of(graph)
    gone = random_edges()[:, ::4]
    removed = graph.removed_by(gone)
    for flags in (None, removed):
        a = dense(graph, edge if flags is None else edge * (1 - flags[graph.edge.long()]), loop)
        h = encoder.input(x) if encoder.input is not None else x @ encoder.lins[0].weight.T
        expected = a @ h if encoder.input is not None else (a @ h + encoder.lins[0].bias).relu()
        found = encoder(x, graph, removed=flags, edge_weight=edge, loop_weight=loop)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("conv", CONVS)
def test_weights_of_the_beginning_change_nothing_gradients_included(conv):
    graph, x = graph_of(), torch.randn(N, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.manual_seed(0)
    encoder = LinkEncoder(5, 4, 2, conv=conv, jk=True).double()
    with torch.no_grad():
        a = first_weights(conv, dense(graph, torch.ones(len(graph.col)), None))
    edge = a[graph.row(), graph.col.long()].requires_grad_()
    loop = a.diagonal().clone().requires_grad_() if CONVOLUTIONS[conv][1] else None
    plain, found = encoder(x, graph), encoder(x, graph, edge_weight=edge, loop_weight=loop)
    torch.testing.assert_close(found, plain)
    parameters = tuple(encoder.parameters())
    for one, other in zip(
        torch.autograd.grad(plain.square().sum(), parameters),
        torch.autograd.grad(found.square().sum(), parameters, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    given = (edge,) if loop is None else (edge, loop)

    def states(*weights):
        return encoder(x, graph, edge_weight=weights[0], loop_weight=None if loop is None else weights[1])

    assert torch.autograd.gradcheck(states, given, fast_mode=True)


def test_edges_dropped_at_random_leave_the_expectation():
    graph, x = graph_of(), torch.ones(N, 5)
    weights = reweighted(graph, "puregcn")[0].float()
    edge, loop = weights.of(graph)
    torch.manual_seed(0)
    encoder = LinkEncoder(5, 4, 1, conv="puregcn", edge_dropout=0.3)
    with torch.no_grad():
        mean = sum(encoder(x, graph, edge_weight=edge, loop_weight=loop) for _ in range(3000)) / 3000
        expected = encoder.eval()(x, graph, edge_weight=edge, loop_weight=loop)
    torch.testing.assert_close(mean, expected, rtol=0.05, atol=0.02)


def test_before_the_first_update_and_on_another_graph():
    graph, other = graph_of(0), graph_of(5)
    weights = MessageReweighting(N, graph.num_edges, gamma=1.0)
    assert weights.of(graph) == weights.of(other) == (None, None)
    used, _ = reweighted(graph)
    same = SimpleGraph(random_edges(0).flip(0), num_nodes=N)
    assert used.of(same)[0] is used.edge, "the same edges in any order are the same graph"
    with pytest.raises(UserError, match=rf"on a graph of {graph.num_edges} edges; this is another graph"):
        used.of(other)
    used.begin(same)
    assert used.of(same)[0] is not None
    assert other.num_edges == graph.num_edges
    used.begin(other)
    assert used.of(other) == (None, None), "a training on another graph begins anew"


def test_updates_do_not_add_up_and_states_are_saved():
    graph = graph_of()
    weights, h = reweighted(graph)
    before = weights.edge.clone()
    weights.update(graph, h, logits)
    assert torch.equal(weights.edge, before)
    fresh = MessageReweighting(N, graph.num_edges)
    fresh.load_state_dict(weights.state_dict())
    assert torch.equal(fresh.of(graph)[0], before.float()) and torch.equal(fresh.of(graph)[1], weights.loop.float())
    assert not list(weights.parameters())


def test_schedule():
    weights = MessageReweighting(3, 2, gamma=1.0, warm_up=4, interval=3)
    assert [epochs for epochs in range(13) if weights.due(epochs)] == [6, 9, 12]
    assert not any(MessageReweighting(3, 2, gamma=0.0, warm_up=0, interval=1).due(epochs) for epochs in range(5))


@pytest.mark.parametrize("structure", ["none", "count", "concat_count", "pool", "second_order", "difference"])
@torch.no_grad()
def test_logits_of_products_are_those_of_pairs_without_common_neighbours(structure):
    """A ring of four pairs of far nodes: no two of the scored ones share anything."""
    edges = torch.stack([torch.arange(10), (torch.arange(10) + 1) % 10])
    torch.manual_seed(0)
    head = CommonNeighborHead(6, structure=structure).eval()
    x, pairs = torch.randn(10, 6), torch.tensor([[0, 1, 2], [5, 6, 7]])
    if structure == "difference":  # its other sets are not empty
        found, expected = (
            head.of_products(x[:3] * x[3:6]),
            head.combined(x, torch.tensor([[0, 1, 2], [3, 4, 5]]), torch.zeros(3, 6), torch.zeros(3, 6)),
        )
    else:
        found, expected = head.of_products(x[pairs[0]] * x[pairs[1]]), head(x, edges, pairs)
    torch.testing.assert_close(found, expected)


def test_mistakes():
    with pytest.raises(UserError, match="encoder 'gin' have no weights to renew; take 'gcn', 'puregcn', 'sage'"):
        MessageReweighting(3, 2, conv="gin")
    with pytest.raises(UserError, match="pass num_nodes and num_edges"):
        MessageReweighting(3, None)
    with pytest.raises(UserError, match="unknown propagation 'gnc'; did you mean 'gcn'"):
        MessageReweighting(3, 2, aggregate="gnc")
    with pytest.raises(UserError, match="interval is 0, expected a whole number from 1 upwards"):
        MessageReweighting(3, 2, interval=0)
    with pytest.raises(UserError, match="gamma is nan, expected a number"):
        MessageReweighting(3, 2, gamma=math.nan)
    with pytest.raises(UserError, match="weights of 3 nodes and 2 edges, but the train graph has"):
        MessageReweighting(3, 2).begin(graph_of())
    encoder, graph = LinkEncoder(5, 4, 1), graph_of()
    with pytest.raises(UserError, match="loop_weight goes with edge_weight"):
        encoder(torch.ones(N, 5), graph, loop_weight=torch.ones(N))
    with pytest.raises(UserError, match="edge_weight is"):
        encoder(torch.ones(N, 5), graph, edge_weight=torch.ones(3))
    with pytest.raises(UserError, match="takes no edge_weight"):
        LinkEncoder(5, 4, 1, conv="max")(torch.ones(N, 5), graph, edge_weight=torch.ones(len(graph.col)))
