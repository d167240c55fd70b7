"""Correlations, groups, low performers and shifts, against plain statistics and on graphs where they are known."""

import itertools

import networkx as nx
import pytest
import torch
from scipy import stats

from graphkit.analysis import node_link_quality, resource_allocation, split_concentration, tc_report
from graphkit.data import LinkTask
from graphkit.errors import UserError


def edges_of(graph):
    return torch.tensor(list(graph.edges), dtype=torch.int64).reshape(-1, 2).t()


@pytest.fixture(scope="module")
def clustered():
    task = LinkTask.from_edges(
        "clustered", edges_of(nx.powerlaw_cluster_graph(200, 5, 0.6, seed=0)), 200, split="70/10/20"
    )
    return task, tc_report(task, resource_allocation(task), ks=(5, 20))


def test_properties_of_nodes(clustered):
    task, report = clustered
    graph = nx.Graph(task.train.t().tolist())
    graph.add_nodes_from(range(200))
    for split, values in split_concentration(task).items():
        assert torch.equal(report.concentration[split], values) and torch.equal(
            report.predictors[f"tc {split}"], values
        )
        degree = torch.bincount(task.edges(split).flatten(), minlength=200)
        assert torch.equal(report.degree[split], degree)
        assert report.without_neighbors[split] == int((degree == 0).sum())
        reached = report.degree["train"] > 0
        kept = report.degree["train"] > 1 if split == "train" else reached & (degree > 0)
        assert torch.equal(report.defined[split], kept) and not values[~kept].any()
        assert report.mean(split) == pytest.approx(float(values[kept].mean()))
    assert report.clustering.tolist() == pytest.approx([nx.clustering(graph, v) for v in range(200)])
    density = [nx.density(graph.subgraph([v, *graph[v]])) if graph[v] else 0.0 for v in range(200)]
    assert report.density.tolist() == pytest.approx(density)
    reached = report.degree["train"] > 0
    assert report.unreached == {s: int(((report.degree[s] > 0) & ~reached).sum()) for s in ("valid", "test")}


def test_correlations(clustered):
    task, report = clustered
    quality = node_link_quality(task, resource_allocation(task), ks=(5, 20))
    found = report.correlations()
    assert {c.predictor for c in found} == {
        "tc train", "tc valid", "tc test", "atc train", "degree train", "degree valid", "degree test", "density", "clustering",
    }  # fmt: skip
    assert len(found) == 9 * len(quality.values)
    for one in found:
        x, y = report.predictors[one.predictor][quality.nodes].double().numpy(), quality.values[one.metric].numpy()
        if one.pearson is None:
            assert len(set(x)) == 1 or len(set(y)) == 1
            continue
        assert one.pearson == pytest.approx(stats.pearsonr(x, y).statistic)
        assert one.spearman == pytest.approx(stats.spearmanr(x, y).statistic)
    assert len(report.correlations(["mrr"])) == 9


def test_groups(clustered):
    _, report = clustered
    quality, values = report.quality, report.predictors["tc train"]
    groups = report.by_quantile("recall@20", groups=4)
    assert sum(g.nodes for g in groups) == len(quality.nodes) and len(groups) == 4
    assert all(one.high < two.low for one, two in itertools.pairwise(groups))
    for group in groups:
        inside = (values[quality.nodes] >= group.low) & (values[quality.nodes] <= group.high)
        assert int(inside.sum()) == group.nodes
        result = quality.values["recall@20"][inside]
        assert group.mean == pytest.approx(float(result.mean()))
        assert group.standard_error == pytest.approx(float(stats.sem(result.numpy())))
    one = report.by_quantile("mrr", "degree train", groups=1)
    assert [g.nodes for g in one] == [len(quality.nodes)] and one[0].mean == pytest.approx(quality.mean("mrr"))
    many = report.by_quantile("mrr", "degree test", groups=1000)
    assert [g.low for g in many] == [g.high for g in many] == sorted(set(quality.relevant.double().tolist()))


def test_low_performers(clustered):
    _, report = clustered
    rows, nodes = report.low_performers("recall@20"), report.quality.nodes
    assert [row.share for row in rows] == [x / 100 for x in range(1, 31)]
    result = report.quality.values["recall@20"]
    for name, column in (("tc train", 1), ("degree train", 2)):
        values = report.predictors[name][nodes].double()
        for row in rows:
            tried = []  # the mean over orders of the nodes that tie
            for seed in range(200):
                order = torch.randperm(len(nodes), generator=torch.Generator().manual_seed(seed))
                lowest = order[values[order].sort(stable=True).indices[: max(1, round(row.share * len(nodes)))]]
                tried.append(float(result[lowest].mean()))
            tried = torch.tensor(tried)
            assert abs(float(tried.mean()) - row[column]) <= 4 * float(tried.std()) / 200**0.5 + 1e-6
    assert report.low_performers("mrr", [1.0])[0].by_degree == pytest.approx(report.quality.mean("mrr"))


