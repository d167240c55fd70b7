"""Training, evaluation, checkpoints, experiments and their records."""

from graphkit.engine.config import Config, load_config
from graphkit.engine.distributed import joined
from graphkit.engine.evaluate import evaluate, load_model
from graphkit.engine.fit import Run, fit
from graphkit.engine.folds import FoldedRun
from graphkit.engine.pretrain import PretrainRun, pretrain
from graphkit.engine.pretrained_files import load_pretrained, load_tuned, save_pretrained, save_tuned
from graphkit.engine.prompt_tuning import TunedRun
from graphkit.engine.run import evaluate_run, run_experiment

__all__ = [
    "Config", "FoldedRun", "PretrainRun", "Run", "TunedRun", "evaluate", "evaluate_run", "fit", "joined", "load_config",
    "load_model", "load_pretrained", "load_tuned", "pretrain", "run_experiment", "save_pretrained", "save_tuned",
]  # fmt: skip
