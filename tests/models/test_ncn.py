"""NCN and NCNC: scores by hand, what training hides, sizes, hand-over, mistakes."""

import math

import pytest
import torch
from torch.nn import functional as F

import graphkit as gk
from graphkit.data import LinkTask, MessageGraph, PairBatch
from graphkit.errors import UserError
from graphkit.models import NCN, NCNC

N = 14
PREDICTORS = ("gae", "gae_cn", "gae_cn_concat", "ncn", "ncn2", "ncn_diff")


def random_edges(seed=0, edges=30, nodes=N):
    pairs = torch.combinations(torch.arange(nodes)).t()
    return pairs[:, torch.randperm(pairs.size(1), generator=torch.Generator().manual_seed(seed))[:edges]]


def task_of(x=True, edges=None, **options):
    features = torch.randn(N, 5, generator=torch.Generator().manual_seed(1)) if x is True else x
    edges = random_edges() if edges is None else edges
    return LinkTask.from_edges("toy", edges, N, split="80/10/10", x=features, **options)


def model_of(kind=NCN, task=None, seed=0, **options):
    torch.manual_seed(seed)
    model = kind.for_task(task or task_of(), hidden_channels=8, **options)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.7)
        else:
            torch.nn.init.normal_(parameter, mean=0.7, std=0.3)
    return model.double().eval()


def double(task):
    """The same task with features that fit a model in float64."""
    task.x = None if task.x is None else task.x.double()
    task._graph.clear()
    return task


EVERY = torch.combinations(torch.arange(N)).t()
ALL = [(NCN, {"predictor": name}) for name in PREDICTORS] + [
    (NCNC, {"offset": 0.0}),
    (NCNC, {"offset": 0.0, "depth": 2}),
    (NCNC, {"offset": 0.0, "predictor": "gae_cn"}),
]


def test_a_tiny_graph_by_hand():
    """A path 0-1-2 and a leaf 3 at 1; one weightless layer, all perceptrons written out."""
    graph = MessageGraph.from_edges(torch.tensor([[0, 1, 1], [1, 2, 3]]), 4, x=torch.eye(4, dtype=torch.float64))
    torch.manual_seed(0)
    model = NCN(4, 3, 1, jk=True).double().eval()
    hat = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0], [0, 1, 0, 1]], dtype=torch.float64)
    scale = hat.sum(1).rsqrt()
    encoder, head = model.encoder, model.predictor
    h = encoder.jk[0] * (scale[:, None] * hat * scale) @ (encoder.input.weight.T + encoder.input.bias)

    def norm(x, layer):
        return F.layer_norm(x, (3,), layer.weight, layer.bias)

    def two(x, mlp):
        first, _, _, second, layer, _, _ = mlp
        return norm((x @ first.weight.T + first.bias).relu() @ second.weight.T + second.bias, layer).relu()

    def one(x, mlp):
        return norm(x @ mlp[0].weight.T + mlp[0].bias, mlp[1]).relu()

    pooled = h + two(h, head.node_mlp)
    for (i, j), common in (((0, 2), [1]), ((0, 3), [1]), ((0, 1), []), ((2, 3), [1])):
        pool = pooled[common].sum(0)
        state = head.beta * two(pool, head.pool_mlp) + one(h[i] * h[j], head.pair_mlp)
        last = head.readout[-1]
        expected = one(state, head.readout) @ last.weight.T + last.bias
        torch.testing.assert_close(model.score_pairs(graph, torch.tensor([[i], [j]])), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "options"), ALL, ids=str)
@torch.no_grad()
def test_symmetry_renaming_order_and_batch_size(kind, options):
    task = double(task_of())
    model, graph = model_of(kind, task, encoder="gcn", num_layers=2, **options), task.graph()
    scores = model.score_pairs(graph, EVERY)
    assert torch.equal(scores, model.score_pairs(graph, EVERY.flip(0)))
    for size in (1, 10):
        torch.testing.assert_close(model.score_pairs(graph, EVERY, batch_size=size), scores, rtol=1e-10, atol=1e-10)
    name = torch.randperm(N, generator=torch.Generator().manual_seed(3))
    x = torch.empty_like(task.x)
    x[name] = task.x
    moved = MessageGraph.from_edges(name[task.train.flip(1)], N, x)
    torch.testing.assert_close(model.score_pairs(moved, name[EVERY]), scores, rtol=1e-8, atol=1e-8)
    assert model.score_pairs(graph, EVERY[:, :0]).shape == (0,)


