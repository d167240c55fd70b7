"""How far predicted numbers are off, and whether they are in the right order."""

from __future__ import annotations

from typing import Any

import torch

from graphkit.errors import UserError

__all__ = ["mean_absolute_error", "spearman"]


def mean_absolute_error(predicted: Any, values: Any) -> float:
    r"""Mean of :math:`|\hat y - y|` over all entries that are known; less is better.

    Args:
        predicted: numbers of any shape.
        values: the same shape; NaN entries are left out.

    Raises:
        UserError: for shapes that differ, a NaN prediction, or no known value.

    Example:
        >>> mean_absolute_error([[1.0, 2.0]], [[2.0, float("nan")]])
        1.0
    """
    predicted, values = (torch.as_tensor(side).detach().cpu().double() for side in (predicted, values))
    if predicted.shape != values.shape:
        raise UserError(
            f"predictions are {list(predicted.shape)} and values {list(values.shape)}; expected the same shape"
        )
    known = ~torch.isnan(values)
    if not bool(known.any()):
        raise UserError("there are no values to compare predictions with")
    if bool(torch.isnan(predicted[known]).any()):
        raise UserError("a prediction is NaN; the model has diverged")
    return float((predicted - values)[known].abs().mean())


def spearman(predicted: Any, values: Any) -> float:
    """Spearman's rank correlation, from -1 to 1; tied numbers share the mean of their ranks.

    Args:
        predicted: [n] numbers.
        values: [n] numbers.

    Returns:
        the correlation; 0 where either side is the same number throughout, which orders nothing.

    Raises:
        UserError: for shapes that differ, fewer than two numbers, or a NaN.

    Source:
        scipy's ``spearmanr``.

    Example:
        >>> round(spearman([0, 0, 1, 2], [1.0, 2.5, 2.0, 7.0]), 4)
        0.6325
    """
    from scipy.stats import spearmanr

    predicted, values = (torch.as_tensor(side).detach().cpu().double() for side in (predicted, values))
    if predicted.dim() != 1 or predicted.shape != values.shape or len(values) < 2:
        raise UserError(
            f"predictions are {list(predicted.shape)} and values {list(values.shape)}; expected [n] both, n at least 2"
        )
    if bool(torch.isnan(predicted).any()) or bool(torch.isnan(values).any()):
        raise UserError("a prediction or a value is NaN, which has no place in an order")
    if bool((predicted == predicted[0]).all()) or bool((values == values[0]).all()):
        return 0.0
    return float(spearmanr(predicted.numpy(), values.numpy()).statistic)
