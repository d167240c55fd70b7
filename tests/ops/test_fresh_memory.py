"""Gradients of tables beyond 32 MiB, whose rows without entries nobody writes to where the memory is fresh.

The allocator either takes fresh memory for each result or hands out what it kept, full of something else; it is told which
before a process begins.
"""

import os
import subprocess
import sys

import pytest

KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 27)}

# the 17 channels are no whole lines of the cache; the 16 are, and go past it
GRADIENTS = """
import torch
from graphkit import ops

torch.manual_seed(0)
for channels in (16, 17):
    nodes = (1 << 25) // 4 // channels + 1000
    node = torch.randint(nodes, (5000,))
    node[:2] = torch.tensor([0, nodes - 1])
    ptr = torch.arange(0, 5001, 5)
    grad = torch.randn(1000, channels)
    expected = torch.zeros(nodes, channels).index_add_(0, node, grad.repeat_interleave(5, 0))
    pairs = torch.stack([node[0::2], node[1::2]])
    hub = torch.full((nodes,), 7).where(torch.arange(nodes) != 7, 8)
    edges = torch.stack([torch.arange(nodes), hub])
    both = torch.cat([edges, edges.flip(0)], 1)
    for _ in range(3):
        full = torch.full((nodes, channels), 3.0)
        del full
        x = torch.ones(nodes, channels, requires_grad=True)
        torch.testing.assert_close(torch.autograd.grad(ops.weighted_pool(ptr, node, None, x), x, grad)[0], expected)
        sums = ops.cn_pool(both, pairs, x, num_nodes=nodes)
        shared = sums[:, 0].detach()  # how many each pair has: the hub alone, or none
        of_hub = torch.autograd.grad(sums, x, torch.ones_like(sums))[0]
        assert of_hub[7].eq(shared.sum()).all() and of_hub[7, 0] > 2000
        of_hub[7] = 0
        assert of_hub.count_nonzero() <= 2 * channels
"""


@pytest.mark.parametrize("allocator", [{}, KEPT], ids=["fresh", "kept"])
def test_rows_without_entries_are_zeros(allocator):
    done = subprocess.run([sys.executable, "-c", GRADIENTS], env={**os.environ, **allocator}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
