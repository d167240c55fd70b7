"""Encoders of walk tokens against definitions in loops."""

import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import GatedTokenEncoder, WalkFeatureEncoder, WalkTokenizer
from graphkit.nn.token_encoder import token_means, token_statistics

EDGES = torch.tensor([[0, 1, 1, 2, 2, 0, 2, 3], [1, 0, 2, 1, 0, 2, 3, 2]])


def tokens_of(**options):
    return WalkTokenizer(2, 2, 2, **options).eval()(EDGES, 5)


def test_means():
    x = torch.randn(5, 3, dtype=torch.float64)
    tokens = tokens_of()
    found = token_means(x, tokens)
    for t in range(len(found)):
        torch.testing.assert_close(found[t], x[tokens.nodes[tokens.ptr[t] : tokens.ptr[t + 1]]].mean(0))


def test_statistics():
    tokens = tokens_of(return_edges=True)
    found = token_statistics(tokens, 2, 2)
    assert found.shape == (20, 3)
    torch.testing.assert_close(found[:4, 2], torch.tensor([1.0, 1.0, 0.5, 0.5]))
    torch.testing.assert_close(found[:, 0], torch.log1p(tokens.ptr.diff().float()))
    with pytest.raises(UserError, match="return_edges=True"):
        token_statistics(tokens_of(), 2, 2)


def test_gated_encoder_on_each_subgraph_by_itself():
    torch.manual_seed(0)
    encoder = GatedTokenEncoder(4, num_layers=2).double()
    x, states, tokens = torch.randn(5, 4).double(), torch.randn(8, 4).double(), tokens_of(return_edges=True)
    found = encoder(x, tokens, states)
    for t in range(len(found)):
        nodes = tokens.nodes[tokens.ptr[t] : tokens.ptr[t + 1]]
        place = {int(v): i for i, v in enumerate(nodes)}
        inside = [e for e in range(8) if all(int(v) in place for v in EDGES[:, e])]
        edges = torch.tensor([[place[int(v)] for v in EDGES[side, inside]] for side in (0, 1)], dtype=torch.int64).view(
            2, -1
        )
        rows, edge_rows = x[nodes], states[inside]
        for conv in encoder.convs:
            rows, edge_rows = conv(rows, edges, edge_rows)
        torch.testing.assert_close(found[t], rows.mean(0))
    with pytest.raises(UserError, match="return_edges=True"):
        encoder(x, tokens_of(), states)


def test_bits_of_walks():
    """Same node w positions before; joined to the node w positions before, the immediate one left out."""
    encoder = WalkFeatureEncoder(4, window=3)
    walks = torch.tensor([[0, 1, 0, 2, 3], [3, 2, -1, -1, -1]])
    bits = encoder.bits(walks, EDGES, 5)
    joined = {(int(a), int(b)) for a, b in EDGES.t()}
    for k, walk in enumerate(walks.tolist()):
        for p, v in enumerate(walk):
            for w in (1, 2, 3):
                before = walk[p - w] if p >= w else -1
                there = v >= 0 and before >= 0
                assert bool(bits[k, p, w - 1]) == (there and before == v)
                if w > 1:
                    assert bool(bits[k, p, 3 + w - 2]) == (there and (before, v) in joined)


def test_walk_features_ignore_what_lies_past_a_walk():
    torch.manual_seed(0)
    encoder = WalkFeatureEncoder(4, window=2).double()
    x = torch.randn(5, 4).double()
    short = torch.tensor([[[[0, 1, 2], [0, 2, 3]]], [[[3, 2, 1], [3, 2, 0]]]])
    padded = torch.cat([short, torch.full((2, 1, 2, 4), -1)], -1)
    torch.testing.assert_close(encoder(x, short, EDGES), encoder(x, padded, EDGES))
    assert encoder(x, short, EDGES).shape == (2, 4)
    with pytest.raises(UserError, match="window is 0"):
        WalkFeatureEncoder(4, window=0)
