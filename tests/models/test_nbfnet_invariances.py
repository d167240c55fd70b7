"""What NBFNet's scores may and may not depend on."""

import pytest
import torch
from query_samples import NODES, RELATIONS, double_model, every_query, message_graph, random_triples

from graphkit.ops import CSRGraph, degree_classes

EXACT = {"rtol": 1e-9, "atol": 1e-9}


@pytest.fixture(params=["pna", "sum", "mean", "max"])
def aggregate(request):
    return request.param


@torch.no_grad()
def scores(model, graph):
    """[2R, N, N]: relation, head, tail."""
    heads, relations = every_query(graph)
    return model.score_queries(graph, heads, relations).view(graph.num_relations, graph.num_nodes, graph.num_nodes)


def with_relations(model, permutation):
    """A copy whose relation id ``permutation[r]`` means what ``r`` meant."""
    other = type(model)(**model.config).double()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        other.query.weight[permutation] = model.query.weight
        for ours, theirs in zip(model.layers, other.layers, strict=True):
            if ours.relation is not None:
                theirs.relation.weight[permutation] = ours.relation.weight
            else:
                width = ours.in_channels
                for mine, its in ((ours.relation_linear.weight, theirs.relation_linear.weight),
                                  (ours.relation_linear.bias, theirs.relation_linear.bias)):  # fmt: skip
                    its.view(-1, width, *its.shape[1:])[permutation] = mine.view(-1, width, *mine.shape[1:])
    return other


@pytest.mark.parametrize("message", ["distmult", "transe", "rotate"])
def test_renaming_nodes(aggregate, message):
    triples = random_triples()
    model = double_model(message=message, aggregate=aggregate)
    new = torch.randperm(NODES, generator=torch.Generator().manual_seed(5))
    renamed = torch.stack([new[triples[:, 0]], triples[:, 1], new[triples[:, 2]]], 1)
    before, after = scores(model, message_graph(triples)), scores(model, message_graph(renamed))
    torch.testing.assert_close(after[:, new][:, :, new], before, **EXACT)
    assert not torch.allclose(after, before)


def test_the_order_of_the_facts(aggregate):
    triples = random_triples()
    model = double_model(aggregate=aggregate).float()
    shuffled = triples[torch.randperm(len(triples), generator=torch.Generator().manual_seed(0))]
    pairs = torch.cat([triples[:, [0, 2]], triples[:, [2, 0]]]).unique(dim=0)
    before, after = scores(model, message_graph(triples)), scores(model, message_graph(shuffled))
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)
    if len(pairs) == 2 * len(triples):  # no parallel edges: the very same sums
        assert torch.equal(after, before)


@pytest.mark.parametrize("dependent", [True, False])
def test_renaming_relations_with_their_tables(dependent):
    triples = random_triples()
    model = double_model(dependent=dependent)
    new = torch.tensor([2, 0, 1])
    both = torch.cat([new, new + RELATIONS])
    renamed = torch.stack([triples[:, 0], new[triples[:, 1]], triples[:, 2]], 1)
    found = scores(with_relations(model, both), message_graph(renamed))
    torch.testing.assert_close(found[both], scores(model, message_graph(triples)), **EXACT)
    assert not torch.allclose(scores(model, message_graph(renamed)), found)


@pytest.mark.parametrize("dependent", [True, False])
def test_a_head_query_is_the_tail_query_on_the_inverted_graph(dependent):
    # (?, q, v) is asked as (v, q + R); on the graph of the inverted facts the same question is (v, q)
    triples = random_triples()
    inverted = triples[:, [2, 1, 0]]
    model = double_model(dependent=dependent)
    swap = torch.arange(2 * RELATIONS).roll(RELATIONS)
    found = scores(with_relations(model, swap), message_graph(inverted))
    wanted = scores(model, message_graph(triples))
    torch.testing.assert_close(found[:RELATIONS], wanted[RELATIONS:], **EXACT)
    torch.testing.assert_close(found[RELATIONS:], wanted[:RELATIONS], **EXACT)


def path_graph(length):
    return message_graph(torch.tensor([[i, i % RELATIONS, i + 1] for i in range(length)]), length + 1)


