import json
import warnings
from pathlib import Path

import pytest
from own_triples import write_triples

from graphkit.cli import main
from graphkit.data import KnowledgeGraphTask
from graphkit.errors import DataWarning


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


WORDS = ["--model.hidden_channels", "8", "--max_steps", "2"]


def test_from_a_file_to_a_run_and_its_evaluation(capsys):
    path = write_triples(Path("triples.tsv"))
    assert main(["run", "nbfnet/own", "--data", "triples.tsv", *WORDS]) == 0
    out = capsys.readouterr().out
    assert "nbfnet/own, test split" in out and "mrr" in out
    assert json.loads(Path("runs/nbfnet/own/environment.json").read_text())["data"]["split"]["seed"] == 0
    assert main(["evaluate", "runs/nbfnet/own"]) == 0
    assert "identical" in capsys.readouterr().out
    path.write_text(path.read_text() + "a\tr0\tb\n")
    assert main(["evaluate", "runs/nbfnet/own"]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("graphkit: ") and "triples.tsv has changed" in shown.err


def test_warnings_about_the_data_are_one_line_each(capsys):
    path = write_triples(Path("triples.tsv"))
    path.write_text(path.read_text() + "g0n0\tr0\tg1n0\n")
    assert main(["run", "nbfnet/own", "--data", "triples.tsv", *WORDS]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    count = len(path.read_text().splitlines()) - 1
    assert told == [f"graphkit: warning: triples: 1 of {count} edges repeat another one and are dropped"]


def test_what_every_evaluation_warns_of_is_shown_once(capsys, monkeypatch):
    write_triples(Path("triples.tsv"))
    evaluate, times = KnowledgeGraphTask.evaluate, []

    def warned(*arguments, **options):
        times.append(0)
        warnings.warn("as before", DataWarning, stacklevel=2)
        return evaluate(*arguments, **options)

    monkeypatch.setattr(KnowledgeGraphTask, "evaluate", warned)
    assert main(["run", "nbfnet/own", "--data", "triples.tsv", *WORDS]) == 0
    assert len(times) > 1 and capsys.readouterr().err.count("graphkit: warning: as before\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "triples.tsv holds no edge; expected one a line"),
        (b"a\tr\tb\n", "triples: valid and test: 1 triples are too few to hold out"),
        (b"alone\nalone too\n", "triples.tsv: there is one column"),
        (b"a\tr\tb\nb\tr\n", "triples.tsv, line 2: found 2 columns, expected 3"),
        (b"a\tr\t\xff\n", "triples.tsv, line 1: not UTF-8"),
        (None, "triples.tsv does not exist"),
    ],
)
def test_bad_files_are_one_line_and_leave_nothing_behind(capsys, content, message):
    if content is not None:
        Path("triples.tsv").write_bytes(content)
    assert main(["run", "nbfnet/own", "--data", "triples.tsv"]) == 2
    shown = capsys.readouterr().err
    assert message in shown and len(shown.splitlines()) == 1
    assert not Path("runs").exists()


def test_without_a_file(capsys):
    assert main(["run", "nbfnet/own"]) == 2
    assert (
        "no data: give the file of your graph, as in graphkit run nbfnet/own --data triples.tsv"
        in capsys.readouterr().err
    )
    assert main(["run", "nbfnet/own", "--print_config"]) == 0
    assert "file: null" in capsys.readouterr().out
