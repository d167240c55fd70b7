import json
import sys

import pytest
from safetensors.torch import load_file
from toy import toy_model

from graphkit.engine.config import load_config
from graphkit.engine.fit import fit
from graphkit.engine.progress import PlainReporter, SilentReporter
from graphkit.engine.run import run_experiment
from graphkit.errors import UserError


@pytest.fixture
def curves():
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def read(folder):
        """{tag: {epoch: value}}; an epoch that stands twice is an error."""
        events = accumulator.EventAccumulator(str(folder)).Reload()
        found = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        assert all(len(dict(pairs)) == len(pairs) for pairs in found.values())
        return {tag: dict(pairs) for tag, pairs in found.items()}

    return read


def close(values):
    return pytest.approx(values, rel=1e-6)  # events are float32


def test_curves_are_those_of_the_history(task, tmp_path, curves):
    lines = []
    run = fit(toy_model(), task, epochs=5, evaluate_every=2, out=tmp_path, tensorboard=True,
              reporter=PlainReporter(lines.append))  # fmt: skip
    found = curves(tmp_path / "seed-0")
    assert found["train/loss"] == close({record["epoch"]: record["loss"] for record in run.history})
    valid = {record["epoch"]: record["valid"] for record in run.history if "valid" in record}
    for name in ("mrr", "mr"):
        assert found[f"valid/{name}"] == close({epoch: metrics[name] for epoch, metrics in valid.items()})
        assert found[f"test/{name}"] == close({run.best_epoch: run.test[name]})
    assert len(lines) == 7  # the other reporter is not silenced


def test_the_training_is_the_same_without(task, tmp_path, curves):
    runs = [fit(toy_model(), task, epochs=3, out=tmp_path / str(on), tensorboard=on) for on in (True, False)]
    one, two = (load_file(run.out / "seed-0" / "checkpoint.safetensors") for run in runs)
    assert all(one[name].equal(two[name]) for name in one) and runs[0].test == runs[1].test


def test_a_resumed_training_has_each_epoch_once(task, tmp_path, curves):
    class Stops(SilentReporter):
        def epoch(self, state, select, improved):
            if state.history[-1]["epoch"] == 3:
                raise RuntimeError("crash")

    class StopsLater(SilentReporter):
        def step(self, state, total):
            if state.epoch == 5:
                raise RuntimeError("crash")

    for crash in (Stops(), StopsLater()):
        with pytest.raises(RuntimeError):
            fit(toy_model(), task, epochs=6, out=tmp_path, resume=True, tensorboard=True, reporter=crash)
    run = fit(toy_model(), task, epochs=6, out=tmp_path, resume=True, tensorboard=True)
    found = curves(tmp_path / "seed-0")
    assert found["train/loss"] == close({record["epoch"]: record["loss"] for record in run.history})
    files = sorted(path.name for path in (tmp_path / "seed-0").iterdir())
    fit(toy_model(), task, epochs=6, out=tmp_path, resume=True, tensorboard=True)  # finished: nothing is added
    assert sorted(path.name for path in (tmp_path / "seed-0").iterdir()) == files


def test_an_epoch_written_before_its_checkpoint_is_withdrawn(task, tmp_path, curves, monkeypatch):
    from graphkit.engine.checkpoint import Keeper

    def dies(self, improved):
        raise RuntimeError("crash")

    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "end_epoch", dies)
        with pytest.raises(RuntimeError):
            fit(toy_model(), task, epochs=2, out=tmp_path, tensorboard=True)
    assert list(curves(tmp_path / "seed-0")["train/loss"]) == [1]
    fit(toy_model(), task, epochs=2, out=tmp_path, tensorboard=True)
    assert list(curves(tmp_path / "seed-0")["train/loss"]) == [1, 2]


def test_every_seed_of_an_experiment_has_its_curves(tiny, tmp_path, curves):
    run_experiment(load_config(tiny, ["--train.tensorboard", "true"]), tmp_path / "run")
    for seed in (0, 1):
        history = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
        losses = {line["epoch"]: line["loss"] for line in history if line["event"] == "epoch" and line["seed"] == seed}
        assert len(losses) == 2 and curves(tmp_path / "run" / f"seed-{seed}")["train/loss"] == close(losses)


def test_without_the_package_or_a_directory_it_is_said_and_nothing_is_written(tiny, task, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"needs the package tensorboard.* pip install tensorboard"):
        fit(toy_model(), task, epochs=1, out=tmp_path / "run", tensorboard=True)
    with pytest.raises(UserError, match="needs the package tensorboard"):
        run_experiment(load_config(tiny, ["--train.tensorboard", "true"]), tmp_path / "run")
    with pytest.raises(UserError, match="writes into the run directory; give one with out="):
        fit(toy_model(), task, epochs=1, tensorboard=True)
    assert not (tmp_path / "run").exists()
