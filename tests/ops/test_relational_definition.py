"""The relational operators against the loops of their definition."""

import functools
import itertools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from relational_samples import BOUNDARIES, GRAPHS, MESSAGES, REDUCES, by_definition, make_inputs, random_inputs

OPTIONS = list(itertools.product((False, True), (False, True), BOUNDARIES, (False, True)))


@functools.cache
def expected(message, reduce, graph, weighted, masked, boundary, dependent, channels):
    inputs = make_inputs(message, reduce, graph=graph, weighted=weighted, masked=masked, boundary=boundary,
                         dependent=dependent, channels=channels)  # fmt: skip
    return inputs, by_definition(inputs)


def check(*case):
    inputs, wanted = expected(*case)
    torch.testing.assert_close(inputs.run(), wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize(("weighted", "masked", "boundary", "dependent"), OPTIONS)
def test_equals_the_definition(backend, message, reduce, weighted, masked, boundary, dependent):
    check(message, reduce, "multigraph", weighted, masked, boundary, dependent, 6)


@pytest.mark.parametrize("channels", [1, 2, 33, 64])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("message", MESSAGES)
def test_every_width(backend, message, reduce, channels):
    if message == "rotate" and channels % 2:
        channels += 1
    check(message, reduce, "multigraph", True, True, "sparse", True, channels)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("graph", [name for name in GRAPHS if name != "multigraph"])
def test_degenerate_graphs(backend, graph, reduce, boundary):
    for message in MESSAGES:
        check(message, reduce, graph, True, False, boundary, False, 2)


@pytest.mark.parametrize("reduce", REDUCES)
def test_sizes_of_zero(backend, reduce):
    inputs = make_inputs("mul", reduce, weighted=True, boundary="sparse", batches=0)
    out, gradients = inputs.gradients()
    assert out.shape == by_definition(inputs).shape
    assert gradients["relation"].abs().max() == 0
    no_nodes = random_inputs(torch.empty(2, 0, dtype=torch.int64), 0, "mul", reduce)
    assert no_nodes.run().numel() == 0


@pytest.mark.parametrize("reduce", REDUCES)
def test_empty_is_the_value_of_rows_without_messages_alone(backend, reduce):
    inputs = make_inputs("mul", reduce, masked=True)
    inputs.empty = -7.5
    out = inputs.run()
    torch.testing.assert_close(out, by_definition(inputs), rtol=1e-11, atol=1e-12)
    isolated = torch.bincount(inputs.edges[1][inputs.mask], minlength=inputs.num_nodes) == 0
    assert isolated.any() and (out[:, isolated] == -7.5).all() and not (out[:, ~isolated] == -7.5).any()
    # a boundary is a message: no row is empty
    inputs.boundary = torch.zeros_like(inputs.x)
    assert not (inputs.run() == -7.5).any()


def test_empty_defaults_to_zero(backend):
    for reduce in REDUCES:
        out = make_inputs("mul", reduce).run()
        assert (out[:, 3] == 0).all()  # node 3 of the multigraph is isolated


@pytest.mark.parametrize("graph", ["multigraph", "one node"])
def test_edge_type_may_be_int32_and_tensors_may_be_strided(backend, graph):
    inputs = make_inputs("mul", "pna", graph=graph, weighted=True, boundary="dense", dependent=True)
    wanted = inputs.run()
    inputs.kind = inputs.kind.int()
    inputs.x = inputs.x.transpose(0, 1).contiguous().transpose(0, 1)
    inputs.relation = torch.stack([inputs.relation, inputs.relation], -1)[..., 0]
    inputs.boundary = inputs.boundary.transpose(0, 2).contiguous().transpose(0, 2)
    inputs.weight = torch.stack([inputs.weight, inputs.weight], 1)[:, 0]
    inputs.edges = inputs.edges.t().contiguous().t()
    assert torch.equal(inputs.run(), wanted)


@st.composite
def calls(draw):
    num_nodes = draw(st.integers(1, 5))
    node = st.integers(0, num_nodes - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=14))
    edges = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t()
    options = {
        "weighted": draw(st.booleans()),
        "masked": draw(st.booleans()),
        "boundary": draw(st.sampled_from(BOUNDARIES)),
        "dependent": draw(st.booleans()),
        "channels": 2 * draw(st.integers(1, 5)),
        "batches": draw(st.integers(1, 3)),
        "seed": draw(st.integers(0, 1000)),
    }
    return random_inputs(edges, num_nodes, draw(st.sampled_from(MESSAGES)), draw(st.sampled_from(REDUCES)), **options)


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(inputs=calls())
def test_equals_the_definition_on_any_graph(backend, inputs):
    torch.testing.assert_close(inputs.run(), by_definition(inputs), rtol=1e-11, atol=1e-12)
