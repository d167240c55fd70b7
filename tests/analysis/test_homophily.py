"""Homophily by nested loops and dense matrices, against PyG where the definitions agree, and on real data."""

import math

import numpy as np
import pytest
import torch
from torch_geometric.utils import homophily as pyg_homophily

from graphkit.analysis import homophily
from graphkit.data import undirected_edges
from graphkit.errors import UserError


def random_graph(seed, nodes=14, edges=40, classes=3, unknown=0):
    draw = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(nodes, (2, edges), generator=draw)
    y = torch.randint(classes, (nodes,), generator=draw)
    y[:unknown] = -1
    return edge_index, y


def adjacency(edge_index, y):
    """The simple directed graph among labelled nodes, as a matrix."""
    a = np.zeros((len(y), len(y)))
    for u, v in edge_index.t().tolist():
        if u != v and y[u] >= 0 and y[v] >= 0:
            a[u, v] = 1
    return a


def definition(a, y):
    """Every measure from its definition, on a matrix whose entries are edges from row to column."""
    n, classes = len(y), sorted({int(label) for label in y if label >= 0})
    pairs = [(u, v) for u in range(n) for v in range(n) if a[u, v]]
    joint = {(k, m): sum(y[u] == k and y[v] == m for u, v in pairs) / len(pairs) for k in classes for m in classes}
    source = {k: sum(joint[k, m] for m in classes) for k in classes}
    target = {m: sum(joint[k, m] for k in classes) for m in classes}
    edge = sum(joint[k, k] for k in classes)
    shares = [np.mean([y[u] == y[v] for u in range(n) if a[u, v]]) for v in range(n) if a[:, v].any()]
    chance = sum(source[k] * target[k] for k in classes)
    information = sum(p * math.log(p / (source[k] * target[m])) for (k, m), p in joint.items() if p)
    entropy = -sum(p * math.log(p) for p in target.values() if p)
    labelled = sum(label >= 0 for label in y)
    insensitive = 0.0
    for k in classes:
        around = [y[u] == k for u, v in pairs if y[v] == k]
        insensitive += max(0.0, (np.mean(around) if around else 0.0) - sum(label == k for label in y) / labelled)
    return {
        "edge": edge, "node": np.mean(shares), "adjusted": (edge - chance) / (1 - chance), "informativeness": information / entropy,
        "class_insensitive": insensitive / (len(classes) - 1),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("unknown", [0, 3])
def test_undirected_measures_are_their_definitions(seed, unknown):
    edge_index, y = random_graph(seed, unknown=unknown)
    a = adjacency(edge_index, y.tolist())
    wanted, found = definition(np.maximum(a, a.T), y.tolist()), homophily(edge_index, y)
    for name, value in wanted.items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-12), name
    assert found.nodes == 14 - unknown and found.edges == int(np.maximum(a, a.T).sum()) // 2


@pytest.mark.parametrize("seed", range(6))
def test_directed_measures_are_their_definitions(seed):
    edge_index, y = random_graph(seed, unknown=2)
    labels = y.tolist()
    a = adjacency(edge_index, labels)
    found, along, against = homophily(edge_index, y).directed, definition(a, labels), definition(a.T, labels)
    for name in ("edge", "adjusted", "informativeness"):
        assert getattr(found, name) == pytest.approx(along[name], abs=1e-12), name
    assert found.node_in == pytest.approx(along["node"]) and found.node_out == pytest.approx(against["node"])
    products = {"A": a, "A^T": a.T, "AA": a @ a, "AA^T": a @ a.T, "A^TA": a.T @ a, "A^TA^T": a.T @ a.T}
    for word, product in products.items():
        product = product - np.diag(product.diagonal())
        shares = []
        for i in range(len(labels)):
            if product[i].sum() and labels[i] >= 0:
                shares.append(
                    sum(product[i, j] for j in range(len(labels)) if labels[j] == labels[i]) / product[i].sum()
                )
        assert found.patterns[word] == pytest.approx(np.mean(shares), abs=1e-12), word
    assert found.effective == max(found.patterns.values())


