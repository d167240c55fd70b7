"""Gradients of the relational operators: numerical differences, the other backend, masks, ties by hand."""

import pytest
import torch
from relational_samples import BOUNDARIES, MESSAGES, REDUCES, Inputs, make_inputs, random_inputs

from graphkit import ops
from graphkit.errors import UserError

# asymmetric, with a self-loop, two parallel edges, node 3 isolated, edges at the last node
SMALL = torch.tensor([[0, 0, 0, 1, 2, 4, 2, 1], [1, 1, 2, 1, 4, 0, 0, 4]])


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("message", MESSAGES)
def test_gradcheck(backend, message, reduce, boundary):
    dependent = boundary != "dense"
    inputs = random_inputs(SMALL, 5, message, reduce, weighted=True, masked=boundary == "sparse", boundary=boundary,
                           dependent=dependent, channels=2, batches=2 if dependent else 1, num_relations=2)  # fmt: skip
    check_gradients(inputs)


def check_gradients(inputs, **options):
    names = list(inputs.leaves())
    leaves = [tensor.requires_grad_() for tensor in inputs.leaves().values()]
    assert torch.autograd.gradcheck(
        lambda *values: inputs.with_leaves(dict(zip(names, values, strict=True))).run(), leaves, **options
    )


@pytest.mark.parametrize("channels", [1, 33, 64])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("message", MESSAGES)
def test_backends_agree(message, reduce, channels):
    if ops.backend_of("relational_spmm") != "native":
        pytest.skip("the extension is not built")
    if message == "rotate":
        channels += channels % 2
    for boundary in BOUNDARIES:
        for weighted, dependent in ((False, True), (True, False)):
            inputs = make_inputs(message, reduce, weighted=weighted, masked=True, boundary=boundary,
                                 dependent=dependent, channels=channels)  # fmt: skip
            out, gradients = inputs.gradients()
            with ops.force_backend("python"):
                wanted_out, wanted = inputs.gradients()
            torch.testing.assert_close(out, wanted_out, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(gradients, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("wanted", ["x", "relation", "weight", "boundary"])
def test_one_gradient_alone_is_the_same(backend, reduce, wanted):
    for boundary in ("dense", "sparse"):
        inputs = make_inputs("mul", reduce, weighted=True, masked=True, boundary=boundary)
        out, every = inputs.gradients()
        leaves = inputs.leaves()
        leaves[wanted] = leaves[wanted].clone().requires_grad_()
        alone = inputs.with_leaves(leaves).run()
        generator = torch.Generator().manual_seed(0)
        alone.backward(torch.randn(out.shape, generator=generator, dtype=torch.float64))
        assert torch.equal(alone.detach(), out)
        torch.testing.assert_close(leaves[wanted].grad, every[wanted], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("message", MESSAGES)
def test_masked_edges_are_as_if_they_were_not_there(backend, message, reduce):
    for boundary in BOUNDARIES:
        masked = make_inputs(message, reduce, weighted=True, masked=True, boundary=boundary, dependent=True)
        keep = masked.mask
        assert 0 < keep.sum() < len(keep)
        removed = Inputs(
            masked.edges[:, keep], masked.kind[keep], masked.x, masked.relation, masked.num_nodes, message, reduce,
            weight=masked.weight[keep], boundary=masked.boundary,
        )  # fmt: skip
        out, gradients = masked.gradients()
        wanted_out, wanted = removed.gradients()
        torch.testing.assert_close(out, wanted_out, rtol=1e-13, atol=1e-13)
        assert (gradients["weight"][~keep] == 0).all()
        gradients["weight"] = gradients["weight"][keep]
        torch.testing.assert_close(gradients, wanted, rtol=1e-12, atol=1e-13)


def test_a_mask_that_takes_everything_leaves_the_boundary(backend):
    for reduce in REDUCES:
        inputs = make_inputs("mul", reduce, weighted=True, boundary="dense")
        inputs.mask = torch.zeros(inputs.edges.shape[1], dtype=torch.bool)
        out, gradients = inputs.gradients()
        if reduce == "pna":
            wanted = torch.stack([inputs.boundary] * 3 + [torch.full_like(inputs.x, 1e-3)], 2)
        else:
            wanted = inputs.boundary
        torch.testing.assert_close(out, wanted, rtol=1e-13, atol=1e-13)
        assert all((gradients[name] == 0).all() for name in ("x", "relation", "weight"))
        assert (gradients["boundary"] != 0).all()


def winners(reduce, values, *, boundary=None, mask=None, edges=None):
    """Gradient of the weights of edges that carry ``values`` to node 0, and of the boundary there."""
    if edges is None:
        edges = torch.tensor([range(1, len(values) + 1), [0] * len(values)])
    num_nodes = len(values) + 1
    x = torch.ones(1, num_nodes, 1, dtype=torch.float64)
    weight = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    value = None
    if boundary is not None:
        value = torch.full((1, num_nodes, 1), boundary, dtype=torch.float64, requires_grad=True)
    out = ops.relational_spmm(
        edges, torch.zeros(len(values), dtype=torch.int64), x, torch.ones(1, 1, dtype=torch.float64),
        num_nodes=num_nodes, reduce=reduce, edge_weight=weight, boundary=value,
        edge_mask=None if mask is None else torch.tensor(mask),
    )  # fmt: skip
    out[0, 0, 0].backward()
    return weight.grad.tolist(), None if value is None else value.grad[0, 0].item()


@pytest.mark.parametrize(("reduce", "sign"), [("max", 1.0), ("min", -1.0)])
def test_ties_by_hand(backend, reduce, sign):
    def signed(*values):
        return [sign * value for value in values]

    # the lowest position among equals: edges at one target are sorted by source
    assert winners(reduce, signed(1, 3, 3, 2)) == ([0, 1, 0, 0], None)
    backwards = torch.tensor([[4, 3, 2, 1], [0, 0, 0, 0]])
    assert winners(reduce, signed(1, 3, 3, 2), edges=backwards) == ([0, 0, 1, 0], None)
    # parallel edges keep the order in which they were given
    parallel = torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0]])
    assert winners(reduce, signed(1, 3, 3, 2), edges=parallel) == ([0, 1, 0, 0], None)
    # a masked edge does not win
    assert winners(reduce, signed(1, 3, 3, 2), mask=[True, False, True, True]) == ([0, 0, 1, 0], None)
    # the boundary comes first
    assert winners(reduce, signed(1, 3, 3, 2), boundary=3.0 * sign) == ([0, 0, 0, 0], 1.0)
    assert winners(reduce, signed(1, 3, 3, 2), boundary=2.5 * sign) == ([0, 1, 0, 0], 0.0)


