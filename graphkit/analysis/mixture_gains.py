"""Whether a mixture earns its keep: against its best expert, the plain average and the best expert of each instance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit.errors import UserError

__all__ = ["MixtureGains", "calibration_error", "mixture_gains"]


@dataclass(frozen=True)
class MixtureGains:
    """Accuracies, and calibration errors.

    Args:
        mixture: of the mixture.
        best_single: of its best expert, chosen on these very instances: an upper bound for choosing one.
        uniform: of the average of the experts' probabilities.
        oracle: share of instances that some expert gets right.
        singles: of each expert, ``[M]``.
        mixture_error: expected calibration error of the mixture.
        single_errors: of each expert, ``[M]``.

    Example:
        >>> MixtureGains(0.7, 0.7, 0.8, 0.9, [0.7, 0.6], 0.1, [0.1, 0.2]).useful
        False
    """

    mixture: float
    best_single: float
    uniform: float
    oracle: float
    singles: list[float]
    mixture_error: float
    single_errors: list[float]

    @property
    def useful(self) -> bool:
        """Whether the mixture beats the uniform average; where it does not, its router is of no use."""
        return self.mixture > self.uniform

    def __str__(self) -> str:
        verdict = "" if self.useful else "\n  no better than the uniform average: the router does not help"
        return (
            f"mixture {self.mixture:.4f}, uniform average {self.uniform:.4f}, best single expert {self.best_single:.4f}, "
            f"best expert of each instance {self.oracle:.4f}{verdict}"
        )


def mixture_gains(mixture: Tensor, experts: Tensor, labels: Tensor, *, bins: int = 15) -> MixtureGains:
    """Compare a mixture with what its experts could do.

    Args:
        mixture: class probabilities of the mixture, ``[n, C]``.
        experts: class probabilities of each expert, ``[M, n, C]``.
        labels: classes, int64 ``[n]``.
        bins: of the calibration error.

    Raises:
        UserError: shapes that do not fit, no instances.

    Example:
        >>> p = torch.tensor([[[0.9, 0.1], [0.8, 0.2]], [[0.3, 0.7], [0.4, 0.6]]])
        >>> print(mixture_gains(p.mean(0), p, torch.tensor([0, 1])))
        mixture 0.5000, uniform average 0.5000, best single expert 0.5000, best expert of each instance 1.0000
          no better than the uniform average: the router does not help
    """
    if experts.dim() != 3 or mixture.shape != experts.shape[1:] or labels.shape != mixture.shape[:1]:
        raise UserError(
            f"probabilities are {list(mixture.shape)} and {list(experts.shape)}, labels {list(labels.shape)}; expected [n, C], "
            "[M, n, C] and [n]"
        )
    if not len(labels):
        raise UserError("there are no instances to compare on")
    right = experts.argmax(2) == labels
    singles = right.double().mean(1)

    def accuracy(probs: Tensor) -> float:
        return float((probs.argmax(1) == labels).double().mean())

    return MixtureGains(
        accuracy(mixture),
        float(singles.max()),
        accuracy(experts.mean(0)),
        float(right.any(0).double().mean()),
        singles.tolist(),
        calibration_error(mixture, labels, bins=bins),
        [calibration_error(probs, labels, bins=bins) for probs in experts],
    )


def calibration_error(probs: Tensor, labels: Tensor, *, bins: int = 15) -> float:
    r"""Expected calibration error: how far confidence and accuracy are apart, over bins of confidence.

    .. math:: \sum_b \frac{n_b}{n} |\operatorname{acc}_b - \operatorname{conf}_b|

    Args:
        probs: ``[n, C]``.
        labels: int64 ``[n]``.
        bins: of equal width, closed on the right.

    Returns:
        from 0 to 1; 0 without instances.

    Source:
        Guo et al., On calibration of modern neural networks (ICML 2017), eq. 3.

    Example:
        >>> round(calibration_error(torch.tensor([[0.75, 0.25]]), torch.tensor([0])), 4)
        0.25
    """
    if not len(labels):
        return 0.0
    confidence, guess = probs.detach().double().max(1)
    right = (guess == labels).double()
    which = (confidence * bins).ceil().long().clamp(1, bins) - 1
    zero = torch.zeros(bins, dtype=torch.float64)
    apart = zero.index_add(0, which, right) - zero.index_add(0, which, confidence)
    return float(apart.abs().sum() / len(labels))
