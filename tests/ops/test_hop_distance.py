"""Hops between nodes: the definition as a queue, both backends, a third party, threads, registration, mistakes."""

import networkx as nx
import pytest
import torch

from graphkit import ops
from graphkit.errors import UserError
from graphkit.ops.hop_distance import HOP_DIRECTIONS


def graph_of(name):
    """(edge_index, N): directed ones with loops, copies and isolated nodes among them."""
    generator = torch.Generator().manual_seed(len(name))
    if name == "random":
        return torch.randint(40, (2, 70), generator=generator), 43
    if name == "dense":
        return torch.randint(12, (2, 90), generator=generator), 12
    if name == "path":
        return torch.stack([torch.arange(99), torch.arange(1, 100)]), 100
    if name == "grid":
        edges = torch.tensor([(9 * a + b, 9 * c + d) for (a, b), (c, d) in nx.grid_2d_graph(9, 9).edges]).t()
        return torch.cat([edges, edges.flip(0)], 1), 81
    return torch.zeros(2, 0, dtype=torch.int64), 3  # "bare"


NAMES = ["random", "dense", "path", "grid", "bare"]


def search(edges, n, seed, hops, direction):
    """{node: hop} by a queue."""
    pairs = edges.t().tolist()
    beside = {v: set() for v in range(n)}
    for u, v in pairs:
        if direction != "out":
            beside[v].add(u)
        if direction != "in":
            beside[u].add(v)
    found, queue = {seed: 0}, [seed]
    for v in queue:
        if found[v] < hops:
            for u in sorted(beside[v]):
                if u not in found:
                    found[u] = found[v] + 1
                    queue.append(u)
    return found


