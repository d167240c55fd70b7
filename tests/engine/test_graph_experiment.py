"""Learning from many graphs all the way: every fold, a stop and a resume, results, report, values whose error falls."""

import hashlib
import json

import pytest
import torch
import yaml

import graphkit as gk
from graphkit.data import GraphTask, split_graphs
from graphkit.datasets import chain_copy
from graphkit.engine.config import load_config
from graphkit.engine.progress import SilentReporter
from graphkit.engine.report import render
from graphkit.engine.run import evaluate_run, run_experiment
from graphkit.engine.run_directory import RunDirectory
from graphkit.engine.tune import tune_experiment
from graphkit.models import GCN, GIN, MLP

GRAPHS = 18


def texts():
    """Cycles, of class 1 with a chord, in TUDataset's form; labels of nodes say nothing."""
    found, begin = {"A": "", "graph_indicator": "", "graph_labels": "", "node_labels": ""}, 1
    for k in range(GRAPHS):
        nodes = 5 + k % 3
        edges = [(i, (i + 1) % nodes) for i in range(nodes)] + [(0, 2)] * (k % 2)
        found["A"] += "".join(f"{begin + a}, {begin + b}\n{begin + b}, {begin + a}\n" for a, b in edges)
        found["graph_indicator"] += f"{k + 1}\n" * nodes
        found["node_labels"] += "".join(f"{i % 2}\n" for i in range(nodes))
        found["graph_labels"] += f"{k % 2}\n"
        begin += nodes
    return found


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    files = []
    (tmp_path / "data" / "tiny").mkdir(parents=True)
    for kind, text in texts().items():
        (tmp_path / "data" / "tiny" / f"T_{kind}.txt").write_text(text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        files.append({"path": f"T_{kind}.txt", "url": None, "bytes": len(text), "sha256": digest})
    card = {
        "name": "tiny-graphs", "title": "Tiny", "task": "graphs", "reader": "tu_dataset", "files": files, "folders": ["tiny"],
        "licence": "none", "citation": "none", "source": "made up", "statistics": {}, "splits": {"3-fold": 3},
    }  # fmt: skip
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))

    def write(**sections):
        content = {
            "name": "tiny/graphs", "reference": {"metrics": {"accuracy": "0.80"}},
            "data": {"name": str(tmp_path / "card.yaml"), "root": str(tmp_path / "data"), "encodings": ["laplacian:2"]},
            "loader": {"batch_size": 4}, "model": {"name": "GIN", "hidden_channels": 8, "num_layers": 2, "dropout": 0.2},
            "train": {"epochs": 6, "lr": 0.02, "optimizer": "adamw", "schedule": {"kind": "cosine", "warmup": 2}},
            "splits": "all", "seeds": [0], **sections,
        }  # fmt: skip
        (tmp_path / "tiny_graphs.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return load_config(tmp_path / "tiny_graphs.yaml")

    return write


def records(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_every_fold_is_trained_recorded_and_reported(experiment, tmp_path):
    config, out = experiment(), tmp_path / "run"
    runs = run_experiment(config, out, reporter=SilentReporter)
    lines = [line for line in records(out) if line["split"] == "test"]
    assert [(line["seed"], line["fold"], line["folds"]) for line in lines] == [(0, fold, 3) for fold in range(3)]
    assert [run.test for run in runs] == [line["metrics"] for line in lines]
    assert set(lines[0]["metrics"]) == {"accuracy", "macro_f1", "balanced_accuracy", "roc_auc", "count"}
    assert all(one["metrics"] == one["recorded"] for one in evaluate_run(out))
    report = (out / "report.md").read_text()
    for text in ("| Accuracy |", "3 of 3 used, each with every seed", "3-fold, drawn with seed 0", "laplacian:2"):
        assert text in report, text
    assert "Candidates" not in report and "Negatives" not in report
    row = next(row for row in json.loads(render(out, "json")) if row["metric"] == "accuracy" and row["split"] == "test")
    assert row["n"] == 3
    model = gk.load_model(out, seed=0, fold=1)
    assert type(model) is GIN and model.config["level"] == "graph" and model.config["in_channels"] == 4


class StopAfter(SilentReporter):
    def __init__(self, steps):
        self.steps = steps

    def step(self, state, total):
        if state.steps == self.steps:
            raise RuntimeError("crash")


@pytest.mark.parametrize("steps", [2, 5, 9])
def test_a_resumed_training_sees_the_batches_signs_and_rates_of_an_uninterrupted_one(experiment, tmp_path, steps):
    config = experiment()
    task = gk.load(**config.data)
    options = {"seed": 3, "loader": config.loader, **{**config.train, "checkpoint_every": 0.0}}

    def model():
        torch.manual_seed(0)
        return GIN.for_task(task, hidden_channels=8, num_layers=2, dropout=0.2)

    whole = gk.fit(model(), task, out=tmp_path / "whole", **options)
    with pytest.raises(RuntimeError, match="crash"):
        gk.fit(model(), task, out=tmp_path / "cut", reporter=StopAfter(steps), **options)
    again = gk.fit(model(), task, out=tmp_path / "cut", resume=True, **options)
    assert again.test == whole.test and again.best_epoch == whole.best_epoch
    assert [record["loss"] for record in again.history] == [record["loss"] for record in whole.history]
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), whole.model.parameters(), strict=True))


