"""The CUDA kernels of the selective scan against the body in torch. Skipped where there is no device or no such extension."""

import pytest
import torch
from test_selective_scan import NAMES, run, sample

from graphkit import ops

DEVICE = "cuda"


def missing():
    if not torch.cuda.is_available():
        return "no CUDA device"
    return "" if ops.backend_of("selective_scan", DEVICE) == "native" else "graphkit._C_cuda is not built"


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "the kernel is there")


def with_gradients(inputs, device, **options):
    leaves = {name: None if t is None else t.to(device).requires_grad_() for name, t in inputs.items()}
    options = {name: value.to(device) if torch.is_tensor(value) else value for name, value in options.items()}
    y = run(leaves, **options)
    weight = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).sin().view(y.shape).to(y)
    given = [t for t in leaves.values() if t is not None]
    return [t.cpu() for t in (y.detach(), *torch.autograd.grad(y, given, weight))]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 3e-4), (torch.bfloat16, 5e-2)]
)
def test_values_and_gradients(dtype, tolerance, reverse):
    for sequences, length, channels, states in ((300, 17, 37, 16), (3, 200, 33, 3), (2, 64, 1, 1), (70, 33, 64, 8)):
        inputs = sample(sequences, length, channels, states, dtype)
        lengths = torch.arange(sequences) * 7 % (length + 1)
        options = {"delta_softplus": True, "lengths": lengths, "reverse": reverse}
        wide = {name: t.double() for name, t in inputs.items()}
        with ops.force_backend("python"):
            wanted = with_gradients(wide, "cpu", **options)
        for found, right in zip(with_gradients(inputs, DEVICE, **options), wanted, strict=True):
            atol = tolerance * max(1.0, float(right.abs().max()))
            torch.testing.assert_close(found.double(), right, rtol=tolerance, atol=atol)


def test_without_options_and_packed():
    inputs = {name: None if name in ("D", "z", "delta_bias") else t for name, t in sample(1, 100, 5, 4).items()}
    inputs = {name: t[0] if name in ("u", "delta", "B", "C") else t for name, t in inputs.items()}
    inputs["delta"] = inputs["delta"].abs()
    ptr = torch.tensor([0, 0, 70, 100])
    with ops.force_backend("python"):
        wanted = with_gradients(inputs, "cpu", ptr=ptr)
    for found, right in zip(with_gradients(inputs, DEVICE, ptr=ptr), wanted, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-11, atol=1e-11)


def test_runs_repeat_bit_for_bit():
    inputs = sample(100, 70, 40, 16, torch.float32)
    first = with_gradients(inputs, DEVICE, delta_softplus=True)
    for _ in range(3):
        again = with_gradients(inputs, DEVICE, delta_softplus=True)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert len(first) == 1 + len(NAMES)