def test_pna_ties_by_hand(backend):
    # messages 2, 2, -1, -1 at node 0 of nodes 1..4
    edges = torch.tensor([[1, 2, 3, 4], [0, 0, 0, 0]])
    weight = torch.tensor([2.0, 2.0, -1.0, -1.0], dtype=torch.float64, requires_grad=True)
    x = torch.ones(1, 5, 1, dtype=torch.float64)
    out = ops.relational_pna(edges, torch.zeros(4, dtype=torch.int64), x, torch.ones(1, 1, dtype=torch.float64),
                             num_nodes=5, edge_weight=weight)  # fmt: skip
    rows = [torch.autograd.grad(out[0, 0, i, 0], weight, retain_graph=True)[0].tolist() for i in range(4)]
    assert out[0, 0, :, 0].tolist() == [0.5, 2.0, -1.0, 1.5]
    assert rows[0] == [0.25] * 4
    assert rows[1] == [1, 0, 0, 0]
    assert rows[2] == [0, 0, 1, 0]
    assert rows[3] == pytest.approx([0.25, 0.25, -0.25, -0.25])  # (m - mean) / (n std)


def test_equal_arguments_of_the_minimum_message_credit_x(backend):
    inputs = make_inputs("min", "sum", graph="one node", channels=1, batches=1)
    inputs.x.fill_(2.0), inputs.relation.fill_(2.0)
    x, relation = inputs.x.requires_grad_(), inputs.relation.requires_grad_()
    inputs.run().sum().backward()
    assert x.grad.item() == 3 and (relation.grad == 0).all()