def test_where_concentration_is_low_prediction_is_bad(clustered):
    """The relation that the paper reports, on a graph made of triangles and a predictor that counts them."""
    _, report = clustered
    by_name = {c.predictor: c.pearson for c in report.correlations(["recall@20"])}
    assert by_name["tc test"] > 0.3 and by_name["tc test"] > abs(by_name["degree train"])


# ---------------------------------------------------------------- shift


def test_no_shift_in_a_random_split_of_a_random_graph():
    edges = edges_of(nx.gnp_random_graph(400, 0.1, seed=3))
    report = tc_report(LinkTask.from_edges("random", edges, 400, split="60/20/20", split_seed=1), controls=16)
    assert set(report.shifts) == {"train-valid", "train-test", "valid-test"}
    for shift in report.shifts.values():
        assert abs(shift.control) < 3 * shift.control_deviation / 16**0.5
        assert abs(shift.mean - shift.control) < 3 * shift.control_deviation
        assert shift.standard_error < shift.control_deviation < 3 * shift.standard_error  # nodes share their edges
        assert shift.mean == pytest.approx(float(shift.values.mean()))


def test_no_shift_where_many_nodes_have_a_single_edge():
    """Train concentration is 0 by convention there; counted in, random splits of sparse graphs would all seem to shift."""
    graph = nx.powerlaw_cluster_graph(600, 2, 0.9, seed=2)
    graph.remove_edges_from([edge for i, edge in enumerate(list(graph.edges)) if i % 4 == 0])
    report = tc_report(LinkTask.from_edges("sparse", edges_of(graph), 600, split="60/0/40"), controls=20)
    shift = report.shifts["train-test"]
    assert int((report.degree["train"] == 1).sum()) > 150
    assert abs(shift.control) < 0.02 and abs(shift.mean) < 0.06
    both = (report.degree["train"] > 0) & (report.degree["test"] > 0)
    counted_in = float((report.concentration["train"] - report.concentration["test"])[both].mean())
    assert counted_in < -0.05


def test_late_edges_at_random_shift_a_clustered_graph():
    core = nx.relaxed_caveman_graph(30, 8, 0.05, seed=0)
    late = [pair for pair in nx.gnm_random_graph(240, 260, seed=5).edges if not core.has_edge(*pair)]
    late = torch.tensor(late).t()
    task = LinkTask("grown", 240, edges_of(core), late[:, :60], late[:, 60:])
    report = tc_report(task, controls=4)
    shift = report.shifts["train-test"]
    assert shift.mean > 10 * shift.standard_error and shift.mean > 0.3
    assert abs(shift.control) < 0.2 * shift.mean, "a random split of the same graph has next to no shift"
    kept = (report.degree["train"] > 1) & (report.degree["test"] > 0)
    assert torch.equal(shift.values, (report.concentration["train"] - report.concentration["test"])[kept])


def test_the_same_seed_gives_the_same_report(clustered):
    task, report = clustered
    again = tc_report(task, resource_allocation(task), ks=(5, 20))
    assert again.correlations() == report.correlations()
    assert [s.control for s in again.shifts.values()] == [s.control for s in report.shifts.values()]


def test_approximate_report(clustered):
    task, _ = clustered
    report = tc_report(task, approximate=True, controls=0)
    assert report.norm == "product" and "atc train" not in report.predictors
    assert torch.equal(report.concentration["test"], split_concentration(task, approximate=True)["test"])
    assert report.shifts["train-test"].control is None


def test_splits_without_edges_and_without_training_neighbours():
    task = LinkTask(
        "odd", 6, torch.tensor([[0, 1], [1, 2]]), torch.empty(2, 0, dtype=torch.int64), torch.tensor([[0, 3], [2, 4]])
    )
    report = tc_report(task, torch.rand(6, 6), hops=2, ks=(2,))
    assert list(report.shifts) == ["train-test"] and report.unreached == {"valid": 0, "test": 2}
    assert report.without_neighbors == {"train": 3, "valid": 6, "test": 2} and report.mean("valid") == 0.0
    for values in (*report.predictors.values(), *report.quality.values.values()):
        assert not torch.isnan(values.double()).any()
    alone = tc_report(LinkTask("train only", 3, task.train, task.valid, task.valid))
    assert alone.shifts == {}


def test_mistakes_are_named(clustered):
    task, report = clustered
    bare = tc_report(task, controls=0, estimate=False)
    mistakes = [
        (lambda: bare.correlations(), "made without a prediction; hand tc_report a model or scores"),
        (lambda: report.by_quantile("recal@20"), "unknown metric 'recal@20'; did you mean 'recall@20'?"),
        (lambda: report.by_quantile("mrr", "tc trian"), "did you mean 'tc train'?"),
        (lambda: report.by_quantile("mrr", groups=0), "groups is 0"),
        (lambda: report.low_performers("mrr", [0.0]), "a share is 0.0, expected a number above 0"),
        (lambda: tc_report(task, controls=-1), "controls is -1"),
        (lambda: tc_report(task, split="tset", scorer=torch.zeros(200, 200)), "did you mean 'test'?"),
    ]
    for mistake, message in mistakes:
        with pytest.raises(UserError, match=message):
            mistake()
