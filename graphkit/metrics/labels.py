"""How often predicted labels are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError

__all__ = ["accuracy", "balanced_accuracy", "macro_f1", "mean_average_precision", "roc_auc"]


def accuracy(predicted: Any, labels: Any) -> float:
    """Share of labels that are predicted.

    Args:
        predicted: [n] whole numbers.
        labels: [n] whole numbers.

    Raises:
        UserError: for no labels, or another number of predictions.

    Example:
        >>> accuracy([0, 1, 1, 2], [0, 1, 2, 2])
        0.75
    """
    predicted, labels = _pair(predicted, labels)
    return float((predicted == labels).double().mean())


def balanced_accuracy(predicted: Any, labels: Any) -> float:
    r"""Mean over classes of the share of their members that are predicted, :math:`\frac1C \sum_c TP_c / (TP_c + FN_c)`.

    Args:
        predicted: [n] whole numbers.
        labels: [n] whole numbers; the classes are those that occur among them.

    Raises:
        UserError: for no labels, or another number of predictions.

    Source:
        Dwivedi et al.: Benchmarking Graph Neural Networks (JMLR 2023), the accuracy of PATTERN; scikit-learn's
        ``balanced_accuracy_score``.

    Example:
        >>> balanced_accuracy([0, 0, 0, 0], [0, 0, 0, 1])
        0.5
    """
    predicted, labels = _pair(predicted, labels)
    classes, place = torch.unique(labels, return_inverse=True)
    right = torch.bincount(place, (predicted == labels).double(), len(classes))
    return float((right / torch.bincount(place, minlength=len(classes))).mean())


def macro_f1(predicted: Any, labels: Any) -> float:
    r"""Mean over classes of :math:`F_1 = 2 TP / (2 TP + FP + FN)`.

    One label a node: the classes are those that occur among labels or predictions. Several labels a node: every column
    is a class, NaN labels are left out, and a column without a label and a prediction of 1 counts 0.

    Args:
        predicted: [n] whole numbers, or [n, T] of 0 and 1.
        labels: [n], or [n, T] of 0, 1 and NaN.

    Raises:
        UserError: for no labels, or another number of predictions.

    Source:
        scikit-learn's ``f1_score(average="macro", zero_division=0)``.

    Example:
        >>> macro_f1([0, 1, 1], [0, 0, 1])
        0.6666666666666666
    """
    predicted, labels = _pair(predicted, labels)
    if labels.dim() == 1:
        classes = torch.unique(torch.cat([labels, predicted.to(labels.dtype)]))
        given, guessed = labels[:, None] == classes, predicted[:, None] == classes
    else:
        known = ~torch.isnan(labels)
        given, guessed = known & (labels == 1), known & (predicted == 1)
    right = (given & guessed).sum(0).double()
    return float((2 * right / (given.sum(0) + guessed.sum(0)).clamp(min=1)).mean())


def roc_auc(scores: Any, labels: Any) -> float:
    """Area under the ROC curve; with several labels a node the mean over those that occur both ways.

    Args:
        scores: [n] or [n, T], the higher the likelier.
        labels: the same shape, 0 and 1; NaN entries are left out.

    Raises:
        UserError: for shapes that differ, a NaN score, or no column with both a 0 and a 1.

    Source:
        Hu et al., Open Graph Benchmark (NeurIPS 2020), the evaluator of ogbn-proteins.

    Example:
        >>> roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        0.75
    """
    from graphkit.metrics.classification import auc

    return _mean_over_labels(auc, scores, labels, "the area under the ROC curve needs both")


def mean_average_precision(scores: Any, labels: Any) -> float:
    """Average precision; with several labels the mean over those that occur both ways.

    Args:
        scores: [n] or [n, T], the higher the likelier.
        labels: the same shape, 0 and 1; NaN entries are left out.

    Raises:
        UserError: for shapes that differ, a NaN score, or no column with both a 0 and a 1.

    Source:
        Hu et al., Open Graph Benchmark (NeurIPS 2020), the evaluator that the Long Range Graph Benchmark uses for Peptides-func.

    Example:
        >>> round(mean_average_precision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 4)
        0.8333
    """
    from graphkit.metrics.classification import average_precision

    return _mean_over_labels(average_precision, scores, labels, "average precision needs both")


def _mean_over_labels(metric: Callable[[Tensor, Tensor], float], scores: Any, labels: Any, need: str) -> float:
    scores, labels = _pair(scores, labels)
    columns = [(scores, labels)] if labels.dim() == 1 else zip(scores.t(), labels.t(), strict=True)
    found = []
    for column, truth in columns:
        positive, negative = column[truth == 1], column[truth == 0]
        if positive.numel() and negative.numel():
            found.append(metric(positive, negative))
    if not found:
        raise UserError(f"no label occurs both as 0 and as 1; {need}")
    return sum(found) / len(found)


def _pair(predicted: Any, labels: Any) -> tuple[Tensor, Tensor]:
    predicted, labels = (torch.as_tensor(side).detach().cpu() for side in (predicted, labels))
    if predicted.shape != labels.shape:
        raise UserError(
            f"predictions are {list(predicted.shape)} and labels {list(labels.shape)}; expected the same shape"
        )
    if labels.numel() == 0:
        raise UserError("there are no labels to compare predictions with")
    return predicted, labels
