"""Eccentricity inside k-hop balls: definition, networkx, known facts, determinism, registration, mistakes."""

import os
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch

from graphkit import ops
from graphkit.errors import UserError


def random_graph(number):
    """A multigraph of one of several kinds with weights, some of them zero; directed for every third number."""
    rng = np.random.default_rng(number)
    kind = ("gnm", "tree", "grid", "apart", "loops", "parallel")[number % 6]
    n = int(rng.integers(1, 16))
    if kind == "tree":
        pairs = [(v, int(rng.integers(0, v))) for v in range(1, n)]
    elif kind == "grid":
        width = int(rng.integers(2, 5))
        n = width * width
        pairs = [(v, v + 1) for v in range(n) if (v + 1) % width] + [(v, v + width) for v in range(n - width)]
        pairs = [pair for pair in pairs if rng.random() < 0.8]
    else:
        edges = int(rng.integers(0, 2 * n + 1)) // (3 if kind == "apart" else 1)
        pairs = [(int(a), int(b)) for a, b in rng.integers(0, n, (edges, 2)) if kind == "loops" or a != b]
        if kind == "parallel":
            pairs += pairs[: len(pairs) // 2]
    graph = (nx.MultiDiGraph if number % 3 == 1 else nx.MultiGraph)()
    graph.add_nodes_from(range(n))
    for a, b in pairs:
        graph.add_edge(a, b, w=0.0 if rng.random() < 0.2 else float(np.float32(rng.exponential(100))))
    return graph


def tensors(graph, dtype=torch.float64):
    edges = [(a, b, w) for a, b, w in graph.edges(data="w")]
    if not graph.is_directed():
        edges += [(b, a, w) for a, b, w in edges]
    index = torch.tensor([[a for a, _, _ in edges], [b for _, b, _ in edges]], dtype=torch.int64).view(2, -1)
    return index, torch.tensor([w for _, _, w in edges], dtype=dtype)


def by_definition(graph, v, k, weight="w", scope="induced"):
    ball = nx.ego_graph(graph, v, radius=k)
    reach = nx.single_source_dijkstra_path_length(ball if scope == "induced" else graph, v, weight=weight)
    return max(reach[u] for u in ball), len(ball)


@pytest.mark.parametrize("block", range(10))
def test_networkx(block, backend):
    # the two bodies are compared bit by bit below, so the slow one sees fewer graphs here
    for number in range(block * 24, block * 24 + (24 if backend == "native" else 6)):
        graph = random_graph(number)
        n, ks = len(graph), [0, 1 + number % 3, 4 + number % 5]
        wanted = torch.tensor([[by_definition(graph, v, k) for v in range(n)] for k in ks], dtype=torch.float64)
        beyond = torch.tensor(
            [[by_definition(graph, v, k, scope="global")[0] for v in range(n)] for k in ks], dtype=torch.float64
        )
        if not graph.is_directed():
            balls = [nx.ego_graph(graph, v, radius=ks[1]) for v in range(n)]
            exact = [nx.eccentricity(ball, v, weight="w") for v, ball in enumerate(balls)]
            torch.testing.assert_close(wanted[1, :, 0], torch.tensor(exact, dtype=torch.float64))
        for dtype in (torch.float32, torch.float64):
            index, weight = tensors(graph, dtype)
            found = ops.khop_eccentricity(index, num_nodes=n, k=ks, weight=weight, return_balls=True)
            anywhere = ops.khop_eccentricity(index, num_nodes=n, k=ks, weight=weight, path_scope="global")
            assert torch.equal(found.eccentricity, wanted[..., 0]) and torch.equal(found.size, wanted[..., 1].long())
            assert torch.equal(anywhere, beyond)


def test_balls_of_a_distance(backend):
    for number in range(30):
        graph = random_graph(number)
        index, weight = tensors(graph)
        radii = [0.0, 60.5, 150.0, float("inf")]
        found = ops.khop_eccentricity(
            index, num_nodes=len(graph), k=radii, weight=weight, ball_metric="distance", return_balls=True
        )
        for i, radius in enumerate(radii):
            for v in graph:
                reach = nx.single_source_dijkstra_path_length(graph, v, cutoff=radius, weight="w")
                assert found.eccentricity[i, v] == max(reach.values()) and found.size[i, v] == len(reach)
                far = min(u for u, d in reach.items() if d == max(reach.values()))
                assert found.farthest[i, v] == far


def test_known_facts(backend):
    for number in range(0, 60, 2):
        graph = random_graph(number)
        index, weight = tensors(graph)
        n = len(graph)
        every = ops.khop_eccentricity(index, num_nodes=n, k=list(range(20)), weight=weight, return_balls=True)
        assert not every.eccentricity[0].any() and (every.farthest[0] == torch.arange(n)).all()
        assert (every.size.diff(dim=0) >= 0).all()
        anywhere = ops.khop_eccentricity(index, num_nodes=n, k=list(range(20)), weight=weight, path_scope="global")
        assert (every.eccentricity >= anywhere).all() and (anywhere.diff(dim=0) >= 0).all()
        true = [max(nx.single_source_dijkstra_path_length(graph, v, weight="w").values()) for v in range(n)]
        assert every.eccentricity[-1].tolist() == true  # k is at least the diameter
        hops = [max(nx.single_source_shortest_path_length(graph, v).values()) for v in range(n)]
        for k in (2, 5):
            for unit in (None, torch.ones_like(weight)):
                found = ops.khop_eccentricity(index, num_nodes=n, k=k, weight=unit)
                assert found.tolist() == [min(k, h) for h in hops]


def hard_ring(n):
    """A cycle whose breadth-first order is the worst one: the light way leads round it."""
    index = torch.tensor([[i, (i + 1) % n] for i in range(n)]).t()
    chords = torch.tensor([[0, i] for i in range(2, n)]).t()
    weight = torch.cat([torch.ones(n), torch.arange(2.0, n) * 3]).double()
    order = torch.randperm(n, generator=torch.Generator().manual_seed(3))
    both = torch.cat([index, chords.flip(1)], 1)
    return order[torch.cat([both, both.flip(0)], 1)], torch.cat([weight, weight.flip(0) * 0 + weight])


def test_many_sweeps_end_in_dijkstras_algorithm():
    n = 400
    index, weight = hard_ring(n)
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(n))
    graph.add_weighted_edges_from(zip(*index.tolist(), weight.tolist(), strict=True))
    some = torch.arange(0, n, 40)
    found = ops.khop_eccentricity(index, num_nodes=n, k=8, weight=weight, subset=some)
    assert found.tolist() == [by_definition(graph, int(v), 8, "weight")[0] for v in some]


