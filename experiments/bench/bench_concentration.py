"""Topological concentration against its forms in scipy and networkx, and how estimates and exact values scale.

    python experiments/bench/bench_concentration.py [--rounds 5] [--only WORD ...] [--threads 2]

Every way of a case runs once for its memory and then --rounds times, all in turn, in one process; results are compared
before anything is timed. Real graphs are taken from GRAPHKIT_DATA and left out where they are absent.
Results: results/concentration.json.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sparse
import torch
from peak import measure, write
from torch import Tensor

from graphkit import ops
from graphkit.analysis import approximate_concentration, default_beta, topological_concentration
from graphkit.datasets.torch_files import read_torch_file
from graphkit.nn import concentration_weights, propagation_weights

Ways = dict[str, Callable[[], Any]]


# ---------------------------------------------------------------- graphs


def power_law(nodes: int, edges: int, seed: int = 0, exponent: float = 2.5) -> Tensor:
    """About so many undirected edges whose ends are drawn by weights of a power law (Chung and Lu)."""
    rng = np.random.default_rng(seed)
    weight = (np.arange(nodes) + 10.0) ** (-1 / (exponent - 1))
    total, found = np.cumsum(weight / weight.sum()), np.empty(0, dtype=np.int64)
    while len(found) < edges:
        ends = np.searchsorted(total, rng.random((2, edges))).clip(max=nodes - 1)
        low, high = ends.min(0), ends.max(0)
        found = np.unique(np.concatenate([found, (low * nodes + high)[low != high]]))
    found = rng.permutation(found)[:edges]
    return both_ways(torch.from_numpy(rng.permutation(nodes)[np.stack([found // nodes, found % nodes])]))


def both_ways(edges: Tensor) -> Tensor:
    edges = edges[:, edges[0] != edges[1]]
    return torch.unique(torch.cat([edges, edges.flip(0)], 1), dim=1)


def cora() -> tuple[Tensor, int] | None:
    if not (Path(os.environ.get("GRAPHKIT_DATA", "")) / "planetoid").is_dir():
        return None
    import graphkit as gk

    task = gk.load("cora", task="link")
    return both_ways(task.known_edges("test")), task.num_nodes


def ddi() -> tuple[Tensor, int] | None:
    path = Path(os.environ.get("GRAPHKIT_DATA", "")) / "ogb" / "ogbl_ddi" / "split" / "target" / "train.pt"
    if not path.is_file():
        return None
    return both_ways(torch.from_numpy(np.array(read_torch_file(path)["edge"])).t().contiguous()), 4267


# ---------------------------------------------------------------- what others do


def adjacency(edges: Tensor, n: int) -> sparse.csr_array:
    return sparse.csr_array((np.ones(edges.shape[1]), edges.numpy()), shape=(n, n))


def masked_square(edges: Tensor, n: int) -> np.ndarray:
    """One hop: the rows of A A at the entries of A."""
    matrix = adjacency(edges, n)
    degree = matrix.sum(1)
    shared = (matrix @ matrix).multiply(matrix).sum(1)
    return np.divide(shared, degree * (degree - 1), out=np.zeros(n), where=degree > 1)


def sampled_products(edges: Tensor, n: int, hops: int, beta: float) -> np.ndarray:
    """U and W as sparse matrices, their rows multiplied at the edges, some rows at a time."""
    matrix = adjacency(edges, n)
    matrix.sort_indices()
    powers = [matrix]
    for _ in range(hops - 1):
        powers.append(powers[-1] @ matrix)
    walks = sum(beta**a * power for a, power in enumerate(powers)).tocsr()
    reach = sum(beta**a * (power > 0).astype(float) for a, power in enumerate(powers)).tocsr()
    degree, size = np.diff(matrix.indptr), sum(beta**a for a in range(hops)) * np.asarray(walks.sum(1)).ravel() - 1
    row, out = np.repeat(np.arange(n), degree), np.zeros(n)
    cost = np.diff(walks.indptr)[row] + np.diff(reach.indptr)[matrix.indices]
    total, begin = np.cumsum(cost), 0
    while begin < len(row):
        end = max(begin + 1, int(np.searchsorted(total, (total[begin - 1] if begin else 0) + 2e7)))
        some, other = row[begin:end], matrix.indices[begin:end]
        np.add.at(out, some, np.asarray(walks[some].multiply(reach[other]).sum(1)).ravel())
        begin = end
    return np.divide(out, degree * size, out=np.zeros(n), where=degree > 1)


def clustering(edges: Tensor, n: int) -> np.ndarray:
    import networkx as nx

    graph = nx.empty_graph(n)
    graph.add_edges_from(edges.t().tolist())
    return np.array([value for _, value in sorted(nx.clustering(graph).items())])


# ---------------------------------------------------------------- cases


def concentration(
    edges: Tensor, n: int, hops: int, *, masked: bool = True, sampled: bool = True, networkx: bool = False
) -> Ways:
    """Everything is done from a plain list of edges, sorting included."""
    ways: Ways = {"graphkit": lambda: topological_concentration(edges, num_nodes=n, hops=hops).numpy()}
    if hops == 1 and masked:
        ways["scipy, A A masked"] = lambda: masked_square(edges, n)
    if sampled:
        ways["scipy, U and W at the edges"] = lambda: sampled_products(edges, n, hops, default_beta(edges, n))
    if networkx:
        ways["networkx clustering"] = lambda: clustering(edges, n)
    return ways


def reweighting(edges: Tensor, n: int, channels: int) -> Ways:
    """An update of the weights of all messages, beside the same in plain torch."""
    loops = torch.cat([edges, torch.arange(n).repeat(2, 1)], 1)
    h, base = (
        torch.randn(n, channels, generator=torch.Generator().manual_seed(0)),
        propagation_weights(loops, num_nodes=n),
    )
    vector = torch.linspace(-1, 1, channels)

    def predictor(products: Tensor) -> Tensor:
        return products @ vector

    def plain() -> Tensor:
        source, target = loops
        around = torch.zeros_like(h).index_add_(0, target, base[:, None] * h[source])
        belief = torch.exp(torch.sigmoid(predictor(around[target] * h[source])))
        share = belief / torch.zeros(n).index_add_(0, target, belief)[target]
        return base + share * torch.zeros(n).index_add_(0, target, base)[target]

    return {
        "graphkit": lambda: concentration_weights(loops, h, predictor, base, num_nodes=n).numpy(),
        "torch": lambda: plain().numpy(),
    }


def cases() -> Iterator[tuple[str, str, Callable[[], tuple[Tensor, int] | None], Callable[[Tensor, int], Ways]]]:
    """(graph, what is measured, the graph, the ways to do it)."""
    small, large = lambda: (power_law(20_000, 100_000), 20_000), lambda: (power_law(200_000, 1_000_000), 200_000)
    yield "cora", "one hop", cora, lambda e, n: concentration(e, n, 1, networkx=True)
    yield "cora", "two hops", cora, lambda e, n: concentration(e, n, 2)
    yield "power law 20k/100k", "one hop", small, lambda e, n: concentration(e, n, 1)
    yield "power law 20k/100k", "two hops", small, lambda e, n: concentration(e, n, 2)
    yield (
        "power law 20k/100k",
        "two hops without the edge",
        small,
        lambda e, n: {
            "graphkit": lambda: topological_concentration(e, num_nodes=n, hops=2, through_edge=False).numpy()
        },
    )
    yield "ogbl-ddi", "one hop", ddi, lambda e, n: concentration(e, n, 1, sampled=False)
    yield "power law 200k/1M", "one hop", large, lambda e, n: concentration(e, n, 1, sampled=False)
    yield (
        "power law 200k/1M",
        "estimate, 256 columns",
        large,
        lambda e, n: {"graphkit": lambda: approximate_concentration(e, num_nodes=n).value.numpy()},
    )
    yield "power law 200k/1M", "re-weighting, 64 channels", large, lambda e, n: reweighting(e, n, 64)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    ops.edge_triangles(torch.tensor([[0], [1]]), num_nodes=2)  # loads what is loaded late
    rows: list[dict[str, object]] = []
    for name, what, make, ways_of in cases():
        if arguments.only and not any(word in f"{name}, {what}" for word in arguments.only):
            continue
        made = make()
        if made is None:
            print(f"{name}: no data")
            continue
        edges, n = made
        ways = ways_of(edges, n)
        results = {way: call() for way, call in ways.items()}
        difference = {way: float(np.abs(result - results["graphkit"]).max()) for way, result in results.items()}
        worst = max(difference.values())
        if worst > 1e-5:
            raise SystemExit(f"{name}, {what}: the results differ by {worst:.2e}")
        times = measure(ways, arguments.rounds)
        ratio = {way: t["median"] / times["graphkit"]["median"] for way, t in times.items() if way != "graphkit"}
        row = {
            "graph": name, "what": what, "n": n, "m": edges.shape[1] // 2, "times": times, "ratio": ratio,
            "largest_difference": worst,
        }  # fmt: skip
        rows.append(row)
        shown = ", ".join(f"{way} {t['median']:.4f} s, {t['peak_mib']:.0f} MiB" for way, t in times.items())
        print("; ".join([f"{name}, {what}: {shown}", *(f"{r:.1f}x {way}" for way, r in ratio.items())]), flush=True)
    if not arguments.only:
        write("concentration", rows)


if __name__ == "__main__":
    main()
