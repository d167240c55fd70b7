"""Gates that stop learning: when, what then rests, and that it pays on a stream of tasks."""

import copy

import pytest
import torch
from torch import nn

from graphkit.errors import UserError
from graphkit.nn import RouteInput, Router
from graphkit.nn.gate_freezing import GateFreezer, SourceTable
from graphkit.nn.routing import decision_margin, routing_fluctuation
from graphkit.nn.routing_losses import SelectionBias, switch_balance


def sure_router(lead=5.0, **options):
    router = Router.of(3, 3, selector="topk", **options)
    with torch.no_grad():
        router.head.weight.copy_(lead * torch.eye(3))
    return router


def looks(router):
    return lambda: router(RouteInput(torch.eye(3)))


def test_never_before_exploration_is_over():
    router = sure_router()
    freezer = GateFreezer(router, looks(router), lr=0.1, c=2.0, window=1)
    told = [freezer.step(looks(router)()) for _ in range(80)]
    assert told.index(True) + 1 == 60 == freezer.frozen_at and sum(told) == 1  # 2 * 3 experts / 0.1


def test_decisions_of_live_experts_are_enough():
    router = sure_router()
    freezer = GateFreezer(router, looks(router), lr=1e-6, decisions=7, window=1)
    told = [freezer.step(looks(router)()) for _ in range(10)]
    assert told.index(True) == 6  # three tokens a step, one for each expert
    alone = GateFreezer(sure_router(), looks(router), decisions=7, window=1)
    one = looks(router)()
    only = one._replace(mask=torch.tensor([[True, False, False]] * 3))
    assert [alone.step(only) for _ in range(4)].index(True) == 2  # experts that nobody asks do not hold it up


def test_an_unsure_or_restless_gate_is_left_alone():
    flat = sure_router(lead=0.1)
    freezer = GateFreezer(flat, looks(flat), decisions=1, window=1)
    assert not any(freezer.step(looks(flat)()) for _ in range(20))
    router = sure_router()
    outputs = [looks(router)()._replace(probs=looks(router)().probs[:, order]) for order in ([0, 1, 2], [1, 0, 2])]
    restless = GateFreezer(router, lambda: outputs[restless.steps % 2], decisions=1, window=1)
    assert not any(restless.step(outputs[0]) for _ in range(20))


def test_conditions_hold_over_a_window():
    router = sure_router()
    freezer = GateFreezer(router, looks(router), decisions=1, window=4)
    assert [freezer.step(looks(router)()) for _ in range(6)].index(True) == 4  # the first step has none before it


def test_a_frozen_gate_rests_in_spite_of_weight_decay():
    torch.manual_seed(0)
    router = sure_router(head_options={"noise": True}, bias=SelectionBias(3, rate=0.5))
    expert = nn.Linear(3, 1)
    optimizer = torch.optim.AdamW([*router.parameters(), *expert.parameters()], lr=0.1, weight_decay=0.5)
    freezer = GateFreezer(router, looks(router), decisions=1, window=1, optimizer=optimizer)

    def step():
        out = router(RouteInput(torch.eye(3), train=True))
        loss = (out.weights * expert(torch.eye(3))).sum() + out.logits.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return out

    step()
    assert any(p in optimizer.state for p in router.parameters())
    while not freezer.step(looks(router)()):
        pass
    before = {name: tensor.clone() for name, tensor in router.state_dict().items()}
    weight = expert.weight.clone()
    router.train()
    for _ in range(5):
        step()
    assert all(torch.equal(tensor, before[name]) for name, tensor in router.state_dict().items())
    assert not torch.equal(expert.weight, weight)
    assert not any(p in optimizer.state for p in router.parameters())


def test_any_router_can_be_frozen():
    class Own(nn.Module):
        num_experts = 3

        def __init__(self):
            super().__init__()
            self.inner = sure_router()

        def forward(self, given):
            return self.inner(given)

    router = Own()
    freezer = GateFreezer(router, looks(router), decisions=1, window=1)
    while not freezer.step(looks(router)()):
        pass
    assert not any(p.requires_grad for p in router.parameters()) and not router.training


TASKS, WIDTH, EXPERTS = 3, 8, 6


def a_batch(g, features, truth, task):
    x = 0.2 * torch.randn(4, WIDTH, generator=g)
    x[0] += 3 * features[task]
    return x, x @ truth[task]


