"""What a run ran on: versions, hardware, threads, data, and which backend served each operator."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

__all__ = ["backends", "cpu_features", "cpu_model", "device_name", "environment", "git_commit", "peak_memory", "versions"]


def environment(task: Any = None, deterministic: bool = False) -> dict[str, Any]:
    """A JSON record of everything outside the configuration that may change a result or a time.

    Args:
        task: the task, for the provenance of its data, or None.
        deterministic: whether the run uses deterministic algorithms.

    Example:
        >>> sorted(environment()["cpu"])
        ['cores', 'model', 'threads']
    """
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "versions": versions(),
        "os": platform.platform(),
        "cpu": {"model": cpu_model(), "cores": available_cores(), "threads": torch.get_num_threads()},
        "gpus": gpus,
        "memory": {"ram": _ram(), "gpus": [_gpu_memory(index) for index in range(len(gpus))]},
        "cuda": torch.version.cuda,
        "commit": git_commit(),
        "data": None if task is None else _plain(getattr(task, "provenance", None)),
        "backends": backends(),
        "deterministic": deterministic,
        "variables": {key: os.environ[key] for key in sorted(os.environ) if key.startswith("GRAPHKIT_")},
    }


@functools.cache
def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that a result depends on; None for one that is not installed."""
    names = {"graphkit": "graphkit-torch", "torch": "torch", "torch_geometric": "torch-geometric", "numpy": "numpy"}
    return {"python": platform.python_version(), **{short: _version(name) for short, name in names.items()}}


@functools.cache
def git_commit() -> str | None:
    """Commit of the checkout that graphkit is imported from, ``-dirty`` when files differ; None outside a checkout."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def backends() -> dict[str, str]:
    """The backend that serves each operator: ``"native"``, ``"python"`` or ``"scatter"``."""
    ops = importlib.import_module("graphkit.ops")
    return {name: str(ops.backend_of(name)) for name in sorted(getattr(ops, "OPS", ()))}


def available_cores() -> int:
    """Cores this process may use, which a container or taskset can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """Model name of the processor."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def cpu_features() -> list[str]:
    """Vector instruction sets of the processor."""
    flags = set(_cpuinfo("flags").split() or _cpuinfo("Features").split())
    return [
        name
        for name in ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")
        if name in flags
    ]


def device_name(device: torch.device) -> str:
    """Name of a device for a table, such as ``"cpu (AMD EPYC 7B13)"``."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({cpu_model()})" if device.type == "cpu" else device.type


def peak_memory(device: torch.device) -> int | None:
    """Most MiB that this process has held so far: tensors on a GPU, else main memory; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)  # bytes there, KiB elsewhere


def _ram() -> int | None:
    """Bytes of main memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _gpu_memory(index: int) -> int:
    return int(torch.cuda.get_device_properties(index).total_memory)


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == key), "")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _plain(value: Any) -> Any:
    """The value with everything that JSON lacks turned into text."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
