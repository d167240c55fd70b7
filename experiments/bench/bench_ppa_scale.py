"""A graph of ogbl-ppa's size from its files to scores: how long it takes and how much memory.

    python experiments/bench/bench_ppa_scale.py [--scale 1] [--folder DIR] [--pairs 100000] [--threads 2]

The graph is made up: 576,289 nodes, 21,231,931 train edges (and as many valid and test edges and negatives as ogbl-ppa has)
between nodes that are drawn by weights of a power law, in the files of the Open Graph Benchmark. A process of its own then
loads it by `gk.load`, takes one training step of NCN at its ogbl-ppa settings (three GCN layers of 64, batches of 16,384),
and scores pairs, half of them test edges. Recorded for each stage: seconds, and the largest resident set of the process so
far. --scale 0.01 is a rehearsal.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

NODES, SPECIES = 576_289, 58
EDGES = {"train": 21_231_931, "valid": 6_062_562, "test": 3_031_780}
POOL = 3_000_000
POWER, SHIFT = (
    0.5,
    100,
)  # node i is drawn by (i + SHIFT) ** -POWER: mean degree 105 over all splits, the largest some thousands
LIMIT = 16 * 2**30
NCN = {
    "hidden_channels": 64, "num_layers": 3, "encoder": "gcn", "embedding": True, "jk": False, "residual": True,
    "edge_dropout": 0.1, "predictor_dropout": 0.1, "node_mlp": False,
}  # fmt: skip
BATCH = 16_384


def draw_pairs(rng: np.random.Generator, nodes: int, count: int) -> np.ndarray:
    """Different pairs [count, 2] of two nodes, in random order; nodes are drawn by the power law."""
    bound = np.cumsum((np.arange(nodes) + SHIFT) ** -POWER)
    found = np.empty(0, np.int64)
    while len(found) < count:
        drawn = np.searchsorted(bound, rng.random((2, int(1.15 * (count - len(found))) + 64)) * bound[-1])
        low, high = drawn.min(0), drawn.max(0)
        found = np.unique(np.concatenate([found, (high * (high - 1) // 2 + low)[low < high]]))
    found = rng.permutation(found)[:count]
    high = ((1 + np.sqrt(1 + 8 * found.astype(np.float64))) / 2).astype(np.int64)
    high -= high * (high - 1) // 2 > found
    high += high * (high + 1) // 2 <= found
    return np.stack([found - high * (high - 1) // 2, high], axis=1)


def write_files(folder: Path, scale: float) -> dict[str, int]:
    """The graph in OGB's layout below a folder, with a card `card.yaml`; returns its sizes."""
    rng = np.random.default_rng(0)
    nodes, pool = max(200, int(NODES * scale)), max(200, int(POOL * scale))
    sizes = {split: max(100, int(count * scale)) for split, count in EDGES.items()}
    pairs = draw_pairs(rng, nodes, sum(sizes.values()) + 2 * pool)
    place = folder / "ogbl_ppa"
    for part in ("raw", "split/throughput"):
        (place / part).mkdir(parents=True)
    start = 0
    for split, count in sizes.items():
        content = {"edge": pairs[start : start + count]}
        start += count
        if split != "train":
            content["edge_neg"] = pairs[start : start + pool]
            start += pool
        torch.save(content, place / "split" / "throughput" / f"{split}.pt", pickle_protocol=4)
    species = rng.integers(SPECIES, size=nodes)
    lines = [",".join("1" if column == kind else "0" for column in range(SPECIES)) + "\n" for kind in range(SPECIES)]
    texts = {
        "node-feat": "".join(lines[kind] for kind in species),
        "num-node-list": f"{nodes}\n",
        "num-edge-list": f"{sizes['train']}\n",
    }
    for name, text in texts.items():
        with gzip.open(place / "raw" / f"{name}.csv.gz", "wt", compresslevel=1) as file:
            file.write(text)
    (place / "RELEASE_v1.txt").write_text("made up\n")
    files = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    card = {
        "name": "ppa-scale", "title": "made up, of ogbl-ppa's size", "task": "link", "reader": "ogb_links",
        "options": {"metric": "hits@100", "both_directions": True}, "folders": ["ogbl_ppa"],
        "files": [{"path": file, "url": None, "bytes": None, "sha256": None} for file in files],
        "licence": "CC0", "citation": "none", "source": "bench_ppa_scale.py", "statistics": {},
    }  # fmt: skip
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    return {"nodes": nodes, **sizes, "negatives": pool}


