"""Features propagated along directed patterns once, before training, in memory or in a file."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from graphkit.data.batch_size import available_memory
from graphkit.data.feature_rows import DTYPES, FeatureFile, FeatureRows
from graphkit.errors import UserError, nearest
from graphkit.nn.directed_patterns import DirectedPattern
from graphkit.nn.pattern_words import Word
from graphkit.ops import CSRGraph, DirectedGraph
from graphkit.ops.directed import as_directed

__all__ = ["check_finite", "hop_decay", "pattern_features"]

Decay = str | float | Sequence[float] | Callable[[int], float]


def hop_decay(decay: Decay, hops: int) -> list[float]:
    r"""Factors omega_1 .. omega_hops of the propagation.

    .. math:: \omega_t = 1 + \ln(1 / t) + 10^{-6} \quad\text{("paper")}

    They multiply up over the hops, and from t = 3 on they are negative: more than two hops are of little use with ``"paper"``.

    Args:
        decay: ``"paper"``, ``"none"`` (1 throughout), a number for every hop, one number per hop, or a function of t from 1. With
            0.9 the sum over the hops is personalised PageRank that returns with 0.1, but for a factor.
        hops: how many.

    Raises:
        UserError: an unknown rule, a number that is not finite, or a list of another length.

    Example:
        >>> [round(omega, 4) for omega in hop_decay("paper", 3)]
        [1.0, 0.3069, -0.0986]
    """
    steps = range(1, hops + 1)
    if callable(decay):
        return [float(decay(t)) for t in steps]
    if isinstance(decay, str):
        if decay not in ("paper", "none"):
            raise UserError(nearest(decay, ("paper", "none"), "decay"))
        return [1 + math.log(1 / t) + 1e-6 if decay == "paper" else 1.0 for t in steps]
    if isinstance(decay, (int, float)):
        if isinstance(decay, bool) or not math.isfinite(decay):
            raise UserError(f"decay is {decay!r}, expected a finite number such as 0.9, one for each hop, 'paper' or 'none'")
        return [float(decay)] * hops
    factors = [float(factor) for factor in decay]
    if len(factors) != hops:
        raise UserError(f"decay has {len(factors)} numbers for {hops} hops; give one for each, 'paper' or 'none'")
    return factors


def pattern_features(
    edge_index: Tensor | CSRGraph | DirectedGraph,
    x: Tensor,
    words: Sequence[Word],
    *,
    hops: int = 2,
    norm: str = "row_col",
    exponent: float = 0.5,
    decay: Decay = "paper",
    self_loops: bool = True,
    diagonal: str = "keep",
    binarize: bool = False,
    degree_cap: int | None = None,
    sum_hops: bool = False,
    storage: str = "memory",
    dtype: str = "float32",
    folder: str | Path | None = None,
    chunk: int | None = None,
    memory: int | None = None,
) -> FeatureRows:
    r"""X and, for every pattern w and hop t, :math:`X_w^{(t)} = \omega_t \hat P_w X_w^{(t-1)}` with :math:`X_w^{(0)} = X`.

    Hop 0 is stored once for all patterns.

    Args:
        edge_index: int64 ``[2, E]`` (source, target), ``EdgeIndex``, ``CSRGraph`` or ``DirectedGraph``.
        x: ``[N, F]`` floating point, finite.
        words: of :func:`graphkit.nn.pattern_words`.
        hops: K, from 0.
        norm, exponent, diagonal, binarize, degree_cap: see :class:`graphkit.nn.DirectedPattern`.
        decay: see :func:`hop_decay`.
        self_loops: patterns of one letter get the identity added.
        sum_hops: keeps one matrix of each word, the sum over its hops 0..K, in place of K.
        storage: ``"memory"``, or ``"disk"``: a file, read a batch of rows at a time.
        dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"`` as stored; computed in float32.
        folder: for ``"disk"``; a new folder below ``GRAPHKIT_CACHE`` or the system's temporary folder by default. The
            file goes when the result does.
        chunk: columns of x at a time; None: as many as fit.
        memory: bytes that may be used; None: what is free.

    Returns:
        :class:`graphkit.data.FeatureRows` of shape ``[N, 1 + K len(words), F]``: X, then hops 1..K of each word in turn; or
        ``[N, 1 + len(words), F]`` with ``sum_hops``.

    Raises:
        UserError: features that are not finite, options that do not fit, too little memory (the estimate is named).

    Source:
        Sun et al., Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node Classification (ICDE
        2024), decoupled propagation.

    Example:
        >>> edges = torch.tensor([[0, 1], [2, 2]])
        >>> rows = pattern_features(edges, torch.eye(3), [(False,), (False, True)], hops=2)
        >>> rows.shape
        torch.Size([3, 5, 3])
    """
    num_nodes = len(x)
    if storage not in ("memory", "disk"):
        raise UserError(nearest(str(storage), ("memory", "disk"), "storage"))
    if dtype not in DTYPES:
        raise UserError(nearest(str(dtype), DTYPES, "dtype"))
    if not isinstance(hops, int) or isinstance(hops, bool) or hops < 0:
        raise UserError(f"hops is {hops!r}, expected a whole number from 0")
    check_finite(x)
    factors = hop_decay(decay, hops)
    graph = as_directed(edge_index, num_nodes)
    size = (num_nodes, 1 + (1 if sum_hops else hops) * len(words), x.shape[1])
    real = torch.float64 if x.dtype == torch.float64 and storage == "memory" and dtype == "float32" else torch.float32
    free = available_memory(x.device) if memory is None else memory
    width = chunk or _width(num_nodes, x.shape[1], free)
    sink: FeatureFile | None = None
    if storage == "disk":
        sink = FeatureFile(_folder(folder), size, dtype)
    else:
        stored = real if dtype == "float32" else DTYPES[dtype]
        values = _allocate(size, stored, width, free, x.device)

    def keep(slot: int, begin: int, part: Tensor) -> None:
        if sink is not None:
            sink.write(slot, begin, part)
        else:
            values[:, slot, begin : begin + part.shape[1]] = part

    for begin in range(0, x.shape[1], width):
        keep(0, begin, x[:, begin : begin + width])
    for number, word in enumerate(words):
        pattern = DirectedPattern(
            graph, word, num_nodes=num_nodes, norm=norm, exponent=exponent, self_loops=self_loops, diagonal=diagonal,
            binarize=binarize, degree_cap=degree_cap,
        )  # fmt: skip
        for begin in range(0, x.shape[1], width):
            part = x[:, begin : begin + width].to(real)
            total = part.clone() if sum_hops else None
            for t in range(1, hops + 1):
                part = pattern(part)
                if factors[t - 1] != 1:
                    part.mul_(factors[t - 1])
                if total is None:
                    keep(number * hops + t, begin, part)
                else:
                    total += part
            if total is not None:
                keep(number + 1, begin, total)
    return FeatureRows(values) if sink is None else sink.finish()


def check_finite(x: Tensor) -> None:
    """Refuse features that cannot be propagated.

    Raises:
        UserError: values that are not finite, or no floating point ones.
    """
    if not x.is_floating_point() or not bool(torch.isfinite(x).all()):
        raise UserError(
            "x holds values that are no finite numbers (or no floating point ones); replace them before training"
        )


def _width(num_nodes: int, channels: int, free: int) -> int:
    """Columns whose four copies take at most a quarter of the free memory."""
    return max(1, min(channels, free // max(64 * num_nodes, 1)))


def _allocate(size: tuple[int, int, int], dtype: torch.dtype, width: int, free: int, device: torch.device) -> Tensor:
    need = size[0] * size[1] * size[2] * dtype.itemsize + 16 * size[0] * width
    if need > free:
        raise UserError(
            f"the propagated features ({size[0]:,} nodes, {size[1]} matrices, {size[2]} channels) take {need / 2**30:.1f} GiB, and "
            f"{free / 2**30:.1f} GiB are free; stream them from a file with storage='disk' and dtype='bfloat16', or take a lower "
            "order, fewer hops, or fewer channels"
        )
    return torch.empty(size, dtype=dtype, device=device)


def _folder(folder: str | Path | None) -> Path:
    root = Path(folder) if folder is not None else Path(os.environ.get("GRAPHKIT_CACHE") or tempfile.gettempdir())
    root.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="pattern-features-", dir=root))
