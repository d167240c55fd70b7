"""Random walks: definition, law, what they do not depend on, relabelling, registration, mistakes."""

import networkx as nx
import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from walk_samples import both_ways, one_walk, path, philox, random_graph, star

from graphkit import ops
from graphkit.errors import UserError


def draw(edge_index, start, *, num_nodes, **options):
    options = {"length": 5, "walks": 3, "seed": 11, **options}
    return ops.sample_walks(edge_index, start, num_nodes=num_nodes, **options)


def test_known_answers_of_the_generator():
    # the vectors published with Random123
    assert philox(0, 0, 0, 0, 0) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    ones = 2**32 - 1
    assert philox(2**64 - 1, ones, ones, ones, ones) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    assert philox(0x299F31D0A4093822, *pi) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


def test_frozen_walks(backend):
    """These numbers never change: whoever stored a seed gets the same walks."""
    cycle = both_ways(torch.stack([torch.arange(7), (torch.arange(7) + 1) % 7]))
    found = ops.sample_walks(cycle, torch.tensor([0, 3]), num_nodes=7, length=9, walks=2, seed=2**63 + 5, counter=7)
    assert found.tolist() == [
        [[0, 1, 0, 6, 5, 6, 0, 1, 2, 3], [0, 6, 5, 6, 0, 6, 5, 4, 3, 4]],
        [[3, 4, 3, 4, 3, 4, 3, 2, 1, 0], [3, 2, 3, 4, 3, 2, 3, 2, 3, 4]],
    ]


