"""Every instruction set that the extension was compiled for computes the same, not only the one this machine prefers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from graphkit import ops
from graphkit.errors import UserError

_SCRIPT = """
import sys, torch
from relational_samples import MESSAGES, REDUCES, make_inputs
from graphkit import ops

results = []
for dtype in (torch.float32, torch.float64, torch.bfloat16):
    for message in MESSAGES:
        for reduce in REDUCES:
            # 38 channels: whole vectors of every width, and a rest
            inputs = make_inputs(message, reduce, weighted=True, masked=True, boundary="dense", dependent=True, channels=38)
            out, gradients = inputs.to(dtype).gradients()
            results.append([out, *gradients.values()])
torch.manual_seed(0)
graph = ops.CSRGraph(torch.randint(50, (2, 300)), num_nodes=50)
for dtype in (torch.float32, torch.float64):
    x, features = torch.randn(2, 50, 19, dtype=dtype), torch.randn(2, 50, 4, 19, dtype=dtype)
    leaves = [t.requires_grad_() for t in (x, features, torch.randn(19, 13 * 19, dtype=dtype), torch.randn(19, dtype=dtype),
                                           torch.randn(19, dtype=dtype), torch.randn(19, dtype=dtype))]
    x, features, weight, bias, gain, offset = leaves
    out = ops.pna_update(x, features, ops.degree_classes(graph), weight, bias, norm_weight=gain, norm_bias=offset, short_cut=True)
    out.sin().sum().backward()
    results.append([out.detach(), *(t.grad for t in leaves)])
    x, scale = torch.randn(50, 38, dtype=dtype, requires_grad=True), torch.rand(50, dtype=dtype)
    both = ops.directed_spmm(torch.randint(50, (2, 300)), x, num_nodes=50, direction="both", left=scale, right=scale)
    both.sin().sum().backward()
    results.append([both.detach(), x.grad])
    rows, weights = torch.randn(9, 7, 1100, dtype=dtype), torch.rand(9, 3, 3, dtype=dtype, requires_grad=True)
    vectors = (torch.randn(3, 3, 2, 1100, dtype=dtype) / 1100).requires_grad_()
    sums, products = ops.hop_combine(rows, weights), ops.hop_products(rows, vectors)
    ((sums / 1100).sin().sum() + products.cos().sum()).backward()
    results.append([sums.detach(), products.detach(), weights.grad, vectors.grad])
    words = torch.arange(-600, 600).to(torch.int16).view(torch.int64) * 54
    results.append([ops.word_dropout(torch.randn(37, 31, dtype=dtype), words, 30000)])
torch.save(results, sys.argv[1])
"""


def computed(isa, path, script=_SCRIPT):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    environment.pop("GRAPHKIT_ISA", None)
    if isa:
        environment["GRAPHKIT_ISA"] = isa
    subprocess.run([sys.executable, "-c", script, str(path)], env=environment, cwd=Path(__file__).parent, check=True)
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def preferred(tmp_path_factory):
    try:
        with ops.force_backend("native"):
            pass
    except UserError as error:
        pytest.skip(str(error))
    return computed(None, tmp_path_factory.mktemp("isa") / "preferred.pt")


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_smaller_instruction_sets_compute_the_same(preferred, isa, tmp_path):
    smaller = computed(isa, tmp_path / "smaller.pt")
    assert len(smaller) == len(preferred) == 68
    tolerance = {torch.float64: 1e-11, torch.float32: 2e-4, torch.bfloat16: 3e-2}
    identical = True
    for ours, theirs in zip(smaller, preferred, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=tolerance[b.dtype], atol=tolerance[b.dtype])
            identical &= torch.equal(a, b)
    # sums over channels are taken in another order; equal to the last bit would mean that the wish was not heard
    if torch.backends.cpu.get_cpu_capability() in ("AVX512", "AVX512_VNNI"):
        assert not identical
