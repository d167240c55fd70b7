"""Classes of equal size from a score, and splits of the nodes of a city."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphkit.errors import UserError, nearest

__all__ = ["SPLIT_KINDS", "quantile_labels", "split_city"]

SPLIT_KINDS = ("random", "spatial_block")
_BLOCKS = 100  # least number of blocks of a spatial split, where there are as many nodes


def quantile_labels(score: np.ndarray, n_classes: int = 10, *, compat: bool = False) -> np.ndarray:
    """Class of each node by the rank of its score, 0 for the lowest; equal scores in the order of their nodes.

    The published rule is rank // (n // C + 1) for C classes. With fewer than C * C nodes it may leave classes empty; then the
    rule here is rank * C // n, unless ``compat`` asks for the published one.

    Args:
        score: ``[n]`` float.
        n_classes: C.
        compat: whether the published rule holds for few nodes too.

    Returns:
        ``[n]`` int64.

    Raises:
        UserError: for fewer than two classes, or fewer nodes than classes without ``compat``.

    Example:
        >>> quantile_labels(np.array([5.0, 1.0, 3.0, 1.0]), 2).tolist()
        [1, 0, 0, 0]
        >>> np.bincount(quantile_labels(np.arange(114127.0))).tolist()[8:]
        [11413, 11410]
    """
    n = len(score)
    if isinstance(n_classes, bool) or not isinstance(n_classes, int) or n_classes < 2:
        raise UserError(f"n_classes is {n_classes!r}, expected a whole number from 2 upwards")
    if n < n_classes and not compat:
        raise UserError(f"{n} nodes cannot fill {n_classes} classes; take fewer classes or a larger place")
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(score, kind="stable")] = np.arange(n)
    if n < n_classes * n_classes and not compat:
        return rank * n_classes // n
    return rank // (n // n_classes + 1)


def split_city(
    n: int,
    shares: Sequence[float],
    *,
    seed: int = 0,
    kind: str = "random",
    x: np.ndarray | None = None,
    y: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Masks ``[n]`` of train, valid and test.

    ``"random"`` is the published split: NumPy's ``RandomState(seed).permutation(n)``, the first int(share * n) for train, the
    next for valid, the rest for test. ``"spatial_block"`` halves the plane again and again at the median, and hands out whole
    blocks in random order: neighbours of a test node are then in train at the borders of blocks only.

    Args:
        n: nodes.
        shares: of train, valid and test; they sum to 1.
        seed: seed of the draw.
        kind: ``"random"`` or ``"spatial_block"``.
        x, y: ``[n]`` positions, for blocks.

    Raises:
        UserError: for shares that are no shares, or an unknown kind.

    Example:
        >>> masks = split_city(114127, (0.1, 0.1, 0.8))
        >>> np.flatnonzero(masks["train"])[:5].tolist(), int(masks["valid"].sum())
        ([3, 6, 14, 17, 23], 11412)
    """
    if kind not in SPLIT_KINDS:
        raise UserError(nearest(str(kind), SPLIT_KINDS, "split_kind"))
    shares = [float(share) for share in shares]
    if (
        len(shares) != 3
        or not all(0 <= share <= 1 for share in shares)
        or abs(sum(shares) - 1) > 1e-9
        or shares[0] == 0
    ):
        raise UserError(f"split is {tuple(shares)}, expected shares of train, valid and test that sum to 1")
    rng = np.random.RandomState(seed)
    sizes = [int(shares[0] * n), int(shares[1] * n)]
    if kind == "random":
        order = rng.permutation(n)
    else:
        assert x is not None and y is not None
        blocks = _halves(np.stack([x, y], 1), np.arange(n), max(1, n // _BLOCKS))
        drawn = [blocks[block] for block in rng.permutation(len(blocks))]
        order, ends = np.concatenate(drawn), np.cumsum([len(block) for block in drawn])
        # whole blocks: each split ends where the block does that fills it
        first = int(ends[np.searchsorted(ends, sizes[0])]) if sizes[0] else 0
        second = int(ends[min(int(np.searchsorted(ends, first + sizes[1])), len(ends) - 1)]) if sizes[1] else first
        sizes = [first, second - first]
    masks = {}
    for split, part in zip(("train", "valid", "test"), np.split(order, np.cumsum(sizes)), strict=True):
        masks[split] = np.zeros(n, dtype=bool)
        masks[split][part] = True
    if not masks["train"].any():
        raise UserError(f"a share of {shares[0]} of {n} nodes is none for train; take a larger share or place")
    return masks


def _halves(place: np.ndarray, nodes: np.ndarray, largest: int) -> list[np.ndarray]:
    if len(nodes) <= largest:
        return [nodes]
    here = place[nodes]
    axis = int(np.argmax(np.ptp(here, axis=0)))
    order = nodes[np.argsort(here[:, axis], kind="stable")]
    middle = len(order) // 2
    return _halves(place, order[:middle], largest) + _halves(place, order[middle:], largest)
