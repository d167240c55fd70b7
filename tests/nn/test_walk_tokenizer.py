"""The tokenizer: counters of its modes, shuffling, the undirected graph, keeping what it derived, copies, mistakes."""

import copy
import pickle

import pytest
import torch

from graphkit import ops
from graphkit.errors import UserError
from graphkit.nn import WalkTokenizer

EDGES = torch.tensor([[0, 1, 1, 2, 3, 3, 4, 5, 5], [1, 0, 2, 3, 4, 4, 5, 0, 5]])  # a ring of six, copies, a loop
N = 6


def tokenizer(mode="epoch", **options):
    return WalkTokenizer(**{"walk_length": 3, "walks": 2, "repeats": 4, "mode": mode, "seed": 5, **options})


def at(counter, start=None, **options):
    edges, origin = ops.undirected_edges(EDGES, num_nodes=N)
    found = ops.walk_tokens(edges, torch.arange(N) if start is None else start, num_nodes=N, walk_length=3, walks=2, repeats=4,
                            seed=5, counter=counter, **options)  # fmt: skip
    return found if found.edge_id is None else found._replace(edge_id=origin[found.edge_id])


def same(a, b):
    return all(
        (x is None and y is None) or (x.shape == y.shape and torch.equal(x, y)) for x, y in zip(a, b, strict=True)
    )


def split(tokens):
    return [part.tolist() for part in tokens.nodes.split(tokens.ptr.diff().tolist())]


@pytest.mark.parametrize("mode", ["static", "epoch", "step"])
def test_evaluation_is_fixed(mode):
    layer = tokenizer(mode).eval()
    for epoch in range(3):
        layer.begin_epoch(epoch)
        assert same(layer(EDGES, N), at(0))


def test_epochs():
    layer = tokenizer("epoch")
    assert same(layer(EDGES, N), at(1)) and same(layer(EDGES, N), at(1))
    layer.begin_epoch(7)
    assert same(layer(EDGES, N), at(8))
    assert same(layer.eval()(EDGES, N), at(0)) and same(layer.train()(EDGES, N), at(8))
    assert not same(at(1), at(8)) and not same(at(0), at(1))


def test_steps():
    layer = tokenizer("step")
    assert same(layer(EDGES, N), at(1)) and same(layer(EDGES, N), at(2))
    assert same(layer.eval()(EDGES, N), at(0)) and same(layer.train()(EDGES, N, counter=99), at(99))
    assert same(layer(EDGES, N), at(3))


def test_static_tokens_are_shuffled_within_their_length():
    layer = tokenizer("static", return_walks=True, return_edges=True)
    plain, orders = at(0, return_walks=True, return_edges=True), set()
    for _ in range(3):
        found = layer(EDGES, N)
        orders.add(str(split(found)))
        # slots of one node and length hold the same tokens with their walks and edges, in some order
        for begin in range(0, N * 12, 4):
            ours, theirs = [], []
            for side, rows in ((found, ours), (plain, theirs)):
                for t in range(begin, begin + 4):
                    edges = slice(int(side.edge_ptr[t]), int(side.edge_ptr[t + 1]))
                    rows.append((split(side)[t], side.walks.flatten(0, 1)[t].tolist(), side.edge_id[edges].tolist(),
                                 side.edge_source[edges].tolist(), side.edge_target[edges].tolist()))  # fmt: skip
            assert sorted(ours) == sorted(theirs)
    assert len(orders) == 3
    assert same(layer.eval()(EDGES, N), plain)


def test_shuffling_does_not_depend_on_the_batch():
    whole, part = tokenizer("static"), tokenizer("static")
    assert split(whole(EDGES, N))[3 * 12 : 5 * 12] == split(part(EDGES, N, torch.tensor([3, 4])))


def test_shuffling_is_uniform():
    layer = tokenizer("static", walk_length=1, repeats=3)
    seen = {}
    for _ in range(600):
        order = tuple(layer._shuffled(torch.tensor([4])).tolist())
        seen[order] = seen.get(order, 0) + 1
        layer.clock += 1
    assert len(seen) == 6 and min(seen.values()) > 60


