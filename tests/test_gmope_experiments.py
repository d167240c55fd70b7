"""The leave-one-domain-out experiment and its claims: it resumes, draws are shared, tests are paired."""

import importlib.util
import json
import math
from pathlib import Path

import mixture_graphs
import pytest

from graphkit.engine.config import load_config
from graphkit.engine.run import run_experiment

ROOT = Path(__file__).resolve().parents[1]


def load_script(name):
    specification = importlib.util.spec_from_file_location(name, ROOT / "experiments" / "gmope" / f"{name}.py")
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    return script


leave_one_out, claims = load_script("leave_one_out"), load_script("claims")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(leave_one_out, "PRETRAIN", {"objective": "edge_pred", "epochs": 2})
    monkeypatch.setattr(leave_one_out, "TUNE", {"epochs": 2, "lr": 0.01})
    monkeypatch.setattr(leave_one_out, "HIDDEN", 8)
    monkeypatch.setattr(leave_one_out, "WIDTH", 10)
    tasks = {name: mixture_graphs.planted(seed=s, channels=9 + s, name=name) for s, name in enumerate(("a", "b", "c"))}
    record = tmp_path / "record.jsonl"
    options = [
        "--targets",
        "a",
        "--k",
        "2",
        "--draws",
        "2",
        "--seeds",
        "1",
        "--work",
        str(tmp_path / "work"),
        "--record",
        str(record),
    ]
    return tasks, options, record


def test_every_method_takes_two_steps_and_a_second_call_runs_nothing(small, tmp_path):
    tasks, options, record = small
    assert leave_one_out.main(options, tasks) == 0
    rows = lines(record)
    assert len(rows) == 2 * len(leave_one_out.METHODS) and all(row.get("error") is None for row in rows)
    assert {row["method"] for row in rows} == set(leave_one_out.METHODS)
    assert all(row["sources"] == ["b", "c"] and row["steps"] == 2 for row in rows)
    mixture, single = (next(r for r in rows if r["method"] == method)["parameters"] for method in ("prompt", "single"))
    assert abs(mixture - single) < 0.1 * mixture
    before = record.read_text()
    leave_one_out.main(options, tasks)
    assert record.read_text() == before
    page = tmp_path / "page.md"
    page.write_text(f"x\n{claims.BEGIN}\n{claims.END}\ny\n")
    assert claims.main(["--check"], record, page) == 1
    assert claims.main([], record, page) == 0 and claims.main(["--check"], record, page) == 0
    assert "| prompts alone compare with full tuning, k = 2 | paper |" in page.read_text()


def row(method, accuracy, target="a", draw=0, seed=0, k=5):
    return {
        "method": method, "accuracy": accuracy, "target": target, "draw": draw, "seed": seed, "k": k, "variant": "mixture",
        "effective_experts": 3.0, "trainable": 1, "parameters": 200, "steps": 10, "seconds": 1.0 if method == "prompt" else 4.0,
    }  # fmt: skip


def test_differences_are_paired_and_seeds_are_averaged_first():
    rows = [row("full", 0.6, seed=0), row("prompt", 0.5, seed=0), row("full", 0.7, seed=1), row("prompt", 0.4, seed=1)]
    rows += [row("full", 0.9, draw=1), row("prompt", None, draw=1), row("full", 0.9, draw=2)]
    found = claims.differences(rows, "full", "prompt", 5)
    assert list(found) == ["a"] and found["a"] == [pytest.approx(20.0)]
    assert claims.differences(rows, "full", "prompt", 100) == {}


def test_the_test_of_one_target_is_scipys_and_targets_weigh_the_same():
    from scipy import stats

    values = [1.0, 2.5, -0.5, 3.0, 0.2]
    found = claims.compared({"a": values})
    expected = stats.ttest_1samp(values, 0.0)
    assert found["mean"] == pytest.approx(1.24) and found["p"] == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert (found["low"], found["high"]) == (pytest.approx(low), pytest.approx(high))
    both = claims.compared({"a": [1.0, 1.0, 1.0, 1.0], "b": [3.0, 5.0]})
    assert both["mean"] == 2.5 and both["better"] == 2 and both["n"] == 6
    assert both["high"] - both["mean"] == pytest.approx(stats.t.ppf(0.975, 4) * math.sqrt(2 / 2) / 2)
    assert claims.compared({}) is None and claims.compared({"a": [1.0]}) is None


def test_verdicts_follow_the_pass_marks():
    rows = []
    for draw in range(4):
        wiggle = 0.001 * draw
        rows += [
            row("prompt", 0.60 + wiggle, draw=draw),
            row("full", 0.605 + wiggle / 2, draw=draw),
            row("single", 0.59, draw=draw),
        ]
        rows += [row("uniform", 0.61, draw=draw), row("scratch-gcn", 0.7, draw=draw)]
    found = {line[0]: line for line in claims.claims(rows)}
    assert found["prompts alone compare with full tuning, k = 5"][-1] == "pass"
    assert found["the mixture beats one expert of equal size"][-1] == "pass"
    assert found["confidence is worth as much as equal weights"][-1] == "fail"
    assert found["prompt tuning against scratch-gcn, k = 5"][-1] == "report"
    assert found["prompt tuning against scratch-gcn, k = 100"][-1] == "not run"
    assert found["orthogonality balances the load"][-1] == "not run"
    assert found["prompts are a small part of all parameters"][-1] == "pass"
    assert found["a step of prompt tuning is cheap"][-2:] == ["4", "pass"]
    assert len(claims.accuracies(rows)) == 5


def test_the_table_of_the_page_is_up_to_date():
    assert claims.main(["--check"]) == 0


def test_the_shipped_experiment_runs_two_steps(monkeypatch, tmp_path):
    from graphkit.engine.progress import SilentReporter

    config = load_config("gmope/cora")
    assert config.name == "gmope/cora" and config.model["name"] == "GMoPE"
    monkeypatch.setattr("graphkit.engine.run.load", lambda **_: mixture_graphs.planted())
    config.train.update(epochs=2, max_steps=2)
    config.seeds[:] = [0]
    (run,) = run_experiment(config, tmp_path / "run", reporter=SilentReporter)
    assert run.steps == 2 and run.test["count"] == 30
