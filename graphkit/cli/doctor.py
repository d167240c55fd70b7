"""``graphkit doctor``."""

from __future__ import annotations

import os
import shutil

from graphkit.cli.parser import CommandParser
from graphkit.cli.tables import console, pairs, print_table

__all__ = ["main"]


def main(words: list[str]) -> int:
    """Say what is installed, what serves each operator, where data lie, and whether an operator computes rightly."""
    CommandParser("doctor").parse(words)
    import torch

    from graphkit.datasets.locate import cache_folder
    from graphkit.engine.environment import available_cores, backends, cpu_features, cpu_model, git_commit, versions
    from graphkit.ops._library import library_file

    pairs(
        "versions",
        [*((name, version or "not installed") for name, version in versions().items()), ("commit", git_commit())],
    )
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    pairs(
        "machine",
        [
            ("processor", cpu_model()),
            ("cores, threads of torch", f"{available_cores()}, {torch.get_num_threads()}"),
            ("vector instructions", " ".join(cpu_features()) or "unknown"),
            ("GPU", ", ".join(gpus) or "none"),
        ],
    )
    pairs(
        "native kernels",
        [
            ("C++ compiler", _compiler() or "none found; the operators run in torch"),
            ("CUDA compiler", shutil.which("nvcc") or "none found"),
            ("library for the CPU", library_file("cpu") or "not built"),
            ("library for CUDA", library_file("cuda") or "not built"),
        ],
    )
    print_table(("operator", "backend"), sorted(backends().items()))
    pairs(
        "data",
        [
            ("GRAPHKIT_DATA", os.environ.get("GRAPHKIT_DATA") or "not set"),
            ("cache", cache_folder()),
            ("GRAPHKIT_OFFLINE", os.environ.get("GRAPHKIT_OFFLINE") or "not set; missing files are fetched"),
        ],
    )
    error = self_check()
    good = error <= 1e-5
    console().print(
        f"self-check: relational_spmm and its body in torch differ by {error:.1g}: {'good' if good else 'BAD'}"
    )
    return 0 if good else 1


def self_check() -> float:
    """Largest relative difference between an operator and its body in torch, forward and backward."""
    import torch

    from graphkit import ops

    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(200, (2, 3000), generator=generator)
    types = torch.randint(5, (3000,), generator=generator)
    x, relation = torch.randn(2, 200, 16, generator=generator), torch.randn(5, 16, generator=generator)

    def outcome() -> list[torch.Tensor]:
        leaves = [x.clone().requires_grad_(), relation.clone().requires_grad_()]
        out = ops.relational_spmm(edges, types, *leaves, num_nodes=200)
        return [out.detach(), *torch.autograd.grad(out.square().sum(), leaves)]

    ours = outcome()
    with ops.force_backend("python"):
        expected = outcome()
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, expected, strict=True))


def _compiler() -> str | None:
    names = (os.environ.get("CXX"), "c++", "g++", "clang++", "cl")
    return next((path for name in names if name and (path := shutil.which(name))), None)
