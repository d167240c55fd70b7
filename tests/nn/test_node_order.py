"""Orders of nodes: importance against networkx, ties, batches, mistakes."""

import networkx as nx
import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import node_importance, node_order


def both_directions(graph):
    edges = torch.tensor(list(graph.edges)).t()
    return torch.cat([edges, edges.flip(0)], 1)


def test_importance_equals_networkx():
    graph = nx.gnm_random_graph(30, 60, seed=1)
    edges = both_directions(graph)
    degree = torch.tensor([float(d) for _, d in graph.degree])
    assert torch.equal(node_importance(edges, 30, "degree"), degree.double())
    assert torch.equal(node_importance(edges, 30, "degree_desc"), -degree.double())
    rank = nx.pagerank(graph, alpha=0.85, tol=1e-12)
    torch.testing.assert_close(
        node_importance(edges, 30, "pagerank", steps=300), torch.tensor([rank[v] for v in range(30)]).double()
    )
    seeds = [3, 7]
    personal = nx.pagerank(graph, alpha=0.85, personalization={v: float(v in seeds) for v in graph}, tol=1e-12)
    found = node_importance(edges, 30, "ppr", seeds=torch.tensor(seeds), steps=300)
    torch.testing.assert_close(found, torch.tensor([personal[v] for v in range(30)]).double())
    core = nx.core_number(graph)
    assert torch.equal(node_importance(edges, 30, "kcore"), torch.tensor([float(core[v]) for v in range(30)]).double())


def test_order_and_ties():
    edges = both_directions(nx.Graph([(0, 1), (1, 2), (2, 3), (1, 4), (4, 5)]))  # degrees 1 3 2 1 2 1
    assert node_order(edges, 6).tolist() == [0, 3, 5, 2, 4, 1]
    key = torch.tensor([5, 4, 3, 2, 1, 0])
    assert node_order(edges, 6, node_key=key).tolist() == [5, 3, 0, 4, 2, 1]
    assert node_order(edges, 6, by="degree_desc").tolist() == [1, 2, 4, 0, 3, 5]
    assert node_order(edges, 6, by="given", importance=torch.arange(6).flip(0)).tolist() == [5, 4, 3, 2, 1, 0]
    assert node_order(edges, 6, by="key", ties="random").tolist() == [0, 1, 2, 3, 4, 5]
    # the neighbour of 0 has degree 3, those of 3 and 5 have 2
    assert node_order(edges, 6, ties="struct").tolist() == [3, 5, 0, 2, 4, 1]


def test_noise_reorders_equals_only():
    edges = both_directions(nx.cycle_graph(40))
    edges = torch.cat([edges, torch.tensor([[0, 20], [20, 0]])], 1)
    orders = {
        tuple(node_order(edges, 40, ties="random", generator=torch.Generator().manual_seed(s)).tolist())
        for s in range(5)
    }
    assert len(orders) == 5 and all(set(order[-2:]) == {0, 20} for order in orders)
    shuffled = node_order(edges, 40, by="random", generator=torch.Generator().manual_seed(0))
    assert sorted(shuffled.tolist()) == list(range(40)) != shuffled.tolist()


def test_graphs_stay_together():
    edges = torch.tensor([[0, 1, 2, 3, 3, 4], [1, 0, 3, 2, 4, 3]])
    assert node_order(edges, 5, batch=torch.tensor([0, 0, 1, 1, 1])).tolist() == [0, 1, 2, 4, 3]
    assert node_order(torch.zeros(2, 0, dtype=torch.int64), 0).tolist() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"by": "degre"}, "did you mean 'degree'"), ({"ties": "keys"}, "did you mean 'key'"),
     ({"by": "given"}, "needs the importance"), ({"by": "ppr"}, "restarts in seeds")],
)  # fmt: skip
def test_mistakes(options, message):
    with pytest.raises(UserError, match=message):
        node_order(torch.tensor([[0], [1]]), 2, **options)
