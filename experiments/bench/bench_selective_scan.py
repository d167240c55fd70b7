"""The selective scan against a loop over steps and torch's associative scan, in one process.

    python experiments/bench/bench_selective_scan.py [--rounds 5] [--threads 1] [--only WORD ...]

Step sizes are ready (no softplus), the gate is on. Every way runs once for its memory and then --rounds times, all in turn;
results are compared before anything is timed. The sweep is graphkit alone. Results: results/selective_scan.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from peak import measure, write
from torch import Tensor
from torch.nn import functional as F

from graphkit import ops

#: what it is like, sequences, length, channels, states, and whether peers run
SHAPES = [
    ("tokens of nodes", 4096, 17, 64, 16, True),
    ("nodes of a graph", 1, 20000, 64, 16, True),
    ("tokens of nodes", 2000, 17, 128, 16, False),
    ("nodes of a graph", 1, 20000, 128, 16, False),
    ("graphs of a batch", 64, 480, 128, 16, False),
    ("tokens of nodes", 4000, 17, 128, 16, False),
    ("nodes of a graph", 1, 40000, 128, 16, False),
]


def loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor) -> Tensor:
    """One step at a time. unbind, because the gradient of an index is a zero tensor of the whole input."""
    state, out = u.new_zeros(u.shape[0], u.shape[2], A.shape[1]), []
    for dt, x, b, c in zip(delta.unbind(1), u.unbind(1), B.unbind(1), C.unbind(1), strict=True):
        state = torch.exp(dt[..., None] * A) * state + (dt * x)[..., None] * b[:, None]
        out.append((state * c[:, None]).sum(-1))
    return (torch.stack(out, 1) + D * u) * F.silu(z)


def associative(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor) -> Tensor:
    from torch._higher_order_ops.associative_scan import associative_scan

    factor, value = torch.exp(delta[..., None] * A), (delta * u)[..., None] * B[:, :, None]

    def after(x: tuple[Tensor, Tensor], y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return x[0] * y[0], y[0] * x[1] + y[1]

    _, state = associative_scan(after, (factor, value), dim=1, combine_mode="generic")
    return ((state * C[:, :, None]).sum(-1) + D * u) * F.silu(z)


def ours(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor) -> Tensor:
    return ops.selective_scan(u, delta, A, B, C, D, z=z)


def case(name: str, S: int, L: int, D: int, N: int, peers: bool, rounds: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    u, z, gradient = (torch.randn(S, L, D) for _ in range(3))
    delta = F.softplus(torch.randn(S, L, D) - 2)
    A = -(torch.arange(N) + 1.0).repeat(D, 1)
    inputs = [u, delta, A, torch.randn(S, L, N), torch.randn(S, L, N), torch.ones(D), z]
    ways: dict[str, Callable[..., Tensor]] = {"graphkit": ours}
    if peers:
        ways |= {"loop over steps": loop, "associative scan": associative}
    with torch.no_grad():
        wanted = ours(*inputs)
        for way in ways.values():
            torch.testing.assert_close(way(*inputs), wanted, rtol=1e-3, atol=1e-3)

    def forward(way: Callable[..., Tensor]) -> Callable[[], object]:
        def run() -> object:
            with torch.no_grad():
                return way(*inputs)

        return run

    def both(way: Callable[..., Tensor]) -> Callable[[], object]:
        def run() -> object:
            leaves = [t.detach().requires_grad_() for t in inputs]
            return torch.autograd.grad(way(*leaves), leaves, gradient)

        return run

    def kept(way: Callable[..., Tensor]) -> Callable[[], object]:
        return lambda: way(*(t.detach().requires_grad_() for t in inputs))

    rows = []
    for what, make in (("forward", forward), ("forward for a gradient", kept), ("forward and backward", both)):
        times = measure({way: make(function) for way, function in ways.items()}, rounds)
        own = times["graphkit"]["median"]
        rows.append(
            {
                "graph": f"{name}, {S} x {L} x {D} x {N}", "what": what, "S": S, "L": L, "D": D, "N": N, "times": times,
                "ns_per_state": 1e9 * own / (S * L * D * N),
                "ratio": {way: t["median"] / own for way, t in times.items() if way != "graphkit"},
            }
        )  # fmt: skip
        print(rows[-1]["graph"], what, f"{own:.4f} s, {rows[-1]['ns_per_state']:.3f} ns", rows[-1]["ratio"], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows: list[dict[str, Any]] = []
    for name, *shape, peers in SHAPES:
        label = f"{name} {'x'.join(map(str, shape))}"
        if all(word in label for word in options.only):
            rows += case(name, *shape, peers, options.rounds)
    write("selective_scan", rows)


if __name__ == "__main__":
    main()
