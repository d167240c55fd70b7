"""The states that pairs depend on are those of whole passes, and no more are computed than needed."""

import itertools

import pytest
import torch

from graphkit.nn import BellmanFordConv, PairFlow
from graphkit.ops import CSRGraph, degree_classes

N, T, D = 14, 3, 6


def undirected(pairs, nodes=N):
    """Both directions, then a self-loop at every node, as the model stores them."""
    edges = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t()
    loops = torch.arange(nodes).expand(2, -1)
    return torch.cat([edges, edges.flip(0), loops], 1)


# a hub, a triangle, a tail, a pair apart, two isolated nodes
PAIRS = [(0, v) for v in (1, 2, 3, 4, 5)] + [(1, 2), (5, 6), (6, 7), (7, 8), (8, 9), (10, 11)]


def layers_of(seed=0, **options):
    torch.manual_seed(seed)
    made = [BellmanFordConv(D, D, 1, query_channels=D, dependent=False, **options).double() for _ in range(T)]
    for layer in made:
        if layer.norm is not None:
            torch.nn.init.normal_(layer.norm.weight, 1.0, 0.3)
            torch.nn.init.normal_(layer.norm.bias, 0.0, 0.3)
    return made


def whole_passes(layers, graph, kind, sources, query, mask=None):
    """States [P, N, d] of all nodes after each layer."""
    boundary = query.expand(len(sources), -1)
    state = torch.zeros(len(sources), graph.num_nodes, D, dtype=query.dtype)
    state = state.index_put((torch.arange(len(sources)), sources), boundary)
    states = []
    for layer in layers:
        state = layer(
            state, boundary, sources, boundary, graph, kind, edge_mask=mask, classes=degree_classes(graph, mask)
        )
        states.append(state)
    return states


SOURCES = torch.tensor([0, 2, 6, 9, 10, 12])
EVERY = torch.tensor(list(itertools.product(range(len(SOURCES)), range(N)))).t()
CHOICES = list(itertools.product(["distmult", "transe", "rotate"], ["pna", "sum", "mean", "max"]))


@pytest.mark.parametrize("message, aggregate", CHOICES)
@pytest.mark.parametrize("masked", [False, True])
def test_states_and_gradients_are_those_of_whole_passes(message, aggregate, masked):
    edges = undirected(PAIRS)
    graph, kind = CSRGraph(edges, num_nodes=N), torch.zeros(edges.size(1), dtype=torch.int64)
    mask = None
    if masked:
        out = torch.zeros(edges.size(1), dtype=torch.bool)
        for u, v in ((0, 3), (6, 7)):
            out |= ((edges[0] == u) & (edges[1] == v)) | ((edges[0] == v) & (edges[1] == u))
        mask = ~out
    layers = layers_of(message=message, aggregate=aggregate)
    query = torch.randn(D, dtype=torch.float64, requires_grad=True)
    # few pairs, several of one source, one of them with itself
    few = torch.tensor([[0, 0, 1, 2, 3, 3, 4, 5], [0, 9, 3, 7, 0, 12, 11, 13]])
    for row, target in (few, EVERY):
        flow = PairFlow(graph, kind, SOURCES, row, target, T, edge_mask=mask)
        found = flow.states(layers, query)
        expected = [state[row, target] for state in whole_passes(layers, graph, kind, SOURCES, query, mask)]
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
        inputs = [query, *(p for layer in layers for p in layer.parameters())]
        weight = torch.randn_like(expected[-1])
        gradients = [torch.autograd.grad((out[-1] * weight).sum(), inputs) for out in (found, expected)]
        for mine, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-9)


def test_random_graphs():
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        pairs = torch.combinations(torch.arange(N))
        chosen = pairs[torch.randperm(len(pairs), generator=generator)[: 8 + seed]]
        edges = undirected(chosen.tolist())
        graph, kind = CSRGraph(edges, num_nodes=N), torch.zeros(edges.size(1), dtype=torch.int64)
        layers, query = layers_of(seed), torch.randn(D, dtype=torch.float64, generator=generator)
        row, target = EVERY[:, torch.randperm(EVERY.size(1), generator=generator)[:9]]
        found = PairFlow(graph, kind, SOURCES, row, target, T).states(layers, query)
        expected = whole_passes(layers, graph, kind, SOURCES, query)
        torch.testing.assert_close(found[-1], expected[-1][row, target], rtol=1e-9, atol=1e-9)


def test_only_nodes_between_the_two_ends_are_computed():
    # a path 0 - 1 - ... - 9; from 2 to 5 in four layers
    edges = undirected([(i, i + 1) for i in range(9)], nodes=10)
    graph, kind = CSRGraph(edges, num_nodes=10), torch.zeros(edges.size(1), dtype=torch.int64)
    flow = PairFlow(graph, kind, torch.tensor([2]), torch.tensor([0]), torch.tensor([5]), 4)
    within = [[x for x in range(10) if abs(x - 2) <= t and abs(x - 5) <= 4 - t] for t in range(5)]
    assert [keys.tolist() for keys in flow._active] == within == [[2], [2, 3], [3, 4], [4, 5], [5]]
    assert flow.size() == 7


def test_a_pair_out_of_reach_reads_the_background():
    edges = undirected(PAIRS)
    graph, kind = CSRGraph(edges, num_nodes=N), torch.zeros(edges.size(1), dtype=torch.int64)
    layers = layers_of()
    queries = torch.randn(2, D, dtype=torch.float64)
    for target in (9, 11, 13):
        flow = PairFlow(graph, kind, torch.tensor([1]), torch.tensor([0]), torch.tensor([target]), T)
        assert flow.size() == 0
        # what is out of reach does not know the query either
        first, second = (flow.states(layers, query)[-1] for query in queries)
        assert torch.equal(first, second)
        torch.testing.assert_close(
            first[0], whole_passes(layers, graph, kind, torch.tensor([1]), queries[0])[-1][0, target]
        )
