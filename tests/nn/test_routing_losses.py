"""Losses of routers: their values by hand, their gradients, what they must not depend on."""

import math

import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import ExpertList, Mixture, RouteInput, RouteOutput, Router
from graphkit.nn.routing_losses import (
    AUX_LOSSES,
    ERCLoss,
    LocalityLoss,
    RunningCentres,
    SelectionBias,
    SwitchBalance,
    anchor_loss,
    entropy_pair,
    erc_loss,
    importance_loss,
    proxy_noise,
    switch_balance,
    token_entropy,
    z_loss,
)
from graphkit.nn.score_recalibration import recalibrated


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def decision(probs, mask=None):
    mask = probs > 0 if mask is None else mask
    return RouteOutput(probs.clamp(min=1e-9).log(), probs, probs, mask, None, {})


def chosen(probs, k):
    return torch.zeros_like(probs, dtype=torch.bool).scatter(1, probs.topk(k).indices, True)


def test_switch_balance_at_its_ends():
    assert float(switch_balance(torch.full((4, 4), 0.25), torch.eye(4).bool())) == 1.0
    one = torch.zeros(8, 4)
    one[:, 2] = 1.0
    assert float(switch_balance(one, one > 0)) == 4.0
    assert float(switch_balance(torch.full((4, 4), 0.25), torch.ones(4, 4).bool())) == 1.0  # f sums to 1 for any k


def test_switch_balance_sees_that_routing_is_unbalanced():
    """Guards against a broadcast that makes the loss a constant."""
    p = (3 * random(50, 5) + torch.tensor([2.0, 0, 0, 0, 0])).softmax(1)
    q = (3 * random(50, 5)).softmax(1)
    assert float(switch_balance(p, chosen(p, 2))) > float(switch_balance(q, chosen(q, 2))) + 0.1
    z = (3 * random(50, 5) + torch.tensor([2.0, 0, 0, 0, 0])).requires_grad_()
    switch_balance(z.softmax(1), chosen(z.softmax(1), 1)).backward()
    assert float(z.grad.sum(0)[0]) > 0  # a step against the gradient takes mass from the crowded expert


def test_padding_does_not_count():
    p, real = random(10, 3).softmax(1), torch.arange(10) < 6
    for loss in (
        lambda p, **o: switch_balance(p, chosen(p, 1), **o),
        importance_loss,
        entropy_pair,
        token_entropy,
        lambda p, **o: z_loss(p.log(), **o),
    ):
        torch.testing.assert_close(loss(p, tokens=real), loss(p[:6]))
        assert float(loss(p, tokens=torch.zeros(10).bool())) == 0


def test_balance_over_a_window_of_sources():
    balance = SwitchBalance(window=3)
    batches = [torch.eye(3)[[m, m]] for m in (0, 1, 2, 0)]
    values = [float(balance(decision(p))) for p in batches]
    assert values == pytest.approx([3.0, 1.5, 1.0, 1.0])
    p = random(4, 3).softmax(1).requires_grad_()
    balance(decision(p, chosen(p, 1))).backward()
    assert bool(p.grad.isfinite().all()) and bool((p.grad != 0).any())


def test_importance_by_hand():
    w = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    assert float(importance_loss(w)) == pytest.approx(torch.tensor([1.5, 0.5, 0.0]).var() / (2 / 3) ** 2)
    assert float(importance_loss(torch.full((4, 3), 1 / 3))) == pytest.approx(0, abs=1e-10)
    assert float(importance_loss(torch.ones(4, 1))) == 0


def test_z_loss_by_hand():
    z = random(5, 3)
    assert float(z_loss(z)) == pytest.approx(sum(math.log(sum(map(math.exp, row))) ** 2 for row in z.tolist()) / 5)


def test_entropy_pair_is_minus_the_mutual_information():
    p = random(20, 4).softmax(1)
    mean = p.mean(0)
    information = sum(float(p[t, m]) / 20 * math.log(float(p[t, m] / mean[m])) for t in range(20) for m in range(4))
    assert float(entropy_pair(p)) == pytest.approx(-information)
    sharp = torch.eye(4).requires_grad_()
    entropy_pair(sharp).backward()
    assert bool(sharp.grad.isfinite().all())


def test_anchor_is_the_divergence():
    p, q = random(5, 3).softmax(1), random(5, 3, seed=1).softmax(1)
    torch.testing.assert_close(anchor_loss(p, q), torch.nn.functional.kl_div(q.log(), p, reduction="batchmean"))
    assert float(anchor_loss(p, p)) == pytest.approx(0, abs=1e-12)


