"""Tokens of walks: definition, properties, independence of threads and batches, relabelling, registration, mistakes."""

import networkx as nx
import pytest
import torch
from walk_samples import all_edges, all_tokens, both_ways, path, random_graph, split, star

from graphkit import ops
from graphkit.errors import UserError

NUMBERS = {"walk_length": 3, "walks": 4, "repeats": 2, "seed": 9}


def draw(edge_index, start, *, num_nodes, **options):
    return ops.walk_tokens(edge_index, start, num_nodes=num_nodes, **{**NUMBERS, **options})


def same(a, b):
    return all((x is None and y is None) or torch.equal(x, y) for x, y in zip(a, b, strict=True))


# lengths, walks and repeats whose tokens share a batch of walks, fill one, or need several; borders between nodes in a batch
@pytest.mark.parametrize("m, walks, s", [(3, 4, 2), (1, 1, 1), (5, 1, 3), (2, 40, 1), (2, 130, 2), (7, 3, 1)])
@pytest.mark.parametrize("keyed", [False, True])
def test_definition(m, walks, s, keyed, backend):
    nodes = 11
    edge_index, start = random_graph(nodes, 30), torch.tensor([10, 0, 4, 0])
    key = torch.randperm(nodes, generator=torch.Generator().manual_seed(1)) * 2**44 if keyed else None
    options = dict(walk_length=m, walks=walks, repeats=s, seed=2**63 + 1, counter=3, node_key=key)
    found = ops.walk_tokens(edge_index, start, num_nodes=nodes, return_walks=True, return_edges=True, **options)
    wanted = all_tokens(edge_index, start, **options)
    assert found.ptr.shape == (4 * m * s + 1,) and found.walks.shape == (4, m * s, walks, m + 1)
    assert split(found.nodes, found.ptr) == [nodes for nodes, _ in wanted]
    for token, (_, trace) in zip(found.walks.flatten(0, 1).tolist(), wanted, strict=True):
        assert token == [walk + [-1] * (m + 1 - len(walk)) for walk in trace]
    triples = torch.stack([found.edge_source, found.edge_target, found.edge_id], 1)
    edges = [[tuple(row) for row in rows] for rows in split(triples, found.edge_ptr)]
    assert edges == all_edges(edge_index, [nodes for nodes, _ in wanted])


def test_walks_are_those_of_sample_walks(backend):
    edge_index, start, m, s = random_graph(30, 100), torch.arange(30), 3, 2
    found = draw(edge_index, start, num_nodes=30, return_walks=True)
    for i in range(1, m + 1):
        for j in range(1, s + 1):
            alone = ops.sample_walks(edge_index, start, num_nodes=30, length=i, walks=4, seed=9, repeat=j - 1)
            assert torch.equal(found.walks[:, (m - i) * s + (s - j), :, : i + 1], alone)


def test_tokens_lie_in_their_balls(backend):
    graph = nx.karate_club_graph()
    edge_index = both_ways(torch.tensor(list(graph.edges)).t())
    for walks in (1, 6):
        found = draw(edge_index, torch.arange(34), num_nodes=34, walk_length=4, walks=walks)
        tokens = split(found.nodes, found.ptr)
        assert len(tokens) == 34 * 4 * 2
        for t, nodes in enumerate(tokens):
            v, length = t // 8, 4 - t % 8 // 2
            distance = nx.single_source_shortest_path_length(graph, v, cutoff=length)
            assert nodes[0] == v and len(set(nodes)) == len(nodes) <= 1 + walks * length
            assert set(nodes) <= set(distance) and nx.is_connected(graph.subgraph(nodes))


def test_degenerate_tokens(backend):
    edge_index = path(4)
    for options in ({"walk_length": 0}, {"repeats": 0}):
        found = draw(edge_index, torch.arange(4), num_nodes=4, return_walks=True, return_edges=True, **options)
        assert found.ptr.tolist() == [0] and not len(found.nodes) and found.walks.shape[:2] == (4, 0)
        assert found.edge_ptr.tolist() == [0] and not len(found.edge_id)
    none = draw(edge_index, torch.arange(0), num_nodes=4, return_edges=True)
    assert none.ptr.tolist() == [0] and none.walks is None and none.edge_ptr.tolist() == [0]
    # isolated nodes have full sets of tokens, with themselves alone in them
    alone = draw(torch.empty(2, 0, dtype=torch.int64), torch.arange(2), num_nodes=2, return_edges=True)
    assert alone.ptr.tolist() == list(range(13)) and alone.nodes.tolist() == [0] * 6 + [1] * 6
    assert not len(alone.edge_source)
    loop = draw(torch.tensor([[0], [0]]), torch.arange(1), num_nodes=1, return_edges=True)
    assert loop.nodes.tolist() == [0] * 6 and loop.edge_id.tolist() == [0] * 6


