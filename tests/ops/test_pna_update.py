"""The PNA update: definition by loops, both backends, gradients, determinism, registration, mistakes."""

import math

import pytest
import torch

from graphkit import ops
from graphkit.errors import UserError

SHAPES = [
    (2, 7, 20, 4, 4),
    (1, 31, 90, 5, 7),
    (3, 40, 0, 8, 3),
    (2, 300, 2000, 33, 33),
    (4, 1, 0, 16, 16),
    (0, 5, 9, 4, 4),
]
BACKENDS = ["native", "python"] if ops.backend_of("pna_update") == "native" else ["python"]


def sample(batches, nodes, edges, channels, out, dtype=torch.float64, norm=True):
    generator = torch.Generator().manual_seed(nodes)
    draw = lambda *size: torch.randn(*size, dtype=torch.float64, generator=generator).to(dtype).requires_grad_()  # noqa: E731
    graph = ops.CSRGraph(torch.randint(nodes, (2, edges), generator=generator), num_nodes=nodes)
    values = [draw(batches, nodes, channels), draw(batches, nodes, 4, channels), draw(out, 13 * channels), draw(out)]
    return graph, values, [draw(out), draw(out)] if norm else [None, None]


def update(graph, values, norm, short_cut):
    x, features, weight, bias = values
    return ops.pna_update(
        x,
        features,
        ops.degree_classes(graph),
        weight,
        bias,
        norm_weight=norm[0],
        norm_bias=norm[1],
        short_cut=short_cut,
    )


def by_definition(graph, values, norm, short_cut):
    x, features, weight, bias = values
    degree = graph.in_degree().double() + 1
    mean = sum(math.log(d) for d in degree.tolist()) / max(len(degree), 1)
    rows = []
    for b in range(x.shape[0]):
        for v in range(x.shape[1]):
            s = math.log(degree[v]) / mean if mean else 0.0
            scalers = x.new_tensor([1.0, s, 1 / max(s, 0.01)])
            full = torch.cat([x[b, v], (features[b, v].t().unsqueeze(-1) * scalers).flatten()])
            z = weight @ full + bias
            if norm[0] is not None:
                z = (z - z.mean()) / (z.var(correction=0) + 1e-5).sqrt() * norm[0] + norm[1]
            rows.append(z.relu() + (x[b, v] if short_cut else 0))
    return torch.stack(rows).view(*x.shape[:2], -1) if rows else x.new_empty(*x.shape[:2], len(bias))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_definition_and_gradients(shape, norm, backend):
    graph, values, norms = sample(*shape, norm=norm)
    short_cut = shape[3] == shape[4]
    leaves = values + [n for n in norms if n is not None]
    expected = by_definition(graph, values, norms, short_cut)
    grad = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with ops.force_backend(backend):
        found = update(graph, values, norms, short_cut)
        assert torch.allclose(found, expected, atol=1e-9)
        if shape[0]:
            for mine, theirs in zip(
                torch.autograd.grad(found, leaves, grad), torch.autograd.grad(expected, leaves, grad), strict=True
            ):
                assert torch.allclose(mine, theirs, atol=1e-8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradcheck(backend):
    graph, values, norm = sample(2, 6, 15, 3, 3)
    with ops.force_backend(backend):
        assert torch.autograd.gradcheck(lambda *a: update(graph, a[:4], a[4:], True), (*values, *norm))


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (torch.bfloat16, 5e-2)])
def test_lower_precision(dtype, tolerance):
    graph, values, norm = sample(2, 50, 300, 16, 16)
    low = [v.detach().to(dtype) for v in values], [v.detach().to(dtype) for v in norm]
    high = [v.double() for v in low[0]], [v.double() for v in low[1]]
    found, expected = update(graph, *low, True), update(graph, *high, True)
    assert found.dtype == dtype
    assert float((found.double() - expected).abs().max()) < tolerance * float(expected.abs().max())


def test_threads_change_nothing():
    graph, values, norm = sample(3, 900, 5000, 12, 12, torch.float32)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            out = update(graph, values, norm, True)
            results.append([out, *torch.autograd.grad(out.square().sum(), values + norm)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_registration():
    graph, values, norm = sample(2, 6, 15, 3, 3)
    classes = ops.degree_classes(graph)
    inputs = (values[0], values[1], classes.order, classes.ptr, classes.scale, *values[2:], *norm, 1e-5, True)
    for namespace in (torch.ops.graphkit, torch.ops.graphkit_python):
        torch.library.opcheck(namespace.pna_update.default, inputs)
        out, z = namespace.pna_update(*inputs)
        plain = [v.detach() if isinstance(v, torch.Tensor) else v for v in inputs]
        torch.library.opcheck(
            namespace.pna_update_backward.default, (*plain[:-2], z.detach(), out.detach(), *plain[-2:])
        )


def test_degree_classes_by_hand():
    graph = ops.CSRGraph(torch.tensor([[0, 1, 2, 0], [1, 0, 0, 0]]), num_nodes=4)
    assert graph.in_degree().tolist() == [3, 1, 0, 0]
    mean = (math.log(4) + math.log(2)) / 4
    expected = [math.log(4) / mean, math.log(2) / mean, 0, 0]
    found = ops.degree_classes(graph).per_node()
    assert found[:, 0].tolist() == pytest.approx(expected)
    assert found[:, 1].tolist() == pytest.approx(
        [1 / expected[0], 1 / expected[1], 100, 100]
    )  # alone: s = 0, attenuation 100
    masked = ops.degree_classes(graph, torch.tensor([True, False, True, True]))
    assert graph.in_degree(torch.tensor([True, False, True, True])).tolist() == [2, 1, 0, 0]
    assert len(masked.ptr) - 1 == 3


def test_mistakes_are_named():
    graph, (x, features, weight, bias), (gain, offset) = sample(2, 6, 15, 3, 4)
    classes = ops.degree_classes(graph)
    for arguments, options, words in [
        ((x[0], features, classes, weight, bias), {}, "expected \\[B, N, D\\]"),
        ((x, features, classes, weight[:, 1:], bias), {}, "expected \\[O, 39\\]"),
        ((x[:, 1:], features[:, 1:], classes, weight, bias), {}, "graph of 6 nodes"),
        ((x, features, classes, weight, bias), {"short_cut": True}, "must be equal"),
        ((x, features, classes, weight, bias), {"norm_weight": gain}, "both"),
    ]:
        with pytest.raises(UserError, match=words):
            ops.pna_update(*arguments, **options)
    assert offset is not None
