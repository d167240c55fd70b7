import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy import ToyTask, toy_model

import graphkit
from graphkit.engine.checkpoint import read_metadata
from graphkit.engine.fit import fit
from graphkit.engine.interrupt import InterruptGuard
from graphkit.engine.progress import SilentReporter
from graphkit.engine.run_directory import RunDirectory
from graphkit.errors import UserError

# When, in which process and from which checkout a line was written; everything else has to be equal to the last bit.
PROVENANCE = ("seconds", "epoch_seconds", "peak_mib", "time", "commit")


def timeless(value):
    if isinstance(value, dict):
        return {key: timeless(one) for key, one in value.items() if key not in PROVENANCE}
    return [timeless(one) for one in value] if isinstance(value, list) else value


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_same_run(one, two, seed):
    """Bit for bit: weights, optimizer, random streams, position, metrics, ranks; all but clocks and commit."""
    for name in ("checkpoint", "best", "test_ranks"):
        a, b = (getattr(RunDirectory(run), name)(seed) for run in (one, two))
        first, second = load_file(a), load_file(b)
        assert first.keys() == second.keys()
        for key in first:
            assert torch.equal(first[key], second[key]), key
        assert timeless(read_metadata(a)) == timeless(read_metadata(b))
    assert timeless(lines(one / "results.jsonl")) == timeless(lines(two / "results.jsonl"))
    epochs = [[timeless(r) for r in lines(run / "log.jsonl") if r["event"] == "epoch"] for run in (one, two)]
    assert epochs[0] == epochs[1]


class StopAfter(SilentReporter):
    """Raises in the place of a crash after a number of steps."""

    def __init__(self, steps):
        self.steps = steps

    def step(self, state, total):
        if state.steps == self.steps:
            raise RuntimeError("crash")


OPTIONS = {"epochs": 4, "seed": 1, "lr": 0.05, "weight_decay": 0.01, "evaluate_every": 2}


@pytest.fixture
def whole(tmp_path):
    fit(toy_model(), ToyTask(), out=tmp_path / "whole", **OPTIONS)
    return tmp_path / "whole"


def crash(out, steps, **options):
    with pytest.raises(RuntimeError, match="crash"):
        fit(toy_model(), ToyTask(), out=out, reporter=StopAfter(steps), **OPTIONS, **options)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("moments", [1, 2])
def test_kills_at_random_moments_leave_no_trace(tmp_path, moments):
    script = Path(__file__).with_name("killed_training.py")
    path = os.pathsep.join([str(Path(graphkit.__path__[0]).parent), str(script.parent)])

    def train(out, kills):
        command = [sys.executable, str(script), str(out), str(kills), str(moments)]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    train(tmp_path / "whole", 0)
    assert train(tmp_path / "killed", 12) >= 4
    assert_same_run(tmp_path / "whole", tmp_path / "killed", seed=5)
    assert any(line["event"] == "resume" for line in lines(tmp_path / "killed" / "log.jsonl"))
    assert not list((tmp_path / "killed").rglob(".*.part"))


def test_crash_between_steps_of_several_batches(tmp_path):
    options = {"accumulate": 3, "checkpoint_every": 0.0}
    fit(toy_model(), ToyTask(), out=tmp_path / "whole", **OPTIONS, **options)
    crash(tmp_path / "r", 3, **options)
    fit(toy_model(), ToyTask(), out=tmp_path / "r", resume=True, **OPTIONS, **options)
    assert_same_run(tmp_path / "whole", tmp_path / "r", seed=1)


@pytest.mark.parametrize("steps", [1, 4, 5, 6, 13, 20])
def test_crash_at_a_step_with_a_checkpoint_at_every_step(whole, tmp_path, steps):
    crash(tmp_path / "r", steps, checkpoint_every=0.0)
    # Step 1 crashes before its checkpoint, so the model is as the caller made it; afterwards the checkpoint decides.
    fit(toy_model(seed=0 if steps == 1 else 77), ToyTask(), out=tmp_path / "r", resume=True, **OPTIONS)
    assert_same_run(whole, tmp_path / "r", seed=1)


