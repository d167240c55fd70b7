"""Directed patterns, ADPA's epoch, AMUD and streaming, beside scipy and PyG.

    python experiments/bench/bench_directed.py [--threads 2] [--rounds 5] [--only patterns epoch large amud streaming]

patterns   one hop of each pattern of order 2 on a random directed graph (200,000 nodes, 10^6 edges, 64 features):
           graphkit, scipy from right to left, scipy with the product formed before and while it is formed; results compared.
epoch      a training step (loss, gradient, Adam) on all training nodes of chameleon (directed, split 0): ADPA after a first
           step, whose time stands beside it, against PyG's DirGNNConv with the settings of the Dir-GNN paper (5 layers of
           128). Needs GRAPHKIT_DATA.
large      the same on the random graph, half of the nodes training.
amud       AMUD of order 1 and 2 on a random directed graph of 10^7 edges with planted classes.
streaming  2 x 10^6 nodes, 128 features, 10^7 edges: features pre-computed into a file and one epoch over 5 % of the
           nodes, in a process of its own whose peak memory is that of everything.

Results: results/directed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peak import measure, peak_of, write

from graphkit import ops
from graphkit.data import NodeBatch
from graphkit.models import ADPA
from graphkit.nn import DirectedPattern

Row = dict[str, object]
WORDS = ("A A", "A A^T", "A^T A", "A^T A^T")


def random_graph(nodes: int, edges: int, seed: int = 0) -> torch.Tensor:
    """Directed, in- and out-degrees with a moderate tail: one end uniform, the other by a power law."""
    generator = torch.Generator().manual_seed(seed)
    tail = (torch.rand(edges, generator=generator, dtype=torch.float64) ** 2 * nodes).long()
    even = torch.randint(nodes, (edges,), generator=generator)
    order = torch.randperm(nodes, generator=generator)
    flip = torch.rand(edges, generator=generator) < 0.5
    return order[torch.stack([torch.where(flip, tail, even), torch.where(flip, even, tail)])]


def patterns(rounds: int, nodes: int, edges: int, channels: int) -> Iterator[Row]:
    import scipy.sparse as sp

    graph = ops.DirectedGraph(random_graph(nodes, edges), num_nodes=nodes)
    x = torch.randn(nodes, channels, generator=torch.Generator().manual_seed(1))
    ones = np.ones(graph.num_edges, dtype=np.float32)
    a = sp.csr_array((ones, graph.col.numpy(), graph.ptr.numpy()), shape=(nodes, nodes))
    b = sp.csr_array((ones, graph.t_col.numpy(), graph.t_ptr.numpy()), shape=(nodes, nodes))
    for word in WORDS:
        pattern = DirectedPattern(graph, word, num_nodes=nodes, norm="none", materialize="never")
        left, right = (b if letter == "A^T" else a for letter in word.split())
        product = left @ right
        calls: dict[str, Callable[[], object]] = {
            "graphkit": lambda p=pattern: p(x),
            "scipy": lambda le=left, r=right: le @ (r @ x.numpy()),
            "scipy, product formed before": lambda p=product: p @ x.numpy(),
            "scipy, product formed and applied": lambda le=left, r=right: (le @ r) @ x.numpy(),
        }
        error = float((pattern(x) - torch.from_numpy(left @ (right @ x.numpy()))).abs().max())
        times = measure(calls, rounds)
        ours = times["graphkit"]["median"]
        yield {
            "what": "pattern", "word": word, "nodes": nodes, "edges": graph.num_edges, "channels": channels,
            "product_entries": int(product.nnz), "times": times, "largest_difference": error,
            "ratio": {name: found["median"] / ours for name, found in times.items() if name != "graphkit"},
        }  # fmt: skip
    both = measure(
        {
            "together": lambda: ops.directed_spmm(graph, x, num_nodes=nodes, direction="both"),
            "one by one": lambda: [ops.directed_spmm(graph, x, num_nodes=nodes, direction=d) for d in ("out", "in")],
        },
        rounds,
    )
    yield {"what": "A x and A^T x", "nodes": nodes, "edges": graph.num_edges, "channels": channels, "times": both}


class DirGNN(torch.nn.Module):
    """PyG's DirGNNConv over GCN, jumping knowledge by maximum: the paper's model for chameleon."""

    def __init__(self, inside: int, hidden: int, outside: int, layers: int) -> None:
        super().__init__()
        from torch_geometric.nn import DirGNNConv, GCNConv

        def layer(width: int) -> torch.nn.Module:
            conv = GCNConv(width, hidden, add_self_loops=False, normalize=False)
            return DirGNNConv(conv, alpha=0.5, root_weight=False)

        self.layers = torch.nn.ModuleList(layer(inside if i == 0 else hidden) for i in range(layers))
        self.out = torch.nn.Linear(hidden, outside)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        states = []
        for layer in self.layers:
            x = torch.nn.functional.normalize(layer(x, edge_index).relu(), dim=1)
            states.append(x)
        return self.out(torch.stack(states).amax(0))


def step(model: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], object]:
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def call() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return call


def epochs(
    name: str, data: Any, y: torch.Tensor, train: torch.Tensor, rounds: int, ours: dict[str, dict[str, Any]]
) -> Row:
    classes, inside = int(y.max()) + 1, data.x.shape[1]
    torch.manual_seed(0)
    peer = DirGNN(inside, 128, classes, 5)
    calls = {
        "PyG DirGNNConv": step(
            peer, lambda: torch.nn.functional.cross_entropy(peer(data.x, data.edge_index)[train], y[train])
        )
    }
    before = {}
    batch = NodeBatch(data, train, y[train])
    for label, options in ours.items():
        model = ADPA(inside, out_channels=classes, **options)
        calls[label] = step(model, lambda m=model: m.loss(batch))
    for label, call in calls.items():
        begin = time.perf_counter()
        call()  # does what is done once for the graph
        before[label] = time.perf_counter() - begin
    times = measure(calls, rounds)
    peer_time = times["PyG DirGNNConv"]["median"]
    return {
        "what": "epoch", "graph": name, "nodes": len(y), "edges": data.edge_index.shape[1], "features": inside,
        "training_nodes": len(train), "times": times, "first_step_seconds": before,
        "ratio": {label: peer_time / times[label]["median"] for label in ours},
    }  # fmt: skip


def chameleon(rounds: int) -> Iterator[Row]:
    from graphkit import load

    if not os.environ.get("GRAPHKIT_DATA"):
        print("epoch: left out, GRAPHKIT_DATA is not set")
        return
    task = load("chameleon", variant="directed", task="node", features="rows")
    ours = {
        "ADPA, 32 channels": {"hidden_channels": 32},
        "ADPA, 64 channels": {"hidden_channels": 64},
        "ADPA, 64 channels, features propagated before": {"hidden_channels": 64, "propagate": "features"},
        "ADPA, 64 channels, features projected to 512": {"hidden_channels": 64, "project": 512},
    }
    yield epochs("chameleon", task.graph(), task.y, task.nodes_of("train"), rounds, ours)


def large(rounds: int, nodes: int, edges: int, channels: int) -> Iterator[Row]:
    from torch_geometric.data import Data

    generator = torch.Generator().manual_seed(2)
    data = Data(x=torch.randn(nodes, channels, generator=generator), edge_index=random_graph(nodes, edges))
    y = torch.randint(10, (nodes,), generator=generator)
    ours = {"ADPA, 64 channels": {"hidden_channels": 64}}
    yield epochs("random", data, y, torch.arange(nodes // 2), min(rounds, 3), ours)


def amud_row(nodes: int, edges: int, classes: int) -> Iterator[Row]:
    from torch_geometric.data import Data

    from graphkit.analysis import amud

    edge_index, y = random_graph(nodes, edges), torch.arange(nodes) % classes
    found: dict[str, Any] = {}

    def call() -> None:
        begin = time.perf_counter()
        found["report"] = amud(Data(edge_index=edge_index, y=y, num_nodes=nodes), gap=False)
        found["seconds"] = time.perf_counter() - begin

    peak = peak_of(call)
    report = found["report"]
    yield {
        "what": "amud", "nodes": nodes, "edges": edges, "classes": classes, "seconds": found["seconds"], "peak_mib": peak / 2**20,
        "patterns": {name: {"r": s.r, "exact": s.exact} for name, s in report.statistics.items()},
    }  # fmt: skip


def stream(nodes: int, edges: int, channels: int) -> None:
    """The body of the process that is measured."""
    from torch_geometric.data import Data

    generator = torch.Generator().manual_seed(3)
    data = Data(x=torch.randn(nodes, channels, generator=generator), edge_index=random_graph(nodes, edges))
    y = torch.randint(10, (nodes,), generator=generator)
    train = torch.randperm(nodes, generator=generator)[: nodes // 20]
    model = ADPA(channels, 64, 10, storage="disk", dtype="float16")
    begin = time.perf_counter()
    model.precompute(data.x, data.edge_index)
    before = time.perf_counter() - begin
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    begin, losses = time.perf_counter(), []
    for index in train.split(4096):
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(NodeBatch(data, index, y[index]))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    seconds = time.perf_counter() - begin
    model.eval()
    with torch.no_grad():
        begin = time.perf_counter()
        scores = model.score_nodes(data, torch.arange(nodes // 10))
        scored = time.perf_counter() - begin
    assert bool(scores.isfinite().all())
    print(
        json.dumps({
            "precompute_seconds": before, "epoch_seconds": seconds, "score_seconds_of_a_tenth": scored, "first_loss": losses[0],
            "last_loss": losses[-1], "file_gib": nodes * 13 * channels * 2 / 2**30,
            "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        })
    )  # fmt: skip


def streaming(nodes: int, edges: int, channels: int, threads: int) -> Iterator[Row]:
    here = Path(__file__).resolve()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(here.parents[2]), "GRAPHKIT_CACHE": folder}
        command = [
            sys.executable,
            str(here),
            "--threads",
            str(threads),
            "--stream",
            str(nodes),
            str(edges),
            str(channels),
        ]
        done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    yield {"what": "streaming", "nodes": nodes, "edges": edges, "features": channels, **json.loads(done.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = ["patterns", "epoch", "large", "amud", "streaming"]
    parser.add_argument("--only", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the sizes, for a quick look (default: 1)")
    parser.add_argument("--name", default="directed", help="results/NAME.json")
    parser.add_argument("--stream", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.stream:
        stream(*options.stream)
        return

    def size(number: float) -> int:
        return max(1000, int(number * options.scale))

    cases: dict[str, Callable[[], Iterator[Row]]] = {
        "patterns": lambda: patterns(options.rounds, size(2e5), size(1e6), 64),
        "epoch": lambda: chameleon(options.rounds),
        "large": lambda: large(options.rounds, size(2e5), size(1e6), 64),
        "amud": lambda: amud_row(size(1e6), size(1e7), 10),
        "streaming": lambda: streaming(size(2e6), size(1e7), 128, options.threads),
    }
    rows: list[Row] = []
    for kind in options.only:
        for row in cases[kind]():
            rows.append(row)
            print(json.dumps(row, indent=1), flush=True)
            write(options.name, rows)


if __name__ == "__main__":
    main()
