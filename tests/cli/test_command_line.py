import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import graphkit
from graphkit.cli import main

ROOT = str(Path(graphkit.__path__[0]).parent)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def process(*words, **options):
    environment = {**os.environ, "PYTHONPATH": ROOT}
    command = [sys.executable, "-m", "graphkit", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, **options)


def fails(capsys, words, status=2):
    """The single line on standard error of a command that fails."""
    assert main([str(word) for word in words]) == status
    shown = capsys.readouterr()
    assert shown.err.startswith("graphkit: ") and "Traceback" not in shown.err
    assert len(shown.err.splitlines()) == 1, shown.err
    return shown.err.strip()


def test_help_and_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"graphkit {graphkit.__version__}\n"
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("run", "evaluate", "report", "data", "doctor"))
    assert main(["run", "--help"]) == 0
    assert "--train.lr" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rum"], "unknown command 'rum'; did you mean 'run'?"),
        (["run", "nbfnet/umlsss"], "unknown experiment 'nbfnet/umlsss'"),
        (["run", "x.yaml"], "there is no file x.yaml"),
        (["run", "a", "b"], "'b' was not expected (see graphkit run --help)"),
        (["run", "a", "--sedes", "3"], "unknown option '--sedes'; did you mean '--seeds'?"),
        (["run", "--train.lr", "3"], "name an experiment, as in graphkit run nbfnet/umls"),
        (["evaluate"], "required: RUN_DIR (see graphkit evaluate --help)"),
        (["evaluate", "nowhere"], "nowhere holds no trained model"),
        (["evaluate", "x", "--seed", "one"], "invalid int value: 'one'"),
        (["report", "nowhere"], "nowhere is not a run directory"),
        (["report", "nowhere", "--format", "htm"], "unknown format 'htm'; did you mean 'html'?"),
        (["data", "lsit"], "unknown action of graphkit data 'lsit'; did you mean 'list'?"),
        (["data", "info"], "name a data set, as in graphkit data info umls"),
        (["data", "where", "umsl"], "unknown data set 'umsl'; did you mean 'umls'?"),
        (["doctor", "who"], "'who' was not expected"),
    ],
)
def test_mistakes_get_one_line_and_status_2(capsys, words, message):
    assert message in fails(capsys, words)


def test_run_from_start_to_table(tiny, capsys):
    assert main(["run", "--train.lr", "3e-3", str(tiny), "--train.clip_norm=1.0", "--seeds", "0-2"]) == 0
    shown = capsys.readouterr()
    directory = Path("runs/tiny/nbfnet")  # the default: runs/<name of the experiment>
    assert "lr: 0.003" in (directory / "config.yaml").read_text()
    tests = [json.loads(line) for line in (directory / "results.jsonl").read_text().splitlines()]
    scores = [line["metrics"]["mrr"] for line in tests if line["split"] == "test"]
    assert len(scores) == 3
    mean = sum(scores) / 3
    std = (sum((score - mean) ** 2 for score in scores) / 2) ** 0.5
    row = next(line for line in shown.out.splitlines() if line.split()[:2] == ["mrr", "paper"])
    assert f"{mean:.3f} ± {std:.3f}" in row and "0.50" in row
    assert any(line.split()[:3] == ["mrr", "Guess", "0.2"] for line in shown.out.splitlines())
    assert "runs/tiny/nbfnet/report.html" in shown.out
    assert "epoch   2/2" in shown.err and "NBFNet  seed 2" in shown.err  # progress is not mixed into the output
    assert "epoch" not in shown.out


def test_run_again_resume_and_other_options(tiny, capsys):
    assert main(["run", str(tiny), "--out", "r", "--max_steps", "3"]) == 0
    assert "max_steps: 3" in Path("r/config.yaml").read_text()
    capsys.readouterr()
    assert "r already holds a run; go on with it with --resume" in fails(capsys, ["run", tiny, "--out", "r"])
    assert main(["run", str(tiny), "--out", "r", "--resume", "--train.max_steps", "3"]) == 0
    assert "trained already" in capsys.readouterr().err
    assert main(["run", str(tiny), "--out", "r", "--resume"]) == 2
    assert "\n  train.max_steps: 3 -> null\n" in capsys.readouterr().err


def test_print_config_writes_nothing_and_can_be_run(tiny, capsys):
    assert main(["run", str(tiny), "--print_config", "--model.num_layers", "2"]) == 0
    text = capsys.readouterr().out
    Path("printed.yaml").write_text(text)
    assert main(["run", "printed.yaml", "--print_config"]) == 0
    assert capsys.readouterr().out == text and "num_layers: 2" in text
    assert not Path("runs").exists()


