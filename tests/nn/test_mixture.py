"""Mixtures: what is combined, who is asked, at which level decisions are made."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv

from graphkit.errors import UserError
from graphkit.nn import ExpertList, Mixture, RouteInput, RouteOutput, Router


def perceptrons(count=4, seed=0):
    torch.manual_seed(seed)
    experts = [nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)) for _ in range(count)]
    return ExpertList(experts, per_token=True)


def a_router(k=2, **more):
    torch.manual_seed(1)
    return Router.of(5, 4, head="mlp", selector="topk", selector_options={"k": k}, **more)


def test_sum_and_concat():
    experts, x = perceptrons(), torch.randn(6, 5)
    out, route = Mixture(experts, a_router())(x)
    said = experts(x)
    expected = sum(route.weights[:, m : m + 1] * said[m] for m in range(4))
    torch.testing.assert_close(out, expected)
    out, route = Mixture(experts, a_router(), combine="concat")(x)
    torch.testing.assert_close(out, torch.cat([route.weights[:, m : m + 1] * said[m] for m in range(4)], 1))


def test_sum_and_not_mean():
    """Experts that agree are passed through, whatever the weights."""
    one = nn.Linear(5, 3)
    out, _ = Mixture(ExpertList([one] * 4, per_token=True), a_router())(torch.ones(2, 5))
    torch.testing.assert_close(out, one(torch.ones(2, 5)))


def test_confidence_counts_only_the_chosen():
    experts, x = perceptrons(), torch.randn(6, 5)
    alpha = torch.rand(4, 6)
    alpha[:, 0] = 0.0  # nobody is sure: the chosen count alike
    out, route = Mixture(experts, a_router(), combine="confidence", confidence=lambda said: alpha)(x)
    said = experts(x)
    for n in range(6):
        used = route.mask[n].nonzero().squeeze(1)
        share = alpha[used, n] / alpha[used, n].sum() if n else torch.full((2,), 0.5)
        torch.testing.assert_close(out[n], (share.unsqueeze(1) * said[used, n]).sum(0))


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("rows", [0, 6])
def test_sparse_dispatch_equals_dense(k, rows):
    experts, x = perceptrons(), torch.randn(rows, 5)
    results = []
    for dispatch in ("dense", "sparse"):
        mixture = Mixture(experts, a_router(k), dispatch=dispatch)
        mixture.zero_grad()
        out, _ = mixture(x)
        out.square().sum().backward()
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in mixture.parameters()]
        results.append((out, [grad.clone() for grad in grads]))
    torch.testing.assert_close(results[0], results[1])


def test_sparse_dispatch_asks_the_chosen_only():
    seen = []

    class Watched(nn.Linear):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    experts = ExpertList([Watched(5, 3) for _ in range(4)], per_token=True)
    _, route = Mixture(experts, a_router(1), dispatch="sparse")(torch.randn(50, 5))
    assert seen == route.mask.sum(0).tolist()


class GraphExpert(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = GCNConv(5, 6), GCNConv(6, 3)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index)


def test_graph_experts_and_relabelled_nodes():
    torch.manual_seed(0)
    experts = ExpertList([GraphExpert() for _ in range(4)])
    router = Router.of(5, 4, head="gnn", mixers=["adjacency"], selector="topk", selector_options={"k": 2})
    mixture = Mixture(experts, router).double()
    x, edges = torch.randn(9, 5, dtype=torch.float64), torch.randint(9, (2, 30))
    out, route = mixture(x, edges)
    order = torch.randperm(9)
    turned, turned_route = mixture(x[order], torch.argsort(order)[edges])
    torch.testing.assert_close(turned, out[order])
    assert torch.equal(turned_route.mask, route.mask[order])


def test_other_numbers_of_experts_leave_the_output():
    experts, x = perceptrons(), torch.randn(6, 5)
    router = a_router()
    out, _ = Mixture(experts, router)(x)
    swap = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        for p in router.head.net[2].parameters():
            p.copy_(p[swap].clone())
    again, _ = Mixture(ExpertList([experts.experts[m] for m in swap], per_token=True), router)(x)
    torch.testing.assert_close(again, out)


def test_levels():
    experts, x = perceptrons(), torch.randn(7, 5)
    batch = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    out, route = Mixture(experts, a_router(), level="graph")(x, batch=batch)
    means = torch.stack([x[batch == g].mean(0) for g in range(3)])
    torch.testing.assert_close(route.weights, a_router()(RouteInput(means)).weights)
    said = experts(x)
    torch.testing.assert_close(out, torch.einsum("mnh,nm->nh", said, route.weights[batch]))
    out, route = Mixture(experts, a_router(), level="dataset")(x)
    torch.testing.assert_close(route.weights, a_router()(RouteInput(x.mean(0, keepdim=True))).weights)
    torch.testing.assert_close(out, torch.einsum("mnh,m->nh", said, route.weights[0]))
    one, route = Mixture(experts, a_router(), level="graph")(x)
    torch.testing.assert_close(one, out)


def test_a_decision_is_used_again():
    first, second = Mixture(perceptrons(), a_router()), Mixture(perceptrons(seed=5), a_router())
    x = torch.randn(6, 5)
    _, route = first(x)
    out, again = second(x * 2, route=route)
    assert again.weights is route.weights
    torch.testing.assert_close(out, torch.einsum("mnh,nm->nh", second.experts(x * 2), route.weights))


def test_any_bank_and_any_router():
    """A bank is any callable; a router may decide by losses alone, with one token for the data set."""

    class ByLoss(nn.Module):
        num_experts = 2

        def forward(self, given):
            logits = -given.losses.unsqueeze(0)
            weights = logits.softmax(1)
            return RouteOutput(logits, weights, weights, weights > 0, None, {})

    mixture = Mixture(lambda x, adj: torch.stack([x, 3 * x]), ByLoss(), level="dataset")
    out, _ = mixture(torch.ones(4, 2), losses=torch.zeros(2))
    assert out.tolist() == [[2.0, 2.0]] * 4


def test_states_of_the_router_may_differ_from_the_features():
    experts, x, h = perceptrons(), torch.randn(6, 5), torch.randn(6, 2)
    router = Router.of(2, 4, head="mlp")
    _, route = Mixture(experts, router)(x, h=h)
    torch.testing.assert_close(route.weights, router(RouteInput(h)).weights)


def test_training_reaches_the_router():
    mixture = Mixture(
        perceptrons(), Router.of(5, 4, head_options={"noise": True}, selector="topk", selector_options={"k": 2})
    )
    _, noisy = mixture(torch.randn(6, 5))
    assert bool((noisy.logits != 0).any())
    mixture.eval()
    _, clean = mixture(torch.randn(6, 5))
    assert not bool(clean.logits.any())


def test_save_and_load():
    mixture, other = Mixture(perceptrons(), a_router()), Mixture(perceptrons(seed=3), Router.of(5, 4, head="mlp"))
    other.router.selector = mixture.router.selector
    other.load_state_dict(mixture.state_dict())
    x = torch.randn(6, 5)
    assert torch.equal(mixture(x)[0], other(x)[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExpertList([]), "there are no experts"),
        (lambda: Mixture(perceptrons(), a_router(), combine="mean"), "unknown combiner 'mean'"),
        (lambda: Mixture(perceptrons(), a_router(), level="nodes"), "unknown level 'nodes'; did you mean 'node'"),
        (lambda: Mixture(perceptrons(), a_router(), combine="confidence"), "one of them is missing"),
        (
            lambda: Mixture(ExpertList([GraphExpert()]), a_router(), dispatch="sparse"),
            "a graph layer needs neighbours that were sent to other experts",
        ),
        (
            lambda: Mixture(perceptrons(3), a_router())(torch.ones(2, 5)),
            r"the experts return \[3, 2, 3\], expected \[M, n, h\] with the router's 4 experts and 2 rows",
        ),
        (
            lambda: Mixture(perceptrons(), a_router())(
                torch.ones(2, 5), route=a_router()(RouteInput(torch.ones(3, 5)))
            ),
            "the decision is about 3 tokens, expected one for each of the 2 rows",
        ),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_losses_of_experts_can_decide():
    """GMoPE's router inside any mixture: one decision for all rows, by losses that are handed in."""
    from graphkit.nn import LossRouter

    experts = ExpertList([torch.nn.Linear(3, 2) for _ in range(3)], per_token=True)
    mixture = Mixture(experts, LossRouter(3, top_k=1), level="dataset")
    x = torch.randn(4, 3)
    out, route = mixture(x, losses=torch.tensor([0.5, 0.1, 0.9]))
    assert route.mask.tolist() == [[False, True, False]]
    torch.testing.assert_close(out, experts.experts[1](x))
    with pytest.raises(UserError, match="losses=\\[M\\]"):
        mixture(x)