def test_bias_moves_against_the_load():
    bias = SelectionBias(3, rate=0.25)
    bias.update(torch.tensor([[True, True, False], [True, False, False], [True, False, True]]))
    assert bias.bias.tolist() == [-0.25, 0.25, 0.25]
    bias.update(torch.zeros(0, 3, dtype=torch.bool))
    assert bias.bias.tolist() == [-0.25, 0.25, 0.25]


# ---- coupling of router and experts ----


def coupled(m=4, d=5, h=3):
    return random(m, d), random(m, d, h, seed=1)


@pytest.mark.parametrize("alpha", [1.0, 0.4, 0.0])
@pytest.mark.parametrize("normalize", [False, True])
def test_erc_written_out(alpha, normalize):
    r, w = coupled()
    factors, offset = proxy_noise(r)[0], random(4, 3, seed=2)
    q = [[0.0] * 4 for _ in range(4)]
    for i in range(4):
        for j in range(4):
            proxy = r[i] * factors[i]
            q[i][j] = float((proxy @ w[j] + offset[j]).norm())
            if normalize:
                q[i][j] /= float(proxy.norm() * w[j].norm())
    total = sum(
        max(q[i][j] - alpha * q[i][i], 0) + max(q[j][i] - alpha * q[i][i], 0)
        for i in range(4)
        for j in range(4)
        if i != j
    )
    found = erc_loss(r, w, alpha=alpha, factors=factors, offset=offset, normalize=normalize)
    assert float(found) == pytest.approx(total / 16)


def test_erc_vanishes_when_each_excites_its_own():
    w = torch.zeros(3, 3, 2, dtype=torch.float64)
    for m in range(3):
        w[m, m] = 5.0
    assert float(erc_loss(torch.eye(3, dtype=torch.float64), w)) == 0
    assert float(erc_loss(*[part[:1] for part in coupled()])) == 0


def test_erc_scales_with_the_weights_unless_normalised():
    r, w = coupled()
    torch.testing.assert_close(erc_loss(r, 3 * w), 3 * erc_loss(r, w))
    torch.testing.assert_close(erc_loss(r, 3 * w, normalize=True), erc_loss(r, w, normalize=True))


def test_erc_noise_stays_half_way_to_the_nearest():
    r = random(6, 5)
    apart = torch.cdist(r, r).fill_diagonal_(torch.inf).amin(1)
    g, different = torch.Generator().manual_seed(0), []
    for _ in range(50):
        factors, epsilon = proxy_noise(r, generator=g)
        moved = (r * factors - r).norm(dim=1)
        assert bool((moved <= apart / 2 + 1e-12).all())
        different.append(float(moved.sum()))
    assert len(set(different)) == 50
    torch.testing.assert_close(epsilon, apart / (2 * r.norm(dim=1)))


def test_erc_of_equal_and_empty_rows():
    r, w = coupled()
    r[1] = r[0]
    r[2] = 0
    r.requires_grad_()
    factors, epsilon = proxy_noise(r)
    assert float(epsilon[0]) == float(epsilon[1]) == float(epsilon[2]) == 0 and not epsilon.requires_grad
    for normalize in (False, True):
        loss = erc_loss(r, w, factors=factors, normalize=normalize)
        (gradient,) = torch.autograd.grad(loss, r)
        assert bool(loss.isfinite()) and bool(gradient.isfinite().all())


def test_erc_gradients_reach_router_and_experts():
    r, w = (part.requires_grad_() for part in coupled())
    erc_loss(r, w, factors=proxy_noise(r)[0], alpha=0.5).backward()
    assert bool((r.grad != 0).any()) and bool((w.grad != 0).any())
    assert torch.autograd.gradcheck(lambda r, w: erc_loss(r, w, alpha=0.5, normalize=True), coupled_with_gradients())


def coupled_with_gradients():
    return tuple(part.requires_grad_() for part in coupled())


def test_erc_does_not_know_the_numbers_of_experts():
    r, w = coupled()
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(erc_loss(r[order], w[order]), erc_loss(r, w))


def test_erc_of_equal_experts_compares_row_norms_only():
    r, w = coupled()
    same = w[:1].expand(4, -1, -1)
    q = (r @ w[0]).norm(dim=1)
    expected = sum(max(float(q[j] - q[i]), 0) for i in range(4) for j in range(4)) / 16
    assert float(erc_loss(r, same)) == pytest.approx(expected)


