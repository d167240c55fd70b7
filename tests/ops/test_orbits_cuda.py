"""Orbits on a CUDA device are those of the CPU: the kernels compiled as plain C++, and on a device where there is one."""

import networkx as nx
import pytest
import torch
from orbit_definition import count_by_definition, edges_of
from plain_code import compiled, results, run

from graphkit import ops
from graphkit.ops.orbits_reference import EDGE_KEYS, HOP3_BIT, NEED_LISTS, PAIR_KEYS

DEVICE_KERNELS = torch.cuda.is_available() and ops.backend_of("orbit_counts", "cuda") == "native"


def graphs():
    yield nx.empty_graph(0)
    yield nx.empty_graph(1)
    yield nx.empty_graph(5)
    yield nx.complete_graph(40)
    yield nx.star_graph(70)
    yield nx.complete_bipartite_graph(7, 40)
    yield nx.karate_club_graph()
    hub = nx.powerlaw_cluster_graph(120, 4, 0.7, seed=1)
    hub.add_edges_from((0, v) for v in range(1, 120))
    yield hub
    yield nx.fast_gnp_random_graph(60, 0.4, seed=2)
    yield nx.fast_gnp_random_graph(130, 0.012, seed=3)  # some nodes have no neighbours


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    return compiled("orbit_edges_on_host", tmp_path_factory.mktemp("host")).orbits


@pytest.fixture(scope="module")
def row_kernels(tmp_path_factory):
    return compiled("orbit_rows_on_host", tmp_path_factory.mktemp("host"))


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
        run(kernels, n, entries, made.ptr, made.col, wide, *outputs)
        assert torch.equal(triangles, expected_t) and torch.equal(base, expected_base)
        assert torch.equal(found_lists, lists)
        expected = torch.ops.graphkit_python.orbit_edge_values(*arguments, (1 << len(EDGE_KEYS)) - 1)
        assert torch.equal(values, torch.stack(expected))
        expected_ends, expected_edges = torch.ops.graphkit_python.orbit_edge_counts(*arguments)
        assert torch.equal(ends, expected_ends) and torch.equal(edges, expected_edges)
        if wide:
            assert torch.equal(nodes, ops.orbit_counts(made, num_nodes=n))


HOP3 = 1 << HOP3_BIT
ALL_ROWS = HOP3 | (HOP3 - 1)


def rows_of(made, begin, end, keys, wide):
    """Arguments of the operator."""
    triangles, _, *lists = torch.ops.graphkit.orbit_edge_bases(made.ptr, made.col, NEED_LISTS, wide)
    return made.ptr, made.col, triangles, *lists, begin, end, keys, wide


def trimmed(found):
    """What the operator returned, without the room behind the entries, on the CPU."""
    ptr2, col2, values2, ptr3, col3, values3 = found
    pairs, walks = int(ptr2[-1]), int(ptr3[-1]) if len(ptr3) else 0
    kept = [ptr2, col2[:pairs], *(v[:pairs] for v in values2), ptr3, col3[:walks], values3[:walks]]
    return [t.cpu() for t in kept]


def same(found, expected):
    return len(found) == len(expected) and all(
        a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(found, expected, strict=True)
    )


