"""Detection of shifts: false alarms, delays, limits; experts that come back."""

import random
from collections import Counter

import pytest
import torch
from torch import nn

from graphkit.errors import UserError
from graphkit.nn import ExpertList, Mixture, Router
from graphkit.nn.expert_growth import add_expert, orthogonal_prompt, remove_expert
from graphkit.nn.routing_losses import SelectionBias
from graphkit.nn.shift_detection import ExpertSwitcher, ReservoirBuffer, ShiftDetector


def noisy(count, mean=0.0, seed=0):
    source = random.Random(seed)
    return [mean + source.gauss(0, 1) for _ in range(count)]


@pytest.mark.parametrize("robust", [False, True])
def test_noise_alone_is_no_shift(robust):
    detector = ShiftDetector(robust=robust)
    told = [detector.update(loss) for loss in noisy(3000 if robust else 10_000)]
    assert sum(told) < 0.01 * len(told)


@pytest.mark.parametrize("seed", range(10))
def test_a_step_of_five_deviations_is_caught_within_eight(seed):
    detector = ShiftDetector()
    for loss in noisy(300, seed=seed):
        detector.update(loss)
    told = [detector.update(loss) for loss in noisy(8, mean=5.0, seed=seed + 100)]
    assert any(told)


def test_delay_without_noise():
    """0.8^n < 0.4 after five steps: the smoothed loss is then above three of five deviations."""
    detector = ShiftDetector(window=100)
    for step in range(200):
        detector.update(1.0 if step % 2 else -1.0)  # mean 0, deviation 1
    detector.settle()
    told = [detector.update(5.0) for _ in range(8)]
    assert told.index(True) + 1 == 5


def test_a_step_of_two_deviations_is_never_caught():
    """The limit of the method: the smoothed loss converges to the new mean, below the threshold."""
    detector = ShiftDetector(window=100)
    for step in range(200):
        detector.update(1.0 if step % 2 else -1.0)
    assert not any(detector.update(2.0) for _ in range(1000))


def test_slow_drift_needs_the_sum():
    plain, summing = ShiftDetector(), ShiftDetector(cusum=20.0)
    losses = [loss + max(0, step - 200) * 0.01 for step, loss in enumerate(noisy(1200))]
    assert not any([plain.update(loss) for loss in losses])
    assert any([summing.update(loss) for loss in losses])
    quiet = ShiftDetector(cusum=20.0)
    assert not any([quiet.update(loss) for loss in noisy(1200, seed=4)])


def test_nothing_is_told_before_the_window_is_full():
    detector = ShiftDetector(window=50, warmup=30)
    falling = [100.0 / (1 + step) for step in range(30)]
    assert not any(detector.update(loss) for loss in falling)
    assert len(detector.losses) == 0 and detector.smoothed is None
    assert not any(detector.update(loss) for loss in [1.0] * 49 + [50.0])
    assert detector.threshold < float("inf")


def test_shifted_losses_stay_out_of_the_window():
    detector = ShiftDetector(window=20, floor=0.1)
    for loss in noisy(60):
        detector.update(loss)
    before = detector.threshold
    for _ in range(50):
        detector.update(1000.0)
    assert detector.threshold == before
    detector.reset()
    assert detector.threshold == float("inf") and detector.smoothed is None


def test_one_outlier_is_no_shift_for_the_robust_range():
    losses = [loss * 0.1 for loss in noisy(100)]
    losses[50] = 2.0
    plain, robust = ShiftDetector(), ShiftDetector(robust=True)
    for loss in losses:
        plain.update(loss)
        robust.update(loss)
    assert robust.threshold < 0.5


def stream(switcher, tasks, steps=60, seed=0):
    """Experts are good at the task they were made for: loss about 1 there, about 9 elsewhere."""
    source, speciality, visited = random.Random(seed), {0: tasks[0]}, []
    for task in tasks:

        def loss_of(m, task=task):
            return (1.0 if speciality.get(m) == task else 9.0) + source.gauss(0, 0.1)

        for _ in range(steps):
            switcher.step(loss_of(switcher.active), loss_of, lambda m, task=task: speciality.update({m: task}))
        visited.append(switcher.active)
    return visited


