"""Folders of blocks of orbit adjacencies: stopped and gone on with, by one process and by several."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch

import graphkit
from graphkit import ops
from graphkit.data.orbit_files import block_file, read_orbit_adjacency, read_orbit_blocks
from graphkit.engine.orbit_blocks import write_orbit_blocks
from graphkit.errors import UserError

ROOT = str(Path(graphkit.__path__[0]).parent)
N = 120
EDGES = torch.tensor(sorted(nx.powerlaw_cluster_graph(N, 3, 0.5, seed=3).edges())).t()
GRAPH = ops.SimpleGraph(EDGES, num_nodes=N)
MEMORY = 60_000


def whole(keys=None):
    return {key: ops.to_scipy(m) for key, m in ops.orbit_adjacency(GRAPH, num_nodes=N, keys=keys).items()}


def same(found, expected):
    assert set(found) == set(expected)
    for key, matrix in expected.items():
        assert found[key].shape == matrix.shape and (found[key] != matrix).nnz == 0, key
        assert np.array_equal(found[key].indptr, matrix.indptr)


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.name[0] != "."}


@pytest.mark.parametrize("keys", [None, [(1, 3, 3)], [(3, 4, 4), (2, 8, 8)]])
def test_blocks_are_the_matrices(tmp_path, keys):
    folder = write_orbit_blocks(GRAPH, tmp_path / "out", keys=keys, memory=MEMORY)
    same(read_orbit_adjacency(folder), whole(keys))
    if keys is None:
        assert len(list(folder.glob("rows-*.npz"))) > 4
        same(read_orbit_adjacency(folder, [(2, 9, 10)]), whole([(2, 9, 10)]))
        for start, end, block in read_orbit_blocks(folder, [(1, 9, 11)]):
            assert block[1, 9, 11].shape == (end - start, N)


def test_a_stopped_folder_goes_on_where_it_was(tmp_path):
    class Stop(Exception):
        pass

    def stop(done, total):
        if done > 0.4 * total:
            raise Stop

    with pytest.raises(Stop):
        write_orbit_blocks(GRAPH, tmp_path / "out", memory=MEMORY, progress=stop)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("rows-*")}
    assert before
    with pytest.raises(UserError, match=r"lacks \d+ of \d+ blocks; give the command that began it again"):
        read_orbit_adjacency(tmp_path / "out")
    rest = []
    # another memory: the blocks stay as they were cut
    write_orbit_blocks(GRAPH, tmp_path / "out", memory=2 * MEMORY, progress=lambda *numbers: rest.append(numbers))
    for name, time in before.items():
        assert (tmp_path / "out" / name).stat().st_mtime_ns == time
    assert 0 < rest[0][1] == rest[-1][0] < N
    write_orbit_blocks(GRAPH, tmp_path / "alone", memory=MEMORY)
    assert files(tmp_path / "out") == files(tmp_path / "alone")


def test_a_torn_file_is_never_there(tmp_path, monkeypatch):
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left on device; .*give the same command again, which goes on"):
        write_orbit_blocks(GRAPH, tmp_path / "out", memory=MEMORY)
    monkeypatch.undo()
    written = sorted((tmp_path / "out").glob("rows-*"))
    assert len(written) == 2 and not list((tmp_path / "out").glob(".*.part"))
    same(read_orbit_adjacency(write_orbit_blocks(GRAPH, tmp_path / "out", memory=MEMORY)), whole())


def test_what_does_not_belong_together(tmp_path):
    write_orbit_blocks(GRAPH, tmp_path / "out", keys=[(1, 3, 3)])
    with pytest.raises(UserError, match=r"holds blocks of other keys \(1:3:3\)"):
        write_orbit_blocks(GRAPH, tmp_path / "out", keys=[(1, 9, 11)])
    other = ops.SimpleGraph(EDGES[:, 1:], num_nodes=N)
    with pytest.raises(UserError, match="holds blocks of another graph"):
        write_orbit_blocks(other, tmp_path / "out", keys=[(1, 3, 3)])
    with pytest.raises(UserError, match="holds blocks of another graph"):
        write_orbit_blocks(GRAPH, tmp_path / "out", keys=[(1, 3, 3)], names=[str(k) for k in range(N)])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear reader")
    with pytest.raises(UserError, match="holds something else"):
        write_orbit_blocks(GRAPH, tmp_path / "mine")
    with pytest.raises(UserError, match="holds no blocks"):
        read_orbit_adjacency(tmp_path / "mine")
    (tmp_path / "out" / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        write_orbit_blocks(GRAPH, tmp_path / "out", keys=[(1, 3, 3)])
    (tmp_path / "out" / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match="not one that graphkit orbits wrote"):
        read_orbit_adjacency(tmp_path / "out")


def test_damaged_and_foreign_files(tmp_path):
    folder = write_orbit_blocks(GRAPH, tmp_path / "out", keys=[(1, 3, 3)])
    with pytest.raises(UserError, match="has no 2:1:1, it has 1:3:3"):
        read_orbit_adjacency(folder, [(2, 1, 1)])
    block = block_file(folder, 0, N)
    block.write_bytes(block.read_bytes()[:200])
    with pytest.raises(UserError, match="cannot be read as orbit adjacencies"):
        read_orbit_adjacency(folder)
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(UserError, match="holds no orbit adjacencies"):
        read_orbit_adjacency(tmp_path / "other.npz")
    with pytest.raises(UserError, match="there is no file"):
        read_orbit_adjacency(tmp_path / "none.npz")


def test_a_graph_without_nodes(tmp_path):
    empty = ops.SimpleGraph(torch.empty(2, 0, dtype=torch.int64), num_nodes=0)
    folder = write_orbit_blocks(empty, tmp_path / "out")
    assert json.loads((folder / "manifest.json").read_text())["blocks"] == [] and not list(folder.glob("rows-*"))
    assert all(matrix.shape == (0, 0) for matrix in read_orbit_adjacency(folder).values())


needs_gloo = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()), reason="needs gloo"
)


def torchrun(words, size=2):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(size)]
    environment = {**os.environ, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"}
    command = [*launcher, "-m", "graphkit", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def edge_file(tmp_path):
    lines = [f"node{u:03d}\tnode{v:03d}" for u, v in EDGES.t().tolist()]
    (tmp_path / "edges.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path / "edges.tsv"


@needs_gloo
def test_two_processes_write_what_one_writes(tmp_path, edge_file):
    words = ["orbits", str(edge_file), "--adjacency", "all", "--memory", "60000", "--out"]
    two = torchrun([*words, str(tmp_path / "two")])
    assert two.returncode == 0, two.stderr
    assert two.stdout.count("28 orbit adjacencies of 120 nodes") == 1  # the first process speaks
    write_orbit_blocks(GRAPH, tmp_path / "one", memory=60_000, names=[f"node{k:03d}" for k in range(N)])
    one = files(tmp_path / "one")
    found = files(tmp_path / "two")

    assert found == one and len(found) > 5
    same(read_orbit_adjacency(tmp_path / "two"), whole())
    # one more block to make: one process has nothing to do, and nobody waits for ever
    last = max((tmp_path / "two").glob("rows-*"))
    content = last.read_bytes()
    last.unlink()
    again = torchrun([*words, str(tmp_path / "two")])
    assert again.returncode == 0 and last.read_bytes() == content


@needs_gloo
def test_two_processes_and_a_mistake(tmp_path, edge_file):
    done = torchrun(["orbits", str(edge_file), "--adjacency", "all", "--out", str(tmp_path / "out.npz")])
    assert done.returncode != 0 and done.stderr.count("several processes write a folder of blocks") == 1
