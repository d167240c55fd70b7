"""Ranking metrics with explicit tie rules, and how well scores tell two classes apart."""

from graphkit.metrics.classification import auc, average_precision
from graphkit.metrics.direction import LOWER_IS_BETTER, goodness
from graphkit.metrics.labels import accuracy, balanced_accuracy, macro_f1, mean_average_precision, roc_auc
from graphkit.metrics.link_prediction import check_link_metrics, link_metrics, link_ties, pooled_ranks
from graphkit.metrics.ranking import (
    TIES,
    check_ties,
    hits,
    mean_rank,
    pooled_hits,
    rank_from_counts,
    ranking_metrics,
    ranks,
    reciprocal_rank,
)
from graphkit.metrics.regression import mean_absolute_error, spearman
from graphkit.metrics.sampled import sampled_hits

__all__ = [
    "LOWER_IS_BETTER",
    "TIES",
    "accuracy",
    "auc",
    "average_precision",
    "balanced_accuracy",
    "check_link_metrics",
    "check_ties",
    "goodness",
    "hits",
    "link_metrics",
    "link_ties",
    "macro_f1",
    "mean_absolute_error",
    "mean_average_precision",
    "mean_rank",
    "pooled_hits",
    "pooled_ranks",
    "rank_from_counts",
    "ranking_metrics",
    "ranks",
    "reciprocal_rank",
    "roc_auc",
    "sampled_hits",
    "spearman",
]
