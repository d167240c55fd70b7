"""Training, evaluation, checkpoints, experiments and their records."""

from graphkit.engine.evaluate import evaluate, load_model
from graphkit.engine.fit import Run, fit

__all__ = ["Run", "evaluate", "fit", "load_model"]
