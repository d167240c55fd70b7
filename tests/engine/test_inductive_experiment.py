"""An inductive experiment the whole way: card, training, selection, result lines, table, plots, evaluation again."""

import hashlib
import json

import pytest
import torch
import yaml

import graphkit as gk
from graphkit.data import InductiveKnowledgeGraphTask
from graphkit.engine.config import load_config
from graphkit.engine.report import render
from graphkit.engine.report_sections import headline
from graphkit.engine.result_table import result_rows, verdict
from graphkit.engine.run import evaluate_run, run_experiment
from graphkit.engine.run_record import read_run
from graphkit.errors import UserError

METRIC = "hits@10(50)"


def ring(names):
    facts = [(a, "next", names[(i + 1) % len(names)]) for i, a in enumerate(names)]
    facts += [(b, "previous", a) for a, _, b in facts]
    return facts + [(a, "third", names[(i + 3) % len(names)]) for i, a in enumerate(names)]


def write_experiment(folder, **sections):
    """Rings of 14 and of 90 people: large enough that ten of fifty draws are not all of them."""
    seen, unseen = ring([f"seen{i}" for i in range(14)]), ring([f"unseen{i}" for i in range(90)])
    parts = {
        "KEY/train": [fact for i, fact in enumerate(seen) if i % 7],
        "KEY/valid": seen[::7],
        "KEY_ind/train": [fact for i, fact in enumerate(unseen) if i % 9],
        "KEY_ind/test": unseen[::9],
    }
    files = []
    for name, facts in parts.items():
        content = "".join("\t".join(fact) + "\n" for fact in facts).encode()
        path = folder / "data" / "rings" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        files.append({"path": f"{name}.txt", "url": None, "bytes": len(content), "sha256": digest})
    card = {
        "name": "rings", "title": "Rings", "task": "inductive_knowledge_graph", "reader": "inductive_triples",
        "files": files, "folders": ["rings"], "licence": "none", "citation": "none", "source": "made up",
        "statistics": {},
    }  # fmt: skip
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    experiment = {
        "name": "tiny/rings",
        "reference": {"paper": "Nobody", "metrics": {METRIC: "0.50"}},
        "protocol": {"select": METRIC, "ties": "pessimistic"},
        "data": {"name": str(folder / "card.yaml"), "root": str(folder / "data")},
        "loader": {"batch_size": 8, "num_negatives": 2},
        "model": {"name": "NBFNet", "hidden_channels": 4, "num_layers": 2, "dependent": False},
        "train": {"epochs": 2, "lr": 0.01},
        "seeds": [0, 1],
        **sections,
    }
    path = folder / "rings.yaml"
    path.write_text(yaml.safe_dump(experiment, sort_keys=False))
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def same(first, second):
    splits = all(torch.equal(first.triples(s), second.triples(s)) for s in ("train", "valid", "test"))
    names = (first.entities, first.test_entities, first.relations) == (
        second.entities,
        second.test_entities,
        second.relations,
    )
    return splits and names and torch.equal(first.test_facts, second.test_facts)


def test_the_processed_form_is_the_same_task_and_a_damaged_one_is_made_anew(tmp_path, cache):
    config = load_config(write_experiment(tmp_path))
    first = gk.load(**config.data)
    assert isinstance(first, InductiveKnowledgeGraphTask)
    assert first.statistics()["test_entities"] == 90 and first.statistics()["entities"] == 14
    assert first.leak_check().warnings == []
    (kept,) = (cache / "processed").glob("rings-*.npz")
    second = gk.load(**config.data)
    assert isinstance(second, InductiveKnowledgeGraphTask) and same(first, second)
    assert sorted(second.provenance["files"]) == [
        "KEY/train.txt",
        "KEY/valid.txt",
        "KEY_ind/test.txt",
        "KEY_ind/train.txt",
    ]
    kept.write_bytes(kept.read_bytes()[:-40])
    assert same(first, gk.load(**config.data))


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        (("KEY_ind/train.txt", "KEY_ind/graph.txt"), "names no file for test_facts; expected KEY/train.txt"),
        (("KEY_ind/test.txt", "KEY/test.txt"), "names no file for test; expected"),
        (("KEY/valid.txt", "KEY_ind/valid.txt"), "names no file for valid; expected"),
    ],
)
def test_a_card_whose_files_lack_a_role(tmp_path, rename, message):
    path = write_experiment(tmp_path)
    card = yaml.safe_load((tmp_path / "card.yaml").read_text())
    old, new = rename
    (entry,) = (file for file in card["files"] if file["path"] == old)
    entry["path"] = new
    (tmp_path / "data" / "rings" / old).rename(tmp_path / "data" / "rings" / new)
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(UserError, match=message):
        gk.load(**load_config(path).data)