def train(rounds, g, world, experts, router, optimizer, freezer=None, watch=None):
    """Linear experts are fitted to one task a round; the gate learns to ask those that change little, and to be even."""
    seen = []
    for number in range(rounds):
        x, y = a_batch(g, *world, int(torch.randint(TASKS, (1,), generator=g)))
        out = router(RouteInput(x.sum(0, keepdim=True), train=True, rng=g))
        m = int(out.mask[0].nonzero())
        step = x.t() @ torch.linalg.solve(x @ x.t(), y - x @ experts[m])
        experts[m] += step
        if out.probs.requires_grad:
            loss = out.probs[0, m] * step.norm() + 0.3 * switch_balance(out.probs, out.mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if watch is not None and number % 5 == 4:
            seen.append(watch())
        if freezer is not None and freezer.step(out):
            break
    return seen


def forgetting(seed):
    """Mean error over all tasks after the gate has settled, with a frozen gate and with one that goes on; None: never settled."""
    g = torch.Generator().manual_seed(seed)
    world = torch.eye(WIDTH)[torch.randperm(WIDTH, generator=g)[:TASKS]], torch.randn(TASKS, WIDTH, generator=g)
    experts, probe = torch.zeros(EXPERTS, WIDTH), RouteInput(3 * world[0])
    router = Router.of(WIDTH, EXPERTS, selector="topk", head_options={"noise": True})
    tests = [a_batch(g, *world, task) for task in range(TASKS)]
    optimizer = torch.optim.SGD([router.head.weight], lr=0.3)
    freezer = GateFreezer(router, lambda: router(probe), lr=0.3, c=3.0, window=5)
    train(180, g, world, experts, router, optimizer, freezer)
    if freezer.frozen_at is None:
        return None
    errors = []
    for frozen in (True, False):
        gate, own, stream = copy.deepcopy(router), experts.clone(), torch.Generator()
        stream.set_state(g.get_state())
        if not frozen:
            gate.frozen.fill_(False)
            gate.requires_grad_(True)

        def error(gate=gate, own=own):
            with torch.no_grad():
                asked = gate(probe).weights.argmax(1)
            return sum(float((x @ own[asked[t]] - y).square().mean()) for t, (x, y) in enumerate(tests)) / TASKS

        seen = train(40, stream, world, own, gate, torch.optim.SGD([gate.head.weight], lr=0.3), watch=error)
        errors.append(sum(seen[3:]) / len(seen[3:]))
    return errors


def test_freezing_forgets_less():
    """A stream of linear tasks, more experts than tasks: on the mean over 20 seeds the frozen gate forgets less."""
    found = [errors for errors in map(forgetting, range(20)) if errors is not None]
    assert len(found) >= 15
    frozen, learning = (sum(errors[way] for errors in found) / len(found) for way in (0, 1))
    assert frozen < 0.7 * learning


def test_fluctuation_and_margin():
    p = torch.tensor([[0.6, 0.4, 0.0], [0.1, 0.2, 0.7]])
    assert routing_fluctuation(p, p) == 0.0 and routing_fluctuation(p, p[:, [1, 2, 0]]) == 1.0
    assert routing_fluctuation(p, torch.tensor([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0]])) == 0.5
    assert routing_fluctuation(p[:0], p[:0]) == 0.0
    assert decision_margin(p).tolist() == pytest.approx([0.2, 0.5])
    assert decision_margin(torch.ones(2, 1)).tolist() == [1.0, 1.0]
    with pytest.raises(UserError, match="expected the same tokens and experts"):
        routing_fluctuation(p, p[:1])


def test_table_of_sources():
    table = SourceTable(3)
    table.store(2, torch.tensor([1.0, 1.0, 0.0]))
    table.store(0, torch.tensor([0.0, 0.0, 1.0]))
    out = table(RouteInput(torch.zeros(3, 1), domain=torch.tensor([0, 2, 0])))
    assert out.weights.tolist() == [[0, 0, 1], [0.5, 0.5, 0], [0, 0, 1]]
    assert out.mask.tolist() == [[False, False, True], [True, True, False], [False, False, True]]
    other = SourceTable(3)
    other.load_state_dict(table.state_dict())
    assert torch.equal(other(RouteInput(torch.zeros(1, 1), domain=2)).weights, out.weights[1:2])
    with pytest.raises(UserError, match=r"source 1 has no entry, known: \[0, 2\]"):
        table(RouteInput(torch.zeros(1, 1), domain=1))
    with pytest.raises(UserError, match=r"needs RouteInput\.domain"):
        table(RouteInput(torch.zeros(1, 1)))
    with pytest.raises(UserError, match="expected 3 numbers >= 0"):
        table.store(1, torch.zeros(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "freezing too early locks in noise"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"lr": 1.0, "window": 0}, "window is 0"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(UserError, match=message):
        GateFreezer(sure_router(), lambda: None, **options)