def test_undirected_edges_and_their_features():
    edges, origin = ops.undirected_edges(EDGES, num_nodes=N)
    pairs = list(zip(*edges.tolist(), strict=True))
    given = list(zip(*EDGES.tolist(), strict=True))
    assert pairs == sorted({*given, *((b, a) for a, b in given)})
    for pair, column in zip(pairs, origin.tolist(), strict=True):
        assert column == (given.index(pair) if pair in given else given.index(pair[::-1]))
    empty = ops.undirected_edges(torch.empty(2, 0, dtype=torch.int64), num_nodes=0)
    assert empty[0].shape == (2, 0) and empty[1].shape == (0,)
    found = tokenizer(return_edges=True)(EDGES, N)
    own = found.nodes[found.ptr[:-1].repeat_interleave(found.edge_ptr.diff()) + found.edge_source]
    far = found.nodes[found.ptr[:-1].repeat_interleave(found.edge_ptr.diff()) + found.edge_target]
    stored = EDGES[:, found.edge_id]
    assert bool(((stored == torch.stack([own, far])).all(0) | (stored == torch.stack([far, own])).all(0)).all())
    # no edge of a token comes twice, though one is stored twice
    token = torch.repeat_interleave(torch.arange(len(found.ptr) - 1), found.edge_ptr.diff())
    assert len(torch.unique(torch.stack([token, own, far]), dim=1)[0]) == len(own)


def test_directed():
    layer = tokenizer(undirected=False, walks=1, repeats=1)
    assert split(layer(torch.tensor([[0, 1, 2], [1, 2, 3]]), 4)) == [
        [0, 1, 2, 3], [0, 1, 2], [0, 1], [1, 2, 3], [1, 2, 3], [1, 2], [2, 3], [2, 3], [2, 3], [3], [3], [3]
    ]  # fmt: skip


def test_what_holds_the_edges_changes_nothing():
    from torch_geometric import EdgeIndex

    layer = tokenizer(return_edges=True)
    wanted = at(1, return_edges=True)
    for given in (EDGES, ops.CSRGraph(EDGES, num_nodes=N), EdgeIndex(EDGES, sparse_size=(N, N))):
        assert same(layer(given, N), wanted) and same(layer(given, N), wanted)
    with torch.inference_mode():
        assert same(layer(EDGES.clone(), N), wanted)
    key = torch.arange(N) + 10
    assert same(layer(EDGES, N, node_key=key), at(1, node_key=key, return_edges=True))


def test_the_graph_is_sorted_once_and_again_when_it_changes(monkeypatch):
    layer, edges, calls = tokenizer(), EDGES.clone(), []
    module = __import__("graphkit.nn.walk_tokenizer", fromlist=["undirected_edges"])
    monkeypatch.setattr(module, "undirected_edges", lambda *a, **k: calls.append(1) or ops.undirected_edges(*a, **k))
    first = layer(edges, N)
    assert same(layer(edges, N), first) and len(calls) == 1
    edges[1, 0] = 3
    assert not same(layer(edges, N), first) and len(calls) == 2


def test_copies_and_checkpoints_go_on():
    layer = tokenizer("step")
    layer(EDGES, N)
    other = tokenizer("step")
    other.load_state_dict(layer.state_dict())
    following = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), other]
    assert all(same(copied(EDGES, N), at(2)) for copied in following)
    assert same(layer(EDGES, N), at(2))


def test_no_tokens():
    for options in ({"walk_length": 0}, {"repeats": 0}):
        assert tokenizer("static", **options)(EDGES, N).ptr.tolist() == [0]
    assert tokenizer("static")(EDGES, N, torch.arange(0)).ptr.tolist() == [0]


def test_mistakes_are_named():
    for options, words in [
        ({"mode": "epochs"}, "unknown mode 'epochs'; did you mean 'epoch'?"),
        ({"walk_length": 300}, "walk_length is 300"),
        ({"walks": 0}, "walks is 0"),
        ({"repeats": -1}, "repeats is -1"),
        ({"seed": 2**64}, "seed is 18446744073709551616"),
    ]:
        with pytest.raises(UserError, match=words.replace("?", "\\?")):
            tokenizer(**options)
    with pytest.raises(UserError, match="epoch is -1"):
        tokenizer().begin_epoch(-1)
    with pytest.raises(UserError, match="counter is -3"):
        tokenizer()(EDGES, N, counter=-3)