def valued():
    """Graphs whose value is the number of nodes, which the sum of ones gives."""
    graphs = [graph.clone() for graph in chain_copy(graphs=30, min_length=3, max_length=9).graphs]
    for graph in graphs:
        graph.x, graph.y = torch.ones(graph.num_nodes, 1), torch.tensor([[graph.num_nodes / 10.0]])
    masks = split_graphs(torch.zeros(30, 1), "3-fold")
    return GraphTask("sizes", graphs, target="values", **masks)


def test_values_select_the_epoch_of_the_smallest_error(tmp_path):
    task = valued()
    torch.manual_seed(0)
    model = MLP.for_task(task, hidden_channels=8, dropout=0.0, pooling="sum")
    run = gk.fit(model, task, epochs=25, lr=0.02, splits=[0, 1], out=tmp_path / "run")
    for fold, one in zip((0, 1), run.folds, strict=True):
        errors = [record["valid"]["mae"] for record in one.history]
        assert one.valid["mae"] == min(errors) and errors.index(min(errors)) + 1 == one.best_epoch
        assert RunDirectory(tmp_path / "run", fold).best(0).exists()
    better = min((0, 1), key=lambda fold: run.folds[fold].valid["mae"])
    assert gk.evaluate(model, task.at_fold(better), "test") == run.folds[better].test
    assert gk.evaluate(gk.load_model(tmp_path / "run"), task.at_fold(better), "test") == run.folds[better].test
    report = render(tmp_path / "run", "md")
    assert "MAE" in report and "Candidates" not in report


def test_a_search_minimises_an_error(experiment, tmp_path, monkeypatch):
    config = experiment(
        protocol={"select": "mae"}, tune={"space": {"train.lr": [1.0e-6, 0.05]}, "trials": 2, "splits": [0]}
    )
    # what is drawn depends on the name of the data, here a folder that is another one in every run
    monkeypatch.setattr("graphkit.engine.tune.drawn", lambda space, key, trial: {"train.lr": space["train.lr"][trial]})
    monkeypatch.setattr("graphkit.engine.tune.load", lambda **options: valued())
    lines, best = tune_experiment(config, tmp_path / "tune")
    assert all(line["valid"] for line in lines) and len(lines) == 2
    assert best.train["lr"] == min(lines, key=lambda line: line["valid"]["mae"])["options"]["train.lr"]


def test_two_layers_are_at_chance_where_the_far_end_counts():
    stored = chain_copy(graphs=300, min_length=10, max_length=12, symbols=2, seed=1)
    task = GraphTask("copy", stored.graphs, level="node", **stored.splits["official"])
    torch.manual_seed(0)
    run = gk.fit(GCN.for_task(task, hidden_channels=16, dropout=0.0), task, epochs=5, lr=0.02)
    assert run.test["count"] == 30 and 0.2 <= run.test["accuracy"] <= 0.8
