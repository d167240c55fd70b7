"""Beam search beside the enumeration of all walks."""

import itertools

import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import Walk, heaviest_walks
from graphkit.ops import CSRGraph


def random_graph(seed, nodes=5, edges=9, steps=3):
    """Parallel edges and self-loops may occur; the last node may be isolated."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(nodes, (2, edges), generator=generator)
    importance = torch.randn(steps, edges, generator=generator, dtype=torch.float64)
    return edge_index, importance


def all_walks(edge_index, importance, source, target, mask=None):
    """Every walk of at most T edges that touches the target only at its end, by nested loops; {edges: weight}."""
    pairs, found = edge_index.t().tolist(), {}
    for length in range(1, len(importance) + 1):
        for edges in itertools.product(range(len(pairs)), repeat=length):
            nodes = [source]
            for edge in edges:
                usable = pairs[edge][0] == nodes[-1] != target and (mask is None or mask[edge])
                if not usable:
                    break
                nodes.append(pairs[edge][1])
            else:
                if nodes[-1] == target:
                    total = sum(float(importance[place, edge]) for place, edge in enumerate(edges))
                    found[edges] = total / length
    return found


@pytest.mark.parametrize("seed", range(25))
def test_a_wide_beam_finds_all_walks_in_order(seed):
    edge_index, importance = random_graph(seed)
    mask = torch.rand(9, generator=torch.Generator().manual_seed(seed)) > 0.2
    for source, target, used in ((0, 1, None), (2, 4, mask), (3, 0, mask)):
        wanted = all_walks(edge_index, importance, source, target, used)
        found = heaviest_walks(edge_index, importance, source, target, num_nodes=5, beam_width=9**3, edge_mask=used)
        assert {tuple(walk.edges): pytest.approx(walk.weight) for walk in found} == wanted
        assert len(found) == len(wanted)
        assert [walk.weight for walk in found] == sorted((walk.weight for walk in found), reverse=True)


def beam_by_loops(edge_index, importance, source, target, width):
    """The search of the paper, a node and an edge at a time: sorted lists of (total, edges)."""
    pairs = edge_index.t().tolist()
    beams, found = {source: [(0.0, ())]}, []
    for position in range(len(importance)):
        longer = {}
        for edge, (begin, end) in enumerate(pairs):
            if begin != target:
                for total, edges in beams.get(begin, []):
                    longer.setdefault(end, []).append((total + float(importance[position, edge]), (*edges, edge)))
        beams = {node: sorted(walks, key=lambda walk: -walk[0])[:width] for node, walks in longer.items()}
        found += [(edges, total / (position + 1)) for total, edges in beams.get(target, [])]
    return sorted(found, key=lambda walk: -walk[1])


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("seed", range(10))
def test_a_narrow_beam_keeps_the_best_of_each_node_and_length(seed, width):
    edge_index, importance = random_graph(seed, nodes=6, edges=20, steps=4)
    for source, target in ((0, 1), (4, 2)):
        wanted = beam_by_loops(edge_index, importance, source, target, width)
        found = heaviest_walks(edge_index, importance, source, target, num_nodes=6, beam_width=width)
        assert [tuple(walk.edges) for walk in found] == [edges for edges, _ in wanted]
        assert [walk.weight for walk in found] == pytest.approx([weight for _, weight in wanted])


@pytest.mark.parametrize("seed", range(10))
def test_every_walk_is_one_and_weighs_the_mean_of_its_edges(seed):
    edge_index, importance = random_graph(seed, nodes=8, edges=40, steps=5)
    found = heaviest_walks(edge_index, importance, 0, 7, num_nodes=8, beam_width=4)
    assert found
    for edges, weight in found:
        begin, end = edge_index[:, edges].tolist()
        assert begin[0] == 0 and end[-1] == 7 and begin[1:] == end[:-1]
        assert 7 not in begin
        total = sum(float(importance[place, edge]) for place, edge in enumerate(edges))
        assert weight * len(edges) == pytest.approx(total, abs=1e-12)
    assert len({tuple(walk.edges) for walk in found}) == len(found) <= 5 * 4


def test_nothing_where_no_walk_arrives():
    edges, ones = torch.tensor([[0, 1], [1, 0]]), torch.ones(3, 2)
    assert heaviest_walks(edges, ones, 0, 2, num_nodes=3) == []
    assert heaviest_walks(edges, ones, 0, 0, num_nodes=3) == []
    assert heaviest_walks(edges, ones, 0, 1, num_nodes=3, edge_mask=torch.tensor([False, True])) == []
    assert heaviest_walks(edges[:, :0], ones[:, :0], 0, 1, num_nodes=3) == []


def test_equal_totals_follow_the_order_of_the_edges():
    # 0 -> 1 twice and 0 -> 2 -> 1, all of weight 1
    edges = torch.tensor([[0, 2, 0, 0], [2, 1, 1, 1]])
    found = heaviest_walks(edges, torch.ones(2, 4), 0, 1, num_nodes=3, beam_width=2)
    assert found == [Walk([2], 1.0), Walk([3], 1.0), Walk([0, 1], 1.0)]
    # what the graph's edges are called does not matter, only where they lead
    shuffled = torch.tensor([2, 0, 3, 1])
    again = heaviest_walks(edges[:, shuffled], torch.ones(2, 4), 0, 1, num_nodes=3, beam_width=2)
    assert [shuffled[walk.edges].tolist() for walk in again] == [[2], [3], [0, 1]]


def test_a_sorted_graph_gives_the_same():
    edge_index, importance = random_graph(3, nodes=8, edges=40)
    plain = heaviest_walks(edge_index, importance.float(), 0, 1, num_nodes=8)
    assert plain == heaviest_walks(CSRGraph(edge_index, num_nodes=8), importance.float(), 0, 1, num_nodes=8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"importance": torch.ones(3)}, r"expected floating point \[T, 2\]"),
        ({"importance": torch.ones(2, 3)}, r"expected floating point \[T, 2\]"),
        ({"importance": torch.full((1, 2), torch.nan)}, "NaN or an infinity"),
        ({"source": 3}, r"source is 3, expected a node id in \[0, 3\)"),
        ({"target": -1}, "target is -1"),
        ({"beam_width": 0}, "beam_width is 0"),
        ({"edge_mask": torch.ones(2)}, "expected bool"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"importance": torch.ones(2, 2), "source": 0, "target": 2, **change}
    with pytest.raises(UserError, match=message):
        heaviest_walks(torch.tensor([[0, 1], [1, 2]]), num_nodes=3, **arguments)
