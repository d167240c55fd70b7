"""Experiments are run again and compared with the committed results: what is chosen, what agrees, what goes on."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from graphkit.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from experiments import reproduce  # noqa: E402
from experiments.committed import committed  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent / "engine"))
SAME = {"device": "cpu (x)", "threads": 1, "versions": {"torch": "2"}, "select": "mrr", "steps": 5}


def lines(values, name, seconds=60.0, **fields):
    return [
        {
            "experiment": name,
            "seed": k,
            "split": "test",
            "seconds": seconds,
            **SAME,
            **fields,
            "metrics": {"mrr": value},
        }
        for k, value in enumerate(values)
    ]


def write(path, found):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in found))


@pytest.fixture
def checkout(tmp_path):
    """Three experiments with results: cheap, dear, by two processes; and one without."""
    for name in ("a/cheap", "a/dear", "b/shared", "b/waiting"):
        path = tmp_path / "experiments" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"name: {name}\ndata: {{name: toy}}\nseeds: [0, 1]\n")
    results = tmp_path / "experiments" / "results"
    write(results / "cheap.jsonl", lines([0.4, 0.6], "a/cheap"))
    write(results / "dear.jsonl", lines([0.4, 0.6], "a/dear", seconds=600.0, threads=2))
    write(results / "shared.jsonl", lines([0.5], "b/shared", processes=2))
    return tmp_path


def stub(values, calls=None, **fields):
    """A runner that writes given figures."""

    def run(name, experiment, out):
        if calls is not None:
            calls.append(name)
        write(out / "results.jsonl", lines(values, name, **fields))
        return ""

    return run


def test_the_cheapest_are_chosen_by_what_they_took(checkout):
    found = committed(checkout)
    # two minutes of training and ten seconds to start; 2 x 600 s on two threads
    assert reproduce.cost(found["a/cheap"]) == 130 and reproduce.cost(found["a/dear"]) == 2410
    assert reproduce.chosen(found, 30, []) == (
        ["a/cheap"],
        {"a/dear": "took 40 min 10 s", "b/shared": "was run by several processes"},
    )
    assert reproduce.chosen(found, 43, ["a/*"]) == (["a/cheap", "a/dear"], {})
    assert reproduce.chosen(found, 2, ["a/cheap"])[0] == []
    with pytest.raises(UserError, match=r"--only: .*'a/chaep'; did you mean 'a/cheap'"):
        reproduce.chosen(found, 30, ["a/chaep"])


@pytest.mark.parametrize(
    ("values", "verdict", "status"),
    [
        ([0.4, 0.6], "exact", 0),
        # deviation 0.141, two standard errors 0.2 around 0.5
        ([0.5, 0.8], "within error", 0),
        ([0.7, 0.75], "differs", 1),
    ],
)
def test_means_are_compared_by_two_standard_errors(checkout, capsys, values, verdict, status):
    out = str(checkout / "runs")
    assert reproduce.main(["--root", str(checkout), "--out", out], stub(values)) == status
    shown = capsys.readouterr().out
    assert (
        f"| {verdict} |" in shown
        and "0.5000 ± 0.1414 (n=2)" in shown
        and "left out: a/dear (took 40 min 10 s)" in shown
    )


def test_what_is_finished_is_not_run_again_and_what_is_not_is(checkout):
    calls, words = [], ["--root", str(checkout), "--out", str(checkout / "runs"), "--only", "a/cheap"]
    assert reproduce.main(words, stub([0.4], calls)) == 1  # one of two seeds
    assert reproduce.main(words, stub([0.4, 0.6], calls)) == 0
    assert reproduce.main(words, stub([0.9, 0.9], calls)) == 0
    assert calls == ["a/cheap", "a/cheap"]


def test_a_run_that_fails_is_shown(checkout, capsys):
    words = ["--root", str(checkout), "--out", str(checkout / "runs")]
    assert reproduce.main(words, lambda *_: "exit status 1: no data") == 1
    assert "| failed: exit status 1: no data |" in capsys.readouterr().out


def test_one_training_has_to_be_equal_where_it_can_be(checkout):
    results = checkout / "experiments" / "results" / "cheap.jsonl"

    def judged(value, then=None, **here):
        write(results, lines([0.5], "a/cheap", **(then or {})))
        experiment = committed(checkout)["a/cheap"]
        return reproduce.compare("a/cheap", experiment, lines([value], "a/cheap", **{**(then or {}), **here}))[
            0
        ].verdict

    assert judged(0.5) == "exact"
    assert judged(0.501) == "differs"
    assert judged(0.501, device="cpu (y)") == "no error known"
    assert judged(0.501, threads=2) == "no error known"
    untrained = {"steps": 0}
    assert judged(0.5 + 1e-8, untrained, device="cpu (y)") == "within error"
    assert judged(0.501, untrained, device="cpu (y)") == "differs"


def test_only_the_selecting_metric_and_published_ones_are_judged(checkout):
    (checkout / "experiments" / "a" / "cheap.yaml").write_text(
        "name: a/cheap\nreference: {metrics: {hits@1: '0.50'}}\nseeds: [0]\n"
    )
    before, after = lines([0.5], "a/cheap"), lines([0.5], "a/cheap")
    before[0]["metrics"] |= {"hits@1": 0.5, "hits@3": 0.5}
    after[0]["metrics"] |= {"hits@1": 0.5, "hits@3": 0.6}
    write(checkout / "experiments" / "results" / "cheap.jsonl", before)
    found = reproduce.compare("a/cheap", committed(checkout)["a/cheap"], after)
    assert [(one.metric, one.verdict) for one in found] == [("mrr", "within error"), ("hits@1", "within error")]


def test_mistakes_are_said(checkout, capsys):
    words = ["--root", str(checkout)]
    assert reproduce.main([*words, "--only", "c/*"]) == 2 and "--only: " in capsys.readouterr().err
    assert reproduce.main([*words, "--minutes", "1"]) == 2
    assert "nothing fits into 1 minutes" in capsys.readouterr().err
    assert reproduce.main([*words, "--list"]) == 0 and "| a/cheap | 2 min 10 s |" in capsys.readouterr().out


def test_the_call_names_the_committed_seeds_and_splits(checkout):
    found = [{**line, "fold": fold, "folds": 3} for line in lines([0.4, 0.6], "a/cheap") for fold in (0, 1, 2)]
    write(checkout / "experiments" / "results" / "cheap.jsonl", found)
    words = reproduce.command(committed(checkout)["a/cheap"], Path("out"))
    assert words[-6:] == ["out", "--resume", "--seeds", "0-1", "--splits", "0-2"]


def test_two_tiny_experiments_for_real(tmp_path, monkeypatch):
    from tiny_experiment import write_tiny_experiment

    from graphkit.engine.config import load_config
    from graphkit.engine.run import run_experiment

    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    monkeypatch.setattr("graphkit.engine.report.write_report", lambda folder: None)  # plots take a second each
    tiny = yaml.safe_load(write_tiny_experiment(tmp_path).read_text())
    for name, lr in (("tiny/one", 0.01), ("tiny/two", 0.02)):
        path = tmp_path / "experiments" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({**tiny, "name": name, "train": {"epochs": 1, "lr": lr}}))
        run_experiment(load_config(str(path), []), tmp_path / "first" / name)
        recorded = (tmp_path / "first" / name / "results.jsonl").read_text()
        write(tmp_path / "experiments" / "results" / f"{path.stem}.jsonl", map(json.loads, recorded.splitlines()))

    def again(name, experiment, out):
        run_experiment(load_config(str(experiment.path), []), out, resume=True)
        return ""

    found = committed(tmp_path)
    compared, _ = reproduce.reproduce(found, list(found), tmp_path / "runs", runner=again, told=lambda text: None)
    assert [(one.experiment, one.verdict) for one in compared] == [("tiny/one", "exact"), ("tiny/two", "exact")]
