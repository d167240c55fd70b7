"""Training, evaluation, checkpoints, experiments and their records."""

from graphkit.engine.config import Config, load_config
from graphkit.engine.distributed import joined
from graphkit.engine.evaluate import evaluate, load_model
from graphkit.engine.fit import Run, fit
from graphkit.engine.folds import FoldedRun
from graphkit.engine.run import evaluate_run, run_experiment

__all__ = [
    "Config", "FoldedRun", "Run", "evaluate", "evaluate_run", "fit", "joined", "load_config", "load_model", "run_experiment",
]  # fmt: skip
