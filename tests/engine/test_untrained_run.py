"""A heuristic all the way: configuration, evaluation, results, report."""

import json

import pytest
import yaml
from tiny_link_experiment import write_tiny_link_experiment

import graphkit as gk
from graphkit.engine.config import load_config
from graphkit.engine.progress import SilentReporter
from graphkit.engine.run import evaluate_run, run_experiment
from graphkit.errors import UserError
from graphkit.models import AdamicAdar


def test_a_heuristic_is_evaluated_by_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    file = write_tiny_link_experiment(tmp_path)
    values = yaml.safe_load(file.read_text())
    values["model"], values["train"], values["loader"] = {"name": "AdamicAdar"}, {"epochs": 0}, {}
    file.write_text(yaml.safe_dump(values))
    config = load_config(file)
    runs = run_experiment(config, tmp_path / "run", reporter=SilentReporter)
    task = gk.load(**config.data)
    assert runs[0].test == gk.evaluate(AdamicAdar(), task) and runs[0].steps == 0
    assert runs[0].test["auc"] == runs[-1].test["auc"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "results.jsonl").read_text().splitlines()]
    assert all(line["parameters"] == 0 and line["epoch"] == 0 for line in lines)
    assert (tmp_path / "run" / "report.md").exists()
    assert all(found["metrics"] == found["recorded"] for found in evaluate_run(tmp_path / "run"))
    again = run_experiment(config, tmp_path / "run", resume=True, reporter=SilentReporter)
    assert [run.test for run in again] == [run.test for run in runs]
    assert isinstance(gk.load_model(tmp_path / "run"), AdamicAdar)
    with pytest.raises(UserError, match="AdamicAdar has nothing to train; set epochs to 0"):
        run_experiment(load_config(file, ["--train.epochs", "2"]), tmp_path / "other", reporter=SilentReporter)