def a_mixture(losses=None, head="linear"):
    torch.manual_seed(0)
    experts = ExpertList([torch.nn.Linear(5, 3) for _ in range(4)], per_token=True)
    return Mixture(experts, Router.of(5, 4, head=head, selector="topk", selector_options={"k": 2}), losses=losses)


def test_erc_of_a_mixture():
    mixture = a_mixture(head="cosine")
    w = torch.stack([expert.weight.t() for expert in mixture.experts])
    torch.testing.assert_close(ERCLoss(noise=False)(None, mixture), erc_loss(mixture.router.head.weight, w))
    a, b = (ERCLoss(generator=torch.Generator().manual_seed(s))(None, mixture) for s in (0, 1))
    assert not torch.equal(a, b)
    with pytest.raises(UserError, match="has no row for each expert"):
        ERCLoss()(None, a_mixture(head="mlp"))
    with pytest.raises(UserError, match="have no first_weight"):
        ERCLoss()(None, Mixture(lambda x, adj: x, Router.of(5, 4)))


def test_running_centres():
    centres = RunningCentres(2, 3, momentum=0.9)
    x, w = torch.randn(5, 3), torch.tensor([[1.0, 0.0]] * 5)
    centres.update(x, w)
    torch.testing.assert_close(centres.centres, torch.stack([x.mean(0), torch.zeros(3)]))
    y = torch.randn(5, 3)
    centres.update(y, torch.tensor([[0.25, 0.75]] * 5))
    torch.testing.assert_close(centres.centres[0], 0.9 * x.mean(0) + 0.1 * y.mean(0))
    torch.testing.assert_close(centres.centres[1], y.mean(0))


def test_locality_counts_routed_experts_by_their_weight():
    mixture, loss = a_mixture(), LocalityLoss()
    weights = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]).requires_grad_()
    out = decision(weights.detach())._replace(weights=weights)
    assert [float(loss(out, mixture).detach()) for _ in range(2)] == [0.0, 0.0]
    with torch.no_grad():
        mixture.experts.experts[1].weight += 2.0  # 15 entries
        mixture.experts.experts[3].weight += 9.0  # nobody is sent there
    value = loss(out, mixture)
    assert float(value.detach()) == pytest.approx(0.75 * 2 * 15**0.5)
    value.backward()
    assert weights.grad[:, 1].tolist() == pytest.approx([15**0.5] * 2)
    assert float(loss(out, mixture).detach()) == 0


def test_every_loss_is_returned_and_none_is_added():
    mixture = a_mixture({name: make() for name, make in AUX_LOSSES.items() if name != "load"})
    plain = a_mixture()
    x = torch.randn(6, 5)
    (out, route), (same, _) = mixture(x), plain(x)
    assert torch.equal(out, same)
    assert set(route.aux) == {"active", *AUX_LOSSES} - {"load"}
    assert all(value.dim() == 0 and bool(value.isfinite()) for value in route.aux.values())


def test_load_comes_from_the_noise():
    router = Router.of(5, 4, head_options={"noise": True}, selector="topk")
    out = router(RouteInput(torch.randn(6, 5), train=True))
    assert float(AUX_LOSSES["load"]()(out, None)) == float(out.aux["load"]) > 0


def test_recalibration():
    s, t = torch.tensor([0.5, 0.5, 0.4]), torch.tensor([60.0, 20.0, 20.0])
    expected = [s[m] * ((1 - t[m] / 100) * 0.2 + 1 - 0.1) for m in range(3)]
    torch.testing.assert_close(recalibrated(s, t), torch.stack(expected))
    torch.testing.assert_close(recalibrated(s, t, strength=0.0), s)
    assert int(recalibrated(s, t).argmax()) == 1  # of equal experts the one with less training
    assert bool(recalibrated(s, torch.zeros(3)).isfinite().all())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SwitchBalance(0), "window is 0"),
        (lambda: erc_loss(torch.ones(2, 3), torch.ones(2, 4, 5)), "router and experts must look at the same features"),
        (
            lambda: erc_loss(torch.ones(2, 3), torch.ones(2, 3, 5), alpha=2.0),
            "alpha is 2.0, expected a number from 0 to 1",
        ),
        (lambda: recalibrated(-torch.ones(2), torch.ones(2)), "a score is negative"),
        (lambda: recalibrated(torch.ones(2), -torch.ones(2)), "negative number of samples"),
        (lambda: recalibrated(torch.ones(2), torch.ones(2), strength=3), "strength is 3"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
