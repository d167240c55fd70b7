"""Scores of hops and weighted sums over them: definition, both backends, gradients, determinism, registration, mistakes."""

import pytest
import torch

from graphkit import ops
from graphkit.errors import UserError

# nodes, patterns, hops, channels, vectors: whole vectors of every width and rests, several runs of channels
SIZES = [(5, 3, 2, 7, 2), (40, 6, 2, 64, 2), (3, 2, 1, 2100, 1), (4, 2, 0, 5, 3), (0, 2, 2, 5, 1), (9, 1, 4, 37, 4)]


def sample(nodes, patterns, hops, channels, vectors, dtype=torch.float64):
    generator = torch.Generator().manual_seed(nodes + channels)
    draw = lambda *size: torch.randn(*size, dtype=torch.float64, generator=generator).to(dtype)  # noqa: E731
    return (
        draw(nodes, 1 + patterns * hops, channels),
        draw(nodes, patterns, hops + 1),
        draw(patterns, hops + 1, vectors, channels),
    )


def slot(pattern, hop, hops):
    return 0 if hop == 0 else 1 + pattern * hops + hop - 1


@pytest.mark.parametrize("size", SIZES)
def test_definition(size, backend):
    nodes, patterns, hops, channels, vectors = size
    features, weights, directions = sample(*size)
    sums = torch.zeros(patterns, nodes, channels, dtype=torch.float64)
    products = torch.zeros(nodes, patterns, hops + 1, vectors, dtype=torch.float64)
    for i in range(nodes):
        for p in range(patterns):
            for t in range(hops + 1):
                row = features[i, slot(p, t, hops)]
                sums[p, i] += weights[i, p, t] * row
                for q in range(vectors):
                    products[i, p, t, q] = row @ directions[p, t, q]
    torch.testing.assert_close(ops.hop_combine(features, weights), sums)
    torch.testing.assert_close(ops.hop_products(features, directions), products)
    grad = torch.randn(patterns, nodes, channels, dtype=torch.float64)
    wanted = torch.stack([
        torch.stack([(features[:, slot(p, t, hops)] * grad[p]).sum(-1) for t in range(hops + 1)], 1) for p in range(patterns)
    ], 1)  # fmt: skip
    torch.testing.assert_close(ops.hop_combine_weights(features, grad), wanted)


@pytest.mark.parametrize("of_features", [False, True])
def test_gradcheck(of_features, backend):
    features, weights, directions = sample(4, 2, 2, 5, 2)
    features.requires_grad_(of_features)
    assert torch.autograd.gradcheck(ops.hop_combine, (features, weights.requires_grad_()))
    assert torch.autograd.gradcheck(ops.hop_products, (features, directions.requires_grad_()))


@pytest.mark.parametrize("size", SIZES)
def test_gradients_of_both_backends(size):
    features, weights, directions = (t.float() for t in sample(*size))
    results = []
    for backend in ("native", "python"):
        try:
            with ops.force_backend(backend):
                w, v = weights.clone().requires_grad_(), directions.clone().requires_grad_()
                out = (ops.hop_combine(features, w).sin().sum(), ops.hop_products(features, v).sin().sum())
                results.append([torch.autograd.grad(out[0], w)[0], torch.autograd.grad(out[1], v)[0]])
        except UserError as error:
            pytest.skip(str(error))
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-3)


def test_threads_change_nothing():
    features, weights, directions = (t.float() for t in sample(3000, 3, 2, 40, 2))
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            w, v = weights.clone().requires_grad_(), directions.clone().requires_grad_()
            sums, products = ops.hop_combine(features, w), ops.hop_products(features, v)
            results.append([sums.detach(), products.detach(), torch.autograd.grad(sums.square().sum(), w)[0],
                            torch.autograd.grad(products.square().sum(), v)[0]])  # fmt: skip
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_registration():
    features, weights, directions = sample(4, 2, 2, 5, 2)
    for namespace in (torch.ops.graphkit, torch.ops.graphkit_python):
        torch.library.opcheck(namespace.hop_combine.default, (features, weights.requires_grad_()))
        torch.library.opcheck(namespace.hop_products.default, (features, directions.requires_grad_()))
        sums, products = ops.hop_combine(features, weights).detach(), ops.hop_products(features, directions).detach()
        torch.library.opcheck(namespace.hop_combine_weights.default, (features, sums))
        torch.library.opcheck(namespace.hop_products_vectors.default, (features, products))


def test_mistakes_are_named():
    features, weights, directions = sample(4, 2, 2, 5, 2)
    for call, words in [
        (lambda: ops.hop_combine(features, weights[:3]), "expected \\[N, 1 \\+ P K, F\\] and \\[N, P, K \\+ 1\\]"),
        (lambda: ops.hop_combine(features[:, 1:], weights), "expected \\[N, 1 \\+ P K, F\\]"),
        (lambda: ops.hop_combine(features.half(), weights.half()), "both float32 or both float64"),
        (lambda: ops.hop_products(features, directions[..., 1:]), "\\[P, K \\+ 1, Q, F\\]"),
        (lambda: ops.hop_products(features.float(), directions), "both float32 or both float64"),
    ]:
        with pytest.raises(UserError, match=words):
            call()
