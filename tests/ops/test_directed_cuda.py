"""The CUDA kernel against the body in torch on the same device. Skipped where there is no device or no such extension."""

import pytest
import torch

from graphkit import ops

DEVICE = "cuda"


def missing():
    if not torch.cuda.is_available():
        return "no CUDA device"
    return "" if ops.backend_of("directed_spmm", DEVICE) == "native" else "graphkit._C_cuda is not built"


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "the kernel is there")


def edges_of(nodes, edges, hub):
    edge_index = torch.randint(nodes, (2, edges), generator=torch.Generator().manual_seed(nodes))
    if hub:  # a row and a column that several pieces share
        edge_index[0, : edges // 2] = 0
        edge_index[1, edges // 2 :] = 1
    return edge_index


@pytest.mark.parametrize("hub", [False, True])
@pytest.mark.parametrize("direction", ["out", "in", "both"])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-11), (torch.float32, 1e-4)])
def test_values_and_gradients_of_the_body_in_torch(dtype, tolerance, direction, hub):
    for nodes, edges, channels in [(7, 20, 3), (300, 20000, 17), (2001, 6000, 4), (5, 0, 2)]:
        graph = ops.DirectedGraph(edges_of(nodes, edges, hub), num_nodes=nodes).to(DEVICE)
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(nodes, channels, dtype=torch.float64, generator=generator).to(DEVICE, dtype)
        scale = torch.rand(nodes, dtype=torch.float64, generator=generator).to(DEVICE, dtype)
        results = []
        for backend in ("native", "python"):
            with ops.force_backend(backend):
                leaf = x.clone().requires_grad_()
                out = ops.directed_spmm(graph, leaf, num_nodes=nodes, direction=direction, left=scale, right=scale)
                results.append((out.detach(), *torch.autograd.grad(out.square().sum(), leaf)))
        torch.testing.assert_close(
            *results, rtol=tolerance, atol=tolerance * max(1.0, float(results[1][0].abs().max() if edges else 1))
        )


def test_runs_repeat_bit_for_bit():
    graph = ops.DirectedGraph(edges_of(2001, 6000, True), num_nodes=2001).to(DEVICE)
    x = torch.randn(2001, 9, device=DEVICE)
    first = ops.directed_spmm(graph, x, num_nodes=2001, direction="both")
    assert all(torch.equal(first, ops.directed_spmm(graph, x, num_nodes=2001, direction="both")) for _ in range(5))
