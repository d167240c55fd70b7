"""Maps of propagated features: equal to mapping what was propagated, gradients, both kinds of features."""

import pytest
import torch

from graphkit.nn.directed_patterns import DirectedPattern
from graphkit.nn.pattern_features import pattern_features
from graphkit.nn.pattern_words import pattern_words
from graphkit.nn.propagated_transforms import map_cost, mapped, propagated_transforms

N, F = 20, 30
WORDS = pattern_words(2)


def sample(share):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, F, generator=generator, dtype=torch.float64)
    x = x * (torch.rand(N, F, generator=generator) < share)
    maps = [torch.randn(3 + p % 2, F, generator=generator, dtype=torch.float64) for p in range(len(WORDS))]
    return torch.randint(N, (2, 60), generator=generator), x, maps


@pytest.mark.parametrize("share", [0.05, 1.0])
def test_maps_of_propagated_features(share):
    edge_index, x, maps = sample(share)
    patterns = [DirectedPattern(edge_index, word, num_nodes=N, self_loops=True) for word in WORDS]
    rows = pattern_features(edge_index, x, WORDS, hops=2, decay=[1.0, 0.5]).values
    found = propagated_transforms(x, patterns, maps, [1.0, 0.5])
    for p, hops in enumerate(found):
        wanted = [rows[:, 0], *rows[:, 1 + 2 * p : 3 + 2 * p].unbind(1)]
        assert len(hops) == 3
        for mine, features in zip(hops, wanted, strict=True):
            torch.testing.assert_close(mine, features @ maps[p].t())


@pytest.mark.parametrize("share", [0.05, 1.0])
def test_gradients(share):
    edge_index, x, maps = sample(share)
    patterns = [DirectedPattern(edge_index, word, num_nodes=N) for word in WORDS[:3]]

    def call(*maps):
        return torch.cat([hop.flatten() for hops in propagated_transforms(x, patterns, maps, [0.5]) for hop in hops])

    assert torch.autograd.gradcheck(call, tuple(m.requires_grad_() for m in maps[:3]))


def test_zeros_cost_nothing():
    _, few, _ = sample(0.05)
    _, many, maps = sample(1.0)
    assert map_cost(few, 4, 7, 0) == 4 * 7 * 8 * int((few != 0).sum()) < map_cost(many, 4, 7, 0) == 4 * 7 * N * F
    for x in (few, many):
        torch.testing.assert_close(mapped(x, maps[0]), x @ maps[0].t())
