"""Objectives: nothing is given away, every head is trained, all experts see one draw, views are views."""

import math

import pytest
import torch

from graphkit.data import SourceGraph
from graphkit.data.source_graph import SourceBatch
from graphkit.errors import UserError
from graphkit.nn import OBJECTIVES, pretraining_objective
from graphkit.nn.pretraining_objective import graph_means
from graphkit.nn.pretraining_objectives_contrastive import normalized_cross_entropy
from graphkit.ops import SimpleGraph


def batch(nodes=40, graphs=4, seed=0):
    """A ring with chords in each of several graphs."""
    generator = torch.Generator().manual_seed(seed)
    size = nodes // graphs
    ring = torch.arange(size)
    one = torch.cat([torch.stack([ring, (ring + 1) % size]), torch.stack([ring, (ring + 3) % size])], 1)
    edges = torch.cat([one + size * g for g in range(graphs)], 1)
    x = torch.randn(nodes, 6, generator=generator)
    return SourceBatch(x, SimpleGraph(edges, num_nodes=nodes), torch.arange(nodes) // size, graphs, "rings")


def drawn(name, data, seed=0, **options):
    torch.manual_seed(0)
    objective = pretraining_objective(name, 3, 6, 5, **options)
    return objective, objective.draw(data, torch.Generator().manual_seed(seed))


def edge_set(graph, removed=None):
    row, col = graph.row(), graph.col.long()
    kept = torch.ones(len(row)).bool() if removed is None else removed[graph.edge.long()] == 0
    return set(zip(row[kept].tolist(), col[kept].tolist(), strict=True))


def test_edges_that_are_asked_for_carry_no_messages_and_negatives_are_none():
    data = batch()
    objective, draw = drawn("edge_pred", data, positives=10)
    left = edge_set(data.graph, draw["removed"])
    assert draw["positive"].size(1) == 10 and len(left) == 2 * (data.graph.num_edges - 10)
    for u, v in draw["positive"].t().tolist():
        assert (u, v) not in left and (v, u) not in left
    every = edge_set(data.graph)
    for u, v in draw["negative"].t().tolist():
        assert u != v and (u, v) not in every and data.graph_id[u] == data.graph_id[v]
    assert drawn("edge_pred", data, positives=10**6)[1]["positive"].size(1) == data.graph.num_edges // 2
    states = torch.randn(3, 40, 5, dtype=torch.float64)
    losses = objective.losses(lambda x, **_: states, data, draw)
    yes = torch.stack([(states[:, u] * states[:, v]).sum(1) for u, v in draw["positive"].t().tolist()])
    no = torch.stack([(states[:, u] * states[:, v]).sum(1) for u, v in draw["negative"].t().tolist()])
    expected = -(yes.sigmoid().log().mean(0) + (1 - no.sigmoid()).log().mean(0)) / 2
    assert torch.allclose(losses, expected)


def test_a_complete_graph_has_no_negatives_and_a_graph_without_edges_is_refused():
    pairs = torch.combinations(torch.arange(5)).t()
    full = SourceBatch(torch.randn(5, 6), SimpleGraph(pairs, num_nodes=5), torch.zeros(5).long(), 1, "full")
    objective, draw = drawn("edge_pred", full)
    assert draw["negative"].size(1) == 0
    assert bool(objective.losses(lambda x, **_: torch.randn(3, 5, 5), full, draw).isfinite().all())
    empty = SourceBatch(full.x, SimpleGraph(pairs[:, :0], num_nodes=5), full.graph_id, 1, "empty")
    with pytest.raises(UserError, match="empty has no edges to predict"):
        drawn("edge_pred", empty)


def test_dgi_has_a_summary_of_each_graph_and_trains_its_discriminator():
    data = batch()
    objective, draw = drawn("dgi", data)
    states = {id(data.x): torch.randn(3, 40, 5, dtype=torch.float64)}
    objective.double()
    corrupt = torch.randn(3, 40, 5, dtype=torch.float64)
    losses = objective.losses(lambda x, **_: states.get(id(x), corrupt), data, draw)
    z, weight = states[id(data.x)], objective.weight
    total = torch.zeros(3, dtype=torch.float64)
    for m in range(3):
        for v in range(40):
            own = (data.graph_id == data.graph_id[v]).nonzero().flatten()
            asked = weight[m] @ z[m, own].mean(0).sigmoid()
            total[m] -= (z[m, v] @ asked).sigmoid().log() + (1 - (corrupt[m, v] @ asked).sigmoid()).log()
    assert torch.allclose(losses, total / 80)
    losses.sum().backward()
    assert bool((objective.weight.grad.abs().sum((1, 2)) > 0).all())


def test_nt_xent_by_hand():
    left, right = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    cos = torch.nn.functional.cosine_similarity
    for m in range(2):
        s = [[float(cos(left[m, g], right[m, h], dim=0)) / 0.5 for h in range(3)] for g in range(3)]
        rows = sum(math.log(sum(map(math.exp, s[g]))) - s[g][g] for g in range(3))
        columns = sum(math.log(sum(math.exp(s[h][g]) for h in range(3))) - s[g][g] for g in range(3))
        found = normalized_cross_entropy(left, right, 0.5)[m]
        assert float(found) == pytest.approx((rows + columns) / 6)


@pytest.mark.parametrize("view", ["drop_node", "perturb_edge", "mask_attribute"])
def test_views_change_what_they_say_and_stay_inside_their_graphs(view):
    data = batch()
    _, draw = drawn("graphcl", data, views=[view], ratio=0.3)
    for one in draw["views"]:
        edges = edge_set(one["graph"])
        assert all(data.graph_id[u] == data.graph_id[v] for u, v in edges)
        if view == "mask_attribute":
            assert edges == edge_set(data.graph) and 0 < int(one["masked"].sum()) < 40
        elif view == "drop_node":
            gone = set((~one["kept"]).nonzero().flatten().tolist())
            assert gone and all(u not in gone and v not in gone for u, v in edges) and edges < edge_set(data.graph)
        else:
            lost = edge_set(data.graph) - edges
            assert 0 < len(lost) <= 2 * int(0.3 * data.graph.num_edges)
    first, second = (edge_set(one["graph"]) for one in draw["views"])
    assert view == "mask_attribute" or first != second


def test_dropped_nodes_do_not_count_in_the_mean_of_their_graph():
    states = torch.tensor([[[1.0], [3.0], [5.0]]])
    means = graph_means(states, torch.tensor([0, 0, 1]), 2, torch.tensor([True, False, True]))
    assert means.flatten().tolist() == [1.0, 5.0]


@pytest.mark.parametrize("name", ["graphcl", "simgrace"])
def test_one_graph_cannot_be_compared(name):
    with pytest.raises(UserError, match="a batch of rings holds 1 graph"):
        drawn(name, batch(graphs=1))


def test_masked_nodes_are_masked_again_before_the_decoder():
    data = batch()
    objective, draw = drawn("mask_attr", data)
    masked = draw["masked"]
    assert int(masked.sum()) == 30
    seen = []

    def encode_with(value):
        def encode(x, **_):
            seen.append(x)
            states = torch.ones(3, 40, 5)
            states[:, masked] = value  # nothing of these may be read
            return states

        return encode

    with torch.no_grad():
        objective.token.fill_(9.0)
    losses = [objective.losses(encode_with(value), data, draw) for value in (5.0, -7.0)]
    assert torch.equal(*losses)
    assert bool((seen[0][masked] == 9).all()) and torch.equal(seen[0][~masked], data.x[~masked])


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_head_is_trained_and_the_callers_features_stay(name):
    from graphkit.nn import ExpertBank, PromptBank

    data = batch()
    before = data.x.clone()
    objective, draw = drawn(name, data)
    bank, prompts = ExpertBank(6, 4, 5, 3).eval(), PromptBank(3, 4)

    def encode(x, *, graph=None, removed=None, noise=None):
        args = (x, data.graph if graph is None else graph, prompts)
        if noise is None:
            return bank(*args, removed=removed)
        return torch.func.functional_call(bank, bank.noisy(noise, torch.Generator().manual_seed(0)), args)

    losses = objective.losses(encode, data, draw)
    assert losses.shape == (3,) and bool(losses.isfinite().all())
    losses.sum().backward()
    for name, parameter in [*objective.named_parameters(), *bank.named_parameters(), ("prompt", prompts.prompt)]:
        assert parameter.grad is not None and bool((parameter.grad != 0).any()), name
    assert torch.equal(data.x, before)


def test_noise_is_relative_to_each_expert_and_the_same_draw_for_all():
    from graphkit.nn import ExpertBank

    bank = ExpertBank(6, 4, 5, 2)
    bank.weight.data[1] = 3 * bank.weight.data[0]
    noisy = bank.noisy(0.1, torch.Generator().manual_seed(0))["weight"]
    difference = noisy - bank.weight
    assert torch.allclose(difference[1], 3 * difference[0], atol=1e-6) and not noisy.requires_grad


def test_mistakes_are_named():
    with pytest.raises(UserError, match="unknown objective 'edge_prediction'; did you mean"):
        pretraining_objective("edge_prediction", 2, 4, 4)
    with pytest.raises(UserError, match="unknown option of edge_pred 'positive'"):
        pretraining_objective("edge_pred", 2, 4, 4, positive=3)
    with pytest.raises(UserError, match="dgi has no options"):
        pretraining_objective("dgi", 2, 4, 4, ratio=3)
    for name, options in (
        ("edge_pred", {"positives": 0}), ("graphcl", {"ratio": 1.5}), ("graphcl", {"temperature": 0}), ("simgrace", {"noise": 0}),
        ("mask_attr", {"rate": 0.0}), ("mask_attr", {"exponent": 0.5}), ("graphcl", {"views": ["crop"]}),
    ):  # fmt: skip
        with pytest.raises(UserError, match=next(iter(options)).rstrip("s")):
            pretraining_objective(name, 2, 4, 4, **options)


def test_a_source_is_divided_into_pieces_and_the_last_single_one_is_merged():
    torch.manual_seed(0)
    edges = torch.randint(500, (2, 900))
    source = SourceGraph("random", torch.randn(500, 3), edges)
    piece = source.pieces()
    assert piece.unique().numel() == 5 and source.batches("subgraph", 2) == 2
    sizes = [source.batch(source.x, unit="subgraph", graphs=2, step=step).num_graphs for step in range(2)]
    assert sizes == [2, 3]
    one = source.batch(source.x, unit="subgraph", graphs=2, step=1)
    assert bool((one.graph_id.diff() >= 0).all())
    row, col = one.graph.row(), one.graph.col.long()
    assert bool((one.graph_id[row] == one.graph_id[col]).all()) and not hasattr(one, "y")
