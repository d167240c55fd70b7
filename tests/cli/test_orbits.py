"""``graphkit orbits``: from a file of edges to counts and matrices."""

import csv
import errno
import gzip
import os
import resource
import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch

import graphkit
from graphkit import ops
from graphkit.cli import main
from graphkit.data.orbit_files import read_orbit_adjacency

GRAPH = nx.relabel_nodes(nx.karate_club_graph(), lambda k: f"member {k:02d}")
NAMES = sorted(GRAPH.nodes)
EDGES = torch.tensor([[NAMES.index(u), NAMES.index(v)] for u, v in GRAPH.edges]).t()


@pytest.fixture
def edges(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["# the karate club", "source\ttarget", *(f"{u}\t{v}" for u, v in GRAPH.edges), "", "# end"]
    Path("club.tsv").write_text("\n".join(lines) + "\n")
    return "club.tsv"


def fails(capsys, *words):
    """The single line on standard error of a command that fails."""
    capsys.readouterr()
    assert main(["orbits", *map(str, words)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("graphkit: ") and len(shown.splitlines()) == 1, shown
    return shown


def test_counts(edges, capsys):
    assert main(["orbits", edges, "--out", "counts.npz"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "counts.npz: 15 orbits of 34 nodes and 78 edges\n" and shown.err == ""
    with np.load("counts.npz", allow_pickle=False) as found:
        assert found["names"].tolist() == NAMES
        assert np.array_equal(found["counts"], ops.orbit_counts(EDGES, num_nodes=34).numpy())
        assert int(found["self_loops"]) == int(found["duplicates"]) == 0
    assert not list(Path().glob(".*"))


def test_counts_of_edges(edges):
    assert main(["orbits", edges, "--edge-counts", "--out", "new/folder/edges.npz"]) == 0
    listed, counts = ops.edge_orbit_counts(EDGES, num_nodes=34)
    with np.load("new/folder/edges.npz", allow_pickle=False) as found:
        assert np.array_equal(found["edges"], listed.numpy()) and np.array_equal(found["counts"], counts.numpy())


@pytest.mark.parametrize(("ending", "delimiter"), [("tsv", "\t"), ("csv", ",")])
def test_counts_as_text(edges, ending, delimiter):
    assert main(["orbits", edges, "--counts", "--out", f"counts.{ending}"]) == 0
    with open(f"counts.{ending}", newline="") as file:
        head, *rows = csv.reader(file, delimiter=delimiter)
    assert head == ["node", *(f"orbit_{k}" for k in range(15))]
    assert [row[0] for row in rows] == NAMES
    assert [[int(cell) for cell in row[1:]] for row in rows] == ops.orbit_counts(EDGES, num_nodes=34).tolist()


def test_names_that_need_quotes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("e.csv").write_text('"a, b","say ""c"""\n"a, b",d\n')
    assert main(["orbits", "e.csv", "--out", "c.csv"]) == 0
    with open("c.csv", newline="") as file:
        assert [row[:2] for row in csv.reader(file)][1:] == [["a, b", "2"], ["d", "1"], ['say "c"', "1"]]
    assert "does not fit into a field between tabs; write .csv or .npz" in fails(capsys, "e.csv", "--out", "c.tsv")
    assert not Path("c.tsv").exists()


@pytest.mark.parametrize("out", ["m.npz", "folder", "there"])
@pytest.mark.parametrize("keys", ["all", "2:9:10, 1:3:3"])
def test_matrices(edges, out, keys):
    Path("there").mkdir()
    assert main(["orbits", edges, "--adjacency", keys, "--out", out, "--memory", "1G"]) == 0
    wanted = None if keys == "all" else [(2, 9, 10), (1, 3, 3)]
    expected = ops.orbit_adjacency(EDGES, num_nodes=34, keys=wanted)
    found = read_orbit_adjacency(out)
    assert set(found) == set(expected)
    for key, matrix in found.items():
        assert np.array_equal(matrix.toarray(), expected[key].to_dense().numpy()), key
    with np.load(out if out == "m.npz" else f"{out}/names.npz", allow_pickle=False) as file:
        assert file["names"].tolist() == NAMES


def test_a_file_can_be_read_without_graphkit(edges):
    """What the documentation says of the layout."""
    import scipy.sparse

    assert main(["orbits", edges, "--adjacency", "2:9:10", "--out", "m.npz"]) == 0
    with np.load("m.npz") as data:
        matrix = scipy.sparse.csr_array((data["data_2_9_10"], data["indices_2"], data["indptr_2"]), shape=data["shape"])
    expected = ops.orbit_adjacency(EDGES, num_nodes=34, keys=[(2, 9, 10)])[2, 9, 10]
    assert np.array_equal(matrix.toarray(), expected.to_dense().numpy())


def test_a_folder_goes_on(edges, capsys):
    words = ["orbits", edges, "--adjacency", "all", "--out", "folder", "--memory", "20K"]
    assert main(words) == 0
    blocks = sorted(Path("folder").glob("rows-*"))
    assert len(blocks) > 3
    content, time = blocks[1].read_bytes(), blocks[0].stat().st_mtime_ns
    blocks[1].unlink()
    assert main(words) == 0
    assert blocks[1].read_bytes() == content and blocks[0].stat().st_mtime_ns == time
    assert "holds blocks of other keys" in fails(capsys, edges, "--adjacency", "1:3:3", "--out", "folder")


def test_loops_and_copies_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("e.txt").write_text("a b\nb a\nb c\nb c\nc c\n")
    assert main(["orbits", "e.txt", "--out", "c.npz"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "c.npz: 15 orbits of 3 nodes and 2 edges (dropped: 1 self-loops, 1 copies)\n"
    assert "1 of 5 edges repeat another one" in shown.err
    with np.load("c.npz") as found:
        assert int(found["self_loops"]) == 1 and found["counts"][:, 0].tolist() == [1, 2, 1]


def test_columns_comments_and_compression(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with gzip.open("scores.txt.gz", "wt") as file:
        file.write("% made up\nP1;0.9;P2\nP2;0.4;P3\n")
    words = ["scores.txt.gz", "--out", "c.npz", "--comment", "%", "--delimiter", "semicolon"]
    assert main(["orbits", *words, "--head", "0", "--tail", "2", "--header", "no"]) == 0
    with np.load("c.npz") as found:
        assert found["names"].tolist() == ["P1", "P2", "P3"] and found["counts"][:, 0].tolist() == [1, 2, 1]
    Path("named.csv").write_text("weight,protein a,protein b\n0.5,x,y\n")
    assert main(["orbits", "named.csv", "--out", "n.npz", "--head", "protein a", "--tail", "protein b"]) == 0
    assert "did you mean 'protein a'" in fails(
        capsys, "named.csv", "--out", "n.npz", "--head", "protein_a", "--tail", "1"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: EDGES, --out"),
        (["club.tsv"], "required: --out"),
        (["none.tsv", "--out", "x.npz"], "none.tsv"),
        (["club.tsv", "--out", "x.txt"], "ends in .txt, expected .npz or .tsv or .csv"),
        (["club.tsv", "--out", "x.tsv", "--adjacency", "all"], "expected .npz, or a folder"),
        (["club.tsv", "--out", "x.csv", "--edge-counts"], "ends in .csv, expected .npz"),
        (["club.tsv", "--out", "folder"], "counts go to a .npz, .tsv or .csv"),
        (["club.tsv", "--out", "x.npz", "--adjacency", "1:4:4"], "'1:4:4', expected all, or some of 1:0:0, 1:1:2"),
        (["club.tsv", "--out", "x.npz", "--adjacency", ""], "unknown orbit adjacency ''"),
        (["club.tsv", "--out", "x.npz", "--adjacency", "all", "--counts"], "not allowed with"),
        (["club.tsv", "--out", "x.npz", "--adjacency", "all", "--memory", "lots"], "--memory lots: expected a size such as"),
        (["club.tsv", "--out", "x.npz", "--memory", "1G"], "--memory is for matrices"),
        (["club.tsv", "--out", "x.npz", "--adjacency", "all", "--memory", "1K"], "give a folder with --out"),
        (["club.tsv", "--out", "folder", "--adjacency", "all", "--memory", "100"], "memory=100 is less than"),
        (["club.tsv", "--out", "x.npz", "--adjacncy", "all"], "did you mean '--adjacency'?"),
        (["empty.tsv", "--out", "x.npz"], "holds no edge"),
        (["club.tsv", "--out", "x.npz", "--head", "7", "--tail", "1"], "expected the name of a column or a number"),
    ],
)  # fmt: skip
def test_mistakes(edges, capsys, words, message):
    Path("empty.tsv").write_text("# nothing\n")
    assert message in fails(capsys, *words)
    assert not list(Path().glob("x.*")) and not Path("folder").exists()


def test_a_full_disk(edges, capsys, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    Path("c.npz").write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", full)
    said = fails(capsys, edges, "--out", "c.npz")
    assert "cannot write c.npz: No space left on device; what was there before is intact" in said
    assert "give the command again" in said
    assert "give the same command again, which goes on" in fails(capsys, edges, "--adjacency", "all", "--out", "folder")
    assert Path("c.npz").read_bytes() == b"before" and not list(Path().rglob(".*.part"))


def test_a_file_that_may_not_grow(edges):
    """The write itself fails half way, in numpy's and zipfile's hands."""
    command = [sys.executable, "-m", "graphkit", "orbits", edges, "--adjacency", "all", "--out", "m.npz"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(Path(graphkit.__path__[0]).parent)}, capture_output=True, text=True,
        timeout=120, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "cannot write m.npz: File too large" in done.stderr
    assert not list(Path().glob("*m.npz*"))
