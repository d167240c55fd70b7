"""What routing amounts to, by hand; similarity of experts; what a mixture wins."""

import json
import math

import pytest
import torch

from graphkit.analysis import (
    RoutingMonitor,
    calibration_error,
    effective_experts,
    expert_cka,
    linear_cka,
    mixture_gains,
    prompt_cosines,
    routing_entropy,
)
from graphkit.errors import UserError
from graphkit.nn.routing import RouteOutput


def gates(rows, seed=0):
    g = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(rows, 4, generator=g)).softmax(1)


def test_summary_by_hand():
    monitor = RoutingMonitor(3)
    a = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    b = torch.tensor([0.0, 0.5, 0.5])
    monitor.update(a[:1], source="a")
    monitor.update(b, source="b")
    monitor.update(a[1:], source="a")
    found = monitor.summary()
    assert found["sources"] == ["a", "b"] and found["decisions"] == 3
    third = pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert found["utilisation"].tolist() == third
    assert found["utilisation_by_source"].tolist() == [[1.0, 0.5, 0.0], [0.0, 1.0, 1.0]]
    assert found["importance"].tolist() == pytest.approx([0.5, 1 / 3, 1 / 6])
    assert found["importance_by_source"].tolist() == [[0.75, 0.25, 0.0], [0.0, 0.5, 0.5]]

    def h(*p):
        return -sum(x * math.log(x) for x in p if x)

    mean = h(1 / 2, 1 / 3, 1 / 6)
    each = 2 * math.log(2) / 3
    assert found["entropy"] == pytest.approx(each / math.log(3))
    assert found["entropy_of_mean"] == pytest.approx(mean / math.log(3))
    assert found["information"] == pytest.approx(mean - each)
    assert found["source_information"] == pytest.approx(mean - 2 / 3 * h(0.75, 0.25) - 1 / 3 * h(0.5, 0.5))
    assert found["effective_experts"] == pytest.approx(math.exp(mean))
    assert found["active"] == pytest.approx(5 / 3) and found["dead"] == []


def test_use_is_what_the_mask_says():
    p = torch.tensor([[0.9, 0.1]])
    monitor = RoutingMonitor(2)
    monitor.update(RouteOutput(p.log(), p, torch.tensor([[1.0, 0.0]]), torch.tensor([[True, False]]), None, {}))
    assert monitor.summary()["utilisation"].tolist() == [1.0, 0.0] and monitor.summary()["dead"] == [1]


@pytest.mark.parametrize(
    ("rows", "entropy", "of_mean", "information"),
    [
        (torch.eye(4), 0.0, 1.0, math.log(4)),  # specialised
        (torch.eye(4)[[0, 0, 0]], 0.0, 0.0, 0.0),  # collapse
        (torch.full((5, 4), 0.25), 1.0, 1.0, 0.0),  # the router does nothing
    ],
)
def test_the_three_pictures(rows, entropy, of_mean, information):
    monitor = RoutingMonitor(4)
    for number, row in enumerate(rows):
        monitor.update(row, source=number)
    found = monitor.summary()
    assert found["entropy"] == pytest.approx(entropy, abs=1e-9)
    assert found["entropy_of_mean"] == pytest.approx(of_mean, abs=1e-9)
    assert found["information"] == pytest.approx(information, abs=1e-9)
    assert found["source_information"] == pytest.approx(information, abs=1e-9)


def test_batches_do_not_matter():
    whole, parts = RoutingMonitor(4), RoutingMonitor(4)
    w = gates(30)
    whole.update(w)
    for part in w.split(7):
        parts.update(part)
    found, expected = parts.summary(), whole.summary()
    assert found.pop("sources") == expected.pop("sources") == ["all"]
    torch.testing.assert_close(found, expected)


def test_losses_and_confidence_by_source():
    monitor = RoutingMonitor(2)
    monitor.update(torch.tensor([0.5, 0.5]), source="a", losses=torch.tensor([1.0, float("nan")]))
    monitor.update(torch.tensor([0.5, 0.5]), source="a", losses=torch.tensor([3.0, 5.0]))
    monitor.update(torch.tensor([[0.5, 0.5]] * 2), source="b", confidence=torch.tensor([[0.2, 0.8], [0.4, 0.6]]))
    record = monitor.record()
    assert record["loss_by_source"] == [[2.0, 5.0], [None, None]]
    assert record["confidence_by_source"] == [[None, None], [0.3, 0.7]]


def test_fluctuation_of_a_probe():
    monitor = RoutingMonitor(2)
    first = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    assert monitor.probe(first) is None and monitor.probe(first) == 0.0
    monitor.reset()
    assert monitor.probe(first.flip(1)) == 1.0
    monitor.update(first)
    assert monitor.summary()["fluctuation"] == 1.0


