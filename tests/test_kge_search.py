"""The search of the embedding models: repeatable, resumable, blind to test; its committed outcome is what it says."""

import importlib.util
import json
from pathlib import Path

import pytest
import yaml

from graphkit.data import KnowledgeGraphTask
from graphkit.engine.config import load_config
from graphkit.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
RECORDS = sorted((ROOT / "experiments" / "results" / "search").glob("kge-*.jsonl"))


def load_script():
    specification = importlib.util.spec_from_file_location("kge_search", ROOT / "experiments" / "kge" / "search.py")
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    return script


kge_search = load_script()


@pytest.fixture
def task(monkeypatch):
    monkeypatch.setattr(kge_search, "TRAIN", {"epochs": 2, "evaluate_every": 1, "patience": 6})
    facts = [(f"e{i}", "next", f"e{(i + 1) % 8}") for i in range(8)]
    return KnowledgeGraphTask.from_names("nations", facts[:6], facts[6:7], facts[7:])


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_trial_depends_on_its_number_alone_and_trials_differ():
    for model in kge_search.MODELS:
        drawn = [kge_search.settings(model, "umls", trial) for trial in range(12)]
        assert drawn == [kge_search.settings(model, "umls", trial) for trial in range(12)]
        assert len({json.dumps(one) for one in drawn}) == 12
        assert {one["model"]["objective"] for one in drawn} >= {"softmax", "logistic"}
        assert all(3e-3 <= one["train"]["lr"] <= 5e-2 for one in drawn)


def test_a_search_goes_on_where_it_was_stopped(task, tmp_path):
    record = tmp_path / "record.jsonl"
    kge_search.search("DistMult", task, record, trials=2)
    first = lines(record)
    found = kge_search.search("DistMult", task, record, trials=3)
    assert lines(record) == found and found[:2] == first and [line["trial"] for line in found] == [0, 1, 2]
    assert all(set(line["valid"]) >= {"mrr", "hits@10"} and "test" not in line for line in found)
    with pytest.raises(UserError, match="another search space; remove the file"):
        kge_search.search("ComplEx", task, record, trials=3)


def test_a_training_that_diverges_is_a_line_and_no_winner(task, monkeypatch):
    monkeypatch.setattr(kge_search, "TRAINING", {"lr": [1e20], "batch_size": [4]})
    line = kge_search.run_trial(task, 0, kge_search.settings("DistMult", "nations", 0))
    assert line["valid"] is None and "the training has diverged" in line["error"]
    good = {"trial": 1, "valid": {"mrr": 0.2}}
    assert kge_search.best([line, good, {"trial": 2, "valid": {"mrr": 0.2}}]) is good
    with pytest.raises(UserError, match="no trial has validation metrics"):
        kge_search.best([line])


def test_the_winner_becomes_an_experiment(task, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(kge_search, "load", lambda name: task)
    words = ["--methods", "transe,rotate", "--data", "nations", "--trials", "2"]
    assert kge_search.main(words, tmp_path) == 0
    found = lines(tmp_path / "experiments" / "results" / "search" / "kge-rotate-nations.jsonl")
    winner = max(found, key=lambda line: line["valid"]["mrr"])
    config = load_config(tmp_path / "experiments" / "kge" / "rotate-nations.yaml")
    assert config.name == "kge/rotate-nations" and config.seeds == [0, 1, 2]
    assert config.model == {**config.model, **winner["model"]} and config.train["lr"] == winner["train"]["lr"]
    assert kge_search.main(["--methods", "rotat"], tmp_path) == 2
    assert "unknown method 'rotat'; did you mean 'rotate'" in capsys.readouterr().err


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_committed_experiments_are_the_winners_of_their_records(path):
    found = lines(path)
    assert [line["trial"] for line in found] == list(range(kge_search.TRIALS))  # the same budget for every method
    for line in found:
        wanted = kge_search.settings(line["model"]["name"], line["data"], line["trial"])
        assert {section: line[section] for section in wanted} == wanted
    written = ROOT / "experiments" / "kge" / f"{path.stem.removeprefix('kge-')}.yaml"
    assert written.read_text() == kge_search.experiment(found)


def test_every_committed_experiment_has_its_record():
    names = {path.stem for path in (ROOT / "experiments" / "kge").glob("*.yaml")}
    assert names == {path.stem.removeprefix("kge-") for path in RECORDS}
    for name in names:
        assert yaml.safe_load((ROOT / "experiments" / "kge" / f"{name}.yaml").read_text())["name"] == f"kge/{name}"