def states(model, graph, head, relation):
    hidden, query = model.node_states(graph, torch.tensor([head]), torch.tensor([relation]))
    return hidden[-1][0].detach(), query


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_out_of_reach_the_state_is_that_without_a_boundary(aggregate, layers):
    model, graph = double_model(aggregate=aggregate, num_layers=layers), path_graph(7)
    state, query = states(model, graph, 0, 1)
    blind = torch.zeros(1, 8, 6, dtype=torch.float64)
    with torch.no_grad():
        for layer in model.layers:
            blind = layer(blind, query, torch.tensor([0]), torch.zeros_like(query), graph.csr, graph.edge_type)
    far = torch.arange(8) > layers
    torch.testing.assert_close(state[far], blind[0][far], rtol=1e-12, atol=1e-12)
    changed = (state - blind[0]).abs().amax(1) > 1e-9
    if aggregate != "max":  # a maximum may not notice
        assert changed[~far].all()
    # and moving the head among far nodes changes nothing
    other, _ = states(model, graph, 7, 1)
    middle = (torch.arange(8) > layers) & (torch.arange(8) < 7 - layers)
    assert torch.equal(state[middle], other[middle])


def test_an_isolated_node_changes_sums_not_at_all_and_pna_by_the_mean_degree_alone(aggregate):
    triples = random_triples()
    model = double_model(aggregate=aggregate)
    small, large = message_graph(triples), message_graph(triples, NODES + 3)
    before, after = scores(model, small), scores(model, large)[:, :NODES, :NODES]
    if aggregate != "pna":
        torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)
        return
    assert not torch.allclose(after, before)
    # the layers with the old degree classes for the old nodes: as before
    old, new = degree_classes(small.csr), degree_classes(large.csr)
    heads, relations = every_query(small)
    with torch.no_grad():
        query = model.query(relations)
        state = torch.zeros(len(heads), NODES + 3, 6, dtype=torch.float64)
        state[torch.arange(len(heads)), heads] = query
        ratio = (old.per_node()[0] / new.per_node()[0])[0]  # log D is divided by another mean
        scale = new.scale[:, 0] * ratio
        same = new._replace(scale=torch.stack([scale, 1 / scale.clamp(min=0.01)], 1))
        for layer in model.layers:
            state = layer(state, query, heads, query, large.csr, large.edge_type, classes=same)
        found = model.readout(state, query)[:, :NODES].view_as(before)
    torch.testing.assert_close(found, before, **EXACT)


def test_a_model_runs_on_any_graph_of_its_relations():
    model = double_model()
    for nodes, facts in ((2, 2), (5, 9), (40, 100)):
        graph = message_graph(random_triples(3, facts, nodes)[: max(facts, 2)].remainder(nodes), nodes)
        found = model.score_queries(graph, torch.tensor([1, 0]), torch.tensor([0, 5]))
        assert found.shape == (2, nodes) and found.isfinite().all()
    empty = message_graph(torch.empty(0, 3, dtype=torch.int64), 4)
    found = model.score_queries(empty, torch.tensor([2]), torch.tensor([0])).detach()
    assert found.isfinite().all()
    assert torch.allclose(found[0, [0, 1]], found[0, 3]) and not torch.allclose(found[0, 2], found[0, 3])


def test_queries_do_not_touch_each_other(aggregate):
    graph = message_graph(random_triples())
    model = double_model(aggregate=aggregate)
    heads, relations = every_query(graph)
    whole = model.score_queries(graph, heads, relations)
    for size in (1, 7):
        parts = [
            model.score_queries(graph, heads[i : i + size], relations[i : i + size]) for i in range(0, len(heads), size)
        ]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)
    again = torch.tensor([3, 3, 3])
    same = model.score_queries(graph, again, again)
    assert torch.equal(same[0], same[1]) and torch.equal(same[0], same[2])


def test_a_sorted_graph_is_not_sorted_again(monkeypatch):
    graph, model, made = message_graph(random_triples()), double_model(), []
    original = CSRGraph.__init__
    monkeypatch.setattr(CSRGraph, "__init__", lambda self, *a, **k: (made.append(1), original(self, *a, **k))[1])
    for _ in range(3):
        model.score_queries(graph, torch.tensor([0]), torch.tensor([0]))
    assert len(made) == 1
