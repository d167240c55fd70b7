"""What every router promises, over every head, mixer and selector."""

import pytest
import torch
from routed import COMBINATIONS, EXPERTS, SELECTOR_OPTIONS, WIDTH, a_router, permuted, tokens

from graphkit.errors import UserError
from graphkit.nn import RouteInput, Router
from graphkit.nn.routing import masked_weights
from graphkit.nn.routing_losses import SelectionBias

every = pytest.mark.parametrize(("head", "mixer", "selector"), COMBINATIONS)


def rows_of_experts(router):
    """The parameters that belong to experts, each with experts in its rows."""
    head = router.head
    last = {"net": lambda: [head.net[2].weight, head.net[2].bias], "out": lambda: list(head.out.parameters())}
    for name, parameters in last.items():
        if hasattr(head, name):
            return parameters()
    return [p for name, p in head.named_parameters() if name.endswith("weight")]


@every
def test_weights_keep_their_promises(head, mixer, selector):
    router = a_router(head, mixer, selector)
    for train in (True, False):
        out = router(tokens(train=train, rng=torch.Generator().manual_seed(3)))
        assert out.mask.dtype == torch.bool and bool(out.mask.any(1).all())
        assert bool((out.weights >= 0).all()) and bool((out.weights[~out.mask] == 0).all())
        one = torch.ones(9, dtype=torch.float64)
        torch.testing.assert_close(out.weights.sum(1), one)
        torch.testing.assert_close(out.probs.sum(1), one)
        expected = out.probs * out.mask
        torch.testing.assert_close(out.weights, expected / expected.sum(1, keepdim=True))
        assert float(out.aux["active"]) == float(out.mask.sum(1).double().mean())


@every
def test_weights_are_differentiable_and_repeatable(head, mixer, selector):
    router = a_router(head, mixer, selector)
    given = tokens(train=True, rng=torch.Generator().manual_seed(3))
    out = router(given)
    (
        out.weights * torch.randn(9, EXPERTS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ).sum().backward()
    used = [p.grad for p in rows_of_experts(router)]
    assert all(grad is not None and bool(grad.isfinite().all()) for grad in used)
    assert any(bool((grad != 0).any()) for grad in used)
    again = a_router(head, mixer, selector)(tokens(train=True, rng=torch.Generator().manual_seed(3)))
    assert torch.equal(again.weights, out.weights) and torch.equal(again.logits, out.logits)


@every
def test_other_numbers_of_tokens_and_experts(head, mixer, selector):
    router, given = a_router(head, mixer, selector), tokens()
    if selector == "percentile":
        router(given._replace(train=True))  # a threshold, from then on frozen
    out = router(given)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(5))
    turned = router(permuted(given, order))
    torch.testing.assert_close(turned.weights, out.weights[order])
    assert torch.equal(turned.mask, out.mask[order])
    swap = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        for parameter in rows_of_experts(router):
            parameter.copy_(parameter[swap].clone())
    swapped = router(given)
    torch.testing.assert_close(swapped.weights, out.weights[:, swap])
    assert torch.equal(swapped.mask, out.mask[:, swap])


@every
def test_no_tokens(head, mixer, selector):
    given = RouteInput(
        torch.zeros(0, WIDTH, dtype=torch.float64),
        (torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0, 2, dtype=torch.float64)),
        state=torch.zeros(0, 5, dtype=torch.float64),
        train=True,
    )
    out = a_router(head, mixer, selector)(given)
    assert out.weights.shape == out.mask.shape == (0, EXPERTS)
    assert float(out.aux["active"].detach()) == 0


@pytest.mark.parametrize("selector", SELECTOR_OPTIONS)
def test_one_expert(selector):
    router = Router.of(WIDTH, 1, selector=selector, selector_options=SELECTOR_OPTIONS[selector] | {}).double()
    out = router(tokens(train=True))
    assert bool((out.weights == 1).all()) and bool(out.mask.all())


def test_softmax_in_float32_under_autocast():
    router = Router.of(WIDTH, EXPERTS, head="mlp", selector="topk")
    with torch.autocast("cpu", torch.bfloat16):
        out = router(RouteInput(torch.randn(5, WIDTH)))
    assert out.logits.dtype == out.probs.dtype == out.weights.dtype == torch.float32
    torch.testing.assert_close(out.probs.sum(1), torch.ones(5), rtol=1e-6, atol=1e-6)