def test_many_walks_cover_the_ball(backend):
    found = draw(star(200), torch.tensor([0]), num_nodes=201, walk_length=1, walks=4096, repeats=1)
    assert sorted(found.nodes.tolist()) == list(range(201))


def test_threads_change_nothing(backend):
    edge_index = both_ways(random_graph(300, 1500))
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 8):
            torch.set_num_threads(threads)
            results.append(draw(edge_index, torch.arange(300), num_nodes=300, return_walks=True, return_edges=True))
    finally:
        torch.set_num_threads(before)
    assert all(same(results[0], other) for other in results[1:])


def test_batches_order_and_backends_change_nothing(backend):
    edge_index = both_ways(random_graph(150, 700))
    graph = ops.CSRGraph(edge_index, num_nodes=150)
    options = dict(num_nodes=150, return_walks=True, return_edges=True)
    whole = draw(graph, torch.arange(150), **options)
    with ops.force_backend("python"):
        assert same(whole, draw(graph, torch.arange(150), **options))
    parts = [draw(edge_index, part, **options) for part in torch.arange(150).split(23)]
    for field in ("nodes", "walks", "edge_source", "edge_target", "edge_id"):
        assert torch.equal(torch.cat([getattr(part, field) for part in parts]), getattr(whole, field))
    for field in ("ptr", "edge_ptr"):
        assert torch.equal(torch.cat([getattr(part, field).diff() for part in parts]), getattr(whole, field).diff())
    order = torch.randperm(150, generator=torch.Generator().manual_seed(2))
    moved = draw(graph, order, **options)
    rows = (order[:, None] * 6 + torch.arange(6)).flatten()
    assert same(whole.permute(rows)[:2], moved[:2]) and same(whole.permute(rows)[3:], moved[3:])
    assert not torch.equal(draw(graph, torch.arange(150), num_nodes=150, counter=1).nodes, whole.nodes)


def test_relabelling(backend):
    edge_index = both_ways(random_graph(60, 200))
    key = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    name = torch.randperm(60, generator=torch.Generator().manual_seed(4))
    moved_key = torch.empty_like(key)
    moved_key[name] = key
    one = draw(edge_index, torch.arange(60), num_nodes=60, node_key=key, return_edges=True)
    two = draw(name[edge_index], name, num_nodes=60, node_key=moved_key, return_edges=True)
    assert torch.equal(two.nodes, name[one.nodes]) and same(one[:1] + one[3:], two[:1] + two[3:])


def test_permuted_walks(backend):
    tokens = draw(path(5), torch.arange(5), num_nodes=5, return_walks=True, return_edges=True)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(5))
    moved = tokens.permute(order)
    assert split(moved.nodes, moved.ptr) == [split(tokens.nodes, tokens.ptr)[t] for t in order.tolist()]
    assert split(moved.edge_id, moved.edge_ptr) == [split(tokens.edge_id, tokens.edge_ptr)[t] for t in order.tolist()]
    assert torch.equal(moved.walks.flatten(0, 1), tokens.walks.flatten(0, 1)[order])
    assert same(moved.permute(torch.argsort(order)), tokens)
    with pytest.raises(UserError, match=r"order is torch.int64 \[29\], expected int64 \[30\]"):
        tokens.permute(order[1:])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_registration():
    graph = ops.CSRGraph(random_graph(9, 30), num_nodes=9)
    for namespace in (torch.ops.graphkit, torch.ops.graphkit_python):
        for keep in (False, True):
            arguments = (graph.t_ptr, graph.t_target, torch.arange(4), torch.arange(9), 3, 2, 2, 7, 0, keep)
            torch.library.opcheck(namespace.walk_tokens.default, arguments)


def test_mistakes_are_named(backend):
    for options, words in [
        ({"walk_length": 256}, "walk_length is 256, expected a whole number from 0 to 255"),
        ({"walks": 0}, "walks is 0, expected a whole number from 1 to 4096"),
        ({"walks": 5000}, "walks is 5000"),
        ({"repeats": 4097}, "repeats is 4097, expected a whole number from 0 to 4096"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"start": torch.tensor([5])}, "start holds node id 5, expected ids in \\[0, 5\\)"),
        ({"node_key": torch.arange(4)}, "node_key has 4 entries"),
    ]:
        with pytest.raises(UserError, match=words):
            draw(**{"edge_index": path(5), "start": torch.arange(5), "num_nodes": 5, **options})
