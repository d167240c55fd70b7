"""HeaRT's negatives against nested loops over plain dictionaries, and what they must never be."""

import math

import pytest
import torch
from link_samples import pairs, random_edges

from graphkit.data import LinkTask, heart_negatives
from graphkit.data.heart_scores import personalized_pagerank, rounded
from graphkit.data.random_streams import EVALUATION, permutation
from graphkit.errors import UserError


def neighbours_of(edges, nodes):
    found = {node: set() for node in range(nodes)}
    for u, v in edges.t().tolist():
        found[u].add(v)
        found[v].add(u)
    return found


def resource_allocation(near, u, v):
    return sum(1 / len(near[z]) for z in near[u] & near[v])


def pagerank(near, source, nodes, restart, tolerance):
    """Forward push, all nodes of a round at once, node by node."""
    found, residual = [0.0] * nodes, [0.0] * nodes
    residual[source] = 1.0
    while any(residual[v] > tolerance * len(near[v]) for v in range(nodes)):
        after = list(residual)
        for v in range(nodes):
            if residual[v] > tolerance * len(near[v]):
                found[v] += restart * residual[v]
                after[v] -= residual[v]
                for w in near[v]:
                    after[w] += (1 - restart) * residual[v] / len(near[v])
        residual = after
    return found


def cosine(x, u, v):
    norm = math.sqrt(sum(a * a for a in x[u]) * sum(b * b for b in x[v]))
    return sum(a * b for a, b in zip(x[u], x[v], strict=True)) / norm if norm else 0.0


def defined(train, valid, test, nodes, x, side, tolerance, seed=42):
    near = neighbours_of(train, nodes)
    both = neighbours_of(torch.cat([train, valid], 1), nodes)

    def score_lists(u):
        yield [resource_allocation(near, u, v) for v in range(nodes)]
        yield pagerank(near, u, nodes, 0.15, tolerance)
        if x is not None:
            yield [cosine(x, u, v) for v in range(nodes)]

    def listed(u):
        best = [math.inf] * nodes
        for scores in score_lists(u):
            scores = [0.0 if v == u else float(f"{score:.10g}") for v, score in enumerate(scores)]
            for v in range(nodes):
                if scores[v] > 0:
                    best[v] = min(best[v], 1 + sum(other > scores[v] for other in scores))
        drawn = permutation(nodes, seed=seed, epoch=u, stream=EVALUATION).tolist()
        return sorted((v for v in range(nodes) if v != u), key=lambda v: (best[v], drawn[v]))

    result = []
    for edges, known in ((valid, near), (test, both)):
        rows = []
        for u, v in edges.t().tolist():
            first = [w for w in listed(u) if w != v and w not in known[u]][:side]
            second = [w for w in listed(v) if w != u and w not in known[v]][:side]
            rows.append([(u, w) for w in first] + [(w, v) for w in second])
        result.append(rows)
    return result


