"""Two and three processes against one, on the CPU; what happens when one of them dies or is interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_resume import assert_same_run, lines

import graphkit
from graphkit.engine.checkpoint import read_metadata
from graphkit.engine.distributed import OneProcess, joined
from graphkit.engine.run_directory import RunDirectory, read_lines
from graphkit.errors import UserError

pytestmark = pytest.mark.skipif(
    not (hasattr(os, "fork") and torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="needs fork and gloo",
)
HERE = Path(__file__).parent
PATH = os.pathsep.join([str(Path(graphkit.__path__[0]).parent), str(HERE)])
CLOSE = {"rtol": 0.0, "atol": 1e-6}


def environment(**more):
    return {**os.environ, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1", **more}


def launch(scenarios, size, folder, **statuses):
    """Run scenarios; where nothing else is said, all processes have to end well."""
    command = [sys.executable, str(HERE / "several_processes.py"), ",".join(scenarios), str(size), str(folder)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    expected = {scenario: statuses.get(scenario, [0] * size) for scenario in scenarios}
    assert json.loads(done.stdout) == expected, done.stderr


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What one, two and three processes leave; each is run when it is first asked for."""
    made = {}

    def folder(size):
        if size not in made:
            made[size] = tmp_path_factory.mktemp(f"processes-{size}")
            launch(["trained", "evaluated"], size, made[size])
        return made[size]

    return folder


