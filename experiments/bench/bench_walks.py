"""Random walks, induced edges and token sets, beside numpy, scipy and torch_cluster.

    python experiments/bench/bench_walks.py [--threads 1] [--rounds 5] [--only walks induced tokens] [--scale 1]

walks      16 walks of 8 steps from every node of a power-law graph (200,000 nodes, 4,000,000 entries): graphkit on sorted and
           on unsorted edges, numpy step by step, torch_cluster where it is installed. Every step is checked to be an edge,
           first steps by chi-square.
induced    the edges among the nodes of 2,000 tokens (what those walks of one node visit): graphkit, scipy's A[t][:, t],
           numpy with sorted keys; results compared.
tokens     all token sets of Graph Mamba with M = 8, m = 4, s = 4 for 12,500 to 200,000 nodes: tokens, walk steps and nodes
           a second, and once more with the induced edges, for batches of 1,000 nodes.

Results: results/walks.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse
import torch
from bench_common_neighbors import power_law
from peak import measure, write
from torch import Tensor

from graphkit import ops

Row = dict[str, object]


def both_ways(nodes: int, edges: int) -> Tensor:
    one_way = power_law(nodes, edges)
    edge_index = torch.cat([one_way, one_way.flip(0)], 1)
    return edge_index[:, torch.randperm(edge_index.shape[1], generator=torch.Generator().manual_seed(0))]


def numpy_walks(graph: ops.CSRGraph, walks: int, length: int) -> Tensor:
    ptr, col, degree = graph.t_ptr.numpy(), graph.t_target.numpy(), graph.t_ptr.diff().numpy()
    random = np.random.default_rng(0)
    here = np.repeat(np.arange(graph.num_nodes), walks)
    out = np.empty((length + 1, len(here)), dtype=np.int64)
    out[0] = here
    for step in range(length):
        choices = degree[here]
        place = ptr[here] + (random.random(len(here)) * choices).astype(np.int64)
        here = np.where(choices > 0, col[np.minimum(place, len(col) - 1)], here)
        out[step + 1] = here
    return torch.from_numpy(out.T.reshape(graph.num_nodes, walks, length + 1))


def agreement(graph: ops.CSRGraph, walks: Tensor) -> dict[str, float]:
    """Every step is an edge, or a stay without one; chi-square of the first steps over its degrees of freedom."""
    source, target = walks[..., :-1].reshape(-1), walks[..., 1:].reshape(-1)
    degree = graph.t_ptr.diff()
    row = torch.repeat_interleave(torch.arange(graph.num_nodes), degree)
    keys = row * graph.num_nodes + graph.t_target
    wanted = source * graph.num_nodes + target
    at = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    stays = (degree[source] == 0) & (source == target)
    assert bool(((keys[at] == wanted) | stays).all()), "a step is not an edge"
    first = (walks[:, :, 0] * graph.num_nodes + walks[:, :, 1])[degree > 0].flatten()
    count = torch.bincount(torch.searchsorted(keys, first), minlength=len(keys)).double()
    expected = (walks.shape[1] / degree.double())[row]
    freedom = int((degree[degree > 0] - 1).sum())
    return {"chi_square_per_degree_of_freedom": float(((count - expected) ** 2 / expected).sum() / freedom)}


def walk_rows(rounds: int, nodes: int, edges: int, walks: int, length: int) -> Iterator[Row]:
    edge_index = both_ways(nodes, edges)
    graph = ops.CSRGraph(edge_index, num_nodes=nodes)
    start, steps = torch.arange(nodes), nodes * walks * length

    def ours(given: Tensor | ops.CSRGraph) -> Tensor:
        return ops.sample_walks(given, start, num_nodes=nodes, length=length, walks=walks, seed=0)

    calls: dict[str, Callable[[], object]] = {
        "graphkit": lambda: ours(graph),
        "graphkit, edges sorted in the call": lambda: ours(edge_index),
        "numpy, step by step": lambda: numpy_walks(graph, walks, length),
    }
    if importlib.util.find_spec("torch_cluster") is not None:
        import torch_cluster  # noqa: F401  (registers the operator)

        many, col = start.repeat_interleave(walks), graph.t_target.long()
        calls["torch_cluster, sorted edges"] = lambda: torch.ops.torch_cluster.random_walk(
            graph.t_ptr, col, many, length, 1.0, 1.0
        )
    times = measure(calls, rounds)
    own = times["graphkit"]["median"]
    yield {
        "what": "walks", "nodes": nodes, "entries": edge_index.shape[1], "walks": walks, "length": length, "times": times,
        "ns_per_step": {name: found["median"] / steps * 1e9 for name, found in times.items()},
        "ratio": {name: found["median"] / own for name, found in times.items() if name != "graphkit"},
        **agreement(graph, ours(graph)),
    }  # fmt: skip


def by_scipy(matrix: scipy.sparse.csr_array, tokens: list[np.ndarray]) -> list[np.ndarray]:
    found = []
    for t in tokens:
        sub = matrix[t][:, t].tocoo()
        order = np.lexsort((sub.col, sub.row))
        found.append(np.stack([sub.row[order], sub.col[order]]))
    return found


def by_keys(keys: np.ndarray, nodes: int, tokens: list[np.ndarray]) -> list[np.ndarray]:
    found = []
    for t in tokens:
        wanted = (t[:, None] * nodes + t[None]).ravel()
        at = np.searchsorted(keys, wanted)
        found.append(np.stack(np.divmod(np.flatnonzero(keys[np.minimum(at, len(keys) - 1)] == wanted), len(t))))
    return found


def induced_rows(rounds: int, nodes: int, edges: int, walks: int, length: int, count: int) -> Iterator[Row]:
    edge_index = both_ways(nodes, edges)
    graph = ops.CSRGraph(edge_index, num_nodes=nodes)
    start = torch.randperm(nodes, generator=torch.Generator().manual_seed(1))[:count]
    visited = ops.sample_walks(graph, start, num_nodes=nodes, length=length, walks=walks, seed=0)
    sets = [w.unique() for w in visited]
    size = torch.tensor([len(t) for t in sets])
    ptr, members = torch.cat([size.new_zeros(1), size.cumsum(0)]), torch.cat(sets)
    tokens = [t.numpy() for t in sets]
    matrix = scipy.sparse.csr_array(
        (np.ones(graph.num_edges, dtype=np.int8), graph.t_target.numpy(), graph.t_ptr.numpy()), shape=(nodes, nodes)
    )
    row = torch.repeat_interleave(torch.arange(nodes), graph.t_ptr.diff())
    keys = (row * nodes + graph.t_target).numpy()
    _ = graph.t_edge  # made once, like the sorted forms of the others
    edge_ptr, source, target, _ = ops.induced_edges(graph, ptr, members, num_nodes=nodes)
    for other in (by_scipy(matrix, tokens), by_keys(keys, nodes, tokens)):
        assert np.array_equal(np.concatenate(other, 1), torch.stack([source, target]).numpy()), "results differ"
        assert edge_ptr.diff().tolist() == [found.shape[1] for found in other]
    times = measure(
        {
            "graphkit": lambda: ops.induced_edges(graph, ptr, members, num_nodes=nodes),
            "scipy, A[t][:, t]": lambda: by_scipy(matrix, tokens),
            "numpy, sorted keys": lambda: by_keys(keys, nodes, tokens),
        },
        rounds,
    )
    own = times["graphkit"]["median"]
    yield {
        "what": "induced edges", "nodes": nodes, "entries": edge_index.shape[1], "tokens": count,
        "nodes_per_token": float(size.double().mean()), "edges_per_token": len(source) / count,
        "entries_of_a_token": float(graph.t_ptr.diff()[members].double().sum() / count), "times": times,
        "us_per_token": {name: found["median"] / count * 1e6 for name, found in times.items()},
        "ratio": {name: found["median"] / own for name, found in times.items() if name != "graphkit"},
    }  # fmt: skip


def token_rows(rounds: int, largest: int, average_degree: int) -> Iterator[Row]:
    m, walks, s = 4, 8, 4
    for nodes in [largest // part for part in (16, 8, 4, 2, 1)]:
        graph = ops.CSRGraph(both_ways(nodes, nodes * average_degree // 2), num_nodes=nodes)
        start = torch.arange(nodes)
        batches = start[torch.randperm(nodes, generator=torch.Generator().manual_seed(2))].split(1000)[:10]
        some = sum(len(batch) for batch in batches)

        def tokens(
            chosen: Tensor, edges: bool, graph: ops.CSRGraph = graph, nodes: int = nodes, s: int = s
        ) -> ops.WalkTokens:
            return ops.walk_tokens(
                graph, chosen, num_nodes=nodes, walk_length=m, walks=walks, repeats=s, seed=0, return_edges=edges
            )

        found = tokens(start, False)
        times = measure(
            {
                "tokens of all nodes": lambda tokens=tokens, start=start: tokens(start, False),
                "tokens with edges, batches of 1,000": lambda tokens=tokens, batches=batches: [
                    tokens(batch, True) for batch in batches
                ],
            },
            rounds,
        )
        seconds = times["tokens of all nodes"]["median"]
        with_edges = times["tokens with edges, batches of 1,000"]["median"]
        yield {
            "what": "tokens", "nodes": nodes, "entries": graph.num_edges, "m": m, "walks": walks, "repeats": s, "times": times,
            "tokens_per_second": (len(found.ptr) - 1) / seconds, "us_per_node": seconds / nodes * 1e6,
            "ns_per_step": seconds / (nodes * s * walks * m * (m + 1) // 2) * 1e9,
            "nodes_per_token": len(found.nodes) / (len(found.ptr) - 1), "us_per_node_with_edges": with_edges / some * 1e6,
            "tokens_per_second_with_edges": some * m * s / with_edges,
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = ["walks", "induced", "tokens"]
    parser.add_argument("--only", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the sizes, for a quick look (default: 1)")
    parser.add_argument("--name", default="walks", help="results/NAME.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    nodes = max(1600, int(200_000 * options.scale))
    cases: dict[str, Callable[[], Iterator[Row]]] = {
        "walks": lambda: walk_rows(options.rounds, nodes, 10 * nodes, 16, 8),
        "induced": lambda: induced_rows(options.rounds, nodes, 10 * nodes, 16, 8, max(20, nodes // 100)),
        "tokens": lambda: token_rows(options.rounds, nodes, 20),
    }
    rows: list[Row] = []
    for kind in options.only:
        for row in cases[kind]():
            rows.append(row)
            print(json.dumps(row, indent=1), flush=True)
            write(options.name, rows)


if __name__ == "__main__":
    main()
