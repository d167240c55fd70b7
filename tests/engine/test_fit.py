import json
import math
import random

import numpy as np
import pytest
import torch
from toy import ToyModel, ToyTask, toy_model

from graphkit.engine.fit import fit
from graphkit.engine.progress import SilentReporter
from graphkit.errors import UserError


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_training_learns_and_scores_test_once(task):
    before = task.evaluate(toy_model(), "valid")["mrr"]
    task.scored.clear()
    run = fit(toy_model(), task, epochs=15, lr=0.05, evaluate_every=4)
    assert run.valid["mrr"] > before + 0.2
    assert task.scored == ["valid"] * 4 + ["test"]  # epochs 4, 8, 12 and the last
    assert [record["epoch"] for record in run.history if "valid" in record] == [4, 8, 12, 15]
    assert run.steps == 15 * 5 and len(run.history) == 15


def test_best_weights_are_those_of_the_best_epoch(task):
    run = fit(toy_model(), task, epochs=12, lr=1.0)
    scores = [record["valid"]["mrr"] for record in run.history]
    assert run.best_epoch == 1 + scores.index(max(scores)) < 12  # the earliest best, and not merely the last epoch
    assert task.evaluate(run.model, "valid") == run.valid
    assert task.evaluate(run.model, "test") == run.test
    assert not run.model.training


def test_adam_steps_are_torchs_own():
    """The loop against ten lines written by hand."""
    task, model = ToyTask(), toy_model(1, dropout=0.0)
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.1)
    losses = []
    for batch in task.loader("train", seed=0, epoch=1, batch_size=4):
        loss = model.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)
        optimizer.step()
        losses.append(loss.item())
    other = toy_model(1, dropout=0.0)
    run = fit(other, task, epochs=1, lr=0.01, weight_decay=0.1, clip_norm=0.05, loader={"batch_size": 4})
    assert same(weights(model), weights(other))
    assert run.history[0]["loss"] == sum(losses) / len(losses)


