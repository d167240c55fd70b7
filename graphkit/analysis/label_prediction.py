"""How well features of nodes, such as an embedding, tell the labels of nodes: logistic regression, cross-validated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import f1_score

from graphkit.analysis.logistic_regression import fit_logistic_regressions
from graphkit.errors import UserError

__all__ = ["LabelScores", "label_folds", "predict_labels"]

_PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)


@dataclass(frozen=True)
class LabelScores:
    """F1 of each fold.

    Args:
        micro: micro-averaged F1 of each fold.
        macro: macro-averaged F1 of each fold, over the labels that some node has.
        c: the penalty chosen in each fold.

    Example:
        >>> scores = LabelScores((0.5, 0.7), (0.4, 0.4), (1.0, 1.0))
        >>> scores.mean("micro"), round(scores.standard_error("micro"), 6)
        (0.6, 0.1)
    """

    micro: tuple[float, ...]
    macro: tuple[float, ...]
    c: tuple[float, ...]

    def mean(self, average: str = "micro") -> float:
        """Mean over the folds of ``"micro"`` or ``"macro"``."""
        return float(np.mean(getattr(self, average)))

    def standard_error(self, average: str = "micro") -> float:
        """Standard deviation of the folds (n - 1) over the root of their number.

        Folds share training nodes, so it is a lower bound of the uncertainty; compare two embeddings fold by fold.
        """
        values = getattr(self, average)
        return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def label_folds(labels: np.ndarray, folds: int = 10, seed: int = 0) -> list[np.ndarray]:
    """Rows of each fold, shuffled; for single labels every fold has each class in its share.

    Args:
        labels: bool ``[n, L]``.
        folds: how many.
        seed: of the shuffle.

    Raises:
        UserError: fewer rows than folds, or fewer than two folds.

    Example:
        >>> [len(fold) for fold in label_folds(np.eye(2, dtype=bool).repeat(6, axis=0), folds=3)]
        [4, 4, 4]
    """
    if not 2 <= folds <= len(labels):
        raise UserError(f"{folds} folds of {len(labels)} labelled nodes, expected 2 or more folds and a node for each")
    order = np.random.default_rng(seed).permutation(len(labels))
    if (labels.sum(1) == 1).all():  # class after class, dealt out in turn
        order = order[np.argsort(labels[order].argmax(1), kind="stable")]
    return [np.sort(order[fold::folds]) for fold in range(folds)]


def predict_labels(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    folds: int = 10,
    seed: int = 0,
    penalties: Sequence[float] = _PENALTIES,
) -> LabelScores:
    """Predict the labels of each fold's nodes from the others'.

    A logistic regression for each label against the rest. As usual for these data sets, how many labels a node has is
    taken as known: the k best-scored ones are predicted, which for single labels is the best one. The penalty is chosen
    in each fold from its training nodes alone: a fifth of them is held out, and from strong to weak the penalties are
    tried until micro F1 there falls; the best one is fitted again on all. Features are centred and brought to a variance
    of 1 on average, by one factor for all columns, with the training nodes' figures.

    Args:
        features: ``[n, F]``.
        labels: bool ``[n, L]``; rows without a label are left out.
        folds, seed: as for :func:`label_folds`.
        penalties: C to choose from, see :func:`fit_logistic_regressions`.

    Raises:
        UserError: arrays that do not fit together, too few labelled rows, a value that is not finite.

    Source:
        Perozzi, Al-Rfou, Skiena, DeepWalk: online learning of social representations (KDD 2014), section 5, for the
        known number of labels.

    Example:
        >>> y = np.eye(2, dtype=bool).repeat(20, axis=0)
        >>> predict_labels(y.astype(float), y, folds=4).micro
        (1.0, 1.0, 1.0, 1.0)
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(labels).astype(bool)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise UserError(f"features are {x.shape} and labels {y.shape}, expected [n, F] and [n, L]")
    if not np.isfinite(x).all():
        raise UserError("features hold NaN or infinity, which no regression can use")
    kept = y.any(1)
    x, y = x[kept], y[kept]
    micro, macro, chosen = [], [], []
    for number, held_out in enumerate(label_folds(y, folds, seed)):
        training = np.setdiff1d(np.arange(len(y)), held_out)
        c = _choose(x[training], y[training], sorted(penalties), seed + number)
        predicted = next(_predict(x[training], y[training], x[held_out], y[held_out].sum(1), [c]))
        truth = y[held_out]
        seen = truth.any(0) | predicted.any(0)
        micro.append(float(f1_score(truth, predicted, average="micro", zero_division=0)))
        macro.append(float(f1_score(truth[:, seen], predicted[:, seen], average="macro", zero_division=0)))
        chosen.append(c)
    return LabelScores(tuple(micro), tuple(macro), tuple(chosen))


def _choose(x: np.ndarray, y: np.ndarray, penalties: Sequence[float], seed: int) -> float:
    if len(penalties) == 1 or len(y) < 10:
        return float(penalties[0])
    inner = label_folds(y, 5, seed)[0]
    rest = np.setdiff1d(np.arange(len(y)), inner)
    found = _predict(x[rest], y[rest], x[inner], y[inner].sum(1), penalties)
    best, chosen = -1.0, penalties[0]
    for c, predicted in zip(penalties, found, strict=True):
        score = f1_score(y[inner], predicted, average="micro", zero_division=0)
        if score < best:
            break
        best, chosen = score, c
    return float(chosen)


def _predict(
    x: np.ndarray, y: np.ndarray, asked: np.ndarray, counts: np.ndarray, penalties: Sequence[float]
) -> Iterator[np.ndarray]:
    """Labels of the rows asked for, bool ``[n, L]``, for each penalty: as many as a row has, the best-scored ones."""
    centre = x.mean(0)
    scale = math.sqrt(float(((x - centre) ** 2).mean())) or 1.0
    x, asked = (x - centre) / scale, (asked - centre) / scale
    fit = None
    for c in penalties:  # from strong to weak, each from the one before
        fit = fit_logistic_regressions(x, y, c=c, start=fit)
        order = np.argsort(-fit.scores(asked), axis=1, kind="stable")
        predicted = np.zeros(order.shape, dtype=bool)
        np.put_along_axis(predicted, order, np.arange(order.shape[1]) < counts[:, None], axis=1)
        yield predicted
