"""A linear map of each expert: any memory order of its input, gradients, autocast."""

import pytest
import torch

from graphkit.nn.expert_linear import ExpertLinear


def side_by_side(x):
    """The same values, the experts' rows of a node side by side in memory."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("experts", [None, [2, 0]])
@pytest.mark.parametrize("order", [torch.clone, side_by_side, lambda x: x[:1].expand(x.shape), lambda x: x[:, ::2]])
def test_by_definition_in_any_memory_order(order, experts, bias):
    torch.manual_seed(0)
    linear = ExpertLinear(3, 4, 5, bias=bias).double()
    chosen = list(range(3)) if experts is None else experts
    x = order(torch.randn(len(chosen), 6, 4, dtype=torch.float64))
    expected = torch.stack([x[i] @ linear.weight[m] for i, m in enumerate(chosen)])
    if bias:
        linear.bias.data.normal_()
        expected = expected + linear.bias[chosen][:, None]
    assert torch.allclose(linear(x, None if experts is None else torch.tensor(experts)), expected, atol=1e-13)


def test_the_result_lies_in_memory_as_its_input_does():
    linear, x = ExpertLinear(3, 4, 5), torch.randn(3, 6, 4)
    assert linear(x).is_contiguous()
    out = linear(side_by_side(x).requires_grad_())
    assert out.transpose(0, 1).is_contiguous() and torch.allclose(out, linear(x), atol=1e-6)


@pytest.mark.parametrize("order", [torch.clone, side_by_side])
@pytest.mark.parametrize("groups", [1, 3])
def test_gradients(groups, order):
    torch.manual_seed(0)
    linear = ExpertLinear(groups, 2, 3).double()
    x = order(torch.randn(3, 4, 2, dtype=torch.float64)).requires_grad_()

    def call(x, *parameters):
        return torch.func.functional_call(linear, dict(zip(("weight", "bias"), parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, (x, linear.weight, linear.bias))
    linear(x).sum().backward()  # a gradient without memory of its own, and frozen weights below
    assert torch.allclose(linear.bias.grad, torch.full((groups, 3), 4.0 * 3 / groups, dtype=torch.float64))
    linear.requires_grad_(False)
    (of_x,) = torch.autograd.grad(linear(x).sum(), x)
    assert torch.allclose(of_x, linear.weight.sum(2)[:, None].expand(3, 4, 2))


def test_autocast_computes_in_its_type():
    linear, x = ExpertLinear(2, 8, 8), torch.randn(2, 5, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = linear(x)
    assert out.dtype == torch.bfloat16 and torch.allclose(out.float(), linear(x), atol=0.1)
    out.float().square().mean().backward()
    assert linear.weight.grad.dtype == torch.float32


def test_no_nodes():
    linear, x = ExpertLinear(2, 3, 4), torch.zeros(2, 0, 3, requires_grad=True)
    linear(x).sum().backward()
    assert linear(x).shape == (2, 0, 4) and x.grad.shape == x.shape and not linear.weight.grad.any()
