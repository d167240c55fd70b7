"""Edges that sets of nodes induce: definition, hubs, independence of threads and backends, third party, mistakes."""

import networkx as nx
import pytest
import torch
from walk_samples import all_edges, both_ways, random_graph, split, star

from graphkit import ops
from graphkit.errors import UserError


def ragged(sets):
    size = torch.tensor([len(s) for s in sets], dtype=torch.int64)
    return torch.cat([size.new_zeros(1), size.cumsum(0)]), torch.tensor([v for s in sets for v in s], dtype=torch.int64)


def random_sets(nodes, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(min(nodes, 12) + 1, (count,), generator=generator).tolist()
    return [torch.randperm(nodes, generator=generator)[:size].tolist() for size in sizes]


def triples(found):
    edge_ptr, *columns = found
    return [[tuple(row) for row in rows] for rows in split(torch.stack(columns, 1), edge_ptr)]


@pytest.mark.parametrize("nodes, edges", [(15, 60), (4, 40), (30, 0), (1, 2)])
@pytest.mark.parametrize("symmetric", [False, True])
def test_definition(nodes, edges, symmetric, backend):
    edge_index = random_graph(nodes, edges)  # loops, copies, nodes without edges
    edge_index = both_ways(edge_index) if symmetric else edge_index
    sets = [[], *random_sets(nodes, 40), []]
    found = ops.induced_edges(edge_index, *ragged(sets), num_nodes=nodes)
    assert [t.dtype for t in found] == [torch.int64] * 4
    assert triples(found) == all_edges(edge_index, sets)


def test_no_sets(backend):
    found = ops.induced_edges(star(3), torch.tensor([0]), torch.empty(0, dtype=torch.int64), num_nodes=4)
    assert found[0].tolist() == [0] and all(len(t) == 0 for t in found[1:])


def test_sizes_at_which_the_filter_changes(backend):
    """Up to 256 nodes are told from others by small tables; rows are longer than what one look-up takes."""
    edge_index = random_graph(700, 40_000)
    generator = torch.Generator().manual_seed(0)
    sets = [torch.randperm(700, generator=generator)[:size].tolist() for size in (63, 64, 65, 255, 256, 257, 700)]
    assert triples(ops.induced_edges(edge_index, *ragged(sets), num_nodes=700)) == all_edges(edge_index, sets)


def test_hubs_by_either_branch(backend):
    """The hub's row is bisected for a small set and read for a large one; copies of its edges are all found."""
    edges = star(4000)
    edges = torch.cat([edges, edges[:, ::7]], 1)
    generator = torch.Generator().manual_seed(1)
    small = [[0, 7, 3999], [17, 0], [0], [5, 6]]
    large = [[0, *(torch.randperm(4000, generator=generator)[:900] + 1).tolist()], list(range(4001))]
    found = ops.induced_edges(edges, *ragged(small), num_nodes=4001)
    assert triples(found) == all_edges(edges, small)
    edge_ptr, source, target, edge = ops.induced_edges(edges, *ragged(large), num_nodes=4001)
    ptr, nodes = ragged(large)
    for s, members in enumerate(large):
        inside = torch.zeros(4001, dtype=torch.bool)
        inside[torch.tensor(members)] = True
        part = slice(int(edge_ptr[s]), int(edge_ptr[s + 1]))
        assert torch.equal(edge[part].sort().values, inside[edges].all(0).nonzero().squeeze(1))
        own = nodes[ptr[s] : ptr[s + 1]]
        assert torch.equal(torch.stack([own[source[part]], own[target[part]]]), edges[:, edge[part]])
        place = source[part] * 4001 + target[part]
        assert bool((place.diff() >= 0).all())


def test_third_party(backend):
    graph = nx.karate_club_graph()
    edge_index = both_ways(torch.tensor(list(graph.edges)).t())
    sets = random_sets(34, 50, seed=2)
    edge_ptr, source, target, _ = ops.induced_edges(edge_index, *ragged(sets), num_nodes=34)
    for s, members in enumerate(sets):
        part = slice(int(edge_ptr[s]), int(edge_ptr[s + 1]))
        ours = {(members[a], members[b]) for a, b in zip(source[part].tolist(), target[part].tolist(), strict=True)}
        assert ours == {pair for e in graph.subgraph(members).edges for pair in (e, e[::-1])}


def test_threads_backends_and_batches_change_nothing(backend):
    edge_index = both_ways(random_graph(200, 3000))
    everybody = torch.randperm(200, generator=torch.Generator().manual_seed(4)).tolist()
    sets = [*random_sets(200, 900, seed=3), everybody]
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 8):
            torch.set_num_threads(threads)
            results.append(ops.induced_edges(edge_index, *ragged(sets), num_nodes=200))
    finally:
        torch.set_num_threads(before)
    with ops.force_backend("python"):
        results.append(ops.induced_edges(ops.CSRGraph(edge_index, num_nodes=200), *ragged(sets), num_nodes=200))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    parts = [ops.induced_edges(edge_index, *ragged(sets[k : k + 100]), num_nodes=200) for k in range(0, len(sets), 100)]
    for c in range(1, 4):
        assert torch.equal(torch.cat([part[c] for part in parts]), results[0][c])


def test_the_body_in_torch_cuts_the_sets(monkeypatch):
    edge_index, sets = both_ways(random_graph(60, 500)), random_sets(60, 60, seed=5)
    with ops.force_backend("python"):
        whole = ops.induced_edges(edge_index, *ragged(sets), num_nodes=60)
        monkeypatch.setitem(ops.induced_edges.__globals__, "_ENTRIES", 20)
        cut = ops.induced_edges(edge_index, *ragged(sets), num_nodes=60)
    assert all(torch.equal(a, b) for a, b in zip(whole, cut, strict=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_registration():
    graph = ops.CSRGraph(random_graph(9, 30), num_nodes=9)
    arguments = (graph.t_ptr, graph.t_target, graph.t_edge, *ragged([[0, 3, 2], [], [1, 0]]))
    for namespace in (torch.ops.graphkit, torch.ops.graphkit_python):
        torch.library.opcheck(namespace.induced_edges.default, arguments)


def test_mistakes_are_named(backend):
    edge_index, ptr, nodes = star(4), torch.tensor([0, 2, 3]), torch.tensor([0, 1, 4])
    for options, words in [
        ({"ptr": torch.tensor([0, 2])}, "ptr does not rise from 0 to 3, the number of nodes in all sets"),
        ({"ptr": torch.tensor([0, 3, 2, 3])}, "ptr does not rise"),
        ({"ptr": torch.empty(0, dtype=torch.int64)}, "ptr does not rise"),
        ({"ptr": ptr.int()}, "ptr is torch.int32 \\[3\\], expected a one-dimensional int64 tensor"),
        ({"nodes": nodes.float()}, "nodes is torch.float32"),
        ({"nodes": torch.tensor([0, 1, 5])}, "nodes holds 5, expected ids in \\[0, 5\\)"),
        ({"nodes": torch.tensor([0, -1, 4])}, "nodes holds -1"),
        ({"nodes": torch.tensor([2, 1, 1]), "ptr": torch.tensor([0, 1, 3])}, "set 1 holds a node twice"),
        ({"edge_index": edge_index.int()}, "edge_index has dtype torch.int32"),
    ]:
        with pytest.raises(UserError, match=words):
            ops.induced_edges(**{"edge_index": edge_index, "ptr": ptr, "nodes": nodes, "num_nodes": 5, **options})
