"""How well scores tell positives from negatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from graphkit.errors import UserError

__all__ = ["auc", "average_precision"]


def auc(positive: Any, negative: Any) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    Args:
        positive: scores of any shape.
        negative: scores of any shape.

    Raises:
        UserError: without a positive or a negative, or for a NaN.

    Source:
        scikit-learn's ``roc_auc_score``.

    Example:
        >>> auc(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 1.0]))
        0.625
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*_labelled(positive, negative)))


def average_precision(positive: Any, negative: Any) -> float:
    r"""Average precision, :math:`\sum_k (R_k - R_{k-1}) P_k` over the thresholds; tied scores share a threshold.

    Args:
        positive: scores of any shape.
        negative: scores of any shape.

    Raises:
        UserError: without a positive or a negative, or for a NaN.

    Source:
        scikit-learn's ``average_precision_score``.

    Example:
        >>> average_precision(torch.tensor([3.0, 1.0]), torch.tensor([2.0]))
        0.8333333333333333
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*_labelled(positive, negative)))


def _labelled(positive: Any, negative: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and scores replaced by their places in the sorted list of values, which infinities do not trouble."""
    sides = [torch.as_tensor(side, dtype=torch.float64).detach().cpu().reshape(-1) for side in (positive, negative)]
    for name, side in zip(("positive", "negative"), sides, strict=True):
        if side.numel() == 0:
            raise UserError(f"there is no {name} score; AUC and AP need at least one of each kind")
        if bool(torch.isnan(side).any()):
            raise UserError(f"a {name} score is NaN, which has no place in an order; the model has diverged")
    labels = np.repeat([1, 0], [side.numel() for side in sides])
    return labels, np.unique(torch.cat(sides).numpy(), return_inverse=True)[1]
