"""Encoders by dense algebra, features that are mostly zero, and cheap dropout."""

import pytest
import torch
from neighbor_graphs import N, random_edges

from graphkit.errors import UserError
from graphkit.nn import LinkEncoder
from graphkit.nn.dropout import Dropout, dropout
from graphkit.nn.link_encoder import CONVOLUTIONS
from graphkit.nn.sparse_features import SparseFeatures, sparse_features
from graphkit.ops import SimpleGraph

C, F = 5, 8


def features(seed=2):
    return torch.randn(N, C, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def encoder_of(conv, layers=2, seed=1, **options):
    torch.manual_seed(seed)
    encoder = LinkEncoder(C, F, layers, conv=conv, **options).double().eval()
    for name, parameter in encoder.named_parameters():
        if "blocks" in name or "bias" in name:
            torch.nn.init.normal_(parameter)
    return encoder


def adjacency(edges, removed=()):
    a = torch.zeros(N, N, dtype=torch.float64)
    a[edges[0], edges[1]] = a[edges[1], edges[0]] = 1
    for u, v in removed:
        a[u, v] = a[v, u] = 0
    return a


def aggregated(conv, a, x):
    kind = conv.removeprefix("pure")
    if kind == "gcn":
        hat = a + torch.eye(N, dtype=a.dtype)
        scale = hat.sum(1).rsqrt()
        return scale[:, None] * hat @ (scale[:, None] * x)
    if kind in ("gin", "sum"):
        return a @ x
    if kind in ("sage", "mean"):
        return a @ x / a.sum(1, keepdim=True).clamp(min=1)
    rows = [x[a[node] > 0].max(0).values if a[node].any() else torch.zeros_like(x[0]) for node in range(N)]
    return torch.stack(rows)


def by_hand(encoder, conv, x, a, residual=False):
    pure = conv.startswith("pure")
    h, hidden = encoder.input(x) if pure else x, []
    for depth, block in enumerate(encoder.blocks):
        if pure:
            out = aggregated(conv, a, h)
        else:
            linear = encoder.lins[depth]
            out = aggregated(conv, a, h @ linear.weight.T) + linear.bias
        out = block(out)
        h = out + h if residual and out.shape == h.shape else out
        hidden.append(h)
    return h if encoder.jk is None else sum(c * state for c, state in zip(encoder.jk, hidden, strict=True))


@pytest.mark.parametrize("conv", sorted(CONVOLUTIONS))
@pytest.mark.parametrize(
    "options", [{}, {"jk": True, "layers": 3}, {"residual": True, "layer_norm": False}, {"layers": 1}], ids=str
)
@torch.no_grad()
def test_states_are_their_definition_on_the_graph_that_is_left(conv, options):
    encoder, x, edges = encoder_of(conv, **options), features(), random_edges()
    removed = edges[:, 1::3]
    graph = SimpleGraph(torch.cat([edges, edges.flip(0)], 1), num_nodes=N)
    a = adjacency(edges, removed.t().tolist())
    expected = by_hand(encoder, conv, x, a, options.get("residual", False))
    torch.testing.assert_close(encoder(x, graph, removed=graph.removed_by(removed)), expected, rtol=1e-9, atol=1e-9)


def test_where_norms_and_dropouts_stand():
    names = [[type(part).__name__ for part in block] for block in LinkEncoder(C, F, 3, conv="gcn").blocks]
    assert names == [["LayerNorm", "Dropout", "ReLU"]] * 2 + [[]]
    assert [type(part).__name__ for part in LinkEncoder(C, F, 1, conv="gcn").blocks[0]] == names[0]
    assert [len(block) for block in LinkEncoder(C, F, 3, conv="puregcn").blocks] == [0, 0, 1]
    assert LinkEncoder(C, F, 3, conv="gcn").input is None and len(LinkEncoder(C, F, 2, conv="none").blocks) == 0


def test_no_layers_and_free_embeddings():
    edges, x = random_edges(), features()
    none = encoder_of("none")
    torch.testing.assert_close(none(x, edges), none.input(x))
    free = LinkEncoder(0, F, 1, conv="puresum", num_nodes=N)
    weight = free.embedding.weight
    torch.testing.assert_close(weight.T @ weight, torch.eye(F), rtol=0.0, atol=1e-5)
    torch.testing.assert_close(free(None, edges), adjacency(edges).float() @ weight, rtol=1e-5, atol=1e-6)
    kind = torch.arange(N) % 3
    of_kind = LinkEncoder(3, F, 1, conv="puresum", embedding=True)
    expected = adjacency(edges).float() @ of_kind.embedding.weight[kind]
    for given in (kind, kind[:, None], torch.nn.functional.one_hot(kind), torch.nn.functional.one_hot(kind).float()):
        torch.testing.assert_close(of_kind(given, edges), expected, rtol=1e-5, atol=1e-6)


def test_the_weights_of_jumping_knowledge():
    torch.manual_seed(0)
    assert LinkEncoder(C, F, 4, jk=True).jk.tolist() == [0.25] * 4
    assert len(set(LinkEncoder(C, F, 4, jk=True, compat=True).jk.tolist())) == 4
    assert LinkEncoder(C, F, 4).jk is None


@pytest.mark.parametrize(("conv", "compat"), [("puresum", False), ("puresum", True), ("puremax", False)])
@torch.no_grad()
def test_edge_dropout_is_unbiased_and_symmetric_but_in_the_released_code(conv, compat):
    edges = random_edges()
    encoder = LinkEncoder(N, N, 1, conv=conv, edge_dropout=0.3, compat=compat).double().train()
    torch.nn.init.eye_(encoder.input.weight)
    torch.nn.init.zeros_(encoder.input.bias)
    eye = torch.eye(N, dtype=torch.float64)
    torch.manual_seed(0)
    draws = torch.stack([encoder(eye, edges) for _ in range(800)])
    a = adjacency(edges)
    assert bool((draws[:, a == 0] == 0).all())
    mean = a if conv == "puresum" else 0.7 * a
    torch.testing.assert_close(draws.mean(0), mean, rtol=0.0, atol=0.15)
    assert torch.equal(draws, draws.transpose(1, 2)) != compat
    assert torch.equal(encoder.eval()(eye, edges), a)


def bags(rows=50, words=40, share=0.05, seed=0):
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(rows, words, generator=generator) < share
    return (kept * torch.randn(rows, words, generator=generator)).double()


def test_products_of_sparse_features_and_their_gradients():
    x = bags()
    x[3] = 0  # an empty row
    rows = sparse_features(x)
    assert rows is not None and rows is sparse_features(x)
    weight = torch.randn(7, 40, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(rows.product(weight), x @ weight.T)
    assert torch.autograd.gradcheck(rows.product, (weight,))
    dense, sparse = (torch.autograd.grad(out.square().sum(), weight)[0] for out in (x @ weight.T, rows.product(weight)))
    torch.testing.assert_close(dense, sparse)
    x[0, 0] = 5.0
    assert sparse_features(x) is not rows, "changed features are read again"
    assert sparse_features(torch.randn(4, 4)) is None and sparse_features(torch.eye(30).long()) is None
    assert SparseFeatures(torch.zeros(2, 3)).product(torch.ones(1, 3)).tolist() == [[0.0], [0.0]]


def test_an_encoder_of_sparse_features_is_that_of_dense_ones():
    x = torch.zeros(N, 60, dtype=torch.float64)
    x[torch.arange(N), torch.arange(N) * 4] = 2.0
    edges, removed = random_edges(), None
    for conv in ("puregcn", "gcn", "none"):
        torch.manual_seed(0)
        encoder = LinkEncoder(60, F, 2, conv=conv).double()
        sparse = encoder(x, edges, removed=removed)
        linear = encoder.input if encoder.input is not None else encoder.lins[0]
        (one,) = torch.autograd.grad(sparse.square().sum(), linear.weight)
        tiny = x + 1e-300  # no zeros any more
        assert sparse_features(tiny) is None
        dense = encoder(tiny, edges, removed=removed)
        (other,) = torch.autograd.grad(dense.square().sum(), linear.weight)
        torch.testing.assert_close(sparse, dense)
        torch.testing.assert_close(one, other)


def test_dropout_of_sparse_features_has_the_law_of_dense_dropout():
    x, weight = bags(rows=4, words=30, share=0.08), torch.eye(30, dtype=torch.float64)
    rows = SparseFeatures(x)
    torch.manual_seed(0)
    draws = torch.stack([rows.product(weight, dropout=0.7, training=True) for _ in range(4000)])
    assert bool((draws[:, x == 0] == 0).all())
    dropped = (draws[:, x != 0] == 0).double()
    torch.testing.assert_close(dropped.mean(0), torch.full_like(dropped[0], 0.7), rtol=0.0, atol=0.04)
    kept = draws[:, x != 0]
    assert torch.allclose(kept[kept != 0], (x[x != 0] / 0.3).expand_as(kept)[kept != 0])
    torch.testing.assert_close(rows.product(weight, dropout=0.7), x)


@pytest.mark.parametrize("p", [0.0, 0.05, 0.3, 0.75])
def test_cheap_dropout_has_the_law_of_dropout(p):
    torch.manual_seed(0)
    x = torch.ones(500, 401, dtype=torch.float64, requires_grad=True)
    out = dropout(x, p)
    share = float((out == 0).double().mean())
    assert abs(share - p) < 4 * (p * (1 - p) / x.numel()) ** 0.5 + 1e-5
    if p == 0:
        assert out is x
        return
    value = float(out.detach().max())
    assert value == pytest.approx(1 / (1 - p), rel=1e-4) and set(out.unique().tolist()) == {0.0, value}
    (grad,) = torch.autograd.grad((3 * out).sum(), x)
    torch.testing.assert_close(grad, 3 * out.detach())
    lag = ((out[:, 1:] == 0) & (out[:, :-1] == 0)).double().mean()  # neighbours share a random number
    assert abs(float(lag) - p * p) < 0.01
    torch.manual_seed(0)
    assert torch.equal(dropout(x, p), out), "the global stream decides"
    assert dropout(x, p, training=False) is x and Dropout(p).eval()(x) is x
    assert dropout(torch.ones(0, 3), p).shape == (0, 3) and not bool(dropout(torch.ones(5), 1.0).any())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinkEncoder(C, F, 1, conv="puregnc"), "unknown encoder 'puregnc'; did you mean 'puregcn'"),
        (lambda: LinkEncoder(0, F, 1), "each node gets an embedding of its own; pass num_nodes"),
        (lambda: LinkEncoder(C, F, 1, dropout=1.5), "dropout is 1.5"),
        (lambda: LinkEncoder(C, 0, 1), "hidden_channels 0"),
        (lambda: LinkEncoder(C, F, 1)(None, random_edges()), "made for 5 features a node, but the graph has none"),
        (
            lambda: LinkEncoder(C, F, 1, conv="puregcn")(torch.ones(N, 4), random_edges()),
            r"x is \[14, 4\], expected \[N, 5\]",
        ),
        (lambda: LinkEncoder(3, F, 1, embedding=True)(torch.ones(N, 3), random_edges()), "one category a node"),
        (lambda: LinkEncoder(3, F, 1, embedding=True)(torch.full((N,), 3), random_edges()), "outside of 0 to 2"),
    ],
)
def test_what_cannot_be(make, message):
    with pytest.raises(UserError, match=message):
        make()