@pytest.mark.parametrize(
    ("file", "which"),
    [
        ("best.safetensors", 1),
        ("best.safetensors", 2),
        ("log.jsonl", 1),
        ("test_ranks.safetensors", 1),
        ("results.jsonl", 1),
    ],
)
def test_a_crash_between_two_files_is_mended(whole, tmp_path, monkeypatch, file, which):
    """Every write after the checkpoint may be the one that did not happen.

    The second best weights are the last ones: no later epoch would write them again.
    """
    from graphkit.engine import run_directory

    real, tried, failed = run_directory.atomic_write, [], []
    assert which == 1 or read_metadata(RunDirectory(whole).best(1))["epoch"] == OPTIONS["epochs"]

    @contextlib.contextmanager
    def break_once(path):
        if Path(path).name == file:
            tried.append(path)
            if len(tried) == which:
                failed.append(path)
                raise RuntimeError("crash")
        with real(path) as handle:
            yield handle

    def no_log(self, record):
        failed.append(record)
        raise RuntimeError("crash")

    with monkeypatch.context() as patch:
        patch.setattr(run_directory, "atomic_write", break_once)
        if file == "log.jsonl":
            patch.setattr(RunDirectory, "append_log", no_log)
        with pytest.raises(RuntimeError, match="crash"):
            fit(toy_model(), ToyTask(), out=tmp_path / "r", checkpoint_every=0.0, **OPTIONS)
    assert failed
    fit(toy_model(seed=77), ToyTask(), out=tmp_path / "r", resume=True, **OPTIONS)
    assert_same_run(whole, tmp_path / "r", seed=1)


def test_short_epochs_share_a_checkpoint_that_holds_the_best_weights(whole, tmp_path, monkeypatch):
    """Control-C in epoch 4: the best weights are those of epoch 2 and in no file yet; then their own file cannot be written."""
    from graphkit.engine import run_directory

    monkeypatch.setattr("graphkit.engine.checkpoint._SHORT", 1000.0)
    real = run_directory.atomic_write

    def break_best(path):
        if Path(path).name == "best.safetensors":
            raise RuntimeError("crash")
        return real(path)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="crash"):
        patch.setattr(run_directory, "atomic_write", break_best)
        fit(toy_model(), ToyTask(), out=tmp_path / "r", reporter=PressAfter(18), **OPTIONS)
    directory = RunDirectory(tmp_path / "r")
    kept = load_file(directory.checkpoint(1))
    assert any(name.startswith("best/") for name in kept) and not directory.best(1).exists()
    assert read_metadata(directory.checkpoint(1))["state"]["best"]["epoch"] == 2
    fit(toy_model(seed=77), ToyTask(), out=tmp_path / "r", resume=True, **OPTIONS)
    assert_same_run(whole, tmp_path / "r", seed=1)


def test_log_lines_beyond_the_checkpoint_and_torn_ones_go(whole, tmp_path):
    crash(tmp_path / "r", 12)
    with (tmp_path / "r" / "log.jsonl").open("a") as log:
        log.write('{"event": "epoch", "seed": 1, "epoch": 3, "loss": 99.0}\n{"event": "epoch", "seed": 1, "epo')
    fit(toy_model(), ToyTask(), out=tmp_path / "r", resume=True, **OPTIONS)
    assert_same_run(whole, tmp_path / "r", seed=1)


def test_a_finished_seed_is_read_back(whole):
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    task = ToyTask()
    run = fit(toy_model(seed=77), task, out=whole, resume=True, **OPTIONS)
    assert task.scored == []
    assert run.test == lines(whole / "results.jsonl")[1]["metrics"] and len(run.history) == 4
    assert task.evaluate(run.model, "test") == run.test
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before


def test_an_existing_training_is_never_overwritten(whole):
    with pytest.raises(
        UserError, match=r"seed-1 already holds a training; resume it \(resume=True\) or choose another out"
    ):
        fit(toy_model(), ToyTask(), out=whole, **OPTIONS)


def test_resume_with_other_options_lists_them(whole):
    with pytest.raises(UserError, match=r"(?s)old -> new.*\n  lr: 0.05 -> 0.1\n  loader.batch_size: \(absent\) -> 4$"):
        fit(toy_model(), ToyTask(), out=whole, resume=True, **{**OPTIONS, "lr": 0.1}, loader={"batch_size": 4})


def test_missing_best_weights_of_an_earlier_epoch_are_named(tmp_path):
    crash(tmp_path, 12, checkpoint_every=0.0)
    (tmp_path / "seed-1" / "best.safetensors").unlink()
    with pytest.raises(UserError, match=r"best\.safetensors is missing"):
        fit(toy_model(), ToyTask(), out=tmp_path, resume=True, **OPTIONS)


