"""Link prediction on a graph all the way: configuration, training, resuming, results, report, evaluating again."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file

import graphkit as gk
from graphkit.data import LinkTask
from graphkit.engine.config import load_config
from graphkit.engine.progress import SilentReporter
from graphkit.engine.run import evaluate_run, run_experiment
from graphkit.errors import UserError
from graphkit.models import NBFNet


@pytest.fixture
def link(tmp_path, monkeypatch):
    from tiny_link_experiment import write_tiny_link_experiment

    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    return write_tiny_link_experiment(tmp_path)


def test_a_run_from_its_configuration_to_its_report(link, tmp_path):
    config, out = load_config(link), tmp_path / "run"
    plain = {"num_negatives": 1, "strict": True, "drop_last": False, "keep_source": False}
    assert config.loader == {"batch_size": 8, **plain}
    assert config.data["split"] == "70/10/20" and config.model["symmetric"] is True
    runs = run_experiment(config, out, reporter=SilentReporter)
    runs_ties = {"auc": "a tie counts half", "ap": "tied scores share a threshold"}
    records = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [(r["seed"], r["split"]) for r in records] == [(0, "valid"), (0, "test"), (1, "valid"), (1, "test")]
    assert all(set(r["metrics"]) == {"auc", "ap", "count"} and r["select"] == "auc" for r in records)
    assert (
        records[1]["metrics"] == runs[0].test
        and records[1]["metrics"]["count"] == 24
        and records[1]["ties"] == runs_ties
    )
    # 42 train edges in batches of 8, twice
    assert [run.steps for run in runs] == [12, 12]
    split = json.loads((out / "environment.json").read_text())["data"]["split"]
    assert (split["shares"], split["seed"]) == ("70/10/20", 3) and len(split["test_negatives"]) == 64
    report = (out / "report.md").read_text()
    assert (
        "70/10/20 of the edges at random, seed 3" in report
        and "1 per edge, never an edge of the training split" in report
    )
    assert "| AUC |" in report and "| Ties, AUC | a tie counts half |" in report and "Candidates" not in report
    assert "| Negatives of test | 1 per edge, drawn with seed 3, pooled |" in report
    assert (out / "report.html").exists() and not (out / "seed-0" / "test_ranks.safetensors").exists()
    for found in evaluate_run(out):
        assert found["metrics"] == found["recorded"]
    model = gk.load_model(out, seed=1)
    assert isinstance(model, NBFNet) and model.symmetric
    assert load_config(out / "config.yaml") == config


def test_seeds_share_the_split_and_differ_in_training(link, tmp_path):
    config = load_config(link)
    first, second = (gk.load(**config.data) for _ in range(2))
    assert isinstance(first, LinkTask) and first.fingerprint() == second.fingerprint() and first.leak_check()
    other = gk.load(**{**config.data, "split_seed": 4})
    assert other.fingerprint() != first.fingerprint()
    weights = []
    run_experiment(config, tmp_path / "run", reporter=SilentReporter)
    for seed in (0, 1):
        weights.append(load_file(tmp_path / "run" / f"seed-{seed}" / "best.safetensors")["mlp.0.weight"])
    assert not torch.equal(*weights)


def test_every_seed_may_have_a_split_of_its_own(link, tmp_path):
    own = ["--data.split_seed", "seed"]
    config, out = load_config(link, [*own, "--seeds", "5,6"]), tmp_path / "run"
    assert config.split_per_seed and config.data_for(6)["split_seed"] == 6
    run_experiment(config, out, reporter=SilentReporter)
    records = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    for record in records:
        task = gk.load(**config.data_for(record["seed"]))
        assert record["split_drawn"] == task.provenance["split"] and record["split_drawn"]["seed"] == record["seed"]
    assert records[0]["split_drawn"]["test"] != records[-1]["split_drawn"]["test"]
    assert "70/10/20 of the edges at random, anew with the seed of each run" in (out / "report.md").read_text()
    # each seed is evaluated again on the split it was trained for
    for found in evaluate_run(out):
        assert found["metrics"] == found["recorded"]
    assert load_config(out / "config.yaml") == config
    # a seed alone gives what it gives among others
    run_experiment(load_config(link, [*own, "--seeds", "6"]), tmp_path / "alone", reporter=SilentReporter)
    alone = [json.loads(line) for line in (tmp_path / "alone" / "results.jsonl").read_text().splitlines()]
    assert [line["metrics"] for line in alone] == [line["metrics"] for line in records if line["seed"] == 6]
    with pytest.raises(UserError, match="split_seed is 'seed', which means the seed of a run"):
        gk.load(**config.data)


class Dies(SilentReporter):
    """Fails in a given step, as a full disk or a pulled plug would."""

    def step(self, state, total):
        if state.steps == 9:
            raise RuntimeError("pulled plug")


def test_a_run_goes_on_where_it_died_bit_for_bit(link, tmp_path):
    config = load_config(link, ["--seeds", "0", "--train.checkpoint_every", "0"])
    run_experiment(config, tmp_path / "whole", reporter=SilentReporter)
    with pytest.raises(RuntimeError, match="pulled plug"):
        run_experiment(config, tmp_path / "died", reporter=Dies)
    run_experiment(config, tmp_path / "died", resume=True, reporter=SilentReporter)
    whole, died = (load_file(tmp_path / name / "seed-0" / "best.safetensors") for name in ("whole", "died"))
    assert all(torch.equal(whole[name], died[name]) for name in whole)
    metrics = [
        [json.loads(line)["metrics"] for line in (tmp_path / name / "results.jsonl").read_text().splitlines()]
        for name in ("whole", "died")
    ]
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--data.task=null", "data.task: tiny-graph is a graph and says nothing of what to predict; pass task='link'"),
        ("--data.task=links", "--data.task: tiny-graph does not serve the task 'links'"),
        ("--data.splt=80/10/10", "unknown option of data 'splt'; did you mean 'split'"),
        ("--loader.ties=mean", "unknown option of loader 'ties'"),
        ("--data.split_seed=sed", "--data.split_seed is 'sed', expected a whole number or 'seed' or null"),
        ("--data.protocl=ncn", "unknown option of data 'protocl'; did you mean 'protocol'"),
    ],
)
def test_mistakes_in_the_configuration(link, override, message):
    with pytest.raises(UserError) as caught:
        load_config(link, [override])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--data.split=85/5", "split is '85/5', expected the whole percentages of train, valid and test"),
        ("--protocol.ties=mean", "tiny-graph has no ranks"),
        (
            "--model.symmetric=false",
            "tiny-graph is an undirected graph without relations; NBFNet serves it with symmetric=True",
        ),
        ("--protocol.select=mrr", "mrr"),
        ("--data.protocol=nnc", "unknown protocol of link prediction 'nnc'; did you mean 'ncn'"),
        ("--data.protocol=ncn", "tiny-graph, valid: hits@100 needs at least 100 negatives, there are 12"),
    ],
)
def test_mistakes_that_show_with_the_data(link, tmp_path, override, message):
    with pytest.raises(UserError) as caught:
        run_experiment(load_config(link, [override, "--seeds", "0"]), tmp_path / "run", reporter=SilentReporter)
    assert message in str(caught.value)


@pytest.mark.data
@pytest.mark.parametrize("name", ["cora", "citeseer"])
def test_two_steps_of_the_shipped_experiments(name, tmp_path, monkeypatch):
    from graphkit.datasets import where

    if not os.environ.get("GRAPHKIT_DATA") or any(place.path is None for place in where(name)):
        pytest.skip(f"{name} is not in GRAPHKIT_DATA")
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    config = load_config(f"nbfnet/{name}", ["--seeds", "0", "--train.max_steps", "2"])
    (run,) = run_experiment(config, tmp_path / "run", reporter=SilentReporter)
    assert run.steps == 2 and run.model.num_parameters() == 84_897
    assert 0.4 < run.test["auc"] < 1 and run.test["count"] == 2 * gk.load(name, task="link").test.size(1)