# all rows in one table; several rows in a table, the last one not full; a row in a table
@pytest.mark.parametrize("words, table_bytes", [(1 << 26, 1 << 30), (35, 9000), (1, 1)])
@pytest.mark.parametrize("wide", [False, True])
def test_kernels_of_rows_as_plain_code(row_kernels, wide, words, table_bytes):
    value = torch.int64 if wide else torch.int32
    for graph in graphs():
        made = ops.SimpleGraph(edges_of(graph), num_nodes=len(graph))
        n = made.num_nodes
        for begin, end in ((0, n), (n // 3, n // 2 + n % 2), (n, n)):
            for keys in (0, 1, 2, 1 << 7, HOP3, HOP3 | 1 << 5, ALL_ROWS):
                arguments = rows_of(made, begin, end, keys, wide)
                expected = trimmed(torch.ops.graphkit.orbit_rows(*arguments))
                run(row_kernels.rows, n, *arguments, words, table_bytes)
                found = results(row_kernels, [t.dtype for t in expected])
                assert {t.dtype for t in expected[2:-3]} <= {value}
                assert same(found, expected), (graph, begin, end, keys)


def test_rows_as_plain_code_by_definition(row_kernels):
    """Once against the enumeration of all sets of four nodes, beside which no other code stands."""
    graph = nx.gnp_random_graph(11, 0.4, seed=5)
    graph.add_nodes_from([11, 12])
    made = ops.SimpleGraph(edges_of(graph), num_nodes=13)
    _, matrices = count_by_definition(graph)
    run(row_kernels.rows, 13, *rows_of(made, 0, 13, ALL_ROWS, True), 2, 200)
    integer = torch.int64
    dtypes = [integer, torch.int32, *[integer] * len(PAIR_KEYS), integer, torch.int32, integer]
    ptr2, col2, *values2, ptr3, col3, values3 = results(row_kernels, dtypes)
    for key, ptr, col, values in [
        *((k, ptr2, col2, v) for k, v in zip(PAIR_KEYS, values2, strict=True)),
        ((3, 4, 4), ptr3, col3, values3),
    ]:
        dense = torch.zeros(13, 13, dtype=torch.int64)
        dense[torch.repeat_interleave(torch.arange(13), ptr.diff()), col.long()] = values
        assert torch.equal(dense, matrices[key]), key


def test_values_above_32_bits_as_plain_code(row_kernels):
    """Two hubs with so many common neighbours that c (c - 1) / 2 exceeds 2^31."""
    leaves = 70_000
    edges = torch.stack([torch.arange(2).repeat_interleave(leaves), torch.arange(2, leaves + 2).repeat(2)])
    made = ops.SimpleGraph(edges, num_nodes=leaves + 2)
    run(row_kernels.rows, leaves + 2, *rows_of(made, 0, 2, HOP3 - 1, True), 1 << 26, 1 << 30)
    ptr, col, *values = results(row_kernels, [torch.int64, torch.int32, *[torch.int64] * len(PAIR_KEYS)])
    assert ptr.tolist() == [0, 1, 2] and col.tolist() == [1, 0]
    found = dict(zip(PAIR_KEYS, values, strict=True))
    assert found[2, 1, 1].tolist() == [leaves] * 2 and found[2, 8, 8].tolist() == [leaves * (leaves - 1) // 2] * 2


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


@pytest.mark.skipif(not DEVICE_KERNELS, reason="no CUDA device, or graphkit._C_cuda is not built")
def test_rows_on_devices_agree():
    for graph in graphs():
        n = len(graph)
        for wide in (False, True):
            for begin, end in ((0, n), (n // 3, n // 2 + n % 2)):
                for keys in (0, 1, HOP3, ALL_ROWS):
                    expected = trimmed(
                        torch.ops.graphkit.orbit_rows(
                            *rows_of(ops.SimpleGraph(edges_of(graph), num_nodes=n), begin, end, keys, wide)
                        )
                    )
                    made = ops.SimpleGraph(edges_of(graph).cuda(), num_nodes=n)
                    for _ in range(2):
                        assert same(
                            trimmed(torch.ops.graphkit.orbit_rows(*rows_of(made, begin, end, keys, wide))), expected
                        )


@pytest.mark.skipif(not DEVICE_KERNELS, reason="no CUDA device, or graphkit._C_cuda is not built")
def test_matrices_on_devices_agree():
    for graph in graphs():
        n, edges = len(graph), edges_of(graph)
        expected = ops.orbit_adjacency(edges, num_nodes=n)
        for memory in (None, 2**30):
            found = ops.orbit_adjacency(edges.cuda(), num_nodes=n, memory=memory)
            for key, matrix in expected.items():
                assert torch.equal(found[key].to_dense().cpu(), matrix.to_dense())
        if n > 1:
            for begin, end, block in ops.orbit_adjacency_blocks(edges.cuda(), num_nodes=n, memory=2**17):
                for key, rows in block.items():
                    assert torch.equal(rows.to_dense().cpu(), expected[key].to_dense()[begin:end])
