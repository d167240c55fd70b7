"""Accuracy and influence radius against the number of layers, on a city made from a real road network.

    python experiments/city/depth_curve.py                                   everything that is missing
    python experiments/city/depth_curve.py --minutes 60                      begin no further run after an hour
    python experiments/city/depth_curve.py --models GCN GraphSAGE --depths 2 4 --seeds 0
    python experiments/city/depth_curve.py --split spatial_block             test nodes in blocks of their own

The city is Chicago's regional network of GRAPHKIT_DATA/road_tntp, 11,189 junctions (or --city sydney, or anything that build_city
takes). Every run trains one model under PROTOCOL, selects the epoch on validation, scores the test split once, and measures R of
the trained model with its standard error. A run is a line of experiments/results/city/depth_curve.jsonl; runs that are there are
not repeated. experiments/city/depth_table.py makes the table and the picture.

PROTOCOL is a reduced one: half the width of the published protocol, 1 % of its epochs, ten times its learning rate under a cosine,
standardized features. An epoch is one step on the whole graph. Estimates for a free core, from processor times of single steps:
0.02 to 0.03 s a layer for GCN, GraphSAGE and SGFormer; for GraphMamba 0.15 s a layer and 0.4 s for its tokens. R of GCN and
GraphSAGE takes seconds, by balls; SGFormer and GraphMamba need ten backward passes through the whole graph for each of 16 nodes.
So a run of GCN takes 15 s to 2 minutes, the deepest of GraphMamba 20 minutes, and all models and depths of one seed about an hour,
three quarters of it GraphMamba's.
"""

from __future__ import annotations

import argparse
import dataclasses
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

import graphkit as gk  # noqa: E402
from graphkit.analysis import influence  # noqa: E402
from graphkit.data import NodeTask, standardize  # noqa: E402
from graphkit.datasets import build_city  # noqa: E402
from graphkit.datasets.city_features import NUMERIC_COLUMNS  # noqa: E402
from graphkit.engine.environment import device_name, git_commit, versions  # noqa: E402
from graphkit.engine.progress import SilentReporter  # noqa: E402
from graphkit.engine.run_directory import read_lines  # noqa: E402
from graphkit.engine.seeding import seeded  # noqa: E402
from graphkit.errors import DataWarning, UserError  # noqa: E402
from graphkit.models import registry  # noqa: E402

RECORD = ROOT / "experiments" / "results" / "city" / "depth_curve.jsonl"

#: cities by name, below GRAPHKIT_DATA
CITIES = {"chicago": "road_tntp/chicago-regional", "sydney": "road_tntp/Sydney"}
DEPTHS = (2, 4, 8, 16)
HOPS = 16  # of the labels, and as far as influence is counted

#: options beside width and layers; dropout as published, walks as short as they can be to keep the cost down
MODELS: dict[str, dict[str, Any]] = {
    "GCN": {"dropout": 0.2, "input_dropout": 0.0},
    "GraphSAGE": {"dropout": 0.2, "input_dropout": 0.0},
    "SGFormer": {"dropout": 0.2, "attention_dropout": 0.5},
    "GraphMamba": {"walk_length": 2, "walks": 1, "repeats": 1, "state": 8, "dropout": 0.2},
}
PROTOCOL: dict[str, Any] = {
    "hidden_channels": 32,
    "train": {
        "epochs": 300, "optimizer": "adamw", "lr": 5e-3, "weight_decay": 1e-5, "schedule": {"kind": "cosine", "warmup": 10},
        "clip_norm": 1.0, "evaluate_every": 10,
    },
    "nodes": {"balls": 400, "whole_graph": 16},
}  # fmt: skip


def city_task(city: str, split: str) -> NodeTask:
    """The city with standardized features; nothing but its streets and the split are looked at.

    Raises:
        UserError: where the network is not at hand.
    """
    source = city
    if city in CITIES:
        root = os.environ.get("GRAPHKIT_DATA")
        if not root or not (Path(root) / CITIES[city]).is_dir():
            raise UserError(
                f"there is no folder {CITIES[city]} in GRAPHKIT_DATA ({root}); set it, or give another --city"
            )
        source = str(Path(root) / CITIES[city])
    made = build_city(source, k=HOPS, split_kind=split, name=city if city in CITIES else None)
    # features of streets are those of junctions too, as means; most models could not read them
    return dataclasses.replace(made, x=standardize(made.x, NUMERIC_COLUMNS), edge_attr=None).task()


