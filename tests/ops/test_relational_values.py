"""Infinities, edge weights that are no numbers, precision of float32 and bfloat16."""

import pytest
import torch
from relational_samples import BOUNDARIES, MESSAGES, REDUCES, by_definition, make_inputs, random_edges, random_inputs

from graphkit import ops
from graphkit.errors import UserError

INFINITY = float("inf")
CHAIN, ONE_KIND = torch.tensor([[0, 1, 0], [1, 2, 2]]), torch.zeros(3, dtype=torch.int64)


def test_min_plus_keeps_infinity(backend):
    x = torch.tensor([[[0.0], [INFINITY], [INFINITY], [INFINITY]]])
    edges, length = torch.tensor([[0, 1, 3, 3], [1, 2, 2, 3]]), torch.tensor([[2.0], [5.0], [INFINITY], [1.0]])
    out = ops.relational_spmm(edges, torch.arange(4), x, length, num_nodes=4, message="add", reduce="min", boundary=x)
    assert out.flatten().tolist() == [0, 2, INFINITY, INFINITY]
    empty = ops.relational_spmm(
        edges, torch.arange(4), x, length, num_nodes=4, message="add", reduce="min", empty=INFINITY
    )
    assert empty.flatten().tolist() == [INFINITY, 2, INFINITY, INFINITY]


def test_max_min_keeps_both_infinities(backend):
    x = torch.tensor([[[INFINITY], [-INFINITY], [-INFINITY]]])
    width = torch.tensor([[3.0], [7.0], [INFINITY]])
    out = ops.relational_spmm(CHAIN, torch.arange(3), x, width, num_nodes=3, message="min", reduce="max", boundary=x)
    assert out.flatten().tolist() == [INFINITY, 3, INFINITY]


@pytest.mark.parametrize("channels", [1, 6, 33])
def test_infinite_messages_give_no_nan_in_extremes_and_gradients(backend, channels):
    for reduce, infinity in (("max", -INFINITY), ("min", INFINITY)):
        x = torch.full((2, 4, channels), infinity, dtype=torch.float64, requires_grad=True)
        edges = torch.tensor([[0, 1, 2, 1], [1, 2, 3, 3]])
        relation = torch.ones(1, channels, dtype=torch.float64, requires_grad=True)
        kind = torch.zeros(4, dtype=torch.int64)
        out = ops.relational_spmm(edges, kind, x, relation, num_nodes=4, message="add", reduce=reduce)
        assert (out[:, 1:] == infinity).all() and (out[:, 0] == 0).all()
        out[:, 1:].sum().backward()
        assert x.grad.isfinite().all() and relation.grad.isfinite().all()


def test_a_sum_with_an_infinity_is_infinite(backend):
    x = torch.tensor([[[1.0], [-INFINITY], [0.0]]])
    out = ops.relational_spmm(CHAIN, ONE_KIND, x, torch.ones(1, 1), num_nodes=3)
    assert out.flatten().tolist() == [0, 1, -INFINITY]


def test_weights_may_be_infinite(backend):
    x = torch.ones(1, 3, 1)
    weight = torch.tensor([INFINITY, -INFINITY, 2.0])
    low = ops.relational_spmm(CHAIN, ONE_KIND, x, torch.ones(1, 1), num_nodes=3, reduce="min", edge_weight=weight)
    assert low.flatten().tolist() == [0, INFINITY, -INFINITY]


def test_nan_weights_are_refused(backend):
    weight = torch.tensor([1.0, float("nan"), 1.0])
    with pytest.raises(UserError, match=r"edge_weight holds NaN.*edge_mask"):
        ops.relational_spmm(CHAIN, ONE_KIND, torch.ones(1, 3, 1), torch.ones(1, 1), num_nodes=3, edge_weight=weight)


@pytest.mark.parametrize("reduce", REDUCES)
def test_nan_weights_of_masked_edges_are_harmless(backend, reduce):
    # the message of the refusal says to mask those edges
    inputs = make_inputs("mul", reduce, weighted=True, masked=True, boundary="sparse")
    wanted = inputs.run()
    inputs.weight[~inputs.mask] = float("nan")
    torch.testing.assert_close(inputs.run(), wanted)


