"""Attention over hops and patterns: definition node by node, bounds, the released scramble."""

import math

import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import DirectedPatternAttention, HopAttention
from graphkit.nn.directed_pattern_attention import HOP_ATTENTIONS, PATTERN_ATTENTIONS

N, P, K, F = 9, 3, 2, 4


def features(dtype=torch.float64):
    return torch.randn(N, 1 + P * K, F, dtype=dtype, generator=torch.Generator().manual_seed(0))


def attention_of(kind, **options):
    torch.manual_seed(1)
    attention = HopAttention(F, K, P, kind=kind, **options).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    return attention


def hops_of(rows, p):
    return [rows[0], *rows[1 + p * K : 1 + (p + 1) * K]]


def by_definition(attention, rows, p):
    """Weights of one node and one pattern."""
    hops = hops_of(rows, p)
    if attention.kind == "none":
        return torch.ones(K + 1, dtype=rows.dtype)
    squash = torch.sigmoid if attention.squash == "sigmoid" else lambda s: s
    if attention.kind == "simple":
        return squash(attention.weight[p]).softmax(0)
    w, b = attention.weight[p].flatten(), attention.bias[p]
    if attention.kind == "recursive":
        scores = []
        for h in hops:
            past = torch.zeros(F, dtype=rows.dtype)
            if scores:
                past = sum(a * x for a, x in zip(torch.stack(scores).softmax(0), hops, strict=False))
            scores.append(squash(w @ torch.cat([h, past]) + b))
        return torch.stack(scores).softmax(0)
    return squash(scores_by_definition(attention, rows, p)).softmax(0)


def scores_by_definition(attention, rows, p):
    """Scores of one node's hops, of the kinds that need no other scores first."""
    hops = hops_of(rows, p)
    before = {"original": hops, "ori_ref": hops[:1], "gate": []}[attention.kind]
    w, b = attention.weight[p].flatten(), attention.bias[p]
    return torch.stack([w @ torch.cat([*before, h]) + b for h in hops])


@pytest.mark.parametrize("squash", ["sigmoid", "none"])
@pytest.mark.parametrize("kind", HOP_ATTENTIONS)
def test_hop_attention_by_definition(kind, squash):
    attention, rows = attention_of(kind, squash=squash), features()
    weights, out = attention.weights(rows), attention(rows)
    for i in range(N):
        for p in range(P):
            wanted = by_definition(attention, rows[i], p)
            torch.testing.assert_close(weights[i, p], wanted)
            total = sum(a * h for a, h in zip(wanted, hops_of(rows[i], p), strict=True))
            torch.testing.assert_close(out[i, p], total)


@pytest.mark.parametrize("kind", HOP_ATTENTIONS)
def test_weights_of_products_are_those_of_features(kind):
    attention, rows = attention_of(kind), features()
    if attention.vectors is None:
        products = rows.new_empty(N, P, K + 1, 0)
    else:
        hops = torch.stack([torch.stack([torch.stack(hops_of(row, p)) for p in range(P)]) for row in rows])
        products = torch.einsum("nptf,pqf->nptq", hops, attention.vectors)
    torch.testing.assert_close(attention.weights_of(products), attention.weights(rows))


@pytest.mark.parametrize("kind", [k for k in HOP_ATTENTIONS if k != "none"])
def test_hop_weights_sum_to_one_within_their_bounds(kind):
    attention = attention_of(kind)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.mul_(5)
    weights = attention.weights(features())
    torch.testing.assert_close(weights.sum(-1), torch.ones(N, P, dtype=torch.float64))
    length = K + 1
    low, high = 1 / (1 + (length - 1) * math.e), math.e / (math.e + length - 1)
    assert low < float(weights.min()) and float(weights.max()) < high
    assert (round(low, 3), round(high, 3)) == (0.155, 0.576)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.zero_()
    assert torch.equal(attention.weights(features()), torch.full((N, P, length), 1 / length, dtype=torch.float64))