def test_run_without_config_lists_the_experiments(capsys):
    assert main(["run"]) == 0
    listed = capsys.readouterr().out
    from graphkit.engine.config import experiment_names

    assert all(name in listed for name in experiment_names())


def test_evaluate_and_report(tiny, capsys):
    assert main(["run", str(tiny), "--out", "r"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "r", "--seed", "1"]) == 0
    shown = capsys.readouterr().out
    assert "identical" in shown and "mrr" in shown
    assert main(["evaluate", "r", "--split", "train"]) == 0
    assert "not recorded" in capsys.readouterr().out
    assert main(["report", "r", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert main(["report", "r", "--format", "csv", "--out", "table.csv"]) == 0
    assert capsys.readouterr().out == "" and "mrr" in Path("table.csv").read_text()
    assert main(["report", "r"]) == 0
    assert "tiny/nbfnet" in capsys.readouterr().out


def test_data(tiny, tmp_path, capsys):
    assert main(["data", "list"]) == 0
    assert "umls" in capsys.readouterr().out
    assert main(["data", "info", "umls"]) == 0
    shown = capsys.readouterr().out
    assert "5,216" in shown and "licence" in shown and "train.txt" in shown
    card, root = str(tmp_path / "card.yaml"), str(tmp_path / "data")
    for action, expected in (("where", "data/tiny/train.txt"), ("fetch", "root"), ("verify", "all files are as in")):
        assert main(["data", action, card, "--root", root]) == 0
        assert expected in capsys.readouterr().out
    (tmp_path / "data" / "tiny" / "test.txt").write_bytes(b"x")
    assert "test.txt missing or not as in the card" in fails(capsys, ["data", "verify", card, "--root", root])
    assert "is truncated" in fails(capsys, ["data", "fetch", card, "--root", root])


def test_doctor(capsys, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_DATA", "/some/where")
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for expected in ("torch", "relational_spmm", "/some/where", "compiler", "self-check", "good"):
        assert expected in shown


def test_doctor_notices_a_wrong_operator(capsys, monkeypatch):
    from graphkit import ops

    real = ops.relational_spmm
    monkeypatch.setattr(
        ops, "relational_spmm", lambda *a, **k: real(*a, **k) * (1.01 if ops._library._FORCED.get() is None else 1.0)
    )
    assert main(["doctor"]) == 1
    assert "BAD" in capsys.readouterr().out


def test_a_fault_of_ours_is_one_line_with_a_hint(tiny, capsys, monkeypatch):
    from graphkit.engine import run

    monkeypatch.setattr(run, "load", lambda **options: 1 / 0)
    message = fails(capsys, ["run", tiny], status=1)
    assert message == (
        "graphkit: unexpected ZeroDivisionError: division by zero; run it again with --debug for the traceback"
    )


@pytest.mark.parametrize("words", [["--debug", "run", "x.yaml"], ["run", "x.yaml", "--debug"]])
def test_debug_anywhere_shows_the_traceback(capsys, words):
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown and shown.splitlines()[-1].startswith("graphkit: there is no file x.yaml")


def test_control_c_ends_with_130_and_the_command_to_go_on(tiny, tmp_path):
    words = ["run", str(tiny), "--out", "a b", "--train.epochs", "100000", "--seeds", "0"]
    environment = {**os.environ, "PYTHONPATH": ROOT}
    command = [sys.executable, "-m", "graphkit", *words]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        lines = [child.stderr.readline() for _ in range(4)]  # the training is under way
        child.send_signal(signal.SIGINT)
        rest = child.stderr.read()
        assert child.wait(30) == 130, lines
    assert "Traceback" not in rest
    assert rest.splitlines()[-1].endswith("--out 'a b' --train.epochs 100000 --seeds 0 --resume")
    assert (Path("a b") / "seed-0" / "checkpoint.safetensors").exists()


def test_process_status_and_streams():
    done = process("run", "nbfnet/umlsss")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("graphkit: unknown experiment") and done.stderr.count("\n") == 1


def test_version_needs_no_torch():
    start = time.monotonic()
    script = "import sys; from graphkit.cli import main; main(['--version']); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": ROOT}, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[1] == "False" and time.monotonic() - start < 30


def test_output_cut_off_by_a_reader_is_no_error():
    script = f"'{sys.executable}' -m graphkit data list | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PYTHONPATH": ROOT}, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "0" and "Traceback" not in done.stderr and "Error" not in done.stderr
