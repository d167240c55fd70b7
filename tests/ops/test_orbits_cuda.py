"""Orbit counts on a CUDA device are those of the CPU: the kernels compiled as plain C++, and on a device where there is one."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import networkx as nx
import pytest
import torch
from orbit_definition import edges_of

from graphkit import ops
from graphkit.ops.orbits_reference import EDGE_KEYS

COMPILER = shutil.which("c++") or shutil.which("g++")
KERNELS = Path(__file__).resolve().parents[2] / "cpp_ext" / "cuda"
DEVICE_KERNELS = torch.cuda.is_available() and ops.backend_of("orbit_counts", "cuda") == "native"


def graphs():
    yield nx.empty_graph(0)
    yield nx.empty_graph(5)
    yield nx.complete_graph(40)
    yield nx.star_graph(70)
    yield nx.complete_bipartite_graph(7, 40)
    yield nx.karate_club_graph()
    hub = nx.powerlaw_cluster_graph(120, 4, 0.7, seed=1)
    hub.add_edges_from((0, v) for v in range(1, 120))
    yield hub
    yield nx.fast_gnp_random_graph(60, 0.4, seed=2)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    folder = tmp_path_factory.mktemp("host")
    # all that the kernels take from CUDA when they run on a CPU
    (folder / "cuda_runtime_api.h").write_text("typedef void* cudaStream_t;\n")
    source, library = Path(__file__).with_name("orbit_edges_on_host.cpp"), folder / "orbits.so"
    flags = ["-std=c++20", "-O1", "-fPIC", "-shared", "-w"]
    subprocess.run([COMPILER, *flags, f"-I{folder}", f"-I{KERNELS}", str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library)).orbits


@pytest.mark.parametrize("wide", [False, True])
def test_kernels_as_plain_code(kernels, wide):
    for graph in graphs():
        made = ops.SimpleGraph(edges_of(graph), num_nodes=len(graph))
        n, entries, dtype = made.num_nodes, len(made.col), torch.int64 if wide else torch.int32
        expected_t, expected_base, *lists = torch.ops.graphkit_python.orbit_edge_bases(made.ptr, made.col, 15, wide)
        arguments = (made.ptr, made.col, expected_t, expected_base)
        triangles, base = torch.full_like(expected_t, -1), torch.full_like(expected_base, -1)
        lists = torch.cat([lists[0], lists[2], lists[1].long(), lists[3].long()])
        found_lists = torch.full_like(lists, -1)
        values = torch.full((len(EDGE_KEYS), entries), -1, dtype=dtype)
        ends, edges = torch.full((2, entries // 2), -1), torch.full((entries // 2, 12), -1)
        nodes = torch.full((n, 15), -1)
        outputs = (triangles, base, found_lists, values, ends, edges, nodes)
        pointers = [ctypes.c_void_p(t.data_ptr()) for t in (made.ptr, made.col, *outputs)]
        kernels(ctypes.c_int64(n), ctypes.c_int64(entries), *pointers[:2], ctypes.c_bool(wide), *pointers[2:])
        assert torch.equal(triangles, expected_t) and torch.equal(base, expected_base)
        assert torch.equal(found_lists, lists)
        expected = torch.ops.graphkit_python.orbit_edge_values(*arguments, (1 << len(EDGE_KEYS)) - 1)
        assert torch.equal(values, torch.stack(expected))
        expected_ends, expected_edges = torch.ops.graphkit_python.orbit_edge_counts(*arguments)
        assert torch.equal(ends, expected_ends) and torch.equal(edges, expected_edges)
        if wide:
            assert torch.equal(nodes, ops.orbit_counts(made, num_nodes=n))


@pytest.mark.skipif(not DEVICE_KERNELS, reason="no CUDA device, or graphkit._C_cuda is not built")
def test_devices_agree():
    for graph in graphs():
        n, found = len(graph), []
        for device in ("cpu", "cuda"):
            made = ops.SimpleGraph(edges_of(graph).to(device), num_nodes=n)
            twice = []
            for _ in range(2):
                values = []
                for wide in (False, True):
                    triangles, bases, *_ = torch.ops.graphkit.orbit_edge_bases(made.ptr, made.col, 15, wide)
                    arguments = (made.ptr, made.col, triangles, bases)
                    values += [triangles, bases, *torch.ops.graphkit.orbit_edge_values(*arguments, 5 | 1 << 17)]
                    values += torch.ops.graphkit.orbit_edge_counts(*arguments)
                for need in (0, 1, 2, 4, 8):
                    values += torch.ops.graphkit.orbit_edge_bases(made.ptr, made.col, need, False)[:2]
                twice.append([v.cpu() for v in (*values, ops.orbit_counts(made, num_nodes=n))])
            assert all(torch.equal(a, b) for a, b in zip(*twice, strict=True))
            found.append(twice[0])
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
