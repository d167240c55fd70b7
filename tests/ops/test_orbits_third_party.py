"""Orbit operators against other counters, networkx and the example that comes with ORCA.

The counters live in an environment of their own, because they need numpy below 2: GRAPHKIT_PEERS names its Python, and
without it these tests are left out.
"""

import os
import subprocess
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from orbit_definition import edges_of

from graphkit import ops

DATA = Path(os.environ.get("GRAPHKIT_DATA", "data"))
PEERS = os.environ.get("GRAPHKIT_PEERS", "")


def numbered(pairs):
    """A simple graph from pairs of names: (n, [M, 2])."""
    graph = nx.Graph(pair for pair in pairs if pair[0] != pair[1])
    graph = nx.convert_node_labels_to_integers(graph, ordering="sorted")
    return graph.number_of_nodes(), edges_of(graph)


def cora():
    folder = DATA / "planetoid" / "Cora" / "raw"
    if not folder.is_dir():
        pytest.skip("GRAPHKIT_DATA has no planetoid/Cora")
    from graphkit.datasets.planetoid import read_planetoid

    graph = read_planetoid({path.name: path for path in folder.iterdir()})
    return graph.num_nodes, graph.edges


def proteins():
    file = DATA / "ppi_networks" / "SCerevisiae.el"
    if not file.is_file():
        pytest.skip("GRAPHKIT_DATA has no ppi_networks")
    return numbered(line.split()[:2] for line in file.read_text().splitlines() if line and line[0] not in "#!")


def drawn(make, *arguments):
    graph = make(*arguments, seed=0)
    return graph.number_of_nodes(), edges_of(graph)


GRAPHS = {
    "ba_1000_m10": lambda: drawn(nx.barabasi_albert_graph, 1000, 10),
    "er_2000_d20": lambda: drawn(nx.fast_gnp_random_graph, 2000, 20 / 1999),
    "cora": cora,
    "proteins": proteins,
}


def peer(tool, n, edges, folder):
    """What a counter finds; skips where there is none."""
    if not PEERS:
        pytest.skip("GRAPHKIT_PEERS names no Python with gradco, orbit-count and pyfglt")
    np.savez(folder / "graph.npz", n=n, edges=edges.t().contiguous().numpy())
    script = Path(__file__).with_name("orbit_peers.py")
    command = [PEERS, str(script), tool, str(folder / "graph.npz"), str(folder / "out.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(folder / "out.npz") as found:
        return {name: torch.from_numpy(found[name]) for name in found.files}


@pytest.mark.parametrize("name", GRAPHS)
def test_every_entry_of_gradco(name, tmp_path):
    n, edges = GRAPHS[name]()
    theirs = peer("gradco", n, edges, tmp_path)
    ours = ops.orbit_adjacency(edges, num_nodes=n)
    assert len(theirs) == len(ours) == 28
    for (hop, i, j), matrix in ours.items():
        row, col, value = theirs[f"{hop}_{i}_{j}"]
        expected = torch.zeros(n, n, dtype=torch.int64)
        expected[row, col] = value
        assert torch.equal(matrix.to_dense().long(), expected), (hop, i, j)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_count_of_orca(name, tmp_path):
    n, edges = GRAPHS[name]()
    theirs = peer("orbit-count", n, edges, tmp_path)
    counts = ops.orbit_counts(edges, num_nodes=n)
    wrapped = (counts + 2**31) % 2**32 - 2**31  # it counts in 32 bits, which the hub of the proteins exceeds
    assert torch.equal(wrapped, theirs["node"]) and torch.equal(counts == wrapped, counts < 2**31)
    listed, counts = ops.edge_orbit_counts(edges, num_nodes=n)
    order = torch.argsort(edges.amin(0) * n + edges.amax(0))
    assert torch.equal(listed, torch.stack([edges.amin(0), edges.amax(0)])[:, order])
    assert torch.equal(counts, theirs["edge"][order])


@pytest.mark.parametrize("name", GRAPHS)
def test_every_count_of_the_graphlet_transform(name, tmp_path):
    n, edges = GRAPHS[name]()
    assert torch.equal(ops.orbit_counts(edges, num_nodes=n), peer("pyfglt", n, edges, tmp_path)["node"])


def test_the_example_of_orca(backend):
    folder = DATA / "orca_example"
    if not folder.is_dir():
        pytest.skip("GRAPHKIT_DATA has no orca_example")
    size, *pairs = [[int(word) for word in line.split()] for line in (folder / "graph.in").read_text().splitlines()]
    edges = torch.tensor(pairs).t()
    nodes, on_edges = (
        torch.tensor([[int(word) for word in line.split()] for line in (folder / file).read_text().splitlines()])
        for file in ("node-4.out", "edge-4.out")
    )
    assert torch.equal(ops.orbit_counts(edges, num_nodes=size[0]), nodes)
    order = torch.argsort(edges.amin(0) * size[0] + edges.amax(0))
    listed, counts = ops.edge_orbit_counts(edges, num_nodes=size[0])
    assert torch.equal(listed, torch.stack([edges.amin(0), edges.amax(0)])[:, order])
    assert torch.equal(counts, on_edges[order])


@pytest.mark.parametrize("seed", range(3))
def test_networkx(backend, seed):
    graph = nx.powerlaw_cluster_graph(200, 5, 0.5, seed=seed)
    counts = ops.orbit_counts(edges_of(graph), num_nodes=200)
    assert counts[:, 0].tolist() == [degree for _, degree in graph.degree()]
    assert counts[:, 3].tolist() == list(nx.triangles(graph).values())
    cliques = [len(clique) for clique in nx.enumerate_all_cliques(graph)]
    assert int(counts[:, 14].sum()) == 4 * cliques.count(4)
