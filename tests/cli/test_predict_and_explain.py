"""``graphkit predict`` and ``graphkit explain`` on a run of the tiny data set."""

import io
import json
from pathlib import Path

import pytest
from tiny_experiment import write_tiny_experiment

import graphkit as gk
from graphkit.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory; its data stay where its configuration says."""
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHKIT_CACHE", str(folder / "cache"))
        patch.setenv("GRAPHKIT_OFFLINE", "1")
        tiny = write_tiny_experiment(folder)
        assert main(["run", str(tiny), "--out", str(folder / "r"), "--seeds", "0", "--model.num_layers", "2"]) == 0
        yield folder / "r"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def both(run):
    card = run.parent / "card.yaml"
    return gk.load_model(run), gk.load(str(card), root=str(run.parent / "data"))


def test_run_prints_the_explained_triples(run, capsys):
    assert main(["run", str(run / "config.yaml"), "--out", str(run), "--resume"]) == 0
    out = capsys.readouterr().out
    assert "explained predictions" in out
    entries = json.loads((run / "seed-0" / "explanations.json").read_text())["explanations"]
    for entry in entries:
        line = next(line for line in out.splitlines() if f"({', '.join(entry['triple'])})" in line)
        assert f"tail ranked {entry['rank']}" in line
        assert (f"-[{entry['paths'][0]['edges'][0][1]}]->" if entry["paths"] else "no path") in line
    assert "Explained predictions" in (run / "report.html").read_text("utf-8")


def test_predict_one_query(run, both, capsys):
    model, task = both
    assert main(["predict", str(run), "--head", "ann", "--relation", "likes", "--k", "3"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    wanted = model.top_tails(task, "ann", "likes", k=3)
    assert lines[0] == ["head", "relation", "tail", "rank", "entity", "score"]
    assert lines[2] == ["ann", "likes", "?", "1", wanted[0][0], f"{wanted[0][1]:.4f}"]
    assert [line[-2] for line in lines[2:]] == [name for name, _ in wanted]
    assert main(["predict", str(run), "--tail", "bob", "--relation", "knows", "--all", "--k", "50"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(lines) == 2 + 8  # fewer candidates than k
    assert next(line for line in lines[2:] if "ann" in line)[-1] == "yes"  # a train fact


def test_predict_a_file_with_bad_lines(run, both, capsys, monkeypatch):
    model, task = both
    text = "ann\tlikes\t?\nnonsense\n?\tknows\tbob\nan\tlikes\t?\n"
    Path("q.tsv").write_text(text)
    assert main(["predict", str(run), "--queries", "q.tsv", "--out", "a.json", "--k", "2", "--filtered"]) == 2
    shown = capsys.readouterr()
    assert "a.json: 4 answers to 2 queries" in shown.out
    errors = shown.err.splitlines()
    assert len(errors) == 2 and errors[0].startswith("graphkit: q.tsv, line 2: expected head<TAB>relation")
    assert errors[1] == "graphkit: q.tsv, line 4: unknown entity 'an'; did you mean 'ann'?"
    entries = json.loads(Path("a.json").read_text())
    assert [entry["line"] for entry in entries] == [1, 3]
    assert [row["entity"] for row in entries[1]["top"]] == [
        name for name, _ in model.top_heads(task, "bob", "knows", k=2)
    ]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.splitlines()[0].encode())))
    assert main(["predict", str(run), "--queries", "-", "--out", "a.csv"]) == 0
    assert Path("a.csv").read_text().startswith("head,relation,tail,asked,rank,score,known\nann,likes,")
    Path("q.tsv").write_text("nonsense\n")
    assert main(["predict", str(run), "--queries", "q.tsv"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_explain_prints_and_draws(run, both, capsys):
    pytest.importorskip("matplotlib")
    model, task = both
    words = ["explain", str(run), "ann", "likes", "cid", "--k", "3"]
    assert main([*words, "--html", "e.html", "--out", "e.json"]) == 0
    out = capsys.readouterr().out
    wanted = model.explain(task, "ann", "likes", "cid", k=3)
    assert wanted
    for path, weight in wanted:
        line = "ann" + "".join(f" -[{relation}]-> {tail}" for _, relation, tail in path)
        assert any(line in shown and f"{weight:.4f}" in shown for shown in out.splitlines())
    page = Path("e.html").read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>") and "data:image/svg+xml;base64," in page and "<script" not in page
    assert [p["weight"] for p in json.loads(Path("e.json").read_text())["paths"]] == [weight for _, weight in wanted]
    for name, start in (("e.svg", b"<?xml"), ("e.png", b"\x89PNG")):
        assert main([*words, "--out", name]) == 0
        assert Path(name).read_bytes().startswith(start)


def test_explain_with_and_without_the_triple_itself(run, both, capsys):
    _, task = both
    head, relation, tail = (names[i] for names, i in zip(
        (task.entities, task.relations, task.entities), task.train[0].tolist(), strict=True
    ))  # fmt: skip
    itself = f"{head} -[{relation}]-> {tail} "
    words = ["explain", str(run), head, relation, tail, "--k", "40"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "a fact of the message graph" in out and not any(itself in line for line in out.splitlines())
    assert main([*words, "--keep_triple"]) == 0
    assert any(line.rstrip().endswith(itself.strip()) for line in capsys.readouterr().out.splitlines())


def test_explain_where_no_path_is(run, capsys):
    assert main(["explain", str(run), "ann", "likes", "ann", "--html", "none.html"]) == 0
    assert "no path joins them" in capsys.readouterr().out
    assert "no path joins them" in Path("none.html").read_text("utf-8")


ONE = ["--head", "ann", "--relation", "likes"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "RUN"], "name a query"),
        (["predict", "RUN", "--head", "ann"], "name a query"),
        (["predict", "RUN", *ONE, "--tail", "bob"], "name a query"),
        (["predict", "RUN", *ONE, "--queries", "x"], "leave --head, --relation and --tail out"),
        (["predict", "RUN", "--queries", "missing.tsv"], "cannot read missing.tsv"),
        (["predict", "RUN", "--head", "anm", "--relation", "likes"], "unknown entity 'anm'; did you mean 'ann'"),
        (["predict", "RUN", "--head", "ann", "--relation", "like"], "unknown relation 'like'; did you mean 'likes'"),
        (["predict", "RUN", *ONE, "--k", "0"], "k is 0"),
        (["predict", "RUN", *ONE, "--split", "tst"], "unknown split 'tst'"),
        (["predict", "RUN", *ONE, "--seed", "4"], "has no seed 4; it has 0"),
        (["predict", "RUN", *ONE, "--out", "x.txt"], "unknown ending '.txt'"),
        (["predict", "RUN", *ONE, "--all", "--filtered"], "not allowed with argument"),
        (["predict", "nowhere", *ONE], "nowhere holds no trained model"),
        (["explain", "RUN", "ann", "likes"], "required: TAIL"),
        (["explain", "RUN", "ann", "likes", "bop"], "unknown entity 'bop'; did you mean 'bob'"),
        (["explain", "RUN", "ann", "likes", "bob", "--beam", "0"], "beam_width is 0"),
        (["explain", "RUN", "ann", "likes", "bob", "--out", "x.gif"], "unknown ending '.gif'"),
    ],
)
def test_mistakes_get_one_line_and_status_2(run, capsys, words, message):
    assert main([str(run) if word == "RUN" else word for word in words]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("graphkit: ") and message in shown and len(shown.splitlines()) == 1


def test_a_misspelt_folder_of_a_run(run, capsys):
    assert main(["predict", f"{run}s", *ONE]) == 2
    assert f"unknown folder '{run.name}s'; did you mean '{run.name}'" in capsys.readouterr().err