def test_an_inductive_run_from_config_to_report(tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "run"
    runs = run_experiment(load_config(write_experiment(tmp_path)), out)
    for run in runs:
        scores = [record["valid"][METRIC] for record in run.history]
        assert run.best_epoch == 1 + max(range(2), key=lambda i: (scores[i], -i))
        assert run.valid[METRIC] == max(scores)
        assert 0 < run.test[METRIC] <= 1 and run.test["count"] == 60 and run.valid["count"] == 12
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert all(line["select"] == METRIC and METRIC in line["metrics"] for line in lines)
    for record in evaluate_run(out):
        assert record["metrics"] == pytest.approx(record["recorded"], abs=1e-9)
    record = read_run(out)
    (row,) = (row for row in result_rows(record.name, record.config, record.results) if row.metric == METRIC)
    mean = sum(run.test[METRIC] for run in runs) / 2
    assert row.paper == 0.5 and row.ours == pytest.approx(mean) and row.n == 2
    assert row.verdict == verdict(row.ours, row.std, 2, 0.5, rounding=0.005) != "no reference"
    assert headline(record).metric == "Hits@10(50)"
    html = (out / "report.html").read_text("utf-8")
    assert "Hits@10(50)" in html and html.count("data:image/svg") >= 2
    assert "| Hits@10(50) | 0.50 |" in render([out], "md")
    assert METRIC in render([out], "csv") and METRIC in render([out], "json")


def test_the_headline_is_a_figure_that_the_paper_has(tmp_path):
    out = tmp_path / "run"
    path = write_experiment(tmp_path, protocol={"select": "mrr"}, seeds=[0], train={"epochs": 1})
    run_experiment(load_config(path), out)
    record = read_run(out)
    assert headline(record).metric == "Hits@10(50)"
    config = {**record.config, "reference": {}}
    assert headline(type(record)(record.folder, record.name, config, "", record.results)).metric == "MRR"


def test_a_percentage_is_refused_for_the_metric_too(tmp_path):
    config = {"reference": {"metrics": {METRIC: 83.4}}}
    with pytest.raises(UserError, match=r"reference\.metrics\.hits@10\(50\) is 83.4, expected a fraction; write 0.834"):
        result_rows("a/b", config, [])


def test_an_unknown_selection_names_the_nearest(tmp_path):
    path = write_experiment(tmp_path, protocol={"select": "hits@10(49)"}, seeds=[0])
    with pytest.raises(
        UserError, match=r"unknown metric to select epochs by 'hits@10\(49\)'; did you mean 'hits@10\(50\)'"
    ):
        run_experiment(load_config(path), tmp_path / "run")


@pytest.mark.parametrize("family", ["fb15k-237", "wn18rr", "nell-995"])
@pytest.mark.parametrize("version", ["v1", "v2", "v3", "v4"])
def test_the_shipped_experiments_hold_the_published_settings(family, version):
    config = load_config(f"nbfnet/{family}-{version}")
    wordnet = family == "wn18rr"
    assert config.data == {"name": f"{family}/{version}"} and config.name == f"nbfnet/{family}-{version}"
    assert config.loader["batch_size"] == (32 if wordnet else 64) and config.loader["num_negatives"] == 32
    assert config.model["dependent"] is not wordnet and config.model["remove_one_hop"] is not wordnet
    assert config.model["adversarial_temperature"] == (1.0 if wordnet else 0.5)
    assert (config.model["hidden_channels"], config.model["num_layers"]) == (32, 6)
    epochs = 8 if family == "nell-995" else 20  # of NELL-995 nothing is published
    assert (config.train["epochs"], config.train["lr"], config.seeds) == (epochs, 5e-3, [0, 1, 2])
    assert config.protocol == {"select": "mrr", "ties": "pessimistic"}
    figures = config.reference["metrics"]
    assert list(figures) == ([] if family == "nell-995" else [METRIC])
    assert all(isinstance(figure, str) and len(figure) == 5 for figure in figures.values())
