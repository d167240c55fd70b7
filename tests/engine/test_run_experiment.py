import json

import pytest
import torch
import yaml
from safetensors.torch import load_file

from graphkit.engine.config import load_config
from graphkit.engine.evaluate import load_model
from graphkit.engine.progress import SilentReporter
from graphkit.engine.run import evaluate_run, run_experiment
from graphkit.errors import UserError


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


def test_a_run_leaves_everything_a_reader_needs(tiny, out):
    config = load_config(tiny)
    runs = run_experiment(config, out)
    assert [run.seed for run in runs] == [0, 1]
    assert load_config(out / "config.yaml") == config
    records = lines(out / "results.jsonl")
    assert [(r["experiment"], r["seed"], r["split"]) for r in records] == [
        ("tiny/nbfnet", seed, split) for seed in (0, 1) for split in ("valid", "test")
    ]  # fmt: skip
    expected = {
        "experiment", "data", "model", "seed", "split", "metrics", "epoch", "parameters", "seconds", "steps", "peak_mib", "device",
        "threads", "processes", "commit", "versions", "select", "ties", "time",
    }  # fmt: skip
    assert set(records[0]) == expected
    assert 50 < records[0]["peak_mib"] <= records[-1]["peak_mib"]
    assert records[1]["metrics"] == runs[0].test and records[0]["ties"] == "pessimistic"
    ranks = load_file(out / "seed-0" / "test_ranks.safetensors")
    pooled = torch.cat([ranks["tail"], ranks["head"]]).double()
    assert (1 / pooled).mean().item() == pytest.approx(runs[0].test["mrr"], abs=1e-12)
    environment = json.loads((out / "environment.json").read_text())
    assert environment["data"]["files"]["train.txt"]["sha256"] and environment["backends"]["relational_spmm"]
    assert (out / "report.html").exists() and (out / "report.md").exists()


def test_seeds_differ_in_their_initial_weights_and_not_in_their_order(tiny, out, tmp_path):
    run_experiment(load_config(tiny), out)
    run_experiment(load_config(tiny, ["--seeds", "1,0"]), tmp_path / "other")
    for seed in (0, 1):
        a, b = (load_file(run / f"seed-{seed}" / "best.safetensors") for run in (out, tmp_path / "other"))
        assert all(torch.equal(a[name], b[name]) for name in a)
    first, second = (load_file(out / f"seed-{seed}" / "best.safetensors") for seed in (0, 1))
    assert not torch.equal(first["query.weight"], second["query.weight"])


def test_a_used_directory_needs_resume_and_the_same_configuration(tiny, out):
    run_experiment(load_config(tiny), out)
    with pytest.raises(UserError, match=r"already holds a run; go on with it with --resume, or choose another --out"):
        run_experiment(load_config(tiny), out)
    with pytest.raises(UserError) as caught:
        run_experiment(load_config(tiny, ["--train.lr", "0.5", "--seeds", "1-2"]), out, resume=True)
    assert str(caught.value).splitlines()[1:] == ["  train.lr: 0.01 -> 0.5", "  seeds: [0, 1] -> [1, 2]"]
    with pytest.raises(UserError, match="another configuration"):
        run_experiment(load_config(tiny, ["--train.lr", "0.5", "--seeds", "0-2"]), out, resume=True)


def test_further_seeds_can_be_added(tiny, out):
    first = run_experiment(load_config(tiny), out)
    more = run_experiment(load_config(tiny, ["--seeds", "0-2"]), out, resume=True)
    assert [run.test for run in more[:2]] == [run.test for run in first]
    assert sorted({line["seed"] for line in lines(out / "results.jsonl")}) == [0, 1, 2]
    with pytest.raises(UserError, match=r"seeds: .* -> "):  # the longer configuration is the run's from now on
        run_experiment(load_config(tiny), out, resume=True)


def test_resume_of_a_finished_run_trains_nothing(tiny, out):
    first = run_experiment(load_config(tiny), out)

    class Refuses(SilentReporter):
        def step(self, state, total):
            pytest.fail("trained again")

    again = run_experiment(load_config(tiny), out, resume=True, reporter=Refuses)
    assert [run.test for run in again] == [run.test for run in first]
    assert len(lines(out / "results.jsonl")) == 4


