"""Random streams and deterministic mode, set for a block of code and put back afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

__all__ = ["deterministic_algorithms", "preserved_rng", "rng_state", "seed_all", "seed_of", "seeded", "set_rng_state"]


def rng_state() -> dict[str, Any]:
    """State of every global random generator as plain JSON values (torch, CUDA, numpy, Python).

    Example:
        >>> state = rng_state()
        >>> first = torch.rand(())
        >>> set_rng_state(state)
        >>> bool(torch.rand(()) == first)
        True
    """
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # type: ignore[misc]
    version, words, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
        "cuda": [state.numpy().tobytes().hex() for state in torch.cuda.get_rng_state_all()] if _cuda_used() else [],
        "numpy": [name, keys.tolist(), position, has_gauss, cached],  # type: ignore[union-attr]
        "python": [version, list(words), gauss],
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Put back what :func:`rng_state` returned; streams of GPUs that are not here are left out."""
    torch.set_rng_state(_bytes_tensor(state["torch"]))
    if state["cuda"] and torch.cuda.is_available():
        for index, one in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(_bytes_tensor(one), index)
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))


@contextlib.contextmanager
def preserved_rng() -> Iterator[None]:
    """Run a block without moving the global random streams.

    Evaluation runs inside it, so that evaluating more or less often never changes the training.
    """
    state = rng_state()
    try:
        yield
    finally:
        set_rng_state(state)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch, CUDA, numpy and Python for a block; the caller's streams go on afterwards as if nothing had happened.

    Example:
        >>> with seeded(0):
        ...     a = torch.rand(3)
        >>> with seeded(0):
        ...     b = torch.rand(3)
        >>> bool((a == b).all())
        True
    """
    with preserved_rng():
        seed_all(seed)
        yield


def seed_all(seed: int) -> None:
    """Seed torch, CUDA, numpy and Python, for good."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_of(seed: int, fold: int | None) -> int:
    """The seed of the streams of a training: of a task with one split the seed itself, else one of its own for each fold.

    Initial weights, dropout and batches so differ between the folds of a seed as they do between seeds, and a deviation over folds
    holds what they contribute.

    Example:
        >>> seed_of(3, None), seed_of(3, 0) != seed_of(3, 1)
        (3, True)
    """
    if fold is None:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} fold {fold}".encode()).digest()[:4], "big")


@contextlib.contextmanager
def deterministic_algorithms(enabled: bool) -> Iterator[None]:
    """Deterministic torch algorithms for a block; the flags and the number of threads are put back afterwards.

    On CUDA, cuBLAS needs ``CUBLAS_WORKSPACE_CONFIG``; it is set where it is missing. An operation without a
    deterministic form raises torch's RuntimeError, which names it.
    """
    before = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    benchmark, threads = torch.backends.cudnn.benchmark, torch.get_num_threads()
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    try:
        if enabled:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
            torch.backends.cudnn.benchmark = False
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if enabled and workspace is None:
            os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def _cuda_used() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()


def _bytes_tensor(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
