"""Random numbers that depend on their place only, not on what was drawn before."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "EVALUATION",
    "GENERATED",
    "NEGATIVES",
    "SHUFFLE",
    "SIGNS",
    "SPLIT",
    "WALKS",
    "permutation",
    "signs",
    "uniform_below",
]

_WORD = 2**64
# What the numbers are for; no two streams share one.
SHUFFLE, NEGATIVES, SPLIT, EVALUATION, SIGNS, WALKS, GENERATED = 0, 1, 2, 3, 4, 5, 6


def _philox(seed: int, epoch: int, step: int, stream: int) -> np.random.Philox:
    """A counter-based generator (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011).

    The key is (seed, epoch), the upper half of the counter (step, stream), so no two steps share a number and a run
    that begins in the middle sees the numbers it would have seen. Only raw words are used, because NumPy keeps
    those the same from version to version and the derived distributions not.
    """
    key = np.array([seed % _WORD, epoch % _WORD], dtype=np.uint64)
    counter = np.array([0, 0, step % _WORD, stream], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter)


def permutation(size: int, *, seed: int, epoch: int, stream: int = SHUFFLE) -> Tensor:
    """A random order of 0 .. size - 1 that depends on (seed, epoch, stream) only; [size] int64.

    Example:
        >>> bool((permutation(5, seed=0, epoch=0).sort().values == torch.arange(5)).all())
        True
    """
    words = _philox(seed, epoch, 0, stream).random_raw(size)
    return torch.from_numpy(np.argsort(words, kind="stable").astype(np.int64, copy=False))


def uniform_below(bound: Tensor, count: int, *, seed: int, epoch: int, step: int, stream: int = NEGATIVES) -> Tensor:
    """Whole numbers drawn uniformly from [0, bound), with replacement; they depend on (seed, epoch, step, stream) only.

    A draw is floor(u * bound) with u of 53 random bits, so a probability is off by less than bound / 2**53.

    Args:
        bound: [B] int64, all above 0 and below 2**53.
        count: how many numbers per bound.

    Returns:
        [B, count] int64.

    Example:
        >>> uniform_below(torch.tensor([1, 1]), 2, seed=0, epoch=0, step=0).tolist()
        [[0, 0], [0, 0]]
    """
    words = _philox(seed, epoch, step, stream).random_raw(bound.numel() * count)
    unit = (words >> np.uint64(11)).reshape(bound.numel(), count) * 2.0**-53
    return torch.from_numpy((unit * bound.numpy()[:, None]).astype(np.int64))


def signs(rows: Tensor, count: int, *, seed: int, epoch: int, stream: int = SIGNS) -> Tensor:
    """Fair signs, ``count`` of them a row; those of row r depend on (seed, epoch, stream, r) only, not on the other rows.

    Args:
        rows: [B] int64, numbers of at least 0.
        count: how many signs a row.

    Returns:
        [B, count] float32 of 1 and -1.

    Example:
        >>> several = signs(torch.arange(3), 4, seed=0, epoch=0)
        >>> bool((several[2:] == signs(torch.tensor([2]), 4, seed=0, epoch=0)).all())
        True
    """
    if not rows.numel() or not count:
        return torch.ones(rows.numel(), count)
    words = -(-count // 64)
    # All words up to the last row: a graph's are where its number puts them.
    raw = _philox(seed, epoch, 0, stream).random_raw((int(rows.max()) + 1) * words).reshape(-1, words)[rows.numpy()]
    bits = (raw[:, :, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    return torch.from_numpy(1.0 - 2.0 * bits.reshape(rows.numel(), -1)[:, :count]).float()
