import io
import re
import sys

import pytest
from rich.console import Console
from toy import toy_model

from graphkit.engine.fit import fit
from graphkit.engine.progress import BarReporter, PlainReporter, SilentReporter, default_reporter, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_plain_lines_tell_the_training(task):
    lines = []
    run = fit(toy_model(), task, epochs=3, reporter=PlainReporter(lines.append))
    assert lines[0].startswith("ToyModel  seed 0  device c") and lines[0].endswith("params 128")
    for record, line in zip(run.history, lines[1:4], strict=True):
        assert f"loss {record['loss']:.4f}  valid mrr {record['valid']['mrr']:.4f}" in line
    assert "eta" in lines[1] and "eta" not in lines[3]
    assert ("*" in lines[2]) == (
        run.best_epoch >= 2 and run.history[1]["valid"]["mrr"] > run.history[0]["valid"]["mrr"]
    )
    assert lines[4].startswith(f"best epoch {run.best_epoch}  test mrr {run.test['mrr']:.4f}") and len(lines) == 5


def test_plain_lines_within_an_epoch_are_rate_limited(task):
    often, seldom = [], []
    fit(toy_model(), task, epochs=2, reporter=PlainReporter(often.append, every=0.0))
    fit(toy_model(), task, epochs=2, reporter=PlainReporter(seldom.append, every=60.0))
    within = [line for line in often if "step" in line]
    assert len(within) == 10 and all("steps/s" in line and "eta" in line for line in within)
    assert within[6].startswith("epoch   2/2  step 2/5  loss ")
    assert "valid: 8/8" in often
    assert not any("step" in line for line in seldom)


def test_resumed_and_finished_trainings_say_so(task, tmp_path):
    lines = []

    class Stops(SilentReporter):
        def step(self, state, total):
            if state.steps == 7:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        fit(toy_model(), task, epochs=3, out=tmp_path, reporter=Stops(), checkpoint_every=0.0)
    fit(toy_model(), task, epochs=3, out=tmp_path, resume=True, reporter=PlainReporter(lines.append))
    assert "(goes on in epoch 2 at step 1)" in lines[0]
    fit(toy_model(), task, epochs=3, out=tmp_path, resume=True, reporter=PlainReporter(lines.append))
    assert "(trained already)" in lines[-2]


def test_bar_on_a_terminal(task, monkeypatch):
    class Refreshed(BarReporter):
        """Training here is faster than the bar is redrawn."""

        def step(self, state, total):
            super().step(state, total)
            self._progress.refresh()

    screen = Terminal()
    run = fit(toy_model(), task, epochs=2, reporter=Refreshed(Console(file=screen, force_terminal=True, width=100)))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert re.search(r"epoch 2/2 .*loss \d\.\d{4}  \d+\.\d steps/s .*\d:\d\d:\d\d", shown)
    assert f"best epoch {run.best_epoch}  test mrr" in shown
    monkeypatch.setattr(sys, "stderr", screen)
    assert isinstance(default_reporter(), BarReporter)


def test_silence_elsewhere(task, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(default_reporter(), SilentReporter) and not isinstance(default_reporter(), PlainReporter)
    fit(toy_model(), task, epochs=1)
    assert sys.stderr.getvalue() == "" and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0s"), (59.94, "59.9s"), (60, "1m00s"), (3599, "59m59s"), (3600, "1h00m"), (90061, "25h01m")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
