"""Random search for the embedding models: the same budget for each method, the winner by validation MRR alone.

    python experiments/kge/search.py                                      search what is missing, write the experiments
    python experiments/kge/search.py --methods rotate --data nations      one method on one data set

Trial k of a method on a data set is drawn from (method, data, k), so a search that was stopped goes on where it was. Each
trial is a line of experiments/results/search/kge-METHOD-DATA.jsonl: its settings, its validation metrics, what it cost.
The best trial becomes experiments/kge/METHOD-DATA.yaml. Test metrics are neither looked at nor recorded.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

import torch  # noqa: E402

from graphkit.datasets import load  # noqa: E402
from graphkit.engine import fit  # noqa: E402
from graphkit.engine.environment import device_name, git_commit, versions  # noqa: E402
from graphkit.engine.progress import SilentReporter  # noqa: E402
from graphkit.engine.run_directory import writing  # noqa: E402
from graphkit.engine.seeding import seeded  # noqa: E402
from graphkit.engine.tune import best_trial, drawn, run_trials  # noqa: E402
from graphkit.engine.yaml_text import dump_yaml  # noqa: E402
from graphkit.errors import UserError, nearest  # noqa: E402
from graphkit.models import registry  # noqa: E402

TRIALS = 12
TRAIN = {"epochs": 150, "evaluate_every": 5, "patience": 6}  # of every trial: 30 epochs without a better validation
EPOCHS = 400  # of the experiments, with the same patience: some winners were still rising at the end of their trial
NEGATIVES = 64
PAPERS = {
    "DistMult": "Yang et al., Embedding Entities and Relations for Learning and Inference in Knowledge Bases, ICLR 2015",
    "ComplEx": "Trouillon et al., Complex Embeddings for Simple Link Prediction, ICML 2016",
    "RotatE": "Sun et al., RotatE: Knowledge Graph Embedding by Relational Rotation in Complex Space, ICLR 2019",
    "TransE": "Bordes et al., Translating Embeddings for Modeling Multi-relational Data, NeurIPS 2013",
}
BESIDE = {
    "distmult-umls": [
        {"name": "DistMult (pykeen)", "mrr": 0.63, "source": "30 epochs; filtered, both sides, same split"}
    ],
    "rotate-umls": [{"name": "RotatE (pykeen)", "mrr": 0.836, "source": "60 epochs; filtered, both sides, same split"}],
}


FACTORS = {
    "hidden_channels": [64, 128, 256],
    "objective": ["softmax", "logistic"],
    "regularizer_weight": {"log": [1e-4, 1e-1]},
}
MODELS: dict[str, dict[str, Any]] = {
    "DistMult": FACTORS,
    "ComplEx": FACTORS,
    "RotatE": {
        "hidden_channels": [64, 128, 256],
        "objective": ["softmax", "logistic"],
        "margin": [3.0, 6.0, 9.0],
        "adversarial_temperature": [0.5, 1.0, 2.0],
        "regularizer_weight": {"log": [1e-6, 1e-3]},
    },
    "TransE": {
        "hidden_channels": [32, 64, 128],
        "objective": ["softmax", "logistic", "margin"],
        "p_norm": [1.0, 2.0],
        "scale": {"log": [5.0, 100.0]},
        "margin": [1.0, 3.0, 9.0],
        "adversarial_temperature": [0.5, 1.0, 2.0],
    },
}
TRAINING: dict[str, Any] = {"lr": {"log": [3e-3, 5e-2]}, "batch_size": [256, 1024]}


def settings(model: str, data: str, trial: int) -> dict[str, dict[str, Any]]:
    """The sections ``model``, ``loader`` and ``train`` of a trial; they depend on nothing but the arguments."""
    options = drawn({**MODELS[model], **TRAINING}, f"{model}/{data}", trial)
    lr, batch_size = options.pop("lr"), options.pop("batch_size")
    return {
        "loader": {"batch_size": batch_size, "num_negatives": NEGATIVES},
        "model": {"name": model, **options},
        "train": {"lr": lr, **TRAIN},
    }


def run_trial(task: Any, trial: int, sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Train once; the line of the record. A training that diverges has no validation metrics and says so."""
    made = registry()[sections["model"]["name"]]
    options = {name: value for name, value in sections["model"].items() if name != "name"}
    with seeded(0):
        model = made.for_task(task, **options)
    found: dict[str, Any]
    try:
        run = fit(
            model,
            task,
            seed=0,
            loader=sections["loader"],
            reporter=SilentReporter(),
            score_test=False,
            **sections["train"],
        )
        found = {"valid": run.valid, "epoch": run.best_epoch, "epochs": len(run.history), "steps": run.steps}
        found["seconds"] = round(run.seconds, 3)
    except UserError as error:
        found = {"valid": None, "error": str(error)}
    return {
        "data": task.name, "trial": trial, **sections, **found, "seed": 0, "parameters": model.num_parameters(),
        "device": device_name(next(model.parameters()).device), "threads": torch.get_num_threads(),
        "commit": git_commit(), "versions": versions(),
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }  # fmt: skip


