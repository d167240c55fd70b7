"""Re-weighted messages in NCN and NCNC: schedule in a training, what it must not see, resuming, hand-over, mistakes."""

import pytest
import torch
from safetensors.torch import load_file

import graphkit as gk
from graphkit.data import LinkTask
from graphkit.engine.checkpoint import read_metadata
from graphkit.engine.progress import SilentReporter
from graphkit.engine.run_directory import RunDirectory
from graphkit.errors import UserError
from graphkit.models import NCN, NCNC

N = 24
OPTIONS = {"reweighting_gamma": 2.0, "reweighting_warm_up": 1, "reweighting_interval": 1}
EAGER = {**OPTIONS, "reweighting_warm_up": 0}  # whatever epoch is the best one, its weights are not the first ones
TRAIN = {"epochs": 5, "lr": 0.02, "loader": {"batch_size": 20}, "seed": 1}


def task_of(seed=0, **options):
    pairs = torch.combinations(torch.arange(N)).t()
    edges = pairs[:, torch.randperm(pairs.size(1), generator=torch.Generator().manual_seed(seed))[:70]]
    x = torch.randn(N, 5, generator=torch.Generator().manual_seed(1))
    return LinkTask.from_edges("toy", edges, N, split="80/10/10", x=x, **options)


def model_of(kind=NCN, task=None, seed=0, **options):
    torch.manual_seed(seed)
    return kind.for_task(task or task_of(), hidden_channels=8, **options)


def weights_of(model):
    return torch.cat([model.reweighting.edge, model.reweighting.loop])


class Watch(SilentReporter):
    """Keeps the message weights of every step; may raise in the place of a crash."""

    def __init__(self, model, crash_after=None):
        self.model, self.crash_after, self.seen = model, crash_after, []

    def step(self, state, total):
        self.seen.append((state.epoch, weights_of(self.model).clone()))
        if state.steps == self.crash_after:
            raise RuntimeError("crash")


@pytest.mark.parametrize("remove_targets", [True, False])
def test_gamma_0_is_no_option(remove_targets):
    task, runs = task_of(), []
    for options in ({}, {**OPTIONS, "reweighting_gamma": 0.0}):
        model = model_of(task=task, encoder="gcn", dropout=0.1, remove_targets=remove_targets, **options)
        runs.append(gk.fit(model, task, **TRAIN))
    assert [r["loss"] for r in runs[0].history] == [r["loss"] for r in runs[1].history]
    assert runs[0].test == runs[1].test
    other = gk.fit(
        model_of(task=task, encoder="gcn", dropout=0.1, remove_targets=remove_targets, **OPTIONS), task, **TRAIN
    )
    first, second = ([r["loss"] for r in run.history] for run in (runs[0], other))
    assert first[0] == second[0] and first[1] != second[1], "the first update comes after one epoch"


def test_weights_change_between_epochs_alone_and_when_due():
    task = task_of()
    model = model_of(task=task, **{**OPTIONS, "reweighting_warm_up": 2, "reweighting_interval": 2})
    watch = Watch(model)
    gk.fit(model, task, reporter=watch, **TRAIN)
    by_epoch = {}
    for epoch, weights in watch.seen:
        assert torch.equal(by_epoch.setdefault(epoch, weights), weights)
    assert len(watch.seen) > len(by_epoch) == 5
    assert not by_epoch[1].any() and not by_epoch[2].any(), "none before two epochs are over"
    assert by_epoch[3].all() and torch.equal(by_epoch[3], by_epoch[4]) and not torch.equal(by_epoch[4], by_epoch[5])


@pytest.mark.parametrize("kind", [NCN, NCNC])
@pytest.mark.parametrize("encoder", ["gcn", "puregcn", "sage", "puremean"])
def test_sums_of_weights_and_training(kind, encoder):
    task = task_of()
    model = model_of(kind, task, encoder=encoder, num_layers=2, **EAGER)
    run = gk.fit(model, task, **TRAIN)
    graph, state = task.graph().simple, model.reweighting
    assert all(0 < record["loss"] < 10 for record in run.history)
    total = torch.zeros(N).index_add_(0, graph.row(), state.edge) + (0 if state.loop is None else state.loop)
    if encoder in ("sage", "puremean"):
        torch.testing.assert_close(total, torch.where(graph.degree > 0, 3.0, 0.0))  # (1 + gamma) times a mean
    else:
        hat = graph.degree.float() + 1
        own = hat.rsqrt()
        expected = 3 * own * (own + torch.zeros(N).index_add_(0, graph.row(), own[graph.col.long()]))
        torch.testing.assert_close(total, expected)


@pytest.mark.parametrize("predictor", ["gae", "gae_cn", "gae_cn_concat", "ncn", "ncn2", "ncn_diff"])
def test_an_update_by_hand(predictor):
    """p of every message from the states of the model and its head, in evaluation mode."""
    task = task_of()
    model = model_of(task=task, predictor=predictor, dropout=0.5, predictor_dropout=0.5, edge_dropout=0.5, **OPTIONS)
    graph = task.graph().simple
    with torch.no_grad():
        model.eval()
        h = model.states(task.graph())
        a = torch.eye(N)
        a[graph.row(), graph.col.long()] = 1
        own = a * a.sum(1).rsqrt()[:, None] * a.sum(1).rsqrt()
        z = torch.stack([model.predictor.of_products(row * h) for row in own @ h]).sigmoid()
        p = torch.where(a > 0, z.exp(), 0.0)
        expected = own + 2 * p / p.sum(1, keepdim=True) * own.sum(1, keepdim=True)
        model.train()
    modes, stream = [m.training for m in model.modules()], torch.get_rng_state()
    model.begin_epoch(task, 2)
    assert modes == [m.training for m in model.modules()] and torch.equal(stream, torch.get_rng_state())
    torch.testing.assert_close(model.reweighting.edge, expected[graph.row(), graph.col.long()])
    torch.testing.assert_close(model.reweighting.loop, expected.diagonal())
    assert not model.reweighting.edge.requires_grad and all(p.grad is None for p in model.parameters())


