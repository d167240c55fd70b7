"""Divided work adds up to the whole, and the scale benchmark measures, stops and goes on."""

import importlib
import json
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent.parent / "experiments" / "bench"


@pytest.fixture
def shards(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    found = importlib.import_module("scale_shards")
    monkeypatch.setattr(found, "EDGES", 400)
    return found


def test_parts_put_together_are_the_whole_bit_for_bit(shards):
    for name, check in shards.CHECKS.items():
        for parts in (1, 3):
            found = check(parts)
            assert found["equal"] and found["largest_difference"] == 0 and found["parts"] == parts, (name, found)
            assert found["ghosts"] is None or (found["ghosts"] > 0) == (parts > 1)


def test_too_few_hops_of_ghosts_are_noticed(shards):
    both, _, nodes = shards.streets(400)  # long paths, which one hop of ghosts cuts
    joined, _ = shards.divided(
        both, nodes, 3, 1, lambda ids, edges, kept: shards.ops.orbit_counts(edges, num_nodes=len(ids))
    )
    assert not shards.agreement(shards.ops.orbit_counts(both, num_nodes=nodes), joined, 3)["equal"]


def test_ghosts_grow_with_parts_and_hops(shards):
    rows = {(r["graph"], r["parts"], r["hops"]): r["per_node"] for r in shards.ghosts(2000)}
    assert 0 < rows["grid", 2, 1] < rows["grid", 8, 1] < rows["power law", 8, 1] <= 7
    assert rows["power law", 8, 1] < rows["power law", 8, 3] <= 7


def test_every_operator_is_measured_at_a_tiny_size(shards):
    bench = importlib.import_module("bench_scale")
    for name in bench.CASES:
        row = bench.measured(name, 300, 1, 20.0)
        assert row["units"] > 0 and row["seconds"] > 0 and row["units_of_1e9"] > 1e6, row


def test_larger_sizes_are_left_out_after_a_stop(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCH))
    bench, peak = importlib.import_module("bench_scale"), importlib.import_module("peak")
    monkeypatch.setattr(peak, "RESULTS", tmp_path)
    monkeypatch.setattr(peak, "commit", lambda: "none")  # git cannot tell about a folder elsewhere
    words = ["bench", "--only", "csr", "--edges", "1e3", "1e4", "--seconds", "0.01", "--name", "x"]
    monkeypatch.setattr(sys, "argv", words)
    bench.main()
    rows = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert [(row["edges"], row["stopped"]) for row in rows] == [(1000, "more than 0.01 s")]
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "commit", lambda: "none")
    for case in ("simple", "csr"):  # another one is added, the same one is replaced
        monkeypatch.setattr(sys, "argv", [*words, "--add", "--only", case, "--threads", str(threads_of(tmp_path))])
        bench.main()
    rows = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert [row["case"] for row in rows] == ["simple", "csr"]
    monkeypatch.setattr(bench, "commit", lambda: "another")
    with pytest.raises(SystemExit, match="measured with commit none, this is another"):
        bench.main()


def threads_of(folder):
    return json.loads((folder / "x.json").read_text())["machine"]["threads"]


def test_every_row_has_a_name_in_the_table(shards):
    bench, tables = importlib.import_module("bench_scale"), importlib.import_module("scale_tables")
    assert tables.TITLES.keys() == bench.CASES.keys() | shards.CHECKS.keys()


def test_costs_are_carried_on_to_a_thousand_million_edges(shards):
    tables = importlib.import_module("scale_tables")
    small = {"what": "cost", "case": "csr", "edges": 1000, "unit": "entry", "ns_per_unit": 10.0, "peak_mib": 1.0}
    small |= {"input_mib": 2.0, "units_of_1e9": 2e9, "sampled": False}
    large = {**small, "edges": 10_000, "ns_per_unit": 100.0, "peak_mib": 10.216, "input_mib": 20.432}
    stopped = {"what": "cost", "case": "csr", "edges": 10**5, "stopped": "more than 9 s"}
    text = tables.scale([small, large, stopped])
    assert "| `CSRGraph`, all sorted forms | entry | 10 ns, 1, 2 | 100 ns, 10, 20 | more than 9 s |" in text
    # 2e9 entries of 100 ns are 200 s; 27.648 MiB more for 9,000 edges more are 3000 GiB; a unit costs ten times more at ten
    # times the size
    assert "| 10,000 edges | a unit: E^1.00 | 2.0e+09 entry | 0.0556 | 3,000 |" in text
    small["sampled"] = large["sampled"] = True  # only the input grows
    assert "| 2,000 |" in tables.scale([small, large])
