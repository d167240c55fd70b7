"""Evaluation by several processes of one thread against one process of one thread.

    python experiments/bench/bench_distributed.py [--processes 2] [--data fb15k-237 umls] [--triples 200] [--rounds 3]

Starts torchrun itself. In every round the first process scores the triples alone while the others sleep, then all of
them do it together; the ranks are compared. Needs as many idle cores as processes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import torch
from peak import measure, write

from graphkit.data import KnowledgeGraphTask
from graphkit.datasets import load
from graphkit.engine.distributed import OneProcess, joined
from graphkit.engine.evaluate import evaluate
from graphkit.models import NBFNet


def some_of(task: KnowledgeGraphTask, count: int) -> KnowledgeGraphTask:
    """The task with at most so many test triples, evenly spaced."""
    rows = torch.linspace(0, len(task.test) - 1, min(count, len(task.test))).round().long()
    return KnowledgeGraphTask(
        task.name, task.train, task.valid, task.test[rows], task.entities, task.relations, task.provenance
    )


def row_of(name: str, options: argparse.Namespace, processes: OneProcess) -> dict[str, object]:
    task = some_of(processes.in_turn(lambda: load(name)), options.triples)
    torch.manual_seed(0)
    model = NBFNet(task.num_relations, options.channels, options.layers)
    ranks = {}

    def alone() -> None:
        if processes.first:
            found = evaluate(model, task, "test", batch_size=options.batch, return_ranks=True)
            ranks["alone"] = torch.cat([found["ranks"]["tail"], found["ranks"]["head"]])
        processes.tell(None)

    def together() -> None:
        found = evaluate(model, task, "test", batch_size=options.batch, return_ranks=True, processes=processes)
        ranks["together"] = torch.cat([found["ranks"]["tail"], found["ranks"]["head"]])

    one, many = "1 process", f"{processes.size} processes"
    times = measure({one: alone, many: together}, options.rounds)
    queries = torch.cat([task.test[:, :2], task.test[:, [2, 1]] + torch.tensor([0, task.num_relations])])
    count = len(torch.unique(queries, dim=0))
    return {
        "graph": name, "entities": task.num_entities, "edges": task.graph().num_edges, "triples": len(task.test),
        "queries": count, "batch": options.batch, "layers": options.layers, "channels": options.channels,
        "processes": processes.size, "times": times, "ratio": times[one]["median"] / times[many]["median"],
        "queries_per_second": {key: count / times[key]["median"] for key in times},
        "same_ranks": processes.first and torch.equal(ranks["alone"], ranks["together"]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--data", nargs="+", default=["fb15k-237", "umls"])
    parser.add_argument("--triples", type=int, default=200)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="print, but leave results/distributed.json as it is")
    options = parser.parse_args()
    if "RANK" not in os.environ:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command = [*launcher, "--nproc_per_node", str(options.processes), __file__, *sys.argv[1:]]
        sys.exit(subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode)
    torch.set_num_threads(1)
    processes, rows = joined(), []
    for name in options.data:
        row = row_of(name, options, processes)
        rows.append(row)
        if not processes.first:
            continue
        speed = ", ".join(f"{count:.1f} queries/s with {key}" for key, count in row["queries_per_second"].items())
        print(f"{name}: {speed} ({row['ratio']:.2f}x), same ranks: {row['same_ranks']}", flush=True)
        if not options.dry:
            write("distributed", rows)


if __name__ == "__main__":
    main()
