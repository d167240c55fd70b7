"""Node classification all the way: every split with every seed, resuming, results, report, evaluating again."""

import json
import statistics

import pytest
import torch
from safetensors.torch import load_file
from tiny_node_experiment import FOLDS, write_tiny_node_experiment

import graphkit as gk
from graphkit.engine import FoldedRun
from graphkit.engine.checkpoint import read_tensors, write_tensors
from graphkit.engine.config import load_config
from graphkit.engine.folds import folds_of
from graphkit.engine.progress import SilentReporter
from graphkit.engine.report import render
from graphkit.engine.run import evaluate_run, run_experiment
from graphkit.engine.run_directory import RunDirectory
from graphkit.engine.seeding import seed_of, seeded
from graphkit.errors import UserError
from graphkit.models import GCN, MLP

TRAININGS = [(seed, fold) for seed in (0, 1) for fold in range(FOLDS)]


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    return lambda **sections: write_tiny_node_experiment(tmp_path, **sections)


def records(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_every_split_with_every_seed(nodes, tmp_path):
    config, out = load_config(nodes()), tmp_path / "run"
    assert config.splits == "all" and load_config(nodes_again(config, tmp_path)) == config
    runs = run_experiment(config, out, reporter=SilentReporter)
    lines = [line for line in records(out) if line["split"] == "test"]
    assert [(line["seed"], line["fold"], line["folds"]) for line in lines] == [(*pair, FOLDS) for pair in TRAININGS]
    assert [run.test for run in runs] == [line["metrics"] for line in lines]
    assert set(lines[0]["metrics"]) == {"accuracy", "macro_f1", "roc_auc", "count"}
    assert RunDirectory(out).trainings() == TRAININGS and (out / "seed-1" / "fold-2" / "best.safetensors").exists()
    values = [line["metrics"]["accuracy"] for line in lines]
    row = next(row for row in json.loads(render(out, "json")) if row["metric"] == "accuracy" and row["split"] == "test")
    assert (row["n"], row["planned"]) == (6, 6)
    assert row["ours"] == pytest.approx(statistics.fmean(values)) and row["std"] == pytest.approx(
        statistics.stdev(values)
    )
    report = (out / "report.md").read_text()
    for text in (
        "| Accuracy |", "n = 6", "## Seeds and splits", "| Fold |", "3 of 3 used, each with every seed",
        "directed: steps go forward", "epoch with the best Accuracy on the validation split",
    ):  # fmt: skip
        assert text in report, text
    assert "Candidates" not in report and "| Ties |" not in report and (out / "report.html").exists()
    found = list(evaluate_run(out))
    assert [(one["seed"], one["fold"]) for one in found] == TRAININGS
    assert all(one["metrics"] == one["recorded"] for one in found)
    assert [one["fold"] for one in evaluate_run(out, seed=1, fold=2)] == [2]


def nodes_again(config, folder):
    path = folder / "again.yaml"
    path.write_text(config.dump())
    return path


def test_splits_differ_in_weights_and_masks_and_nothing_else(nodes, tmp_path):
    run_experiment(load_config(nodes(splits=[2, 0], seeds=[4])), tmp_path / "run", reporter=SilentReporter)
    task = gk.load(str(tmp_path / "nodes.yaml"), root=tmp_path / "data", task="node", fold=2)
    with seeded(seed_of(4, 2)):
        model = GCN.for_task(task, hidden_channels=8, dropout=0.2)
    alone = gk.fit(model, task, seed=4, epochs=12, lr=0.02, patience=6)
    assert [line["fold"] for line in records(tmp_path / "run")] == [2, 2, 0, 0]
    assert alone.test == records(tmp_path / "run")[1]["metrics"]
    best = load_file(RunDirectory(tmp_path / "run", 2).best(4))
    assert all(torch.equal(best[name], tensor) for name, tensor in model.state_dict().items())
    assert seed_of(4, 0) != seed_of(4, 2) != seed_of(5, 2)


def test_python_gives_what_the_experiment_gives(nodes, tmp_path):
    run_experiment(load_config(nodes(seeds=[1])), tmp_path / "run", reporter=SilentReporter)
    task = gk.load(str(tmp_path / "nodes.yaml"), root=tmp_path / "data", task="node")
    model = GCN.for_task(task, hidden_channels=8, dropout=0.2)
    whole = gk.fit(model, task, seed=1, epochs=12, lr=0.02, patience=6, splits="all", out=tmp_path / "python")
    assert isinstance(whole, FoldedRun) and whole.numbers == [0, 1, 2] and whole.model is model
    lines = [line for line in records(tmp_path / "run") if line["split"] == "test"]
    assert [run.test for run in whole.folds] == [line["metrics"] for line in lines]
    values = [line["metrics"]["accuracy"] for line in lines]
    assert whole.test["accuracy"] == pytest.approx(statistics.fmean(values))
    assert whole.std["accuracy"] == pytest.approx(statistics.stdev(values))
    best = max(range(3), key=lambda fold: whole.folds[fold].valid["accuracy"])
    assert gk.evaluate(model, task.at_fold(best), "test") == whole.folds[best].test
    loaded = gk.load_model(tmp_path / "python")
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))
    again = gk.fit(
        model, task, seed=1, epochs=12, lr=0.02, patience=6, splits="all", out=tmp_path / "python", resume=True
    )
    assert again.test == whole.test and again.std == whole.std
    weights, metadata = read_tensors(path := RunDirectory(tmp_path / "python", best).best(1))
    write_tensors(path, dict(list(weights.items())[1:]), metadata)
    with pytest.raises(UserError, match="does not hold the weights of the GCN that it describes"):
        gk.load_model(tmp_path / "python", fold=best)


