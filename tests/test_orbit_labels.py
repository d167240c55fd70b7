"""The experiment on node labels: what is done is not done again, and the report says what the results say."""

import importlib.util
import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from graphkit import ops

SCRIPT = Path(__file__).resolve().parent.parent / "experiments" / "orbits" / "label_prediction.py"
SMALL = ["--folds", "4", "--dims", "8", "--data", "ppi", "--matrices"]


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    specification = importlib.util.spec_from_file_location("label_prediction", SCRIPT)
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    monkeypatch.setattr(script, "RESULTS", tmp_path / "results")
    graph = ops.from_networkx(nx.planted_partition_graph(3, 20, 0.4, 0.05, seed=1))
    labels = np.eye(3, dtype=bool).repeat(20, axis=0)
    monkeypatch.setattr(script, "read", lambda name: (graph, labels))

    def run(*matrices):
        return script.main([*SMALL, *matrices, "--work", str(tmp_path / "work")])

    script.run_small, script.folder = run, tmp_path
    return script


def lines(experiment):
    return [json.loads(line) for line in (experiment.folder / "results" / "ppi.jsonl").read_text().splitlines()]


def test_what_is_done_is_not_done_again(experiment, monkeypatch):
    pytest.importorskip("matplotlib")
    assert experiment.run_small("1:0:0", "2:9:10") == 0
    first = lines(experiment)
    assert [one["matrix"] for one in first] == ["1:0:0", "2:9:10"]
    assert all(len(one["micro"]) == len(one["c"]) == 4 and 0 < one["micro_f1"] <= 1 for one in first)
    assert first[0]["micro_f1"] == pytest.approx(np.mean(first[0]["micro"]))
    made = sorted(path.name for path in (experiment.folder / "work" / "ppi").iterdir())
    assert made == ["1_0_0-d8-k1.npz", "2_10_9-d8-k1.npz", "2_9_10-d8-k1.npz"]  # the transpose came with it

    def never(*_):
        raise AssertionError("factorised again")

    monkeypatch.setattr(experiment, "embed", never)
    assert experiment.run_small("1:0:0", "2:9:10", "2:10:9") == 0
    assert lines(experiment)[:2] == first and len(lines(experiment)) == 3


def test_everything_and_the_report(experiment):
    pytest.importorskip("matplotlib")
    assert experiment.run_small(*experiment.MATRICES) == 0
    found = {one["matrix"]: one for one in lines(experiment)}
    assert set(found) == set(experiment.MATRICES) and len(found) == 28 + 2 + 5
    assert found["2:1:1"]["micro_f1"] > 0.7  # three communities
    text = (experiment.folder / "results" / "README.md").read_text()
    for name, one in found.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
        assert f"| {100 * one['micro_f1']:.2f} ± {100 * one['micro_se']:.2f} |" in row
        if name in experiment.KEYS:
            assert ("| yes |" in row) == (name in experiment.VISIBLE) != ("| no |" in row)
    paired = 100 * (np.array(found["hidden"]["micro"]) - np.array(found["visible"]["micro"]))
    said = f"against all they see: micro {paired.mean():+.2f} ± {paired.std(ddof=1) / 2:.2f}"
    assert said in text and "DeepWalk with what it does not see" in text
    assert all((experiment.folder / "results" / f"ppi-{kind}.png").exists() for kind in ("scores", "profile"))
    assert experiment.main(["--report", "--dims", "8"]) == 0
    assert (experiment.folder / "results" / "README.md").read_text() == text


def test_combinations_are_made_of_what_they_say(experiment):
    assert len(experiment.COMBINED["visible"]) == 13 and len(experiment.COMBINED["hidden"]) == 15
    assert experiment.COMBINED["all"] == experiment.KEYS
    assert experiment.COMBINED["deepwalk+hidden"][1:] == experiment.COMBINED["hidden"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "pip"], "unknown data set 'pip'; did you mean 'ppi'?"),
        (["--matrices", "2:9:11"], "unknown matrix '2:9:11'"),
        (["--report", "--dims", "7"], "holds no results with dims=7"),
    ],
)
def test_mistakes(experiment, capsys, words, message):
    assert experiment.main(words) == 2
    assert message in capsys.readouterr().err


def test_no_data(monkeypatch, capsys):
    specification = importlib.util.spec_from_file_location("label_prediction", SCRIPT)
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    monkeypatch.delenv("GRAPHKIT_DATA", raising=False)
    with pytest.raises(script.UserError, match="GRAPHKIT_DATA names no folder"):
        script.read("ppi")
