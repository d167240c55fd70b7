"""Common neighbours and masked sums in every instruction set that the extension was compiled for."""

import pytest
import torch
from test_instruction_sets import computed

from graphkit import ops
from graphkit.errors import UserError

_SCRIPT = """
import sys, torch
from graphkit import ops
from graphkit.ops.common_neighbors import force_strategy
from graphkit.ops.common_neighbors_reference import STRATEGIES

generator = torch.Generator().manual_seed(0)
edges = torch.randint(500, (2, 6900), generator=generator)
edges[0, :900] %= 4
pairs = torch.randint(500, (2, 1500), generator=generator)
pairs[0, :500] %= 4
graph = ops.SimpleGraph(edges, num_nodes=500)
removed = graph.removed_by(edges[:, ::7])
sets, sums = [], []
for strategy in STRATEGIES:
    with force_strategy(strategy):
        for flags in (None, removed):
            of = dict(num_nodes=500, removed=flags)
            sets += [*ops.common_neighbors(graph, pairs, **of), *ops.residual_neighbors(graph, pairs, cap=9, **of),
                     *ops.residual_neighbors(graph, pairs, **of)[:2], ops.common_neighbor_count(graph, pairs, **of)]
for dtype in (torch.float32, torch.float64, torch.bfloat16):
    # 77 channels: whole vectors of every width, and a rest
    x = torch.randn(500, 77, generator=generator).to(dtype).requires_grad_()
    weight = torch.rand(500, generator=generator, dtype=torch.float64).requires_grad_()
    entry = torch.rand(len(graph.col), generator=generator, dtype=torch.float64).requires_grad_()
    of = dict(num_nodes=500, removed=removed)
    ptr, node, value = ops.residual_neighbors(graph, pairs, cap=9, **of)
    value.requires_grad_()
    outs = [ops.cn_pool(graph, pairs, x, weight=weight, **of), ops.cn_pool(graph, pairs, x, **of),
            ops.cn_complete(graph, pairs, x, (ptr, node), value, **of),
            ops.masked_spmm(graph, x, norm="sym", self_loops=True, edge_weight=entry, **of),
            ops.masked_spmm(graph, x, norm="row", **of), ops.masked_spmm(graph, x, reduce="max", **of)]
    outs.append(ops.common_neighbor_count(graph, pairs, weight=weight, **of))
    with force_strategy("words"):  # in tiles of bits, the gradient as well
        outs.append(ops.cn_pool(graph, pairs, x, weight=weight, **of))
    total = sum((out.double() ** 2).sum() for out in outs)
    sums += [out.detach() for out in outs] + list(torch.autograd.grad(total, [x, weight, entry, value]))
torch.save([sets, sums], sys.argv[1])
"""


@pytest.fixture(scope="module")
def preferred(tmp_path_factory):
    try:
        with ops.force_backend("native"):
            pass
    except UserError as error:
        pytest.skip(str(error))
    return computed(None, tmp_path_factory.mktemp("isa") / "preferred.pt", _SCRIPT)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_smaller_instruction_sets_compute_the_same(preferred, isa, tmp_path):
    sets, sums = computed(isa, tmp_path / "smaller.pt", _SCRIPT)
    assert len(sets) == len(preferred[0]) == 96 and len(sums) == len(preferred[1]) == 36
    for ours, theirs in zip(sets, preferred[0], strict=True):
        assert torch.equal(ours, theirs)
    half = len(sets) // 6
    for of_strategy in range(1, 6):
        assert all(torch.equal(a, b) for a, b in zip(sets[:half], sets[of_strategy * half :], strict=False))
    tolerance = {torch.float64: 1e-11, torch.float32: 1e-4, torch.bfloat16: 4e-2}
    identical = True
    for k, (ours, theirs) in enumerate(zip(sums, preferred[1], strict=True)):
        # a gradient in float64 may come through sums in bfloat16
        close = 4e-2 if k >= 24 else 1e-4 if k < 12 else tolerance[theirs.dtype]
        torch.testing.assert_close(ours, theirs, rtol=close, atol=close * max(1.0, float(theirs.abs().max())))
        identical &= torch.equal(ours, theirs)
    # products and sums are fused or not; equal to the last bit would mean that the wish was not heard
    if torch.backends.cpu.get_cpu_capability() in ("AVX512", "AVX512_VNNI"):
        assert identical == (isa == "avx512")