def test_a_step_may_take_the_mean_gradient_of_several_batches():
    """Against the loop by hand; the last step of an epoch takes those that are left."""
    task, model = ToyTask(), toy_model(1, dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    batches, means = list(task.loader("train", seed=0, epoch=1, batch_size=4)), []
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    groups = [batches[begin : begin + 3] for begin in range(0, len(batches), 3)]
    assert 0 < len(groups[-1]) < 3
    for group in groups:
        losses = [model.loss(batch) / len(group) for batch in group]
        optimizer.zero_grad()
        for loss in losses:
            loss.backward()
        optimizer.step()
        means.append(sum(loss.item() for loss in losses))
    run = fit(other := toy_model(1, dropout=0.0), task, epochs=1, lr=0.01, loader={"batch_size": 4}, accumulate=3)
    assert same(weights(model), weights(other))
    assert run.steps == len(groups) and run.history[0]["loss"] == pytest.approx(sum(means) / len(means))
    with pytest.raises(UserError, match="accumulate is 0, expected a whole number of at least 1"):
        fit(toy_model(), task, accumulate=0)


def test_same_seed_same_result_and_the_callers_streams_do_not_move(task):
    torch.manual_seed(9), np.random.seed(9), random.seed(9)
    expected = torch.rand(()), np.random.rand(), random.random()
    torch.manual_seed(9), np.random.seed(9), random.seed(9)
    one, two = toy_model(), toy_model()
    torch.manual_seed(9)
    fit(one, task, epochs=2, seed=4)
    assert (torch.rand(()), np.random.rand(), random.random()) == expected
    fit(two, task, epochs=2, seed=4)
    assert same(weights(one), weights(two))
    fit(two := toy_model(), task, epochs=2, seed=5)
    assert not same(weights(one), weights(two))


def test_validating_more_often_does_not_change_the_training(task):
    """The toy's evaluate draws random numbers on purpose."""
    often = fit(toy_model(), task, epochs=4, evaluate_every=1)
    seldom = fit(toy_model(), task, epochs=4, evaluate_every=4)
    assert [r["loss"] for r in often.history] == [r["loss"] for r in seldom.history]


def test_patience_counts_validations(task):
    run = fit(toy_model(), task, epochs=60, lr=0.3, patience=2)
    assert len(run.history) == run.best_epoch + 2 < 60


def test_max_steps_ends_in_the_middle_of_an_epoch_with_a_validation(task):
    run = fit(toy_model(), task, epochs=9, max_steps=7, evaluate_every=9)
    assert run.steps == 7 and [r["epoch"] for r in run.history] == [1, 2]
    assert run.valid == run.history[-1]["valid"]


def test_a_loss_that_is_not_finite_names_epoch_and_step(task):
    model, calls = toy_model(), []

    def loss(batch):
        calls.append(batch)
        return model.entity.weight.sum() * (math.nan if len(calls) == 8 else 1.0)

    model.loss = loss
    with pytest.raises(UserError, match=r"loss is nan at epoch 2, step 3: .* lower lr or set clip_norm"):
        fit(model, task, epochs=3)
    assert all(torch.isfinite(value).all() for value in weights(model).values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": -1}, "epochs is -1, expected a whole number of at least 0"),
        ({"lr": -1.0}, "lr is -1.0, expected a number above 0"),
        ({"lr": math.nan}, "lr is nan"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0"),
        ({"patience": 0}, "patience is 0"),
        ({"amp": "yes"}, "amp is 'yes'"),
        ({"loader": {"batch_sise": 3}}, "unknown loader option 'batch_sise'; did you mean 'batch_size'"),
        ({"loader": {"seed": 3}}, "loader option 'seed' is set by the engine"),
        ({"evaluation": {"tie": "mean"}}, "unknown evaluation option 'tie'; did you mean 'ties'"),
        ({"select": "mrrr"}, "unknown metric 'mrrr'; did you mean 'mrr'"),
        ({"select": "mr"}, "does not rise as a model improves"),
    ],
)
def test_bad_options_are_refused(task, options, message):
    with pytest.raises(UserError, match=message):
        fit(toy_model(), task, **{"epochs": 1, **options})


def test_deterministic_mode_is_on_during_the_training_and_off_after(task):
    seen = []

    class Look(SilentReporter):
        def step(self, state, total):
            seen.append(torch.are_deterministic_algorithms_enabled())

    fit(toy_model(), task, epochs=1, deterministic=True, reporter=Look())
    assert all(seen) and seen
    assert not torch.are_deterministic_algorithms_enabled()


def test_files_of_a_run(task, tmp_path):
    run = fit(toy_model(), task, epochs=3, out=tmp_path / "r", seed=2, labels={"experiment": "toy/one"})
    assert {p.relative_to(run.out).as_posix() for p in run.out.rglob("*") if p.is_file() and p.name[0] != "."} == {
        "environment.json", "log.jsonl", "results.jsonl",
        "seed-2/checkpoint.safetensors", "seed-2/best.safetensors", "seed-2/test_ranks.safetensors",
    }  # fmt: skip
    valid, test = lines(run.out / "results.jsonl")
    assert (valid["split"], test["split"]) == ("valid", "test")
    assert valid["metrics"] == run.valid and test["metrics"] == run.test
    assert test["experiment"] == "toy/one" and test["data"] == "toy" and test["model"] == "ToyModel"
    assert test["parameters"] == 8 * 12 + 8 * 2 + 16 and test["steps"] == 15 and test["seed"] == 2
    assert lines(run.out / "log.jsonl") == [{"event": "epoch", "seed": 2, **record} for record in run.history]
    environment = json.loads((run.out / "environment.json").read_text())
    assert environment["data"]["hashes"] == {"train.txt": "0" * 64}


def test_a_second_seed_goes_into_the_same_directory(task, tmp_path):
    for seed in (0, 1):
        fit(toy_model(seed), task, epochs=1, out=tmp_path, seed=seed)
    assert [(r["seed"], r["split"]) for r in lines(tmp_path / "results.jsonl")] == [
        (0, "valid"), (0, "test"), (1, "valid"), (1, "test"),
    ]  # fmt: skip


def test_without_out_nothing_is_written(task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(toy_model(), task, epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_autocast_is_for_training_only(task):
    """Rounded scores would tie."""
    model, dtypes = toy_model(), {True: set(), False: set()}
    score = model.score

    def look(head, relation):
        scores = score(head, relation)
        dtypes[model.training].add(scores.dtype)
        return scores

    model.score = look
    fit(model, task, epochs=1, amp=True, device="cpu")
    assert dtypes == {True: {torch.bfloat16}, False: {torch.float32}}
    dtypes[True].clear()
    fit(model, task, epochs=1, device="cpu")
    assert dtypes[True] == {torch.float32}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_is_found_and_autocast_there(tmp_path):
    class OnDevice(ToyTask):
        def evaluate(self, model, split="valid", **options):
            device = next(model.parameters()).device
            self.valid, self.test = self.valid.to(device), self.test.to(device)
            return super().evaluate(model, split, **options)

    model, seen, loss_of = toy_model(), set(), ToyModel.loss

    def loss(batch):
        seen.add((batch.triples.device.type, model.score(batch.triples[:, 0, 0], batch.triples[:, 0, 1]).dtype))
        return loss_of(model, batch)

    model.loss = loss
    run = fit(model, OnDevice(), epochs=2, out=tmp_path)
    assert seen == {("cuda", torch.bfloat16)}
    assert "cpu" not in json.loads((tmp_path / "results.jsonl").read_text().splitlines()[0])["device"]
    again = fit(toy_model(3), OnDevice(), epochs=2, out=tmp_path, resume=True)
    assert again.test == run.test


def test_a_model_is_told_once_when_an_epoch_begins(tmp_path):
    """Also on resuming, within an epoch and between two; before training mode is set, with the task."""

    class Told(ToyModel):
        def begin_epoch(self, task, epoch):
            told.append((task, epoch, steps[-1] if steps else 0))

        def loss(self, batch):
            assert told[-1][1] == 1 + len(steps) // 5
            if len(steps) in stops:
                stops.discard(len(steps))
                raise RuntimeError("crash")
            steps.append(len(steps) + 1)
            return super().loss(batch)

    told, steps, stops, task = [], [], {5, 7}, ToyTask()
    for resume in (False, True, True):
        torch.manual_seed(0)
        model = Told(2)
        try:
            fit(model, task, epochs=3, out=tmp_path, resume=resume, checkpoint_every=0.0)
        except RuntimeError as error:
            assert str(error) == "crash"
    assert not stops and steps == list(range(1, 16))
    # the crash in the first step of epoch 2 came before any checkpoint of that epoch: it begins again
    assert told == [(task, 1, 0), (task, 2, 5), (task, 2, 5), (task, 3, 10)]