@pytest.mark.parametrize("size", [2, 3])
def test_processes_train_what_one_process_trains(folders, size):
    """Odd batches, and a last one of a single row: then all but the first process have none."""
    alone, shared = folders(1), folders(size)
    for batch in (7, 9):
        one = json.loads((alone / f"{batch}-0.json").read_text())
        assert len(one["losses"]) == 2 * -(-82 // batch) == one["steps"]
        expected = load_file(alone / f"{batch}-0.safetensors")
        first = load_file(shared / f"{batch}-0.safetensors")
        for name in expected:
            torch.testing.assert_close(first[name], expected[name], **CLOSE)
        for rank in range(size):
            record = json.loads((shared / f"{batch}-{rank}.json").read_text())
            weights = load_file(shared / f"{batch}-{rank}.safetensors")
            assert all(torch.equal(weights[name], first[name]) for name in first)
            assert record["test"] == pytest.approx(one["test"], abs=1e-6)
            assert record["valid"] == pytest.approx(one["valid"], abs=1e-6)
            assert record["steps"] == one["steps"] and record["out"] == str(shared / f"run-{batch}")
            if rank == 0:
                assert record["losses"] == pytest.approx(one["losses"], abs=1e-6)
        ranks = [load_file(RunDirectory(at / f"run-{batch}").test_ranks(5)) for at in (alone, shared)]
        assert all(torch.equal(ranks[0][side], ranks[1][side]) for side in ("tail", "head"))


@pytest.mark.parametrize("size", [2, 3])
def test_message_weights_are_those_of_one_process(tmp_path, size):
    for number in (1, size):
        (tmp_path / str(number)).mkdir()
        launch(["reweighted"], number, tmp_path / str(number))
    expected = load_file(tmp_path / "1" / "r-0.safetensors")
    first = load_file(tmp_path / str(size) / "r-0.safetensors")
    assert expected["reweighting.edge"].all() and expected["reweighting.loop"].all()
    test, losses = json.loads((tmp_path / "1" / "r-0.json").read_text())
    for rank in range(size):
        found = load_file(tmp_path / str(size) / f"r-{rank}.safetensors")
        assert all(torch.equal(found[name], first[name]) for name in first)
        shared = json.loads((tmp_path / str(size) / f"r-{rank}.json").read_text())
        assert shared[0] == pytest.approx(test, abs=1e-6) and shared[1] == pytest.approx(losses, abs=1e-5)
    for name in expected:
        torch.testing.assert_close(first[name], expected[name], rtol=0.0, atol=1e-5)


def test_one_process_writes(folders):
    run = folders(2) / "run-7"
    assert [(line["seed"], line["split"], line["processes"]) for line in lines(run / "results.jsonl")] == [
        (5, "valid", 2), (5, "test", 2),
    ]  # fmt: skip
    assert [line["epoch"] for line in lines(run / "log.jsonl")] == [1, 2]
    assert not list(run.rglob(".*.part"))


@pytest.mark.parametrize("size", [2, 3])
def test_ranks_are_those_of_one_process(folders, size):
    alone, shared = folders(1), folders(size)
    expected, shares = load_file(alone / "0.safetensors"), []
    for rank in range(size):
        found = load_file(shared / f"{rank}.safetensors")
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        record = json.loads((shared / f"{rank}.json").read_text())
        assert record["count"] == 2
        shares.append(record["done"])
    whole = json.loads((alone / "0.json").read_text())["done"]
    full = [max(total for _, total in share) for share in shares]
    assert (
        sum(full) == max(total for _, total in whole) and max(full) - min(full) <= 64
    )  # divided, and every query once
    assert sum(done == 1 for share in shares for done, total in share if total == 1) == 2  # two queries, a share each


def test_a_killed_process_ends_all_and_resuming_leaves_no_trace(tmp_path):
    launch(["killed", "resumed", "uninterrupted"], 2, tmp_path, killed=[0, signal.SIGKILL])
    message = (tmp_path / "lost-0").read_text()
    assert "another process of this training has ended" in message and "go on with resume" in message
    assert_resumed(tmp_path, epoch=3, step=2)  # of 5 steps an epoch: the 13th step was lost


def test_control_c_in_one_process_stops_all_after_the_same_step(tmp_path):
    launch(["interrupted", "resumed", "uninterrupted"], 2, tmp_path)
    assert "step 2; the checkpoint is written" in (tmp_path / "interrupted-0").read_text()
    assert (tmp_path / "interrupted-1").read_text() == ""  # the first one speaks
    assert_resumed(tmp_path, epoch=2, step=2)


def test_control_c_while_the_first_process_waits_for_ranks(tmp_path):
    launch(["interrupted_evaluation", "resumed", "uninterrupted"], 2, tmp_path)
    assert "the checkpoint is written" in (tmp_path / "interrupted-0").read_text()
    assert (tmp_path / "interrupted-1").exists()
    assert_resumed(tmp_path, epoch=2, step=5)


def test_another_number_of_processes_may_go_on(tmp_path):
    launch(["half_trained"], 2, tmp_path)
    launch(["finished"], 1, tmp_path)
    (tmp_path / "whole").mkdir()
    launch(["half_trained", "finished"], 1, tmp_path / "whole")
    one, other = (load_file(RunDirectory(at / "moved").checkpoint(5)) for at in (tmp_path, tmp_path / "whole"))
    for name in one:
        if name.startswith("model/"):
            torch.testing.assert_close(one[name], other[name], **CLOSE)


def assert_resumed(folder, epoch, step):
    """Dropout, batch norm and the global streams are in it."""
    assert_same_run(folder / "whole", folder / "run", seed=1)
    resume = [line for line in lines(folder / "run" / "log.jsonl") if line["event"] == "resume"]
    assert resume == [{"event": "resume", "seed": 1, "epoch": epoch, "step": step}]
    assert [line["split"] for line in lines(folder / "run" / "results.jsonl")] == ["valid", "test"]


def test_mistakes_are_told_to_everybody(tmp_path):
    launch(["refused", "talk"], 2, tmp_path)
    first, second = (json.loads((tmp_path / f"said-{rank}.json").read_text()) for rank in range(2))
    for unshared, fine, again in (first, second):
        assert unshared == ["UserError", unshared[1]] and "a Batch cannot be shared among 2 processes" in unshared[1]
        assert fine is None
        assert "already holds a training" in again[1]
    assert (first[2][0], second[2][0]) == ("UserError", "SaidByFirst")
    check_talk(tmp_path)


def check_talk(folder):
    first, second = (json.loads((folder / f"talk-{rank}.json").read_text()) for rank in range(2))
    assert first["loss"] == second["loss"] == 2 * (1 + 2 * 3) + 2 * 3
    assert first["grads"] == second["grads"]
    assert first["grads"]["none.weight"] is None  # used by nobody: no gradient, so Adam leaves it alone
    assert first["grads"]["one.weight"] == [[3.0, 3.0]] * 2 and first["grads"]["all.bias"] == [3.0, 3.0]
    assert first["told"] == second["told"] == {"rank": 0}
    assert (first["turn"], second["turn"]) == (0, 1) and (folder / "turns").read_text() == "01"
    assert (first["fault"], second["fault"]) == ([False, "of the first"], [True, "of the first"])


def test_one_process_is_the_plain_case(monkeypatch):
    assert type(joined()) is OneProcess
    monkeypatch.setenv("WORLD_SIZE", "1"), monkeypatch.setenv("RANK", "0")  # torchrun with one process
    assert type(joined()) is OneProcess
    monkeypatch.setenv("WORLD_SIZE", "2"), monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UserError, match="2 processes were announced, but they do not find each other"):
        joined()