@pytest.mark.parametrize(("kind", "options"), ALL, ids=str)
@pytest.mark.parametrize("remove", [True, False])
@torch.no_grad()
def test_training_scores_on_the_graph_without_the_batch(kind, options, remove):
    task = double(task_of())
    model = model_of(kind, task, remove_targets=remove, **options)
    batch = next(iter(task.loader(batch_size=6, num_negatives=2)))
    gone = {tuple(pair) for pair in batch.positive.t().tolist()} if remove else set()
    left = torch.tensor([pair for pair in task.train.t().tolist() if tuple(pair) not in gone]).t()
    expected = model.score_pairs(MessageGraph.from_edges(left, N, task.x), batch.pairs)
    torch.testing.assert_close(model(batch), expected, rtol=1e-9, atol=1e-9)
    loss = F.softplus(-expected[:6]).mean() + F.softplus(expected[6:]).mean()
    torch.testing.assert_close(model.loss(batch).double(), loss, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "options"), ALL, ids=str)
def test_shares_of_a_batch_hide_the_joint_one_and_add_up(kind, options):
    task = double(task_of())
    model = model_of(kind, task, **options)
    batch = next(iter(task.loader(batch_size=7, num_negatives=2)))
    whole = torch.autograd.grad(model.loss(batch), tuple(model.parameters()))
    parts = [part for part in (batch.share(rank, 3) for rank in range(3)) if part.weight]
    loss = sum(part.weight * model.loss(part) for part in parts)
    shared = torch.autograd.grad(loss, tuple(model.parameters()))
    torch.testing.assert_close(loss, model.loss(batch))
    for one, other in zip(whole, shared, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_no_pair_of_the_batch_is_an_edge_whatever_its_copies_and_directions():
    edges = random_edges()
    graph = MessageGraph.from_edges(torch.cat([edges, edges.flip(0), edges[:, :9]], 1), N)
    batch = PairBatch(graph, edges[:, 3:9].flip(0), random_edges(5, 6))
    removed = graph.simple.removed_by(batch.positive)
    assert removed.sum() == 6 and bool(removed[graph.simple.edge_ids(batch.positive)].all())


def test_a_batch_larger_than_the_training_set_trains_on_it():
    task = task_of()
    model = NCN.for_task(task, hidden_channels=8)
    run = gk.fit(model, task, epochs=2, lr=0.01, loader={"batch_size": 10_000, "drop_last": True})
    assert run.steps == 2 and all(math.isfinite(record["loss"]) for record in run.history)


def test_sizes():
    """The published entry of the leaderboard has 33,538 weights."""
    ppa = NCN(
        58, 64, 3, encoder="gcn", embedding=True, jk=False, residual=True, node_mlp=False, predictor_dropout=0.1,
        edge_dropout=0.1,
    )  # fmt: skip
    assert ppa.num_parameters() == 33_538
    features, none = task_of(), task_of(x=None)
    assert NCN.for_task(features).config["in_channels"] == 5 and NCN.for_task(features).config["num_nodes"] is None
    free = NCN.for_task(none, hidden_channels=8, encoder="puresum")
    assert free.config["num_nodes"] == N and free.encoder.embedding.weight.shape == (N, 8)
    kinds = NCN.for_task(task_of(x=torch.arange(N)[:, None] % 4), embedding=True, hidden_channels=8)
    assert kinds.config["in_channels"] == 4
    assert kinds.loss(next(iter(task_of(x=torch.arange(N)[:, None] % 4).loader()))).isfinite()


@pytest.mark.parametrize("kind", [NCN, NCNC])
def test_saved_and_loaded(kind, tmp_path):
    task = task_of()
    run = gk.fit(
        kind.for_task(task, hidden_channels=8), task, epochs=2, lr=0.01, lr_of={"predictor": 0.005}, out=tmp_path
    )
    again = gk.load_model(tmp_path)
    assert type(again) is kind and gk.evaluate(again, task) == run.test


def test_ncn_hands_over_to_ncnc(tmp_path):
    task = double(task_of())
    ncn = model_of(NCN, task)
    same = NCNC.from_ncn(ncn, completion_weight=0.0).double().eval()
    torch.testing.assert_close(same.score_pairs(task.graph(), EVERY), ncn.score_pairs(task.graph(), EVERY))
    completed = NCNC.from_ncn(ncn, offset=0.0).double().eval().score_pairs(task.graph(), EVERY)
    assert float((completed - ncn.score_pairs(task.graph(), EVERY)).detach().abs().max()) > 0.1
    counted = NCNC.from_ncn(model_of(NCN, task, predictor="gae_cn"), learn_prior=True)
    assert counted.config["predictor"] == "gae_cn" and counted.predictor.prior_mlp is not None
    with pytest.raises(UserError, match="begins with 'ncn' or 'gae_cn'"):
        NCNC.from_ncn(model_of(NCN, task, predictor="gae"))
    with pytest.raises(UserError, match="leave sizes alone"):
        NCNC.from_ncn(ncn, hidden_channels=4)
    plain = task_of()
    first = gk.fit(NCN.for_task(plain, hidden_channels=8), plain, epochs=1, out=tmp_path)
    second = gk.fit(
        NCNC.for_task(plain, hidden_channels=8, completion_weight=0.0), plain, epochs=0, start=str(tmp_path)
    )
    assert second.test == pytest.approx(first.test, rel=1e-5)


def test_a_frozen_encoder_keeps_its_weights_and_drops_nothing():
    task = task_of()
    model = NCN.for_task(task, hidden_channels=8, dropout=0.5, frozen_encoder=True)
    before = [p.clone() for p in model.encoder.parameters()]
    assert not model.train().encoder.training and model.predictor.training
    assert torch.equal(model.states(task.graph()), model.states(task.graph()))
    gk.fit(model, task, epochs=1, lr=0.1)
    assert all(torch.equal(a, b) for a, b in zip(before, model.encoder.parameters(), strict=True))
    assert 0 < model.num_parameters() < NCN.for_task(task, hidden_channels=8).num_parameters()


def test_compat_reaches_both_parts():
    task = task_of()
    torch.manual_seed(0)
    model = NCNC.for_task(task, hidden_channels=8, compat=True)
    assert model.encoder.compat and model.predictor.compat and float(model.encoder.jk[0].detach()) != 1.0
    assert NCN.for_task(task, hidden_channels=8, predictor="ncn2", compat=True).predictor.node_mlp is None
    model.loss(next(iter(task.loader()))).backward()


def test_mistakes():
    task = task_of()
    model, graph = NCN.for_task(task, hidden_channels=8), task.graph()
    with pytest.raises(UserError, match=r"pairs hold node id 14, expected ids in \[0, 14\)"):
        model.score_pairs(graph, torch.tensor([[0], [N]]))
    with pytest.raises(UserError, match="the batch pairs node 2 with itself"):
        model.loss(PairBatch(graph, torch.tensor([[0, 2], [1, 2]]), torch.tensor([[0, 1], [5, 6]])))
    empty = MessageGraph.from_edges(torch.zeros(2, 0, dtype=torch.int64), N, task.x)
    with pytest.raises(UserError, match="the graph of 14 nodes has no edges"):
        model.score_pairs(empty, EVERY)
    with pytest.raises(UserError, match="x has 13 rows, expected one for each of the 14 nodes"):
        model.score_pairs(MessageGraph.from_edges(task.train, N, task.x[:-1]), EVERY)
    with pytest.raises(UserError, match=r"x is \[14, 3\], expected \[N, 5\]"):
        model.score_pairs(MessageGraph.from_edges(task.train, N, task.x[:, :3]), EVERY)
    with pytest.raises(UserError, match="made for 5 features a node, but the graph has none"):
        model.score_pairs(MessageGraph.from_edges(task.train, N), EVERY)
    free = NCN.for_task(task_of(x=None), hidden_channels=8)
    with pytest.raises(UserError, match="embeddings of 14 nodes, but the graph has 20"):
        free.score_pairs(MessageGraph.from_edges(task.train, 20), EVERY)
    with pytest.raises(UserError, match="unknown predictor 'ncn_dif'; did you mean 'ncn_diff'"):
        NCN.for_task(task, predictor="ncn_dif")
    with pytest.raises(UserError, match="unknown predictor 'ncn2'; did you mean 'ncnc'"):
        NCNC.for_task(task, predictor="ncn2")
    # a node and itself are scored, since published negatives may hold such pairs
    assert model.eval().score_pairs(graph, torch.tensor([[3], [3]])).isfinite().all()
