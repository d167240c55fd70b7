"""Time and memory of answering many queries from a checkpoint, ten entities each.

    python experiments/bench/bench_predict.py [--experiment nbfnet/fb15k-237] [--queries 1000] [--batch_size 16]

The checkpoint is written by the script itself with untrained weights of the experiment's model: what the numbers are does
not change how long they take. Queries are the ends of test triples spaced evenly over the split, tails and heads in turn.
Measured: `answer_queries` in this process, with batches by free memory and with --batch_size, and `graphkit predict
--queries` as a process of its own, from its start to the written file (imports, data and model included).
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from peak import peak_of, write

from graphkit.data.batch_size import queries_per_batch
from graphkit.datasets import load
from graphkit.engine.checkpoint import write_tensors
from graphkit.engine.config import load_config
from graphkit.engine.recorded import recorded_run
from graphkit.engine.run_directory import RunDirectory
from graphkit.models import registry

K = 10


def untrained_run(folder: Path, experiment: str) -> Any:
    """A run directory as training leaves it, as far as prediction reads it; returns its task."""
    config = load_config(experiment)
    task = load(**config.data)
    torch.manual_seed(0)
    options = {key: value for key, value in config.model.items() if key != "name"}
    model = registry()[config.model["name"]].for_task(task, **options)
    directory = RunDirectory(folder)
    directory.path.mkdir(parents=True)
    directory.config.write_text(config.dump())
    metadata = {
        "model": config.model["name"],
        "config": model.config,
        "select": "mrr",
        "metrics": {"mrr": 0.0},
        "epoch": 0,
    }
    write_tensors(directory.best(0), model.state_dict(), {**metadata, "seed": 0})
    return task


def some_queries(task: Any, count: int) -> list[tuple[str | None, str, str | None]]:
    """Tail and head queries in turn, from test triples spaced evenly."""
    triples = task.triples("test").tolist()
    queries: list[tuple[str | None, str, str | None]] = []
    for place in range(count):
        h, r, t = triples[place * len(triples) // count]
        head, relation, tail = task.entities[h], task.relations[r], task.entities[t]
        queries.append((head, relation, None) if place % 2 == 0 else (None, relation, tail))
    return queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="nbfnet/fb15k-237")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--batch_size", type=int, default=16, help="of the second row (default: 16)")
    parser.add_argument("--name", default="predict", help="results/NAME.json")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        task = untrained_run(run, options.experiment)
        queries = some_queries(task, options.queries)
        graph = task.graph("test")
        common = {
            "experiment": options.experiment, "entities": graph.num_nodes, "edges": graph.num_edges, "k": K,
            "queries": len(queries), "different": len(set(queries)), "device": "cpu",
        }  # fmt: skip

        def note(what: str, batch: int | None, seconds: float, peak: float) -> None:
            per_query = seconds / len(queries)
            rows.append(
                {**common, "what": what, "batch_size": batch, "seconds": seconds, "seconds_per_query": per_query,
                 "peak_mib": peak / 2**20}
            )  # fmt: skip
            size = "" if batch is None else f", {batch} at once"
            print(
                f"{what}{size}: {seconds:.2f} s, {1e3 * per_query:.1f} ms a query, peak {peak / 2**20:.0f} MiB",
                flush=True,
            )
            write(options.name, rows)

        file, out = Path(folder) / "queries.tsv", Path(folder) / "answers.json"
        file.write_text("".join("\t".join("?" if part is None else part for part in query) + "\n" for query in queries))
        command = [sys.executable, "-m", "graphkit", "predict", str(run), "--queries", str(file), "--out", str(out)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        begin = time.perf_counter()
        subprocess.run([*command, "--k", str(K), "--device", "cpu"], check=True, env=environment)
        seconds = time.perf_counter() - begin
        # the largest child so far, in KiB; nothing else has been started
        note(
            "graphkit predict, the whole process",
            None,
            seconds,
            resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
        )

        model, task, _ = recorded_run(run, 0, "cpu")
        model.answer_queries(task, queries[:2], K)  # sorts the graph and indexes the facts
        graph = task.graph("test")
        for size in (None, options.batch_size):
            taken = queries_per_batch(model, graph) if size is None else size
            begin = time.perf_counter()
            peak = peak_of(lambda size=size: model.answer_queries(task, queries, K, batch_size=size))
            what = "answer_queries, by free memory" if size is None else "answer_queries"
            note(what, min(taken, len(set(queries))), time.perf_counter() - begin, peak)


if __name__ == "__main__":
    main()