def test_held_out_edges_have_no_part():
    task, found = task_of(), []
    other = LinkTask("other", N, task.train, task.test[:, :3], task.valid, x=task.x)
    for one in (task, other):
        model = model_of(task=task, **EAGER)
        gk.fit(model, one, select="auc", evaluate_every=5, **{**TRAIN, "loader": {"batch_size": 20, "strict": False}})
        found.append(weights_of(model))
    assert torch.equal(*found) and found[0].all()


@pytest.mark.parametrize("steps", [1, 3, 4, 9, 14])
def test_a_resume_is_exact(tmp_path, steps):
    """Of three steps an epoch; with checkpoints at every step, so within an epoch and between two."""
    task = task_of()
    model = model_of(task=task, dropout=0.2, **OPTIONS)
    whole = gk.fit(model, task, out=tmp_path / "whole", **TRAIN)
    assert whole.steps == 15
    model = model_of(task=task, dropout=0.2, **OPTIONS)
    with pytest.raises(RuntimeError, match="crash"):
        gk.fit(model, task, out=tmp_path / "r", checkpoint_every=0.0, reporter=Watch(model, steps), **TRAIN)
    again = model_of(task=task, dropout=0.2, seed=0 if steps == 1 else 7, **OPTIONS)
    run = gk.fit(again, task, out=tmp_path / "r", resume=True, **TRAIN)
    assert [r["loss"] for r in run.history] == [r["loss"] for r in whole.history] and run.test == whole.test
    for name in ("checkpoint", "best"):
        one, two = (getattr(RunDirectory(tmp_path / place), name)(1) for place in ("whole", "r"))
        first, second = (
            {key: tensor for key, tensor in load_file(file).items() if not key.startswith("best/")}
            for file in (one, two)
        )  # a checkpoint holds the best weights only while their own file waits
        assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    kept = load_file(RunDirectory(tmp_path / "r").best(1))
    epoch = read_metadata(RunDirectory(tmp_path / "r").best(1))["epoch"]
    assert bool(kept["reweighting.edge"].any()) == (epoch > 1), "the weights that were in force in the best epoch"


@pytest.mark.parametrize("kind", [NCN, NCNC])
def test_saved_loaded_and_handed_over(kind, tmp_path):
    task = task_of()
    run = gk.fit(model_of(kind, task, **EAGER), task, evaluate_every=5, out=tmp_path, **TRAIN)
    again = gk.load_model(tmp_path)
    assert weights_of(again).all() and gk.evaluate(again, task) == run.test
    pairs = torch.combinations(torch.arange(N)).t()
    if kind is NCN:
        same = NCNC.from_ncn(again, completion_weight=0.0).eval()
        torch.testing.assert_close(same.score_pairs(task.graph(), pairs), again.score_pairs(task.graph(), pairs))
        started = gk.fit(model_of(task=task, seed=3, **EAGER), task, epochs=0, start=str(tmp_path), seed=1)
        assert started.test == run.test
    other = task_of(seed=4)
    with pytest.raises(UserError, match="another graph"):
        gk.evaluate(again, other)
    if other.graph().simple.num_edges == task.graph().simple.num_edges:
        begun = model_of(kind, other, **EAGER)
        gk.fit(begun, other, start=str(tmp_path), **TRAIN)  # a training on another split begins with the encoder's own
        assert weights_of(begun).all()


def test_without_features_and_with_categories():
    task = LinkTask.from_edges("toy", task_of().known_edges("test"), N, split="80/10/10")
    model = NCN.for_task(task, hidden_channels=8, predictor="gae", **EAGER)
    assert model.config["num_edges"] == task.graph().simple.num_edges
    gk.fit(model, task, **TRAIN)
    assert weights_of(model).all()
    assert NCN.for_task(task, hidden_channels=8).config["num_edges"] is None
    task = task_of()
    task.x = torch.arange(N)[:, None] % 4
    assert NCN.for_task(task, hidden_channels=8, embedding=True, **EAGER).config["in_channels"] == 4


def test_mistakes():
    task = task_of()
    with pytest.raises(UserError, match="encoder 'puresum' have no weights to renew"):
        model_of(task=task, encoder="puresum", **OPTIONS)
    with pytest.raises(UserError, match="pass num_nodes and num_edges"):
        NCN(5, 8, **OPTIONS)
    with pytest.raises(UserError, match="use_valedges adds edges that have none"):
        gk.fit(model_of(task=task, **OPTIONS), task_of(use_valedges=True), **TRAIN)
    smaller = LinkTask("toy", N, task.train[:, 1:], task.valid, task.test, x=task.x)
    with pytest.raises(UserError, match="make the model with for_task of this task"):
        gk.fit(model_of(task=task, **OPTIONS), smaller, **TRAIN)
