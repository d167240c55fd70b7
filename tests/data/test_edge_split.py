"""Edges cut at random."""

import pytest
import torch

from graphkit.data import split_edges, split_shares, undirected_edges
from graphkit.data.non_edges import pair_numbers
from graphkit.errors import UserError


def path(edges):
    return torch.stack([torch.arange(edges), torch.arange(edges) + 1])


@pytest.mark.parametrize(
    ("edges", "split", "sizes"),
    [
        (5278, "70/10/20", [3696, 527, 1055]),  # the sizes that the literature gives for Cora, CiteSeer and PubMed
        (4552, "70/10/20", [3187, 455, 910]),
        (44324, "70/10/20", [31028, 4432, 8864]),
        (5278, "85/5/10", [4488, 263, 527]),
        (7, "100/0/0", [7, 0, 0]),
    ],
)
def test_sizes(edges, split, sizes):
    parts = split_edges(path(edges), split)
    assert [part.size(1) for part in parts] == sizes
    assert sorted(pair_numbers(torch.cat(parts, 1)).tolist()) == sorted(pair_numbers(path(edges)).tolist())


def test_a_seed_is_a_split():
    first, again, other = (split_edges(path(200), seed=seed)[2] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    # pinned: the split of a seed must not change from version to version
    assert split_edges(path(20), "80/10/10", seed=0)[2].tolist() == PINNED


PINNED = [[0, 2], [1, 3]]


@pytest.mark.parametrize("split", ["85/5", "85/5/11", "85-5-10", "", None, 85, "8.5/1.5/90"])
def test_shares_that_are_none(split):
    with pytest.raises(UserError, match="expected the whole percentages of train, valid and test"):
        split_shares(split)


def test_a_split_without_training_edges():
    with pytest.raises(UserError, match="leaves no edge to train on"):
        split_edges(path(10), "0/50/50")


def test_undirected_edges_are_each_once():
    edges = torch.tensor([[3, 0, 1, 0, 2, 2], [0, 3, 1, 3, 0, 1]])
    assert undirected_edges(edges).t().tolist() == [[0, 2], [1, 2], [0, 3]]
    assert undirected_edges(edges[:, :0]).shape == (2, 0)
