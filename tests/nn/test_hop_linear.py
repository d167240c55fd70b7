"""Linear maps of weighted sums over hops, a block of nodes at a time, against the plain formula."""

import pytest
import torch

from graphkit.nn.hop_linear import hop_linear
from graphkit.ops import hop_combine


def sample(nodes=150, dtype=torch.float64):
    torch.manual_seed(0)
    features, weights = torch.randn(nodes, 7, 5, dtype=dtype), torch.rand(nodes, 3, 3, dtype=dtype, requires_grad=True)
    maps = [torch.randn(4, 5, dtype=dtype, requires_grad=True) for _ in range(3)]
    return features, weights, maps, [torch.randn(4, dtype=dtype, requires_grad=True) for _ in range(3)]


def plain(features, weights, maps, biases):
    sums = hop_combine(features, weights)
    return torch.stack([h @ m.t() + b for h, m, b in zip(sums, maps, biases, strict=True)])


@pytest.mark.parametrize("block", [1, 2**23])  # blocks of 64 nodes, and one block
def test_values_and_gradients(block, monkeypatch):
    monkeypatch.setattr("graphkit.nn.hop_linear._BLOCK_BYTES", block)
    features, weights, maps, biases = sample()
    found, wanted = (call(features, weights, maps, biases) for call in (hop_linear, plain))
    torch.testing.assert_close(found, wanted)
    grad = torch.randn_like(wanted)
    leaves = [weights, *maps, *biases]
    torch.testing.assert_close(torch.autograd.grad(found, leaves, grad), torch.autograd.grad(wanted, leaves, grad))


def test_gradcheck():
    features, weights, maps, biases = sample(4)
    assert torch.autograd.gradcheck(lambda w, *m: hop_linear(features, w, m[:3], m[3:]), (weights, *maps, *biases))
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda f: hop_linear(f, weights, maps, biases), (features,))
