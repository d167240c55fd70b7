"""Logistic regressions for many labels on the same features, fitted together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from graphkit.errors import UserError

__all__ = ["LogisticRegressions", "fit_logistic_regressions"]


class LogisticRegressions(NamedTuple):
    """One logistic regression a label.

    Attributes:
        weight: float64 ``[F, L]``.
        bias: float64 ``[L]``.

    Example:
        >>> LogisticRegressions(np.ones((2, 1)), np.zeros(1)).scores(np.array([[1.0, 2.0]])).tolist()
        [[3.0]]
    """

    weight: np.ndarray
    bias: np.ndarray

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Log odds ``[n, L]`` of features ``[n, F]``."""
        return np.asarray(features, dtype=np.float64) @ self.weight + self.bias


def fit_logistic_regressions(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    c: float = 1.0,
    start: LogisticRegressions | None = None,
    tolerance: float = 1e-3,
    max_iterations: int = 500,
) -> LogisticRegressions:
    r"""Fit one logistic regression for each label, each against all others, in one optimisation.

    .. math:: \min_{W, b} \; \sum_l \tfrac{1}{2} \lVert w_l \rVert^2 + C \sum_{i, l} \log(1 + e^{-y_{il} (w_l^T x_i + b_l)})

    The sum falls apart into one problem a label, so the minimum is that of every label alone; fitted together they share the
    products with the features, which take nearly all of the time.

    Args:
        features: ``[n, F]``.
        labels: bool ``[n, L]``. A label that all or none of the rows have gets no weights and a large bias.
        c: C, inverse strength of the penalty.
        start: where to begin, such as the fit with another C.
        tolerance: largest entry of the gradient at the end, relative to C times the number of positives of the rarest label.
        max_iterations: at most so many steps of L-BFGS.

    Raises:
        UserError: arrays that do not fit together, a C that is not positive.

    Source:
        scikit-learn's ``LogisticRegression`` has the same objective.

    Example:
        >>> x, y = np.array([[-1.0], [-2.0], [1.0], [2.0]]), np.array([[0], [0], [1], [1]], dtype=bool)
        >>> (fit_logistic_regressions(x, y).scores(x) > 0).ravel().tolist()
        [False, False, True, True]
    """
    from scipy.optimize import minimize

    x, y = np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=bool)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not len(x):
        raise UserError(f"features are {x.shape} and labels {y.shape}, expected [n, F] and [n, L] with n at least 1")
    if not c > 0:
        raise UserError(f"c is {c}, expected a number above 0")
    sign = np.where(y, 1.0, -1.0)
    (n, width), number = x.shape, y.shape[1]
    positives = y.sum(0)
    learned = (positives > 0) & (positives < n)
    bias_of_certain = np.where(positives > 0, 1.0, -1.0) * np.log(2.0 * n + 1)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = flat[: width * number].reshape(width, number), flat[width * number :]
        margin = sign * (x @ weight + bias)
        negative = np.minimum(margin, 0)  # log(1 + e^-m) without overflow, and its derivative
        small = np.exp(-np.abs(margin))
        value = 0.5 * float((weight * weight).sum()) + c * float(((np.log1p(small) - negative) * learned).sum())
        slope = -c * sign * np.where(margin > 0, small, 1.0) / (1.0 + small) * learned
        return value, np.concatenate([(weight + x.T @ slope).ravel(), slope.sum(0)])

    if start is None:
        first = np.concatenate([np.zeros(width * number), np.where(learned, _log_odds(positives, n), 0.0)])
    else:
        first = np.concatenate([start.weight.ravel(), np.where(learned, start.bias, 0.0)])
    rarest = float(np.minimum(positives, n - positives)[learned].min()) if learned.any() else 1.0
    found = minimize(
        loss, first, jac=True, method="L-BFGS-B",
        options={"maxiter": max_iterations, "maxfun": 2 * max_iterations, "gtol": tolerance * c * max(rarest, 1.0), "ftol": 0.0},
    ).x  # fmt: skip
    weight, bias = found[: width * number].reshape(width, number), found[width * number :]
    return LogisticRegressions(weight * learned, np.where(learned, bias, bias_of_certain))


def _log_odds(positives: np.ndarray, n: int) -> np.ndarray:
    share = np.clip(positives / n, 1 / (n + 1), n / (n + 1))
    return np.log(share / (1 - share))
