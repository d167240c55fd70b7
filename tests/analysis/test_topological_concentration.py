"""Topological concentration against the literal definition, networkx, and what must hold on every graph."""

import itertools
import math
import sys
from pathlib import Path

import networkx as nx
import pytest
import torch

from graphkit.analysis import (
    NORMS,
    WeightedConcentration,
    approximate_concentration,
    default_beta,
    split_concentration,
    topological_concentration,
)
from graphkit.data import LinkTask
from graphkit.errors import UserError
from graphkit.ops import SimpleGraph, force_backend

sys.path.insert(0, str(Path(__file__).parents[1] / "ops"))
from concentration_definition import edges_of, graphs, neighbors_of, walk_ends

GRAPHS = {name: (edges, n) for name, edges, n in graphs()}


def literal(edges, n, hops, norm, beta, around=None, through_edge=True):
    """The definition, from multisets: sums over all pairs of lengths, numerator and denominator apart."""
    sets = neighbors_of(edges, n)
    own, near = around is None, sets if around is None else neighbors_of(around, n)
    out = []
    for i in range(n):
        shares = []
        for j in sorted(near[i]):
            closed = () if through_edge or not own else (i, j)
            mine, theirs = walk_ends(sets, i, hops, closed), walk_ends(sets, j, hops, closed)
            top = below = 0.0
            for a, b in itertools.product(range(hops), repeat=2):
                both = sum(count for u, count in mine[a].items() if u in theirs[b])
                h, k = mine[a].total(), theirs[b].total()
                least = own and through_edge and a == b == 0
                size = {"source": h - least, "product": h * k, "min": min(h, k), "union": h + k - both}[norm]
                top, below = top + beta ** (a + b) * both, below + beta ** (a + b) * size
            shares.append(top / below if below > 0 else 0.0)
        alone = own and norm == "source" and len(sets[i]) <= 1
        out.append(0.0 if alone or not shares else sum(shares) / len(shares))
    return torch.tensor(out, dtype=torch.float64)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_definition(name, hops, norm):
    edges, n = GRAPHS[name]
    around = edges_of(nx.gnp_random_graph(n, 0.2, seed=9))
    for near in (None, around):
        found = topological_concentration(edges, num_nodes=n, hops=hops, norm=norm, beta=0.4, neighbors=near)
        torch.testing.assert_close(found, literal(edges, n, hops, norm, 0.4, near), rtol=1e-12, atol=1e-14)
        assert found.dtype == torch.float64


@pytest.mark.parametrize("name", ["random", "clustered", "star", "tree", "one edge", "no edge"])
@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_definition_without_walks_through_the_edge(name, hops, norm):
    edges, n = GRAPHS[name]
    found = topological_concentration(edges, num_nodes=n, hops=hops, norm=norm, beta=0.4, through_edge=False)
    if hops == 1 and norm != "source":
        expected = literal(edges, n, 1, norm, 0.4)  # of one hop only the size of "source" leaves the edge out
    else:
        expected = literal(edges, n, hops, norm, 0.4, through_edge=False)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_one_hop_is_the_clustering_coefficient(seed):
    graph = nx.gnp_random_graph(80, 0.06, seed=seed)
    graph.add_nodes_from(range(80, 85))  # isolated
    graph.add_edge(85, 0)  # degree 1
    found = topological_concentration(edges_of(graph), num_nodes=86)
    expected = [value for _, value in sorted(nx.clustering(graph).items())]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-15, atol=0)
    assert bool((found[80:] == 0).all())


@pytest.mark.parametrize("n", [3, 5, 9])
def test_cliques_have_one(n):
    assert topological_concentration(edges_of(nx.complete_graph(n)), num_nodes=n).tolist() == [1.0] * n


FORESTS = {"star": nx.star_graph(8), "tree": nx.balanced_tree(3, 3), "path": nx.path_graph(9)}


@pytest.mark.parametrize("graph", [*FORESTS.values(), nx.complete_bipartite_graph(3, 4), nx.hypercube_graph(3)])
def test_without_triangles_one_hop_has_nothing_and_two_hops_go_back(graph):
    graph = nx.convert_node_labels_to_integers(graph)
    edges, n = edges_of(graph), graph.number_of_nodes()
    assert not topological_concentration(edges, num_nodes=n).any()
    two = topological_concentration(edges, num_nodes=n, hops=2)
    assert all((two[v] > 0) == (d >= 2) for v, d in graph.degree())


