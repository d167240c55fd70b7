"""PMI matrices and their factors against dense arithmetic."""

import networkx as nx
import numpy as np
import pytest
import scipy.sparse

from graphkit import ops
from graphkit.analysis import pair_embedding
from graphkit.analysis.block_operator import BlockOperator, truncated_svd
from graphkit.analysis.pair_embedding import combine_embeddings, embed, orbit_pmi, positive_pmi, walk_pmi
from graphkit.errors import UserError

NX = nx.powerlaw_cluster_graph(50, 3, 0.6, seed=4)
NX.add_nodes_from([50, 51])  # without edges
N = 52
GRAPH = ops.from_networkx(NX)


def dense_pmi(counts, shift=1.0):
    counts = counts.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        pmi = np.log(counts * counts.sum() / (counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True)) / shift)
    return np.where(np.isfinite(pmi) & (pmi > 0), pmi, 0)


def small_blocks(monkeypatch):
    monkeypatch.setattr(pair_embedding, "_BLOCK", 4_000)


@pytest.mark.parametrize("key", ops.ORBIT_KEYS)
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_pmi_of_every_orbit_adjacency(key, shift, monkeypatch):
    """Sums that are known from the orbit counts are those of the matrix."""
    small_blocks(monkeypatch)
    counts = ops.to_scipy(ops.orbit_adjacency(GRAPH, num_nodes=N, keys=[key])[key]).toarray()
    expected = dense_pmi(counts, shift)
    x = np.random.default_rng(0).standard_normal((N, 3))
    for memory in (2**30, 0):
        operator = orbit_pmi(GRAPH, key, shift=shift, memory=memory)
        for _ in range(2):  # the second time from what was kept
            np.testing.assert_allclose(operator @ np.eye(N), expected, atol=1e-5)
            np.testing.assert_allclose(operator.T @ x, expected.T @ x, atol=1e-3)
        assert operator.kept == (memory > 0) and operator.entries == np.count_nonzero(expected > 0)
        assert (operator @ x[:, 0]).shape == (N,)


def test_no_counts_at_all():
    path = ops.from_networkx(nx.path_graph(4))
    operator = orbit_pmi(path, (1, 3, 3))  # no triangle
    assert not (operator @ np.eye(4)).any()
    assert not embed(operator, 2).row.any()
    empty = ops.from_networkx(nx.empty_graph(0))
    assert embed(orbit_pmi(empty, (1, 3, 3)), 4).row.shape == (0, 4)


def test_walks_against_the_formula(monkeypatch):
    small_blocks(monkeypatch)
    a = nx.to_numpy_array(NX)
    degree = a.sum(1)
    inverse = np.divide(1, degree, out=np.zeros(N), where=degree > 0)
    for window, shift in ((1, 1.0), (3, 1.0), (10, 2.0)):
        step, power, total = inverse[:, None] * a, np.eye(N), np.zeros((N, N))
        for _ in range(window):
            power = power @ step
            total += power
        with np.errstate(divide="ignore"):
            expected = np.maximum(np.log(total * inverse[None, :] * degree.sum() / (shift * window)), 0)
        found = walk_pmi(GRAPH, window=window, shift=shift) @ np.eye(N)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(
        walk_pmi(GRAPH, window=1) @ np.eye(N), orbit_pmi(GRAPH, (1, 0, 0)) @ np.eye(N), atol=1e-5
    )


def test_walks_by_walking():
    """A walk from u is at v after t steps with the probabilities that the matrix is made of."""
    triangle = ops.from_networkx(nx.Graph([(0, 1), (1, 2), (2, 0), (2, 3)]))
    found = walk_pmi(triangle, window=2) @ np.eye(4)
    # from 3: to 2 for sure, then to 0, 1 or 3 with 1/3 each; vol 8, degrees 2, 2, 3, 1
    meets = np.array([1 / 3, 1 / 3, 1.0, 1 / 3]) / 2
    np.testing.assert_allclose(found[3], np.maximum(np.log(8 * meets / np.array([2, 2, 3, 1])), 0), atol=1e-6)


