"""relational_spmm and relational_pna against gather + index_add (+ scatter_reduce) in one process, and how the cost grows.

    python experiments/bench/bench_relational.py [--rounds 5] [--only peers|sweep]

Graphs of the sizes of FB15k-237 and WN18RR: the real ones if GRAPHKIT_DATA holds them, else skewed random graphs.
"""

from __future__ import annotations

import argparse

import torch
from peak import measure, write

from graphkit import ops
from graphkit.datasets import load
from graphkit.errors import UserError

SIZES = {"fb15k-237": (14_541, 544_230, 474), "wn18rr": (40_943, 173_670, 22)}


def skewed(num_nodes: int, num_edges: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight = (torch.arange(num_nodes).double() + 10) ** -0.67
    ends = torch.multinomial(weight, num_edges, replacement=True, generator=generator)
    other = torch.randint(num_nodes, (num_edges,), generator=generator)
    half = num_edges // 2
    return torch.stack([torch.cat([ends[:half], other[half:]]), torch.cat([other[:half], ends[half:]])])


def graph_of(name: str) -> tuple[torch.Tensor, torch.Tensor, int, int, str]:
    nodes, edges, relations = SIZES[name]
    try:
        graph = load(name).graph()
        return graph.edge_index, graph.edge_type, graph.num_nodes, graph.num_relations, "real"
    except UserError:
        return skewed(nodes, edges), torch.randint(relations, (edges,)), nodes, relations, "skewed random"


def cases(edge_index, edge_type, num_nodes, num_relations, batches, channels, check=True):
    source, target = edge_index
    graph = ops.CSRGraph(edge_index, num_nodes=num_nodes)
    torch.manual_seed(0)
    x = torch.randn(batches, num_nodes, channels, requires_grad=True)
    relation = torch.randn(batches, num_relations, channels, requires_grad=True)
    boundary = torch.randn(batches, num_nodes, channels)
    degree = (torch.bincount(target, minlength=num_nodes) + 1).view(1, -1, 1)
    grads = {"sum": torch.randn(batches, num_nodes, channels), "pna": torch.randn(batches, num_nodes, 4, channels)}

    def torch_sum():
        return torch.zeros_like(x).index_add(1, target, x[:, source] * relation[:, edge_type])

    def torch_pna():
        message = x[:, source] * relation[:, edge_type]
        index = target.view(1, -1, 1).expand_as(message)
        zeros = torch.zeros_like(x)
        mean = (zeros.index_add(1, target, message) + boundary) / degree
        square = (zeros.index_add(1, target, message**2) + boundary**2) / degree
        high = torch.full_like(x, -torch.inf).scatter_reduce(1, index, message, "amax")
        low = torch.full_like(x, torch.inf).scatter_reduce(1, index, message, "amin")
        std = (square - mean**2).clamp(min=1e-6).sqrt()
        return torch.stack([mean, torch.maximum(high, boundary), torch.minimum(low, boundary), std], 2)

    def ours_sum():
        return ops.relational_spmm(graph, edge_type, x, relation, num_nodes=num_nodes)

    def ours_pna():
        return ops.relational_pna(graph, edge_type, x, relation, num_nodes=num_nodes, boundary=boundary)

    def four_reductions():
        each = [
            ops.relational_spmm(graph, edge_type, x, relation, num_nodes=num_nodes, reduce=reduce, boundary=boundary)
            for reduce in ("mean", "max", "min")
        ]
        # the deviation needs the squares once more
        square = ops.relational_spmm(
            graph, edge_type, x**2, relation**2, num_nodes=num_nodes, reduce="mean", boundary=boundary**2
        )
        return torch.stack([*each, (square - each[0] ** 2).clamp(min=1e-6).sqrt()], 2)

    def forward(function):
        def run():
            with torch.no_grad():
                return function()

        return run

    def both(function, kind):
        def run():
            x.grad = relation.grad = None
            function().backward(grads[kind])

        return run

    for kind, peers in (
        ("sum", {"torch": torch_sum, "graphkit": ours_sum}),
        ("pna", {"torch": torch_pna, "four reductions of graphkit": four_reductions, "graphkit": ours_pna}),
    ):
        with torch.no_grad():
            error = float((peers["torch"]() - peers["graphkit"]()).abs().max()) if check else None
        yield kind, "forward", error, {name: forward(f) for name, f in peers.items()}
        yield kind, "forward+backward", error, {name: both(f, kind) for name, f in peers.items()}


def against_peers(rounds: int) -> None:
    rows = []
    for name in SIZES:
        *graph, origin = graph_of(name)
        for batches, channels in ((4, 32), (16, 32)):
            for kind, what, error, calls in cases(*graph, batches, channels):
                found = measure(calls, rounds)
                ours = found["graphkit"]
                row = {
                    "graph": f"{name} ({origin})", "B": batches, "D": channels, "kind": kind, "what": what, "error": error,
                    "times": found, "output_mib": batches * graph[2] * channels * 4 * (4 if kind == "pna" else 1) / 2**20,
                    "ratio": {n: f["median"] / ours["median"] for n, f in found.items() if n != "graphkit"},
                }  # fmt: skip
                rows.append(row)
                ratios = ", ".join(f"{r:.1f}x {n}" for n, r in row["ratio"].items())
                peaks = ", ".join(f"{n} {f['peak_mib']:.0f}" for n, f in found.items())
                print(
                    f"{name} {batches}x{channels} {kind} {what}: {ours['median']:.4f} s, {ratios}; MiB {peaks}",
                    flush=True,
                )
                write("relational", rows)


def sweep(rounds: int) -> None:
    """Seconds per (E B D) as E, B D and the skew grow: flat, or the kernel wastes something."""
    rows = []
    for edges, batches, channels, shape in [
        *((e, 4, 32, "uniform") for e in (10_000, 100_000, 1_000_000)),
        *((1_000_000, b, d, "uniform") for b, d in ((1, 32), (16, 32), (4, 16), (4, 64), (4, 128))),
        (1_000_000, 4, 32, "skewed"), (1_000_000, 4, 32, "one hub with half of the edges"),
        (1_000_000, 1, 32, "one hub with half of the edges"),
        (10_000_000, 4, 32, "uniform"),
        # tables of 98 MiB to 1 GiB, which no cache holds
        *((e, 1, 128, "five edges a node") for e in (1_000_000, 3_000_000, 10_000_000)),
    ]:  # fmt: skip
        nodes = max(edges // (5 if shape == "five edges a node" else 20), 100)
        torch.manual_seed(0)
        edge_index = skewed(nodes, edges) if shape == "skewed" else torch.randint(nodes, (2, edges))
        if shape.startswith("one hub"):
            edge_index[1, : edges // 2] = 7
        edge_type = torch.randint(20, (edges,))
        for kind, what, _, calls in cases(edge_index, edge_type, nodes, 20, batches, channels, check=False):
            found = measure({"graphkit": calls["graphkit"]}, rounds)["graphkit"]
            per = found["median"] / (edges * batches * channels) * 1e9
            rows.append(
                {"E": edges, "N": nodes, "B": batches, "D": channels, "shape": shape, "kind": kind, "what": what,
                 "seconds": found["median"], "ns_per_element": per}
            )  # fmt: skip
            print(
                f"E {edges:>10,} {batches}x{channels} {shape} {kind} {what}: {found['median']:.4f} s, {per:.3f} ns",
                flush=True,
            )
            write("relational_sweep", rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["peers", "sweep"])
    options = parser.parse_args()
    if options.only != "sweep":
        against_peers(options.rounds)
    if options.only != "peers":
        sweep(options.rounds)