@pytest.mark.parametrize("graph", FORESTS.values(), ids=list(FORESTS))
@pytest.mark.parametrize("hops", [2, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_forests_have_nothing_without_walks_through_the_edge(graph, hops, norm):
    edges, n = edges_of(graph), graph.number_of_nodes()
    assert not topological_concentration(edges, num_nodes=n, hops=hops, norm=norm, through_edge=False).any()


@pytest.mark.parametrize("hops", [1, 2])
@pytest.mark.parametrize("through_edge", [True, False])
def test_names_and_storage_do_not_matter(hops, through_edge):
    edges, n = GRAPHS["random"]
    options = {"hops": hops, "through_edge": through_edge, "beta": 0.2}
    expected = topological_concentration(edges, num_nodes=n, **options)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(topological_concentration(order[edges], num_nodes=n, **options)[order], expected)
    messy = torch.cat([edges, edges.flip(0)[:, 10:], torch.arange(n).repeat(2, 1)], 1).flip(1)
    for given in (messy, SimpleGraph(messy, num_nodes=n)):
        assert torch.equal(topological_concentration(given, num_nodes=n, **options), expected)
    union = torch.cat([edges, edges + n], 1)
    torch.testing.assert_close(topological_concentration(union, num_nodes=2 * n, **options), expected.repeat(2))


def test_bounds_and_monotony_of_one_hop():
    graph = nx.gnp_random_graph(30, 0.2, seed=7)
    value = topological_concentration(edges_of(graph), num_nodes=30)
    assert float(value.min()) >= 0 and float(value.max()) <= 1
    for i in range(30):
        missing = [pair for pair in itertools.combinations(graph[i], 2) if not graph.has_edge(*pair)]
        if missing:
            more = graph.copy()
            more.add_edge(*missing[0])
            assert topological_concentration(edges_of(more), num_nodes=30)[i] > value[i]


def test_both_backends_agree():
    edges, n = GRAPHS["clustered"]
    native = topological_concentration(edges, num_nodes=n, hops=3)
    with force_backend("python"):
        torch.testing.assert_close(topological_concentration(edges, num_nodes=n, hops=3), native)


def test_default_discount():
    edges, n = GRAPHS["clustered"]
    beta = n / (2 * edges.shape[1])
    assert default_beta(edges, n) == pytest.approx(beta)
    one = topological_concentration(edges, num_nodes=n, hops=2)
    assert torch.equal(one, topological_concentration(edges, num_nodes=n, hops=2, beta=default_beta(edges, n)))


# ---------------------------------------------------------------- estimates


def test_estimate_is_unbiased_and_knows_its_error():
    """Mean over 200 draws within 4 standard errors by the formula of the variance, which the draws follow too."""
    edges, n = GRAPHS["clustered"]
    sets, D, draws = neighbors_of(edges, n), 32, 200
    exact = topological_concentration(edges, num_nodes=n, norm="product")
    found = approximate_concentration(edges, num_nodes=n, dimensions=D, draws=draws, seed=3)
    share = torch.zeros(n, n, dtype=torch.float64)
    for i, near in enumerate(sets):
        for j in near:
            share[i, j] = 1 / len(near)
    gram = share @ share.t()
    for i in range(n):
        near = sorted(sets[i])
        # covariance of <x, y> and <x, z> over D: (|x|^2 <y, z> + <x, y><x, z>) / D
        block = gram[i, i] * gram[near][:, near] + torch.outer(gram[i, near], gram[i, near])
        error = math.sqrt(float(block.mean()) / D / draws)
        assert abs(float(found.value[i] - exact[i])) < 4 * error
        assert float(found.standard_error[i]) == pytest.approx(error, rel=0.35)


def test_error_shrinks_with_the_root_of_the_dimensions():
    edges, n = edges_of(nx.powerlaw_cluster_graph(300, 5, 0.8, seed=0)), 300
    exact = topological_concentration(edges, num_nodes=n, norm="product")
    error, likeness = [], []
    for D in (8, 32, 128):
        value = approximate_concentration(edges, num_nodes=n, dimensions=D, draws=4, seed=1).value
        error.append(float((value - exact).square().mean().sqrt()))
        likeness.append(float(torch.corrcoef(torch.stack([value, exact]))[0, 1]))
    assert error[0] / error[1] == pytest.approx(2, rel=0.3) and error[1] / error[2] == pytest.approx(2, rel=0.3)
    assert likeness[0] < likeness[1] < likeness[2] and likeness[2] > 0.9


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_estimate_over_the_features_written_out(similarity):
    from graphkit.ops import counter_normal

    edges, n = GRAPHS["random"]
    sets, around = neighbors_of(edges, n), edges_of(nx.gnp_random_graph(n, 0.1, seed=1))
    near, values = neighbors_of(around, n), []
    for draw in range(3):
        r = counter_normal(n, 16, seed=11, stream=draw).double()
        share = torch.tensor([[(j in sets[i]) / max(len(sets[i]), 1) for j in range(n)] for i in range(n)]).double()
        z = share @ r + 0.3 * share @ share @ r
        if similarity == "cosine":
            z = z / z.norm(dim=1, keepdim=True).clamp(min=1e-30)
        dots = z @ z.t() / (16 if similarity == "dot" else 1)
        values.append(
            torch.stack([dots[i, sorted(near[i])].mean() if near[i] else torch.zeros(()).double() for i in range(n)])
        )
    found = approximate_concentration(
        edges, num_nodes=n, hops=2, neighbors=around, beta=0.3, similarity=similarity, dimensions=16, draws=3, seed=11
    )
    torch.testing.assert_close(found.value, torch.stack(values).mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.standard_error, torch.stack(values).std(0) / 3**0.5, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_estimate_in_parts_is_the_estimate_at_once(similarity, monkeypatch):
    import graphkit.analysis.topological_concentration  # noqa: F401

    edges, n = GRAPHS["clustered"]
    options = {"num_nodes": n, "hops": 2, "similarity": similarity, "dimensions": 40, "draws": 2}
    whole = approximate_concentration(edges, **options)
    monkeypatch.setattr(sys.modules["graphkit.analysis.topological_concentration"], "_CELLS", 12 * n)
    parts = approximate_concentration(edges, **options)
    torch.testing.assert_close(parts.value, whole.value, rtol=1e-5, atol=1e-7)


def test_estimate_of_the_public_function():
    edges, n = GRAPHS["random"]
    found = topological_concentration(edges, num_nodes=n, approximate=True, seed=5)
    assert torch.equal(found, approximate_concentration(edges, num_nodes=n, seed=5).value)
    assert torch.equal(found, topological_concentration(edges, num_nodes=n, approximate=True, norm="product", seed=5))
    assert not found[40:].any(), "isolated nodes have exactly 0"
    assert not torch.equal(found, topological_concentration(edges, num_nodes=n, approximate=True, seed=6))
    with pytest.raises(UserError, match="the estimate is of the norm 'product', got norm='source'"):
        topological_concentration(edges, num_nodes=n, approximate=True, norm="source")


# ---------------------------------------------------------------- weights and splits


def both_ways(edges):
    return torch.cat([edges, edges.flip(0)], 1)


def test_equal_weights_give_the_concentration():
    edges, n = GRAPHS["random"]
    around = edges_of(nx.gnp_random_graph(n, 0.1, seed=2))
    messages = torch.cat([both_ways(edges), torch.arange(n).repeat(2, 1)], 1)  # loops do not count
    for near in (None, around):
        weighted = WeightedConcentration(messages, num_nodes=n, neighbors=near)
        expected = topological_concentration(edges, num_nodes=n, neighbors=near)
        torch.testing.assert_close(weighted(torch.full((messages.shape[1],), 0.25, dtype=torch.float64)), expected)
    logged = WeightedConcentration(messages, num_nodes=n, compat=True)(
        torch.ones(messages.shape[1], dtype=torch.float64)
    )
    degree = SimpleGraph(edges, num_nodes=n).degree.double()
    expected = topological_concentration(edges, num_nodes=n) * (degree - 1) / degree.clamp(min=1)
    torch.testing.assert_close(logged, torch.where(degree > 1, expected, 0.0))


def test_weights_written_out_and_their_gradient():
    edges, n = GRAPHS["random"]
    around = edges_of(nx.gnp_random_graph(n, 0.15, seed=2))
    sets, near, messages = neighbors_of(edges, n), neighbors_of(around, n), both_ways(edges)
    weight = torch.rand(messages.shape[1], dtype=torch.float64) + 0.1
    table = {(t, s): float(w) for (s, t), w in zip(messages.t().tolist(), weight, strict=True)}  # at t, from s
    expected = [
        sum(table[i, j] * len(near[i] & sets[j]) for j in sets[i]) / sum(table[i, j] for j in sets[i]) / len(near[i])
        if sets[i] and near[i]
        else 0.0
        for i in range(n)
    ]
    weighted = WeightedConcentration(messages, num_nodes=n, neighbors=around)
    torch.testing.assert_close(weighted(weight), torch.tensor(expected, dtype=torch.float64))
    assert not torch.isnan(weighted(torch.zeros_like(weight))).any()
    assert torch.autograd.gradcheck(weighted, weight.requires_grad_())
    # linear in the normalised weights
    size = torch.zeros(n, dtype=torch.float64).index_add_(0, messages[1], weight.detach())
    one = weight.detach() / size[messages[1]]
    two = 1 / torch.bincount(messages[1], minlength=n)[messages[1]]
    mixed = weighted(0.3 * one + 0.7 * two)
    torch.testing.assert_close(mixed, 0.3 * weighted(one) + 0.7 * weighted(two))


def test_splits():
    graph = nx.powerlaw_cluster_graph(60, 4, 0.5, seed=1)
    task = LinkTask.from_edges("toy", edges_of(graph), 60, split="60/20/20")
    found = split_concentration(task, hops=2, norm="product")
    for split in ("valid", "test"):
        expected = literal(task.train, 60, 2, "product", default_beta(task.train, 60), task.edges(split))
        torch.testing.assert_close(found[split], expected)
    torch.testing.assert_close(found["train"], literal(task.train, 60, 2, "product", default_beta(task.train, 60)))
    with pytest.raises(UserError, match="neighbors is what split_concentration chooses"):
        split_concentration(task, neighbors=task.test)


def test_mistakes_are_named():
    edges, n = GRAPHS["random"]
    mistakes = [
        ({"norm": "sauce"}, "unknown norm 'sauce'; did you mean 'source'?"),
        ({"hops": 0}, "hops is 0"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"hops": 2, "max_sums": 10}, "2 hops on this graph sum up to .* use approximate=True or fewer hops, or raise"),
        ({"hops": 2, "through_edge": False, "max_sums": 10}, "sum up to"),
        ({"approximate": True, "dimensions": 6}, "dimensions is 6, expected a multiple of 4"),
        ({"approximate": True, "draws": 1}, "draws is 1, expected a whole number from 2"),
        ({"neighbors": torch.tensor([[0], [99]])}, "node id 99, expected ids in"),
    ]
    for options, message in mistakes:
        with pytest.raises(UserError, match=message):
            topological_concentration(edges, num_nodes=n, **options)
    with pytest.raises(UserError, match="node id 42, expected ids"):
        topological_concentration(torch.tensor([[0], [42]]), num_nodes=5)
    with pytest.raises(UserError, match="unknown similarity 'dots'"):
        approximate_concentration(edges, num_nodes=n, similarity="dots")
    with pytest.raises(UserError, match=r"weight is \[3\], expected one for each of"):
        WeightedConcentration(both_ways(edges), num_nodes=n)(torch.ones(3))


@pytest.mark.parametrize("n", [0, 1, 4])
def test_graphs_without_edges(n):
    none = torch.empty(2, 0, dtype=torch.int64)
    for options in ({}, {"hops": 2}, {"hops": 2, "through_edge": False}, {"approximate": True}, {"norm": "union"}):
        assert topological_concentration(none, num_nodes=n, **options).tolist() == [0.0] * n
    if n == 4:
        near = torch.tensor([[0, 1], [1, 2]])
        for hops in (1, 2):
            for norm in NORMS:
                assert not topological_concentration(none, num_nodes=n, hops=hops, norm=norm, neighbors=near).any()
        assert not WeightedConcentration(none, num_nodes=n, neighbors=near)(torch.empty(0)).any()