@pytest.mark.parametrize("kind", ["dense", "sparse", "operator"])
def test_singular_values(kind):
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((60, 40)) @ np.diag(0.8 ** np.arange(40)) @ rng.standard_normal((40, 40))
    given = {
        "dense": lambda: matrix, "sparse": lambda: scipy.sparse.csr_array(matrix),
        "operator": lambda: scipy.sparse.linalg.aslinearoperator(matrix),
    }[kind]()  # fmt: skip
    u, s, v = truncated_svd(given, 8, iterations=6)
    expected = np.linalg.svd(matrix)[1][:8]
    np.testing.assert_allclose(s, expected, rtol=1e-6)
    np.testing.assert_allclose(u.T @ u, np.eye(8), atol=1e-10)
    np.testing.assert_allclose(v.T @ v, np.eye(8), atol=1e-10)
    np.testing.assert_allclose(matrix @ v, u * s, atol=1e-3 * s[0])
    again = truncated_svd(given, 8, iterations=6)
    assert all(np.array_equal(a, b) for a, b in zip((u, s, v), again, strict=True))
    assert (np.take_along_axis(u, np.abs(u).argmax(0)[None], 0) > 0).all()
    for rank in (0, 41):
        with pytest.raises(UserError, match="expected 1 to 40"):
            truncated_svd(given, rank)


def test_streamed_and_kept_give_one_embedding(monkeypatch):
    small_blocks(monkeypatch)
    key = (2, 9, 10)
    kept, streamed = (embed(orbit_pmi(GRAPH, key, memory=memory), 10) for memory in (2**30, 0))
    np.testing.assert_allclose(kept.row, streamed.row, atol=1e-4)
    other = embed(orbit_pmi(GRAPH, (2, 10, 9)), 10)
    np.testing.assert_allclose(np.abs(other.row), np.abs(kept.column), atol=2e-2)  # the transpose: sides change places
    np.testing.assert_allclose(other.values, kept.values, rtol=1e-3)
    products = kept.row @ kept.column.T
    best = np.linalg.svd(orbit_pmi(GRAPH, key) @ np.eye(N))
    np.testing.assert_allclose(products, (best[0][:, :10] * best[1][:10]) @ best[2][:10], atol=1e-2)


def test_more_dimensions_than_nodes():
    found = embed(orbit_pmi(GRAPH, (2, 1, 1)), 64)
    assert found.row.shape == found.column.shape == (N, 64) and not found.row[:, N:].any()
    assert not found.row[50:].any()  # nodes without edges
    with pytest.raises(UserError, match="dims is 0"):
        embed(orbit_pmi(GRAPH, (2, 1, 1)), 0)


def test_combination_keeps_the_geometry():
    parts = [embed(orbit_pmi(GRAPH, key), 5).row for key in ((1, 0, 0), (2, 1, 1), (1, 14, 14))]
    found = combine_embeddings(parts, 15)
    beside = np.concatenate([part / np.linalg.norm(part) for part in parts], 1)
    np.testing.assert_allclose(found @ found.T, beside @ beside.T, atol=1e-5)
    few = combine_embeddings([*parts, np.zeros((N, 4))], 4)
    np.testing.assert_allclose(np.abs(few), np.abs(found[:, :4]), atol=1e-5)
    assert not combine_embeddings([np.zeros((3, 2))], 4).any()
    with pytest.raises(UserError, match="expected one number of nodes"):
        combine_embeddings([parts[0], parts[1][:3]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: orbit_pmi(GRAPH, (1, 3, 3), shift=0), "shift is 0"),
        (lambda: walk_pmi(GRAPH, shift=-1.0), "shift is -1.0"),
        (lambda: walk_pmi(GRAPH, window=0), "window is 0"),
        (lambda: orbit_pmi(GRAPH, (1, 4, 4)), "unknown orbit key"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_a_stored_zero_is_no_pair():
    counts = scipy.sparse.csr_array((np.array([0, 2]), np.array([0, 1]), np.array([0, 1, 2])), shape=(2, 2))
    found = positive_pmi(counts, np.array([0, 2]), np.array([0, 2]))
    assert found.nnz == 0 and BlockOperator(2, lambda: iter([(0, 2, found)])).shape == (2, 2)
