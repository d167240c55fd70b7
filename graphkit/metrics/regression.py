"""How far predicted numbers are off."""

from __future__ import annotations

from typing import Any

import torch

from graphkit.errors import UserError

__all__ = ["mean_absolute_error"]


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
