"""Completion: calibration, definition, depth, chunks, sampling and gradients."""

import math

import pytest
import torch
from neighbor_graphs import N, every_pair, neighbours, random_edges, shaken, summed

from graphkit.errors import UserError
from graphkit.nn import CommonNeighborHead, CompletedNeighborHead
from graphkit.nn.completed_neighbor import completion_probability
from graphkit.ops import SimpleGraph

F = 6
PAIRS = every_pair()
CALIBRATION = {"scale": 1.3, "offset": 0.2, "prior": 0.3, "weight": 0.8}


def states(seed=3):
    return torch.randn(N, F, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def head_of(seed=1, **options):
    return shaken(CompletedNeighborHead(F, **{**CALIBRATION, **options}), seed)


def plain(head):
    """The NCN of the same weights."""
    ncn = CommonNeighborHead(F, structure=head.structure, node_mlp=head.node_mlp is not None).double().eval()
    ncn.load_state_dict(head.state_dict(), strict=False)
    return ncn


def by_hand(head, x, edges, pairs, depth, removed=()):
    around = neighbours(edges, removed)
    pooled = head.pooled_states(x)
    if depth == 0:
        return plain(head)(
            x, SimpleGraph(edges, num_nodes=N), pairs, removed=None if not removed else _flags(edges, removed)
        )

    def probability(i, j):
        (logit,) = by_hand(head, x, edges, torch.tensor([[i], [j]]), depth - 1, removed)
        p0 = 1 / (1 + math.exp(-head.scale * (float(logit) - head.offset)))
        prior = math.exp(head.log_prior)
        return head.weight * prior * p0 / (prior * p0 + 1 - p0)

    scores = []
    for i, j in pairs.t().tolist():
        weights = {u: 1.0 for u in around[i] & around[j]}
        weights |= {u: probability(j, u) for u in around[i] - around[j] - {i, j}}
        weights |= {u: probability(i, u) for u in around[j] - around[i] - {i, j}}
        if head.structure == "count":
            pool = torch.tensor([sum(weights.values())], dtype=x.dtype)
        else:
            pool = sum((weight * pooled[u] for u, weight in weights.items()), torch.zeros_like(x[0]))
        state = head.pair_mlp((x[i] * x[j])[None]) + head.beta * head.pool_mlp(pool[None])
        scores.append(head.readout(state)[0, 0])
    return torch.stack(scores)


def _flags(edges, removed):
    return SimpleGraph(edges, num_nodes=N).removed_by(torch.tensor(removed).t())


def test_the_closed_form_is_the_ratio_rises_with_the_logit_and_bears_large_ones():
    logit = torch.linspace(-3, 3, 50, dtype=torch.float64)
    p0 = torch.sigmoid(2.5 * (logit - 0.5))
    found = completion_probability(logit, scale=2.5, offset=0.5, log_prior=math.log(0.1), weight=1.05)
    torch.testing.assert_close(found, 1.05 * 0.1 * p0 / (0.1 * p0 + 1 - p0))
    assert bool((found.diff() > 0).all())
    torch.testing.assert_close(completion_probability(logit, scale=2.5, offset=0.5, weight=0.4), 0.4 * p0)
    ends = completion_probability(torch.tensor([-1e6, 1e6]), scale=5.0, offset=0.0, log_prior=-3.0)
    assert ends.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("structure", ["pool", "count"])
@pytest.mark.parametrize("depth", [0, 1, 2])
@torch.no_grad()
def test_scores_are_their_definition(structure, depth):
    x, edges, pairs = states(), random_edges(), PAIRS[:, :: 9 if depth == 2 else 3]
    head = head_of(structure=structure, depth=depth)
    torch.testing.assert_close(head(x, edges, pairs), by_hand(head, x, edges, pairs, depth), rtol=1e-8, atol=1e-8)


@torch.no_grad()
def test_removed_edges_are_hidden_from_completion_too():
    x, edges, head = states(), random_edges(), head_of()
    removed = edges[:, 1::4].t().tolist()
    graph = SimpleGraph(edges, num_nodes=N)
    scores = head(x, graph, PAIRS[:, ::3], removed=graph.removed_by(torch.tensor(removed).t()))
    expected = by_hand(head, x, edges, PAIRS[:, ::3], 1, removed)
    torch.testing.assert_close(scores, expected, rtol=1e-8, atol=1e-8)


@torch.no_grad()
def test_without_weight_it_is_ncn_and_with_certainty_the_union():
    x, edges = states(), random_edges()
    none = head_of(weight=0.0)
    torch.testing.assert_close(none(x, edges, PAIRS), plain(none)(x, edges, PAIRS), rtol=1e-12, atol=1e-12)
    assert torch.equal(head_of(depth=0)(x, edges, PAIRS), plain(head_of(depth=0))(x, edges, PAIRS))
    sure, around = head_of(scale=0.0, prior=1e12, weight=1.0), neighbours(edges)
    pooled = sure.pooled_states(x)
    union = torch.stack([summed(pooled, (around[i] | around[j]) - {i, j}) for i, j in PAIRS.t().tolist()])
    state = sure.pair_mlp(sure.product(x, PAIRS)) + sure.beta * sure.pool_mlp(union)
    torch.testing.assert_close(sure(x, edges, PAIRS), sure.readout(state).squeeze(1), rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_a_constant_inner_logit_gives_the_closed_form_at_any_depth(monkeypatch):
    x, edges, around = states(), random_edges(), neighbours(random_edges())
    for depth in (1, 3):
        head = head_of(depth=depth)
        monkeypatch.setattr(head, "_inner", lambda x, pooled, graph, links, *_: x.new_full((links.shape[1],), 0.7))
        p = completion_probability(torch.tensor(0.7), scale=1.3, offset=0.2, log_prior=math.log(0.3), weight=0.8)
        pooled = head.pooled_states(x)
        sums = [
            summed(pooled, around[i] & around[j]) + float(p) * summed(pooled, (around[i] ^ around[j]) - {i, j})
            for i, j in PAIRS.t().tolist()
        ]
        state = head.pair_mlp(head.product(x, PAIRS)) + head.beta * head.pool_mlp(torch.stack(sums))
        torch.testing.assert_close(head(x, edges, PAIRS), head.readout(state).squeeze(1), rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_symmetry_chunks_and_company_leave_scores_alone():
    x, edges = states(), random_edges()
    scores = head_of(depth=2)(x, edges, PAIRS)
    assert torch.equal(scores, head_of(depth=2)(x, edges, PAIRS.flip(0)))
    for size in (1, 5):
        torch.testing.assert_close(head_of(depth=2, split_size=size)(x, edges, PAIRS), scores, rtol=1e-11, atol=1e-11)
    parts = torch.cat([head_of(depth=2)(x, edges, part) for part in PAIRS.split(8, 1)])
    torch.testing.assert_close(parts, scores, rtol=1e-11, atol=1e-11)
    name = torch.randperm(N, generator=torch.Generator().manual_seed(4))
    moved = torch.empty_like(x)
    moved[name] = x
    torch.testing.assert_close(head_of(depth=2)(moved, name[edges], name[PAIRS]), scores, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_missing_links_are_scored_once_each_but_by_the_released_code_in_training(monkeypatch):
    x, edges, asked = states(), random_edges(), []
    for compat, training in ((False, False), (False, True), (True, False), (True, True)):
        head = head_of(compat=compat).train(training)
        inner, kept = head.logits, []

        def counting(x, pooled, graph, pairs, removed, depth=None, inner=inner, kept=kept):
            if depth == 0:
                kept.append(pairs)
            return inner(x, pooled, graph, pairs, removed, depth)

        monkeypatch.setattr(head, "logits", counting)
        head(x, edges, PAIRS)
        links = torch.cat(kept, 1)
        asked.append((links.shape[1], len({tuple(pair) for pair in links.t().tolist()})))
    assert asked[0] == asked[1] == asked[2] and asked[0][0] == asked[0][1]
    assert asked[3][0] > asked[3][1] == asked[0][0]


@torch.no_grad()
def test_the_released_code_scores_missing_links_from_transformed_states():
    x, edges, head = states(), random_edges(), head_of(compat=True)
    graph, ncn = SimpleGraph(edges, num_nodes=N), plain(head)
    ptr, node, found = head.completion(x, head.pooled_states(x), graph, PAIRS, None)
    side = torch.repeat_interleave(torch.arange(2 * PAIRS.size(1)), ptr.diff())
    missing = torch.stack([torch.cat([PAIRS[1], PAIRS[0]])[side], node])
    logit = ncn(head.pooled_states(x), graph, missing)
    expected = completion_probability(logit, scale=1.3, offset=0.2, log_prior=head.log_prior, weight=0.8)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(found, head_of().completion(x, head.pooled_states(x), graph, PAIRS, None)[2])


@torch.no_grad()
def test_capped_completion_has_the_expectation_of_the_whole():
    x, edges = states(), random_edges(edges=50)
    graph, pairs = SimpleGraph(edges, num_nodes=N), PAIRS[:, ::4]
    head, whole = head_of(max_residual=2).train(), head_of()

    def mass(head):
        ptr, _, p = head.completion(x, head.pooled_states(x), graph, pairs, None)
        side = torch.repeat_interleave(torch.arange(len(ptr) - 1), ptr.diff())
        return torch.zeros(len(ptr) - 1, dtype=p.dtype).index_add(0, side, p)

    torch.manual_seed(0)
    draws = torch.stack([mass(head) for _ in range(300)])
    error = (draws.mean(0) - mass(whole)).abs() / (draws.std(0) / 300**0.5).clamp(min=1e-6)
    assert float((error < 3).double().mean()) > 0.97 and float(error.max()) < 6
    torch.testing.assert_close(mass(head_of(max_residual=N).train()), mass(whole))
    sparse = head_of(max_residual_eval=2, max_common=3)
    assert torch.equal(sparse(x, graph, pairs), sparse(x, graph, pairs))


def test_gradients_reach_states_and_a_learned_prior_but_no_inner_logit():
    edges, pairs = random_edges(), PAIRS[:, ::6]
    head = head_of(learn_prior=True)
    x = states().requires_grad_()
    assert torch.autograd.gradcheck(lambda states: head.prior_mlp(head.product(states, pairs)).sum(), (x,))
    head(x, edges, pairs).sum().backward()
    assert all(bool((p.grad != 0).any()) for p in head.prior_mlp.parameters())
    fixed = head_of()
    graph = SimpleGraph(edges, num_nodes=N)
    ptr, _, p = fixed.completion(x, fixed.pooled_states(x), graph, pairs, None)
    assert not p.requires_grad
    _, _, learned = head.completion(x, head.pooled_states(x), graph, pairs, None)
    (grad,) = torch.autograd.grad(learned.sum(), head.prior_mlp[2].bias)
    # dP / d ln p_t = P (1 - P / alpha), and d ln p_t / d b = 1 - p_t for a sigmoid of b
    prior = torch.sigmoid(head.prior_mlp(head.product(x, pairs))).squeeze(1)
    side = torch.repeat_interleave(torch.arange(len(ptr) - 1), ptr.diff()) % pairs.size(1)
    expected = (learned * (1 - learned / head.weight) * (1 - prior[side])).sum()
    torch.testing.assert_close(grad[0], expected, rtol=1e-9, atol=1e-9)


def test_a_learned_prior_begins_where_it_is_told():
    head = CompletedNeighborHead(F, prior=0.3, learn_prior=True)
    torch.testing.assert_close(torch.sigmoid(head.prior_mlp(torch.randn(3, F))), torch.full((3, 1), 0.3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structure": "difference"}, "completion serves 'pool'"),
        ({"depth": -1}, "depth is -1"),
        ({"prior": 0.0}, "prior 0.0"),
        ({"prior": 1.0, "learn_prior": True}, "starts at a probability below 1"),
        ({"split_size": 0}, "split_size is 0"),
    ],
)
def test_choices_that_cannot_be(options, message):
    with pytest.raises(UserError, match=message):
        CompletedNeighborHead(F, **options)
