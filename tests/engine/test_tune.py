"""The search over options: repeatable, resumable, within its budget, blind to test."""

import functools
import json
from dataclasses import replace

import pytest
from tiny_node_experiment import write_tiny_node_experiment

from graphkit.cli import main
from graphkit.data import NodeTask
from graphkit.engine.config import load_config
from graphkit.engine.fit import fit
from graphkit.engine.run import run_experiment
from graphkit.engine.tune import best_trial, drawn, run_trials, tune_experiment
from graphkit.errors import UserError

SPACE = {"train.lr": {"log": [1e-3, 1e-1]}, "model.dropout": {"uniform": [0, 0.6]}, "model.hidden_channels": [4, 8],
         "model.num_layers": {"integers": [1, 3]}}  # fmt: skip


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    plan = {"space": SPACE, "trials": 3, "splits": [0, 1]}
    train = {"epochs": 4, "patience": 3}
    return lambda **tune: load_config(write_tiny_node_experiment(tmp_path, train=train, tune={**plan, **tune}))


def trials(out):
    return [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]


def test_a_trial_depends_on_its_number_alone():
    found = [drawn(SPACE, "GCN/texas", trial) for trial in range(40)]
    assert found == [drawn(SPACE, "GCN/texas", trial) for trial in range(40)]
    assert found[0] != drawn(SPACE, "GCN/cornell", 0)
    assert {one["model.num_layers"] for one in found} == {1, 2, 3} and {
        one["model.hidden_channels"] for one in found
    } == {4, 8}
    assert all(1e-3 <= one["train.lr"] <= 1e-1 and 0 <= one["model.dropout"] <= 0.6 for one in found)
    assert sum(one["train.lr"] < 1e-2 for one in found) > 10  # half of the decades, not of the numbers


@pytest.mark.parametrize(
    "values", [[], 3, {"log": [0, 1]}, {"log": [2, 1]}, {"integers": [0.5, 2]}, {"normal": [0, 1]}, {"log": [1]}]
)
def test_other_spaces_are_refused(values):
    with pytest.raises(UserError, match=r"the space of train.lr is .*; expected a list of values, or"):
        drawn({"train.lr": values}, "x", 0)


def test_a_search_is_recorded_and_goes_on(nodes, tmp_path):
    config, out, told = nodes(), tmp_path / "tune", []
    lines, best = tune_experiment(config, out, trials=2, told=told.append)
    assert lines == trials(out) == told and [line["trial"] for line in lines] == [0, 1]
    more, best = tune_experiment(config, out, trials=4)
    assert more[:2] == lines and len(more) == 4 and len(trials(out)) == 4
    again, _ = tune_experiment(config, tmp_path / "again", trials=4)
    assert [line["valid"] for line in again] == [line["valid"] for line in more]
    winner = best_trial(more, "accuracy")
    assert (
        load_config(out / "best.yaml") == best and best.tune is None and best.splits == "all" and best.seeds == [0, 1]
    )
    for option, value in winner["options"].items():
        section, name = option.split(".")
        assert getattr(best, section)[name] == value
    assert f"trial {winner['trial']}, the best of 4 on validation accuracy" in (out / "best.yaml").read_text()
    run_experiment(best, tmp_path / "run")
    with pytest.raises(
        UserError, match=r"(?s)search of another experiment.*tune.space.model.hidden_channels: \[4, 8\] -> \[4\]"
    ):
        tune_experiment(nodes_in(tmp_path, {**SPACE, "model.hidden_channels": [4]}), out)


def test_finalists_are_judged_again_by_all_splits_beside_the_options_as_they_are(nodes, tmp_path):
    config, out, told = nodes(trials=4, splits=[0], finalists=2), tmp_path / "tune", []
    without = replace(config, tune={key: value for key, value in config.tune.items() if key != "finalists"})
    tune_experiment(without, out, trials=1)
    lines, best = tune_experiment(config, out, told=told.append)
    finals = [json.loads(line) for line in (out / "finalists.jsonl").read_text().splitlines()]
    assert told == lines[1:] + finals and all(line["finalist"] for line in finals)
    ranked = sorted(lines, key=lambda line: (-line["valid"]["accuracy"], line["trial"]))
    assert [line["trial"] for line in finals] == sorted([-1, *(line["trial"] for line in ranked[:2])])
    assert finals[0]["options"] == {} and all(len(line["epochs"]) == 3 for line in finals)
    winner = best_trial(finals, "accuracy")
    assert best == config.changed(winner["options"], without_tune=True)
    assert "of 3 finalists of 4 trials on validation accuracy" in (out / "best.yaml").read_text()
    tune_experiment(config, out, told=told.append)  # nothing is left to do
    assert told == lines[1:] + finals and "test" not in json.dumps(finals)


def nodes_in(folder, space):
    import yaml

    values = yaml.safe_load((folder / "tiny_nodes.yaml").read_text())
    (folder / "other.yaml").write_text(yaml.safe_dump({**values, "tune": {**values["tune"], "space": space}}))
    return load_config(folder / "other.yaml")


