"""Orbit adjacencies and orbit counts against gradco, orbit-count (ORCA) and pyfglt, and how the cost grows.

    python experiments/bench/bench_orbits.py [--rounds 5] [--only WORD ...] [--missing] [--threads 2]
           [--peers PYTHON] [--limit 600] [--cap 15] [--no-peers]

Every tool runs on every graph in a fresh process, one after the other; a peer that takes longer than --limit seconds, more
than --cap GiB, or dies is noted as such. --peers (or GRAPHKIT_PEERS) names the Python of an environment with gradco,
orbit-count and pyfglt, which need numpy below 2. Real graphs are taken from GRAPHKIT_DATA and left out where they are absent.
What the tools count is compared: graphkit's totals with each peer's, and with gradco the non-zeros of every matrix.

Results: results/orbits.json, written after every graph, so that a run that is stopped keeps what it has; rows measured
before stay until they are measured again. --missing leaves out what this commit has been measured on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Edges = tuple[int, np.ndarray]


# ---------------------------------------------------------------- graphs


def generated(make: Callable[..., object], *arguments: float, seed: int = 0) -> Callable[[], Edges]:
    def graph() -> Edges:
        made = make(*arguments, seed=seed)
        return made.number_of_nodes(), np.array(made.edges(), dtype=np.int64)  # type: ignore[attr-defined]

    return graph


def triples(splits: tuple[str, ...]) -> Callable[[], Edges] | None:
    folder = Path(os.environ.get("GRAPHKIT_DATA", "")) / "fb15k_237" / "raw"
    if not folder.is_dir():
        return None

    def graph() -> Edges:
        ids: dict[str, int] = {}
        edges = set()
        for split in splits:
            for line in (folder / f"{split}.txt").read_text().splitlines():
                head, _, tail = line.split("\t")
                u, v = (ids.setdefault(name, len(ids)) for name in (head, tail))
                if u != v:
                    edges.add((min(u, v), max(u, v)))
        return len(ids), np.array(sorted(edges), dtype=np.int64)

    return graph


def star(leaves: int) -> Edges:
    return leaves + 1, np.stack([np.zeros(leaves, dtype=np.int64), np.arange(1, leaves + 1)], 1)


def graphs() -> Iterator[tuple[str, str, Callable[[], Edges]]]:
    """(name, what is measured, graph)."""
    import networkx as nx

    for degree in (10, 20):
        yield f"er_5000_d{degree}", "adjacency", generated(nx.fast_gnp_random_graph, 5000, degree / 4999)
    for n in (5000, 10000):
        for m in (5, 10):
            yield f"ba_{n}_m{m}", "adjacency", generated(nx.barabasi_albert_graph, n, m)
    for m in (5, 10):
        yield f"plc_5000_m{m}", "adjacency", generated(nx.powerlaw_cluster_graph, 5000, m, 0.5)
    for name, splits in (("fb15k237_valid_test", ("valid", "test")), ("fb15k237", ("train", "valid", "test"))):
        real = triples(splits)
        if real is not None:
            yield name, "adjacency", real
            if name == "fb15k237":
                yield name, "blocks", real
    yield "ba_100000_m10", "counts", generated(nx.barabasi_albert_graph, 100_000, 10)
    yield "star_20000", "counts", lambda: star(20_000)  # as many leaves as the peers can bear
    yield "star_1000000", "counts alone", lambda: star(1_000_000)
    for n in (10_000, 100_000, 1_000_000):
        yield f"ba_{n}_m5", "counts alone", generated(nx.barabasi_albert_graph, n, 5)
    for n in (10_000, 100_000, 1_000_000):
        yield f"ba_{n}_m5", "all but (3, 4, 4) by blocks", generated(nx.barabasi_albert_graph, n, 5)


# ---------------------------------------------------------------- tools, each in a process of its own


def repeated(call: Callable[[], object], rounds: int) -> dict[str, float]:
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - begin)
        del result
    ordered = sorted(seconds)
    return {
        "first": seconds[0],
        "min": ordered[0],
        "median": ordered[len(ordered) // 2],
        "max": ordered[-1],
        "rounds": rounds,
    }


def run_graphkit(what: str, n: int, edges: np.ndarray, rounds: int, threads: int) -> dict[str, object]:
    import torch

    from graphkit import ops

    torch.set_num_threads(threads)
    edge_index = torch.from_numpy(np.ascontiguousarray(edges.T))
    ops.orbit_adjacency(torch.tensor([[0], [1]]), num_nodes=2)  # loads what is loaded late
    base = peak_mib()
    if what == "adjacency":
        nnz = {}
        times = repeated(lambda: ops.orbit_adjacency(edge_index, num_nodes=n), rounds)
        peak = peak_mib()
        stored = {}  # bytes by where they lie: matrices of one hop share their pattern
        for key, matrix in ops.orbit_adjacency(edge_index, num_nodes=n).items():
            nnz["{}:{}:{}".format(*key)] = int(torch.count_nonzero(matrix.values()))
            for part in (matrix.crow_indices(), matrix.col_indices(), matrix.values()):
                stored[part.data_ptr()] = part.numel() * part.element_size()
        result = sum(stored.values()) / 2**20
        return {**times, "peak_mib": peak, "base_mib": base, "result_mib": result, "nnz": nnz}
    if what.startswith("counts"):
        times = repeated(lambda: ops.orbit_counts(edge_index, num_nodes=n), rounds)
        of_edges = repeated(lambda: ops.edge_orbit_counts(edge_index, num_nodes=n), rounds)
        counts = ops.orbit_counts(edge_index, num_nodes=n)
        total = [str(sum(column)) for column in counts.t().tolist()]
        return {
            **times, "peak_mib": peak_mib(), "base_mib": base, "edges": of_edges, "totals": total,
            "cost": smaller_degrees(n, edges),
        }  # fmt: skip
    keys = ops.ORBIT_KEYS if what == "blocks" else [key for key in ops.ORBIT_KEYS if key[0] < 3]
    memory = 2**29  # two blocks at a time in half a GiB

    def blocks() -> int:
        entries = 0
        for _, _, block in ops.orbit_adjacency_blocks(edge_index, num_nodes=n, keys=keys, memory=memory):
            entries += sum(len(matrix.values()) for matrix in block.values())
        return entries

    times = repeated(blocks, rounds)
    peak = peak_mib()
    degree = np.bincount(edges.ravel(), minlength=n).astype(float)
    triangles = ops.edge_orbit_counts(edge_index, num_nodes=n)[1][:, 1]
    # the formula of the design: triangles, two cell updates a wedge, diamonds by the squares of the triangles of an edge
    cost = smaller_degrees(n, edges) + int((degree * (degree - 1)).sum()) + int((triangles**2).sum())
    return {**times, "peak_mib": peak, "base_mib": base, "cost": cost}


def smaller_degrees(n: int, edges: np.ndarray) -> int:
    """Sum over edges of the smaller degree."""
    degree = np.bincount(edges.ravel(), minlength=n)
    return int(np.minimum(degree[edges[:, 0]], degree[edges[:, 1]]).sum())


def run_gradco(what: str, n: int, edges: np.ndarray, rounds: int, threads: int) -> dict[str, object]:
    import gradco

    matrix, base = adjacency(n, edges), peak_mib()
    nnz: dict[str, int] = {}

    def every() -> None:
        counter = gradco.Counter(matrix)
        counter.count()
        for hop, i, j, found in counter.generate_orbit_adjacencies():
            nnz[f"{hop}:{i}:{j}"] = int(found.nnz)

    times = repeated(every, 1)  # it leaks its arrays: a second round would measure the first one's memory
    return {**times, "peak_mib": peak_mib(), "base_mib": base, "nnz": nnz}


def run_orbit_count(what: str, n: int, edges: np.ndarray, rounds: int, threads: int) -> dict[str, object]:
    """The counter itself, without the conversion of networkx graphs in front of it."""
    from orbit_count import _orca

    pairs, base = np.ascontiguousarray(edges.astype(int)), peak_mib()
    times = repeated(lambda: _orca.motif_counts("node", 4, n, pairs), rounds)
    counts = np.array(_orca.motif_counts("node", 4, n, pairs), dtype=np.int64)
    return {**times, "peak_mib": peak_mib(), "base_mib": base, "totals": [str(sum(c)) for c in counts.T.tolist()]}


def run_pyfglt(what: str, n: int, edges: np.ndarray, rounds: int, threads: int) -> dict[str, object]:
    import pyfglt.fglt as fglt
    import scipy.sparse as sparse

    os.environ["OMP_NUM_THREADS"] = str(threads)
    matrix, base = sparse.csc_matrix(adjacency(n, edges).astype(float)), peak_mib()
    times = repeated(lambda: fglt.compute(matrix), rounds)
    order = [0, 1, 2, 3, 4, 5, 6, 7, 11, 8, 9, 10, 12, 13, 14]  # it lists the paw before the 4-cycle
    counts = np.rint(fglt.compute(matrix).values[:, 1:][:, order]).astype(np.int64)
    return {**times, "peak_mib": peak_mib(), "base_mib": base, "totals": [str(sum(c)) for c in counts.T.tolist()]}


TOOLS = {"graphkit": run_graphkit, "gradco": run_gradco, "orbit-count": run_orbit_count, "pyfglt": run_pyfglt}
PEERS = {"adjacency": ["gradco"], "counts": ["orbit-count", "pyfglt"]}


def adjacency(n: int, edges: np.ndarray):
    import scipy.sparse as sparse

    row, col = np.concatenate([edges, edges[:, ::-1]]).T
    return sparse.csr_array((np.ones(len(row), dtype=np.int64), (row, col)), shape=(n, n))


def peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def in_process(python: str, tool: str, what: str, graph: Path, arguments: argparse.Namespace) -> dict[str, object]:
    command = [python, __file__, "--child", tool, what, str(graph)]
    command += ["--rounds", str(arguments.rounds), "--threads", str(arguments.threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        run = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
        end, stopped = time.monotonic() + arguments.limit, ""
        while run.poll() is None:
            time.sleep(0.1)
            if time.monotonic() > end:
                stopped = f"stopped after {arguments.limit:g} s"
            elif resident_gib(run.pid) > arguments.cap:
                stopped = f"stopped at {arguments.cap:g} GiB after {time.monotonic() - end + arguments.limit:.0f} s"
            if stopped:
                run.kill()
                run.wait()
                return {"failed": stopped}
        out.seek(0), err.seek(0)
        line = next((line for line in out if line.startswith("RESULT ")), None)
        if line is None:
            last = (err.read().strip().splitlines() or ["no message"])[-1]
            return {"failed": f"exit status {run.returncode}: {last[:200]}"}
        return json.loads(line[7:])


def resident_gib(process: int) -> float:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("VmRSS")), 0.0)


def child(tool: str, what: str, file: str, rounds: int, threads: int) -> None:
    with np.load(file) as data:
        n, edges = int(data["n"]), data["edges"]
    print("RESULT " + json.dumps(TOOLS[tool](what, n, edges, rounds, threads)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", nargs=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=600)
    parser.add_argument("--cap", type=float, default=15, help="GiB that a process may hold")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--peers", default=os.environ.get("GRAPHKIT_PEERS", ""))
    parser.add_argument("--no-peers", action="store_true")
    arguments = parser.parse_args()
    if arguments.child:
        return child(*arguments.child, arguments.rounds, arguments.threads)

    from peak import RESULTS, commit, write

    file = RESULTS / "orbits.json"
    kept = json.loads(file.read_text())["rows"] if file.exists() else []
    rows: dict[tuple[str, str], dict[str, object]] = {(row["graph"], row["what"]): row for row in kept}
    now = commit()
    with tempfile.TemporaryDirectory() as folder:
        for name, what, make in graphs():
            if arguments.only and not any(word in f"{name} {what}" for word in arguments.only):
                continue
            if arguments.missing and rows.get((name, what), {}).get("commit") == now:
                continue
            row = measured(name, what, make, Path(folder) / "graph.npz", arguments)
            rows[name, what] = {**row, "commit": now, "date": time.strftime("%Y-%m-%d"), "threads": arguments.threads}
            order = [key for key in ((name, what) for name, what, _ in graphs()) if key in rows]
            write("orbits", [rows[key] for key in order])
            shown = {t: {k: v for k, v in r.items() if k not in ("nnz", "totals")} for t, r in row["times"].items()}  # type: ignore[attr-defined]
            print(json.dumps({**row, "times": shown}), flush=True)
    summary(list(rows.values()))


def measured(
    name: str, what: str, make: Callable[[], Edges], file: Path, arguments: argparse.Namespace
) -> dict[str, object]:
    n, edges = make()
    np.savez(file, n=n, edges=edges)
    degree = np.bincount(edges.ravel(), minlength=n)
    times: dict[str, dict[str, object]] = {}
    times["graphkit"] = ours = in_process(sys.executable, "graphkit", what, file, arguments)
    if arguments.peers and not arguments.no_peers:
        for peer in PEERS.get(what, []):
            times[peer] = theirs = in_process(arguments.peers, peer, what, file, arguments)
            for same in ("nnz", "totals"):
                if same in theirs and same in ours:
                    theirs["agrees"] = theirs[same] == ours[same]
    both = {peer: found for peer, found in times.items() if peer != "graphkit" and "min" in found and "min" in ours}
    ratios = {
        kind: {peer: float(found[part]) / float(ours[part]) for peer, found in both.items()}  # type: ignore[arg-type]
        for kind, part in (("ratio", "min"), ("memory_ratio", "peak_mib"))
    }
    # the imports of a tool are part of its peak; this is what the call itself added
    added = {peer: above(found) / above(ours) for peer, found in both.items()}
    sizes = {"n": n, "m": len(edges), "dmax": int(degree.max())}
    return {"graph": name, "what": what, **sizes, "times": times, **ratios, "added_memory_ratio": added}


def above(found: dict[str, Any]) -> float:
    return max(found["peak_mib"] - found["base_mib"], 0.1)


def summary(rows: list[dict[str, Any]]) -> None:
    """The figures that the design promises, from what has been measured."""
    ratios = [(row["ratio"]["gradco"], row["graph"]) for row in rows if "gradco" in row["ratio"]]
    if ratios:
        mean = float(np.exp(np.mean([np.log(ratio) for ratio, _ in ratios])))
        least = min(ratios)
        memory, added = (
            min(row[kind]["gradco"] for row in rows if "gradco" in row[kind])
            for kind in ("memory_ratio", "added_memory_ratio")
        )
        print(
            f"all 28 against gradco: {mean:.0f}x in geometric mean over {len(ratios)} graphs, least {least[0]:.0f}x ({least[1]}),"
            f" peak memory at least {memory:.1f}x less, {added:.1f}x above what the imports take"
        )
    for what in ("counts alone", "all but (3, 4, 4) by blocks"):
        cells = [
            (row["times"]["graphkit"]["min"] / row["times"]["graphkit"]["cost"], row["graph"])
            for row in rows
            if row["what"] == what and row["graph"].startswith("ba_") and "cost" in row["times"]["graphkit"]
        ]
        if len(cells) > 1:
            print(f"{what}: nanoseconds a unit of cost " + ", ".join(f"{g} {1e9 * c:.2f}" for c, g in cells), end="")
            print(f"; largest over smallest {max(cells)[0] / min(cells)[0]:.2f}")


if __name__ == "__main__":
    main()
