"""Scores of experts that make those which were trained little more likely, after AnyGraph."""

from __future__ import annotations

from torch import Tensor

from graphkit.errors import UserError

__all__ = ["recalibrated"]


def recalibrated(scores: Tensor, trained: Tensor, *, strength: float = 0.2) -> Tensor:
    r"""Positive scores, those of experts with little training raised.

    .. math:: score_m \Big[ \Big( 1 - \frac{t_m}{\sum_j t_j} \Big) r + 1 - \frac{r}{2} \Big]

    For the assignment during training; leave it out when testing. Losses are no scores: pass something positive that is larger for
    better experts, such as exp(-loss).

    Args:
        scores: ``[M]`` or ``[T, M]``, positive.
        trained: t, samples that each expert was trained with, ``[M]``.
        strength: r; 0 changes nothing.

    Returns:
        of the shape of ``scores``.

    Raises:
        UserError: negative scores or counts, a strength out of 0 to 1.

    Source:
        Xia and Huang, AnyGraph (2024), its code.

    Example:
        >>> import torch
        >>> recalibrated(torch.tensor([1.0, 1.0]), torch.tensor([30, 10]))
        tensor([0.9500, 1.0500])
    """
    if not 0 <= strength <= 1:
        raise UserError(f"strength is {strength!r}, expected a number from 0 to 1")
    if bool((scores < 0).any()):
        raise UserError(
            "a score is negative; recalibration multiplies scores, so pass positive ones such as exp(-loss)"
        )
    if bool((trained < 0).any()):
        raise UserError("an expert was trained with a negative number of samples; expected counts from 0")
    trained = trained.to(scores.dtype)
    share = trained / trained.sum().clamp(min=1)
    return scores * ((1 - share) * strength + 1 - strength / 2)