class CrashIn(SilentReporter):
    """Raises in the place of a crash, in a training of a given number and epoch."""

    begun = 0

    def __init__(self, training, epoch):
        self.training, self.last = training, epoch

    def begin(self, model, device, seed, epochs, state):
        CrashIn.begun += 1

    def epoch(self, state, select, improved):
        if (CrashIn.begun, state.epoch) == (self.training, self.last):
            raise RuntimeError("crash")


@pytest.mark.parametrize("training", [1, 2, 5])
def test_a_crash_between_and_within_splits_leaves_no_trace(nodes, tmp_path, training):
    config = load_config(nodes())
    run_experiment(config, tmp_path / "whole", reporter=SilentReporter)
    CrashIn.begun = 0
    with pytest.raises(RuntimeError, match="crash"):
        run_experiment(config, tmp_path / "broken", reporter=lambda: CrashIn(training, 5))
    assert len(records(tmp_path / "broken")) == 2 * (training - 1) if training > 1 else True
    run_experiment(config, tmp_path / "broken", resume=True, reporter=SilentReporter)
    clocks = ("seconds", "peak_mib", "time", "commit")
    one, two = (
        [{k: v for k, v in line.items() if k not in clocks} for line in records(tmp_path / n)]
        for n in ("whole", "broken")
    )
    assert one == two
    for seed, fold in TRAININGS:
        a, b = (load_file(RunDirectory(tmp_path / name, fold).best(seed)) for name in ("whole", "broken"))
        assert all(torch.equal(a[key], b[key]) for key in a)
    epochs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("whole", "broken")
    ]
    keys = [sorted((e["seed"], e["fold"], e["epoch"]) for e in log if e["event"] == "epoch") for log in epochs]
    assert keys[0] == keys[1] and len(set(keys[0])) == len(keys[0])


def test_more_seeds_and_splits_of_a_run(nodes, tmp_path):
    path, out = nodes(splits=[1], seeds=[0]), tmp_path / "run"
    run_experiment(load_config(path), out, reporter=SilentReporter)
    before = records(out)
    assert "n = 1" in (out / "report.md").read_text()
    run_experiment(load_config(path, ["--splits", "0-1", "--seeds", "0-1"]), out, resume=True, reporter=SilentReporter)
    run_experiment(load_config(path, ["--splits", "all", "--seeds", "0-1"]), out, resume=True, reporter=SilentReporter)
    assert records(out)[:2] == before and RunDirectory(out).trainings() == TRAININGS
    with pytest.raises(UserError, match=r"(?s)another configuration.*splits: \"all\" -> \[0\]"):
        run_experiment(load_config(path, ["--splits", "0", "--seeds", "0-1"]), out, resume=True)
    with pytest.raises(UserError, match=r"train.lr: 0.02 -> 0.5"):
        run_experiment(load_config(path, ["--splits", "all", "--train.lr", "0.5"]), out, resume=True)


