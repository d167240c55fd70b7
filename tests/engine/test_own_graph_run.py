"""Experiments on a graph of one's own: the file is pinned by its hash, and no other file is taken for it."""

import hashlib
import json
import os

import pytest
import yaml
from own_triples import write_triples

from graphkit.data import InductiveKnowledgeGraphTask, KnowledgeGraphTask
from graphkit.datasets import load
from graphkit.engine.config import load_config
from graphkit.engine.run import evaluate_run, run_experiment
from graphkit.errors import UserError

STEPS = ["--train.max_steps", "2", "--model.hidden_channels", "8"]


@pytest.fixture
def triples(tmp_path):
    return write_triples(tmp_path / "triples.tsv")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def own(triples, *words):
    return load_config("nbfnet/own", ["--data.file", str(triples), *STEPS, *words])


def test_run_evaluate_and_refuse_a_changed_file(triples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    run = run_experiment(own("triples.tsv"), out)[0]  # a relative path is kept as an absolute one
    digest = sha256(triples)
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert (config["data"]["file"], config["data"]["sha256"], config["data"]["seed"]) == (str(triples), digest, 0)
    data = json.loads((out / "environment.json").read_text())["data"]
    assert data["files"][str(triples)]["sha256"] == digest and data["split"]["kind"] == "made"
    assert "test triples whose entities a train fact joins, from tail to head" in data["leak_check"]
    assert {json.loads(line)["data"] for line in (out / "results.jsonl").read_text().splitlines()} == {"triples"}
    assert digest in (out / "report.md").read_text()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = next(evaluate_run(out))
    assert found["metrics"] == run.test == found["recorded"]

    before = triples.read_bytes()
    triples.write_bytes(before + b"g0n0\tr0\tsomebody\n")
    with pytest.raises(UserError) as caught:
        next(evaluate_run(out))
    assert all(what in str(caught.value) for what in (str(triples), "has changed", digest, sha256(triples)))
    with pytest.raises(UserError, match=r"another configuration.*\n  data.sha256: "):
        run_experiment(own(triples), out, resume=True)
    triples.write_bytes(b"no triples any more")
    with pytest.raises(UserError, match="has changed"):  # told before the content is looked at
        next(evaluate_run(out))
    triples.unlink()
    with pytest.raises(UserError, match=rf"triples\.tsv does not exist; expected the file with sha256 {digest}"):
        next(evaluate_run(out))
    triples.write_bytes(before)
    assert next(evaluate_run(out))["metrics"] == run.test


def test_an_inductive_run(triples, tmp_path):
    config = own(triples, "--data.inductive", "true", "--data.seed", "2")
    run = run_experiment(config, tmp_path / "run")[0]
    assert "hits@10(50)" in run.test
    assert next(evaluate_run(tmp_path / "run"))["metrics"] == run.test


def test_the_same_configuration_gives_the_same_task(triples):
    config = own(triples, "--data.seed", "5", "--data.valid", "0.2", "--data.together", "pair")
    task, again = load(**config.data), load(file=str(triples), seed=5, valid=0.2, together="pair")
    assert type(task) is KnowledgeGraphTask and task.provenance == again.provenance
    for split in ("train", "valid", "test"):
        assert task.triples(split).tolist() == again.triples(split).tolist()
    assert isinstance(load(file=str(triples), inductive=True), InductiveKnowledgeGraphTask)
    assert load(file=str(triples), seed=6).test.tolist() != load(file=str(triples), seed=5).test.tolist()


def test_a_file_for_each_split(triples, tmp_path):
    header, *rows = triples.read_text().splitlines(keepends=True)
    parts = {"train": rows[:-40], "valid": rows[-40:-20], "test": rows[-20:]}
    for split, lines in parts.items():
        (tmp_path / f"{split}.tsv").write_text(header + "".join(lines))
    words = [word for split in parts for word in (f"--data.file.{split}", str(tmp_path / f"{split}.tsv"))]
    config = load_config("nbfnet/own", words)
    assert config.data["sha256"] == {split: sha256(tmp_path / f"{split}.tsv") for split in parts}
    task = load(**config.data)
    assert task.statistics()["test"] == 20 and task.name == tmp_path.name
    (tmp_path / "valid.tsv").write_text("a\tr\tb\n")
    with pytest.raises(UserError, match=r"valid\.tsv has changed"):
        load(**config.data)
    with pytest.raises(UserError, match="sha256 names no hash for valid"):
        load(file=config.data["file"], sha256={"train": config.data["sha256"]["train"]})
    with pytest.raises(UserError, match="give both as text, or both by split"):
        load(file=str(triples), sha256={"train": "0"})
    with pytest.raises(UserError, match="there is none for valid"):
        load(**load_config("nbfnet/own", words[:2]).data)


def test_options_of_reading(tmp_path):
    path = write_triples(tmp_path / "x.tsv")
    lines = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    path.write_text("".join(f"{tail}|x|{head}|{relation}\n" for head, relation, tail in lines))
    words = ["--data.delimiter", "|", "--data.head", "2", "--data.relation", "3", "--data.tail", "0"]
    task = load(**own(path, *words).data)
    assert task.relations == ["r0", "r1", "r2"] and task.num_entities == 60


def test_another_file_drops_the_hash_of_the_one_before(triples, tmp_path):
    written = tmp_path / "mine.yaml"
    written.write_text(own(triples).dump())
    assert load_config(written) == own(triples)
    other = write_triples(tmp_path / "other.tsv", seed=1)
    assert load_config(written, ["--data.file", str(other)]).data["sha256"] == sha256(other)


@pytest.mark.parametrize("name", ["# x.tsv", "123", "a: b.tsv", "null"])
def test_names_of_files_are_text(tmp_path, name):
    path = write_triples(tmp_path / name)
    config = own(path)
    assert config.data["file"] == str(path)
    (tmp_path / "again.yaml").write_text(config.dump())
    assert load_config(tmp_path / "again.yaml") == config


def test_nothing_is_read_before_there_is_a_file():
    config = load_config("nbfnet/own")
    assert config.data["file"] is None and "sha256" not in config.data
    with pytest.raises(UserError, match=r"no data: give the file of your graph, as in graphkit run nbfnet/own --data"):
        run_experiment(config, "nowhere")
    assert not os.path.exists("nowhere")


@pytest.mark.parametrize(
    ("experiment", "words", "message"),
    [
        (
            "nbfnet/umls",
            ["--data.file", "x.tsv"],
            "this experiment is about the data set 'umls'; for a graph of your own",
        ),
        ("nbfnet/own", ["--data.file", "tripels.tsv"], "--data.file: .*tripels.tsv does not exist"),
        ("nbfnet/own", ["--data.file", "."], "--data.file: .* is a folder"),
        ("nbfnet/own", ["--data.sed", "1"], "--data.sed: unknown option of data 'sed'; did you mean 'seed'"),
        ("nbfnet/own", ["--data.valid", "much"], "--data.valid is 'much', expected a number"),
        ("nbfnet/own", ["--data.together", "mirrors"], "expected one of 'mirror', 'pair'"),
        ("nbfnet/own", ["--data.name", "umls"], "is about the data set 'umls'"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(experiment, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        load_config(experiment, words)


def test_load_takes_a_name_or_a_file(triples):
    with pytest.raises(UserError, match=r"name='umls' is about a data set and file=.* is a graph of your own"):
        load("umls", file=str(triples))
    with pytest.raises(UserError, match="root='x' is about a data set"):
        load(file=str(triples), root="x")
    with pytest.raises(UserError, match="a graph of your own: unknown option 'sed'; did you mean 'seed'"):
        load(file=str(triples), sed=1)
    with pytest.raises(UserError, match="no data"):
        load()
