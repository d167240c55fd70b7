"""One page over all runs below a folder."""

import json
from pathlib import Path

import pytest

from graphkit.cli import main
from graphkit.engine.report_all import find_runs, render_all
from graphkit.errors import UserError


def write_run(folder, name, data, *values, paper=None, split="test"):
    folder.mkdir(parents=True)
    reference = "" if paper is None else f"reference: {{paper: Nobody, metrics: {{mrr: '{paper}'}}}}\n"
    (folder / "config.yaml").write_text(f"name: {name}\n{reference}data: {{name: {data}}}\nprotocol: {{select: mrr}}\n")
    (folder / "environment.json").write_text("{}")
    if values:
        lines = [
            {"experiment": name, "seed": k, "split": split, "metrics": {"hits@1": 0.1, "mrr": value}, "select": "mrr"}
            for k, value in enumerate(values)
        ]
        (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def runs(tmp_path):
    top = tmp_path / "runs"
    write_run(top / "m" / "one", "m/one", "umls", 0.4, 0.6, paper="0.50")
    write_run(top / "n" / "two", "n/two", "umls", 0.3)
    write_run(top / "m" / "other", "m/other", "toy", 0.2, paper="0.30")
    write_run(top / "m" / "begun", "m/begun", "toy")
    write_run(top / "n" / "valid", "n/valid", "toy", 0.3, split="valid")
    write_run(top / ".hidden" / "x", "x", "toy", 0.1)
    write_run(top / "m" / "one" / "seed-0" / "inner", "inner", "toy", 0.1)
    (write_run(top / "n" / "broken", "n/broken", "toy") / "results.jsonl").write_text("{\n")
    return top


def test_runs_are_found_below_a_folder_but_not_inside_a_run(runs):
    names = [run.relative_to(runs).as_posix() for run in find_runs([runs, runs / "m"])]
    assert names == ["m/begun", "m/one", "m/other", "n/broken", "n/two", "n/valid"]
    with pytest.raises(UserError, match="nowhere is not a folder"):
        find_runs("nowhere")


def test_the_page_groups_by_data_set_and_leads_with_verdicts(runs):
    text = render_all(runs)
    assert text.startswith("# 3 runs on 2 data sets\n")
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == ["Overview", "toy", "umls", "Not shown"]
    parts = dict(zip(titles, text.split("\n## ")[1:], strict=True))
    overview = [line for line in parts["Overview"].splitlines() if line.startswith("| ")][2:]
    # the selecting metric, though Hits@1 stands first in the results
    assert overview == [
        "| toy | m/other | MRR | 0.30 | 0.200 (n=1) | \u22120.100 | below |",
        "| umls | m/one | MRR | 0.50 | 0.500 ± 0.141 (n=2) | 0.000 | matches |",
        "| umls | n/two | MRR | \u2013 | 0.300 (n=1) | \u2013 | no reference |",
    ]
    assert "1 below, 1 matches, 1 no reference." in parts["Overview"]
    assert "m/one" in parts["umls"] and "Hits@1" in parts["umls"] and "m/other" not in parts["umls"]
    assert "m/begun has no results.jsonl: no seed has finished" in parts["Not shown"]
    assert "line 1: not JSON" in parts["Not shown"] and "n/valid | no result on the test split" in parts["Not shown"]


def test_html_escapes_and_stands_alone(runs):
    write_run(runs / "z", "z/<b>", "<i>", 0.5)
    text = render_all(runs, "html")
    assert text.startswith("<!DOCTYPE html>") and "<script" not in text and "z/<b>" not in text
    assert '<section id="umls">' in text and '<span class="badge matches">matches</span>' in text


def test_rows_of_all_splits_as_json_and_csv(runs):
    rows = json.loads(render_all(runs, "json"))
    assert {(row["experiment"], row["split"]) for row in rows} == {
        ("m/one", "test"), ("m/other", "test"), ("n/two", "test"), ("n/valid", "valid")
    }  # fmt: skip
    assert render_all(runs, "csv").count("\n") == 1 + len(rows)


def test_two_runs_of_one_name_are_told_apart(runs):
    write_run(runs / "again", "m/one", "umls", 0.5)
    assert f"m/one ({(runs / 'again').as_posix()})" in render_all(runs)


def test_mistakes_are_said(runs, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="unknown format 'ogb'"):
        render_all(runs, "ogb")
    with pytest.raises(UserError, match=r"no run with a result below .*begun; .*no seed has finished"):
        render_all(runs / "m" / "begun")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no run with a result below .*empty$"):
        render_all(tmp_path / "empty")


def test_the_command(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs.parent)
    assert main(["report", "--all"]) == 0
    assert "# 3 runs on 2 data sets" in capsys.readouterr().out
    assert main(["report", "--all", "runs/n", "runs/m", "--format", "html", "--out", "all.html"]) == 0
    assert "umls" in Path("all.html").read_text("utf-8")
    assert main(["report", "--all", "--format", "ogb"]) != 0
    assert "--all has no form for OGB" in capsys.readouterr().err
    assert main(["report"]) != 0
    assert "name a run directory, or pass --all" in capsys.readouterr().err
