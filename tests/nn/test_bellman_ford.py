"""The layer against the equations of the paper written out densely, with PNA's 12 d features formed."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from graphkit.errors import UserError
from graphkit.nn import BellmanFordConv
from graphkit.ops import CSRGraph, degree_classes, force_backend

# node 3 has no edges; parallel edges, a self-loop
EDGES = torch.tensor([[0, 0, 1, 2, 2, 4, 4, 1, 4], [1, 1, 2, 0, 1, 4, 2, 4, 0]])
KIND = torch.tensor([0, 1, 2, 3, 0, 1, 1, 3, 2])
NODES, QUERIES, WIDTH, QUERY_WIDTH, RELATIONS = 5, 3, 4, 6, 4


def message(name, x, relation):
    if name == "transe":
        return x + relation
    if name == "distmult":
        return x * relation
    x, relation = torch.complex(*x.chunk(2)), torch.complex(*relation.chunk(2))
    return torch.cat([(x * relation).real, (x * relation).imag])


def dense_layer(conv, x, query, source, boundary, *, weight=None, mask=None):
    """One layer by loops over queries and nodes; returns the output before and after the short cut."""
    keep = torch.ones(EDGES.shape[1], dtype=torch.bool) if mask is None else mask
    weight = torch.ones(EDGES.shape[1], dtype=torch.float64) if weight is None else weight
    degree = torch.tensor([1.0 + int((keep & (EDGES[1] == v)).sum()) for v in range(NODES)], dtype=torch.float64)
    mean_log = degree.log().mean()
    rows = []
    for b, v in itertools.product(range(len(x)), range(NODES)):
        if conv.relation is None:
            table = (conv.relation_linear.weight @ query[b] + conv.relation_linear.bias).reshape(RELATIONS, -1)
        else:
            table = conv.relation.weight
        messages = [boundary[b] if source[b] == v else torch.zeros_like(boundary[b])]
        for e, (u, target) in enumerate(EDGES.t().tolist()):
            if target == v and keep[e]:
                messages.append(weight[e] * message(conv.message, x[b, u], table[KIND[e]]))
        m = torch.stack(messages)
        if conv.aggregate == "pna":
            deviation = (m.square().mean(0) - m.mean(0).square()).clamp(min=1e-6).sqrt()
            aggregates = torch.stack([m.mean(0), m.amax(0), m.amin(0), deviation], -1)  # [channel, aggregate]
            scale = degree[v].log() / mean_log
            scalers = torch.stack([torch.ones_like(scale), scale, 1 / scale.clamp(min=0.01)])
            # published order of the columns: (channel, aggregate, scaler)
            features = (aggregates.unsqueeze(-1) * scalers).flatten()
        else:
            features = {"sum": m.sum(0), "mean": m.mean(0), "max": m.amax(0)}[conv.aggregate]
        out = conv.linear.weight @ torch.cat([x[b, v], features]) + conv.linear.bias
        if conv.norm is not None:
            out = F.layer_norm(out, out.shape, conv.norm.weight, conv.norm.bias, conv.norm.eps)
        rows.append(out.relu() + (x[b, v] if conv.short_cut else 0))
    return torch.stack(rows).reshape(len(x), NODES, -1)


def layer_and_inputs(seed=0, out_channels=WIDTH, **options):
    torch.manual_seed(seed)
    conv = BellmanFordConv(WIDTH, out_channels, RELATIONS, query_channels=QUERY_WIDTH, **options).double()
    if conv.norm is not None:  # not the identity
        torch.nn.init.normal_(conv.norm.weight), torch.nn.init.normal_(conv.norm.bias)
    x = torch.randn(QUERIES, NODES, WIDTH, dtype=torch.float64)
    query = torch.randn(QUERIES, QUERY_WIDTH, dtype=torch.float64)
    boundary = torch.randn(QUERIES, WIDTH, dtype=torch.float64)
    return conv, x, query, torch.tensor([0, 3, 4]), boundary


@pytest.mark.parametrize("dependent", [True, False])
@pytest.mark.parametrize("aggregate", ["pna", "sum", "mean", "max"])
@pytest.mark.parametrize("name", ["distmult", "transe", "rotate"])
def test_equals_the_equations(name, aggregate, dependent):
    conv, *inputs = layer_and_inputs(message=name, aggregate=aggregate, dependent=dependent)
    weight = torch.randn(EDGES.shape[1], dtype=torch.float64)
    mask = torch.arange(EDGES.shape[1]) % 3 != 1
    for options in ({}, {"weight": weight}, {"mask": mask}, {"weight": weight, "mask": mask}):
        wanted = dense_layer(conv, *inputs, **options)
        options = {f"edge_{key}": value for key, value in options.items()}
        got = conv(*inputs, EDGES, KIND, **options)
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)
        with force_backend("python"):
            torch.testing.assert_close(conv(*inputs, EDGES, KIND, **options), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("aggregate", ["pna", "sum", "mean", "max"])
def test_gradients_equal_those_of_the_equations(aggregate):
    conv, x, query, source, boundary = layer_and_inputs(aggregate=aggregate)
    leaves = [*conv.parameters(), *(t.requires_grad_() for t in (x, query, boundary))]
    wanted = torch.autograd.grad(dense_layer(conv, x, query, source, boundary).square().sum(), leaves)
    got = torch.autograd.grad(conv(x, query, source, boundary, EDGES, KIND).square().sum(), leaves)
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("layer_norm", "short_cut"), list(itertools.product([True, False], repeat=2)))
def test_norm_and_short_cut(layer_norm, short_cut):
    conv, *inputs = layer_and_inputs(layer_norm=layer_norm, short_cut=short_cut)
    assert (conv.norm is not None) == layer_norm and conv.short_cut == short_cut
    torch.testing.assert_close(conv(*inputs, EDGES, KIND), dense_layer(conv, *inputs), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("aggregate", ["pna", "sum"])
def test_another_width_has_no_short_cut(aggregate):
    conv, *inputs = layer_and_inputs(out_channels=7, aggregate=aggregate)
    got = conv(*inputs, EDGES, KIND)
    assert got.shape == (QUERIES, NODES, 7) and not conv.short_cut
    torch.testing.assert_close(got, dense_layer(conv, *inputs), rtol=1e-10, atol=1e-10)


def test_the_columns_of_the_weight_are_in_published_order():
    # a weight that reads one column alone: channel 2, aggregate min (2), scaler attenuation (2)
    conv, x, query, source, boundary = layer_and_inputs(seed=1, layer_norm=False, short_cut=False)
    with torch.no_grad():
        conv.linear.weight.zero_(), conv.linear.bias.zero_()
        conv.linear.weight[1, WIDTH + (2 * 4 + 2) * 3 + 2] = -1
        out = conv(x, query, source, boundary, EDGES, KIND)
        relation = conv.relations(query)
    scalers = degree_classes(CSRGraph(EDGES, num_nodes=NODES)).per_node()
    # node 1 receives from 0 by relations 0 and 1, and from 2 by relation 0; its boundary is zero
    lowest = min(0.0, *(float(x[0, u, 2] * relation[0, r, 2]) for u, r in ((0, 0), (0, 1), (2, 0))))
    assert lowest < 0 and source[0] != 1
    assert out[0, 1, 1].item() == pytest.approx(-lowest * float(scalers[1, 1]))
    assert (out[..., [0, 2, 3]] == 0).all()


def test_parameter_shapes_are_those_of_published_weights():
    conv = BellmanFordConv(32, 32, 474, query_channels=32)
    assert conv.linear.weight.shape == (32, 13 * 32) and conv.relation_linear.weight.shape == (474 * 32, 32)
    independent = BellmanFordConv(32, 32, 22, dependent=False)
    assert independent.relation.weight.shape == (22, 32) and independent.relation_linear is None
    assert BellmanFordConv(32, 16, 22, aggregate="sum", dependent=False).linear.weight.shape == (16, 64)


# ---- degree scalers ----


def test_degree_scalers_by_hand():
    # degrees with the boundary: 3, 4, 3, 1, 3
    logs = [math.log(d) for d in (3, 4, 3, 1, 3)]
    mean = sum(logs) / 5
    wanted = [[log / mean, 1 / max(log / mean, 0.01)] for log in logs]
    classes = degree_classes(CSRGraph(EDGES, num_nodes=NODES))
    got = classes.per_node()
    torch.testing.assert_close(got, torch.tensor(wanted, dtype=torch.float64), rtol=1e-14, atol=0)
    assert got[3].tolist() == [0, 100]
    assert classes.order.tolist() == [3, 0, 2, 4, 1] and classes.ptr.tolist() == [0, 1, 4, 5]


def test_degree_scalers_count_kept_edges():
    mask = torch.arange(EDGES.shape[1]) % 2 == 0
    got = degree_classes(CSRGraph(EDGES, num_nodes=NODES), mask)
    wanted = degree_classes(CSRGraph(EDGES[:, mask], num_nodes=NODES))
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))
    assert not torch.equal(got.per_node(), degree_classes(CSRGraph(EDGES, num_nodes=NODES)).per_node())


def test_degree_scalers_without_any_edge():
    graph = CSRGraph(torch.empty(2, 0, dtype=torch.int64), num_nodes=2)
    assert degree_classes(graph).per_node().tolist() == [[0, 100], [0, 100]]
    mask = torch.zeros(EDGES.shape[1], dtype=torch.bool)
    assert degree_classes(CSRGraph(EDGES, num_nodes=NODES), mask).per_node().tolist() == [[0, 100]] * 5


def test_shared_classes_give_the_same_layer():
    conv, *inputs = layer_and_inputs()
    graph = CSRGraph(EDGES, num_nodes=NODES)
    classes = degree_classes(graph)
    assert torch.equal(conv(*inputs, graph, KIND, classes=classes), conv(*inputs, graph, KIND))
    doubled = classes._replace(scale=2 * classes.scale)
    assert not torch.equal(conv(*inputs, graph, KIND, classes=doubled), conv(*inputs, graph, KIND))


# ---- use ----


@pytest.mark.parametrize("aggregate", ["pna", "sum", "mean", "max"])
def test_under_autocast(aggregate):
    conv, *inputs = layer_and_inputs(aggregate=aggregate)
    conv = conv.float()
    inputs = [t.float() if t.is_floating_point() else t for t in inputs]
    wanted = conv(*inputs, EDGES, KIND)
    with torch.autocast("cpu", torch.bfloat16):
        got = conv(*inputs, EDGES, KIND)
    got.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in conv.parameters())
    assert (got.float() - wanted).norm() < 0.1 * wanted.norm()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"message": "distmul"}, "unknown message 'distmul'; did you mean 'distmult'"),
        ({"aggregate": "pma"}, "unknown aggregate 'pma'; did you mean 'pna'"),
        ({"aggregate": "min"}, "unknown aggregate 'min'"),
        ({"message": "rotate", "in_channels": 5}, "even width, got 5 channels"),
        ({"query_channels": None}, "pass query_channels"),
    ],
)
def test_mistakes_are_named(options, words):
    arguments = {"in_channels": 4, "out_channels": 4, "num_relations": 2, "query_channels": 4} | options
    with pytest.raises(UserError, match=words):
        BellmanFordConv(**arguments)
