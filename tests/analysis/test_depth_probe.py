"""How many hops labels need: graphs where that is known by construction, and mistakes."""

import networkx as nx
import pytest
import torch
from torch_geometric.data import Data

from graphkit.analysis.depth_probe import depth_probe
from graphkit.data import NodeTask
from graphkit.errors import UserError


def task_of(y, x, edges, classes=None):
    n = len(y)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    data = Data(x=x, y=y, edge_index=torch.cat([edges, edges.flip(0)], 1))
    parts = {"train": order[: n // 2], "valid": order[n // 2 : 3 * n // 4], "test": order[3 * n // 4 :]}
    return NodeTask("made", data, num_classes=classes, **parts)


@pytest.fixture(scope="module")
def distant():
    """The class of a node is the feature of the node two steps on in a tree of paths; its own says nothing."""
    graph = nx.disjoint_union_all([nx.path_graph(3) for _ in range(200)])
    edges = torch.tensor(list(graph.edges)).t()
    generator = torch.Generator().manual_seed(1)
    sign = torch.randint(2, (200,), generator=generator)
    x = torch.randn(600, 4, generator=generator) * 0.05
    x[2::3, 0] = 2.0 * sign - 1
    y = torch.full((600,), -1)
    y[0::3] = sign
    n = 200
    order = 3 * torch.randperm(n, generator=torch.Generator().manual_seed(0))
    data = Data(x=x, y=y, edge_index=torch.cat([edges, edges.flip(0)], 1))
    return NodeTask("distant", data, train=order[:100], valid=order[100:150], test=order[150:])


def test_labels_two_hops_away(distant):
    probe = depth_probe(distant, (0, 1, 2, 4))
    assert probe.needed == 2 and probe.together[2] > 0.95 and max(probe.together[:2]) < 0.75
    assert (probe.train, probe.valid) == (100, 50) and abs(probe.error(0.5) - 0.0707) < 1e-3


def test_own_features_need_no_hop():
    y = torch.arange(120) % 3
    ring = torch.stack([torch.arange(120), (torch.arange(120) + 1) % 120])
    assert depth_probe(task_of(y, torch.eye(3)[y], ring)).needed == 0


def test_neighbours_denoise():
    generator = torch.Generator().manual_seed(0)
    y = (torch.arange(400) // 40) % 2
    graph = nx.disjoint_union_all([nx.random_regular_graph(6, 40, seed=k) for k in range(10)])
    x = (2.0 * y - 1)[:, None] + 3 * torch.randn(400, 2, generator=generator)
    probe = depth_probe(task_of(y, x, torch.tensor(list(graph.edges)).t()))
    assert probe.needed >= 1 and max(probe.together) > probe.together[0] + 0.1


def test_the_same_again_and_fewer_nodes(distant):
    assert depth_probe(distant, (0, 2)) == depth_probe(distant, (0, 2))
    few = depth_probe(distant, (0, 2), most=30)
    assert few.train == few.valid == 30 and few.together[1] > 0.9


def test_mistakes_are_named(distant):
    for depths in ((), (2, 1), (0, 0), (-1,), (0.5,)):
        with pytest.raises(UserError, match="expected whole numbers from 0 upwards, each larger"):
            depth_probe(distant, depths)
    y = torch.zeros(120, dtype=torch.int64)
    ring = torch.stack([torch.arange(120), (torch.arange(120) + 1) % 120])
    with pytest.raises(
        UserError, match="60 training and 30 validation nodes; a depth probe needs two of both, and two classes"
    ):
        depth_probe(task_of(y, torch.ones(120, 1), ring, classes=2))
    labels = (torch.arange(240).view(120, 2) % 2).float()
    with pytest.raises(UserError, match="several labels a node"):
        depth_probe(task_of(labels, torch.ones(120, 1), ring))
