"""Alignment of routers: neighbours by hand, gradients, what may be looked at and what may change."""

import copy

import pytest
import torch
from torch import nn

from graphkit.errors import UserError
from graphkit.nn import ExpertList, Mixture, RouteInput, Router
from graphkit.nn.router_alignment import (
    ManifoldLoss,
    align_router,
    distill_gate,
    manifold_loss,
    out_of_fold_success,
    successes,
    successful_neighbors,
)


def sample(count=12, seed=0):
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, 3, generator=g, dtype=torch.float64),
        torch.randn(count, 4, generator=g, dtype=torch.float64).softmax(1),
        torch.arange(count) % 3 > 0,
    )


@pytest.mark.parametrize("k", [1, 3, 50, None])
@pytest.mark.parametrize("least", [None, 0.4])
def test_neighbours_written_out(k, least):
    e, _, s = sample()
    found = successful_neighbors(e, s, k=k, least=least, sigma=1.3)
    for i in range(12):
        similar = {
            j: float(torch.exp(-(e[i] - e[j]).square().sum() / (2 * 1.3**2))) for j in range(12) if s[j] and j != i
        }
        similar = {j: v for j, v in similar.items() if least is None or v >= least}
        best = sorted(similar, key=lambda j: -similar[j])[: k or 12]
        total = sum(similar[j] for j in best)
        expected = {j: pytest.approx(similar[j] / total) for j in best}
        got = {int(j): float(w) for j, w in zip(found.places[i], found.weight[i], strict=True) if w > 0}
        assert got == expected


def test_rows_sum_to_1_or_to_nothing():
    e, _, s = sample()
    found = successful_neighbors(e, s, k=4)
    torch.testing.assert_close(found.weight.sum(1), torch.ones(12, dtype=torch.float64))
    one = torch.zeros(12, dtype=torch.bool)
    one[5] = True
    alone = successful_neighbors(e, one, k=4)
    assert alone.weight.sum(1).tolist() == [1.0] * 5 + [0.0] + [1.0] * 6  # token 5 has nobody but itself
    none = successful_neighbors(e, torch.zeros(12, dtype=torch.bool))
    assert float(manifold_loss(sample()[1], none)) == 0


def test_unsuccessful_tokens_are_never_neighbours():
    e, r, s = sample()
    found = successful_neighbors(e, s, k=20)
    assert bool(s[found.places[found.weight > 0]].all())
    targets = r.clone()
    targets[~s] = torch.nan
    # their targets may be anything, as nobody looks at them
    safe = torch.where(targets.isnan(), 0.0, targets)
    other = torch.where(targets.isnan(), 7.0, targets)
    kept = successful_neighbors(e, s, k=4)
    assert float(manifold_loss(r, kept, safe)) == float(manifold_loss(r, kept, other))


def test_loss_vanishes_where_neighbours_agree():
    e, r, s = sample()
    found = successful_neighbors(e, s)
    assert float(manifold_loss(r[:1].expand(12, -1), found)) == 0


def test_gradient_by_hand():
    e, r, s = sample()
    found = successful_neighbors(e, s, k=3)
    r.requires_grad_()
    manifold_loss(r, found).backward()
    expected = torch.zeros_like(r)
    for i in range(12):
        for j, w in zip(found.places[i], found.weight[i], strict=True):
            expected[i] += 2 * w * (r[i] - r[j]).detach() / 12
    torch.testing.assert_close(r.grad, expected)
    rows = torch.tensor([7, 2])
    part = manifold_loss(r[rows], found, r, rows=rows)
    single = [manifold_loss(r[i : i + 1], found, r, rows=torch.tensor([i])) for i in (7, 2)]
    torch.testing.assert_close(part, sum(single) / 2)


def test_only_known_labels_are_looked_at():
    y, known = torch.tensor([0.0, 1.0, 2.0, 1.0]), torch.tensor([True, True, False, False])
    predicted = torch.tensor([0, 0, 2, 1])
    masked = torch.where(known, y, torch.nan)
    assert (
        successes(predicted, y, known).tolist()
        == successes(predicted, masked, known).tolist()
        == [True, False, False, False]
    )


