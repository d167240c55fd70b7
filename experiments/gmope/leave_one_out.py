"""Leave one domain out: pre-train on all graphs but one, adapt to that one with a few labels, beside baselines on the same draws.

    python experiments/gmope/leave_one_out.py                                        everything that is missing
    python experiments/gmope/leave_one_out.py --targets cora --k 5 --methods prompt full scratch-gcn

Sources of a target are the other graphs of the pool. No validation labels: the epoch is the one with the lowest training
loss. A draw of labels is the same for every method. Each run is a line of experiments/results/gmope/leave_one_out.jsonl; lines
that are there are not run again. Pre-trained mixtures are kept under --work. experiments/gmope/claims.py makes the table.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

import torch  # noqa: E402

from graphkit.data import FewShotSplit, NodeTask  # noqa: E402
from graphkit.datasets import load  # noqa: E402
from graphkit.engine import load_pretrained, pretrain  # noqa: E402
from graphkit.engine.environment import device_name, git_commit, versions  # noqa: E402
from graphkit.engine.progress import SilentReporter  # noqa: E402
from graphkit.engine.prompt_tuning import tune  # noqa: E402
from graphkit.engine.run_directory import read_lines  # noqa: E402
from graphkit.engine.seeding import seeded  # noqa: E402
from graphkit.errors import DataWarning, UserError, nearest  # noqa: E402
from graphkit.models import GMoPE  # noqa: E402

#: name -> arguments of graphkit.load; those of OPTIONAL take part where their files are at hand
POOL: dict[str, dict[str, Any]] = {
    "cora": {"name": "cora"}, "citeseer": {"name": "citeseer"}, "photo": {"name": "amazon/photo"},
    "computers": {"name": "amazon/computers"}, "actor": {"name": "actor"},
    "chameleon-filtered": {"name": "chameleon", "variant": "filtered"},
}  # fmt: skip
OPTIONAL: dict[str, dict[str, Any]] = {
    "pubmed": {"name": "pubmed"}, "squirrel-filtered": {"name": "squirrel", "variant": "filtered"},
}  # fmt: skip
WIDTH, HIDDEN, PROMPT, LAYERS = 100, 64, 32, 3
PRETRAIN: dict[str, Any] = {"objective": "edge_pred", "epochs": 150}
TUNE: dict[str, Any] = {"epochs": 200, "lr": 0.01}

#: how a mixture is pre-trained; "plain" is one expert without a prompt, "single" one with as many parameters as the mixture
VARIANTS: dict[str, dict[str, Any]] = {
    "mixture": {},
    "lambda-0": {"ortho_weight": 0.0},
    "random": {"routing": "random", "top_k": 1, "aggregation": "random"},
    "single": {"num_experts": 1},
    "plain": {"num_experts": 1, "prompt_mode": "add", "prompt_init": "zero"},
}

#: method -> (variant, mode, options of the tuned model)
METHODS: dict[str, tuple[str | None, str, dict[str, Any]]] = {
    "prompt": ("mixture", "prompt", {}),
    "full": ("mixture", "full", {}),
    "uniform": ("mixture", "prompt", {"aggregation": "uniform"}),
    "single": ("single", "prompt", {}),
    "lambda-0": ("lambda-0", "prompt", {}),
    "random": ("random", "prompt", {}),
    "scratch-gcn": (None, "scratch", {"conv": "gcn"}),
    "scratch-sage": (None, "scratch", {"conv": "sage"}),
    "scratch-mixture": ("mixture", "scratch", {}),
    "head": ("mixture", "head", {}),
    "bias": ("mixture", "bias", {}),
    "best": ("mixture", "prompt", {"aggregation": "best"}),
    "mlp": ("mixture", "prompt", {"aggregation": "mlp"}),
    "probe": ("plain", "head", {}),
    "gpf": ("plain", "prompt", {}),
    "gpf-plus": ("plain", "prompt", {"prompt_mode": "add_attn"}),
    "graphprompt": ("plain", "prototype", {}),
    "plain-full": ("plain", "full", {}),
}


def pool(names: Sequence[str] | None = None) -> dict[str, NodeTask]:
    """The graphs by name; optional ones whose files are not at hand are left out."""
    found = {}
    for name, where in {**POOL, **OPTIONAL}.items():
        if names is not None and name not in names:
            continue
        try:
            found[name] = load(**where, task="node")
        except UserError:
            if name in POOL:
                raise
            print(f"{name} is not at hand and left out", file=sys.stderr)
    return found


def width_of_one(parameters: int) -> int:
    """Hidden channels of one expert with about so many parameters: (d0 + dp) h + h + (L - 1)(h^2 + h)."""
    own = {h: (WIDTH + PROMPT) * h + h + (LAYERS - 1) * (h * h + h) for h in range(8, 2048)}
    return min(own, key=lambda h: abs(own[h] - parameters))


def model_of(variant: str, experts: int, seed: int) -> GMoPE:
    """The mixture of a variant with fresh weights."""
    options: dict[str, Any] = {"num_experts": experts, "num_layers": LAYERS, **VARIANTS[variant]}
    hidden = HIDDEN
    if variant == "single":
        one = (WIDTH + PROMPT) * HIDDEN + HIDDEN + (LAYERS - 1) * (HIDDEN * HIDDEN + HIDDEN)
        hidden = width_of_one(experts * one)
    with seeded(seed):
        return GMoPE(WIDTH, hidden, **options)


def pretrained(variant: str, target: str, tasks: dict[str, NodeTask], seed: int, work: Path) -> tuple[GMoPE, float]:
    """The mixture of a variant, trained on all graphs but the target, and its effective number of experts."""
    sources = [task for name, task in tasks.items() if name != target]
    out = work / f"{target}-{variant}-{seed}"
    if not (out / "pretrained.safetensors").exists():
        model = model_of(variant, len(sources), seed)
        more = {"train_prompts": False} if variant == "plain" else {}
        run = pretrain(
            model, sources, **PRETRAIN, **more, seed=seed, out=out, resume=True, reporter=SilentReporter()
        )  # fmt: skip
        (out / "effective.json").write_text(json.dumps(run.history[-1]["routing"]["effective_experts"]))
    return load_pretrained(out, sources=sources), json.loads((out / "effective.json").read_text())


def adapted(model: GMoPE, options: dict[str, Any]) -> GMoPE:
    """The same experts in a model with other options."""
    if not options:
        return model
    config = {**model.config, **options}
    if options.get("prompt_mode"):
        config["prompt_channels"], config["prompt_init"] = None, "xavier"
    other = GMoPE(**config)
    state = {
        k: v for k, v in model.state_dict().items() if not (options.get("prompt_mode") and k.startswith("prompts"))
    }
    other.load_state_dict(state, strict=False)
    other.pretraining = model.pretraining
    return other


def run_one(method: str, task: NodeTask, model: GMoPE | None, draw: int, seed: int, k: int) -> dict[str, Any]:
    """Tune once; what was found."""
    _, mode, options = METHODS[method]
    few = FewShotSplit(k, seed=draw).of(task)
    with seeded(10_000 * seed + draw):
        if model is None:  # from scratch, on the features as they are
            plain: dict[str, Any] = {
                "num_experts": 1,
                "num_layers": 2,
                "align": "none",
                "prompt_init": "zero",
                "prompt_mode": "add",
            }
            model = GMoPE(task.in_channels, HIDDEN, **plain, **options)
        else:
            model = adapted(model, options)
    run = tune(model, few, mode, **TUNE, seed=10_000 * seed + draw, reporter=SilentReporter())
    return {
        "mode": mode, "accuracy": run.test["accuracy"], "macro_f1": run.test["macro_f1"], "epoch": run.best_epoch,
        "steps": run.steps, "seconds": round(run.seconds, 4), "trainable": run.trainable, "parameters": run.parameters,
    }  # fmt: skip


def missing(
    arguments: argparse.Namespace, tasks: dict[str, NodeTask], done: set[tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    """Runs that the record lacks, those of one pre-trained mixture together."""
    for target in arguments.targets or tasks:
        if target not in tasks:
            raise UserError(nearest(target, tasks, "target"))
        for seed in range(arguments.seeds):
            for method in sorted(arguments.methods, key=lambda m: str(METHODS[m][0])):
                for k in arguments.k:
                    for draw in range(arguments.draws):
                        if (target, k, draw, seed, method) not in done:
                            yield target, k, draw, seed, method


def main(argv: Sequence[str] | None = None, tasks: dict[str, NodeTask] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", help="graphs that are left out in turn; all of the pool by default")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--k", nargs="+", type=int, default=[5, 100], help="labels of each class")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3, help="seeds of pre-training")
    parser.add_argument("--minutes", type=float, help="begin no further run after so many minutes")
    parser.add_argument("--work", type=Path, default=Path("runs/gmope"))
    parser.add_argument(
        "--record", type=Path, default=ROOT / "experiments" / "results" / "gmope" / "leave_one_out.jsonl"
    )
    arguments = parser.parse_args(argv)
    warnings.simplefilter("ignore", DataWarning)
    tasks = pool() if tasks is None else tasks
    done = {(r["target"], r["k"], r["draw"], r["seed"], r["method"]) for r in read_lines(arguments.record)}
    arguments.record.parent.mkdir(parents=True, exist_ok=True)
    begun, held, model, effective = time.monotonic(), None, None, None
    about = {"commit": git_commit(), "versions": versions(), "device": device_name(torch.device("cpu"))}
    for target, k, draw, seed, method in missing(arguments, tasks, done):
        if arguments.minutes is not None and time.monotonic() - begun > 60 * arguments.minutes:
            print("time is up; run it again to go on", file=sys.stderr)
            break
        variant = METHODS[method][0]
        if held != (target, variant, seed):
            held, effective, model = (target, variant, seed), None, None
            if variant is not None:
                model, effective = pretrained(variant, target, tasks, seed, arguments.work)
        try:
            found = run_one(method, tasks[target], model, draw, seed, k)
        except UserError as error:
            found = {"mode": METHODS[method][1], "accuracy": None, "error": str(error)}
        line = {
            "target": target, "k": k, "draw": draw, "seed": seed, "method": method, "variant": variant, **found,
            "effective_experts": effective, "sources": sorted(set(tasks) - {target}), "pretrain": PRETRAIN, "tune": TUNE,
            "threads": torch.get_num_threads(), **about,
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        }  # fmt: skip
        with arguments.record.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        shown = "failed" if found["accuracy"] is None else f"{100 * found['accuracy']:.1f}"
        print(f"{target} k={k} draw {draw} seed {seed} {method}: {shown}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
