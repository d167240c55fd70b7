"""Learning rates from epoch to epoch, AdamW, parameters without weight decay; all of it across a stop."""

import math

import pytest
import torch
from test_resume import StopAfter, assert_same_run
from toy import ToyTask, toy_model

import graphkit as gk
from graphkit.engine.checkpoint import read_metadata
from graphkit.engine.parameter_groups import parameter_groups
from graphkit.engine.run_directory import RunDirectory
from graphkit.engine.schedule import RateSchedule, check_schedule, rate_factor
from graphkit.engine.state import TrainingState, selection_score
from graphkit.errors import UserError

COSINE = {"kind": "cosine", "warmup": 3}


def test_factors_by_hand():
    assert rate_factor(5, 10) == 1.0
    assert [rate_factor(epoch, 7, {"kind": "constant", "warmup": 1}) for epoch in (1, 2, 7)] == [0.5, 1.0, 1.0]
    rises = [rate_factor(epoch, 13, COSINE) for epoch in (1, 2, 3, 4)]
    assert rises == [0.25, 0.5, 0.75, 1.0]
    falls = [rate_factor(epoch, 13, COSINE) for epoch in range(4, 14)]
    assert falls == sorted(falls, reverse=True) and falls[-1] > 0
    assert falls[5] == pytest.approx(0.5)  # half way between the full rate and the end
    assert falls[2] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.2)))
    assert rate_factor(9, 13, {**COSINE, "floor": 0.2}) == pytest.approx(0.6)
    assert rate_factor(3, 2, {"kind": "cosine", "warmup": 9}) == 0.3  # a warm-up that never ends


def test_groups_keep_their_proportions():
    a, b = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.Adam([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.4}])
    schedule = RateSchedule(optimizer, 10, COSINE)
    for epoch in (1, 8, 2):
        schedule.begin_epoch(epoch)
        assert [group["lr"] for group in optimizer.param_groups] == [
            pytest.approx(rate * rate_factor(epoch, 10, COSINE)) for rate in (0.1, 0.4)
        ]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("cosine", "schedule is 'cosine', expected a mapping"),
        ({"kind": "cosin"}, "schedule.kind is 'cosin', expected one of constant, cosine"),
        ({"warmup": 1}, "schedule.kind is None"),
        ({"kind": "cosine", "warm": 1}, "unknown option 'warm'; did you mean 'warmup'"),
        ({"kind": "cosine", "warmup": -1}, "schedule.warmup is -1, expected a whole number of epochs"),
        ({"kind": "cosine", "floor": 2}, "schedule.floor is 2, expected a share"),
    ],
)
def test_bad_schedules(schedule, message):
    with pytest.raises(UserError, match=message):
        check_schedule(schedule)
    with pytest.raises(UserError, match=message):
        gk.fit(toy_model(), ToyTask(), epochs=1, schedule=schedule)


def test_bad_optimizers():
    with pytest.raises(UserError, match="optimizer is 'sgd', expected one of adam, adamw"):
        gk.fit(toy_model(), ToyTask(), epochs=1, optimizer="sgd")


class Spared(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lin, self.rate = torch.nn.Linear(2, 2), torch.nn.Parameter(torch.ones(2))

    def no_decay(self):
        return ["rate", "lin.bias"]


def test_parameters_that_a_model_names_do_not_decay():
    model = Spared()
    groups = parameter_groups(model, 0.1, {"lin": 0.2})
    assert {(group["lr"], group.get("weight_decay")): len(group["params"]) for group in groups} == {
        (0.1, 0.0): 1, (0.2, None): 1, (0.2, 0.0): 1
    }  # fmt: skip
    for kind in (torch.optim.Adam, torch.optim.AdamW):
        model = Spared()
        optimizer = kind(parameter_groups(model, 0.1), lr=0.1, weight_decay=0.5)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        after = dict(model.named_parameters())
        assert torch.equal(after["rate"], before["rate"]) and torch.equal(after["lin.bias"], before["lin.bias"])
        assert not torch.equal(after["lin.weight"], before["lin.weight"])
    model.no_decay = lambda: ["rates"]
    with pytest.raises(UserError, match="no_decay: unknown parameter of Spared 'rates'; did you mean 'rate'"):
        parameter_groups(model, 0.1)


def test_adamw_shrinks_weights_beside_the_gradient():
    options = {"epochs": 2, "lr": 0.01, "weight_decay": 0.1, "seed": 3}
    runs = {kind: gk.fit(toy_model(), ToyTask(), optimizer=kind, **options) for kind in ("adam", "adamw")}
    weights = [[p for p in run.model.parameters()] for run in runs.values()]
    assert not all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    default = gk.fit(toy_model(), ToyTask(), **options)
    assert all(torch.equal(a, b) for a, b in zip(default.model.parameters(), weights[0], strict=True))


def test_a_resumed_training_has_the_rates_of_an_uninterrupted_one(tmp_path):
    options = {
        "epochs": 5, "seed": 1, "lr": 0.05, "weight_decay": 0.01, "optimizer": "adamw",
        "schedule": {"kind": "cosine", "warmup": 2}, "lr_of": {"relation": 0.02},
    }  # fmt: skip
    gk.fit(toy_model(), ToyTask(), out=tmp_path / "whole", **options)
    for steps in (2, 8, 13):  # within the warm-up, and within and at the end of an epoch after it
        out = tmp_path / str(steps)
        with pytest.raises(RuntimeError, match="crash"):
            gk.fit(toy_model(), ToyTask(), out=out, reporter=StopAfter(steps), checkpoint_every=0.0, **options)
        gk.fit(toy_model(), ToyTask(), out=out, resume=True, **options)
        assert_same_run(tmp_path / "whole", out, 1)
    stored = read_metadata(RunDirectory(tmp_path / "whole").checkpoint(1))["options"]
    assert stored["schedule"] == {"kind": "cosine", "warmup": 2} and stored["optimizer"] == "adamw"
    other = {**options, "schedule": {"kind": "cosine", "warmup": 3}}
    with pytest.raises(UserError, match=r"schedule.warmup: 2 -> 3"):
        gk.fit(toy_model(), ToyTask(), out=tmp_path / "whole", resume=True, **other)


def test_without_options_checkpoints_say_what_they_said_before(tmp_path):
    gk.fit(toy_model(), ToyTask(), epochs=1, out=tmp_path)
    stored = read_metadata(RunDirectory(tmp_path).checkpoint(0))["options"]
    assert not {"schedule", "optimizer", "lr_of"} & set(stored)


def test_an_error_that_falls_selects_the_epoch():
    assert selection_score({"mae": 2.0}, "mae") == -2.0
    state = TrainingState()
    found = []
    for mae in (3.0, 2.0, 2.5, 2.0):
        state.count(1.0)
        found.append(state.end_epoch({"mae": mae}, "mae", None, False))
    assert found == [True, True, False, False] and state.best == {"epoch": 2, "metrics": {"mae": 2.0}}