@pytest.mark.parametrize("nodes, edges", [(12, 40), (5, 3), (3, 0), (1, 1)])
@pytest.mark.parametrize("keyed", [False, True])
def test_definition(nodes, edges, keyed, backend):
    edge_index, start = random_graph(nodes, edges), torch.tensor([nodes - 1, 0, 0, nodes // 2])
    key = (
        (torch.randperm(nodes, generator=torch.Generator().manual_seed(1)) + 1) * (2**48 // (nodes + 1))
        if keyed
        else None
    )
    for length, walks, repeat, seed, counter in [
        (0, 1, 0, 0, 0),
        (6, 3, 0, 2**64 - 1, 2**32 - 1),
        (9, 2, 4095, 2**40 + 3, 5),
    ]:
        found = ops.sample_walks(edge_index, start, num_nodes=nodes, length=length, walks=walks, seed=seed,
                                 counter=counter, node_key=key, repeat=repeat)  # fmt: skip
        assert found.dtype == torch.int64 and found.shape == (4, walks, length + 1)
        for s, v in enumerate(start.tolist()):
            for w in range(walks):
                of = dict(length=length, repeat=repeat, walk=w, seed=seed, counter=counter, node_key=key)
                assert found[s, w].tolist() == one_walk(edge_index, v, **of)


def test_backends_agree_on_longest_and_most(backend):
    edge_index, start = random_graph(50, 300), torch.arange(50)
    results = []
    for name in ("python", backend):
        with ops.force_backend(name):
            results.append([
                draw(edge_index, start, num_nodes=50, length=255, walks=2), draw(edge_index, start[:3], num_nodes=50, walks=4096),
                draw(edge_index, start[:0], num_nodes=50),
            ])  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_every_step_is_an_edge(backend):
    graph = nx.karate_club_graph()
    edge_index = both_ways(torch.tensor(list(graph.edges)).t())
    found = draw(edge_index, torch.arange(34), num_nodes=34, length=12, walks=8)
    assert torch.equal(found[..., 0], torch.arange(34)[:, None].expand(-1, 8))
    steps = {(a, b) for a, b in zip(found[..., :-1].flatten().tolist(), found[..., 1:].flatten().tolist(), strict=True)}
    assert steps <= set(zip(*edge_index.tolist(), strict=True))
    assert len(steps) == edge_index.shape[1]  # 3,264 steps leave no edge out


def test_nodes_without_out_edges_stay(backend):
    edge_index = torch.tensor([[0, 3, 3], [1, 3, 3]])
    found = draw(edge_index, torch.arange(4), num_nodes=4, length=4)
    assert found[:, 0].tolist() == [[0, 1, 1, 1, 1], [1] * 5, [2] * 5, [3] * 5]


def test_edges_are_followed_from_source_to_target(backend):
    found = draw(torch.stack([torch.arange(9), torch.arange(1, 10)]), torch.tensor([2]), num_nodes=10)
    assert found[0, 0].tolist() == [2, 3, 4, 5, 6, 7]


def test_first_steps_are_uniform(backend):
    # 0 -> 1..7, with 7 stored three times: copies count
    edge_index = torch.tensor([[0] * 9, [1, 2, 3, 4, 5, 6, 7, 7, 7]])
    for seed in range(4):
        found = draw(edge_index, torch.tensor([0]), num_nodes=8, length=1, walks=4096, seed=seed)[0, :, 1]
        count = torch.bincount(found, minlength=8)[1:].numpy()
        assert chisquare(count, np.array([1, 1, 1, 1, 1, 1, 3]) * 4096 / 9).pvalue > 1e-4


def test_steps_do_not_hang_together(backend):
    """Pairs of steps on the complete graph with loops are uniform: within one word block, across blocks, across walks."""
    edge_index = torch.cartesian_prod(torch.arange(5), torch.arange(5)).t()
    found = draw(edge_index, torch.arange(5), num_nodes=5, length=8, walks=2000, seed=3)
    for a, b in [
        (found[..., 1], found[..., 2]), (found[..., 4], found[..., 5]), (found[..., 1], found[..., 8]),
        (found[:, :-1, 1], found[:, 1:, 1]), (found[:-1, :, 3], found[1:, :, 3]),
        (found[..., 1], draw(edge_index, torch.arange(5), num_nodes=5, length=8, walks=2000, seed=3, counter=1)[..., 1]),
        (found[..., 1], draw(edge_index, torch.arange(5), num_nodes=5, length=8, walks=2000, seed=3, repeat=1)[..., 1]),
        (found[..., 1], draw(edge_index, torch.arange(5), num_nodes=5, length=7, walks=2000, seed=3)[..., 1]),
        (found[..., 1], draw(edge_index, torch.arange(5), num_nodes=5, length=8, walks=2000, seed=4)[..., 1]),
        (found[..., 1], draw(edge_index, torch.arange(5), num_nodes=5, length=8, walks=2000, seed=3 + 2**32)[..., 1]),
    ]:  # fmt: skip
        assert chisquare(torch.bincount((a * 5 + b).flatten(), minlength=25).numpy()).pvalue > 1e-4


def test_return_probabilities(backend):
    graph = nx.karate_club_graph()
    adjacency = torch.tensor(nx.to_numpy_array(graph, weight=None))
    step = adjacency / adjacency.sum(1, keepdim=True)
    walks = 2000
    found = draw(adjacency.nonzero().t(), torch.arange(34), num_nodes=34, length=6, walks=walks, seed=5)
    for j in range(1, 7):
        wanted = float(torch.linalg.matrix_power(step, j).diagonal().mean())
        back = (found[..., j] == found[..., 0]).double().mean()
        assert abs(float(back) - wanted) <= 4 * (wanted * (1 - wanted) / (34 * walks)) ** 0.5


def test_threads_change_nothing(backend):
    edge_index, start = random_graph(400, 3000), torch.arange(400)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 8):
            torch.set_num_threads(threads)
            results.append(draw(edge_index, start, num_nodes=400, walks=33, length=7))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_batches_and_order_of_calls_change_nothing(backend):
    edge_index = random_graph(200, 900)
    graph, start = ops.CSRGraph(edge_index, num_nodes=200), torch.arange(200)
    whole = draw(graph, start, num_nodes=200)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(2))
    assert torch.equal(draw(edge_index, order, num_nodes=200), whole[order])
    parts = {k: draw(graph, start[k : k + 37], num_nodes=200) for k in reversed(range(0, 200, 37))}
    assert torch.equal(torch.cat([parts[k] for k in sorted(parts)]), whole)
    # fewer walks are the first of more
    assert torch.equal(draw(graph, start, num_nodes=200, walks=2), whole[:, :2])
    assert torch.equal(draw(graph, start, num_nodes=200), whole)


def test_numbers_that_name_the_draws_change_them(backend):
    edge_index, start = both_ways(random_graph(60, 400)), torch.arange(58)
    walks = draw(edge_index, start, num_nodes=60)
    for other in [{"seed": 12}, {"seed": 11 + 2**32}, {"counter": 1}, {"counter": 2**31}, {"repeat": 1},
                  {"node_key": torch.arange(60) + 2**32}]:  # fmt: skip
        assert not torch.equal(draw(edge_index, start, num_nodes=60, **other), walks)
    # a longer walk is another walk, not the same one continued
    assert not torch.equal(draw(edge_index, start, num_nodes=60, length=6)[..., :6], walks)


def test_relabelling(backend):
    edge_index = both_ways(random_graph(80, 300))
    key = torch.randint(2**48, (80,), generator=torch.Generator().manual_seed(3))
    name = torch.randperm(80, generator=torch.Generator().manual_seed(4))  # old id -> new id
    moved_key = torch.empty_like(key)
    moved_key[name] = key
    start = torch.arange(80)
    walks = draw(edge_index, start, num_nodes=80, node_key=key)
    moved = draw(name[edge_index], name[start], num_nodes=80, node_key=moved_key)
    assert torch.equal(moved, name[walks])
    # ids are keys that follow each other: without keys of its own the relabelled graph walks elsewhere
    assert torch.equal(draw(edge_index, start, num_nodes=80, node_key=start), draw(edge_index, start, num_nodes=80))
    assert not torch.equal(
        draw(name[edge_index], name[start], num_nodes=80), name[draw(edge_index, start, num_nodes=80)]
    )


def test_equal_keys_in_different_graphs_walk_alike(backend):
    """Graphs of a batch that count their nodes from 0 walk as if each were alone."""
    one, two = both_ways(random_graph(30, 90)), both_ways(random_graph(20, 70, seed=1))
    key = torch.cat([torch.arange(30), torch.arange(20)])
    together = draw(torch.cat([one, two + 30], 1), torch.arange(50), num_nodes=50, node_key=key)
    assert torch.equal(together[:30], draw(one, torch.arange(30), num_nodes=30))
    assert torch.equal(together[30:] - 30, draw(two, torch.arange(20), num_nodes=20))


def test_keys_are_read_again_when_they_change(backend):
    graph = ops.CSRGraph(both_ways(random_graph(40, 160)), num_nodes=40)
    key = torch.arange(40)
    first = draw(graph, torch.arange(40), num_nodes=40, node_key=key)
    key.copy_(key.flip(0))
    assert not torch.equal(draw(graph, torch.arange(40), num_nodes=40, node_key=key), first)
    key.copy_(key.flip(0))
    assert torch.equal(draw(graph, torch.arange(40), num_nodes=40, node_key=key), first)


def test_what_holds_the_edges_changes_nothing(backend):
    from torch_geometric import EdgeIndex

    edge_index = random_graph(40, 160)
    wanted = draw(edge_index, torch.arange(40), num_nodes=40)
    shuffled = edge_index[:, torch.randperm(160, generator=torch.Generator().manual_seed(5))]
    for given in (shuffled, EdgeIndex(edge_index, sparse_size=(40, 40)), ops.CSRGraph(shuffled, num_nodes=40)):
        assert torch.equal(draw(given, torch.arange(40), num_nodes=40), wanted)


def test_hubs_and_paths(backend):
    found = draw(star(5000), torch.tensor([0, 17]), num_nodes=5001, length=4, walks=100)
    assert (
        not found[0, :, [1, 3]].eq(0).any() and found[0, :, [0, 2, 4]].eq(0).all() and found[1, :, [1, 3]].eq(0).all()
    )
    assert len(found[0, :, 1].unique()) > 90
    found = draw(path(300), torch.tensor([150]), num_nodes=300, length=255, walks=20)
    assert found.diff(dim=-1).abs().eq(1).all() or 0 in found or 299 in found


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_registration():
    graph = ops.CSRGraph(random_graph(9, 30), num_nodes=9)
    for namespace in (torch.ops.graphkit, torch.ops.graphkit_python):
        for key in (None, torch.arange(9)):
            arguments = (graph.t_ptr, graph.t_target, torch.arange(4), key, 5, 3, 0, -7, 2)
            torch.library.opcheck(namespace.sample_walks.default, arguments)
    assert ops.backend_of("sample_walks") in ("native", "python")


def test_mistakes_are_named(backend):
    edge_index, start = random_graph(6, 20), torch.arange(3)
    for options, words in [
        ({"length": 256}, "length is 256, expected a whole number from 0 to 255"),
        ({"length": -1}, "length is -1"),
        ({"length": 2.0}, "length is 2.0"),
        ({"walks": 4097}, "walks is 4097, expected a whole number from 1 to 4096"),
        ({"walks": 0}, "walks is 0"),
        ({"walks": True}, "walks is True"),
        ({"repeat": 4096}, "repeat is 4096, expected a whole number from 0 to 4095"),
        ({"seed": 2**64}, "seed is 18446744073709551616, expected a whole number from 0 to 18446744073709551615"),
        ({"seed": -1}, "seed is -1"),
        ({"counter": 2**32}, "counter is 4294967296, expected a whole number from 0 to 4294967295"),
        ({"start": torch.tensor([0, 6])}, "start holds node id 6, expected ids in \\[0, 6\\)"),
        ({"start": torch.tensor([-1])}, "start holds node id -1"),
        ({"start": start.int()}, "start has dtype torch.int32, expected torch.int64"),
        ({"start": start[None]}, "start is \\[1, 3\\], expected a one-dimensional"),
        ({"start": [0, 1]}, "start is list"),
        ({"node_key": start}, "node_key has 3 entries, expected one for each of the 6 nodes"),
        ({"node_key": torch.full((6,), 2**48)}, "node_key holds 281474976710656, expected keys in \\[0, 2\\^48\\)"),
        ({"node_key": torch.full((6,), -1)}, "node_key holds -1"),
        ({"node_key": torch.ones(6)}, "node_key has dtype torch.float32"),
        ({"edge_index": edge_index.float()}, "edge_index has dtype torch.float32"),
        ({"edge_index": edge_index + 3}, "edge_index holds node id"),
        ({"num_nodes": 3}, "edge_index holds node id 3"),
    ]:
        with pytest.raises(UserError, match=words):
            draw(**{"edge_index": edge_index, "start": start, "num_nodes": 6, **options})
