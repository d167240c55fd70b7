"""Learning rates of parts, trainings that begin with another run's weights, and models that are not trained."""

import json

import pytest
import torch
from toy import ToyTask, toy_model

import graphkit as gk
from graphkit.engine.parameter_groups import parameter_groups
from graphkit.engine.warm_start import start_from
from graphkit.errors import UserError


def nested():
    torch.manual_seed(0)
    inner = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    return torch.nn.ModuleDict({"encoder": inner, "predictor": torch.nn.Linear(2, 1)})


def test_every_parameter_is_in_one_group_and_the_innermost_part_counts():
    model = nested()
    groups = parameter_groups(model, 0.1, {"encoder": 0.2, "encoder.2": 0.0})
    assert {group["lr"]: len(group["params"]) for group in groups} == {0.1: 2, 0.2: 2, 0.0: 2}
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in model.parameters()}
    assert groups[2]["params"][0] is model["encoder"][2].weight
    assert [group["lr"] for group in parameter_groups(model, 0.1)] == [0.1]
    assert parameter_groups(torch.nn.ReLU(), 0.1) == [{"params": [], "lr": 0.1}]


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"encodr": 1.0}, "did you mean 'encoder'"),
        ({"encoder.1": 1.0}, "'encoder.1' of ModuleDict holds no parameters"),
    ],
)
def test_parts_that_are_none(rates, message):
    with pytest.raises(UserError, match=message):
        parameter_groups(nested(), 0.1, rates)


def test_parts_learn_at_their_rates_and_a_resumed_training_too(tmp_path):
    (name, _), *_ = toy_model().named_children()
    before = {key: value.clone() for key, value in toy_model().state_dict().items()}
    run = gk.fit(toy_model(), ToyTask(), epochs=2, lr=0.05, lr_of={name: 0.0}, out=tmp_path / "whole")
    after = run.model.state_dict()
    for key, value in before.items():
        assert torch.equal(value, after[key]) == key.startswith(f"{name}."), key
    half = gk.fit(toy_model(), ToyTask(), epochs=2, lr=0.05, lr_of={name: 0.0}, out=tmp_path / "whole", resume=True)
    assert half.test == run.test
    with pytest.raises(UserError, match="lr_of"):
        gk.fit(toy_model(), ToyTask(), epochs=2, lr=0.05, out=tmp_path / "whole", resume=True)


def test_a_training_begins_with_the_weights_of_the_same_seed(tmp_path):
    first = {
        seed: gk.fit(toy_model(seed), ToyTask(), epochs=2, lr=0.05, seed=seed, out=tmp_path / "first")
        for seed in (0, 1)
    }
    for seed in (0, 1):
        model = toy_model(5)
        taken = start_from(model, tmp_path / "first", seed)
        assert taken == sorted(model.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), first[seed].model.parameters(), strict=True))
    best = max(first, key=lambda seed: (first[seed].valid["mrr"], -seed))
    model = toy_model(5)
    start_from(model, tmp_path / "first", 9)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), first[best].model.parameters(), strict=True))
    run = gk.fit(toy_model(5), ToyTask(), epochs=0, seed=1, start=str(tmp_path / "first"), out=tmp_path / "second")
    assert run.test["mrr"] == first[1].test["mrr"]


def test_weights_that_cannot_be_taken(tmp_path):
    with pytest.raises(UserError, match="there is no such folder; run that experiment first"):
        start_from(toy_model(), tmp_path / "nothing", 0)
    gk.fit(toy_model(), ToyTask(), epochs=1, out=tmp_path / "run")
    with pytest.raises(UserError, match="shares no weight of the same name and shape"):
        start_from(torch.nn.Linear(1, 1), tmp_path / "run", 0)


def test_no_epochs_evaluate_the_model_as_it_is(tmp_path):
    task = ToyTask()
    model = toy_model()
    run = gk.fit(model, task, epochs=0, out=tmp_path)
    assert task.scored == ["valid", "test"] and run.steps == 0 and run.best_epoch == 0 and run.history == []
    assert run.test == gk.evaluate(toy_model(), ToyTask(), "test") and run.valid == gk.evaluate(
        toy_model(), task, "valid"
    )
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(line["split"], line["epoch"], line["metrics"]) for line in lines] == [
        ("valid", 0, run.valid),
        ("test", 0, run.test),
    ]
    task.scored.clear()
    (tmp_path / "seed-0" / "best.safetensors").unlink()
    again = gk.fit(toy_model(), task, epochs=0, out=tmp_path, resume=True)
    assert again.test == run.test and task.scored == [] and (tmp_path / "seed-0" / "best.safetensors").exists()


def test_a_model_without_parameters_is_not_trained():
    with pytest.raises(UserError, match="Identity has nothing to train; set epochs to 0"):
        gk.fit(torch.nn.Identity(), ToyTask(), epochs=1)
