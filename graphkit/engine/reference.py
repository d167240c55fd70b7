"""Published figures, as the ``reference`` of an experiment gives them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from graphkit.errors import UserError
from graphkit.metrics import LOWER_IS_BETTER

__all__ = ["LOWER_IS_BETTER", "METRICS", "Figure", "mapping", "printed_digits", "published_figures"]

METRICS = (
    "mrr",
    "hits@1",
    "hits@3",
    "hits@10",
    "hits@10(50)",
    "hits@20",
    "hits@50",
    "hits@100",
    "mr",
    "tail_mrr",
    "head_mrr",
    "auc",
    "ap",
    "accuracy",
    "macro_f1",
    "balanced_accuracy",
    "roc_auc",
    "mae",
    "class_mae",
    "spearman",
)


class Figure(float):
    """A published number that remembers how many digits after the point were printed.

    Example:
        >>> Figure(Decimal("0.850")).digits
        3
    """

    digits: int

    def __new__(cls, printed: Decimal) -> Figure:
        figure = super().__new__(cls, float(printed))
        exponent = printed.as_tuple().exponent
        figure.digits = max(0, -exponent) if isinstance(exponent, int) else 0
        return figure


def published_figures(metrics: Mapping[str, Any], name: str, where: str) -> dict[str, Figure]:
    """Figures by metric, checked; those that are null are left out.

    Args:
        metrics: numbers, or text where trailing zeros matter: ``"0.850"``.
        name: name of the experiment, for messages.
        where: place in its configuration, for messages.

    Raises:
        UserError: where a figure is not a number, or a percentage stands for a fraction.

    Example:
        >>> published_figures({"mrr": 0.415, "hits@1": None}, "nbfnet/umls", "reference.metrics")
        {'mrr': 0.415}
    """
    figures = {}
    for metric, value in metrics.items():
        if value is None:
            continue
        try:
            figure = Figure(Decimal("nan" if isinstance(value, bool) else str(value)))
        except InvalidOperation as error:
            raise UserError(f"{name}: {where}.{metric} is {value!r}, expected a number") from error
        if not math.isfinite(figure):
            raise UserError(f"{name}: {where}.{metric} is {value!r}, expected a number")
        if metric in METRICS and metric not in LOWER_IS_BETTER and figure > 1:
            wanted = f"expected a fraction; write {float(figure) / 100:g} for {value} %"
            raise UserError(f"{name}: {where}.{metric} is {value}, {wanted}")
        figures[str(metric)] = figure
    return figures


def printed_digits(figures: Mapping[str, Figure]) -> dict[str, int]:
    """Digits after the point that each figure was printed with.

    YAML drops the trailing zero of 0.850, so all fractions of one reference count as printed with as many digits as the
    longest of them.

    Example:
        >>> printed_digits(published_figures({"mrr": 0.85, "hits@1": 0.792, "mr": 114}, "", ""))
        {'mrr': 3, 'hits@1': 3, 'mr': 0}
    """
    fractions = max((figure.digits for metric, figure in figures.items() if metric not in LOWER_IS_BETTER), default=0)
    # a fraction printed as 0 or 1 would otherwise match anything within a half
    return {
        metric: figure.digits if metric in LOWER_IS_BETTER else max(1, fractions) for metric, figure in figures.items()
    }


def mapping(value: Any, name: str, where: str) -> Mapping[str, Any]:
    """A part of a configuration that must be a mapping; empty for null.

    Raises:
        UserError: where it is something else.

    Example:
        >>> mapping(None, "nbfnet/umls", "reference")
        {}
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UserError(f"{name}: {where} is {value!r}, expected a mapping")
    return value