def test_a_task_that_comes_back_gets_its_expert_back():
    switcher = ExpertSwitcher(window=20)
    assert stream(switcher, ["t1", "t2", "t3", "t2", "t4"]) == [0, 1, 2, 1, 3]
    assert switcher.num_experts == 4


def test_cap():
    switcher = ExpertSwitcher(window=20, max_experts=2)
    visited = stream(switcher, ["t1", "t2", "t3", "t1"])
    assert switcher.num_experts == 2 and visited[3] == 0
    switcher = ExpertSwitcher(window=5, max_experts=1, floor=0.1)
    told = [switcher.step(loss, lambda m: 0.0) for loss in [1.0] * 6 + [9.0]]
    assert told[-1].capped and not told[-1].new and told[-1].after == 0


def test_reservoir_is_even_and_bounded():
    """Chi-square over a thousand buffers: every item is kept as often."""
    kept = Counter()
    for seed in range(1000):
        buffer = ReservoirBuffer(5, seed=seed)
        for item in range(50):
            buffer.add(item)
            assert len(buffer.items()) == min(item + 1, 5)
        kept.update(buffer.items())
    expected = 1000 * 5 / 50
    assert sum((kept[item] - expected) ** 2 / expected for item in range(50)) < 86  # 99.9 % of chi-square with 49


def test_new_prompt_is_at_right_angles():
    g = torch.Generator().manual_seed(0)
    prompts = torch.randn(1, 8, generator=g)
    while len(prompts) < 8:
        new = orthogonal_prompt(prompts, generator=g)
        assert float(torch.cosine_similarity(new.unsqueeze(0), prompts).abs().max()) < 1e-6
        assert float(new.norm()) == pytest.approx(1)
        prompts = torch.cat([prompts, 3 * new.unsqueeze(0)])
    with pytest.raises(UserError, match="span all 8 directions"):
        orthogonal_prompt(prompts)


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_growing_and_shrinking(head):
    torch.manual_seed(0)
    options = {"noise": True, "init": "normal"} if head == "linear" else {}
    router = Router.of(5, 3, head=head, head_options=options, bias=SelectionBias(3))
    router.bias.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    mixture = Mixture(ExpertList([nn.Linear(5, 2) for _ in range(3)], per_token=True), router).eval()
    x = torch.randn(7, 5)
    out, route = mixture(x)
    grown = add_expert(mixture, like=1)
    _, more = grown(x)
    torch.testing.assert_close(more.logits[:, 3], route.logits[:, 1])
    torch.testing.assert_close(more.logits[:, :3], route.logits)
    assert grown.router.bias.bias.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.0])
    torch.testing.assert_close(remove_expert(grown, 3)(x)[0], out)
    fresh = add_expert(mixture)
    assert not torch.equal(fresh.experts.experts[3].weight, mixture.experts.experts[0].weight)
    assert fresh(x)[1].weights.shape == (7, 4) and len(mixture.experts) == 3
    fewer = remove_expert(mixture, 0)
    torch.testing.assert_close(fewer(x)[1].logits, route.logits[:, 1:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ShiftDetector(alpha=0.0), "alpha is 0.0"),
        (lambda: ShiftDetector(window=1), "window is 1"),
        (lambda: ShiftDetector(floor=0.0), "floor 0.0"),
        (lambda: ShiftDetector().update(float("nan")), "a loss is nan, expected a finite number"),
        (lambda: ExpertSwitcher(max_experts=0), "max_experts is 0"),
        (lambda: ReservoirBuffer(0), "size is 0"),
        (lambda: add_expert(Mixture(lambda x, adj: x, Router.of(2, 2))), "expected an ExpertList"),
        (
            lambda: add_expert(Mixture(ExpertList([nn.Linear(2, 1)], per_token=True), Router.of(2, 1)), like=4),
            "there is no expert 4",
        ),
        (
            lambda: remove_expert(Mixture(ExpertList([nn.Linear(2, 1)], per_token=True), Router.of(2, 1)), 0),
            "cannot be removed",
        ),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