def test_record_is_plain():
    monitor = RoutingMonitor(4)
    monitor.update(gates(5), source=3, losses=torch.full((4,), float("nan")))
    monitor.prompts(torch.randn(4, 3), orthogonality=torch.tensor(1.25))
    monitor.outputs(torch.randn(4, 6, 2))
    p = gates(8)
    monitor.gains(mixture_gains(p, p.unsqueeze(0).expand(4, -1, -1), p.argmax(1)))
    record = monitor.record()
    again = json.loads(json.dumps(record, allow_nan=False))
    assert again == record and record["sources"] == ["3"] and record["orthogonality"] == 1.25
    assert len(record["prompt_cosines"]) == len(record["cka"]) == 4
    assert record["gains"]["useful"] is False


def test_nothing_learns_from_being_watched():
    w = gates(3).requires_grad_()
    monitor = RoutingMonitor(4)
    monitor.update(w)
    assert not monitor.summary()["importance"].requires_grad


def test_entropy_and_effective_number():
    assert routing_entropy(torch.full((2, 8), 0.125)).tolist() == pytest.approx([math.log(8)] * 2)
    for k in (1, 3, 8):
        assert effective_experts(torch.tensor([1 / k] * k + [0.0] * (8 - k))) == pytest.approx(k)


def test_cka_against_the_kernels():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 5, generator=g, dtype=torch.float64), torch.randn(20, 3, generator=g, dtype=torch.float64)
    centre = torch.eye(20, dtype=torch.float64) - 1 / 20
    k, m = centre @ x @ x.t() @ centre, centre @ y @ y.t() @ centre
    assert linear_cka(x, y) == pytest.approx(float((k * m).sum() / (k.norm() * m.norm())))
    turn = torch.linalg.qr(torch.randn(5, 5, generator=g, dtype=torch.float64)).Q
    assert linear_cka(x, 3 * x @ turn + 7) == pytest.approx(1)
    assert linear_cka(x, torch.ones(20, 2)) == 0.0
    pairs = expert_cka(torch.stack([x, 2 * x, x.flip(0)]))
    assert float(pairs[0, 1]) == pytest.approx(1) and float(pairs[0, 2]) == pytest.approx(linear_cka(x, x.flip(0)))
    assert torch.equal(pairs, pairs.t())


def test_prompts():
    cosines, norms = prompt_cosines(torch.tensor([[1.0, 1.0], [2.0, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(cosines[0, 1], torch.tensor(0.5**0.5, dtype=torch.float64))
    assert cosines[2].tolist() == [0.0, 0.0, 0.0] and norms.tolist() == pytest.approx([2**0.5, 2.0, 0.0])


def test_gains_by_hand():
    y = torch.tensor([0, 1, 0, 1])
    first = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])  # right on 0, 2, 3
    second = torch.tensor([[0.4, 0.6], [0.0, 1.0], [0.3, 0.7], [0.8, 0.2]])  # right on 1
    found = mixture_gains(first, torch.stack([first, second]), y)
    assert (found.mixture, found.best_single, found.oracle) == (0.75, 0.75, 1.0)
    assert found.singles == [0.75, 0.25]
    assert found.uniform == 0.5  # averages: .65, .45, .45, .6 of class 0
    assert found.useful and "does not help" not in str(found)
    same = mixture_gains((first + second) / 2, torch.stack([first, second]), y)
    assert not same.useful and "does not help" in str(same)


def test_calibration_error_against_a_loop():
    g = torch.Generator().manual_seed(0)
    p, y = (3 * torch.randn(300, 4, generator=g)).softmax(1), torch.randint(4, (300,), generator=g)
    total = 0.0
    for b in range(15):
        inside = [i for i in range(300) if b / 15 < float(p[i].double().max()) <= (b + 1) / 15]
        if inside:
            accuracy = sum(int(p[i].argmax()) == int(y[i]) for i in inside) / len(inside)
            confidence = sum(float(p[i].double().max()) for i in inside) / len(inside)
            total += len(inside) / 300 * abs(accuracy - confidence)
    assert calibration_error(p, y) == pytest.approx(total)
    sure = torch.nn.functional.one_hot(y, 4).double()
    assert calibration_error(sure, y) == 0.0 and calibration_error(sure, (y + 1) % 4) == 1.0
    assert calibration_error(p[:0], y[:0]) == 0.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RoutingMonitor(2).summary(), "the monitor has seen no decision"),
        (lambda: RoutingMonitor(2).update(torch.ones(3, 3)), r"decisions are \[3, 3\], expected \[T, 2\] or \[2\]"),
        (lambda: RoutingMonitor(2).update(torch.ones(1, 2), losses=torch.ones(3)), r"losses are \[1, 3\]"),
        (lambda: linear_cka(torch.ones(3, 2), torch.ones(4, 2)), "of the same nodes"),
        (lambda: mixture_gains(torch.ones(3, 2), torch.ones(2, 3, 3), torch.ones(3)), r"probabilities are \[3, 2\]"),
        (lambda: mixture_gains(torch.ones(0, 2), torch.ones(2, 0, 2), torch.ones(0)), "there are no instances"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
