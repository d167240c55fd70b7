"""Whether a metric is zero only because scores are level."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from torch import Tensor

from graphkit.errors import DataWarning

__all__ = ["warn_of_saturation"]


def warn_of_saturation(positive: Tensor, negative: Tensor, metrics: Sequence[str]) -> None:
    """Say why Hits@K over one pool is 0 where K negatives and some edges share the highest score of all.

    No edge can be above those negatives then, and a tie counts as a miss, however well the others are told apart.

    Args:
        positive: [P] scores of the edges.
        negative: [n] scores of one pool; of others nothing is said, since their ties count half.
        metrics: names of metrics.

    Example:
        >>> import torch
        >>> with warnings.catch_warnings(record=True) as said:
        ...     warnings.simplefilter("always")
        ...     warn_of_saturation(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 1.0, 0.0]), ["hits@2"])
        >>> len(said)
        1
    """
    if negative.dim() != 1 or not len(positive):
        return
    highest = negative.max()
    if bool(positive.max() != highest):
        return
    level = int((negative == highest).sum())
    dead = [name for name in metrics if name.startswith("hits@") and int(name.removeprefix("hits@")) <= level]
    if dead:
        warnings.warn(
            f"{', '.join(dead)} is 0 because scores are level, whatever the model has learned: that many negatives and some edges "
            "have the highest score of all, and a tie is a miss; where training did this, its last layer is saturated: lower "
            "the learning rate or the dropout of the head",
            DataWarning,
            stacklevel=3,
        )
