"""Ranks by relation: recorded with the run, averaged over seeds, shown in the report."""

import json
import statistics
import xml.etree.ElementTree as ElementTree

import pytest
from safetensors.numpy import load

from graphkit.datasets import load as load_data
from graphkit.engine.config import load_config
from graphkit.engine.relation_plots import categories_plot, relations_plot, shortened
from graphkit.engine.relation_record import mean_over_seeds, read_relations
from graphkit.engine.report import write_report
from graphkit.engine.run import run_experiment
from graphkit.errors import UserError


@pytest.fixture
def finished(tiny, tmp_path):
    """The tiny experiment after two seeds: its configuration and its folder."""
    config = load_config(tiny)
    run_experiment(config, tmp_path / "run")
    return config, tmp_path / "run"


def test_a_run_records_the_breakdown_of_its_own_ranks(finished):
    import torch

    config, folder = finished
    task = load_data(**config.data)
    found = read_relations(folder, [0, 1])
    assert sorted(found) == [0, 1]
    for seed, breakdown in found.items():
        arrays = load((folder / f"seed-{seed}" / "test_ranks.safetensors").read_bytes())
        ranks = {side: torch.from_numpy(arrays[side]) for side in ("tail", "head")}
        expected = json.loads(json.dumps(task.by_relation(ranks, "test")))
        assert breakdown == {"split": "test", "counted_over": "train", **expected}
    # eight people who each like one other: one of these facts is a train fact beside "likes gus"
    assert found[0]["relations"][0]["relation"] == "likes" and found[0]["relations"][0]["triples"] == len(task.test)


def test_means_and_deviations_over_seeds(finished):
    _, folder = finished
    found = read_relations(folder, [0, 1])
    (row,) = mean_over_seeds(found.values(), "relations", "relation")
    for side in ("tail", "head"):
        seeds = [found[seed]["relations"][0][side]["mrr"] for seed in (0, 1)]
        assert row["seeds"][side]["mrr"] == seeds and row[side]["mrr"] == pytest.approx(sum(seeds) / 2)


def test_the_report_shows_tables_and_plots(finished):
    _, folder = finished
    pytest.importorskip("matplotlib")
    text = (folder / "report.md").read_text("utf-8")
    section = text[text.index("## Relations") : text.index("## Seeds")]
    assert "from 1.5 entities in the mean, counted over the train facts" in section and "2 seeds" in section
    for name in ("relation_categories", "relations"):
        assert f"](plots/{name}.png)" in section
        assert (folder / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    seeds = [found["relations"][0]["tail"]["mrr"] for found in read_relations(folder, [0, 1]).values()]
    assert f"{statistics.mean(seeds):.3f} ± {statistics.stdev(seeds):.3f}" in section
    assert "| likes |" in section and 'id="relations"' in (folder / "report.html").read_text("utf-8")


def test_a_damaged_or_missing_breakdown(finished):
    _, folder = finished
    path = folder / "seed-1" / "test_relations.json"
    whole = path.read_text()
    for spoilt in ("{", "[]", '{"categories": [], "relations": [{"relation": "likes"}]}', whole.replace("mrr", "mr")):
        path.write_text(spoilt)
        with pytest.raises(UserError, match=r"seed-1/test_relations\.json is damaged"):
            write_report(folder)
    path.unlink()
    write_report(folder)
    assert "Means over one seed" in (folder / "report.md").read_text("utf-8")
    (folder / "seed-0" / "test_relations.json").unlink()
    write_report(folder)
    assert "## Relations" not in (folder / "report.md").read_text("utf-8")


def test_a_task_without_relations_has_no_breakdown(task, tmp_path):
    from toy import toy_model

    import graphkit as gk

    gk.fit(toy_model(), task, epochs=1, seed=0, out=tmp_path / "run")
    assert (tmp_path / "run" / "seed-0" / "test_ranks.safetensors").exists()
    assert read_relations(tmp_path / "run", [0]) == {}


def rows_of(count, name="relation", seeds=(0.25, 0.75)):
    mean = {"mrr": sum(seeds) / len(seeds)}
    values = {"mrr": list(seeds)}
    return [
        {name: f"${i}$ <b>", "category": "1-N", "relations": 1, "triples": 1000 - i, "tail": mean, "head": mean,
         "seeds": {"tail": values, "head": values}}
        for i in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 15, 40])
def test_plots_are_drawn_whole_and_the_same_each_time(count):
    pytest.importorskip("matplotlib")
    first, second = relations_plot(rows_of(count)), relations_plot(rows_of(count))
    assert first == second and first.png.startswith(b"\x89PNG")
    # labels are drawn as paths, each with its text as a comment: names are shown as they are, at most 15 of them
    labels = [f"${i}$ &lt;b&gt;" for i in range(count)]
    text = first.svg.decode()
    assert ElementTree.fromstring(first.svg).tag.endswith("svg")
    shown = [label for i, label in enumerate(labels) if f"{label}  ({1000 - i:,})" in text]
    assert len(shown) == min(count, 15)


def test_category_bars_leave_room_for_their_deviations():
    pytest.importorskip("matplotlib")
    assert categories_plot(rows_of(4, "category", seeds=(0.2, 1.0, 1.0))).svg
    assert categories_plot(rows_of(1, "category", seeds=(1.0,))).svg


def test_long_names_keep_both_ends():
    assert shortened("a" * 10, 10) == "a" * 10
    for length in (2, 7, 8):
        short = shortened("0123456789", length)
        assert len(short) == length and short.startswith("0") and "…" in short