# torchrun itself


def torchrun(words, restarts=0):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max_restarts", str(restarts)]
    command = [*launcher, "--nproc_per_node", "2", "-m", "graphkit", *words]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def worker(run, rank):
    """Id of one of torchrun's processes."""
    for child in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split():
        if f"\0RANK={rank}\0" in Path(f"/proc/{child}/environ").read_text():
            return int(child)
    raise AssertionError("no such process")


def wait_for(run, condition, timeout=600.0):
    end = time.monotonic() + timeout
    while not condition():
        if run.poll() is not None or time.monotonic() > end:
            run.terminate()
            raise AssertionError(run.communicate()[1])
        time.sleep(0.01)


def test_torchrun(tiny, tmp_path):
    run = torchrun(["run", str(tiny), "--out", str(tmp_path / "two")])
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    done = subprocess.run(
        [sys.executable, "-m", "graphkit", "run", str(tiny), "--out", str(tmp_path / "one")],
        env=environment(), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one, two = (lines(tmp_path / name / "results.jsonl") for name in ("one", "two"))
    assert [(line["seed"], line["split"]) for line in two] == [(0, "valid"), (0, "test"), (1, "valid"), (1, "test")]
    for expected, found in zip(one, two, strict=True):
        assert found["metrics"] == pytest.approx(expected["metrics"], abs=1e-6)
        assert (expected["processes"], found["processes"]) == (1, 2)
    logs = [lines(tmp_path / name / "log.jsonl") for name in ("one", "two")]
    for expected, found in zip(*logs, strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], abs=1e-6)
    assert out.count("report: ") == 1 and err.count("epoch   1/2") == 2  # once a seed
    assert (tmp_path / "two" / "report.html").exists()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_torchrun_with_killed_workers_and_control_c(tiny, tmp_path):
    out = tmp_path / "run"
    words = [
        "run",
        str(tiny),
        "--out",
        str(out),
        "--seeds",
        "0",
        "--train.epochs",
        "20000",
        "--train.evaluate_every",
        "100",
    ]
    run = torchrun(words)
    wait_for(run, lambda: events(out, "epoch") >= 3 and RunDirectory(out).checkpoint(0).exists())
    os.kill(worker(run, 1), signal.SIGKILL)
    err = run.communicate(timeout=300)[1]
    assert run.returncode != 0, err
    again = torchrun([*words, "--resume"], restarts=1)
    wait_for(again, lambda: events(out, "resume") == 1)
    os.kill(worker(again, 0), signal.SIGKILL)
    wait_for(again, lambda: events(out, "resume") == 2)  # torchrun itself begins again
    reached = events(out, "epoch")
    wait_for(again, lambda: events(out, "epoch") > reached)
    again.send_signal(signal.SIGINT)
    err = again.communicate(timeout=300)[1]
    assert again.returncode != 0
    assert err.count("graphkit: interrupted; go on with: torchrun ... -m graphkit run") == 1, err
    epochs = [line["epoch"] for line in lines(out / "log.jsonl") if line["event"] == "epoch"]
    assert epochs == list(range(1, len(epochs) + 1)) and not (out / "results.jsonl").exists()
    state = read_metadata(RunDirectory(out).checkpoint(0))["state"]
    assert state["epoch"] == len(epochs) + 1 and not state["finished"]
    with RunDirectory(out).locked():  # nobody is left at work there
        pass


def events(out, event):
    return sum(line["event"] == event for line in read_lines(out / "log.jsonl"))


def test_torchrun_says_a_mistake_once(tiny, tmp_path):
    for words, message in (
        (["run", "nbfnet/umsl"], "graphkit: unknown experiment 'nbfnet/umsl'; did you mean 'nbfnet/umls'"),
        (["run", str(tiny), "--uot", "x"], "graphkit: unknown option '--uot'; did you mean '--out'"),
    ):
        run = torchrun(words)
        err = run.communicate(timeout=300)[1]
        assert run.returncode != 0
        assert err.count(message) == 1 and err.count("graphkit:") == 1 and "graphkit (process" not in err
