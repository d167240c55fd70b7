"""Walks, tokens and induced edges on a CUDA device are those of the CPU. Skipped where there is no device."""

import pytest
import torch
from walk_samples import both_ways, random_graph

from graphkit import ops

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("keyed", [False, True])
def test_devices_agree(keyed):
    edge_index, start = both_ways(random_graph(300, 1500)), torch.arange(300)
    key = torch.randperm(300, generator=torch.Generator().manual_seed(1)) * 2**39 if keyed else None
    results = []
    for device in ("cpu", "cuda"):
        of = dict(num_nodes=300, seed=2**63 + 7, counter=3, node_key=None if key is None else key.to(device))
        graph = ops.CSRGraph(edge_index, num_nodes=300).to(device)
        walks = ops.sample_walks(graph, start.to(device), length=11, walks=5, **of)
        tokens = ops.walk_tokens(graph, start.to(device), walk_length=3, walks=4, repeats=2, return_walks=True,
                                 return_edges=True, **of)  # fmt: skip
        results.append([walks.cpu(), *(t.cpu() for t in tokens)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
