"""Common neighbours of many pairs as sets and pooled, against torch, scipy and torch-sparse, and how the cost grows.

    python experiments/bench/bench_common_neighbors.py [--rounds 5] [--pairs 100000] [--threads 2]
           [--only sets|pooled|sweep|WORD]

Half of the pairs are edges. Sets: sorted common neighbours of every pair, checked to be equal. Pooled: features with 64
channels summed over them, forward, and forward with the gradient of the features; the peers make the sets first and
multiply. Everybody gets the sorted graph as it likes it, made beforehand. Where all calls of a round together take less than
half a second, there are at least 15 rounds, in which a timed call follows one of its own, for everybody alike: few rounds of
milliseconds say little, and the first call after others pays for waking threads. Cora and ogbl-ddi come from GRAPHKIT_DATA and
are left out where they are absent. Results: results/common_neighbors.json and results/common_neighbors_sweep.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
from peak import measure, write
from torch import Tensor

from graphkit import ops
from graphkit.datasets.planetoid import read_planetoid
from graphkit.datasets.torch_files import read_torch_file

CHANNELS = 64
SHORT, ROUNDS_OF_SHORT = 0.5, 15
Sets = tuple[Tensor, Tensor]


# ---------------------------------------------------------------- graphs


def power_law(num_nodes: int, num_edges: int, exponent: float = 2.5, seed: int = 0) -> Tensor:
    """Chung-Lu: ends are drawn in proportion to weights whose distribution falls with the exponent. Each edge once."""
    random = np.random.default_rng(seed)
    weight = (np.arange(num_nodes) + 10.0) ** (-1 / (exponent - 1))
    share = np.cumsum(weight / weight.sum())
    keys = np.empty(0, dtype=np.int64)
    while len(keys) < num_edges:
        ends = np.searchsorted(share, random.random((2, num_edges))).clip(max=num_nodes - 1)
        low, high = ends.min(0), ends.max(0)
        keys = np.unique(np.concatenate([keys, (low * num_nodes + high)[low != high]]))
    keys = random.permutation(keys)[:num_edges]
    name = random.permutation(num_nodes)
    return torch.from_numpy(np.stack([name[keys // num_nodes], name[keys % num_nodes]]))


def graphs() -> Iterator[tuple[str, int, Tensor]]:
    root = Path(os.environ.get("GRAPHKIT_DATA", ""))
    cora = sorted(root.glob("planetoid/**/ind.cora.*"))
    if cora:
        graph = read_planetoid({path.name: path for path in cora})
        yield "cora", graph.num_nodes, graph.edges
    ddi = root / "ogb" / "ogbl_ddi" / "split" / "target" / "train.pt"
    if ddi.is_file():
        yield "ogbl-ddi", 4267, torch.from_numpy(read_torch_file(ddi)["edge"].astype(np.int64)).t().contiguous()
    yield "power law 200k / 2M", 200_000, power_law(200_000, 2_000_000)


def pairs_of(edges: Tensor, num_nodes: int, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    known = edges[:, torch.randint(edges.shape[1], (count // 2,), generator=generator)]
    pairs = torch.cat([known, torch.randint(num_nodes, (2, count - count // 2), generator=generator)], 1)
    return pairs[:, torch.randperm(count, generator=generator)].contiguous()


# ---------------------------------------------------------------- peers


def canonical(pair: Tensor, node: Tensor, count: int, num_nodes: int) -> Sets:
    key = (pair * num_nodes + node).sort().values
    ptr = torch.zeros(count + 1, dtype=torch.int64)
    ptr[1:] = torch.bincount(key // num_nodes, minlength=count).cumsum(0)
    return ptr, key % num_nodes


def torch_search(graph: ops.SimpleGraph) -> Callable[[Tensor], Sets]:
    """The shorter row of each pair, looked up among the sorted keys row * N + col of the whole graph."""
    n, ptr, col, degree = graph.num_nodes, graph.ptr, graph.col.long(), graph.degree
    keys = graph.row() * n + col

    def sets(pairs: Tensor) -> Sets:
        shorter = degree[pairs].argmin(0, keepdim=True)
        short, long = pairs.gather(0, shorter)[0], pairs.gather(0, 1 - shorter)[0]
        count = degree[short]
        pair = torch.arange(len(short)).repeat_interleave(count)
        at = torch.arange(len(pair)) + (ptr[short] - (count.cumsum(0) - count)).repeat_interleave(count)
        node = col[at]
        wanted = long.repeat_interleave(count) * n + node
        found = keys[torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)] == wanted
        pair = pair[found]
        rows = torch.zeros(len(short) + 1, dtype=torch.int64)
        rows[1:] = torch.bincount(pair, minlength=len(short)).cumsum(0)
        return rows, node[found]  # sorted already

    return sets


def scipy_matrix(graph: ops.SimpleGraph) -> scipy.sparse.csr_array:
    shape = (graph.num_nodes, graph.num_nodes)
    ones = np.ones(len(graph.col), dtype=np.float32)
    return scipy.sparse.csr_array((ones, graph.col.numpy(), graph.ptr.numpy()), shape=shape)


def scipy_product(A: scipy.sparse.csr_array, pairs: Tensor) -> scipy.sparse.csr_array:
    return A[pairs[0].numpy()].multiply(A[pairs[1].numpy()]).tocsr()


def scipy_rows(graph: ops.SimpleGraph) -> Callable[[Tensor], Sets]:
    A = scipy_matrix(graph)

    def sets(pairs: Tensor) -> Sets:
        both = scipy_product(A, pairs)
        both.sort_indices()
        return torch.from_numpy(both.indptr.astype(np.int64)), torch.from_numpy(both.indices.astype(np.int64))

    return sets


def sparse_overlap(graph: ops.SimpleGraph) -> Callable[[Tensor], Sets] | None:
    """Rows sliced as sparse matrices, entries packed into keys of 64 bits, one batch's keys looked up in the other's."""
    if importlib.util.find_spec("torch_sparse") is None:
        return None
    from torch_sparse import SparseTensor

    size = (graph.num_nodes, graph.num_nodes)
    matrix = SparseTensor(rowptr=graph.ptr, col=graph.col.long(), sparse_sizes=size, is_sorted=True)

    def sets(pairs: Tensor) -> Sets:
        keys = []
        for nodes in pairs:
            row, col, _ = matrix[nodes].coo()
            keys.append(row * graph.num_nodes + col)
        few, many = sorted(keys, key=len)
        found = (
            few[many[torch.searchsorted(many, few).clamp(max=max(len(many) - 1, 0))] == few] if len(many) else few[:0]
        )
        return canonical(found // graph.num_nodes, found % graph.num_nodes, pairs.shape[1], graph.num_nodes)

    return sets


def torch_pooled(sets: Callable[[Tensor], Sets], pairs: Tensor, x: Tensor, grad: Tensor | None) -> list[Tensor]:
    ptr, node = sets(pairs)
    matrix = torch.sparse_csr_tensor(ptr, node, torch.ones(len(node)), (len(ptr) - 1, len(x)))
    out = [matrix @ x]
    if grad is not None:
        total, pair = torch.zeros_like(x), torch.arange(len(grad)).repeat_interleave(ptr.diff())
        for some, nodes in zip(pair.split(1 << 20), node.split(1 << 20), strict=True):
            total.index_add_(0, nodes, grad[some])
        out.append(total)
    return out


def scipy_pooled(A: scipy.sparse.csr_array, pairs: Tensor, x: Tensor, grad: Tensor | None) -> list[Tensor]:
    both = scipy_product(A, pairs)
    out = [torch.from_numpy(both @ x.numpy())]
    return out if grad is None else [*out, torch.from_numpy(both.T @ grad.numpy())]


# ---------------------------------------------------------------- cases


def ours_pooled(graph: ops.SimpleGraph, pairs: Tensor, x: Tensor, grad: Tensor | None) -> list[Tensor]:
    if grad is None:
        return [ops.cn_pool(graph, pairs, x, num_nodes=graph.num_nodes)]
    leaf = x.detach().requires_grad_()
    out = ops.cn_pool(graph, pairs, leaf, num_nodes=graph.num_nodes)
    return [out.detach(), *torch.autograd.grad(out, leaf, grad)]


def against_peers(count: int, rounds: int, only: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, n, edges in graphs():
        graph = ops.SimpleGraph(edges, num_nodes=n)
        pairs = pairs_of(edges, n, count)
        makers = {"torch": torch_search(graph), "scipy": scipy_rows(graph), "torch-sparse": sparse_overlap(graph)}
        peers = {peer: make for peer, make in makers.items() if make is not None}
        A = scipy_matrix(graph)
        x, grad = (torch.randn(size, CHANNELS, generator=torch.Generator().manual_seed(1)) for size in (n, count))
        ptr, node = ops.common_neighbors(graph, pairs, num_nodes=n)
        head = {
            "graph": name, "n": n, "edges": graph.num_edges, "pairs": count, "found": len(node),
            "sum_degrees": int(graph.degree[pairs].sum()), "sum_smaller": int(graph.degree[pairs].amin(0).sum()),
        }  # fmt: skip
        for what in ("sets", "pooled forward", "pooled forward and backward"):
            if only and only not in f"{name} {what}":
                continue
            if what == "sets":
                calls: dict[str, Callable[[], object]] = {
                    "graphkit": lambda g=graph, p=pairs: ops.common_neighbors(g, p, num_nodes=g.num_nodes)
                }
                calls |= {peer: lambda make=make, p=pairs: make(p) for peer, make in peers.items()}
                for call in calls.values():
                    found = call()
                    assert all(torch.equal(a, b) for a, b in zip(found, (ptr, node), strict=True))  # type: ignore[call-overload]
            else:
                g = grad if what.endswith("backward") else None
                calls = {"graphkit": lambda g=g, G=graph, p=pairs, x=x: ours_pooled(G, p, x, g)}
                calls["scipy"] = lambda g=g, A=A, p=pairs, x=x: scipy_pooled(A, p, x, g)
                for peer in ("torch", "torch-sparse"):
                    if peer in peers:
                        calls[peer] = lambda g=g, make=peers[peer], p=pairs, x=x: torch_pooled(make, p, x, g)
                wanted = calls["graphkit"]()
                for call in calls.values():
                    for a, b in zip(call(), wanted, strict=True):  # type: ignore[call-overload]
                        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * max(1.0, float(b.abs().max())))
            begin = time.perf_counter()
            for call in calls.values():
                call()
            short = time.perf_counter() - begin < SHORT
            times = measure(calls, max(rounds, ROUNDS_OF_SHORT) if short else rounds, in_a_row=short)
            mine = times["graphkit"]["median"]
            row = {
                **head,
                "what": what,
                "times": times,
                "ratio": {p: t["median"] / mine for p, t in times.items() if p != "graphkit"},
            }
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def sweep(rounds: int) -> list[dict[str, object]]:
    """How time and memory grow with the pairs and with the degree, on random graphs of 50,000 nodes."""
    rows: list[dict[str, object]] = []
    n = 50_000
    x = torch.randn(n, CHANNELS, generator=torch.Generator().manual_seed(1))
    for degree in (8, 32, 128, 512):
        edges = torch.randint(n, (2, n * degree // 2), generator=torch.Generator().manual_seed(degree))
        graph = ops.SimpleGraph(edges, num_nodes=n)
        for count in (1_000, 10_000, 100_000, 1_000_000):
            pairs = pairs_of(edges, n, count)
            grad = torch.ones(1, CHANNELS).expand(count, CHANNELS).contiguous()
            calls: dict[str, Callable[[], object]] = {
                "sets": lambda g=graph, p=pairs: ops.common_neighbors(g, p, num_nodes=n),
                "pooled forward": lambda g=graph, p=pairs: ours_pooled(g, p, x, None),
                "pooled forward and backward": lambda g=graph, p=pairs, d=grad: ours_pooled(g, p, x, d),
            }
            times = measure(calls, rounds)
            pooled_mib = {
                "forward": count * CHANNELS * 4 / 2**20,
                "forward and backward": (count + n) * CHANNELS * 4 / 2**20,
            }
            row = {"n": n, "degree": degree, "pairs": count, "times": times, "output_mib": pooled_mib}
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.only != "sweep":
        rows = against_peers(arguments.pairs, arguments.rounds, arguments.only)
        if not arguments.only:
            write("common_neighbors", rows)
    if arguments.only in ("", "sweep"):
        grown = sweep(arguments.rounds)
        write("common_neighbors_sweep", grown)


if __name__ == "__main__":
    main()
