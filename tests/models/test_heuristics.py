"""Heuristics against networkx and dense algebra, and as untrained models in runs."""

import math

import networkx as nx
import pytest
import torch

import graphkit as gk
from graphkit.data import LinkTask, MessageGraph
from graphkit.errors import UserError
from graphkit.models import (
    AdamicAdar,
    CommonNeighbors,
    Jaccard,
    Katz,
    PersonalizedPageRank,
    PreferentialAttachment,
    ResourceAllocation,
    ShortestPath,
    registry,
)

N = 20
EVERY = torch.combinations(torch.arange(N)).t()


def edges_of(count=34, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inside = EVERY[:, (EVERY < N - 2).all(0)]  # the last two nodes have no edge
    return inside[:, torch.randperm(inside.size(1), generator=generator)[:count]]


GRAPH = MessageGraph.from_edges(edges_of(), N)
NX = nx.Graph()
NX.add_nodes_from(range(N))
NX.add_edges_from(edges_of().t().tolist())


def adjacency():
    a = torch.zeros(N, N, dtype=torch.float64)
    a[GRAPH.edge_index[0], GRAPH.edge_index[1]] = 1
    return a


def expected(name):
    pairs = [tuple(pair) for pair in EVERY.t().tolist()]
    if name == "CommonNeighbors":
        return [len(list(nx.common_neighbors(NX, u, v))) for u, v in pairs]
    if name == "ShortestPath":
        lengths = dict(nx.all_pairs_shortest_path_length(NX))
        return [1 / lengths[u][v] if v in lengths[u] else 0.0 for u, v in pairs]
    if name == "Katz":
        a = 0.05 * adjacency()
        total = sum(torch.linalg.matrix_power(a, length) for length in range(1, 5))
        return total[EVERY[0], EVERY[1]].tolist()
    if name == "PersonalizedPageRank":
        a = adjacency()
        walk = a / a.sum(0).clamp(min=1)
        pi = 0.2 * torch.linalg.inv(torch.eye(N, dtype=a.dtype) - 0.8 * walk)  # column s: from s
        return (pi + pi.T)[EVERY[0], EVERY[1]].tolist()
    function = {
        "AdamicAdar": nx.adamic_adar_index, "ResourceAllocation": nx.resource_allocation_index,
        "Jaccard": nx.jaccard_coefficient, "PreferentialAttachment": nx.preferential_attachment,
    }[name]  # fmt: skip
    return [score for _, _, score in function(NX, pairs)]


MODELS = [
    AdamicAdar(), CommonNeighbors(), Jaccard(), Katz(beta=0.05, max_length=4), PreferentialAttachment(),
    PersonalizedPageRank(restart=0.2, tolerance=1e-9), ResourceAllocation(), ShortestPath(),
]  # fmt: skip


def test_all_heuristics_are_here():
    assert {type(model).__name__ for model in MODELS} == {n for n, m in registry().items() if not m.trainable}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_scores_are_their_definition_in_any_order_and_direction(model):
    found = model.score_pairs(GRAPH, EVERY)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor(expected(type(model).__name__), dtype=torch.float32))
    torch.testing.assert_close(model.score_pairs(GRAPH, EVERY.flip(0)), found)
    for size in (1, 7):
        torch.testing.assert_close(model.score_pairs(GRAPH, EVERY, batch_size=size), found)
    order = torch.randperm(EVERY.size(1), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.score_pairs(GRAPH, EVERY[:, order]), found[order])
    assert model.score_pairs(GRAPH, EVERY[:, :0]).shape == (0,)
    seen = []
    model.score_pairs(GRAPH, EVERY, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_pairs_that_are_none_and_training(model):
    with pytest.raises(UserError, match=r"pairs hold node id 20, expected ids in \[0, 20\)"):
        model.score_pairs(GRAPH, torch.tensor([[0], [N]]))
    alone = MessageGraph.from_edges(torch.zeros(2, 0, dtype=torch.int64), N)
    assert model.score_pairs(alone, EVERY).abs().max() == 0
    assert model.score_pairs(GRAPH, torch.tensor([[3], [3]])).isfinite().all()
    with pytest.raises(UserError, match="has nothing to train"):
        model.loss(None)


ORDERS = ((2, 3, 5), (5, 2, 3), (3, 5, 2))


def test_equal_sums_stay_ties():
    """1/2 + 1/3 + 1/5 in two orders differ in the last bit of float32; the scores do not."""
    edges, fresh = [], 5
    for ends, degrees in zip(((0, 1), (2, 3), (2, 4)), ORDERS, strict=True):
        for degree in degrees:
            node, fresh = fresh, fresh + 1
            edges += [(end, node) for end in ends]
            for _ in range(degree - 2):
                edges.append((node, fresh))
                fresh += 1
    graph = MessageGraph.from_edges(torch.tensor(edges).t(), fresh)
    for model in (ResourceAllocation(), AdamicAdar()):
        scores = model.score_pairs(graph, torch.tensor([[0, 2, 2], [1, 3, 4]]))
        assert scores.unique().numel() == 1
    sums = [sum((torch.tensor(1 / d) for d in order), torch.tensor(0.0)) for order in ORDERS]
    assert len({float(value) for value in sums}) > 1, "this test needs degrees whose sums round apart"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Katz(beta=0.0), "beta is 0.0"),
        (lambda: ShortestPath(max_length=0), "max_length is 0"),
        (lambda: PersonalizedPageRank(restart=1.0), "restart is 1.0"),
    ],
)
def test_choices_that_cannot_be(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_longest_paths():
    path = MessageGraph.from_edges(torch.stack([torch.arange(9), torch.arange(1, 10)]), 10)
    pairs = torch.stack([torch.zeros(9, dtype=torch.int64), torch.arange(1, 10)])
    assert ShortestPath(max_length=3).score_pairs(path, pairs).tolist()[2:5] == [pytest.approx(1 / 3), 0.0, 0.0]
    assert math.isclose(float(ShortestPath().score_pairs(path, pairs)[-1]), 1 / 9, rel_tol=1e-6)


def test_a_heuristic_needs_no_training_from_python():
    ring = torch.stack([torch.arange(N), (torch.arange(N) + 1) % N])
    task = LinkTask.from_edges("ring", ring, N, split="80/10/10")
    assert gk.fit(CommonNeighbors(), task, epochs=0).test == gk.evaluate(CommonNeighbors(), task)