def test_both_orders_of_renormalising_agree():
    z = torch.randn(50, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    top = z.topk(3, dim=1)
    mask = torch.zeros_like(z, dtype=torch.bool).scatter(1, top.indices, True)
    among = torch.zeros_like(z).scatter(1, top.indices, top.values.softmax(1))
    torch.testing.assert_close(masked_weights(z.log_softmax(1), mask), among)
    p = z.softmax(1) * mask
    torch.testing.assert_close(masked_weights(z.log_softmax(1), mask), p / p.sum(1, keepdim=True))


def test_weights_of_vanishing_probabilities():
    """The choice may fall, through a bias, on experts whose probabilities are 0 in float32."""
    mask = torch.tensor([[False, True, True]])
    w = masked_weights(torch.tensor([[0.0, -300.0, -300.0]]), mask)
    assert w.tolist() == [[0.0, 0.5, 0.5]]


def test_bias_moves_the_choice_but_never_the_weights():
    bias = SelectionBias(EXPERTS, rate=0.01)
    router, given = a_router(selector="topk", bias=bias), tokens(200)._replace(adj=None)
    given = given._replace(h=given.h + 1)  # not even without a bias
    before = router(given)
    for _ in range(400):
        router(given._replace(train=True))
    after = router(given)
    assert torch.equal(before.probs, after.probs) and not torch.equal(before.mask, after.mask)
    load = after.mask.sum(0)
    assert int(load.max() - load.min()) < int(before.mask.sum(0).max() - before.mask.sum(0).min()) / 3
    expected = after.probs * after.mask
    torch.testing.assert_close(after.weights, expected / expected.sum(1, keepdim=True))
    assert not list(bias.parameters())


def test_a_frozen_router_stays_as_it_is():
    router = a_router("linear", "adjacency", "percentile", bias=SelectionBias(EXPERTS, rate=0.5))
    router(tokens(train=True))
    router.freeze()
    before = {name: value.clone() for name, value in router.state_dict().items()}
    outs = [router(tokens(train=train)) for train in (True, False, True)]
    router.train()
    assert not router.training and not any(p.requires_grad for p in router.parameters())
    assert all(torch.equal(value, before[name]) for name, value in router.state_dict().items())
    assert torch.equal(outs[0].weights, outs[1].weights) and torch.equal(outs[0].weights, outs[2].weights)
    other = a_router("linear", "adjacency", "percentile", bias=SelectionBias(EXPERTS, rate=0.5))
    other.load_state_dict(before)
    assert torch.equal(other(tokens(train=True)).weights, outs[0].weights)


def test_layers_without_a_memory_pass_the_state_on():
    given = tokens()
    assert a_router("mlp")(given).state is given.state


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Router.of(4, 2, head="liner"), "unknown head 'liner'; did you mean 'linear'"),
        (lambda: Router.of(4, 2, mixers=["adjacent"]), "unknown mixer 'adjacent'; did you mean 'adjacency'"),
        (lambda: Router.of(4, 2, selector="top_k"), "unknown selector 'top_k'; did you mean 'topk'"),
        (lambda: Router.of(4, 2, selector="topk", selector_options={"q": 1}), "an option of the router does not fit"),
        (lambda: Router.of(4, 2, mixer_options={"adjacency": {}}), "mixer_options has 'adjacency', expected one of"),
        (lambda: Router.of(4, 0), "num_experts is 0, expected a whole number from 1 upwards"),
        (lambda: Router.of(4, 2, bias=SelectionBias(3)), "bias is for 3 experts, expected 2"),
        (lambda: Router.of(4, 2)(RouteInput(torch.ones(3, 5))), r"states are \[3, 5\], expected \[T, 4\]"),
        (lambda: Router.of(4, 2)(RouteInput(torch.full((3, 4), torch.nan))), "the router's scores are NaN"),
        (lambda: Router.of(4, 2, mixers=["adjacency"])(RouteInput(torch.ones(3, 4))), "RouteInput.adj is None"),
        (lambda: Router.of(4, 2, head="gnn")(RouteInput(torch.ones(3, 4))), "RouteInput.adj is None"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
