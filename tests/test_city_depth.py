"""The depth curve: runs are recorded whole and not repeated, tables and pictures follow from them."""

import importlib.util
import json
from pathlib import Path

import pytest

from graphkit.engine.run_directory import read_lines
from graphkit.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


def load_script(name):
    specification = importlib.util.spec_from_file_location(name, ROOT / "experiments" / "city" / f"{name}.py")
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    return script


depth_curve, depth_table = load_script("depth_curve"), load_script("depth_table")
SMALL = ["--city", "synthetic:grid:150:1", "--depths", "1", "--seeds", "0", "--epochs", "2", "--nodes", "4"]


def run(record, *options):
    return depth_curve.main([*SMALL, "--record", str(record), *options])


def test_every_model_trains_and_is_measured_once(tmp_path):
    record = tmp_path / "deep" / "record.jsonl"
    assert run(record) == 0
    rows = read_lines(record)
    assert [row["model"] for row in rows] == ["GCN", "GraphSAGE", "SGFormer", "GraphMamba"]
    for row in rows:
        assert row["epochs"] == 2 and row["depth"] == 1 and row["split"] == "random" and row["radius_nodes"] == 4
        assert {"accuracy", "class_mae", "spearman"} <= set(row["test"]) and 0 <= row["radius"] <= 16
        assert row["radius_error"] >= 0 and abs(sum(row["shares"]) + row["beyond"] - 1) < 1e-6
        whole = row["model"] in ("SGFormer", "GraphMamba")
        assert row["radius_method"] == ("full" if whole else "exact")
        assert whole or (row["radius"] <= 1 and row["beyond"] == 0)
    before = record.read_bytes()
    assert run(record) == 0 and record.read_bytes() == before
    assert run(record, "--minutes", "0", "--seeds", "1") == 0 and record.read_bytes() == before


def test_a_torn_line_is_done_again_and_spoils_no_other(tmp_path):
    record = tmp_path / "record.jsonl"
    options = ["--models", "GCN"]
    assert run(record, *options) == 0
    whole = record.read_text()
    record.write_text(whole[: len(whole) // 2])
    assert run(record, *options) == 0
    (row,) = read_lines(record)
    assert row["test"] == json.loads(whole)["test"] and row["radius"] == json.loads(whole)["radius"]
    assert run(record, *options, "--split", "spatial_block") == 0 and len(read_lines(record)) == 2


def test_a_missing_network_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("GRAPHKIT_DATA", str(tmp_path))
    assert depth_curve.main(["--record", str(tmp_path / "record.jsonl")]) == 2
    assert "no folder road_tntp/chicago-regional in GRAPHKIT_DATA" in capsys.readouterr().err
    assert not (tmp_path / "record.jsonl").exists()
    with pytest.raises(UserError, match="there is no file"):
        depth_curve.city_task("nowhere.osm", "random")


def line(model, depth, seed, accuracy, radius=1.0, **other):
    return {
        "city": "chicago", "split": "random", "model": model, "depth": depth, "seed": seed, "options": depth_curve.MODELS[model],
        "protocol": depth_curve.PROTOCOL, "test": {"accuracy": accuracy, "class_mae": 1.5, "spearman": 0.5}, "radius": radius,
        "radius_error": 0.1, "beyond": 0.25, "epoch": 200, "seconds": 30.0, "radius_seconds": 10.0, "nodes": 11189,
        "streets": 18830, "device": "a CPU", "threads": 1, **other,
    }  # fmt: skip


ROWS = [
    line("GCN", 2, 0, 0.20), line("GCN", 2, 1, 0.24), line("GCN", 16, 0, 0.50, 5.0), line("SGFormer", 2, 0, 0.3),
    line("SGFormer", 4, 0, 0.35), line("SGFormer", 16, 0, 0.33),
]  # fmt: skip


def test_the_table_is_means_and_spreads_over_seeds():
    text = depth_table.text([*ROWS, ROWS[0]])  # one that stands there twice counts once
    assert "| GCN | 2 | 22.0 ± 2.8 | 1.50 ± 0.00 | 0.500 ± 0.000 | 1.00 ± 0.00 | 0.10 | 25.0 | 200 | 40 | 2 |" in text
    assert "| GCN | 16 | 50.0 | 1.50 | 0.500 | 5.00 | 0.10 | 25.0 | 200 | 40 | 1 |" in text
    assert "GCN +28.0 points from 2 to 16 layers, at every step" in text
    assert "SGFormer +3.0 points from 2 to 16 layers, not at every step" in text
    assert "11,189 junctions" in text and "![" in text


def test_tries_under_another_protocol_are_left_out():
    other = {**depth_curve.PROTOCOL, "hidden_channels": 8}
    assert depth_table.text([line("GCN", 2, 0, 0.9, protocol=other)]) == depth_table.text([]) == "Not run yet."


def test_the_page_is_written_between_its_markers_and_checked(tmp_path):
    pytest.importorskip("matplotlib")
    record, page, image = tmp_path / "record.jsonl", tmp_path / "page.md", tmp_path / "depth.svg"
    record.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    page.write_text(f"x\n{depth_table.BEGIN}\n{depth_table.END}\ny\n")
    assert depth_table.main(["--check"], record, page, image) == 1 and not image.exists()
    assert depth_table.main([], record, page, image) == 0 and depth_table.main(["--check"], record, page, image) == 0
    drawn = image.read_bytes()
    assert b"<svg" in drawn and page.read_text().startswith("x\n") and page.read_text().endswith("\ny\n")
    assert depth_table.main([], record, page, image) == 0 and image.read_bytes() == drawn


def test_the_table_of_the_page_is_up_to_date():
    assert depth_table.main(["--check"]) == 0
