"""Influence by hop of a model's features, beside PyG's total_influence.

    python experiments/bench/bench_influence.py [--threads 1] [--rounds 5] [--only road grid cora size hops]

road   the road network "OL" (6,105 nodes): GCN and GraphSAGE of 8 layers, 64 channels, 10 classes, 37 features, up to 16 hops.
grid   the same on a perturbed grid of 107,952 nodes or so.
cora   GCN of 4 layers on Cora with its own features, up to 4 hops. road and cora need GRAPHKIT_DATA.
size   milliseconds a node on grids of rising size: they should not rise.
hops   the operators alone: balls of 9 hops and sums by hop over all nodes, against networkx and scipy.

PyG is asked for fewer nodes than graphkit where it is slow; figures are per node. What is compared is compared at nodes that
both were asked for. Results: results/influence.json.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from peak import measure, write
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GraphSAGE
from torch_geometric.utils import total_influence as peer_influence

from graphkit import ops
from graphkit.analysis import influence, total_influence

Row = dict[str, object]
FEATURES, CHANNELS, LAYERS, CLASSES, HOPS = 37, 64, 8, 10, 16


def both_ways(edges: torch.Tensor) -> torch.Tensor:
    return torch.cat([edges, edges.flip(0)], 1)


def grid(side: int, kept: float = 0.72) -> Data:
    """A square grid that has lost some of its edges, as streets look."""
    generator = torch.Generator().manual_seed(0)
    place = torch.arange(side * side).view(side, side)
    across = torch.stack([place[:, :-1].flatten(), place[:, 1:].flatten()])
    down = torch.stack([place[:-1].flatten(), place[1:].flatten()])
    edges = torch.cat([across, down], 1)
    edges = edges[:, torch.rand(edges.shape[1], generator=generator) < kept]
    x = torch.randn(side * side, FEATURES, generator=generator)
    return Data(x=x, edge_index=both_ways(edges))


def road() -> Data | None:
    """The road network OL: a line an edge, "number start end length"."""
    file = Path(os.environ.get("GRAPHKIT_DATA", "")) / "road_spatial" / "OL.cedge"
    if not file.is_file():
        return None
    edges = torch.tensor(
        [[int(word) for word in line.split()[1:3]] for line in file.read_text().splitlines() if line]
    ).t()
    count = int(edges.max()) + 1
    return Data(x=torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(0)), edge_index=both_ways(edges))


def compared(name: str, data: Data, model: torch.nn.Module, hops: int, ours: int, theirs: int, rounds: int) -> Row:
    model.eval()

    def call(function: Callable[..., Any], count: int) -> Callable[[], Any]:
        def ask() -> Any:
            torch.manual_seed(1)  # both draw from the global generator
            return function(model, data, hops, num_samples=count, average=False)

        return ask

    peer, own = call(peer_influence, theirs)()[0], call(total_influence, theirs)()[0]
    times = measure({"graphkit": call(total_influence, ours), "PyG": call(peer_influence, theirs)}, rounds)
    per_node = {
        "graphkit": times["graphkit"]["median"] / ours * 1e3,
        "PyG": times["PyG"]["median"] / theirs * 1e3,
    }
    return {
        "what": name, "model": type(model).__name__, "nodes": data.num_nodes, "edges": data.edge_index.shape[1],
        "features": data.x.shape[1], "hops": hops, "asked": {"graphkit": ours, "PyG": theirs}, "times": times,
        "ms_per_node": per_node, "ratio": per_node["PyG"] / per_node["graphkit"],
        "largest_difference": float((peer - own).abs().max() / peer.max()),
    }  # fmt: skip


def streets(name: str, data: Data | None, ours: int, theirs: int, rounds: int) -> Iterator[Row]:
    if data is None:
        print(f"{name}: left out, GRAPHKIT_DATA has no road_spatial/OL.cedge")
        return
    for kind in (GCN, GraphSAGE):
        torch.manual_seed(0)
        yield compared(name, data, kind(FEATURES, CHANNELS, LAYERS, CLASSES), HOPS, ours, theirs, rounds)


def cora(ours: int, theirs: int, rounds: int) -> Iterator[Row]:
    from graphkit import load

    if not os.environ.get("GRAPHKIT_DATA"):
        print("cora: left out, GRAPHKIT_DATA is not set")
        return
    task = load("cora", task="node")
    torch.manual_seed(0)
    model = GCN(task.in_channels, CHANNELS, 4, task.out_channels)
    yield compared("cora", task.graph(), model, 4, ours, theirs, rounds)


def sizes(sides: list[int], asked: int, rounds: int) -> Iterator[Row]:
    torch.manual_seed(0)
    model = GCN(FEATURES, CHANNELS, LAYERS, CLASSES)
    for side in sides:
        data = grid(side)
        times = measure({"graphkit": lambda data=data: influence(model, data, HOPS, asked)}, rounds)
        yield {
            "what": "size", "nodes": data.num_nodes, "asked": asked, "times": times,
            "ms_per_node": times["graphkit"]["median"] / asked * 1e3,
        }  # fmt: skip


def hops(side: int, asked: int, rounds: int) -> Iterator[Row]:
    import networkx as nx
    import numpy as np
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    data = grid(side)
    n, edges = int(data.num_nodes), data.edge_index
    graph = ops.HopGraph(edges, num_nodes=n)
    seeds = torch.randperm(n, generator=torch.Generator().manual_seed(1))[:asked]
    peer = nx.Graph(edges.t().tolist())
    peer.add_nodes_from(range(n))
    matrix = csr_array((np.ones(edges.shape[1]), tuple(edges.numpy())), shape=(n, n))
    yield {
        "what": "balls", "nodes": n, "asked": asked, "hops": 9,
        "times": measure({
            "graphkit": lambda: ops.hop_balls(graph, seeds, num_nodes=n, hops=9),
            "networkx": lambda: [nx.single_source_shortest_path_length(peer, v, 9) for v in seeds.tolist()],
            "sorting the edges": lambda: ops.HopGraph(edges, num_nodes=n),
        }, rounds),
    }  # fmt: skip
    values = torch.rand(len(seeds), n)
    yield {
        "what": "sums by hop over all nodes", "nodes": n, "asked": asked,
        "times": measure({
            "graphkit": lambda: ops.hop_bincount(graph, seeds, values, num_nodes=n, hops=2 * side),
            "scipy": lambda: dijkstra(matrix, indices=seeds[:8].numpy(), unweighted=True),
        }, rounds),
        "scipy_asked": min(8, asked),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = ["road", "grid", "cora", "size", "hops"]
    parser.add_argument("--only", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the sizes, for a quick look (default: 1)")
    parser.add_argument("--name", default="influence", help="results/NAME.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", category=DeprecationWarning)

    def some(count: float) -> int:
        return max(2, int(count * options.scale))

    def side(count: float) -> int:
        return max(12, int(count * options.scale**0.5))

    cases: dict[str, Callable[[], Iterator[Row]]] = {
        "road": lambda: streets("road", road(), some(200), some(20), options.rounds),
        "grid": lambda: streets("grid", grid(side(328.6)), some(200), some(20), options.rounds),
        "cora": lambda: cora(some(40), some(10), options.rounds),
        "size": lambda: sizes([side(100), side(328.6), side(1000)], some(200), options.rounds),
        "hops": lambda: hops(side(328.6), some(64), options.rounds),
    }
    rows: list[Row] = []
    for kind in options.only:
        for row in cases[kind]():
            rows.append(row)
            print(json.dumps(row, indent=1), flush=True)
            write(options.name, rows)


if __name__ == "__main__":
    main()
