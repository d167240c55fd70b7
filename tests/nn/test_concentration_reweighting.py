"""Re-weighting of messages, written out edge by edge; its orientation; what it must not see."""

import math

import networkx as nx
import pytest
import torch

from graphkit.analysis import WeightedConcentration
from graphkit.data import LinkTask
from graphkit.errors import UserError
from graphkit.nn import ConcentrationReweighting, concentration_weights, propagation_weights


def messages(n=12, p=0.3, seed=0):
    """Both directions of a random graph, and loops."""
    edges = torch.tensor(list(nx.gnp_random_graph(n, p, seed=seed).edges)).t()
    return torch.cat([edges, edges.flip(0), torch.arange(n).repeat(2, 1)], 1)


def predictor(x):
    return (x * torch.linspace(-2, 3, x.size(1), dtype=x.dtype)).sum(1)


def written_out(edge_index, h, g, base, aggregate, gamma, compat):
    """Edge by edge; `at` and `seen` are the two ends of z: the centre i, whose surroundings count, and the neighbour j."""
    edges = edge_index.t().tolist()
    around = torch.zeros_like(h)
    for (s, t), a in zip(edges, aggregate.tolist(), strict=True):
        around[t] += a * h[s]
    ends = [(s, t) if compat else (t, s) for s, t in edges]
    z = [1 / (1 + math.exp(-float(g((around[i] * h[j]).unsqueeze(0))))) for i, j in ends]
    out = []
    for e, (i, _) in enumerate(ends):
        rivals = [f for f, (k, _) in enumerate(ends) if k == i]
        p = math.exp(z[e]) / sum(math.exp(z[f]) for f in rivals)
        out.append(float(base[e]) + gamma * p * sum(float(base[f]) for f in rivals))
    return torch.tensor(out, dtype=base.dtype)


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("kind", ["gcn", "sage"])
@pytest.mark.parametrize("aggregate", ["gcn", "sage"])
def test_written_out(compat, kind, aggregate):
    edges, h = messages(), torch.randn(12, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    base = propagation_weights(edges, num_nodes=12, kind=kind).double()
    around = propagation_weights(edges, num_nodes=12, kind=aggregate).double()
    found = concentration_weights(edges, h, predictor, base, num_nodes=12, gamma=2.5, aggregate=around, compat=compat)
    torch.testing.assert_close(found, written_out(edges, h, predictor, base, around, 2.5, compat))


def test_orientation_on_a_directed_toy():
    """Node 0 hears from 1 and 2, node 3 from 1 alone: at node 0 the two compete, at node 3 there is no rival."""
    edges, base = torch.tensor([[1, 2, 1], [0, 0, 3]]), torch.tensor([0.5, 0.5, 1.0])
    h = torch.tensor([[0.0], [3.0], [-1.0], [0.0]])
    found = concentration_weights(edges, h, lambda x: 100 * x.sum(1), base, num_nodes=4)
    e = math.e
    torch.testing.assert_close(found, torch.tensor([0.5 + e / (e + 1), 0.5 + 1 / (e + 1), 2.0]))
    turned = concentration_weights(edges, h, lambda x: 100 * x.sum(1), base, num_nodes=4, compat=True)
    # what leaves 1 competes (0.5 and 1, of equal belief, for nothing arrives at 1); what leaves 2 is alone
    torch.testing.assert_close(turned, torch.tensor([0.5 + 0.75, 0.5 + 0.5, 1.0 + 0.75]))


def test_no_gamma_no_change_and_constant_scores_share_evenly():
    edges, h = messages(), torch.randn(12, 4)
    base = propagation_weights(edges, num_nodes=12)
    assert torch.equal(concentration_weights(edges, h, predictor, base, num_nodes=12, gamma=0), base)
    found = concentration_weights(edges, h, lambda x: torch.full((len(x), 1), 0.3), base, num_nodes=12, gamma=1)
    total = torch.zeros(12).index_add_(0, edges[1], base)
    degree = torch.bincount(edges[1], minlength=12)
    torch.testing.assert_close(found - base, (total / degree)[edges[1]])
    sums = torch.zeros(12).index_add_(
        0, edges[1], concentration_weights(edges, h, predictor, base, num_nodes=12, gamma=0.7)
    )
    torch.testing.assert_close(sums, 1.7 * total)  # the shares of a node's messages make one


def test_in_blocks(monkeypatch):
    import graphkit.nn.concentration_reweighting as module

    edges, h = messages(), torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
    base = propagation_weights(edges, num_nodes=12)
    whole = concentration_weights(edges, h, predictor, base, num_nodes=12)
    monkeypatch.setattr(module, "_CELLS", 35)
    torch.testing.assert_close(concentration_weights(edges, h, predictor, base, num_nodes=12), whole)


def test_held_out_edges_have_no_part():
    graph = torch.tensor(list(nx.powerlaw_cluster_graph(60, 3, 0.5, seed=0).edges)).t()
    task = LinkTask.from_edges("toy", graph, 60, split="70/10/20")
    other = LinkTask("other", 60, task.train, task.test[:, :5], task.valid)
    h, found = torch.randn(60, 8, generator=torch.Generator().manual_seed(0)), []
    for one in (task, other):
        weights = ConcentrationReweighting(one.graph("train").with_self_loops.edge_index, num_nodes=60)
        found.append(weights.update(h, predictor))
    assert torch.equal(*found)


def test_the_predictor_rests_meanwhile_and_gets_no_gradient():
    edges, module = messages(), torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
    h, base = torch.randn(12, 4, requires_grad=True), propagation_weights(messages(), num_nodes=12)
    one, two = (concentration_weights(edges, h, module, base, num_nodes=12) for _ in range(2))
    assert torch.equal(one, two) and not one.requires_grad and module[0].training


def test_schedule():
    edges = messages()
    weights = ConcentrationReweighting(edges, num_nodes=12, encoder="sage", gamma=3, warm_up=4, interval=3)
    assert [epoch for epoch in range(13) if weights.due(epoch)] == [6, 9, 12]
    assert torch.equal(weights.weight, propagation_weights(edges, num_nodes=12, kind="sage"))
    h = torch.randn(12, 4)
    first = weights.update(h, predictor)
    assert weights.weight is first and torch.equal(weights.update(h, predictor), first), "updates do not add up"


def test_neighbours_that_agree_gain_and_concentration_rises():
    """Two cliques and random edges between them, embeddings that tell the cliques apart."""
    n = 24
    graph = nx.disjoint_union(nx.complete_graph(n // 2), nx.complete_graph(n // 2))
    graph.add_edges_from((i, n // 2 + (5 * i) % (n // 2)) for i in range(n // 2))
    edges = torch.tensor(list(graph.edges)).t()
    edges = torch.cat([edges, edges.flip(0)], 1)
    side = torch.where(torch.arange(n) < n // 2, 1.0, -1.0).unsqueeze(1)
    weights = ConcentrationReweighting(edges, num_nodes=n, gamma=2)
    concentration = WeightedConcentration(edges, num_nodes=n)
    before, after = concentration(weights.base), concentration(weights.update(side, lambda x: 8 * x.sum(1)))
    assert bool((after > before).all())
    straight = (side[edges[0]] == side[edges[1]]).squeeze(1)
    gain = weights.weight / weights.base
    assert float(gain[straight].min()) > float(gain[~straight].max())


def test_mistakes_are_named():
    edges, h, base = messages(), torch.randn(12, 4), propagation_weights(messages(), num_nodes=12)
    call = lambda *a, **k: concentration_weights(edges, *a, num_nodes=12, **k)  # noqa: E731
    mistakes = [
        (lambda: call(h, predictor, base[:3]), r"base is \[3\], expected a weight for each of the"),
        (lambda: call(h[:3], predictor, base), r"embeddings are \[3, 4\], expected a row for each of the 12"),
        (lambda: call(h, lambda x: x, base), r"the predictor gives \[\d+, 4\] for \d+ edges, expected one logit each"),
        (lambda: call(h, lambda x: x.sum(1) * float("nan"), base), "the predictor gives NaN for the edge"),
        (lambda: call(h, predictor, base, gamma=float("inf")), "gamma is inf, expected a number"),
        (lambda: propagation_weights(edges, num_nodes=12, kind="gnc"), "did you mean 'gcn'?"),
        (lambda: ConcentrationReweighting(edges, num_nodes=12, interval=0), "interval is 0"),
        (lambda: propagation_weights(edges, num_nodes=5), "expected ids in"),
    ]
    for mistake, message in mistakes:
        with pytest.raises(UserError, match=message):
            mistake()