def test_a_trial_is_the_mean_over_its_splits(nodes, tmp_path):
    config = nodes()
    lines, _ = tune_experiment(config, tmp_path / "tune", trials=1)
    changed = config.changed({**lines[0]["options"]}, without_tune=True)

    runs = run_experiment(replace(changed, splits=[0, 1], seeds=[0]), tmp_path / "run")
    assert lines[0]["valid"]["accuracy"] == pytest.approx(sum(run.valid["accuracy"] for run in runs) / 2)
    assert lines[0]["epochs"] == [run.best_epoch for run in runs] and lines[0]["std"]["accuracy"] >= 0


def test_the_test_split_is_never_looked_at(nodes, tmp_path, monkeypatch):
    scored, real = [], NodeTask.evaluate

    @functools.wraps(real)
    def watched(self, model, split="valid", **options):
        scored.append(split)
        return real(self, model, split, **options)

    monkeypatch.setattr(NodeTask, "evaluate", watched)
    tune_experiment(nodes(), tmp_path / "tune", trials=1)
    assert set(scored) == {"valid"} and "test" not in json.dumps(trials(tmp_path / "tune"))
    assert (tmp_path / "tune" / "best.yaml").exists()
    with pytest.raises(UserError, match="score_test=False records nothing, so it takes no out"):
        fit(None, None, score_test=False, out=tmp_path / "x")


def test_a_budget_in_minutes(tmp_path):
    spent = {"seconds": 40.0, "valid": None}

    def train(trial, found):
        return {"trial": trial, **found, **spent}

    record = tmp_path / "trials.jsonl"
    assert len(run_trials(record, range(9), lambda trial: {}, train, minutes=1)) == 2
    assert len(run_trials(record, range(9), lambda trial: {}, train, minutes=1)) == 2  # what was spent before counts
    assert len(run_trials(record, range(3), lambda trial: {}, train)) == 3
    with pytest.raises(UserError, match="no trial has validation metrics"):
        best_trial(run_trials(record, range(3), lambda trial: {}, train), "accuracy")


def test_a_training_that_fails_is_a_line_and_no_winner(nodes, tmp_path):
    config = nodes(space={"train.lr": [1e30, 0.01]})
    lines, best = tune_experiment(config, tmp_path / "tune", trials=6)
    failed = [line for line in lines if line["valid"] is None]
    assert failed and all(line["options"]["train.lr"] == 1e30 and line["error"] for line in failed)
    assert best.train["lr"] == 0.01


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"space": {"train.lr_rate": [1.0]}}, "unknown option of train 'lr_rate'"),
        ({"space": {"lr": [1.0]}}, "lr: expected the path of an option"),
        ({"space": {"model.hidden_channels": ["wide"]}}, "model.hidden_channels is 'wide', expected a whole number"),
        ({"splits": [7]}, r"splits names 7; tiny-nodes has the splits 0 \.\. 2"),
    ],
)
def test_mistakes_in_the_space_show_before_anything_is_trained(nodes, tmp_path, tune, message):
    with pytest.raises(UserError, match=message):
        tune_experiment(nodes(**tune), tmp_path / "tune")
    assert not (tmp_path / "tune" / "trials.jsonl").exists()


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"trails": 3}, "unknown option of tune 'trails'; did you mean 'trials'"),
        ({"trials": 0}, "tune.trials is 0, expected a number above 0"),
        ({"minutes": -1}, "tune.minutes is -1"),
        ({"splits": "all"}, "tune.splits is 'all', expected numbers"),
        ({"finalists": 0}, "tune.finalists is 0, expected a number above 0"),
        ({"finalists": 2, "splits": None}, "tune.finalists needs tune.splits"),
    ],
)
def test_mistakes_in_the_section_are_named(nodes, tune, message):
    with pytest.raises(UserError, match=message):
        nodes(**tune)


def test_from_the_command_line(nodes, tmp_path, capsys, monkeypatch):
    nodes()
    monkeypatch.chdir(tmp_path)
    assert main(["run", "tiny_nodes.yaml", "--tune", "--trials", "2"]) == 0
    shown = capsys.readouterr()
    assert "trial 1: accuracy" in shown.err and "best options: runs/tiny/nodes-tune/best.yaml" in shown.out
    assert main(["run", "runs/tiny/nodes-tune/best.yaml", "--splits", "0", "--seeds", "0", "--out", "best"]) == 0
    assert "accuracy" in capsys.readouterr().out.lower()
    assert main(["run", "tiny_nodes.yaml", "--trials", "2"]) == 2
    assert "--trials is the budget of a search; pass --tune with it" in capsys.readouterr().err
    assert main(["run", "tiny_nodes.yaml", "--tune", "--minutes", "0"]) == 2
    assert main(["run", "nbfnet/umls", "--tune"]) == 2
    assert "has no search space" in capsys.readouterr().err
