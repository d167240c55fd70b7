"""Aligned features: what is kept, the same in every fit, and nothing learned from rows that are new."""

import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import FeatureAligner, structural_features
from graphkit.nn import feature_aligner as module


def features(rows=30, width=12):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(30, 12), (12, 30), (5, 3)])
def test_the_projection_is_the_truncated_decomposition(shape):
    x = features(*shape).double()
    u, s, _ = torch.linalg.svd(x, full_matrices=False)
    for scale, power in (("s", 1.0), ("sqrt_s", 0.5), ("none", 0.0)):
        rank = min(8, *shape)
        expected = u[:, :rank] * s[:rank] ** power
        found = FeatureAligner(8, scale=scale, normalize=False).fit_transform(x)
        assert torch.allclose(found[:, :rank].abs(), expected.abs(), atol=1e-8)
        assert not bool(found[:, rank:].any())


def test_transform_is_what_fit_gave_and_rows_have_mean_length_one():
    x = features()
    aligner = FeatureAligner(20)
    first = aligner.fit_transform(x)
    assert torch.equal(first, aligner.transform(x)) and torch.allclose(aligner.transform(x[3:5]), first[3:5], atol=1e-6)
    assert first.norm(dim=1).mean().item() == pytest.approx(1, abs=1e-5)
    assert first.shape == (30, 20) and not bool(first[:, 12:].any())
    gram = first.double() @ first.double().t()
    assert torch.allclose(gram / gram[0, 0], (x @ x.t()).double() / (x[0] @ x[0]).double(), atol=1e-5)


def test_two_fits_agree_and_signs_are_fixed():
    x = features()
    first, second = FeatureAligner(6).fit(x), FeatureAligner(6).fit(x)
    assert torch.equal(first.projection, second.projection) and first.fingerprint() == second.fingerprint()
    largest = first.projection.gather(0, first.projection.abs().argmax(0, keepdim=True))
    assert bool((largest > 0).all())
    mirrored = FeatureAligner(6).fit(x[torch.arange(29, -1, -1)])
    assert torch.allclose(mirrored.projection, first.projection, atol=1e-8)


def test_only_the_rows_in_train_are_looked_at():
    x = features()
    rows = torch.arange(30) < 20
    spoiled = x.clone()
    spoiled[~rows] = 1e6
    assert torch.equal(FeatureAligner(6).fit(x, rows).projection, FeatureAligner(6).fit(spoiled, rows).projection)
    assert torch.equal(FeatureAligner(6).fit(x, rows).projection, FeatureAligner(6).fit(x[:20]).projection)


def test_large_sides_are_decomposed_by_iteration_and_sparse_ones_never_made_dense(monkeypatch):
    x = features(60, 40) * (features(60, 40) > 0.8)
    exact = FeatureAligner(5).fit(x)
    monkeypatch.setattr(module, "_SMALL", 10)
    assert torch.allclose(FeatureAligner(5).fit(x).projection, exact.projection, atol=1e-6)
    monkeypatch.setattr(module, "_DENSE_ENTRIES", 100)

    def refuse(self, *_, **__):
        raise AssertionError("made dense")

    import scipy.sparse

    monkeypatch.setattr(scipy.sparse.csr_matrix, "toarray", refuse)
    for layout in (x.to_sparse_coo(), x.to_sparse_csr()):
        sparse = FeatureAligner(5).fit(layout)
        assert torch.allclose(sparse.projection, exact.projection, atol=1e-6)
        assert torch.allclose(sparse.transform(layout), exact.transform(x), atol=1e-5)


def test_constant_and_zero_features_stay_finite():
    for x in (torch.ones(4, 3), torch.zeros(4, 3), torch.ones(1, 1)):
        assert bool(FeatureAligner(2).fit_transform(x).isfinite().all())


def test_structural_features_by_hand():
    star = torch.tensor([[0, 0, 0], [1, 2, 3]])
    assert structural_features(star, 5, channels=4).argmax(1).tolist() == [2, 1, 1, 1, 0]
    back = structural_features(star, 5, "return", channels=2)
    assert torch.allclose(back, torch.tensor([[0, 1], [0, 1 / 3], [0, 1 / 3], [0, 1 / 3], [0, 0]]))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: FeatureAligner(0), "channels is 0"),
        (lambda: FeatureAligner(2, scale="sigma"), "unknown scale of aligned features 'sigma'"),
        (lambda: FeatureAligner(2).transform(torch.ones(2, 2)), "call fit first"),
        (lambda: FeatureAligner(2).fit(torch.ones(2)), r"x is \[2\], expected features"),
        (lambda: FeatureAligner(2).fit(torch.ones(2, 2), torch.zeros(2).bool()), "nothing to align"),
        (lambda: FeatureAligner(2).fit(torch.tensor([[1.0, float("nan")]])), "NaN or infinite"),
        (lambda: FeatureAligner(2).fit(torch.ones(2, 2)).transform(torch.ones(2, 3)), "fitted on features of 2"),
        (lambda: structural_features(torch.tensor([[0], [1]]), 2, "spectral"), "unknown kind of structural features"),
    ],
)
def test_mistakes_are_named(make, says):
    with pytest.raises(UserError, match=says):
        make()