def street_grid(width, seed=0):
    rng = np.random.default_rng(seed)
    ids = np.arange(width * width).reshape(width, width)
    pairs = np.concatenate([
        np.stack([ids[1:].ravel(), ids[:-1].ravel()]), np.stack([ids[:, 1:].ravel(), ids[:, :-1].ravel()])
    ], 1)  # fmt: skip
    pairs = torch.from_numpy(pairs[:, rng.random(pairs.shape[1]) < 0.75])
    weight = torch.from_numpy(rng.lognormal(4.5, 0.4, pairs.shape[1]))
    return torch.cat([pairs, pairs.flip(0)], 1), weight.repeat(2)


@pytest.mark.parametrize("options", [{}, {"path_scope": "global"}, {"ball_metric": "distance", "k": [200.0, 700.0]}])
def test_threads_order_and_backends_change_no_bit(options):
    index, weight = street_grid(30)
    n = 900
    options = {"k": [3, 16], "weight": weight, "return_balls": True, **options}
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 8):
        torch.set_num_threads(threads)
        results.append(ops.khop_eccentricity(index, num_nodes=n, **options))
    torch.set_num_threads(before)
    with ops.force_backend("python"):
        results.append(ops.khop_eccentricity(index, num_nodes=n, **options))
    some = torch.tensor([5, 899, 5, 17])
    part = ops.khop_eccentricity(index, num_nodes=n, **options, subset=some)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert all(torch.equal(a[:, some], b) for a, b in zip(results[0], part, strict=True))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    moved = ops.khop_eccentricity(order[index], num_nodes=n, **options)
    assert torch.equal(moved.eccentricity[:, order], results[0].eccentricity)
    assert torch.equal(moved.size[:, order], results[0].size)


