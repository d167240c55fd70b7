"""Which orbits the nodes of a class are on more often than others."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from graphkit.errors import UserError

__all__ = ["OrbitProfile", "orbit_profile"]


class OrbitProfile(NamedTuple):
    """Orbits of each class against those of all nodes.

    Attributes:
        mean: float64 ``[C, 15]``, mean over a class of the standardized log counts.
        standard_error: float64 ``[C, 15]`` of these means; NaN for a class with one node.
        size: int64 ``[C]``, nodes of each class.

    Example:
        >>> orbit_profile(np.arange(30).reshape(2, 15), np.eye(2, dtype=bool)).mean[:, 0].tolist()
        [-1.0, 1.0]
    """

    mean: np.ndarray
    standard_error: np.ndarray
    size: np.ndarray


def orbit_profile(counts: Any, labels: Any) -> OrbitProfile:
    r"""The mean of :math:`(\log(1 + c_{uo}) - \mu_o) / \sigma_o` over the nodes u of each class, for each orbit o.

    0 is the mean of all nodes, 1 is one standard deviation of all nodes above it.

    Args:
        counts: orbit counts ``[N, 15]``, tensor or array.
        labels: bool ``[N, C]`` (a node may be in several classes or in none), or int ``[N]`` with -1 for none.

    Raises:
        UserError: arrays that do not fit together, counts below 0.

    Example:
        >>> counts = np.zeros((4, 15)); counts[:2, 3] = 1
        >>> orbit_profile(counts, np.array([0, 0, 1, 1])).mean[:, 3].tolist()
        [1.0, -1.0]
    """
    counts, labels = np.asarray(counts), np.asarray(labels)
    if labels.ndim == 1:
        labels = labels[:, None] == np.arange(int(labels.max(initial=-1)) + 1)[None, :]
    if counts.ndim != 2 or labels.ndim != 2 or len(counts) != len(labels) or not len(counts):
        raise UserError(f"counts are {counts.shape} and labels {labels.shape}, expected [N, 15] and [N, C] or [N]")
    if counts.min(initial=0) < 0:
        raise UserError("counts are below 0; give the counts themselves, the logarithm is taken here")
    values = np.log1p(counts.astype(np.float64))
    spread = values.std(0)
    values = (values - values.mean(0)) / np.where(spread > 0, spread, 1.0)
    members = labels.astype(np.float64)
    size = members.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = members.T @ values / size[:, None]
        squares = members.T @ values**2 - size[:, None] * mean**2
        error = np.sqrt(np.maximum(squares, 0) / (size[:, None] - 1) / size[:, None])
    return OrbitProfile(mean, error, size.astype(np.int64))
