"""Gates from losses: sums, supports, order, ties, temperature, and nothing to learn."""

import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import LossRouter

LOSSES = torch.tensor([[0.9, 0.1, 0.5, 0.3], [0.2, 0.4, 0.4, 0.4]])


@pytest.mark.parametrize("k", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("hard", [False, True])
def test_gates_sum_to_one_on_k_experts(k, hard):
    found = LossRouter(4, k)(LOSSES, hard=hard)
    assert torch.allclose(found.weights.sum(1), torch.ones(2)) and torch.allclose(found.probs.sum(1), torch.ones(2))
    assert found.mask.sum(1).tolist() == [min(k, 4)] * 2 and not bool(found.weights[~found.mask].any())
    if hard:
        assert torch.allclose(found.weights[found.mask], torch.tensor(1 / min(k, 4)))


def test_soft_gates_are_a_softmax_of_the_kept_losses():
    found = LossRouter(4, 2, tau=0.5)(LOSSES[0])
    expected = torch.softmax(-LOSSES[0, [1, 3]] / 0.5, 0)
    assert torch.allclose(found.weights[0, [1, 3]], expected) and found.mask[0].tolist() == [False, True, False, True]
    order = found.weights[0].argsort(descending=True)[:2]
    assert order.tolist() == [1, 3]


def test_a_constant_added_to_all_losses_changes_nothing_and_ties_go_to_the_lower_index():
    router = LossRouter(4, 2)
    assert torch.allclose(router(LOSSES).weights, router(LOSSES + 7).weights, atol=1e-6)
    assert router(LOSSES)[3][1].tolist() == [True, True, False, False]
    tied = router(torch.ones(4))
    assert tied.weights.tolist() == [[0.5, 0.5, 0.0, 0.0]]


def test_a_small_temperature_gives_one_expert():
    assert LossRouter(4, tau=1e-4)(LOSSES[0]).weights[0].tolist() == [0, 1, 0, 0]


def test_no_gradient_flows_through_the_gate():
    losses = LOSSES.clone().requires_grad_()
    assert not LossRouter(4)(losses).weights.requires_grad and not list(LossRouter(4).parameters())


def test_z_scores_do_not_depend_on_the_scale_and_equal_losses_give_equal_gates():
    router = LossRouter(4, standardize=True)
    assert torch.allclose(router(LOSSES).weights, router(0.01 * LOSSES).weights, atol=1e-5)
    assert torch.allclose(router(torch.full((4,), 0.3)).weights, torch.full((1, 4), 0.25))
    # the paper's form hardly routes on such losses
    assert float(LossRouter(7)(torch.tensor([0.65] + [0.7] * 6)).weights.max()) == pytest.approx(0.151, abs=1e-3)


def test_recalibration_favours_experts_that_were_trained_little_and_only_in_training():
    router = LossRouter(2, 1, recalibrate=0.2)
    router.count(torch.tensor([True, False]), 10)
    losses = torch.tensor([0.60, 0.65])
    assert router(losses).mask[0].tolist() == [True, False]
    assert router(losses, training=True).mask[0].tolist() == [False, True]


def test_one_call_may_choose_another_number_of_experts():
    router = LossRouter(4, 2)
    assert router(LOSSES, top_k=3).mask.sum(1).tolist() == [3] * len(LOSSES) and router.top_k == 2
    assert torch.equal(router(LOSSES, top_k=3).weights, LossRouter(4, 3)(LOSSES).weights)


def test_permuting_experts_permutes_the_gate():
    order = torch.tensor([2, 0, 3, 1])
    router = LossRouter(4, 2)
    assert torch.allclose(router(LOSSES[0, order]).weights, router(LOSSES[0]).weights[:, order])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: LossRouter(0), "num_experts is 0"),
        (lambda: LossRouter(2, 0), "top_k is 0"),
        (lambda: LossRouter(2, tau=0.0), "tau is 0.0"),
        (lambda: LossRouter(2, recalibrate=2.0), "recalibrate is 2.0"),
        (lambda: LossRouter(2)(torch.ones(3)), r"losses are \[1, 3\], expected \[2\]"),
        (lambda: LossRouter(2)(torch.tensor([1.0, float("nan")])), "not finite"),
        (lambda: LossRouter(2)(torch.ones(2), top_k=3), "top_k is 3, expected a number of experts from 1 to 2"),
    ],
)
def test_mistakes_are_named(make, says):
    with pytest.raises(UserError, match=says):
        make()