def test_a_damaged_checkpoint_is_named(whole):
    path = whole / "seed-1" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"checkpoint\.safetensors is damaged"):
        fit(toy_model(), ToyTask(), out=whole, resume=True, **OPTIONS)


class PressAfter(SilentReporter):
    def __init__(self, steps):
        self.steps, self.messages = steps, []

    def step(self, state, total):
        if state.steps == self.steps:
            os.kill(os.getpid(), signal.SIGINT)

    def message(self, text):
        self.messages.append(text)


@pytest.mark.parametrize("steps", [3, 5, 10])
def test_control_c_writes_a_checkpoint_and_says_how_to_resume(whole, tmp_path, steps):
    """Step 10 ends an epoch with a validation: control-C is seen before it."""
    press, before = PressAfter(steps), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(toy_model(), ToyTask(), out=tmp_path / "r", reporter=press, **OPTIONS)
    assert signal.getsignal(signal.SIGINT) is before
    assert f"step {(steps - 1) % 5 + 1}; the checkpoint is written: go on with resume in" in press.messages[-1]
    assert read_metadata(RunDirectory(tmp_path / "r").checkpoint(1))["state"]["steps"] == steps
    fit(toy_model(seed=77), ToyTask(), out=tmp_path / "r", resume=True, **OPTIONS)
    assert_same_run(whole, tmp_path / "r", seed=1)


def test_control_c_during_a_validation(whole, tmp_path):
    class Press(SilentReporter):
        def evaluating(self, split, done, total):
            if split == "valid" and not pressed:
                pressed.append(True)
                os.kill(os.getpid(), signal.SIGINT)

    class Twice(ToyTask):
        def evaluate(self, model, split="valid", *, ties="pessimistic", return_ranks=False, progress=None):
            torch.rand(5)
            progress(0, 2), progress(1, 2)
            return super().evaluate(model, split, ties=ties, return_ranks=return_ranks)

    pressed = []
    with pytest.raises(KeyboardInterrupt):
        fit(toy_model(), Twice(), out=tmp_path / "r", reporter=Press(), **OPTIONS)
    fit(toy_model(seed=77), ToyTask(), out=tmp_path / "r", resume=True, **OPTIONS)
    assert_same_run(whole, tmp_path / "r", seed=1)


def test_a_second_control_c_interrupts_at_once():
    with pytest.raises(KeyboardInterrupt), InterruptGuard():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        signal.sigtimedwait([], 1)
        pytest.fail("not interrupted")


@pytest.mark.parametrize("call", ["fsync", "fdopen"])
def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path, monkeypatch, call):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class FillsUp(SilentReporter):
        def step(self, state, total):
            if state.steps == 12:
                monkeypatch.setattr(os, call, full)

    with pytest.raises(UserError, match=r"cannot write .*checkpoint\.safetensors: No space left .* intact"):
        fit(toy_model(), ToyTask(), out=tmp_path / "r", reporter=FillsUp(), checkpoint_every=0.0, **OPTIONS)
    monkeypatch.undo()
    assert read_metadata(RunDirectory(tmp_path / "r").checkpoint(1))["state"]["epoch"] == 3
    assert not list((tmp_path / "r").rglob(".*.part"))
    fit(toy_model(), ToyTask(), out=tmp_path / "whole", **OPTIONS)
    fit(toy_model(seed=77), ToyTask(), out=tmp_path / "r", resume=True, **OPTIONS)
    assert_same_run(tmp_path / "whole", tmp_path / "r", seed=1)


def test_two_processes_do_not_share_a_directory(tmp_path):
    with RunDirectory(tmp_path).locked(), pytest.raises(UserError, match="another process is at work"):
        fit(toy_model(), ToyTask(), epochs=1, out=tmp_path)
    fit(toy_model(), ToyTask(), epochs=1, out=tmp_path)


def test_max_steps_reached_just_before_the_kill(tmp_path):
    """A checkpoint at the very last step must not lead to one more."""
    options = {**OPTIONS, "max_steps": 7}
    with pytest.raises(KeyboardInterrupt):
        fit(toy_model(), ToyTask(), out=tmp_path / "r", reporter=PressAfter(7), **options)
    run = fit(toy_model(seed=7), ToyTask(), out=tmp_path / "r", resume=True, **options)
    assert run.steps == 7
    fit(toy_model(), ToyTask(), out=tmp_path / "whole", **options)
    assert_same_run(tmp_path / "whole", tmp_path / "r", seed=1)
