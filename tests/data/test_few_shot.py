"""Few-shot draws: exactly k of each class, disjoint, nested, the same for every method; partitions without labels."""

import inspect

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import FewShotSplit, LinkTask, NodeTask, SourceGraph, partition_graph
from graphkit.errors import UserError
from graphkit.ops import SimpleGraph

PATH = torch.tensor([[0, 1], [1, 2]])


def task(nodes=60, classes=4):
    y = torch.arange(nodes) % classes
    y[:5] = -1
    mask = torch.ones(nodes).bool()
    ring = torch.stack([torch.arange(nodes), (torch.arange(nodes) + 1) % nodes])
    data = Data(x=torch.randn(nodes, 3), edge_index=ring, y=y)
    return NodeTask("ring", data, train=mask & (y >= 0), valid=~mask, test=~mask, classes=["a", "b", "c", "d"])


def test_a_draw_has_k_of_each_class_and_its_parts_share_nothing():
    whole = task()
    drawn = FewShotSplit(3, val_k=2, seed=7).of(whole)
    for split, each in (("train", 3), ("valid", 2)):
        assert torch.bincount(drawn.y[drawn.nodes_of(split)]).tolist() == [each] * 4
    assert int(drawn.mask("test").sum()) == 55 - 20
    total = sum(drawn.mask(split).int() for split in ("train", "valid", "test"))
    assert bool((total <= 1).all()) and not bool(total[:5].any())
    assert drawn.graph() is whole.graph() and drawn.provenance["few_shot"]["seed"] == 7
    assert drawn.leak_check()


def test_draws_repeat_differ_by_seed_and_are_nested():
    whole = task()
    first, again, other = (FewShotSplit(2, seed=s).of(whole).nodes_of("train") for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    larger = set(FewShotSplit(5, seed=0).of(whole).nodes_of("train").tolist())
    assert set(first.tolist()) <= larger


def test_some_ways_number_their_classes_anew():
    drawn = FewShotSplit(2, n_way=2, seed=3).of(task())
    assert drawn.out_channels == 2 and drawn.y.unique().tolist() == [-1, 0, 1] and len(drawn.classes) == 2
    names = [drawn.classes[label] for label in drawn.y[drawn.nodes_of("train")].tolist()]
    assert [["a", "b", "c", "d"][label] for label in task().y[drawn.nodes_of("train")].tolist()] == names


def test_the_global_stream_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    FewShotSplit(2).draw(torch.arange(20) % 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: FewShotSplit(0), "k is 0"),
        (lambda: FewShotSplit(1, n_way=1), "n_way is 1"),
        (lambda: FewShotSplit(1, val_k=-1), "val_k is -1"),
        (lambda: FewShotSplit(14).of(task()), r"class \d of ring has 1[34] members, but k=14 and val_k=0 ask for 14"),
        (lambda: FewShotSplit(1, n_way=5).of(task()), "n_way is 5, but ring has 4 classes"),
        (lambda: FewShotSplit(1).draw(torch.rand(4, 2)), "need one class each"),
        (lambda: FewShotSplit(1).of(LinkTask.from_edges("l", PATH, 3, split="100/0/0")), "no labels to draw"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, says):
    with pytest.raises(UserError, match=says):
        make()


def test_pieces_are_connected_cover_everything_and_know_no_labels():
    torch.manual_seed(0)
    graph = SimpleGraph(torch.randint(80, (2, 120)), num_nodes=85)
    piece = partition_graph(graph, 6, seed=1)
    assert sorted(piece.unique().tolist()) == list(range(6)) and torch.equal(piece, partition_graph(graph, 6, seed=1))
    row, col = graph.row(), graph.col.long()
    degree = graph.degree
    for number in range(6):
        members = ((piece == number) & (degree > 0)).nonzero().flatten().tolist()
        reached, front = {members[0]}, [members[0]]
        neighbours = {v: col[(row == v) & (piece[col] == number)].tolist() for v in members}
        while front:
            front = [u for v in front for u in neighbours[v] if u not in reached]
            reached.update(front)
        lost = [v for v in members if v not in reached]
        assert all(not bool((piece[col[row == v]] == number).any()) or set(neighbours[v]) <= set(lost) for v in lost)
    names = {*inspect.signature(partition_graph).parameters, *inspect.signature(SourceGraph.batch).parameters}
    assert "y" not in names and "labels" not in names
    with pytest.raises(UserError, match="parts is 86"):
        partition_graph(graph, 86)


def test_a_source_of_links_holds_train_edges_alone():
    torch.manual_seed(0)
    links = LinkTask.from_edges("links", torch.randint(40, (2, 150)), 40, x=torch.randn(40, 3), split="70/10/20")
    source = SourceGraph.of(links)
    for split in ("valid", "test"):
        assert bool((source.graph.edge_ids(links.edges(split)) < 0).all())
    assert source.graph.num_edges == links.train.size(1)