@pytest.mark.parametrize("kind", HOP_ATTENTIONS)
def test_gradients_of_hop_attention(kind):
    attention = attention_of(kind)
    names = [name for name, _ in attention.named_parameters()]
    rows = features().requires_grad_()

    def call(rows, *values):
        return torch.func.functional_call(attention, dict(zip(names, values, strict=True)), (rows,))

    assert torch.autograd.gradcheck(
        call, (rows, *(p.detach().clone().requires_grad_() for p in attention.parameters()))
    )


@pytest.mark.parametrize("kind", ["original", "ori_ref"])
def test_the_released_scramble(kind):
    """Scores laid out hop after hop are read node after node, as the published code does; a permutation shows it."""
    rows = features()
    plain, scrambled = attention_of(kind), attention_of(kind, legacy_scramble=True)
    for p in range(P):
        scores = torch.stack([scores_by_definition(plain, row, p) for row in rows])  # [n, L]
        flat = torch.cat([scores[:, t] for t in range(K + 1)])
        wanted = torch.stack([flat[i * (K + 1) : (i + 1) * (K + 1)] for i in range(N)]).sigmoid().softmax(-1)
        torch.testing.assert_close(scrambled.weights(rows)[:, p], wanted)
    order = torch.arange(N - 1, -1, -1)
    torch.testing.assert_close(plain.weights(rows[order]), plain.weights(rows)[order])
    assert not torch.allclose(scrambled.weights(rows[order]), scrambled.weights(rows)[order])


def test_no_hops_give_the_features():
    rows = features()[:, :1]
    for kind in HOP_ATTENTIONS:
        attention = HopAttention(F, 0, P, kind=kind).double()
        torch.testing.assert_close(attention(rows), rows.expand(N, P, F))


@pytest.mark.parametrize("squash", ["sigmoid", "none"])
@pytest.mark.parametrize("kind", PATTERN_ATTENTIONS)
def test_pattern_attention_by_definition(kind, squash):
    torch.manual_seed(0)
    attention = DirectedPatternAttention(F, P + 1, kind=kind, squash=squash).double()
    z = torch.randn(N, P + 1, F, dtype=torch.float64)
    out, weights = attention(z), attention.weights(z)
    function = torch.sigmoid if squash == "sigmoid" else lambda s: s
    for i in range(N):
        if kind == "original":
            wanted = torch.cat([g * row for g, row in zip(attention.scale, z[i], strict=True)])
        else:
            if kind == "none":
                a = torch.ones(P + 1, dtype=torch.float64)
            else:
                w, b = attention.linear.weight, attention.linear.bias
                if kind == "jk":
                    scores = w @ z[i].flatten() + b
                else:
                    inputs = [torch.cat([z[i, 0], row]) if kind == "ori_ref" else row for row in z[i]]
                    scores = torch.stack([(w @ row + b)[0] for row in inputs])
                a = function(scores).softmax(0)
                assert float(weights[i].sum().detach()) == pytest.approx(1)
            torch.testing.assert_close(weights[i], a)
            wanted = sum(v * row for v, row in zip(a, z[i], strict=True))
        torch.testing.assert_close(out[i], wanted)
    assert out.shape == (N, attention.out_channels)


def test_scrambled_patterns():
    torch.manual_seed(0)
    plain = DirectedPatternAttention(F, 2, kind="ori_ref")
    scrambled = DirectedPatternAttention(F, 2, kind="ori_ref", legacy_scramble=True)
    scrambled.load_state_dict(plain.state_dict())
    z = torch.randn(N, 2, F)
    order = torch.arange(N - 1, -1, -1)
    torch.testing.assert_close(plain.weights(z[order]), plain.weights(z)[order])
    assert not torch.allclose(scrambled.weights(z[order]), scrambled.weights(z)[order])


def test_mistakes_are_named():
    with pytest.raises(UserError, match="unknown hop attention"):
        HopAttention(F, K, P, kind="simpel2")
    with pytest.raises(UserError, match="unknown squash"):
        DirectedPatternAttention(F, P, squash="softmax")
