"""Features on their first principal directions: fewer channels before anything is propagated."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.errors import UserError

__all__ = ["principal_projection"]

_ROWS = 65536


def principal_projection(x: Tensor, channels: int) -> Tensor:
    r"""Coordinates on the ``channels`` directions with the most of :math:`\|X\|^2`.

    .. math:: X V, \qquad X^\top X = V \Lambda V^\top, \; \lambda_1 \ge \lambda_2 \ge \dots

    Features are not centred, so that a node without features stays one. Propagation works on columns, so projecting before it
    is projecting after it. With as many channels as X has rank nothing is lost: inner products of nodes stay the same.

    Args:
        x: ``[N, F]``.
        channels: how many, at most F; directions beyond the rank of X are 0.

    Returns:
        ``[N, channels]`` in the dtype of x. The sign of a direction is such that its largest entry is positive.

    Raises:
        UserError: channels out of range.

    Example:
        >>> x = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
        >>> principal_projection(x, 2).tolist()
        [[5.0, 0.0], [0.0, 1.0]]
    """
    nodes, width = x.shape
    if isinstance(channels, bool) or not isinstance(channels, int) or not 1 <= channels <= width:
        raise UserError(
            f"channels is {channels!r}, expected a whole number from 1 to {width}, the width of the features"
        )
    small = min(nodes, width)
    gram = torch.zeros(small, small, dtype=torch.float64, device=x.device)
    if width <= nodes:
        for rows in x.split(_ROWS):
            gram += rows.double().t() @ rows.double()
    else:
        gram += x.double() @ x.double().t()
    values, vectors = (t.flip(-1) for t in torch.linalg.eigh(gram))
    kept = values > max(float(values[0]), 0.0) * small * torch.finfo(torch.float64).eps if small else values > 0
    values, vectors = values[kept][:channels], vectors[:, kept][:, :channels]
    if width > nodes:  # right singular vectors from the left ones
        vectors = x.double().t() @ vectors / values.sqrt()
    if vectors.numel():
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        vectors = vectors * largest.sign()
    out = x.new_zeros(nodes, channels)
    out[:, : vectors.shape[1]] = x @ vectors.to(x.dtype)
    return out
