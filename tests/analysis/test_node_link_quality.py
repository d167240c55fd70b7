"""Metrics of single nodes against a brute-force ranking, and what chance gives."""

import math

import pytest
import torch

from graphkit.analysis import chance_level, node_link_quality, resource_allocation
from graphkit.data import LinkTask
from graphkit.errors import UserError

N = 25
KS = (1, 3, 10, 40)


def random_task(seed=0, nodes=N, edges=70):
    pairs = torch.combinations(torch.arange(nodes)).t()
    chosen = pairs[:, torch.randperm(pairs.size(1), generator=torch.Generator().manual_seed(seed))[:edges]]
    return LinkTask.from_edges("toy", chosen, nodes, split="60/15/25")


def neighbors(task, split, i):
    return {v if u == i else u for u, v in task.edges(split).t().tolist() if i in (u, v)}


def brute(task, scores, split, filtered):
    """One node after another, by counting; equal scores share the mean of their ranks."""
    splits = ("train", "valid", "test")
    earlier = splits[: splits.index(split)] if filtered else ()
    rows = {}
    for i in range(task.num_nodes):
        hidden = set().union(*(neighbors(task, one, i) for one in earlier)) if earlier else set()
        relevant = neighbors(task, split, i) - hidden
        if not relevant:
            continue
        candidates = [v for v in range(task.num_nodes) if v != i and v not in hidden]
        place = {}
        for v in relevant:
            s = float(scores[i, v])
            above = sum(float(scores[i, w]) > s for w in candidates)
            level = sum(float(scores[i, w]) == s for w in candidates)
            place[v] = above + (level + 1) / 2
        m = len(relevant)
        row = {"mrr": 1 / min(place.values()), "m": m, "n": len(candidates)}
        for k in KS:
            inside = [r for r in place.values() if r <= k]
            row[f"recall@{k}"], row[f"precision@{k}"] = len(inside) / m, len(inside) / k
            p, r = row[f"precision@{k}"], row[f"recall@{k}"]
            row[f"f1@{k}"] = 2 * p * r / (p + r) if inside else 0.0
            row[f"hit@{k}"] = float(bool(inside))
            ideal = sum(1 / math.log2(r + 1) for r in range(1, min(m, k) + 1))
            row[f"ndcg@{k}"] = sum(1 / math.log2(r + 1) for r in inside) / ideal
        rows[i] = row
    return rows


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize("filtered", [True, False])
@pytest.mark.parametrize("ties", [False, True])
def test_brute_force(split, filtered, ties):
    task = random_task()
    scores = torch.rand(N, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    if ties:
        scores = (scores * 4).floor()
        scores[:, :5] = -torch.inf
    found = node_link_quality(task, scores, split=split, ks=KS, filtered=filtered, batch_size=7)
    expected = brute(task, scores, split, filtered)
    assert found.nodes.tolist() == list(expected)
    assert found.relevant.tolist() == [row["m"] for row in expected.values()]
    assert found.candidates.tolist() == [row["n"] for row in expected.values()]
    for metric, values in found.values.items():
        wanted = torch.tensor([row[metric] for row in expected.values()], dtype=torch.float64)
        torch.testing.assert_close(values, wanted, msg=metric)


def test_every_kind_of_scorer_gives_the_same():
    task = random_task()
    table = torch.rand(N, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    class Model:
        def score_pairs(self, graph, pairs, *, batch_size=None, progress=None):
            assert bool((pairs[0] != pairs[1]).all())
            return table[pairs[0], pairs[1]]

    wanted = node_link_quality(task, table)
    for scorer in (Model(), lambda nodes: table[nodes]):
        for batch_size in (None, 4):
            found = node_link_quality(task, scorer, batch_size=batch_size)
            assert all(torch.equal(found.values[name], values) for name, values in wanted.values.items())


def test_a_sample_of_nodes():
    task = random_task()
    table = torch.rand(N, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    whole, part = node_link_quality(task, table), node_link_quality(task, table, sample=6, seed=3)
    assert len(part.nodes) == 6 and bool((part.nodes.diff() > 0).all())
    inside = torch.isin(whole.nodes, part.nodes)
    assert all(torch.equal(part.values[name], values[inside]) for name, values in whole.values.items())
    assert not torch.equal(part.nodes, node_link_quality(task, table, sample=6, seed=4).nodes)
    assert torch.equal(node_link_quality(task, table, sample=1000).nodes, whole.nodes)


def test_a_perfect_ranking_is_the_best_there_is():
    task = random_task()
    scores = torch.zeros(N, N)
    u, v = task.test
    order = torch.rand(len(u), generator=torch.Generator().manual_seed(0)) + 1  # different, so that no ranks are shared
    scores[u, v] = scores[v, u] = order
    found = node_link_quality(task, scores, ks=KS)
    for metric, values in found.values.items():
        torch.testing.assert_close(values, found.best[metric], msg=metric)
        room = found.best[metric] - found.chance[metric] > 1e-12
        torch.testing.assert_close(found.corrected(metric), room.double())


def test_chance_by_trying():
    """Expectations by drawing the ranks of m out of n, a hundred thousand times."""
    generator = torch.Generator().manual_seed(0)
    for m, n in ((1, 7), (3, 12), (6, 9), (4, 4)):
        ranks = torch.rand(100_000, n, generator=generator).argsort(1)[:, :m].double() + 1
        found = {name: float(v) for name, v in chance_level(torch.tensor([m]), torch.tensor([n]), (1, 4, 20)).items()}
        tried = {"mrr": 1 / ranks.amin(1)}
        for k in (1, 4, 20):
            inside = ranks <= k
            hits = inside.double().sum(1)
            ideal = sum(1 / math.log2(r + 1) for r in range(1, min(m, k) + 1))
            tried[f"recall@{k}"], tried[f"precision@{k}"] = hits / m, hits / k
            tried[f"f1@{k}"], tried[f"hit@{k}"] = 2 * hits / (m + k), (hits > 0).double()
            tried[f"ndcg@{k}"] = torch.where(inside, 1 / torch.log2(ranks + 1), 0.0).sum(1) / ideal
        assert set(tried) == set(found)
        for name, values in tried.items():
            error = float(values.std()) / len(values) ** 0.5
            assert abs(float(values.mean()) - found[name]) <= 4 * error + 1e-9, (name, m, n)


def test_random_scores_reach_chance_and_recall_does_not_know_the_degree():
    generator = torch.Generator().manual_seed(2)
    nodes = 120
    weight = torch.rand(nodes, generator=generator) ** 3
    edges = (torch.rand(nodes, nodes, generator=generator) < 0.6 * weight * weight[:, None]).nonzero().t()
    task = LinkTask.from_edges("skewed", edges, nodes, split="60/0/40")
    sums, rounds = {}, 60
    for _ in range(rounds):
        found = node_link_quality(task, torch.rand(nodes, nodes, generator=generator), ks=(10,), filtered=False)
        for name, values in found.values.items():
            sums.setdefault(name, []).append(values)
    degree = found.relevant.double()
    likeness = {}
    for name, rounds_of in sums.items():
        values = torch.stack(rounds_of)
        mean, error = values.mean(0), values.std(0).clamp(min=1e-3) / rounds**0.5
        assert float(((mean - found.chance[name]) / error).abs().mean()) < 1.2, name
        likeness[name] = float(torch.corrcoef(torch.stack([mean, degree]))[0, 1])
    assert abs(likeness["recall@10"]) < 0.2
    assert min(likeness["precision@10"], likeness["f1@10"], likeness["hit@10"]) > 0.7


def test_resource_allocation_by_sets():
    task = random_task()
    scores = resource_allocation(task)(torch.arange(N))
    near = [neighbors(task, "train", i) for i in range(N)]
    for i in range(N):
        for j in range(N):
            assert float(scores[i, j]) == pytest.approx(sum(1 / len(near[w]) for w in near[i] & near[j]))


def test_mistakes_are_named():
    task, good = random_task(), torch.zeros(N, N)
    nan = good.clone()
    u, v = task.test[:, 0].tolist()
    nan[u, v] = float("nan")
    mistakes = [
        (lambda: node_link_quality(task, good[:3]), r"the scores are \[3, 25\], expected one for each pair"),
        (lambda: node_link_quality(task, nan), rf"the score of the pair \({u}, {v}\) is NaN"),
        (lambda: node_link_quality(task, lambda nodes: good), r"the scorer gives \[25, 25\] for"),
        (lambda: node_link_quality(task, 3), "the scorer is int, expected a model"),
        (lambda: node_link_quality(task, good, ks=()), "ks is empty"),
        (lambda: node_link_quality(task, good, ks=(0,)), "k is 0, expected"),
        (lambda: node_link_quality(task, good, split="tets"), "unknown split 'tets'; did you mean 'test'?"),
        (lambda: node_link_quality(task, good, batch_size=0), "batch_size is 0"),
        (lambda: node_link_quality(task, good, sample=0), "sample is 0"),
        (lambda: chance_level(torch.tensor([3]), torch.tensor([2]), (1,)), "at least one relevant candidate"),
        (
            lambda: node_link_quality(LinkTask("t", N, task.train, task.valid, task.test[:, :0]), good),
            "t has no test edges",
        ),
    ]
    for mistake, message in mistakes:
        with pytest.raises(UserError, match=message):
            mistake()
