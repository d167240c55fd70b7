"""How many experts a token uses, and which."""

import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn.expert_selectors import AllExperts, Percentile, TopK, TopP, expert_schedule


def mixed(count=200, experts=6, seed=0):
    """Probabilities some of which are sharp and some flat."""
    g = torch.Generator().manual_seed(seed)
    sharpness = torch.logspace(-1, 1, count).unsqueeze(1)
    return (sharpness * torch.randn(count, experts, generator=g)).softmax(1)


def test_all_and_topk():
    p = mixed()
    assert bool(AllExperts()(p).all())
    for k in (1, 2, 6, 9):
        mask = TopK(k)(p)
        assert mask.sum(1).tolist() == [min(k, 6)] * 200
        least = torch.where(mask, p, 2.0).amin(1)
        assert bool((torch.where(mask, -1.0, p).amax(1) <= least).all())


def test_ties_go_to_the_lower_number():
    assert TopK(2)(torch.full((1, 5), 0.2)).tolist() == [[True, True, False, False, False]]
    assert TopP(0.5)(torch.full((1, 5), 0.2))[0].tolist() == [True, True, True, False, False]


def test_topk_among_aliases():
    """Two slots never hit the same merged expert: the next one gets the slot."""
    alias = torch.tensor([0, 1, 0, 2])
    p = torch.tensor([[0.4, 0.05, 0.35, 0.2], [0.1, 0.5, 0.3, 0.1]])
    assert TopK(2, alias=alias)(p).tolist() == [[True, False, False, True], [False, True, True, False]]
    assert TopK(4, alias=alias)(p).sum(1).tolist() == [3, 3]


def test_topp_is_minimal_and_monotone():
    p = mixed()
    before = torch.zeros_like(p, dtype=torch.bool)
    for share in (0.0, 0.3, 0.6, 0.9):
        mask = TopP(share)(p)
        mass = (p * mask).sum(1)
        assert bool((mass >= share - 1e-6).all()) and bool((mask | ~before).all())
        without_least = mass - torch.where(mask, p, 2.0).amin(1)
        assert bool((without_least < share + 1e-6).all())
        before = mask
    assert TopP(0.0)(p).sum(1).tolist() == [1] * 200
    assert bool(TopP(1.0)(p[:20]).all())


def test_hard_tokens_ask_for_more():
    p = mixed()
    plain, more = TopP(0.5)(p).sum(1), TopP(0.5, difficulty=1.0)(p).sum(1)
    assert bool((more >= plain).all())
    assert float((more - plain)[:50].float().mean()) > float(
        (more - plain)[-50:].float().mean()
    )  # flat rows come first


def test_percentile_counts_vary_over_tokens():
    """A quantile within each token would give all the same number."""
    selector = Percentile(0.6, k_min=1, k_max=4)
    counts = selector(mixed(), train=True).sum(1)
    assert int(counts.min()) >= 1 and int(counts.max()) <= 4
    assert len(counts.unique()) >= 3


def test_percentile_share_of_the_batch():
    p = mixed()
    mask = Percentile(0.7)(p, train=True)
    theta = float(torch.quantile(p, 0.7))
    expected = (p >= theta) | torch.nn.functional.one_hot(p.argmax(1), 6).bool()
    assert torch.equal(mask, expected)


def test_percentile_ends_and_monotony():
    p = mixed()
    assert bool(Percentile(0.0)(p).all()) and Percentile(1.0)(p).sum(1).tolist() == [1] * 200
    used = [int(Percentile(q)(p, train=True).sum()) for q in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert used == sorted(used, reverse=True)


def test_percentile_at_inference_does_not_depend_on_the_batch():
    selector, p = Percentile(0.6), mixed()
    for seed in range(3):
        selector(mixed(seed=seed), train=True)
    whole = selector(p)
    for size in (1, 7, 50):
        assert torch.equal(torch.cat([selector(part) for part in p.split(size)]), whole)
    other = Percentile(0.6)
    other.load_state_dict(selector.state_dict())
    assert torch.equal(other(p), whole)


def test_percentile_follows_its_quantile():
    selector = Percentile(0.5, momentum=0.5)
    selector(torch.tensor([[0.8, 0.2]]), train=True)
    assert float(selector.threshold) == 0.5
    selector(torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]]), train=True)
    assert abs(float(selector.threshold) - 0.5) < 1e-6
    selector(torch.tensor([[0.7, 0.1, 0.2]]), train=True)
    assert abs(float(selector.threshold) - 0.35) < 1e-6


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("uniform", [5, 5, 5, 5, 5]),
        ("descending", [5, 4, 3, 2, 1]),
        ("ascending", [1, 2, 3, 4, 5]),
        ("pyramid", [1, 3, 5, 3, 1]),
        ("inverse_pyramid", [5, 3, 1, 3, 5]),
        ("wave", [3, 5, 3, 1, 3]),
    ],
)
def test_schedules(name, expected):
    assert expert_schedule(name, 5, 1, 5) == expected
    assert all(isinstance(count, int) for count in expert_schedule(name, 1, 2, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TopK(0), "k is 0, expected a whole number from 1 upwards"),
        (lambda: TopP(1.5), "p is 1.5, expected a number from 0 to 1"),
        (lambda: Percentile(-0.1), "q is -0.1"),
        (lambda: Percentile(0.5, k_min=3, k_max=2), "the largest number of experts, 2, is below the least, 3"),
        (lambda: expert_schedule("descend", 3, 1, 2), "unknown schedule 'descend'; did you mean 'descending'"),
        (
            lambda: TopK(1, alias=torch.tensor([0, 1]))(torch.ones(1, 3)),
            r"alias is \[2\], expected a group for each of 3",
        ),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
