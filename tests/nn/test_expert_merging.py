"""Merging of experts: permutations keep functions, alignment recognises copies, merged mixtures say what they should."""

import copy

import pytest
import torch
from torch import nn
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from graphkit.errors import UserError
from graphkit.nn import ExpertList, Mixture, RouteInput, Router
from graphkit.nn.channel_axes import channel_map, expert_states, permuted
from graphkit.nn.expert_alignment import align_expert, expert_distance
from graphkit.nn.expert_merging import (
    AliasedExperts,
    GroupedHead,
    distillation_loss,
    group_experts,
    merge_experts,
    merge_mixture,
    merged_prompt,
    parameter_count,
    routing_statistics,
)

KINDS = {
    "gcn": lambda: GCN(5, 8, 3, 3, norm="batch_norm"),
    "sage": lambda: GraphSAGE(5, 8, 3, 3, norm="batch_norm"),
    "gin": lambda: GIN(5, 8, 3, 3, norm="batch_norm"),
    "gat": lambda: GAT(5, 8, 3, 3, heads=2, norm="batch_norm"),
    "gatv2": lambda: GAT(5, 8, 3, 3, heads=4, v2=True),
    "layer_norm": lambda: GCN(5, 8, 2, 3, norm="layer_norm"),
    "perceptron": lambda: nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)
    ),
}
every = pytest.mark.parametrize("kind", KINDS)


def an_expert(kind, seed=0):
    """An expert whose batch norms have seen something."""
    torch.manual_seed(seed)
    expert = KINDS[kind]().double()
    for name, tensor in expert.state_dict().items():
        if ("norm" in name or name.startswith("1.")) and tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return expert.eval()


def a_graph(seed=1):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(12, 5, generator=g, dtype=torch.float64), torch.randint(12, (2, 40), generator=g)


def said(expert):
    x, edges = a_graph()
    return expert(x) if isinstance(expert, nn.Sequential) else expert(x, edges)


def shuffled(channels, state, seed=3):
    """A random permutation of every space, heads as a whole and channels within heads."""
    g = torch.Generator().manual_seed(seed)
    sizes = {}
    for name, axes in channels.tensors.items():
        if name in state:
            shape = state[name].reshape(axes.view).shape if axes.view else state[name].shape
            sizes |= {space: size for space, size in zip(axes.names, shape, strict=True) if space}
    result = {}
    for space, heads in channels.heads.items():
        width = sizes[space] // heads
        order = torch.randperm(heads, generator=g)
        result[space] = torch.cat([h * width + torch.randperm(width, generator=g) for h in order])
    return result


@every
def test_permuting_channels_keeps_the_function(kind):
    expert = an_expert(kind)
    channels, (state,) = channel_map(expert), expert_states([expert])
    turned = copy.deepcopy(expert)
    turned.load_state_dict(permuted(state, shuffled(channels, state), channels))
    assert expert_distance(state, expert_states([turned])[0], channels) > 0.1
    torch.testing.assert_close(said(turned), said(expert), rtol=0, atol=1e-12)
    x, edges = a_graph()
    given = (x.float(),) if isinstance(expert, nn.Sequential) else (x.float(), edges)
    torch.testing.assert_close(turned.float()(*given), expert.float()(*given), rtol=0, atol=1e-6)


@every
def test_alignment_recognises_a_permuted_copy(kind):
    expert = an_expert(kind)
    channels, (state,) = channel_map(expert), expert_states([expert])
    other = permuted(state, shuffled(channels, state), channels)
    found = align_expert(state, other, channels)
    assert found.before > 0.1 and found.after < 1e-10
    back = permuted(other, found.permutations, channels)
    assert all(torch.equal(back[name], state[name]) for name in state)


@every
def test_merging_permuted_copies_gives_the_expert(kind):
    expert = an_expert(kind)
    channels, (state,) = channel_map(expert), expert_states([expert])
    states = [state, permuted(state, shuffled(channels, state), channels)]
    merged, before, after = merge_experts(states, torch.tensor([0, 0]), torch.tensor([0.6, 0.4]), channels)
    result = copy.deepcopy(expert)
    result.load_state_dict(merged[0])
    torch.testing.assert_close(said(result), said(expert), rtol=0, atol=1e-12)
    assert before[1] > 0.1 and after[1] < 1e-10
    unaligned, _, _ = merge_experts(states, torch.tensor([0, 0]), torch.tensor([0.6, 0.4]), channels, align=False)
    result.load_state_dict(unaligned[0])
    assert float((said(result) - said(expert)).abs().max()) > 1e-3  # the classical failure