def run_one(task: NodeTask, name: str, depth: int, seed: int, protocol: dict[str, Any]) -> dict[str, Any]:
    """Train once and measure how far the trained model looks; what was found."""
    with seeded(seed):
        options = {"hidden_channels": protocol["hidden_channels"], "num_layers": depth, **MODELS[name]}
        model = registry()[name].for_task(task, **options)
    run = gk.fit(model, task, **protocol["train"], seed=seed, device="cpu", reporter=SilentReporter())
    whole = bool(getattr(model, "global_coupling", False))
    nodes = min(protocol["nodes"]["whole_graph" if whole else "balls"], task.num_nodes)
    found = influence(model, task, max_hops=HOPS, nodes=nodes, seed=seed)
    return {
        "test": run.test, "valid": run.valid, "epoch": run.best_epoch, "epochs": len(run.history),
        "loss": run.history[-1]["loss"], "seconds": round(run.seconds, 2),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "radius": found.radius, "radius_error": found.radius_error, "radius_nodes": nodes - len(found.undefined),
        "radius_method": found.method, "radius_seconds": round(found.seconds, 2), "beyond": found.truncated_share,
        "shares": [round(float(share), 8) for share in found.shares],
    }  # fmt: skip


def append_line(path: Path, line: dict[str, Any]) -> None:
    """One line at the end of a file, in one write, flushed to the disk; a line torn by a kill is closed first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (json.dumps(line) + "\n").encode()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            text = b"\n" + text
        if os.write(handle, text) != len(text):
            raise UserError(f"{path} could not be written in whole; make room and run it again")
        os.fsync(handle)
    finally:
        os.close(handle)


def key_of(line: dict[str, Any]) -> tuple[Any, ...]:
    """What makes a run the same as another."""
    protocol = json.dumps([line["protocol"], line["options"]], sort_keys=True)
    return line["city"], line["split"], line["model"], line["depth"], line["seed"], protocol


def missing(planned: Sequence[dict[str, Any]], record: Path) -> Iterator[dict[str, Any]]:
    """Planned runs that the record lacks; it is read anew before each, so that several processes may share the work."""
    for line in planned:
        if key_of(line) not in {key_of(found) for found in read_lines(record)}:
            yield line


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--city", default="chicago", help="chicago, sydney, or a source of streets for build_city")
    parser.add_argument("--split", default="random", choices=["random", "spatial_block"])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--depths", nargs="+", type=int, default=list(DEPTHS), help="numbers of layers")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, help="begin no further run after so many minutes")
    parser.add_argument(
        "--epochs", type=int, help="another number of epochs, for a try; the table leaves such runs out"
    )
    parser.add_argument("--nodes", type=int, help="nodes that R is measured at, likewise")
    parser.add_argument("--record", type=Path, default=RECORD)
    arguments = parser.parse_args(argv)
    warnings.simplefilter("ignore", DataWarning)
    protocol = json.loads(json.dumps(PROTOCOL))
    if arguments.epochs is not None:
        protocol["train"]["epochs"] = arguments.epochs
    if arguments.nodes is not None:
        protocol["nodes"] = dict.fromkeys(protocol["nodes"], arguments.nodes)
    # a whole curve of the first seed comes first, shallow models before deep ones
    planned = [
        {"city": arguments.city, "split": arguments.split, "model": name, "depth": depth, "seed": seed,
         "protocol": protocol, "options": MODELS[name]}
        for seed in arguments.seeds for depth in sorted(arguments.depths) for name in arguments.models
    ]  # fmt: skip
    try:
        task = city_task(arguments.city, arguments.split)
        about = {
            "nodes": task.num_nodes, "streets": task.edge_index.shape[1] // 2, "digest": task.provenance["digest"],
            "commit": git_commit(), "versions": versions(), "device": device_name(torch.device("cpu")),
            "threads": torch.get_num_threads(),
        }  # fmt: skip
        begun = time.monotonic()
        for line in missing(planned, arguments.record):
            if arguments.minutes is not None and time.monotonic() - begun > 60 * arguments.minutes:
                print("time is up; run it again to go on", file=sys.stderr)
                break
            found = run_one(task, line["model"], line["depth"], line["seed"], protocol)
            now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
            append_line(arguments.record, {**line, **found, **about, "time": now})
            print(
                f"{line['model']} {line['depth']} layers, seed {line['seed']}: accuracy {100 * found['test']['accuracy']:.1f}, "
                f"R {found['radius']:.2f} +- {found['radius_error']:.2f}, "
                f"{found['seconds']:.0f} s + {found['radius_seconds']:.0f} s",
                file=sys.stderr,
            )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
