"""Walks, tokens and induced edges on a CUDA device are those of the CPU: the kernels as plain C++, and on a device."""

import networkx as nx
import pytest
import torch
from plain_code import compiled, results, run
from walk_samples import all_edges, all_tokens, both_ways, path, random_graph, split, star

from graphkit import ops
from graphkit.ops.walks import _columns_by_key

INT64 = torch.int64


def graphs():
    """Edges and number of nodes."""
    yield torch.empty(2, 0, dtype=INT64), 0
    yield torch.empty(2, 0, dtype=INT64), 1
    yield torch.empty(2, 0, dtype=INT64), 6
    yield torch.tensor([[0], [0]]), 1
    yield path(9), 9
    yield star(70), 71
    yield random_graph(15, 60), 17  # directed, with loops and copies
    yield both_ways(random_graph(120, 500)), 125
    yield both_ways(torch.tensor(list(nx.karate_club_graph().edges)).t()), 34


def keys_of(nodes):
    return None, torch.randperm(nodes, generator=torch.Generator().manual_seed(nodes)) * 2**40


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    return compiled("walks_on_host", tmp_path_factory.mktemp("host"))


def drawn(kernels, graph, start, key, m, walks, s, seed, counter, most_cells=1 << 27):
    """ptr, nodes and walks of the tokens from the CUDA kernels."""
    col = graph.t_target if key is None else _columns_by_key(graph, key, key)
    bits = seed - 2**64 if seed >= 2**63 else seed
    run(kernels.tokens, graph.t_ptr, col, start, len(start), key, m, walks, s, bits, counter, most_cells)
    ptr, nodes, kept = results(kernels, [INT64] * 3)
    return ptr, nodes, kept.view(len(start), m * s, walks, m + 1)


# all tokens in one table; several tokens to a table, the last one not full; a token to a table
@pytest.mark.parametrize("most_cells", [1 << 27, 300, 1])
@pytest.mark.parametrize("m, walks, s", [(3, 4, 2), (1, 1, 1), (9, 3, 1), (2, 40, 1), (0, 4, 2), (3, 4, 0)])
def test_tokens_as_plain_code(kernels, m, walks, s, most_cells):
    for edge_index, nodes in graphs():
        graph = ops.CSRGraph(edge_index, num_nodes=nodes)
        start = torch.arange(nodes - 1, -1, -1).repeat(2)[: nodes + 1]  # one of them twice
        for key in keys_of(nodes):
            of = dict(seed=2**63 + 7, counter=2**32 - 3)
            expected = ops.walk_tokens(graph, start, num_nodes=nodes, walk_length=m, walks=walks, repeats=s, node_key=key,
                                       return_walks=True, **of)  # fmt: skip
            found = drawn(kernels, graph, start, key, m, walks, s, **of, most_cells=most_cells)
            assert all(torch.equal(a, b) for a, b in zip(found, expected[:3], strict=True))


def test_tokens_as_plain_code_by_definition(kernels):
    edge_index, start = random_graph(11, 30), torch.tensor([10, 0, 4, 0])
    graph = ops.CSRGraph(edge_index, num_nodes=11)
    ptr, nodes, _ = drawn(kernels, graph, start, None, 3, 4, 2, 5, 6, most_cells=200)
    wanted = all_tokens(edge_index, start, walk_length=3, walks=4, repeats=2, seed=5, counter=6)
    assert split(nodes, ptr) == [nodes for nodes, _ in wanted]


def test_largest_tokens_as_plain_code(kernels):
    """Walks of 255 steps, 4096 walks: more visits than nodes, and tables that are nearly full of them."""
    for m, walks in ((255, 2), (1, 4096)):
        graph = ops.CSRGraph(star(3000), num_nodes=3001)
        start = torch.tensor([0, 17])
        of = dict(walk_length=m, walks=walks, repeats=1, seed=3, counter=0)
        expected = ops.walk_tokens(graph, start, num_nodes=3001, return_walks=True, **of)
        found = drawn(kernels, graph, start, None, m, walks, 1, 3, 0)
        assert all(torch.equal(a, b) for a, b in zip(found, expected[:3], strict=True))


