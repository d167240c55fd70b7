"""Calls whose cost bench_scale.py measures on graphs of a given number of edges, and how much work each of them does.

Every case is a function of the number of undirected edges E; it returns the call, the units of work in it, and what a unit is.
Power-law graphs have E / 10 nodes (mean degree 20); distances are measured on grids, where balls are as small as in streets.
Both directions of an edge are stored where an operator follows edges as stored, so there are 2 E entries.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from bench_common_neighbors import power_law
from bench_directed import random_graph
from bench_eccentricity import grid
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphkit import ops
from graphkit.analysis import approximate_concentration
from graphkit.nn import DirectedPattern

DEGREE, CHANNELS, RELATIONS, ASKED, HOPS = 20, 32, 16, 1000, 16
FOLDER: Path | None = None
"""Where graphs are kept between processes; to draw one of 10^7 edges takes most of a minute."""


class Case(NamedTuple):
    """A call, the units of work in it, what a unit is, and the units in a whole graph of E edges.

    ``whole`` is None where the call does all of the graph's work, which then grows like E; else it does a sample.
    """

    call: Callable[[], object]
    units: int
    unit: str
    whole: Callable[[float], float] | None = None


def nodes_of(edges: int) -> int:
    return max(10, 2 * edges // DEGREE)


def entries(edges: int, folder: Path | None = None) -> tuple[Tensor, int]:
    """Both directions of a power-law graph, in any order; from the folder, where they are there."""
    nodes, folder = nodes_of(edges), folder or FOLDER
    path = None if folder is None else folder / f"{edges}.safetensors"
    if path is not None and path.exists():
        return load_file(path)["both"], nodes
    one_way = power_law(nodes, min(edges, nodes * (nodes - 1) // 4))
    both = torch.cat([one_way, one_way.flip(0)], 1)
    both = both[:, torch.randperm(both.shape[1], generator=torch.Generator().manual_seed(0))].contiguous()
    if path is not None:
        save_file({"both": both}, path)
    return both, nodes


def simple(edges: int) -> ops.SimpleGraph:
    both, nodes = entries(edges)
    return ops.SimpleGraph(both, num_nodes=nodes)


def some_pairs(graph: ops.SimpleGraph, count: int) -> Tensor:
    """Half edges, half pairs at random."""
    generator = torch.Generator().manual_seed(1)
    at = torch.randint(len(graph.col), (count // 2,), generator=generator)
    known = torch.stack([torch.searchsorted(graph.ptr, at, right=True) - 1, graph.col[at].long()])
    return torch.cat([known, torch.randint(graph.num_nodes, (2, count - count // 2), generator=generator)], 1)


def sorting(edges: int) -> Case:
    both, nodes = entries(edges)

    return Case(lambda: ops.CSRGraph(both, num_nodes=nodes).t_edge, both.shape[1], "entry")


def simplifying(edges: int) -> Case:
    both, nodes = entries(edges)
    return Case(lambda: ops.SimpleGraph(both, num_nodes=nodes), both.shape[1], "entry")


def relational(edges: int) -> Case:
    both, nodes = entries(edges)
    generator = torch.Generator().manual_seed(2)
    graph = ops.CSRGraph(both, num_nodes=nodes)
    kind = torch.randint(RELATIONS, (both.shape[1],), generator=generator)
    x = torch.randn(1, nodes, CHANNELS, generator=generator)
    relation = torch.randn(RELATIONS, CHANNELS, generator=generator)
    return Case(
        lambda: ops.relational_spmm(graph, kind, x, relation, num_nodes=nodes),
        both.shape[1] * CHANNELS,
        "entry and channel",
    )


def neighbors(edges: int) -> Case:
    graph = simple(edges)
    pairs = some_pairs(graph, min(graph.num_nodes, 100 * ASKED))
    return Case(lambda: ops.common_neighbors(graph, pairs, num_nodes=graph.num_nodes), pairs.shape[1], "pair", float)


def pooled(edges: int) -> Case:
    graph = simple(edges)
    pairs = some_pairs(graph, min(graph.num_nodes, 100 * ASKED))
    x = torch.randn(graph.num_nodes, CHANNELS, generator=torch.Generator().manual_seed(3))
    return Case(lambda: ops.cn_pool(graph, pairs, x, num_nodes=graph.num_nodes), pairs.shape[1], "pair", float)


def directed(edges: int) -> Case:
    nodes = nodes_of(edges)
    graph = ops.DirectedGraph(random_graph(nodes, edges), num_nodes=nodes)
    x = torch.randn(nodes, CHANNELS, generator=torch.Generator().manual_seed(4))
    pattern = DirectedPattern(graph, "A A^T", num_nodes=nodes, norm="none", materialize="never")
    return Case(lambda: pattern(x), 2 * graph.num_edges * CHANNELS, "entry and channel")


def orbits(edges: int) -> Case:
    graph = simple(edges)
    return Case(lambda: ops.orbit_counts(graph, num_nodes=graph.num_nodes), len(graph.col) // 2, "edge")


def concentration(edges: int) -> Case:
    graph = simple(edges)
    return Case(
        lambda: approximate_concentration(graph, num_nodes=graph.num_nodes, dimensions=32, draws=2),
        64 * len(graph.col),
        "entry and column",
    )


def scan(edges: int) -> Case:
    """As many steps in all as there are nodes, in sequences of 64."""
    steps, states = nodes_of(edges), 16
    sequences = max(1, steps // 64)
    generator = torch.Generator().manual_seed(5)
    u = torch.randn(sequences, 64, CHANNELS, generator=generator)
    delta = torch.rand(sequences, 64, CHANNELS, generator=generator)
    a = -torch.rand(CHANNELS, states, generator=generator)
    b, c = (torch.randn(sequences, 64, states, generator=generator) for _ in range(2))
    return Case(lambda: ops.selective_scan(u, delta, a, b, c), u.numel() * states, "state")


def walks(edges: int) -> Case:
    both, nodes = entries(edges)
    graph, start = ops.CSRGraph(both, num_nodes=nodes), torch.arange(nodes)
    return Case(
        lambda: ops.sample_walks(graph, start, num_nodes=nodes, length=8, walks=4, seed=0), nodes * 4 * 8, "step"
    )


def tokens(edges: int) -> Case:
    """For batches of at most 10,000 nodes, as training asks for them."""
    both, nodes = entries(edges)
    graph, start = ops.CSRGraph(both, num_nodes=nodes), torch.arange(min(nodes, 10 * ASKED))
    return Case(
        lambda: ops.walk_tokens(graph, start, num_nodes=nodes, walk_length=4, walks=4, repeats=2, seed=0),
        len(start),
        "node",
        lambda whole: whole / 10,
    )


def streets(edges: int) -> tuple[Tensor, Tensor, int]:
    return grid(max(16, round(edges / 1.44)))


def eccentricity(edges: int) -> Case:
    both, weight, nodes = streets(edges)
    graph = ops.CSRGraph(both, num_nodes=nodes)
    subset = torch.randperm(nodes, generator=torch.Generator().manual_seed(6))[:ASKED]

    def call() -> object:
        return ops.khop_eccentricity(graph, num_nodes=nodes, k=HOPS, weight=weight, subset=subset)

    return Case(call, len(subset), "node", lambda whole: whole / 1.44)


def balls(edges: int) -> Case:
    both, _, nodes = streets(edges)
    graph = ops.HopGraph(both, num_nodes=nodes)
    seeds = torch.randperm(nodes, generator=torch.Generator().manual_seed(7))[:ASKED]
    return Case(
        lambda: ops.hop_balls(graph, seeds, num_nodes=nodes, hops=HOPS), len(seeds), "node", lambda whole: whole / 1.44
    )


CASES: dict[str, Callable[[int], Case]] = {
    "csr": sorting,
    "simple": simplifying,
    "relational": relational,
    "neighbors": neighbors,
    "cn_pool": pooled,
    "directed": directed,
    "orbits": orbits,
    "concentration": concentration,
    "scan": scan,
    "walks": walks,
    "tokens": tokens,
    "eccentricity": eccentricity,
    "balls": balls,
}