@pytest.mark.parametrize("weighted", [False, True])
def test_opcheck(weighted, backend):
    index, weight = street_grid(4)
    graph = ops.CSRGraph(index, num_nodes=16)
    operators = torch.ops.graphkit if backend == "native" else torch.ops.graphkit_python
    arguments = (
        graph.t_ptr, graph.t_target, weight[graph.perm][graph.t_position.long()] if weighted else None,
        torch.tensor([3, 0, 15]), torch.tensor([2.0, 3.0], dtype=torch.float64), False, False,
    )  # fmt: skip
    torch.library.opcheck(operators.khop_eccentricity.default, arguments)


def test_containers_and_empty_graphs(backend):
    index, weight = street_grid(5)
    plain = ops.khop_eccentricity(index, num_nodes=25, k=3, weight=weight)
    assert torch.equal(
        ops.khop_eccentricity(ops.CSRGraph(index, num_nodes=25), num_nodes=25, k=3, weight=weight), plain
    )
    assert plain.dtype == torch.float64 and plain.shape == (25,)
    none = torch.empty(2, 0, dtype=torch.int64)
    assert ops.khop_eccentricity(none, num_nodes=3, k=[1, 16]).tolist() == [[0.0] * 3] * 2
    assert ops.khop_eccentricity(none, num_nodes=0, k=2, weight=torch.empty(0)).shape == (0,)
    assert ops.khop_eccentricity(index, num_nodes=25, k=2, subset=torch.empty(0, dtype=torch.int64)).shape == (0,)
    assert ops.backend_of("khop_eccentricity") == backend


def test_road_network():
    """Equals the definition on a real network; paths that leave the ball would be shorter for some of its nodes."""
    folder = Path(os.environ.get("GRAPHKIT_DATA", "data")) / "road_spatial"
    if not (folder / "OL.cedge").exists():
        pytest.skip("GRAPHKIT_DATA has no road_spatial")
    table = np.loadtxt(folder / "OL.cedge")
    pairs = torch.from_numpy(table[:, 1:3].astype(np.int64)).t()
    n, weight = int(pairs.max()) + 1, torch.from_numpy(table[:, 3].copy())
    index, weight = torch.cat([pairs, pairs.flip(0)], 1), weight.repeat(2)
    graph = nx.Graph()
    for a, b, w in zip(*pairs.tolist(), weight.tolist(), strict=False):
        if not graph.has_edge(a, b) or graph[a][b]["w"] > w:
            graph.add_edge(a, b, w=w)
    some = torch.randperm(n, generator=torch.Generator().manual_seed(0))[:60]
    found = ops.khop_eccentricity(index, num_nodes=n, k=16, weight=weight, subset=some)
    anywhere = ops.khop_eccentricity(index, num_nodes=n, k=16, weight=weight, subset=some, path_scope="global")
    assert found.tolist() == [by_definition(graph, int(v), 16)[0] for v in some]
    assert anywhere.tolist() == [by_definition(graph, int(v), 16, scope="global")[0] for v in some]
    assert (found > anywhere).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": torch.tensor([1.0, -2.0])}, r"weight\[1\] is -2.0, expected finite lengths"),
        ({"weight": torch.tensor([float("nan"), 1.0])}, r"weight\[0\] is nan"),
        ({"weight": torch.tensor([1.0, float("inf")])}, r"weight\[1\] is inf"),
        ({"weight": torch.ones(3)}, r"weight is \(3,\), expected \[2\]"),
        ({"weight": torch.ones(2, dtype=torch.int64)}, "weight has dtype torch.int64"),
        ({"weight": [1, 2]}, r"weight is list, expected \[2\]"),
        ({"k": -1}, "k is -1, expected a whole number of hops"),
        ({"k": 1.5}, "k is 1.5, expected a whole number of hops"),
        ({"k": float("nan"), "ball_metric": "distance"}, "k is nan, expected a distance"),
        ({"k": []}, "k is an empty list"),
        ({"k": "16"}, "k is '16', expected"),
        ({"path_scope": "inducde"}, "induced"),
        ({"ball_metric": "hop"}, "hops"),
        ({"subset": torch.tensor([3])}, r"subset holds node id 3, expected ids in \[0, 3\)"),
        ({"subset": torch.tensor([True, False, True])}, r"subset is torch.bool \[3\], expected an int64 tensor"),
        ({"num_nodes": 2}, r"node id 2, expected ids in \[0, 2\)"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(UserError, match=message):
        ops.khop_eccentricity(torch.tensor([[0, 1], [1, 2]]), **{"num_nodes": 3, "k": 2, **options})