def search(model: str, task: Any, record: Path, trials: int = TRIALS) -> list[dict[str, Any]]:
    """Run the trials that the record lacks; the record's lines.

    Raises:
        UserError: the record holds trials of another search space.
    """

    def told(line: dict[str, Any]) -> None:
        found = line["valid"]["mrr"] if line["valid"] else "diverged"
        print(f"{record.stem} trial {line['trial']}: valid mrr {found}", flush=True)

    return run_trials(
        record,
        range(trials),
        lambda trial: settings(model, task.name, trial),
        lambda trial, sections: run_trial(task, trial, sections),
        told=told,
    )


def best(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The trial with the highest validation MRR, the earliest on a tie.

    Raises:
        UserError: every trial diverged.
    """
    return best_trial(lines, "mrr")


def experiment(lines: Sequence[dict[str, Any]]) -> str:
    """The YAML of the best trial's experiment."""
    found = best(lines)
    model, data = found["model"]["name"], found["data"]
    name = f"{model.lower()}-{data}"
    reference = {"paper": PAPERS[model], "table": None, "metrics": {}}
    if name in BESIDE:
        reference["beside"] = BESIDE[name]
    config = {
        "name": f"kge/{name}",
        "reference": reference,
        "protocol": {"select": "mrr", "ties": "pessimistic"},
        "data": {"name": data},
        "loader": found["loader"],
        "model": found["model"],
        "train": {**found["train"], "epochs": EPOCHS},
        "seeds": [0, 1, 2],
        "budget": "less than 3 minutes a seed on one thread",
    }
    notice = (
        f"# written by experiments/kge/search.py: trial {found['trial']}, the best of {len(lines)} on validation MRR "
        f"({found['valid']['mrr']:.4f})\n"
    )
    return notice + dump_yaml(config)


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run from the command line; the exit status."""
    parser = argparse.ArgumentParser(description="Random search for the embedding models.")
    parser.add_argument("--methods", default=",".join(model.lower() for model in MODELS))
    parser.add_argument("--data", default="umls,nations")
    parser.add_argument("--trials", type=int, default=TRIALS)
    options = parser.parse_args(arguments)
    models = {model.lower(): model for model in MODELS}
    try:
        for data in options.data.split(","):
            task = load(data)
            for method in options.methods.split(","):
                if method not in models:
                    raise UserError(nearest(method, models, "method"))
                record = root / "experiments" / "results" / "search" / f"kge-{method}-{data}.jsonl"
                lines = search(models[method], task, record, options.trials)
                with writing(root / "experiments" / "kge" / f"{method}-{data}.yaml") as file:
                    file.write(experiment(lines).encode())
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
