"""Training, and blocks of orbit adjacencies, by several processes of one thread against one process of one thread.

    python experiments/bench/bench_processes.py [--processes 2] [--rounds 3] [--only nbfnet/umls orbits ...] [--dry]

Starts torchrun itself. In every round the first process works alone while the others sleep, then all of them work together on
the same batches, or the same blocks. Trainings have the models and batch sizes of the experiments they are named after: the
joint batch is the same however many processes share it, so each of them has fewer rows. A step is the loading of a batch, the
loss, its gradient, the exchange, and the optimizer. Needs as many idle cores as processes. Evaluation: bench_distributed.py.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from bench_common_neighbors import power_law
from peak import measure, write

from graphkit.datasets import load
from graphkit.engine.config import Config, load_config
from graphkit.engine.distributed import OneProcess, joined
from graphkit.engine.orbit_blocks import write_orbit_blocks
from graphkit.engine.parameter_groups import parameter_groups
from graphkit.models import registry
from graphkit.ops import SimpleGraph

Row = dict[str, Any]
#: steps of a round
STEPS = {"nbfnet/umls": 10, "nbfnet/fb15k-237-v1": 2, "ncn/cora-ncn": 6}
NODES, EDGES, MEMORY = 8000, 80_000, 2**25


class Training:
    """A training of its own, which goes on with every call."""

    def __init__(self, config: Config, task: Any, processes: OneProcess, steps: int) -> None:
        options = {key: value for key, value in config.model.items() if key != "name"}
        torch.manual_seed(0)
        self.model = registry()[config.model["name"]].for_task(task, **options).train()
        groups = parameter_groups(self.model, config.train["lr"], config.train.get("lr_of"))
        self.optimizer = torch.optim.Adam(groups, lr=config.train["lr"])
        self.processes, self.steps, self.losses = processes, steps, list[float]()
        self.batches = self._batches(config, task)

    def _batches(self, config: Config, task: Any) -> Iterator[Any]:
        epoch = 0
        while True:
            epoch += 1
            yield from task.loader("train", seed=0, epoch=epoch, **config.loader)

    def __call__(self) -> None:
        for _ in range(self.steps):
            loss = self.processes.loss(self.model, next(self.batches), 0, len(self.losses))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.losses.append(self.processes.reduce(self.model, loss))
            self.optimizer.step()


def in_rounds(alone: Callable[[], None], together: Callable[[], None], processes: OneProcess, rounds: int) -> Row:
    """Times of both, and their ratio."""

    def first_alone() -> None:
        if processes.first:
            alone()
        processes.tell(None)

    one, many = "1 process", f"{processes.size} processes"
    times = measure({one: first_alone, many: together}, rounds)
    return {"processes": processes.size, "times": times, "ratio": times[one]["median"] / times[many]["median"]}


def training(name: str, processes: OneProcess, rounds: int) -> Row:
    config = load_config(name)
    task = processes.in_turn(lambda: load(**config.data_for(0)))
    alone, together = (Training(config, task, one, STEPS[name]) for one in (OneProcess(), processes))
    row = in_rounds(alone, together, processes, rounds)
    # of the first step, with equal weights, and of any step: Adam makes a whole step of a gradient that is rounding alone. Dropout
    # is drawn anew for each share; with it losses agree in the mean only
    drops = any("dropout" in key and value for key, value in config.model.items())
    apart = [abs(a - b) for a, b in zip(alone.losses, together.losses, strict=False)] if not drops else []
    return {
        "what": "training", "case": name, "batch": config.loader["batch_size"], "unit": "step", "units": STEPS[name],
        "parameters": sum(p.numel() for p in alone.model.parameters()),
        "loss_difference": [apart[0], max(apart)] if apart else None, **row,
    }  # fmt: skip


def orbits(name: str, processes: OneProcess, rounds: int) -> Row:
    graph = SimpleGraph(power_law(NODES, EDGES), num_nodes=NODES)
    with tempfile.TemporaryDirectory() as own:
        room, calls, blocks = Path(processes.tell(own)), {1: 0, processes.size: 0}, [0]

        def write_all(those: OneProcess) -> None:
            calls[those.size] += 1
            folder = write_orbit_blocks(
                graph, room / f"{those.size}-{calls[those.size]}", memory=MEMORY, processes=those
            )
            blocks[0] = len(list(folder.glob("rows-*.npz")))

        row = in_rounds(lambda: write_all(OneProcess()), lambda: write_all(processes), processes, rounds)
        processes.tell(None)  # the folder stays until all are done with it
    on = {"nodes": NODES, "edges": len(graph.col) // 2}
    return {"what": "orbit blocks", "case": name, **on, "unit": "block", "units": blocks[0], **row}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    cases: dict[str, Callable[[str, OneProcess, int], Row]] = {**dict.fromkeys(STEPS, training), "orbits": orbits}
    parser.add_argument("--only", nargs="+", choices=list(cases), default=list(cases))
    parser.add_argument("--dry", action="store_true", help="print, but leave results/processes.json as it is")
    options = parser.parse_args()
    if "RANK" not in os.environ:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command = [*launcher, "--nproc_per_node", str(options.processes), __file__, *sys.argv[1:]]
        sys.exit(subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode)
    torch.set_num_threads(1)
    processes, rows = joined(), list[Row]()
    for name in options.only:
        row = cases[name](name, processes, options.rounds)
        rows.append(row)
        if not processes.first:
            continue
        each = {key: time["median"] / row["units"] for key, time in row["times"].items()}
        shown = ", ".join(f"{seconds:.4f} s a {row['unit']} with {key}" for key, seconds in each.items())
        print(f"{name}: {shown} ({row['ratio']:.2f}x), losses apart: {row.get('loss_difference')}", flush=True)
        if not options.dry:
            write("processes", rows)


if __name__ == "__main__":
    main()