@pytest.mark.parametrize("seed", range(4))
def test_pyg_agrees_where_its_definitions_do(seed):
    edge_index, y = random_graph(seed, edges=120)
    once = undirected_edges(edge_index)
    both = torch.cat([once, once.flip(0)], 1)
    assert both.unique().numel() == y.numel()  # PyG counts a node without neighbours as 0
    found = homophily(both, y)
    assert found.directed is None
    for name, method in (("edge", "edge"), ("node", "node"), ("class_insensitive", "edge_insensitive")):
        assert getattr(found, name) == pytest.approx(pyg_homophily(both, y, method=method), abs=1e-6), name


def test_direction_repeats_and_loops_do_not_matter_without_directions():
    edge_index, y = random_graph(1)
    extra = torch.cat([edge_index.flip(0), edge_index, torch.arange(14).expand(2, -1)], 1)
    one, two = homophily(edge_index, y), homophily(extra, y)
    for name in ("edge", "node", "class_insensitive", "adjusted", "informativeness", "edges"):
        assert getattr(one, name) == getattr(two, name)
    assert two.directed is None and one.directed is not None


def test_measures_do_not_depend_on_the_names_of_nodes_and_classes():
    edge_index, y = random_graph(2)
    order, names = torch.randperm(14), torch.tensor([7, 2, 40])
    moved = torch.empty_like(y)
    moved[order] = names[y]
    one, two = homophily(edge_index, y), homophily(order[edge_index], moved)
    for name in ("edge", "node", "class_insensitive", "adjusted", "informativeness"):
        assert getattr(one, name) == pytest.approx(getattr(two, name), abs=1e-12)
    assert one.directed.patterns == pytest.approx(two.directed.patterns)


def test_reversing_every_edge_swaps_in_and_out():
    edge_index, y = random_graph(3)
    one, two = homophily(edge_index, y).directed, homophily(edge_index.flip(0), y).directed
    assert (one.node_in, one.patterns["AA^T"]) == (two.node_out, two.patterns["A^TA"])
    assert one.adjusted == pytest.approx(two.adjusted)


def test_only_masked_labels_are_looked_at():
    edge_index, y = random_graph(4)
    mask = torch.arange(14) < 9
    changed = torch.where(mask, y, (y + 1) % 3)
    assert homophily(edge_index, y, mask=mask) == homophily(edge_index, changed, mask=mask)
    assert homophily(edge_index, y, mask=mask).nodes == 9


def test_what_has_no_answer_is_zero():
    for edges, y in (
        (torch.zeros(2, 0, dtype=torch.int64), torch.tensor([0, 1])),
        (torch.tensor([[0], [1]]), torch.tensor([-1, 0])),
        (torch.tensor([[0], [1]]), torch.tensor([-1, -1])),
    ):
        found = homophily(edges, y)
        assert (found.edge, found.node, found.adjusted, found.informativeness) == (0, 0, 0, 0)
    one_class = homophily(torch.tensor([[0], [1]]), torch.tensor([0, 0]))
    assert (one_class.edge, one_class.adjusted, one_class.informativeness) == (1, 0, 0)
    assert "homophily over 2 labelled nodes, 1 edges" in str(one_class)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64)), "edges must be an int64 tensor"),
        ((torch.tensor([[0], [1]]),), "there are no labels"),
        ((torch.tensor([[0], [1]]), torch.zeros(2, 2)), "one class a node"),
        ((torch.tensor([[0], [2]]), torch.tensor([0, 1])), r"the edge \[0, 2\] leads out of the 2 labelled nodes"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(UserError, match=message):
        homophily(*arguments)
    with pytest.raises(UserError, match="expected one bool for each of the 2 labels"):
        homophily(torch.tensor([[0], [1]]), torch.tensor([0, 1]), mask=torch.ones(3, dtype=torch.bool))