@pytest.mark.parametrize("direction", HOP_DIRECTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_balls(name, direction, backend):
    edges, n = graph_of(name)
    seeds = torch.tensor([2, 0, *range(n - 1, 0, -max(1, n // 17)), 2])
    for hops in (0, 1, 3, 1000):
        balls = ops.hop_balls(edges, seeds, num_nodes=n, hops=hops, direction=direction)
        assert balls.ptr[0] == 0 and balls.ptr[-1] == len(balls.nodes) == len(balls.hop)
        for s, seed in enumerate(seeds.tolist()):
            found = search(edges, n, seed, hops, direction)
            part = slice(int(balls.ptr[s]), int(balls.ptr[s + 1]))
            expected = sorted((hop, node) for node, hop in found.items())
            assert list(zip(balls.hop[part].tolist(), balls.nodes[part].tolist(), strict=True)) == expected


@pytest.mark.parametrize("direction", HOP_DIRECTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_edges_inside_balls(name, direction, backend):
    edges, n = graph_of(name)
    seeds = torch.arange(n).flip(0)[:19]
    balls = ops.hop_balls(edges, seeds, num_nodes=n, hops=2, direction=direction)
    inside = ops.ball_edges(edges, balls, num_nodes=n)
    for s in range(len(seeds)):
        first, last = int(balls.ptr[s]), int(balls.ptr[s + 1])
        place = {node: first + k for k, node in enumerate(balls.nodes[first:last].tolist())}
        expected = [
            (place[v], u, place[u], e) for e, (u, v) in enumerate(edges.t().tolist()) if u in place and v in place
        ]
        part = slice(int(inside.ptr[s]), int(inside.ptr[s + 1]))
        found = zip(inside.target[part].tolist(), inside.source[part].tolist(), inside.edge[part].tolist(), strict=True)
        assert list(found) == [(t, p, e) for t, _, p, e in sorted(expected, key=lambda row: (row[0], row[1], row[3]))]


@pytest.mark.parametrize("direction", HOP_DIRECTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_all_hops_and_sums_by_hop(name, direction, backend):
    edges, n = graph_of(name)
    seeds = torch.arange(n).repeat(3)[: 70 if n > 20 else 9]  # more than one word of searches, and seeds twice
    values = torch.rand(len(seeds), n, generator=torch.Generator().manual_seed(1))
    whole = ops.hop_distance(edges, seeds, num_nodes=n, direction=direction)
    near = ops.hop_distance(edges, seeds, num_nodes=n, hops=2, direction=direction)
    sums = {
        t: ops.hop_bincount(edges, seeds, values.to(t), num_nodes=n, hops=2, direction=direction)
        for t in (torch.float32, torch.float64)
    }
    counts = ops.hop_bincount(edges, seeds, num_nodes=n, hops=2, direction=direction)
    for s, seed in enumerate(seeds.tolist()):
        found = search(edges, n, seed, n, direction)
        assert whole[s].tolist() == [found.get(v, -1) for v in range(n)]
        assert near[s].tolist() == [found[v] if found.get(v, 9) <= 2 else -1 for v in range(n)]
        expected, number = [0.0] * 4, [0.0] * 4
        for v in range(n):
            place = min(found.get(v, 3), 3)
            expected[place] += float(values[s, v])
            number[place] += 1
        for found_sums in sums.values():
            torch.testing.assert_close(
                found_sums[s], torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13
            )
        assert counts[s].tolist() == number
    assert whole.dtype == torch.int32 and counts.dtype == torch.float64


def test_the_sums_of_balls_are_those_of_all_nodes(backend):
    edges, n = graph_of("grid")
    seeds, values = torch.arange(0, n, 5), torch.rand(n, dtype=torch.float64)
    balls = ops.hop_balls(edges, seeds, num_nodes=n, hops=4)
    dense = ops.hop_bincount(edges, seeds, values.expand(len(seeds), n).contiguous(), num_nodes=n, hops=3)
    ragged = balls.bincount(values[balls.nodes], 3)
    torch.testing.assert_close(ragged[:, :4], dense[:, :4], rtol=1e-13, atol=0)
    assert bool((ragged[:, 4] <= dense[:, 4] + 1e-12).all())  # a ball of four hops lacks what lies farther


def test_networkx(backend):
    graph = nx.gnp_random_graph(150, 0.015, seed=3, directed=True)
    edges = torch.tensor(list(graph.edges)).t()
    found = ops.hop_distance(edges, torch.arange(150), num_nodes=150, direction="out")
    expected = torch.full((150, 150), -1, dtype=torch.int32)
    for v, lengths in nx.all_pairs_shortest_path_length(graph):
        for u, hop in lengths.items():
            expected[v, u] = hop
    assert torch.equal(found, expected)
    assert torch.equal(ops.hop_distance(edges, torch.arange(150), num_nodes=150, direction="in"), expected.t())


def test_storage_does_not_matter(backend):
    from torch_geometric import EdgeIndex

    edges, n = graph_of("random")
    seeds = torch.arange(n)
    expected = ops.hop_balls(edges, seeds, num_nodes=n, hops=2)
    given = (
        edges.t().contiguous().t(), ops.CSRGraph(edges, num_nodes=n), ops.HopGraph(edges, num_nodes=n),
        EdgeIndex(edges, sparse_size=(n, n)),
    )  # fmt: skip
    for one in given:
        found = ops.hop_balls(one, seeds, num_nodes=n, hops=2)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        inside = ops.ball_edges(one, found, num_nodes=n)
        assert torch.equal(edges[:, inside.edge], torch.stack([found.nodes[inside.source], found.nodes[inside.target]]))
    with torch.inference_mode():
        assert ops.HopGraph(edges.clone(), num_nodes=n).num_edges == 70


def test_symmetric():
    edges, n = graph_of("grid")
    assert ops.HopGraph(edges, num_nodes=n).symmetric
    assert not ops.HopGraph(edges[:, 1:], num_nodes=n).symmetric
    assert not ops.HopGraph(torch.cat([edges, edges[:, :1]], 1), num_nodes=n).symmetric, (
        "one copy more of one direction"
    )


@pytest.mark.parametrize("threads", [2, 8])
def test_threads_change_nothing(threads):
    edges, n = torch.randint(4000, (2, 11000), generator=torch.Generator().manual_seed(0)), 4000
    graph, seeds = ops.HopGraph(edges, num_nodes=n), torch.arange(0, n, 13)
    values = torch.rand(len(seeds), n, generator=torch.Generator().manual_seed(1))

    def everything():
        balls = ops.hop_balls(graph, seeds, num_nodes=n, hops=3)
        return [
            *balls, *ops.ball_edges(graph, balls, num_nodes=n), ops.hop_distance(graph, seeds[:70], num_nodes=n),
            ops.hop_bincount(graph, seeds, values, num_nodes=n, hops=5, direction="both"),
        ]  # fmt: skip

    alone = everything()
    torch.set_num_threads(threads)
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(everything(), alone, strict=True))


def test_relabelled_nodes_have_the_same_hops():
    edges, n = graph_of("random")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(5))
    there = torch.empty_like(order)
    there[order] = torch.arange(n)
    plain = ops.hop_distance(edges, torch.arange(n), num_nodes=n)
    moved = ops.hop_distance(there[edges], torch.arange(n), num_nodes=n)
    assert torch.equal(moved, plain[order][:, order])


def test_overlapping_sets_in_one_thread(backend):
    """A set may hold nodes of the sets before it, also ones that lie earlier in the list."""
    edges, n = graph_of("dense")
    sets = [[3, 4, 5], [5, 3], [], [4, 3, 11, 0]] * 5
    ptr = torch.tensor([0, *(len(s) for s in sets)]).cumsum(0)
    balls = ops.HopBalls(ptr, torch.tensor([v for s in sets for v in s]), torch.zeros(int(ptr[-1]), dtype=torch.int64))
    inside = ops.ball_edges(edges, balls, num_nodes=n)
    expected = [sum(u in s and v in s for u, v in edges.t().tolist()) for s in sets]
    assert inside.ptr.diff().tolist() == expected
    assert torch.equal(edges[:, inside.edge], torch.stack([balls.nodes[inside.source], balls.nodes[inside.target]]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("namespace", ["graphkit", "graphkit_python"])
def test_opcheck(namespace):
    edges, n = graph_of("random")
    graph, operators = ops.HopGraph(edges, num_nodes=n), getattr(torch.ops, namespace)
    searched, seeds = (graph.ptr, graph.source, graph.t_ptr, graph.t_target), torch.arange(5)
    balls = ops.hop_balls(graph, seeds, num_nodes=n, hops=2)
    for operator, arguments in (
        (operators.hop_graph, (edges, n)),
        (operators.hop_balls, (*searched, seeds, 2, 0)),
        (operators.ball_edges, (graph.ptr, graph.source, graph.perm, balls.ptr, balls.nodes)),
        (operators.hop_distance, (*searched, seeds, 2, 1)),
        (operators.hop_bincount, (*searched, seeds, torch.rand(5, n), 2, 2)),
        (operators.hop_bincount, (*searched, seeds, torch.empty(0), 2, 2)),
    ):
        utils = ("test_schema", "test_autograd_registration", "test_faketensor")
        torch.library.opcheck(operator.default, arguments, test_utils=utils)


def test_nothing_is_asked(backend):
    edges, n = graph_of("random")
    none = torch.zeros(0, dtype=torch.int64)
    balls = ops.hop_balls(edges, none, num_nodes=n, hops=2)
    assert balls.ptr.tolist() == [0] and len(balls.nodes) == 0
    assert ops.ball_edges(edges, balls, num_nodes=n).ptr.tolist() == [0]
    assert ops.hop_distance(edges, none, num_nodes=n).shape == (0, n)
    assert ops.hop_bincount(edges, none, num_nodes=n, hops=1).shape == (0, 3)


def test_backends():
    names = ("hop_balls", "hop_bincount", "hop_distance")
    assert {ops.backend_of(name) for name in names} <= {"native", "python"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hops": -1}, "hops is -1, expected a whole number from 0 upwards"),
        ({"hops": 1.5}, "hops is 1.5, expected a whole number"),
        ({"hops": True}, "hops is True, expected a whole number"),
        ({"direction": "inn"}, "unknown direction 'inn'; did you mean 'in'?"),
        ({"seeds": torch.tensor([7])}, r"seeds hold node id 7, expected ids in \[0, 3\)"),
        ({"seeds": torch.tensor([-1])}, "seeds hold node id -1"),
        ({"seeds": torch.tensor([0.0])}, r"seeds are torch.float32 \[1\], expected int64 \[S\]"),
        ({"seeds": 2}, "seeds are int, expected int64"),
        ({"num_nodes": 2}, r"seeds hold node id 2, expected ids in \[0, 2\)"),
        ({"edge_index": torch.tensor([[0, 9], [1, 1]])}, "edge_index holds node id 9"),
        ({"edge_index": torch.zeros(3, 2)}, "expected an int64 tensor of shape"),
        ({"edge_index": ops.HopGraph(torch.tensor([[0], [1]]), num_nodes=4)}, "the HopGraph was made for 4 nodes"),
    ],
)
def test_mistakes_are_named(given, words):
    arguments = {"edge_index": torch.tensor([[0, 1], [1, 2]]), "seeds": torch.tensor([2]), "num_nodes": 3, "hops": 1}
    arguments |= given
    edges, seeds = arguments.pop("edge_index"), arguments.pop("seeds")
    for call_it in (ops.hop_balls, ops.hop_distance, ops.hop_bincount):
        with pytest.raises(UserError, match=words):
            call_it(edges, seeds, **arguments)


def test_values_that_do_not_fit_are_named():
    edges, seeds = torch.tensor([[0], [1]]), torch.tensor([1])
    for values in (torch.ones(2, 2), torch.ones(1, 2, dtype=torch.int64), torch.ones(2)):
        with pytest.raises(UserError, match=r"expected float32 or float64 \[1, 2\], a row for each seed"):
            ops.hop_bincount(edges, seeds, values, num_nodes=2, hops=1)