def small_graph(nodes=26, edges=60, seed=0):
    order = random_edges(nodes, edges, seed)
    return order[:, :44], order[:, 44:51], order[:, 51:], nodes


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("features", ["none", "words", "numbers"])
def test_equal_to_the_nested_loops(seed, features):
    train, valid, test, nodes = small_graph(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    x = {
        "none": None,
        "words": (torch.rand(nodes, 9, generator=generator) < 0.2).float(),  # some nodes without any
        "numbers": torch.rand(nodes, 4, generator=generator),
    }[features]
    found = heart_negatives(train, valid, test, nodes, x=x, num_negatives=12, tolerance=1e-3)
    rows = None if x is None else x.double().tolist()
    for ours, theirs in zip(found, defined(train, valid, test, nodes, rows, 6, 1e-3), strict=True):
        assert ours.permute(1, 2, 0).tolist() == [[list(pair) for pair in row] for row in theirs]


def test_two_components_and_isolated_nodes_are_filled_up_at_random():
    triangle, nodes = pairs((0, 1), (1, 2), (0, 2)), 40
    (negatives, _), again = (
        heart_negatives(triangle, pairs((0, 9)), pairs(), nodes, num_negatives=20) for _ in range(2)
    )
    assert torch.equal(negatives, again[0])
    kept, others = negatives[0, 0, :10], negatives[1, 0, :10]
    assert set(kept.tolist()) == {0} and not {0, 1, 2, 9} & set(others.tolist()) and len(set(others.tolist())) == 10
    assert sorted(others.tolist()) != others.tolist()  # drawn, not counted upwards
    # node 9 knows nobody: drawn from all but itself and its partner
    drawn = negatives[0, 0, 10:].tolist()
    assert len(set(drawn)) == 10 and not {0, 9} & set(drawn) and set(negatives[1, 0, 10:].tolist()) == {9}
    other, _ = heart_negatives(triangle, pairs((0, 9)), pairs(), nodes, num_negatives=20, seed=43)
    assert not torch.equal(other, negatives)


@pytest.fixture(scope="module")
def heart_task():
    x = (torch.rand(700, 30, generator=torch.Generator().manual_seed(1)) < 0.1).float()
    return LinkTask.from_edges("toy", random_edges(700, 2500), 700, protocol="heart", x=x)


def test_five_hundred_of_each_edge_and_a_half_keeps_each_node(heart_task):
    task = heart_task
    assert [task.edges(split).size(1) for split in ("train", "valid", "test")] == [2125, 125, 250]
    train, valid = ({tuple(sorted(p)) for p in task.edges(s).t().tolist()} for s in ("train", "valid"))
    for split, known in (("valid", train), ("test", train | valid)):
        negatives, edges = task.negatives(split), task.edges(split)
        assert negatives.shape == (2, edges.size(1), 500)
        assert bool((negatives[0, :, :250] == edges[0][:, None]).all())
        assert bool((negatives[1, :, 250:] == edges[1][:, None]).all())
        assert bool((negatives[0] != negatives[1]).all())
        for row, edge in zip(negatives.permute(1, 2, 0).tolist(), edges.t().tolist(), strict=True):
            found = {tuple(sorted(pair)) for pair in row}
            assert len(found) == 500 and not found & known and tuple(edge) not in found


def test_the_certificate_says_what_the_rule_leaves_in(heart_task):
    certificate = heart_task.leak_check()
    own = {tuple(p) for p in heart_task.test.t().tolist()}
    pairs_asked = heart_task.negatives("test").flatten(1).sort(0).values.t().tolist()
    count = sum(tuple(pair) in own for pair in pairs_asked)
    warned = {what: number for what, number, _ in certificate.warnings}
    assert count > 0 and warned["negatives of test are test edges, in either direction"] == count
    assert "every negative of test keeps a node of its edge (125,000): 500 of each" in str(certificate)
    record = heart_task.provenance["protocol"]
    assert record["name"] == "heart" and "graphkit's own, the published files are not used" in record["about"]
    assert record["negatives"]["test"] == "500 of each edge's own, fixed" and record["negatives_avoid"] == "earlier"
    assert heart_task.primary_metric == "mrr" and heart_task.ties["hits@K"].startswith("mean")


def test_neither_blocks_nor_directions_nor_repeats_matter():
    train, valid, test, nodes = small_graph()
    x = torch.rand(nodes, 4)
    plain = heart_negatives(train, valid, test, nodes, x=x, num_negatives=12)
    for other in (
        heart_negatives(train, valid, test, nodes, x=x, num_negatives=12, memory=1),
        heart_negatives(torch.cat([train.flip(0), train[:, :5]], 1), valid, test, nodes, x=x, num_negatives=12),
    ):
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(plain, other, strict=True))


def test_pagerank_is_within_its_tolerance_of_the_exact_one():
    from scipy.sparse import csr_matrix

    nodes = 30
    near = neighbours_of(random_edges(nodes, 70), nodes)
    dense = torch.zeros(nodes, nodes, dtype=torch.float64)
    for u, others in near.items():
        dense[u, list(others)] = 1.0
    degree = dense.sum(1)
    assert degree.min() > 0
    exact = 0.15 * torch.linalg.inv(torch.eye(nodes, dtype=torch.float64) - 0.85 * dense / degree[:, None])
    for tolerance in (1e-3, 1e-6):
        found = torch.from_numpy(
            personalized_pagerank(csr_matrix(dense.numpy()), torch.arange(nodes).numpy(), tolerance=tolerance).copy()
        )
        gap = exact - found
        assert bool((gap > -1e-12).all()) and bool((gap <= tolerance * degree + 1e-12).all()) and gap.max() > 0


def test_scores_that_are_equal_in_exact_arithmetic_tie():
    one, other = (0.1 + 0.2) + 0.3, 0.1 + (0.2 + 0.3)
    assert one != other
    first, second, third = rounded(torch.tensor([one, other, one * (1 + 1e-9)], dtype=torch.float64).numpy())
    assert first == second != third


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_negatives": 7}, "num_negatives is 7, expected an even number"),
        ({"num_negatives": 0}, "num_negatives is 0, expected an even number"),
        ({"num_negatives": 48}, r"node \d+ has only \d+ candidates that are no known neighbours, but 24 negatives"),
        ({"num_negatives": 500}, "but 250 negatives are to keep it; take a smaller num_negatives or a sparser graph"),
    ],
)
def test_graphs_that_are_too_small_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        heart_negatives(*small_graph(), **options)
