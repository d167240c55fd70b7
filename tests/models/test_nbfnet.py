"""NBFNet: exact properties of the method and its training."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from graphkit.data import MessageGraph, QueryBatch
from graphkit.errors import UserError
from graphkit.models import NBFNet

N, R = 9, 3


def graph_of(seed=0, facts=14, nodes=N):
    generator = torch.Generator().manual_seed(seed)
    columns = [torch.randint(size, (facts,), generator=generator) for size in (nodes, R, nodes)]
    triples = torch.stack(columns, 1)
    return MessageGraph.from_triples(triples, nodes, R), triples


def model_of(seed=0, **options):
    torch.manual_seed(seed)
    return NBFNet(R, 8, options.pop("num_layers", 2), **options).double()


QUERIES = torch.arange(2 * R).repeat_interleave(N), torch.arange(N).repeat(2 * R)


def all_scores(model, graph):
    return model.score_queries(graph, QUERIES[1], QUERIES[0]).view(2 * R, N, graph.num_nodes).detach()


def test_parameter_counts_of_the_published_settings():
    assert NBFNet(237, 32, 6, dependent=True, remove_one_hop=True).num_parameters() == 3_103_105
    assert NBFNet(11, 32, 6, dependent=False).num_parameters() == 89_601


def test_renaming_nodes_permutes_scores():
    graph, triples = graph_of()
    model, permutation = model_of(), torch.randperm(N, generator=torch.Generator().manual_seed(4))
    renamed = triples.clone()
    renamed[:, [0, 2]] = permutation[triples[:, [0, 2]]]
    before, after = all_scores(model, graph), all_scores(model, MessageGraph.from_triples(renamed, N, R))
    assert torch.allclose(before, after[:, permutation][:, :, permutation], atol=1e-10)


def test_renaming_relations_with_their_tables_changes_nothing():
    graph, triples = graph_of()
    model, other = model_of(dependent=False), model_of(dependent=False)
    permutation = torch.tensor([2, 0, 1])
    both = torch.cat([permutation, permutation + R])
    renamed = triples.clone()
    renamed[:, 1] = permutation[triples[:, 1]]
    with torch.no_grad():
        other.query.weight[both] = model.query.weight
        for mine, theirs in zip(model.layers, other.layers, strict=True):
            theirs.relation.weight[both] = mine.relation.weight
    found = all_scores(other, MessageGraph.from_triples(renamed, N, R))
    assert torch.allclose(all_scores(model, graph), found[both], atol=1e-10)


@pytest.mark.parametrize("aggregate", ["sum", "pna"])
def test_nodes_out_of_reach_do_not_depend_on_the_source(aggregate):
    # a path 0 - 1 - 2 - 3 - 4 - 5 and two layers: node 5 sees neither 0 nor 1
    chain = torch.tensor([[i, 0, i + 1] for i in range(5)])
    graph = MessageGraph.from_triples(chain, 6, R)
    states = [
        model_of(aggregate=aggregate).node_states(graph, torch.tensor([u]), torch.tensor([1]))[0][0][0]
        for u in (0, 1, 4)
    ]
    assert torch.equal(states[0][5], states[1][5])
    assert not torch.allclose(states[0][5], states[2][5])


def test_one_model_serves_another_graph_and_isolated_nodes_matter_only_by_the_mean_degree():
    model = model_of(aggregate="sum")
    graph, triples = graph_of()
    larger = MessageGraph.from_triples(triples, N + 1, R)
    assert torch.allclose(all_scores(model, graph), all_scores(model, larger)[:, :, :N], atol=1e-12)
    other, _ = graph_of(seed=1, facts=30, nodes=20)
    assert model.score_queries(other, torch.tensor([3]), torch.tensor([0])).shape == (1, 20)


def test_a_head_query_is_the_inverse_tail_query():
    graph, triples = graph_of()
    model = model_of()
    rows = torch.stack([triples[0], triples[1]])
    batch = QueryBatch(graph, torch.stack([rows, rows], 1))  # row 0 ranks tails, row 1 heads
    mask = model.easy_edge_mask(batch)
    hidden, query = model.node_states(
        graph, torch.stack([rows[0, 0], rows[1, 2]]), torch.stack([rows[0, 1], rows[1, 1] + R]), edge_mask=mask
    )
    wanted = model.readout(hidden[0][torch.arange(2), torch.stack([rows[0, 2], rows[1, 0]])].unsqueeze(1), query)
    assert torch.allclose(model(batch)[:, :1], wanted)


@pytest.mark.parametrize("one_hop", [True, False])
def test_easy_edges_are_removed_and_no_others(one_hop):
    graph, triples = graph_of(facts=40)
    model = model_of(remove_one_hop=one_hop)
    batch = QueryBatch(graph, torch.stack([triples[:3], triples[3:6]], 1))
    mask = model.easy_edge_mask(batch)
    listed = {tuple(row) for row in batch.triples.flatten(0, 1).tolist()}
    for (source, target), kind, kept in zip(
        graph.edge_index.t().tolist(), graph.edge_type.tolist(), mask.tolist(), strict=True
    ):
        fact = (source, kind, target) if kind < R else (target, kind - R, source)
        pairs = {frozenset((h, t)) for h, _, t in listed}
        easy = frozenset((source, target)) in pairs if one_hop else fact in listed
        assert kept == (not easy)


def test_loss_is_its_formula():
    graph, triples = graph_of()
    batch = QueryBatch(graph, torch.stack([triples[:4], triples[4:8], triples[8:12]], 1))
    model = model_of(adversarial_temperature=0.7)
    scores = model(batch).detach()
    total = 0.0
    for row in scores:
        weights = (row[1:] / 0.7).softmax(0)
        positive = -math.log(torch.sigmoid(row[0]))
        total += 0.5 * (
            positive - sum(w * math.log(1 - torch.sigmoid(s)) for w, s in zip(weights, row[1:], strict=True))
        )
    assert float(model.loss(batch).detach()) == pytest.approx(float(total) / 4, rel=1e-5)


def test_an_infinite_temperature_weights_equally_and_weights_pass_no_gradient():
    graph, triples = graph_of()
    batch = QueryBatch(graph, torch.stack([triples[:4], triples[4:8], triples[8:12]], 1))
    hot, flat = model_of(adversarial_temperature=1e9), model_of(adversarial_temperature=0)
    assert float(hot.loss(batch).detach()) == pytest.approx(float(flat.loss(batch).detach()), rel=1e-6)
    model = model_of(adversarial_temperature=0.5)
    model.loss(batch).backward()
    found = model.mlp[-1].bias.grad.clone()
    scores = model(batch)
    weights = (scores[:, 1:].detach() / 0.5).softmax(1)
    by_hand = ((F.softplus(-scores[:, 0]) + (weights * F.softplus(scores[:, 1:])).sum(1)) / 2).mean()
    assert torch.allclose(torch.autograd.grad(by_hand, model.mlp[-1].bias)[0], found, atol=1e-6)


def test_small_batches_of_queries_score_the_same():
    graph, _ = graph_of()
    model = model_of()
    whole = model.score_queries(graph, QUERIES[1], QUERIES[0])
    parts = [
        model.score_queries(graph, QUERIES[1][i : i + 5], QUERIES[0][i : i + 5]) for i in range(0, len(QUERIES[0]), 5)
    ]
    assert torch.allclose(whole, torch.cat(parts), atol=1e-12)


CHOICES = list(itertools.product(["distmult", "transe", "rotate"], ["pna", "sum", "mean", "max"], [True, False]))


@pytest.mark.parametrize("message, aggregate, dependent", CHOICES)
def test_every_choice_trains(message, aggregate, dependent):
    graph, triples = graph_of()
    batch = QueryBatch(graph, torch.stack([triples[:4], triples[4:8]], 1))
    for short_cut, layer_norm, concat in [(True, True, True), (False, False, False)]:
        model = model_of(
            message=message, aggregate=aggregate, dependent=dependent, short_cut=short_cut, layer_norm=layer_norm,
            concat_hidden=concat,
        )  # fmt: skip
        model.loss(batch).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_mistakes_are_named():
    graph, _ = graph_of()
    with pytest.raises(UserError, match="the graph has 6 relations"):
        NBFNet(R + 1, 8, 2).score_queries(graph, torch.tensor([0]), torch.tensor([0]))
    with pytest.raises(UserError, match="at least 1"):
        NBFNet(R, 8, 0)
    with pytest.raises(UserError, match="adversarial_temperature"):
        NBFNet(R, 8, 2, adversarial_temperature=-1)


def test_query_bytes_grow_with_the_graph():
    small, large = graph_of(nodes=9)[0], graph_of(nodes=900)[0]
    model = model_of()
    assert 0 < 50 * model.query_bytes(small) < model.query_bytes(large)