def test_an_unfinished_run_says_so(nodes, tmp_path):
    config = load_config(nodes())
    CrashIn.begun = 0
    with pytest.raises(RuntimeError, match="crash"):
        run_experiment(config, tmp_path / "run", reporter=lambda: CrashIn(6, 2))
    from graphkit.engine.report import write_report

    write_report(tmp_path / "run")
    text = (tmp_path / "run" / "report.md").read_text()
    assert "Unfinished: 5 of 6 trainings, one a seed and split, have a result." in text and "n = 5 of 6" in text


def test_one_fold_by_its_number(nodes, tmp_path):
    config = load_config(nodes(splits=None, seeds=[0]), ["--data.fold", "2"])
    assert config.splits is None and "splits" not in config.to_dict()
    run_experiment(config, tmp_path / "run", reporter=SilentReporter)
    assert [line["fold"] for line in records(tmp_path / "run")] == [2, 2]
    assert next(evaluate_run(tmp_path / "run"))["fold"] == 2


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"splits": "al"}, "splits is 'al', expected all, or numbers of splits"),
        ({"splits": [0, 0]}, r"splits is \[0, 0\], expected all, or numbers of splits such as .*, each once"),
        ({"splits": 1.5}, "splits is 1.5, expected all"),
    ],
)
def test_mistakes_in_splits_are_named_before_the_data_are_read(nodes, sections, message):
    with pytest.raises(UserError, match=message):
        load_config(nodes(**sections))


def test_mistakes_in_splits_that_the_data_show(nodes, tmp_path):
    path = nodes(splits=[0, 3])
    with pytest.raises(UserError, match=r"splits names 3; tiny-nodes has the splits 0 \.\. 2, or say 'all'"):
        run_experiment(load_config(path), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=r"splits is \[0, 3\], but data names fold 1; leave one of the two out"):
        load_config(path, ["--data.fold", "1"])
    with pytest.raises(UserError, match=r"protocol.ties is 'mean', but tiny-nodes has no ranks"):
        run_experiment(load_config(path, ["--splits", "0", "--protocol.ties", "mean"]), tmp_path / "run")
    with pytest.raises(UserError, match="unknown option of loader 'num_negatives'"):
        load_config(path, ["--loader.num_negatives", "3"])

    class OneSplit:
        name, fold = "umls", None

    with pytest.raises(UserError, match="splits is 'all', but umls has one split only; leave it out"):
        folds_of(OneSplit(), "all")


def test_a_model_of_ones_own_starts_each_split_as_it_was(nodes, tmp_path):
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = MLP(6, 4, 2)

        def loss(self, batch):
            return self.inner.loss(batch)

        def score_nodes(self, data, nodes):
            return self.inner.score_nodes(data, nodes)

    nodes()
    task = gk.load(str(tmp_path / "nodes.yaml"), root=tmp_path / "data", task="node")
    torch.manual_seed(0)
    model = Own()
    first = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    whole = gk.fit(model, task, splits=[0, 2], epochs=3)
    model.load_state_dict(first)
    alone = gk.fit(model, task.at_fold(2), epochs=3)
    assert alone.test == whole.folds[1].test and alone.history[0]["loss"] == whole.folds[1].history[0]["loss"]


def test_mini_batches_train_as_well(nodes, tmp_path):
    runs = run_experiment(
        load_config(nodes(seeds=[0], loader={"batch_size": 5})), tmp_path / "run", reporter=SilentReporter
    )
    assert runs[0].steps == 3 * len(runs[0].history)