def test_out_of_fold():
    """A model that remembers everything is right on what it has seen, and only chance out of fold."""
    g = torch.Generator().manual_seed(0)
    y, known = torch.randint(2, (200,), generator=g), torch.arange(200) < 150
    seen = []

    def remember(learn, ask):
        assert not set(learn.tolist()) & set(ask.tolist()) and int(learn.max()) < 150
        seen.extend(ask.tolist())
        return torch.where(torch.isin(ask, learn), y[ask], torch.zeros_like(ask))

    right = out_of_fold_success(remember, y, known, folds=5)
    assert sorted(seen) == list(range(150)) and not bool(right[150:].any())
    assert torch.equal(right[:150], y[:150] == 0)


def a_mixture():
    torch.manual_seed(0)
    experts = [nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2)) for _ in range(4)]
    return Mixture(ExpertList(experts, per_token=True), Router.of(3, 4, head="mlp")).double()


def tuned(lam, epochs=5):
    mixture, (e, _, s) = a_mixture().eval(), sample()
    y = torch.arange(12) % 2

    def objective():
        out, route = mixture(e)
        return nn.functional.cross_entropy(out, y), route.weights

    history = align_router(
        mixture.router.parameters(), objective, successful_neighbors(e, s), lam=lam, epochs=epochs, lr=0.01
    )
    return mixture, history


def test_only_the_router_changes():
    before = a_mixture().state_dict()
    mixture, history = tuned(10.0, epochs=30)
    after = mixture.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("router.head") for name in changed)
    assert all(p.grad is None for p in mixture.experts.parameters())
    assert history[-1]["manifold"] < history[0]["manifold"]


def test_without_lambda_it_is_plain_tuning():
    mixture, _ = tuned(0.0)
    plain, (e, _, _) = a_mixture().eval(), sample()
    optimizer = torch.optim.Adam(plain.router.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(plain(e)[0], torch.arange(12) % 2).backward()
        optimizer.step()
    for name, tensor in plain.router.state_dict().items():
        assert torch.equal(tensor, mixture.router.state_dict()[name])


def test_targets_are_renewed_now_and_then():
    seen = []
    w = nn.Parameter(torch.eye(2, dtype=torch.float64))
    found = successful_neighbors(torch.zeros(2, 1), torch.tensor([True, True]))
    for refresh in (1, 100):
        with torch.no_grad():
            w.copy_(torch.eye(2))
        align_router([w], lambda: (w.sum() * 0, w), found, epochs=15, lr=0.1, refresh=refresh)
        seen.append(w.detach().clone())
    assert not torch.equal(*seen)


def test_distilled_gate_can_be_aligned():
    """A gate without parameters is taught to a small router, which then has something to tune."""
    e, gate, _ = sample(40)
    torch.manual_seed(0)
    router = Router.of(3, 4, head="mlp", head_options={"hidden_channels": 32}).double()
    gate = (3 * e @ torch.randn(3, 4, dtype=torch.float64)).softmax(1)
    before = copy.deepcopy(router.state_dict())
    losses = distill_gate(router, [(RouteInput(e), gate)], epochs=200)
    entropy = float(torch.special.entr(gate).sum(1).mean())
    assert losses[-1] < losses[0] and losses[-1] - entropy < 0.1
    assert not torch.equal(before["head.net.0.weight"], router.head.net[0].weight)


def test_loss_of_a_mixture():
    mixture, (e, _, s) = a_mixture().eval(), sample()
    found = successful_neighbors(e, s)
    mixture.losses["manifold"] = ManifoldLoss(found)
    _, route = mixture(e)
    torch.testing.assert_close(route.aux["manifold"], manifold_loss(route.weights, found))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: successful_neighbors(torch.ones(3, 1), torch.ones(3).bool(), k=0), "k is 0"),
        (lambda: successful_neighbors(torch.ones(3, 1), torch.ones(3).bool(), sigma=0.0), "sigma is 0.0"),
        (lambda: align_router([], lambda: None, None), "distil its gate into a small router first"),
        (lambda: out_of_fold_success(lambda a, b: b, torch.ones(3), torch.zeros(3).bool()), "there are 0 known labels"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