@every
def test_alignment_never_moves_experts_apart(kind):
    first, second = an_expert(kind, 0), an_expert(kind, 1)
    channels, states = channel_map(first), expert_states([first, second])
    found = align_expert(*states, channels)
    assert found.after <= found.before
    turned = permuted(states[1], found.permutations, channels)
    assert expert_distance(states[0], turned, channels) == pytest.approx(found.after)
    result = copy.deepcopy(second)
    result.load_state_dict(turned)
    torch.testing.assert_close(said(result), said(second), rtol=0, atol=1e-12)


def test_one_hidden_layer_is_aligned_exactly():
    """The assignment of one space is the best of all permutations."""
    from itertools import permutations

    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2)]
    channels, states = channel_map(nets[0]), expert_states(nets)
    best = min(
        expert_distance(states[0], permuted(states[1], {"0": torch.tensor(p)}, channels), channels)
        for p in permutations(range(4))
    )
    assert align_expert(*states, channels).after == pytest.approx(best)


def test_mean_is_weighted_by_use():
    nets = [nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)) for _ in range(3)]
    states, channels = expert_states(nets), channel_map(nets[0])
    usage = torch.tensor([0.6, 0.3, 0.1])
    merged, _, _ = merge_experts(states, torch.tensor([0, 0, 1]), usage, channels, align=False)
    torch.testing.assert_close(merged[0]["0.weight"], (2 * states[0]["0.weight"] + states[1]["0.weight"]) / 3)
    assert all(torch.equal(merged[1][name], states[2][name]) for name in states[2])  # a group of one
    unused, _, _ = merge_experts(states, torch.tensor([0, 0, 1]), torch.tensor([0.0, 0, 1]), channels, align=False)
    torch.testing.assert_close(unused[0]["0.weight"], (states[0]["0.weight"] + states[1]["0.weight"]) / 2)


def test_fisher_weighs_entry_by_entry():
    nets = [nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)) for _ in range(2)]
    states, channels = expert_states(nets), channel_map(nets[0])
    fisher = [{name: torch.rand_like(tensor) for name, tensor in state.items()} for state in states]
    merged, _, _ = merge_experts(states, torch.tensor([0, 0]), torch.ones(2), channels, align=False, fisher=fisher)
    for name in states[0]:
        a, b = fisher[0][name], fisher[1][name]
        torch.testing.assert_close(merged[0][name], (a * states[0][name] + b * states[1][name]) / (a + b))


def test_groups_over_layers():
    usage = [torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])]
    logits = [
        torch.tensor([[1.0, -1.0, 0.9], [0.0, 1.0, 0.1]]),
        torch.tensor([[1.0, 0.1, 0.0], [0.0, 1.0, 1.0]]),
    ]
    assert [a.tolist() for a in group_experts(usage, logits, 2)] == [[0, 0, 0], [0, 0, 0]]
    # expert 0 of the second layer ties with expert 1 and comes first: exactly three stay
    assert [a.tolist() for a in group_experts(usage, logits, 3)] == [[0, 0, 0], [0, 1, 1]]
    assert [a.tolist() for a in group_experts(usage, logits, 6)] == [[0, 1, 2], [0, 1, 2]]


def a_mixture(selector="all", **options):
    torch.manual_seed(0)
    experts = [nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(4)]
    router = Router.of(5, 4, head="mlp", selector=selector, selector_options=options)
    return Mixture(ExpertList(experts, per_token=True), router)


def test_a_merged_mixture_with_aliases_equals_one_with_summed_logits():
    mixture, groups = a_mixture(), torch.tensor([0, 1, 1, 0])
    fewer, report = merge_mixture(mixture, torch.tensor([2.0, 1.0, 1.0, 0.0]), groups=groups)
    x = torch.randn(20, 5)
    out, _ = fewer(x)
    assert isinstance(fewer.experts, AliasedExperts)
    grouped = Mixture(fewer.experts.experts, Router(GroupedHead(fewer.router.head, groups)))
    torch.testing.assert_close(grouped(x)[0], out)
    assert report.parameters == (4 * 75, 2 * 75) and parameter_count(fewer.experts) == 150
    assert float(report.usage.sum()) == pytest.approx(1)
    assert all(after <= before for before, after in zip(report.before, report.after, strict=True))
    assert float(report.after[0]) == 0


def test_merging_leaves_the_mixture_alone_and_nothing_changes_without_groups():
    mixture, x = a_mixture("topk", k=2), torch.randn(20, 5)
    before = {name: tensor.clone() for name, tensor in mixture.state_dict().items()}
    out, _ = mixture(x)
    same, _ = merge_mixture(mixture, torch.ones(4) / 4, groups=torch.arange(4))
    torch.testing.assert_close(same(x)[0], out)
    merge_mixture(mixture, torch.ones(4) / 4, groups=torch.zeros(4, dtype=torch.int64))
    assert all(torch.equal(tensor, before[name]) for name, tensor in mixture.state_dict().items())


