"""Dropout with its backward pass on a CPU: torch's, ours in torch, and ours by the kernel, in one process.

    python experiments/bench/bench_dropout.py [--rounds 15] [--threads 2]

The two of ours draw the same numbers and are compared to the last bit before anything is timed; all draw anew in every call.
Results: results/dropout.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from peak import measure, write

from graphkit import ops
from graphkit.nn.dropout import dropout

SHAPES = [(10_000, 64), (49_152, 224)]  # a hidden layer on minesweeper, a batch of pairs of ogbl-ddi


def both_ways(drop: Callable[..., torch.Tensor], x: torch.Tensor, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    out = drop(x, 0.5, True)
    return out, torch.autograd.grad(out, x, grad)[0]


def in_torch(x: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    with ops.force_backend("python"):
        return dropout(x, p, training)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    for shape in SHAPES:
        x, grad = torch.randn(shape, requires_grad=True), torch.randn(shape)
        found = []
        for drop in (dropout, in_torch):
            torch.manual_seed(0)
            found += both_ways(drop, x, grad)
        assert torch.equal(found[0], found[2]) and torch.equal(found[1], found[3])
        ways = {"graphkit": dropout, "graphkit in torch": in_torch, "torch": torch.nn.functional.dropout}
        calls = {name: (lambda drop=drop, x=x, grad=grad: both_ways(drop, x, grad)) for name, drop in ways.items()}
        times = measure(calls, arguments.rounds, in_a_row=True)
        ratio = {name: times[name]["median"] / times["graphkit"]["median"] for name in list(ways)[1:]}
        rows.append({"what": "dropout, forward and backward", "shape": list(shape), "times": times, "ratio": ratio})
        print(rows[-1])
    write("dropout", rows)


if __name__ == "__main__":
    main()
