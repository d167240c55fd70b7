"""How the orbit operators are registered with torch; results for any number of threads and on any path of the kernels."""

import networkx as nx
import pytest
import torch
from orbit_definition import edges_of

from graphkit import ops
from graphkit.ops.orbits_reference import HOP3_BIT, NEED_LISTS

ALL_ROWS = (1 << (HOP3_BIT + 1)) - 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("namespace", ["graphkit", "graphkit_python"])
@pytest.mark.parametrize("wide", [False, True])
def test_opcheck(namespace, wide):
    edges = edges_of(nx.karate_club_graph())
    operators = getattr(torch.ops, namespace)
    utils = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(operators.simple_graph.default, (edges, 34), test_utils=utils)
    ptr, col, _ = operators.simple_graph(edges, 34)
    torch.library.opcheck(operators.orbit_node_counts.default, (ptr, col), test_utils=utils)
    for need in (0, 7, 8, 15):
        torch.library.opcheck(operators.orbit_edge_bases.default, (ptr, col, need, wide), test_utils=utils)
    triangles, bases, *lists = operators.orbit_edge_bases(ptr, col, 15, wide)
    for keys in (1, (1 << 19) - 1):
        torch.library.opcheck(operators.orbit_edge_values.default, (ptr, col, triangles, bases, keys), test_utils=utils)
    torch.library.opcheck(operators.orbit_edge_counts.default, (ptr, col, triangles, bases), test_utils=utils)
    for keys in (1, 1 << HOP3_BIT, ALL_ROWS):
        torch.library.opcheck(
            operators.orbit_rows.default, (ptr, col, triangles, *lists, 3, 20, keys, wide), test_utils=utils
        )


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_any_number_of_threads(threads):
    graph = nx.powerlaw_cluster_graph(800, 5, 0.5, seed=1)
    graph.add_edges_from((0, v) for v in range(1, 800))
    edges = edges_of(graph)

    def everything():
        made = ops.SimpleGraph(edges, num_nodes=800)
        lists = torch.ops.graphkit.orbit_edge_bases(made.ptr, made.col, NEED_LISTS, False)[2:]
        matrices = ops.orbit_adjacency(made, num_nodes=800).values()
        return [
            ops.orbit_counts(made, num_nodes=800), *ops.edge_orbit_counts(made, num_nodes=800), *lists,
            *(t for m in matrices for t in (m.crow_indices(), m.col_indices(), m.values())),
        ]  # fmt: skip

    torch.set_num_threads(1)
    alone = everything()
    torch.set_num_threads(threads)
    for _ in range(3):
        assert same(everything(), alone)


def test_hubs_shared_by_tasks():
    """A graph whose 4-cycles meet in few nodes, so many that they are split by ranges of the opposite node."""
    left, right = 40, 3000
    graph = nx.complete_bipartite_graph(left, right)
    n, edges = left + right, edges_of(graph)
    torch.set_num_threads(2)
    counts = ops.orbit_counts(edges, num_nodes=n)
    assert counts[0, 8] == (left - 1) * (right * (right - 1) // 2)
    assert counts[-1, 8] == (right - 1) * (left * (left - 1) // 2)
    _, on_edges = ops.edge_orbit_counts(edges, num_nodes=n)
    assert on_edges[:, 5].unique().tolist() == [(left - 1) * (right - 1)]


def test_more_nodes_than_one_level_of_marks():
    """Above 65,536 nodes the marks have a second level; above 131,072 rows of (4,4) are scattered, not multiplied."""
    for n in (70_001, 140_003):
        ring = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
        keys = [(2, 1, 1), (2, 4, 5), (3, 4, 4)]
        for start, end, block in ops.orbit_adjacency_blocks(ring, num_nodes=n, keys=keys, memory=200_000):
            rows = torch.arange(start, end)
            for key, hops in ((keys[0], 2), (keys[1], 2), (keys[2], 3)):
                expected = torch.stack([(rows - hops) % n, (rows + hops) % n], 1).sort(1).values.flatten()
                assert torch.equal(block[key].col_indices().long(), expected)
                assert torch.equal(block[key].values(), torch.ones(2 * len(rows), dtype=torch.int32))
            if start > 3000:
                break
