"""Which metrics fall as a model improves."""

from __future__ import annotations

__all__ = ["LOWER_IS_BETTER", "goodness"]

LOWER_IS_BETTER = frozenset({"mae", "class_mae", "mr", "tail_mr", "head_mr", "loss"})
"""Names of the metrics of which less is better."""


def goodness(metric: str, value: float) -> float:
    """A number that rises as a model improves: the value, or its opposite where less is better.

    Args:
        metric: name of the metric.
        value: its value.

    Example:
        >>> goodness("accuracy", 0.5), goodness("mae", 0.5)
        (0.5, -0.5)
    """
    return -value if metric in LOWER_IS_BETTER else value
