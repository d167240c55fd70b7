"""The causal convolution: definition, gradients, boundaries, determinism, registration, mistakes."""

import pytest
import torch
from scan_definition import conv

from graphkit import ops
from graphkit.errors import UserError


def sample(sequences, length, channels, width, dtype=torch.float64):
    generator = torch.Generator().manual_seed(length + channels + width)
    draw = lambda *size: torch.randn(*size, dtype=torch.float64, generator=generator).to(dtype)  # noqa: E731
    return draw(sequences, length, channels), draw(channels, width), draw(channels)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("reverse", [False, True])
def test_definition(width, reverse, backend):
    for length, channels in ((1, 1), (3, 7), (9, 33)):
        x, weight, bias = sample(3, length, channels, width)
        lengths = torch.tensor([length, length // 2, 0])
        for silu in (False, True):
            options = {"silu": silu, "lengths": lengths, "reverse": reverse}
            torch.testing.assert_close(ops.causal_conv1d(x, weight, bias, **options), conv(x, weight, bias, **options))


def test_equals_torch(backend):
    x, weight, bias = sample(2, 11, 5, 4)
    wanted = torch.nn.functional.conv1d(x.transpose(1, 2), weight[:, None], bias, padding=3, groups=5)[
        ..., :11
    ].transpose(1, 2)
    torch.testing.assert_close(ops.causal_conv1d(x, weight, bias), wanted)


@pytest.mark.parametrize("reverse", [False, True])
def test_gradcheck(reverse, backend):
    x, weight, bias = (t.requires_grad_() for t in sample(3, 6, 3, 4))
    lengths = torch.tensor([6, 2, 0])
    assert torch.autograd.gradcheck(
        lambda *t: ops.causal_conv1d(*t, silu=True, lengths=lengths, reverse=reverse), (x, weight, bias)
    )
    assert torch.autograd.gradcheck(lambda *t: ops.causal_conv1d(*t, lengths=lengths, reverse=reverse), (x, weight))


def test_packed_boundaries_and_padding(backend):
    x, weight, bias = sample(2, 7, 5, 4)
    lengths = torch.tensor([3, 7])
    x[0, 3:] = float("nan")
    padded = ops.causal_conv1d(x, weight, bias, lengths=lengths)
    packed = torch.cat([x[0, :3], x[1]])
    ptr = torch.tensor([0, 3, 10])
    found = ops.causal_conv1d(packed, weight, bias, ptr=ptr)
    assert torch.equal(found, torch.cat([padded[0, :3], padded[1]])) and not padded[0, 3:].any()
    packed[:3] += 1
    assert torch.equal(ops.causal_conv1d(packed, weight, bias, ptr=ptr)[3:], found[3:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_do_not_matter(dtype):
    x, weight, bias = sample(150, 9, 70, 4, dtype)
    weight, bias = weight.float(), bias.float()
    results = []
    for threads in (1, 2, 8):
        torch.set_num_threads(threads)
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        y = ops.causal_conv1d(*leaves, silu=True)
        y.float().square().sum().backward()
        results.append([y.detach(), *(t.grad for t in leaves)])
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("namespace", ["graphkit", "graphkit_python"])
def test_registration(namespace):
    x, weight, bias = sample(2, 5, 3, 4)
    begin, length = torch.tensor([0, 5]), torch.tensor([5, 3])
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    operators = getattr(torch.ops, namespace)
    leaves = tuple(t.requires_grad_() for t in (x.flatten(0, 1).detach(), weight, bias))
    torch.library.opcheck(operators.causal_conv1d.default, (*leaves, True, begin, length, False), test_utils=tests)
    rows = tuple(t.detach() for t in leaves)
    torch.library.opcheck(
        operators.causal_conv1d_backward.default,
        (torch.ones_like(rows[0]), *rows, True, begin, length, False),
        test_utils=tests,
    )


@pytest.mark.parametrize(
    ("x", "weight", "message"),
    [
        (torch.zeros(1, 2, 3, dtype=torch.float16), torch.zeros(3, 4), "x is torch.float16"),
        (torch.zeros(1, 2, 3), torch.zeros(3, 9), "K from 1 to 8"),
        (torch.zeros(1, 2, 3), torch.zeros(2, 4), r"weight \[2, 4\]"),
        (torch.zeros(1, 2, 3), torch.zeros(3, 4, dtype=torch.float64), "weight is torch.float64"),
    ],
)
def test_mistakes(x, weight, message):
    with pytest.raises(UserError, match=message):
        ops.causal_conv1d(x, weight)