def test_resume_goes_on_in_the_seed_under_way(tiny, out, tmp_path):
    class Stops(SilentReporter):
        seed = None

        def begin(self, model, device, seed, epochs, state):
            Stops.seed = seed

        def step(self, state, total):
            if Stops.seed == 1 and state.steps == 7:
                raise RuntimeError("crash")

    config = load_config(tiny)
    with pytest.raises(RuntimeError):
        run_experiment(config, out, reporter=Stops)
    assert {line["seed"] for line in lines(out / "results.jsonl")} == {0}
    resumed, whole = run_experiment(config, out, resume=True), run_experiment(config, tmp_path / "whole")
    assert [run.test for run in resumed] == [run.test for run in whole]
    for seed in (0, 1):
        a, b = (load_file(run / f"seed-{seed}" / "checkpoint.safetensors") for run in (out, tmp_path / "whole"))
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_resume_of_nothing_begins_and_of_something_else_is_refused(tiny, out, tmp_path):
    out.mkdir()
    (out / ".config.yaml.abc.part").write_text("half writ")  # a kill while the very first file was written
    assert len(run_experiment(load_config(tiny), out, resume=True)) == 2
    assert not list(out.glob(".*.part"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match=r"has content but no config\.yaml"):
        run_experiment(load_config(tiny), tmp_path / "mine", resume=True)


def test_a_mistake_leaves_no_directory_behind(tiny, out):
    for word in ("--model.message=distmul", "--data.root=/nowhere"):
        with pytest.raises(UserError):
            run_experiment(load_config(tiny, [word]), out)
    assert not out.exists()


def test_a_run_that_goes_on_elsewhere_says_so(tiny, out, monkeypatch):
    run_experiment(load_config(tiny, ["--seeds", "0"]), out)
    before = (out / "environment.json").read_text()
    monkeypatch.setenv("GRAPHKIT_SOMETHING", "1")
    run_experiment(load_config(tiny, ["--seeds", "0"]), out, resume=True)
    assert (out / "environment.json").read_text() == before
    changed = [line for line in lines(out / "log.jsonl") if line["event"] == "environment"]
    assert changed[0]["now"]["variables"]["GRAPHKIT_SOMETHING"] == "1"


def test_evaluate_run_agrees_with_the_record_and_writes_nothing(tiny, out):
    runs = run_experiment(load_config(tiny), out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    found = list(evaluate_run(out, "test"))
    assert [f["metrics"] for f in found] == [run.test for run in runs] == [f["recorded"] for f in found]
    assert next(evaluate_run(out, "train", seed=1))["recorded"] is None
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    with pytest.raises(UserError, match="has no seed 5; it has 0, 1"):
        next(evaluate_run(out, seed=5))
    with pytest.raises(UserError, match="did you mean 'test'"):
        next(evaluate_run(out, "tset"))


def test_evaluate_run_follows_the_recorded_tie_rule(tiny, out):
    run = run_experiment(load_config(tiny, ["--protocol.ties", "optimistic", "--seeds", "3"]), out)[0]
    assert lines(out / "results.jsonl")[0]["ties"] == "optimistic"
    assert next(evaluate_run(out))["metrics"] == run.test


def test_load_model_takes_the_best_seed_on_validation(tiny, out):
    runs = run_experiment(load_config(tiny, ["--seeds", "0-3"]), out)
    scores = [run.valid["mrr"] for run in runs]
    best = scores.index(max(scores))
    model = load_model(out)
    assert not model.training
    for name, tensor in load_file(out / f"seed-{best}" / "best.safetensors").items():
        assert torch.equal(model.state_dict()[name], tensor)
    assert load_model(out, seed=2).config == model.config
    with pytest.raises(UserError, match="has no seed 9; it has 0, 1, 2, 3"):
        load_model(out, seed=9)
    with pytest.raises(UserError, match="holds no trained model"):
        load_model(out / "seed-0")


def test_load_model_of_a_model_that_graphkit_does_not_have(tmp_path, task):
    from toy import toy_model

    from graphkit.engine.fit import fit

    fit(toy_model(), task, epochs=1, out=tmp_path)
    with pytest.raises(UserError, match=r"holds a ToyModel, which is not one of graphkit's models; build it yourself"):
        load_model(tmp_path)


def test_evaluate_run_without_a_configuration(tmp_path, task):
    from toy import toy_model

    from graphkit.engine.fit import fit

    fit(toy_model(), task, epochs=1, out=tmp_path)
    with pytest.raises(UserError, match=r"has no config\.yaml, so its data are unknown"):
        next(evaluate_run(tmp_path))


def test_report_after_a_published_figure(tiny, out):
    run_experiment(load_config(tiny), out)
    assert "0.50" in (out / "report.md").read_text()
    assert yaml.safe_load((out / "config.yaml").read_text())["reference"]["metrics"] == {"mrr": "0.50"}


def test_a_metric_that_cannot_select_is_refused_before_anything_is_written(tiny, out):
    with pytest.raises(UserError, match=r"unknown metric to select epochs by 'mmr'; did you mean 'mrr'"):
        run_experiment(load_config(tiny, ["--protocol.select", "mmr"]), out)
    assert not out.exists()
