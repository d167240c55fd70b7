"""Weights by confidence: columns sum to one, sharp experts win, flat ones are equal, nothing breaks at infinity."""

import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import ConfidenceAggregator, confidence_weights

FLAT, SHARP = torch.zeros(5, 3), 60 * torch.eye(3)[[0, 1, 2, 0, 1]]


@pytest.mark.parametrize(("kind", "width"), [("classes", 4), ("binary", 1), ("labels", 3), ("classes", 1)])
def test_columns_sum_to_one(kind, width):
    weights = confidence_weights(torch.randn(6, 9, width), kind)
    assert torch.allclose(weights.sum(0), torch.ones(9)) and bool((weights >= 0).all())


def test_the_definition_as_a_loop():
    logits = torch.randn(3, 2, 4, dtype=torch.float64)
    alpha = torch.zeros(3, 2, dtype=torch.float64)
    for m in range(3):
        for b in range(2):
            p = logits[m, b].softmax(0)
            alpha[m, b] = 1 + (p * p.log()).sum() / torch.tensor(4.0).double().log()
    assert torch.allclose(confidence_weights(logits), alpha / alpha.sum(0))
    p = logits[..., :1].sigmoid()
    binary = (1 + (p * p.log() + (1 - p) * (1 - p).log()) / torch.tensor(2.0).double().log())[..., 0]
    assert torch.allclose(confidence_weights(logits[..., :1], "binary"), binary / binary.sum(0))


def test_equal_and_flat_predictions_give_equal_weights():
    same = torch.randn(1, 5, 3).expand(4, -1, -1)
    assert torch.allclose(confidence_weights(same), torch.full((4, 5), 0.25))
    assert torch.allclose(confidence_weights(torch.stack([FLAT, FLAT + 3])), torch.full((2, 5), 0.5))


def test_one_sharp_expert_wins():
    weights = confidence_weights(torch.stack([FLAT, SHARP, FLAT]))
    assert torch.allclose(weights[1], torch.ones(5), atol=1e-5)


@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_infinite_confidence_is_finite(kind):
    logits = torch.stack([torch.full((2, 3), float("inf")), torch.tensor([[1e38, -1e38, 0.0], [-float("inf")] * 3])])
    logits[0, :, 1:] = -float("inf")
    weights = confidence_weights(logits, kind)
    assert bool(weights.isfinite().all()) and torch.allclose(weights.sum(0), torch.ones(2))


def test_a_higher_temperature_evens_the_weights_out():
    logits = torch.stack([torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])])
    cool, hot = (confidence_weights(logits, temperature=t)[0, 0] for t in (0.5, 3.0))
    assert confidence_weights(logits, temperature=0.01)[0, 0] == pytest.approx(0.5) and cool < hot


def test_with_an_affine_head_mixing_states_is_mixing_answers():
    states, head = torch.randn(4, 6, 8, dtype=torch.float64), torch.nn.Linear(8, 3).double()
    out, weights = ConfidenceAggregator()(states, head)
    assert torch.allclose(out, torch.einsum("mb,mbc->bc", weights, head(states)))
    order = torch.tensor([2, 0, 3, 1])
    turned, permuted = ConfidenceAggregator()(states[order], head)
    assert torch.allclose(turned, out) and torch.allclose(permuted, weights[order])


def test_only_experts_in_the_mask_have_a_say():
    states, head = torch.randn(3, 4, 5), torch.nn.Linear(5, 2)
    mask = torch.tensor([True, False, True])
    out, weights = ConfidenceAggregator()(states, head, mask)
    alone, some = ConfidenceAggregator()(states[mask], head)
    assert torch.allclose(out, alone) and torch.equal(weights[mask], some) and not bool(weights[1].any())
    assert ConfidenceAggregator("uniform")(states, head)[1].unique().tolist() == [pytest.approx(1 / 3)]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: confidence_weights(torch.ones(2, 3)), r"logits are \[2, 3\]"),
        (lambda: confidence_weights(torch.ones(2, 3, 2), "binary"), r"expected \[M, B, 1\]"),
        (lambda: confidence_weights(torch.ones(2, 3, 2), "values"), "unknown kind of prediction 'values'"),
        (lambda: confidence_weights(torch.ones(2, 3, 2), temperature=0.0), "temperature is 0.0"),
        (lambda: ConfidenceAggregator("votes"), "unknown kind of prediction 'votes'"),
    ],
)
def test_mistakes_are_named(make, says):
    with pytest.raises(UserError, match=says):
        make()