def test_ties_of_one_edge_share_no_gradient_between_channels(backend):
    # channel 0 is won by edge 0, channel 1 by edge 1
    edges, kind = torch.tensor([[1, 2], [0, 0]]), torch.zeros(2, dtype=torch.int64)
    x = torch.tensor([[[0.0, 0.0], [5.0, 1.0], [4.0, 2.0]]], dtype=torch.float64, requires_grad=True)
    ops.relational_spmm(edges, kind, x, torch.ones(1, 2, dtype=torch.float64), num_nodes=3, reduce="max")[
        0, 0
    ].sum().backward()
    assert x.grad[0].tolist() == [[0, 0], [1, 0], [0, 1]]


def test_a_deviation_at_its_floor_passes_nothing_on(backend):
    edges, kind = torch.tensor([[1, 2, 3], [0, 0, 0]]), torch.zeros(3, dtype=torch.int64)
    x = torch.full((1, 4, 2), 0.7, dtype=torch.float64, requires_grad=True)
    out = ops.relational_pna(edges, kind, x, torch.ones(1, 2, dtype=torch.float64), num_nodes=4)
    assert out[0, 0, 3].tolist() == pytest.approx([1e-3, 1e-3], rel=1e-12)
    out[0, 0, 3].sum().backward()
    assert (x.grad == 0).all()


@pytest.mark.parametrize("reduce", REDUCES)
def test_gradients_add_up_over_calls_and_through_views(backend, reduce):
    inputs = make_inputs("mul", reduce, weighted=True)
    base = torch.stack([inputs.x, inputs.x], -1).requires_grad_()
    weight = inputs.weight.clone().requires_grad_()
    for _ in range(2):
        Inputs(inputs.edges, inputs.kind, base[..., 1], inputs.relation, inputs.num_nodes, "mul", reduce,
               weight=2 * weight).run().sum().backward()  # fmt: skip
    x = inputs.x.clone().requires_grad_()
    doubled = (2 * inputs.weight).requires_grad_()
    Inputs(
        inputs.edges, inputs.kind, x, inputs.relation, inputs.num_nodes, "mul", reduce, weight=doubled
    ).run().sum().backward()
    torch.testing.assert_close(base.grad[..., 1], 2 * x.grad, rtol=1e-13, atol=1e-13)
    assert (base.grad[..., 0] == 0).all()
    torch.testing.assert_close(weight.grad, 4 * doubled.grad, rtol=1e-13, atol=1e-13)


def test_a_result_that_nobody_differentiates_keeps_nothing(backend):
    inputs = make_inputs("mul", "pna", weighted=True)
    assert not inputs.run().requires_grad
    inputs.x.requires_grad_()
    with torch.no_grad():
        assert not inputs.run().requires_grad
    assert inputs.run().requires_grad


def test_gradients_after_scoring_in_inference_mode(backend):
    # the sorted forms that a graph remembers may first be built inside inference mode
    inputs = make_inputs("mul", "max", weighted=True, masked=True)
    wanted = inputs.gradients()[1]
    graph = ops.CSRGraph(inputs.edges, num_nodes=inputs.num_nodes)
    with torch.inference_mode():
        inputs.run(graph)
    torch.testing.assert_close(inputs.gradients(graph=graph)[1], wanted)


@pytest.mark.filterwarnings("ignore:.*autograd kernel was not registered")
def test_second_derivatives_are_right_or_refused():
    # x^2 r^2 through a node: the second derivative to x is 2 r^2, to r (of the first) 4 x r
    x = torch.tensor([[[3.0], [0.0]]], dtype=torch.float64, requires_grad=True)
    relation = torch.tensor([[2.0]], dtype=torch.float64, requires_grad=True)
    edges, kind = torch.tensor([[0], [1]]), torch.tensor([0])
    out = ops.relational_spmm(edges, kind, x, relation, num_nodes=2)
    (first,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    assert first[0, 0].item() == 24
    try:
        second = torch.autograd.grad(first[0, 0, 0], [x, relation], allow_unused=True)
    except (RuntimeError, UserError):
        return
    assert second[0] is not None and second[0][0, 0].item() == 8
    assert second[1] is not None and second[1].item() == 24