def measure(folder: Path, count: int, threads: int) -> list[dict[str, Any]]:
    """Load, one training step, scores; in this process, which does nothing else."""
    torch.set_num_threads(threads)
    rows: list[dict[str, Any]] = []

    def stage(what: str, call: Any) -> Any:
        begin = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - begin
        # in KiB
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        rows.append({"what": what, "seconds": seconds, "peak_gib": peak / 2**30, "within_16_gib": peak <= LIMIT})
        print(f"{what}: {seconds:.1f} s, peak so far {peak / 2**30:.2f} GiB", file=sys.stderr, flush=True)
        return result

    import graphkit as gk
    from graphkit.data import score_pairs

    task = stage("load", lambda: gk.load(str(folder / "card.yaml"), root=folder))
    torch.manual_seed(0)
    model = gk.models.NCN.for_task(task, **NCN)
    assert model.num_parameters() == 33_538, "not the model of OGB's leaderboard"
    loss = stage("one training step", lambda: model.training_step(task, lr=1.3e-3, batch_size=BATCH))
    assert np.isfinite(loss), loss
    half = min(count // 2, task.test.size(1))
    pairs = torch.cat([task.test[:, :half], task.negatives("test")[:, : count - half]], 1)
    scores = stage(f"scores of {pairs.size(1):,} pairs", lambda: score_pairs(model, task.graph("test"), pairs))
    assert bool(torch.isfinite(scores).all())
    again = stage(f"one more training step, batch of {BATCH:,}", lambda: model.training_step(task))
    assert np.isfinite(again), again
    for row in rows:
        row |= {"parameters": model.num_parameters(), "backend": gk.ops.backend_of("common_neighbors")}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="of nodes, edges and negatives (default: 1)")
    parser.add_argument("--folder", help="where the files go and stay; they are made where they are not there yet")
    parser.add_argument("--pairs", type=int, default=100_000, help="pairs to score (default: 100,000)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--name", default="ppa_scale", help="results/NAME.json")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(Path(options.folder), options.pairs, options.threads)))
        return
    from peak import write

    torch.set_num_threads(options.threads)
    folder = Path(options.folder or tempfile.mkdtemp(prefix="ppa-scale-"))
    try:
        if not (folder / "sizes.json").is_file():
            begin = time.perf_counter()
            sizes = write_files(folder, options.scale)
            (folder / "sizes.json").write_text(json.dumps(sizes))
            print(f"made up in {time.perf_counter() - begin:.0f} s: {sizes}", flush=True)
        sizes = json.loads((folder / "sizes.json").read_text())
        command = [sys.executable, __file__, "--measure", "--folder", str(folder), "--pairs", str(options.pairs)]
        environment = {
            **os.environ, "GRAPHKIT_CACHE": str(folder / "cache"), "GRAPHKIT_OFFLINE": "1",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        }  # fmt: skip
        done = subprocess.run(
            [*command, "--threads", str(options.threads)],
            check=True,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        rows = [{**sizes, "scale": options.scale, **row} for row in json.loads(done.stdout.splitlines()[-1])]
        write(options.name, rows)
        top = max(row["peak_gib"] for row in rows)
        print(f"peak {top:.2f} GiB, {'within' if all(row['within_16_gib'] for row in rows) else 'more than'} 16 GiB")
    finally:
        if options.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
