"""BiMamba: a plain reference, the last position alone, padding and packing, initial values, precision, mistakes."""

import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import BiMamba, SelectiveStateSpace

VARIANTS = [
    {}, {"expand": 2}, {"state": 8}, {"a_mode": "tied"}, {"ssm": "ssd", "heads": 2}, {"dt_rank": "full"}, {"share_A": True},
    {"fuse_out": True}, {"bidirectional": False}, {"conv_width": 2},
]  # fmt: skip


def rows(*size):
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(size)))


@pytest.fixture(params=VARIANTS, ids=str)
def block(request):
    torch.manual_seed(1)
    return BiMamba(8, **request.param).double()


def plain(layer, x):
    """One direction of the published block on one sequence [L, d], written with torch's own convolution and a loop."""
    e = layer.width
    u, z = (x @ layer.in_proj.weight.t()).split(e, -1)
    taps = layer.conv_weight.shape[1]
    u = torch.nn.functional.conv1d(u.t()[None], layer.conv_weight[:, None], layer.conv_bias, padding=taps - 1, groups=e)
    u = torch.nn.functional.silu(u[0, :, : len(x)].t())
    low, B, C = (u @ layer.x_proj.weight.t()).split([layer.rank, layer.state, layer.state], -1)
    dt = torch.nn.functional.softplus((low if layer.rank else u) @ layer.dt_weight.t() + layer.dt_bias)
    if layer.ssm == "ssd":
        dt = dt.repeat_interleave(e // dt.shape[-1], -1)
    h, out, A = torch.zeros(e, layer.state, dtype=x.dtype), [], layer.decay()
    for t in range(len(x)):
        h = torch.exp(dt[t, :, None] * A) * h + (dt[t] * u[t])[:, None] * B[t]
        out.append(h @ C[t] + layer.D * u[t])
    return (torch.stack(out) * torch.nn.functional.silu(z)) @ layer.out_proj.weight.t()


def test_equals_the_published_block(block):
    x = rows(2, 9, 8)
    for sequence, found in zip(x, block(x), strict=True):
        normed = block.norm(sequence)
        read = plain(block.forwards, normed)
        if block.backwards is not None:
            read = read + plain(block.backwards, normed.flip(0)).flip(0)
        torch.testing.assert_close(found, sequence + block.out(read))


def test_last_position_alone(block):
    results = []
    for alone in (False, True):
        x = rows(3, 9, 8).requires_grad_()
        y = block.last(x) if alone else block(x)[:, -1]
        leaves = [x, *block.parameters()]
        gradients = torch.autograd.grad(y.square().sum(), leaves, allow_unused=True)
        results.append(
            [y.detach(), *(torch.zeros_like(p) if g is None else g for g, p in zip(gradients, leaves, strict=True))]
        )
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_padded_packed_and_one_by_one(block):
    x, lengths = rows(3, 7, 8), torch.tensor([7, 3, 0])
    x[1, 3:], x[2] = float("nan"), 1e30
    padded = block(x, lengths=lengths)
    packed = block(torch.cat([x[0], x[1, :3]]), ptr=torch.tensor([0, 7, 10, 10]))
    torch.testing.assert_close(packed, torch.cat([padded[0], padded[1, :3]]), rtol=1e-12, atol=1e-12)
    for s, n in ((0, 7), (1, 3)):
        torch.testing.assert_close(block(x[s : s + 1, :n])[0], padded[s, :n], rtol=1e-12, atol=1e-12)


def test_every_output_hears_every_token():
    torch.manual_seed(0)
    for block, reach in ((BiMamba(6), torch.ones(7, 7)), (BiMamba(6, bidirectional=False), torch.ones(7, 7).tril())):
        x = rows(1, 7, 6).float()
        jacobian = torch.autograd.functional.jacobian(lambda x, block=block: block(x)[0].sum(-1), x)[:, 0].abs().sum(-1)
        assert torch.equal((jacobian > 0).float(), reach)


def test_initial_values():
    layer = SelectiveStateSpace(32, expand=2)
    steps = torch.nn.functional.softplus(layer.dt_bias)
    assert float(steps.min()) >= 1e-3 - 1e-6 and float(steps.max()) <= 0.1 + 1e-6
    torch.testing.assert_close(layer.decay(), -torch.arange(1.0, 17).expand(64, 16))
    assert torch.equal(layer.D, torch.ones(64))
    tied = SelectiveStateSpace(32, a_mode="tied")
    torch.testing.assert_close(tied.decay(), -torch.arange(1.0, 17).expand(32, 16))


def test_half_precision_keeps_decays_and_steps():
    block = BiMamba(16)
    before = block.forwards.A_log.detach().clone()
    block.to(torch.bfloat16)
    for name in ("A_log", "D", "dt_bias"):
        assert getattr(block.forwards, name).dtype == torch.float32
    assert torch.equal(block.forwards.A_log, before) and block.forwards.in_proj.weight.dtype == torch.bfloat16
    x = torch.randn(2, 5, 16)
    y = block(x.bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), block.float()(x), rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": 0}, "state is 0"), ({"conv_width": 9}, "conv_width is 9"), ({"a_mode": "tide"}, "did you mean 'tied'"),
        ({"ssm": "ssd", "heads": 3}, "divisor of the 8 inner channels"), ({"dt_rank": 0}, "dt_rank is 0"),
        ({"share_A": True, "bidirectional": False}, "two directions"), ({"ssm": "mamba3"}, "mamba"),
    ],
)  # fmt: skip
def test_mistakes(options, message):
    with pytest.raises(UserError, match=message):
        BiMamba(8, **options)


def test_wrong_shapes():
    with pytest.raises(UserError, match=r"expected \[S, L, 8\]"):
        BiMamba(8)(torch.zeros(2, 3, 7))
    with pytest.raises(UserError, match="L from 1 upwards"):
        BiMamba(8).last(torch.zeros(2, 0, 8))
