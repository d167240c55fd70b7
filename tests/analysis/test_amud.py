"""AMUD against dense Pearson correlations, its invariances, the measured table, the calibrated gap, mistakes."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphkit.analysis import PatternStatistics, amud, amud_report, direction_gap, guidance_score
from graphkit.errors import DataWarning, UserError
from graphkit.nn.pattern_words import pattern_words, transposed, word_name

ORDER_2 = ("AA", "AA^T", "A^TA", "A^TA^T")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sample(nodes=40, edges=160, classes=3, features=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(nodes, (2, edges), generator=generator)
    y = torch.randint(classes, (nodes,), generator=generator)
    x = torch.randn(nodes, features, generator=generator)
    return edge_index, x, y


def by_definition(edge_index, nodes, word, profile, inside, diagonal, *, x=None, y=None):
    """Pearson correlation of n^2 pairs, everything dense."""
    a = torch.zeros(nodes, nodes, dtype=torch.float64)
    a[edge_index[0], edge_index[1]] = 1
    a.fill_diagonal_(0)
    p = torch.eye(nodes, dtype=torch.float64)
    for letter in word:
        p = p @ (a.t() if letter else a)
    if diagonal == "drop" or (diagonal == "drop_symmetric" and word == transposed(word)):
        p.fill_diagonal_(0)
    scale = torch.tensor([d**-0.5 if d > 0 else 0.0 for d in p.sum(1).tolist()], dtype=torch.float64)
    p = (scale[:, None] * p * scale)[inside][:, inside].flatten().numpy()
    if profile == "feature":
        u = torch.nn.functional.normalize(x.double(), dim=1)[inside]
        of_pairs = u @ u.t()
    else:
        labels = y[inside]
        of_pairs = (labels[:, None] == labels).double()
        if profile == "label_id":
            of_pairs = labels.double().expand(len(labels), -1)
    of_pairs = of_pairs.flatten().numpy()
    cov = np.mean(p * of_pairs) - p.mean() * of_pairs.mean()
    scale = p.std() * of_pairs.std()
    return cov, cov / scale if scale > 1e-10 else 0.0


@pytest.mark.parametrize("diagonal", ["drop", "keep", "drop_symmetric"])
@pytest.mark.parametrize("profile", ["agree", "feature", "label_id"])
@pytest.mark.parametrize("masked", [False, True])
def test_statistics_are_those_of_all_pairs(profile, diagonal, masked):
    edge_index, x, y = sample()
    y[3] = -1
    mask = torch.arange(40) % 3 > 0 if masked else None
    inside = torch.ones(40, dtype=torch.bool) if mask is None else mask
    inside = inside if profile == "feature" else inside & (y >= 0)
    found = amud_report(
        edge_index, y, num_nodes=40, x=x, profile=profile, orders=(1, 2, 3, 4), mask=mask, diagonal=diagonal
    )
    assert list(found) == [word_name(word) for word in pattern_words(4)]
    for word in pattern_words(4):
        cov, r = by_definition(edge_index, 40, word, profile, inside, diagonal, x=x, y=y)
        mine = found[word_name(word)]
        assert mine.exact and mine.r2 == mine.r * mine.r
        assert mine.cov == pytest.approx(cov, abs=1e-13) and mine.r == pytest.approx(r, abs=1e-9)


def test_labels_outside_of_the_mask_are_never_read():
    edge_index, _, y = sample(seed=1)
    mask = torch.arange(40) < 25
    other = torch.where(mask, y, 2 - y)
    for profile in ("agree", "label_id"):
        assert amud_report(edge_index, y, num_nodes=40, profile=profile, mask=mask) == amud_report(
            edge_index, other, num_nodes=40, profile=profile, mask=mask
        )


def test_names_of_classes_and_nodes():
    edge_index, _, y = sample(seed=2)
    renamed, moved = torch.tensor([2, 0, 1])[y], torch.randperm(40, generator=torch.Generator().manual_seed(0))
    moved_y = torch.empty_like(y)
    moved_y[moved] = y
    plain = amud_report(edge_index, y, num_nodes=40)
    assert amud_report(edge_index, renamed, num_nodes=40).keys() == plain.keys()
    for name, value in amud_report(edge_index, renamed, num_nodes=40).items():
        assert value.r == pytest.approx(plain[name].r, abs=1e-15)
    for name, value in amud_report(moved[edge_index], moved_y, num_nodes=40).items():
        assert value.r == pytest.approx(plain[name].r, abs=1e-12)
    ids = amud_report(edge_index, y, num_nodes=40, profile="label_id")
    ids_renamed = amud_report(edge_index, renamed, num_nodes=40, profile="label_id")
    assert abs(ids["AA"].r - ids_renamed["AA"].r) > 1e-3


def test_variance_from_probes():
    edge_index, _, y = sample(300, 2400, seed=3)
    exact = amud_report(edge_index, y, num_nodes=300, orders=(2,))
    found = amud_report(edge_index, y, num_nodes=300, orders=(2,), exact_walks=0, probes=512)
    for name, value in found.items():
        assert not value.exact and value.cov == exact[name].cov
        assert value.r == pytest.approx(exact[name].r, rel=0.05)
    again = amud_report(edge_index, y, num_nodes=300, orders=(2,), exact_walks=0, probes=512)
    assert again == found


def test_nothing_to_correlate_is_zero_and_no_nan():
    edge_index, _, y = sample(seed=4)
    for edges, labels in ((edge_index, torch.zeros_like(y)), (edge_index[:, :0], y)):
        for profile in ("agree", "label_id"):
            for value in amud_report(edges, labels, num_nodes=40, profile=profile).values():
                assert value.r == value.r2 == 0 and abs(value.cov) < 1e-12


def test_symmetric_and_reversed_graphs():
    edge_index, _, y = sample(seed=5)
    both = torch.cat([edge_index, edge_index.flip(0)], 1)
    for diagonal in ("drop", "keep"):
        report = amud_report(both, y, num_nodes=40, orders=(2,), diagonal=diagonal)
        assert all(value.r == pytest.approx(report["AA"].r, abs=1e-12) for value in report.values())
        assert guidance_score(report).score == pytest.approx(0, abs=1e-10)
        assert guidance_score(report, rule="spread").score == pytest.approx(0, abs=1e-10)
    report, turned = (
        amud_report(edges, y, num_nodes=40, diagonal="keep") for edges in (edge_index, edge_index.flip(0))
    )
    for name, other in (("A", "A^T"), ("AA", "A^TA^T"), ("AA^T", "A^TA")):
        assert turned[other].r == pytest.approx(report[name].r, abs=1e-12)
        assert turned[name].r == pytest.approx(report[other].r, abs=1e-12)
    for rule in ("gap", "spread"):
        score = guidance_score(report, rule=rule).score
        assert 0 < score <= 1 and guidance_score(turned, rule=rule).score == pytest.approx(score, abs=1e-9)


def test_the_guidance_score_by_hand():
    report = {n: PatternStatistics(0.0, r, r * r, True) for n, r in zip(ORDER_2, (0.1, 0.2, 0.4, 0.2), strict=True)}
    gap, spread = guidance_score(report), guidance_score(report, rule="spread")
    assert gap.score == pytest.approx((0.04 + 0.16 - 0.01 - 0.04) / 0.25) and gap.directed
    assert spread.score == pytest.approx(1 - 0.01 / 0.16) and spread.directed
    assert guidance_score(report, rule=lambda r2: r2["AA"]).score == pytest.approx(0.01)
    assert not guidance_score(report, theta=0.7).directed
    with pytest.raises(UserError, match="unknown rule 'gaps'"):
        guidance_score(report, rule="gaps")
    with pytest.raises(UserError, match="lacks AA"):
        guidance_score({"A": report["AA"]})


# ---- the calibrated gap -----------------------------------------------------------------------------------------


def cycle_of_classes(nodes=240, seed=0, both=False):
    """Every node points at nodes of the next class: undirected neighbourhoods mix the classes before and behind."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(nodes) % 4
    source = torch.randint(nodes, (6 * nodes,), generator=generator)
    step = 4 * torch.randint(nodes // 4, (6 * nodes,), generator=generator)
    forward = torch.stack([source, (source + 1 + step) % nodes])
    x = torch.nn.functional.one_hot(y, 4).float() + 1.5 * torch.randn(nodes, 4, generator=generator)
    return (torch.cat([forward, forward.flip(0)], 1) if both else forward), x, y


def test_the_gap_finds_directions_that_tell():
    edge_index, x, y = cycle_of_classes()
    gap = direction_gap(edge_index, x, y, num_nodes=240)
    assert gap.sure and gap.mean > 3 * gap.standard_error > 0
    assert gap.directed - gap.undirected == pytest.approx(gap.mean) and len(gap.differences) == 10
    again = direction_gap(edge_index, x, y, num_nodes=240)
    assert torch.equal(gap.differences, again.differences)


def test_the_gap_finds_none_in_random_directions_and_exactly_none_without_directions():
    generator = torch.Generator().manual_seed(1)
    found = []
    for seed in range(4):
        edge_index, x, y = cycle_of_classes(seed=seed)
        flip = torch.rand(edge_index.shape[1], generator=generator) < 0.5
        gap = direction_gap(torch.where(flip, edge_index, edge_index.flip(0)), x, y, num_nodes=240, seed=seed)
        found.append(gap.sure and gap.mean > 0)
    assert sum(found) == 0
    edge_index, x, y = cycle_of_classes(both=True)
    gap = direction_gap(edge_index, x, y, num_nodes=240)
    assert gap.mean == gap.standard_error == 0 and not gap.sure


def test_the_gap_reads_no_label_outside_of_the_mask_and_no_more_than_it_may():
    edge_index, x, y = cycle_of_classes()
    mask = torch.arange(240) % 2 > 0
    mask &= torch.arange(240) < 200
    other = torch.where(mask, y, (y + 1) % 4)
    found = [direction_gap(edge_index, x, labels, mask, num_nodes=240, most=60) for labels in (y, other)]
    assert torch.equal(found[0].differences, found[1].differences)


# ---- the report -------------------------------------------------------------------------------------------------


def test_report_of_a_directed_graph():
    edge_index, x, y = cycle_of_classes()
    data = Data(x=x, edge_index=edge_index, y=y, train_mask=torch.arange(240) % 2 == 0)
    data.train_mask |= torch.arange(240) < 120
    report = amud(data)
    assert list(report.patterns) == ["A", "A^T", *ORDER_2] and report.nodes == int(data.train_mask.sum())
    assert report.gap.sure and report.sentence.startswith("The directions carry signal: a linear classifier gains ")
    assert isinstance(report.directed, bool) and report.directed == (report.score > report.theta)
    assert "standard error" in str(report) and "AA^T" in str(report)
    assert report.statistics == amud_report(edge_index, y, num_nodes=240, mask=data.train_mask)
    without = amud(data, gap=False)
    assert without.gap is None and "how sure that is was not measured" in without.sentence
    assert "held-out labels read" in amud(data, mask=None, gap=False).sentence
    assert amud(data, profile="feature", gap=False).nodes == 240
    assert "held-out" not in amud(data, profile="feature", gap=False).sentence


def test_report_of_a_task():
    from graphkit.data import NodeTask

    edge_index, x, y = cycle_of_classes()
    masks = {"train": torch.arange(150), "valid": torch.arange(150, 200), "test": torch.arange(200, 240)}
    task = NodeTask.from_edges("classes in a circle", edge_index, y, x=x, **masks)
    assert amud(task).nodes == 150 and amud(task).sentence.startswith("The directions carry signal")
    undirected = NodeTask.from_edges("undirected", edge_index, y, x=x, directed=False, **masks)
    report = amud(undirected)
    assert report.sentence.startswith("The graph is given as undirected") and "nothing to decide" in report.sentence
    assert not report.directed and report.score == 0 and report.gap is None


def test_storage_order_is_said_loudly():
    edge_index, x, y = cycle_of_classes()
    ordered = torch.stack([edge_index.min(0).values, edge_index.max(0).values])
    for edges in (ordered, ordered.flip(0)):
        with pytest.warns(DataWarning, match="how an undirected list is stored"):
            report = amud(Data(x=x, edge_index=edges, y=y))
        assert report.storage_order and report.sentence.startswith("The directions look like storage order")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        assert not amud(Data(x=x, edge_index=edge_index, y=y)).storage_order


def test_report_without_anything_to_decide():
    edge_index, x, y = cycle_of_classes(both=True)
    report = amud(Data(x=x, edge_index=edge_index, y=y))
    assert report.reciprocity == 1 and report.score == 0 and not report.directed
    assert report.sentence.startswith("Every edge has its reverse")
    assert "no edges" in amud(Data(edge_index=edge_index[:, :0], y=y)).sentence


def test_mistakes_are_named():
    edge_index, x, y = sample()
    data = Data(x=x, edge_index=edge_index, y=y)
    broken = x.clone()
    broken[2, 1] = torch.nan
    for changed, options, words in [
        ({"edge_index": None}, {}, "no edge_index"),
        ({"y": None}, {}, "needs y"),
        ({"y": y.float()}, {}, "one class per node"),
        ({"y": torch.stack([y, y], 1)}, {}, "one class per node"),
        ({"y": y - 2}, {}, "the class -2|the class -3"),
        ({"y": y[:-1]}, {}, "one of each per node|expected ids"),
        ({"y": torch.full_like(y, -1)}, {}, "no node is left"),
        ({}, {"mask": torch.zeros(40, dtype=torch.bool)}, "no node is left"),
        ({}, {"mask": torch.arange(40)}, "expected bool \\[40\\]"),
        ({}, {"mask": "test"}, "expected 'train'"),
        ({}, {"orders": (5,)}, "from 1 to 4"),
        ({}, {"profile": "labels"}, "unknown profile 'labels'"),
        ({}, {"diagonal": "none"}, "unknown diagonal"),
        ({"x": None}, {"profile": "feature"}, "needs x"),
        ({"x": broken}, {"profile": "feature"}, "not finite"),
        ({"x": None}, {"gap": True}, "needs features and labels"),
        ({"x": broken}, {"gap": True}, "not finite"),
        ({"y": torch.zeros_like(y)}, {"gap": True}, "too few"),
    ]:
        other = data.clone()
        for key, value in changed.items():
            other[key] = value
        with pytest.raises(UserError, match=words):
            amud(other, **options)


# ---- measured values --------------------------------------------------------------------------------------------

MEASURED = {
    "cornell": (0.0265, 0.0493, 0.0400, 0.0107),
    "texas": (0.0164, 0.0301, 0.0546, 0.0003),
    "chameleon_filtered_directed": (0.0318, 0.0417, 0.0329, 0.0407),
    "chameleon_directed": (0.0174, 0.0468, 0.0133, 0.0129),
}
SCORES = {
    "cornell": (0.65, 0.91, 0.66, 0.95),
    "texas": (0.78, 1.00, 0.87, 1.00),
    "chameleon_filtered_directed": (0.88, 0.98, 0.03, 0.42),
    "chameleon_directed": (0.98, 1.00, 0.67, 0.92),
    "actor": (0.91, 0.98, 0.87, 0.98),
}


def stored(name):
    path = Path(os.environ.get("GRAPHKIT_DATA", "")) / "heterophilous_npz" / f"{name}.npz"
    if not os.environ.get("GRAPHKIT_DATA") or not path.is_file():
        pytest.skip(f"{path.name} is not there; set GRAPHKIT_DATA")
    arrays = np.load(path, allow_pickle=False)
    return torch.from_numpy(arrays["edges"].T.astype(np.int64)), torch.from_numpy(
        arrays["node_labels"].astype(np.int64)
    )


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_measured_correlations(name):
    edge_index, y = stored(name)
    report = amud_report(edge_index, y, num_nodes=len(y), orders=(2,), diagonal="drop_symmetric")
    for pattern, wanted in zip(ORDER_2, MEASURED[name], strict=True):
        assert report[pattern].r == pytest.approx(wanted, abs=1.5e-4), pattern


@pytest.mark.parametrize("name", sorted(SCORES))
def test_measured_scores(name):
    edge_index, y = stored(name)
    wanted = iter(SCORES[name])
    for profile in ("label_id", "agree"):
        report = amud_report(edge_index, y, num_nodes=len(y), orders=(2,), diagonal="drop_symmetric", profile=profile)
        for rule in ("gap", "spread"):
            assert guidance_score(report, rule=rule).score == pytest.approx(next(wanted), abs=0.0051), (profile, rule)


@pytest.mark.parametrize("name", ["cornell", "texas", "actor"])
def test_lists_that_store_each_edge_once_are_recognised(name):
    edge_index, y = stored(name)
    with pytest.warns(DataWarning, match="undirected list"):
        amud(Data(edge_index=edge_index, y=y), gap=False)
