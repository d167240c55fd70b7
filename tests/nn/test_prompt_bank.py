"""Prompts: known values of the orthogonality losses, what they do not depend on, and prompts without a direction."""

import math

import pytest
import torch

from graphkit.errors import DataWarning, UserError
from graphkit.nn import PromptBank, prompt_orthogonality


def simplex(corners):
    """Corners of a regular simplex: all cosines are -1 / (M - 1)."""
    return torch.eye(corners, dtype=torch.float64) - 1 / corners


@pytest.mark.parametrize(
    ("prompts", "value"),
    [
        (torch.eye(4, 6), 1.0),
        (torch.ones(5, 3), math.e),
        (torch.tensor([[1.0, 2.0], [-2.0, -4.0]]), math.exp(-1)),
        (simplex(7), math.exp(-1 / 6)),
    ],
    ids=["orthonormal", "equal", "antipodal", "simplex"],
)
def test_exp_cos_has_its_known_values(prompts, value):
    assert float(prompt_orthogonality(prompts)) == pytest.approx(value, rel=1e-6)


def test_gram_is_zero_for_orthonormal_prompts_alone():
    turned = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0][:4]
    assert float(prompt_orthogonality(3 * turned, "gram")) == pytest.approx(0, abs=1e-12)
    assert float(prompt_orthogonality(torch.ones(3, 2), "gram")) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["exp_cos", "gram"])
def test_lengths_and_rotations_do_not_matter(kind):
    prompts = torch.randn(5, 4, dtype=torch.float64)
    value = prompt_orthogonality(prompts, kind)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0]
    stretched = prompts * torch.rand(5, 1, dtype=torch.float64).add(0.1)
    assert torch.allclose(prompt_orthogonality(stretched, kind), value)
    assert torch.allclose(prompt_orthogonality(prompts @ turn, kind), value)


def test_the_definition_as_a_loop():
    prompts = torch.randn(4, 3, dtype=torch.float64)
    total = 0.0
    for m in range(4):
        for n in range(4):
            if m != n:
                total += math.exp(float(torch.nn.functional.cosine_similarity(prompts[m], prompts[n], dim=0)))
    assert float(prompt_orthogonality(prompts)) == pytest.approx(total / 12)


def test_gradient_is_right_and_a_step_lowers_the_mean_cosine():
    prompts = torch.randn(6, 8, dtype=torch.float64).abs().requires_grad_()
    for kind in ("exp_cos", "gram"):
        assert torch.autograd.gradcheck(lambda p, kind=kind: prompt_orthogonality(p, kind), prompts)
    unit = torch.nn.functional.normalize(prompts, dim=1)
    before = (unit @ unit.t()).sum()
    prompt_orthogonality(prompts).backward()
    moved = torch.nn.functional.normalize(prompts - 0.5 * prompts.grad, dim=1)
    assert (moved @ moved.t()).sum() < before


def test_one_prompt_and_zero_prompts_have_finite_zero_gradients():
    for prompts in (torch.randn(1, 4), torch.zeros(3, 4)):
        prompts.requires_grad_()
        prompt_orthogonality(prompts).backward()
        assert torch.equal(prompts.grad, torch.zeros_like(prompts))
    assert float(prompt_orthogonality(torch.randn(1, 4))) == 0


@pytest.mark.parametrize("mode", ["concat", "add", "add_attn", "film"])
def test_banks_start_apart_from_zero_or_at_zero(mode):
    bank = PromptBank(3, 8, mode)
    assert bool((bank.prompt.norm(dim=1) > 1e-3).all()) and bool(bank.orthogonality().isfinite())
    zero = PromptBank(3, 8, mode, init="zero")
    assert not bool(zero.prompt.any())
    zero.orthogonality().backward()
    assert bool(zero.prompt.grad.isfinite().all())


def test_more_prompts_than_directions_are_warned_of():
    with pytest.warns(DataWarning, match="5 prompts of 3 numbers"):
        PromptBank(5, 3)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: prompt_orthogonality(torch.ones(3)), r"prompts is \[3\], expected"),
        (lambda: prompt_orthogonality(torch.ones(3, 2), "cos"), "unknown kind of orthogonality 'cos'"),
        (lambda: PromptBank(0, 2), "num_experts is 0"),
        (lambda: PromptBank(2, 2, "append"), "unknown prompt_mode 'append'"),
        (lambda: PromptBank(2, 2, init="ones"), "unknown prompt_init 'ones'"),
    ],
)
def test_mistakes_are_named(make, says):
    with pytest.raises(UserError, match=says):
        make()
