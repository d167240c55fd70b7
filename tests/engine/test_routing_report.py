"""Routing in log.jsonl and in the report."""

import json
from types import SimpleNamespace

import pytest
import torch
from toy import R, ToyModel

from graphkit.analysis import RoutingMonitor, mixture_gains
from graphkit.engine.fit import fit
from graphkit.engine.report import write_report
from graphkit.engine.report_blocks import Drawing, Paragraph, Table
from graphkit.engine.routing_plots import gate_plot, prompt_plot, usage_plot
from graphkit.engine.routing_sections import routing_section, usage_blocks


def a_record(entropy=1.0, experts=3, gains=False):
    """The record of two sources; a high factor makes decisions sharp."""
    g, monitor = torch.Generator().manual_seed(0), RoutingMonitor(experts)
    for source in ("cora", "photo"):
        monitor.update((entropy * torch.randn(20, experts, generator=g)).softmax(1), source=source)
    monitor.prompts(torch.randn(experts, 4, generator=g))
    if gains:
        p = torch.rand(10, 2, generator=g)
        monitor.gains(mixture_gains(p, torch.stack([p] * experts), p.argmax(1)))
    return monitor.record()


def events(seeds=1, epochs=3, **options):
    return [
        {"seed": seed, "epoch": epoch, "routing": a_record(**options)}
        for seed in range(seeds)
        for epoch in range(1, epochs + 1)
    ]


@pytest.fixture
def without_plots(monkeypatch):
    monkeypatch.setattr("graphkit.engine.routing_sections.can_plot", lambda: False)


class Routed(ToyModel):
    """A model that keeps a monitor."""

    def __init__(self):
        super().__init__(R)
        self.monitor = RoutingMonitor(2)

    def begin_epoch(self, task, epoch):
        self.monitor.reset()

    def loss(self, batch):
        self.monitor.update(torch.tensor([[0.75, 0.25]] * len(batch.triples)), source="toy")
        return super().loss(batch)

    def routing_record(self):
        return self.monitor.record()


def test_fit_writes_the_record_of_each_epoch(task, tmp_path):
    run = fit(Routed(), task, epochs=2, out=tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["routing"]["importance"] for line in lines] == [[0.75, 0.25]] * 2
    assert [line["routing"]["decisions"] for line in lines] == [40, 40]
    assert run.history[0]["routing"] == lines[0]["routing"]
    write_report(tmp_path / "run")
    report = (tmp_path / "run" / "report.md").read_text()
    assert "## Expert usage" in report and "![Mean gate of each expert" in report
    assert (tmp_path / "run" / "plots" / "expert-usage.png").is_file()
    assert "Expert usage" in (tmp_path / "run" / "report.html").read_text()


def test_runs_without_a_router_have_no_such_section(task, tmp_path):
    fit(ToyModel(R), task, epochs=1, out=tmp_path / "run")
    assert "Expert usage" not in write_report(tmp_path / "run").read_text()


@pytest.mark.parametrize(
    "damage",
    [
        lambda r: "text",
        lambda r: {},
        lambda r: r | {"utilisation": [0.5]},
        lambda r: r | {"sources": ["one"]},
        lambda r: r | {"importance_by_source": [[None] * 2]},
        lambda r: r | {"experts": "two"},
    ],
)
def test_damaged_records_are_left_out(tmp_path, damage, without_plots):
    run = SimpleNamespace(folder=tmp_path)
    whole = {"event": "epoch", "seed": 0, "epoch": 1, "routing": a_record()}
    (tmp_path / "log.jsonl").write_text(json.dumps(whole | {"routing": damage(whole["routing"])}) + "\n")
    assert routing_section(run) is None
    (tmp_path / "log.jsonl").write_text(json.dumps(whole) + "\n")
    assert routing_section(run).title == "Expert usage"


def test_tables_have_every_seed_and_plots_the_first():
    blocks = usage_blocks(events(seeds=3))
    (table,) = [block for block in blocks if isinstance(block, Table)]
    assert [row[0] for row in table.rows] == ["0", "1", "2"] and {row[1] for row in table.rows} == {"3"}
    record = a_record()
    assert table.rows[0][table.header.index("Effective experts")] == f"{record['effective_experts']:.2f}"
    names = [block.name for block in blocks if isinstance(block, Drawing)]
    assert names == ["expert-usage", "gate-per-source", "prompt-cosines"]


def words(**options):
    return " ".join(block.text for block in usage_blocks(events(**options)) if isinstance(block, Paragraph))


def test_what_is_wrong_is_said(without_plots):
    assert "The router does nothing" in words(entropy=0.01)
    assert "The router does nothing" not in words(entropy=3.0)
    assert "collapsed" not in words(entropy=3.0)
    assert "no better than the uniform average of its experts (seed 0)" in words(gains=True)
    collapsed = [{"seed": 0, "epoch": 1, "routing": a_record() | {"effective_experts": 1.0, "dead": [1, 2]}}]
    blocks = usage_blocks(collapsed)
    assert any("collapsed" in block.text for block in blocks if isinstance(block, Paragraph))
    assert blocks[1].rows[0][-1] == "1, 2"


def test_a_router_that_grew_is_drawn_from_where_it_has_its_size(monkeypatch):
    drawn = []
    monkeypatch.setattr("graphkit.engine.routing_sections.usage_plot", lambda epochs, usage: drawn.append(epochs))
    grown = [
        {"seed": 0, "epoch": 1, "routing": a_record(experts=2)},
        {"seed": 0, "epoch": 2, "routing": a_record(experts=3)},
    ]
    usage_blocks(grown)
    assert drawn == [[2]]


def test_plots_are_the_same_each_time_and_leave_the_settings_alone():
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    usage = usage_plot([1, 2, 5], [[0.5, 0.5], [0.2, 0.8], [0.0, 0.0]])
    assert usage == usage_plot([1, 2, 5], [[0.5, 0.5], [0.2, 0.8], [0.0, 0.0]])
    gates = gate_plot(["a", "b" * 40], [[0.5, 0.5], [1.0, 0.0]])
    for plot in (usage, gates, prompt_plot([[1.0, -0.2], [-0.2, 1.0]]), gate_plot(["many"] * 20, [[0.05] * 20] * 20)):
        assert plot.png.startswith(b"\x89PNG") and b"<dc:date>" not in plot.svg
    assert dict(matplotlib.rcParams) == before