def test_two_slots_never_hit_one_merged_expert():
    fewer, _ = merge_mixture(a_mixture("topk", k=2), torch.ones(4), groups=torch.tensor([0, 1, 1, 0]))
    _, route = fewer(torch.randn(50, 5))
    for row in route.mask:
        assert torch.tensor([0, 1, 1, 0])[row].tolist() in ([0, 1], [1, 0])


def test_statistics_of_a_sample_drive_the_merge():
    mixture = a_mixture("topk", k=1)
    outputs = [mixture.router(RouteInput(torch.randn(16, 5))) for _ in range(4)]
    usage, logits = routing_statistics(outputs)
    assert float(usage.sum()) == pytest.approx(1) and logits.shape == (64, 4)
    fewer, report = merge_mixture(mixture, usage, logits=logits, keep=2)
    assert len(fewer.experts.experts) == 2 and len(report.alias.unique()) == 2


def test_merged_prompt_is_exact_where_it_can_be():
    torch.manual_seed(0)
    prompts, weights = (
        torch.randn(3, 4, dtype=torch.float64),
        torch.randn(1, 4, 6, dtype=torch.float64).expand(3, -1, -1),
    )
    usage = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    found = merged_prompt(prompts, weights, usage, weights[0])
    torch.testing.assert_close(found, usage @ prompts)
    mixed = torch.randn(3, 4, 6, dtype=torch.float64)
    merged = torch.einsum("g,gdh->dh", usage, mixed)
    wanted = torch.einsum("g,gd,gdh->h", usage, prompts, mixed)
    found = merged_prompt(prompts, mixed, usage, merged)
    rest = wanted - found @ merged
    torch.testing.assert_close(merged @ rest, torch.zeros(4, dtype=torch.float64))  # least squares


def test_distillation():
    s, t = torch.randn(6, 3, requires_grad=True), torch.randn(6, 3, requires_grad=True)
    p, q = (t / 2).softmax(1), (s / 2).softmax(1)
    expected = 1.5 + 0.2 * 4 * (p * (p / q).log()).sum(1).mean()
    loss = distillation_loss(s, t, 1.5)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert t.grad is None and s.grad is not None


@pytest.mark.parametrize("conv", ["gcn", "sage", "gin", "sgc"])
def test_banks_with_stacked_weights(conv):
    module = pytest.importorskip("graphkit.nn.expert_bank")
    torch.manual_seed(0)
    bank = module.ExpertBank(5, 2, 8, num_experts=3, num_layers=3, conv=conv).double().eval()
    states, channels = expert_states(bank), channel_map(bank)
    with torch.no_grad():
        turned = permuted(states[0], shuffled(channels, states[0]), channels)
        for name, parameter in bank.named_parameters():
            parameter[1] = turned[name]  # experts 0 and 1 are the same function
    x, edges = a_graph()
    prompt = torch.randn(2, dtype=torch.float64)
    out = bank(x, edges, prompt.expand(3, -1))
    torch.testing.assert_close(out[0], out[1])
    mixture = Mixture(lambda x, adj: bank(x, adj, prompt.expand(bank.num_experts, -1)), Router.of(5, 3))
    mixture.experts = bank
    fewer, report = merge_mixture(mixture, torch.tensor([0.5, 0.25, 0.25]), groups=torch.tensor([0, 0, 1]))
    assert report.after[1] < 1e-10 and fewer.experts.experts.num_experts == 2
    merged = fewer.experts.experts(x, edges, prompt.expand(2, -1))
    torch.testing.assert_close(merged[0], out[0])
    torch.testing.assert_close(merged[1], out[2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: channel_map(nn.GRU(2, 2)), "the channels of GRU are not known"),
        (lambda: channel_map(GCN(5, 8, 3, 3, jk="cat")), "jumping knowledge mixes the channels"),
        (lambda: channel_map(nn.Sequential(nn.Linear(2, 3), nn.Bilinear(3, 3, 3))), "are not known"),
        (lambda: merge_mixture(a_mixture(), torch.ones(4)), "pass either keep"),
        (lambda: merge_mixture(a_mixture(), torch.ones(4), keep=2), "keep needs logits"),
        (
            lambda: merge_mixture(a_mixture(), torch.ones(4), groups=torch.tensor([0, 2, 2, 0])),
            "numbers from 0 without gaps",
        ),
        (
            lambda: merge_mixture(a_mixture(), torch.ones(3), groups=torch.zeros(4).long()),
            "there are 4 experts, but 4 groups",
        ),
        (lambda: group_experts([torch.ones(3)], [torch.ones(2, 3)], 0), "keep is 0, expected from 1"),
        (lambda: routing_statistics([]), "there are no decisions"),
        (lambda: GroupedHead(a_mixture().router.head, torch.tensor([0, 1])), "alias is for 2 experts, expected 4"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
