"""Explained triples: computed once, recorded, read back, told in the report."""

import json

import pytest
import torch
from test_report import Page

from graphkit.data import KnowledgeGraphTask
from graphkit.engine.config import load_config
from graphkit.engine.evaluate import load_model
from graphkit.engine.explanation_blocks import explanation_blocks, explanations_blocks
from graphkit.engine.explanations import explained, read_explanations, record_explanations, step_text
from graphkit.engine.fit import fit
from graphkit.engine.recorded import recorded_run, recorded_task
from graphkit.engine.report import write_report
from graphkit.engine.run import run_experiment
from graphkit.engine.run_directory import RunDirectory
from graphkit.errors import UserError
from graphkit.models import NBFNet

FACTS = [("a", "r", "b"), ("b", "s", "c"), ("c", "r", "d"), ("a", "s", "d"), ("d", "r", "e")]


@pytest.fixture
def toy():
    task = KnowledgeGraphTask.from_names("toy", FACTS, [("a", "r", "e")], [("b", "r", "d"), ("a", "r", "c")])
    torch.manual_seed(0)
    return NBFNet.for_task(task, hidden_channels=6, num_layers=3), task


def test_an_explained_triple_holds_what_model_and_evaluation_say(toy):
    model, task = toy
    entry = explained(model, task, "a", "r", "c", 3)
    assert entry["triple"] == ["a", "r", "c"] and entry["exclude_triple"] is True
    wanted = model.explain(task, "a", "r", "c", 3)
    assert [([tuple(e) for e in p["edges"]], p["weight"]) for p in entry["paths"]] == wanted and wanted
    ranks = task.evaluate(model, "test", return_ranks=True)["ranks"]
    assert entry["rank"] == ranks["tail"][1]
    assert explained(model, task, "d", "r^-1", "b")["rank"] == ranks["head"][0]
    assert json.loads(json.dumps(entry)) == entry
    # the rank of a fact that the messages flow along says nothing
    assert explained(model, task, "a", "r", "b")["rank"] is None
    assert explained(model, task, "b", "r^-1", "a")["rank"] is None


def test_a_run_records_its_explanations_once(tiny, tmp_path):
    out = tmp_path / "run"
    run_experiment(load_config(tiny, ["--model.num_layers", "2", "--seeds", "0"]), out)
    path = out / "seed-0" / "explanations.json"
    entries = read_explanations(out, [0, 1])[0]
    _, task = recorded_task(RunDirectory(out))
    model = load_model(out)
    triples = task.test.tolist()
    assert len(triples) == 4  # a third apart: 0, 1, 2
    assert entries == [explained(model, task, *triple) for triple in triples[:3]]
    assert "Explained predictions" in (out / "report.md").read_text("utf-8")
    before = path.stat().st_mtime_ns
    record_explanations(RunDirectory(out), 0, model, task)
    assert path.stat().st_mtime_ns == before
    path.unlink()  # a kill after the results and before this file
    run_experiment(load_config(out / "config.yaml"), out, resume=True)
    assert read_explanations(out, [0])[0] == entries


def test_lack_of_memory_costs_the_explanations_alone(toy, tmp_path, monkeypatch):
    model, task = toy
    monkeypatch.setattr(NBFNet, "edge_importance", lambda *a, **k: (_ for _ in ()).throw(MemoryError("full")))
    run = fit(model, task, epochs=1, out=tmp_path / "r", device="cpu")
    assert run.test["mrr"] > 0 and not (tmp_path / "r/seed-0/explanations.json").exists()
    write_report(tmp_path / "r")
    assert "Explained" not in (tmp_path / "r/report.md").read_text("utf-8")


def test_a_model_without_paths_is_left_alone(task, tmp_path):
    from toy import toy_model

    fit(toy_model(), task, epochs=1, out=tmp_path / "r", device="cpu")
    assert not list((tmp_path / "r").rglob("explanations.json"))


def test_recorded_run_takes_the_best_seed(tiny, tmp_path):
    out = tmp_path / "run"
    run_experiment(load_config(tiny), out)
    model, task, seed = recorded_run(out)
    scores = {}
    for line in map(json.loads, (out / "results.jsonl").read_text().splitlines()):
        if line["split"] == "valid":
            scores[line["seed"]] = line["metrics"]["mrr"]
    assert seed == max(scores, key=lambda one: (scores[one], -one)) and task.name == "tiny"
    other, _, one = recorded_run(out, 1)
    assert one == 1 and torch.equal(other.query.weight, load_model(out, 1).query.weight)
    assert not model.training
    with pytest.raises(UserError, match="has no seed 7"):
        recorded_run(out, 7)
    (out / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"no config\.yaml, so its data are unknown"):
        recorded_run(out)


def test_the_report_escapes_names_and_stands_alone(toy, tmp_path):
    model, task = toy
    fit(model, task, epochs=1, out=tmp_path / "r", device="cpu")
    path = tmp_path / "r/seed-0/explanations.json"
    content = json.loads(path.read_text())
    entry = content["explanations"][0]
    entry["triple"][0] = "<script>x</script>"
    entry["paths"] = [{"weight": 0.25, "edges": [["$a_1$<b>", "r|s^-1", "\u05d0 & b"], ["\u05d0 & b", "q" * 90, "z"]]}]
    path.write_text(json.dumps(content))
    page = Page(write_report(tmp_path / "r").read_text("utf-8"))
    assert not {"script", "b"}.intersection(page.tags)
    text = "".join(page.text)
    assert "<script>x</script>" in text and "r|s^-1" in text and "q" * 90 in text and "0.250" in text
    assert all(source.startswith("data:") for source in page.loads)
    assert (tmp_path / "r/plots/paths-1.png").read_bytes().startswith(b"\x89PNG")


def test_blocks_say_what_there_is():
    nothing = {"triple": ["a", "r", "b"], "rank": None, "paths": []}
    blocks = explanations_blocks([nothing, {**nothing, "exclude_triple": False}])
    assert "taken out" not in blocks[0].text and "taken out" in explanations_blocks([nothing])[0].text
    assert blocks[1].text.startswith("(a, r, b), a fact of the message graph: no path")
    path = {"weight": -0.5, "edges": [["a", "s", "c"], ["c", "t^-1", "b"]]}
    table = explanation_blocks({**nothing, "rank": 2, "paths": [path]}, "x")[0]
    assert table.caption == "(a, r, b), tail ranked 2"
    assert table.rows == [["\u22120.500", "a \u2500[s]\u2192 c \u2500[t^-1]\u2192 b"]]
    assert step_text(path["edges"]) == "a -[s]-> c -[t^-1]-> b"


@pytest.mark.parametrize(
    "content",
    [
        b"{", b"\xff", b"[]", b"{}", b'{"explanations": [{}]}',
        b'{"explanations": [{"triple": ["a", "r"], "rank": 1, "paths": []}]}',
        b'{"explanations": [{"triple": ["a", "r", "b"], "rank": "x", "paths": []}]}',
        b'{"explanations": [{"triple": ["a", "r", "b"], "rank": 1, "paths": [{"weight": 1, "edges": []}]}]}',
        b'{"explanations": [{"triple": ["a", "r", "b"], "rank": 1, "paths": [{"weight": "1", "edges": [[1, 2, 3]]}]}]}',
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path, content):
    path = RunDirectory(tmp_path).explanations(0)
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"explanations\.json (is damaged|does not hold)"):
        read_explanations(tmp_path, [0])
