"""What scores are worth, by the kind of what they predict."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from graphkit.metrics import (
    accuracy,
    balanced_accuracy,
    macro_f1,
    mean_absolute_error,
    mean_average_precision,
    roc_auc,
    spearman,
)

__all__ = ["label_metrics"]


def label_metrics(
    scores: Tensor, y: Tensor, wanted: Collection[str], *, order: Tensor | None = None
) -> dict[str, float]:
    """Metrics of scores [n, C] against what is true.

    The class with the highest score is predicted, of several labels those with scores above 0. ``roc_auc`` of two classes is
    that of the difference of their scores.

    Args:
        scores: [n, C] floats.
        y: [n] int64 classes, or [n, C] labels of 0, 1 and NaN (unknown), or [n, C] values, NaN where unknown.
        wanted: names of metrics: of classes ``accuracy``, ``balanced_accuracy``, ``macro_f1`` and, with two of them,
            ``roc_auc``; of ordered classes also ``class_mae``, the mean difference of the numbers of predicted and true
            class, and ``spearman``, the rank correlation of the predicted class and what orders the classes; of labels
            ``ap``, ``roc_auc`` and ``macro_f1``; of values ``mae``.
        order: [n], what orders the classes, such as the score that they were cut from; None: the classes themselves.

    Returns:
        the wanted metrics; without ``roc_auc`` and ``ap`` where no label occurs both ways, and without ``spearman`` of one row.

    Example:
        >>> import torch
        >>> label_metrics(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 1]), ["accuracy", "roc_auc"])
        {'accuracy': 0.5}
    """
    found: dict[str, float] = {}
    if "mae" in wanted:
        return {"mae": mean_absolute_error(scores, y)}
    if y.dim() == 2:
        predicted, chance, truth = (scores > 0).long(), scores, y
    else:
        predicted, chance, truth = scores.argmax(1), scores[:, 1:2] - scores[:, :1], y[:, None]
    if "accuracy" in wanted:
        found["accuracy"] = accuracy(predicted, y)
    found["macro_f1"] = macro_f1(predicted, y)
    if "balanced_accuracy" in wanted:
        found["balanced_accuracy"] = balanced_accuracy(predicted, y)
    if "class_mae" in wanted:
        found["class_mae"] = mean_absolute_error(predicted, y)
    if "spearman" in wanted and len(y) > 1:
        found["spearman"] = spearman(predicted, y if order is None else order)
    if bool(((truth == 0).any(0) & (truth == 1).any(0)).any()):
        found |= {"ap": mean_average_precision(chance, truth)} if "ap" in wanted else {}
        found |= {"roc_auc": roc_auc(chance, truth)} if "roc_auc" in wanted else {}
    return {name: value for name, value in found.items() if name in wanted}