# ---- precision ----


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("message", MESSAGES)
def test_float32_is_close_to_float64(backend, message, reduce):
    edges = random_edges(30, 400)
    for boundary in BOUNDARIES:
        inputs = random_inputs(edges, 30, message, reduce, weighted=True, masked=True, boundary=boundary, channels=34)
        single = inputs.to(torch.float32)
        out, gradients = single.gradients()
        wanted_out, wanted = single.to(torch.float64).gradients()
        assert out.dtype == torch.float32 and {g.dtype for g in gradients.values()} == {torch.float32}
        torch.testing.assert_close(out.double(), wanted_out, rtol=2e-5, atol=2e-5)
        for name, gradient in gradients.items():
            # the sums over edges and queries cancel: judged by the size of the whole gradient
            tolerance = 1e-4 * (wanted[name].abs().max().item() + 1)
            torch.testing.assert_close(gradient.double(), wanted[name], rtol=1e-4, atol=tolerance)


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("message", MESSAGES)
def test_bfloat16_is_accumulated_in_float32(backend, message, reduce):
    edges = random_edges(30, 600)
    for boundary in BOUNDARIES:
        inputs = random_inputs(edges, 30, message, reduce, weighted=True, boundary=boundary, channels=34)
        half = inputs.to(torch.bfloat16)
        half.weight = half.weight.float()
        out, gradients = half.gradients()
        exact = half.to(torch.float64)
        wanted_out, wanted = exact.gradients()
        assert out.dtype == torch.bfloat16 and gradients["x"].dtype == torch.bfloat16
        # one rounding at the end (relative 2^-9), whatever the number of messages
        torch.testing.assert_close(out.double(), wanted_out, rtol=2**-8, atol=1e-4)
        for name, gradient in gradients.items():
            assert gradient.isfinite().all()
            distance = (gradient.double() - wanted[name]).norm() / (wanted[name].norm() + 1e-12)
            assert distance < (0.03 if reduce == "pna" else 0.01), (
                name
            )  # PNA reads back its mean and std, rounded to bfloat16


def test_float32_weights_with_float64_values_and_the_reverse(backend):
    inputs = make_inputs("mul", "sum", weighted=True)
    inputs.weight = inputs.weight.float().requires_grad_()
    out = inputs.run()
    torch.testing.assert_close(out, by_definition(inputs), rtol=1e-11, atol=1e-12)
    out.sum().backward()
    assert inputs.weight.grad.dtype == torch.float32
    single = inputs.to(torch.float32)
    single.weight = inputs.weight.detach().double().requires_grad_()
    single.run().sum().backward()
    assert single.weight.grad.dtype == torch.float64


def deviation(values, *, masked_first=None, boundary=None):
    """std at node 0 of float32 messages ``values``, and the same computed in float64 from the rounded values."""
    messages = torch.tensor(values, dtype=torch.float32)
    count = len(messages)
    x = torch.zeros(1, count + 1, 3)
    x[0, 1:] = messages.unsqueeze(1)
    edges = torch.stack([torch.arange(1, count + 1), torch.zeros(count, dtype=torch.int64)])
    mask = None
    if masked_first is not None:
        x[0, 1] = masked_first
        mask = torch.arange(count) > 0
        messages = messages[1:]
    if boundary is not None:
        messages = torch.cat([messages, torch.tensor([boundary])])
        boundary = torch.full_like(x, boundary)
    out = ops.relational_pna(edges, torch.zeros(count, dtype=torch.int64), x, torch.ones(1, 3), num_nodes=count + 1,
                             edge_mask=mask, boundary=boundary)  # fmt: skip
    exact = messages.double().std(correction=0).clamp(min=1e-3)
    return out[0, 0, 3].double(), exact.expand(3)


@pytest.mark.parametrize("count", [2, 10, 1001])
def test_a_small_deviation_beside_a_large_mean(backend, count):
    values = [1e4 + 0.01 * (i % 2) for i in range(count)]
    for got, exact in (
        deviation(values),
        deviation(values, masked_first=-3.0) if count > 2 else deviation(values),
        deviation(values, boundary=1e4 + 0.02),
        deviation([-value for value in values]),
    ):
        assert exact[0] > 2e-3
        torch.testing.assert_close(got, exact, rtol=1e-3, atol=0)


def test_a_small_deviation_beside_a_large_mean_in_a_row_of_many_pieces(backend):
    got, exact = deviation([1e4 + 0.01 * (i % 2) for i in range(20_000)])
    torch.testing.assert_close(got, exact, rtol=1e-2, atol=0)


def test_equal_messages_have_the_smallest_deviation(backend):
    for value in (1e4, -0.1, 3e-5):
        got, _ = deviation([value] * 50)
        torch.testing.assert_close(got, torch.full((3,), 1e-3, dtype=torch.float64), rtol=1e-6, atol=0)
