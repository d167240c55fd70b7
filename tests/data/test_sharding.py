import pytest
import torch
from kg_samples import random_triples

from graphkit.data import FactIndex, MessageGraph, QueryBatch, corrupt, rank_triples, shard


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("total", [0, 1, 2, 6, 7, 50])
def test_shares_cover_every_row_once_and_are_even(total, size):
    bounds = [shard(total, rank, size) for rank in range(size)]
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(total))
    lengths = [stop - start for start, stop in bounds]
    assert max(lengths) - min(lengths) <= 1 and lengths == sorted(lengths, reverse=True)