def test_walks_as_plain_code(kernels):
    for edge_index, nodes in graphs():
        graph, start = ops.CSRGraph(edge_index, num_nodes=nodes), torch.arange(nodes)
        for length in (0, 1, 11):
            out = torch.full((nodes, 5, length + 1), -7)
            run(kernels.walks, graph.t_ptr, graph.t_target, start, nodes, None, length, 5, 2, 9, 1, out)
            expected = ops.sample_walks(
                graph, start, num_nodes=nodes, length=length, walks=5, repeat=2, seed=9, counter=1
            )
            assert torch.equal(out, expected)


def ragged(sets):
    size = torch.tensor([len(s) for s in sets], dtype=INT64)
    return torch.cat([size.new_zeros(1), size.cumsum(0)]), torch.tensor([v for s in sets for v in s], dtype=INT64)


def edges_among(kernels, graph, ptr, nodes):
    run(kernels.edges, graph.num_nodes, graph.t_ptr, graph.t_target, graph.t_edge, len(ptr) - 1, len(nodes), ptr, nodes)
    return results(kernels, [INT64] * 5)


def test_induced_edges_as_plain_code(kernels):
    generator = torch.Generator().manual_seed(1)
    for edge_index, n in graphs():
        edge_index = torch.cat([edge_index, edge_index[:, ::3]], 1)  # more copies
        graph = ops.CSRGraph(edge_index, num_nodes=n)
        sizes = torch.randint(min(n, 12) + 1, (30,), generator=generator).tolist()
        sets = [
            [],
            *(torch.randperm(n, generator=generator)[:size].tolist() for size in sizes),
            list(range(n))[::-1],
            [],
        ]
        *found, repeated = edges_among(kernels, graph, *ragged(sets))
        assert repeated.tolist() == [-1]
        expected = ops.induced_edges(graph, *ragged(sets), num_nodes=n)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        rows = split(torch.stack(found[1:], 1), found[0])
        assert [[tuple(row) for row in part] for part in rows] == all_edges(edge_index, sets)
    none = edges_among(kernels, graph, torch.tensor([0]), torch.empty(0, dtype=INT64))
    assert none[0].tolist() == [0] and [len(t) for t in none[1:4]] == [0, 0, 0]


def test_hubs_as_plain_code(kernels):
    """The hub's row is bisected for the small sets and read for the large ones; copies of its edges are all found."""
    edges = star(4000)
    graph = ops.CSRGraph(torch.cat([edges, edges[:, ::7]], 1), num_nodes=4001)
    sets = [[0, 7, 3999], [17, 0], [0], [5, 6], list(range(4000, -1, -1))]
    *found, _ = edges_among(kernels, graph, *ragged(sets))
    expected = ops.induced_edges(graph, *ragged(sets), num_nodes=4001)
    assert len(found[1]) > 9000 and all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_repeated_nodes_as_plain_code(kernels):
    graph = ops.CSRGraph(star(5), num_nodes=6)
    for sets, first in (([[0, 1], [2, 3, 2], [4], [0, 0]], 1), ([[1, 0], [0, 1]], -1), ([[3, 3, 3]], 0)):
        assert edges_among(kernels, graph, *ragged(sets))[4].tolist() == [first]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("keyed", [False, True])
def test_devices_agree(keyed):
    for edge_index, nodes in (*graphs(), (both_ways(random_graph(300, 1500)), 300)):
        start, key = torch.arange(nodes), keys_of(nodes)[keyed]
        outcomes = []
        for device in ("cpu", "cuda", "cuda"):
            of = dict(num_nodes=nodes, seed=2**63 + 7, counter=3, node_key=None if key is None else key.to(device))
            graph = ops.CSRGraph(edge_index, num_nodes=nodes).to(device)
            walks = ops.sample_walks(graph, start.to(device), length=11, walks=5, **of)
            tokens = ops.walk_tokens(graph, start.to(device), walk_length=3, walks=4, repeats=2, return_walks=True,
                                     return_edges=True, **of)  # fmt: skip
            everybody = ops.induced_edges(
                graph, torch.tensor([0, nodes], device=device), start.flip(0).to(device), num_nodes=nodes
            )
            outcomes.append([t.cpu() for t in (walks, *tokens, *everybody)])
        for other in outcomes[1:]:
            assert all(torch.equal(a, b) for a, b in zip(outcomes[0], other, strict=True))
