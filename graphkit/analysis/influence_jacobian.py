"""Norms of the blocks of a Jacobian, node by node, without forming it."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.analysis.message_sums import SourceGradients

__all__ = ["INFLUENCE_NORMS", "jacobian_norms", "probed_norms"]

_ROWS = 256

INFLUENCE_NORMS = ("l1", "fro", "squared")
"""Sum of absolute entries, root of the sum of squares, and that sum itself."""


def jacobian_norms(
    out: Tensor, x: Tensor, norm: str, *, keep: bool = False, weight: Tensor | None = None,
    sources: SourceGradients | None = None,
) -> Tensor:  # fmt: skip
    r"""Norms of the Jacobian of the sum over rows of ``out``, for each row of ``x``.

    .. math:: \|J_u\|_1 = \sum_{c, j} \Bigl|\sum_s \partial out_{s, c} / \partial x_{u, j}\Bigr|

    One backward pass a column of ``out``. Where each row of ``x`` has a say in one row of ``out`` only, as in blocks side by
    side, these are the norms of every single Jacobian.

    Args:
        out: ``[S, C]``, computed from ``x``.
        x: ``[n, F]``, a leaf that requires gradients.
        norm: one of :data:`INFLUENCE_NORMS`.
        keep: whether the graph of the computation is needed again.
        weight: ``[F, D]``; then of the Jacobian with regard to D features that x is linear in, of which only some rows are
            held at a time.
        sources: then ``x`` is what message sums give, and the Jacobian is with regard to what they have read.

    Returns:
        ``[n]`` in the dtype of ``x``; zeros where ``out`` does not depend on ``x``.

    Example:
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        >>> jacobian_norms(x[:1] @ torch.tensor([[1.0, -1.0], [2.0, 0.0]]), x, "l1")
        tensor([4., 0.])
    """
    total = x.new_zeros(len(x) if sources is None else len(sources))
    columns = out.shape[1]
    for column in range(columns):
        seed = torch.zeros_like(out)
        seed[:, column] = 1
        grad = _gradient(out, x, seed, keep or column + 1 < columns)
        if grad is not None:
            _add(total, grad if sources is None else sources(grad), norm, weight)
    return _finished(total, norm, sources)


def probed_norms(
    out: Tensor, x: Tensor, signs: Tensor, norm: str, *, keep: bool = False, weight: Tensor | None = None,
    sources: SourceGradients | None = None,
) -> Tensor:  # fmt: skip
    r"""Estimates of the same from random signs, one backward pass a probe.

    .. math:: \frac1P \sum_{p} \Bigl\| \frac{\partial z_p^T out_s}{\partial x_u} \Bigr\|_2^2, \qquad
        \mathbb E = \|J_{su}\|_F^2

    Args:
        out: ``[S, C]``.
        x: ``[n, F]``.
        signs: z, ``[P, S, C]`` of 1 and -1.
        norm: ``"fro"``, the root, biased by O(1 / P), or ``"squared"``, unbiased.
        keep, weight, sources: as for :func:`jacobian_norms`.

    Returns:
        ``[n]``.

    Source:
        Hutchinson, A stochastic estimator of the trace of the influence matrix (1990).

    Example:
        >>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)
        >>> every = torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]], [[-1.0, 1.0]], [[-1.0, -1.0]]])
        >>> probed_norms(x @ torch.tensor([[1.0, 2.0], [3.0, 4.0]]), x, every, "squared")
        tensor([30.])
    """
    total = x.new_zeros(len(x) if sources is None else len(sources))
    for number, probe in enumerate(signs):
        grad = _gradient(out, x, probe, keep or number + 1 < len(signs))
        if grad is not None:
            _add(total, grad if sources is None else sources(grad), norm, weight)
    total /= len(signs)
    return _finished(total, norm, sources)


def _finished(total: Tensor, norm: str, sources: SourceGradients | None) -> Tensor:
    total = total.sqrt_() if norm == "fro" else total
    return total if sources is None else sources.norms(total, 2 if norm == "squared" else 1)


def _gradient(out: Tensor, x: Tensor, seed: Tensor, keep: bool) -> Tensor | None:
    if not out.requires_grad:  # nothing that x has a say in
        return None
    return torch.autograd.grad(out, x, seed.to(out.dtype), retain_graph=keep, allow_unused=True)[0]


def _add(total: Tensor, grad: Tensor, norm: str, weight: Tensor | None) -> None:
    grad = grad.flatten(1)
    if weight is None:
        total += _of_rows(grad, norm)
        return
    # a few rows at a time, so that what is summed at once stays near the processor
    for part, rows in zip(total.split(_ROWS), grad.split(_ROWS), strict=True):
        product = rows @ weight
        part += _of_rows(product, norm, spare=product)


def _of_rows(grad: Tensor, norm: str, spare: Tensor | None = None) -> Tensor:
    """What each row adds; ``spare`` is memory that may be written to."""
    if norm == "l1":
        return torch.abs(grad, out=spare).sum(1)  # several times as fast as torch.linalg.vector_norm
    return torch.linalg.vector_norm(grad, 2, dim=1).square_()
