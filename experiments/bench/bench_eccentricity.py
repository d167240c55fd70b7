"""Eccentricity inside 16-hop balls against networkx, PyG with networkx, and igraph where it is installed.

    python experiments/bench/bench_eccentricity.py

The peers answer for a sample of the nodes, one after the other, with the same balls, and their answers are compared with ours;
ours are for all nodes. `pip install igraph` adds igraph: its ball, its induced subgraph, its distances. Results go to
results/eccentricity.json. GRAPHKIT_DATA names the folder with road_spatial; without it only grids are measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch
from peak import measure, write
from torch import Tensor

from graphkit import ops

Row = dict[str, Any]
HOPS = 16


def grid(nodes: int, seed: int = 0) -> tuple[Tensor, Tensor, int]:
    """A lattice with moved crossings and streets kept with p = 0.72, under ids at random: both directions, metres."""
    width = max(2, round(nodes**0.5))
    rng = np.random.default_rng(seed)
    ids = rng.permutation(width * width).reshape(width, width)
    place = np.stack(np.meshgrid(np.arange(width), np.arange(width), indexing="ij"), -1) * 90.0
    place += rng.normal(0, 13.5, place.shape)
    pairs, lengths = [], []
    for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        keep = rng.random(ids[a].shape) < 0.72
        pairs.append(np.stack([ids[a][keep], ids[b][keep]]))
        lengths.append(np.linalg.norm(place[a][keep] - place[b][keep], axis=-1))
    return *both_ways(np.concatenate(pairs, 1), np.concatenate(lengths)), width * width


def both_ways(pairs: np.ndarray, length: np.ndarray) -> tuple[Tensor, Tensor]:
    edges = torch.from_numpy(np.concatenate([pairs, pairs[::-1]], 1))
    return edges, torch.from_numpy(np.concatenate([length, length]))


def roads(name: str) -> tuple[Tensor, Tensor, int]:
    table = np.loadtxt(Path(os.environ["GRAPHKIT_DATA"]) / "road_spatial" / f"{name}.cedge")
    pairs = table[:, 1:3].astype(np.int64).T
    return *both_ways(pairs, table[:, 3]), int(pairs.max()) + 1


def peers(edges: Tensor, weight: Tensor, n: int, sample: list[int]) -> dict[str, Callable[[], object]]:
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    for u, v, w in zip(*edges.tolist(), weight.tolist(), strict=True):
        if not graph.has_edge(u, v) or graph[u][v]["w"] > w:
            graph.add_edge(u, v, w=w)

    def networkx() -> list[float]:
        return [nx.eccentricity(nx.ego_graph(graph, v, HOPS), v, weight="w") for v in sample]

    def pyg() -> list[float]:
        from torch_geometric.utils import k_hop_subgraph

        found = []
        for v in sample:
            _, _, _, mask = k_hop_subgraph(v, HOPS, edges, num_nodes=n)
            part = nx.Graph()
            part.add_node(v)
            part.add_weighted_edges_from(zip(*edges[:, mask].tolist(), weight[mask].tolist(), strict=True))
            found.append(max(nx.single_source_dijkstra_path_length(part, v).values()))
        return found

    calls: dict[str, Callable[[], object]] = {"networkx": networkx, "PyG k_hop_subgraph and networkx": pyg}
    if importlib.util.find_spec("igraph") is None:
        print("igraph: left out, it is not installed")
    else:
        import igraph

        once = edges[0] < edges[1]
        whole = igraph.Graph(n=n, edges=edges[:, once].t().tolist())
        whole.es["w"] = weight[once].tolist()

        def by_igraph() -> list[float]:
            found = []
            for v in sample:
                ball = sorted(whole.neighborhood(v, order=HOPS))
                part = whole.induced_subgraph(ball)
                found.append(max(part.distances(ball.index(v), weights="w")[0]))
            return found

        calls["igraph"] = by_igraph
    return calls


def row(name: str, edges: Tensor, weight: Tensor, n: int, rounds: int, sampled: int) -> Row:
    graph = ops.CSRGraph(edges, num_nodes=n)
    balls = ops.khop_eccentricity(graph, num_nodes=n, k=HOPS, weight=weight, return_balls=True)
    assert isinstance(balls, ops.KhopBalls)
    result: Row = {"graph": name, "nodes": n, "edges": edges.shape[1] // 2}
    result |= {"ball_mean": float(balls.size.double().mean()), "ball_max": int(balls.size.max())}
    calls: dict[str, Callable[[], object]] = {
        "graphkit": lambda: ops.khop_eccentricity(graph, num_nodes=n, k=HOPS, weight=weight)
    }
    if sampled:
        sample = torch.randperm(n, generator=torch.Generator().manual_seed(0))[:sampled].tolist()
        others = peers(edges, weight, n, sample)
        for peer, call in others.items():
            np.testing.assert_allclose(np.array(call()), balls.eccentricity[sample].numpy(), rtol=1e-12, err_msg=peer)
        calls |= others
    result["times"] = measure(calls, rounds)
    share = {peer: n if peer == "graphkit" else sampled for peer in calls}
    result["microseconds_per_node"] = {peer: result["times"][peer]["median"] / share[peer] * 1e6 for peer in calls}
    return result


def cases(scale: float) -> Iterator[tuple[str, tuple[Tensor, Tensor, int], bool]]:
    yield "grid", grid(max(100, round(115_600 * scale))), True
    if os.environ.get("GRAPHKIT_DATA"):
        for name in ("OL", "TG", "cal"):
            yield name, roads(name), True
    else:
        print("road networks: left out, GRAPHKIT_DATA is not set")
    yield "grid of a million", grid(max(100, round(1_000_000 * scale))), False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sample", type=int, default=100, help="nodes that the peers answer for (default: 100)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the sizes, for a quick look (default: 1)")
    parser.add_argument("--name", default="eccentricity", help="results/NAME.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows: list[dict[str, object]] = []
    for name, (edges, weight, n), with_peers in cases(options.scale):
        rows.append(row(name, edges, weight, n, options.rounds, min(options.sample, n) if with_peers else 0))
        print(json.dumps(rows[-1], indent=1), flush=True)
        write(options.name, rows)


if __name__ == "__main__":
    main()
