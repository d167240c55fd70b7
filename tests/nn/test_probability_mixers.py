"""Mixing of routing probabilities over a graph."""

import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import RouteInput
from graphkit.nn.probability_mixers import AdjacencyMixer, AttentionMixer, IdentityMixer, SimilarityMixer


def rows(count=12, experts=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(count, experts, generator=g, dtype=torch.float64)).softmax(1)


def some_edges(count=12, seed=1):
    return torch.randint(count - 1, (2, 40), generator=torch.Generator().manual_seed(seed))  # the last is isolated


def entropy(p):
    return torch.special.entr(p).sum(1)


def given(count=12, adj=None, **more):
    h = torch.randn(count, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return RouteInput(h, adj, **more)


def test_beta_0_is_the_identity():
    p = rows()
    assert AdjacencyMixer(3, beta=0.0)(p, given()) is p
    assert IdentityMixer(3)(p, given()) is p


@pytest.mark.parametrize("of", ["probs", "logits"])
@pytest.mark.parametrize("mixer", [AdjacencyMixer, AttentionMixer, SimilarityMixer])
def test_rows_sum_to_1_and_isolated_tokens_stay(mixer, of):
    edges = some_edges()
    adj = (edges, torch.rand(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))
    options = {"over": "edges"} if mixer is SimilarityMixer else {}
    p = rows()
    out = mixer(3, beta=0.7, of=of, **options).double()(p, given(adj=adj))
    torch.testing.assert_close(out.sum(1), torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(out[11], p[11])
    assert not torch.allclose(out[:11], p[:11])


def test_complete_graph_makes_all_equal():
    p, n = rows(), 12
    edges = torch.cartesian_prod(torch.arange(n), torch.arange(n)).t()
    out = AdjacencyMixer(3, beta=1.0)(p, given(adj=edges))
    torch.testing.assert_close(out, p.mean(0).expand(n, -1))


def test_components_do_not_hear_of_each_other():
    edges = torch.tensor([[0, 1, 2, 6, 7], [1, 2, 0, 7, 8]])
    p = rows()
    q = torch.cat([p[:6], rows(6, seed=9)])
    mixer = AdjacencyMixer(3, beta=0.5)
    assert torch.equal(mixer(p, given(adj=edges))[:6], mixer(q, given(adj=edges))[:6])
    batch = torch.arange(12) // 6
    for topn in (None, 4, 8):
        similar = SimilarityMixer(3, topn=topn).double()
        torch.testing.assert_close(similar(p, given(batch=batch))[:6], similar(q, given(batch=batch))[:6])
        alone = similar(p[:6], given()._replace(h=given().h[:6]))
        torch.testing.assert_close(similar(p, given(batch=batch))[:6], alone)


def test_mixing_probabilities_never_lowers_their_entropy():
    """Jensen: the entropy of a mean is at least the mean of entropies; a mixed row is flatter than its parts on average."""
    p, edges = rows(), some_edges()
    out = AdjacencyMixer(3, beta=1.0)(p, given(adj=edges))
    of_parts = AdjacencyMixer(3, beta=1.0)(entropy(p).unsqueeze(1), given(adj=edges)).squeeze(1)
    assert bool((entropy(out) >= of_parts - 1e-12).all())


def test_logits_mix_to_the_geometric_mean():
    p, edges = rows(), torch.tensor([[1, 2], [0, 0]])
    out = AdjacencyMixer(3, beta=0.5, of="logits")(p, given(adj=edges))
    expected = p[0] ** 0.5 * (p[1] * p[2]) ** 0.25
    torch.testing.assert_close(out[0], expected / expected.sum())


def test_sparse_equals_dense():
    p, edges = rows(), torch.unique(some_edges(), dim=1)
    dense = torch.zeros(12, 12, dtype=torch.float64)
    dense[edges[1], edges[0]] = 1.0
    dense[11, 11] = 1.0
    dense[dense.sum(1) == 0] = torch.eye(12, dtype=torch.float64)[dense.sum(1) == 0]
    dense = dense / dense.sum(1, keepdim=True)
    out = AdjacencyMixer(3, beta=0.3)(p, given(adj=edges))
    torch.testing.assert_close(out, 0.3 * dense @ p + 0.7 * p)


def test_similarity_over_all_some_and_along_edges():
    p, g = rows(), given()
    mixer = SimilarityMixer(3, tau=0.5).double()
    torch.nn.init.normal_(mixer.metric)
    score = g.h @ mixer.metric @ g.h.t() / 0.5
    torch.testing.assert_close(mixer(p, g), score.softmax(1) @ p)
    mixer.topn = 4
    kept = torch.full_like(score, -torch.inf).scatter(1, score.topk(4).indices, score.topk(4).values)
    torch.testing.assert_close(mixer(p, g), kept.softmax(1) @ p)
    every = torch.cartesian_prod(torch.arange(12), torch.arange(12)).t()
    mixer.topn, mixer.over = None, "edges"
    torch.testing.assert_close(mixer(p, g._replace(adj=every)), score.softmax(1) @ p)


def test_attention_takes_the_mean_over_heads():
    p, edges = rows(), some_edges()
    weight = torch.rand(40, 3, dtype=torch.float64)
    mean = AdjacencyMixer(3, beta=1.0)(p, given(adj=(edges, weight.mean(1))))
    torch.testing.assert_close(AttentionMixer(3)(p, given(adj=(edges, weight))), mean)
    largest = AdjacencyMixer(3, beta=1.0)(p, given(adj=(edges, weight.amax(1))))
    torch.testing.assert_close(AttentionMixer(3, heads="max")(p, given(adj=(edges, weight))), largest)


def test_beta_is_learned():
    mixer = AdjacencyMixer(3, beta=0.25, learn_beta=True).double()
    out = mixer(rows(), given(adj=some_edges()))
    torch.testing.assert_close(out, AdjacencyMixer(3, beta=0.25)(rows(), given(adj=some_edges())), rtol=1e-6, atol=1e-7)
    out[:, 0].sum().backward()
    assert float(mixer.raw_beta.grad) != 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdjacencyMixer(3, beta=1.5), "beta is 1.5, expected a number from 0 to 1"),
        (lambda: AdjacencyMixer(3, beta=1.0, learn_beta=True), "strictly between 0 and 1"),
        (lambda: AdjacencyMixer(3, of="logit"), "unknown quantity to mix 'logit'; did you mean 'logits'"),
        (lambda: AttentionMixer(3, heads="sum"), "unknown reduction over heads 'sum'"),
        (lambda: AttentionMixer(3)(rows(), given(adj=some_edges())), "the attention mixer needs coefficients"),
        (lambda: SimilarityMixer(3, tau=-1.0), "tau is -1.0"),
        (lambda: SimilarityMixer(3, topn=0), "topn is 0"),
        (lambda: SimilarityMixer(1)(torch.ones(5000, 1), RouteInput(torch.ones(5000, 1))), "all pairs of 5,000 tokens"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
