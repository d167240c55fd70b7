"""Orbit profiles and pictures."""

import networkx as nx
import numpy as np
import pytest

from graphkit import ops
from graphkit.analysis.orbit_plots import plot_key_scores, plot_orbit_profile
from graphkit.analysis.orbit_profile import orbit_profile
from graphkit.errors import UserError


def cliques_and_trees():
    graph = nx.disjoint_union(nx.disjoint_union_all([nx.complete_graph(6)] * 5), nx.random_labeled_tree(30, seed=1))
    return ops.orbit_counts(ops.from_networkx(graph), num_nodes=60), np.repeat([0, 1], 30)


def test_profile_by_hand():
    counts, labels = cliques_and_trees()
    found = orbit_profile(counts, labels)
    values = np.log1p(counts.numpy().astype(float))
    for orbit in (0, 3, 14):
        scaled = (values[:, orbit] - values[:, orbit].mean()) / values[:, orbit].std()
        for kind in (0, 1):
            own = scaled[labels == kind]
            assert found.mean[kind, orbit] == pytest.approx(own.mean())
            assert found.standard_error[kind, orbit] == pytest.approx(own.std(ddof=1) / np.sqrt(30), abs=1e-7)
    assert found.mean[0, 14] == pytest.approx(1) and found.mean[1, 14] == pytest.approx(-1)
    assert found.mean[0, 7] < 0 < found.mean[1, 7]  # centres of stars
    assert (found.mean[:, 8] == 0).all()  # no 4-cycle anywhere
    assert found.size.tolist() == [30, 30]


def test_several_labels_a_node_and_none():
    counts, labels = cliques_and_trees()
    both = np.stack([labels == 0, labels == 1, np.ones(60, bool), np.zeros(60, bool)], 1)
    found = orbit_profile(counts, both)
    np.testing.assert_allclose(found.mean[2], 0, atol=1e-12)
    assert np.isnan(found.mean[3]).all() and found.size.tolist() == [30, 30, 60, 0]
    unknown = np.where(np.arange(60) % 2, labels, -1)
    assert orbit_profile(counts, unknown).size.tolist() == [15, 15]
    for wrong in ((counts[:3], labels), (counts - 10**6, labels), (counts[:0], labels[:0])):
        with pytest.raises(UserError):
            orbit_profile(*wrong)


def test_pictures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    scores = {key: 0.1 + 0.01 * place for place, key in enumerate(ops.ORBIT_KEYS)}
    for name, figure in {
        "scores": plot_key_scores(scores, title="scores", label="micro F1"),
        "against": plot_key_scores(scores, reference=0.2),
        "one": plot_key_scores({(3, 4, 4): 0.5}),
        "profile": plot_orbit_profile(orbit_profile(*cliques_and_trees()), ["clique", "tree"], title="profile"),
    }.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    grids = [axis.images[0].get_array() for axis in plot_key_scores(scores).axes[:2]]
    assert [int(np.isfinite(np.ma.filled(grid, np.nan)).sum()) for grid in grids] == [19, 9]
    assert grids[0][4, 5] == pytest.approx(scores[1, 4, 5]) and grids[1][4, 5] == pytest.approx(scores[2, 4, 5])
    frames = [len(axis.patches) for axis in plot_key_scores(scores).axes[:2]]
    assert sum(frames) == 13


def test_numbers_in_the_cells_are_those_of_the_scores():
    pytest.importorskip("matplotlib")
    values = dict(zip(ops.ORBIT_KEYS, (-10.38, 20.04, -0.5, 0.0, 9.996, -3.207), strict=False))
    shown = {text.get_text() for axis in plot_key_scores(values, reference=0.0).axes[:2] for text in axis.texts}
    assert shown == {"-10.4", "+20.0", "-.50", "+.00", "+10.0", "-3.21"}


def test_mistakes():
    pytest.importorskip("matplotlib")
    with pytest.raises(UserError, match="expected keys of"):
        plot_key_scores({(1, 4, 4): 0.5})
    with pytest.raises(UserError, match="no score"):
        plot_key_scores({})
    with pytest.raises(UserError, match="1 names for 2 classes"):
        plot_orbit_profile(orbit_profile(*cliques_and_trees()), ["one"])
