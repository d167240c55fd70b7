"""The kernels for CUDA against those for the CPU; run where there is a device and the extension was built for it."""

import pytest
import torch
from common_neighbor_samples import every_pair, hub_graph

from graphkit import ops

DEVICE = "cuda"


def absent():
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    return "" if ops.backend_of("cn_pool", DEVICE) == "native" else "graphkit._C_cuda is not built"


pytestmark = pytest.mark.skipif(bool(absent()), reason=absent())

EDGES, N = hub_graph()
PAIRS = every_pair(N)


def everything(device, dtype, channels, masked):
    generator = torch.Generator().manual_seed(channels)
    graph = ops.SimpleGraph(EDGES.to(device), num_nodes=N)
    pairs = PAIRS.to(device)
    removed = graph.removed_by(EDGES[:, ::4].to(device)) if masked else None
    of = dict(num_nodes=N, removed=removed)
    x = torch.randn(N, channels, generator=generator).to(device, dtype).requires_grad_()
    weight = torch.rand(N, generator=generator).to(device).requires_grad_()
    entry = torch.rand(len(graph.col), generator=generator).to(device).requires_grad_()
    ptr, node, value = ops.residual_neighbors(graph, pairs, cap=5, seed=3, counter=4, **of)
    value.requires_grad_()
    outs = [
        ops.cn_pool(graph, pairs, x, weight=weight, **of), ops.cn_complete(graph, pairs, x, (ptr, node), value, **of),
        ops.masked_spmm(graph, x, norm="sym", self_loops=True, edge_weight=entry, **of),
        ops.masked_spmm(graph, x, reduce="max", **of), ops.common_neighbor_count(graph, pairs, weight=weight, **of),
    ]  # fmt: skip
    gradients = torch.autograd.grad(sum((out.float() ** 2).sum() for out in outs), [x, weight, entry, value])
    sets = [
        *ops.common_neighbors(graph, pairs, **of), *ops.residual_neighbors(graph, pairs, **of)[:2], ptr, node,
        ops.common_neighbor_count(graph, pairs, **of), ops.masked_degree(graph, removed), graph.edge, graph.reverse,
    ]  # fmt: skip
    return sets, [*outs, *gradients]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("channels", [1, 33, 128, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_device_computes_what_the_cpu_computes(dtype, channels, masked):
    sets, sums = everything(DEVICE, dtype, channels, masked)
    expected_sets, expected_sums = everything("cpu", dtype, channels, masked)
    for ours, theirs in zip(sets, expected_sets, strict=True):
        assert torch.equal(ours.cpu(), theirs)
    for ours, theirs in zip(sums, expected_sums, strict=True):
        tolerance = 4e-2 if torch.bfloat16 in (dtype, ours.dtype) else 1e-4
        scale = max(1.0, float(theirs.detach().abs().max()))
        torch.testing.assert_close(ours.cpu(), theirs, rtol=0, atol=tolerance * scale)


def test_runs_repeat():
    first = everything(DEVICE, torch.float32, 70, True)
    for _ in range(3):
        for one, two in zip(first, everything(DEVICE, torch.float32, 70, True), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
