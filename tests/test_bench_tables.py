"""The measured tables in the docs are those of the committed measurements."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "experiments" / "bench" / "write_bench_tables.py"


def test_tables_are_up_to_date():
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return importlib.import_module("unit_tables")


def times(**medians):
    return {name: {"median": median, "peak_mib": 3.2} for name, median in medians.items()}


def test_figures_are_per_unit_where_implementations_do_not_do_equally_many(tables):
    row = {"graph": "grid", "nodes": 1000, "edges": 1400, "ball_mean": 90.2, "ball_max": 97}
    row |= {
        "times": times(graphkit=0.01, networkx=0.1),
        "microseconds_per_node": {"graphkit": 10.0, "networkx": 1000.0},
    }
    assert tables.eccentricity([row]).splitlines()[2] == (
        "| balls of 90 nodes, at most 97 | grid, 1,000 nodes, 1,400 edges "
        "| graphkit: 10 µs a node, 3 MiB; networkx: 1,000 µs a node, 3 MiB | 100.0x networkx |"
    )
    hops = {"what": "sums", "nodes": 144, "asked": 64, "times": times(graphkit=0.064, scipy=0.016), "scipy_asked": 8}
    assert "graphkit: 1 ms a seed, 3 MiB; scipy: 2 ms a seed, 3 MiB | 2.0x scipy" in tables.influence([hops])
    balls = {"what": "balls", "nodes": 9, "asked": 2, "hops": 9, "times": times(graphkit=0.002)}
    balls["times"] |= {"sorting the edges": {"median": 0.5, "peak_mib": 1.0}}
    assert "graphkit: 1 ms a seed, 3 MiB; sorting the edges once 0.5 s |  |" in tables.influence([balls])


def test_steps_are_shown_in_seconds_beside_their_ratios(tables):
    row = {
        "what": "tuning step",
        "graph": "cora",
        "nodes": 5,
        "edges": 6,
        "times": times(cached=0.5),
        "ratio": {"full": 2.0},
    }
    assert "| cached: 0.5 s, 3 MiB | 2.0x full |" in tables.mixtures([row])


def test_steps_of_several_processes_beside_those_of_one(tables):
    pair = {"1 process": {"median": 3.0}, "2 processes": {"median": 2.0}}
    row = {"what": "training", "case": "ncn/cora-ncn", "batch": 1152, "unit": "step", "units": 10, "loss_difference": None}
    row |= {"times": pair, "processes": 2, "ratio": 1.5}
    expected = "| a training step | ncn/cora-ncn | 1152 | 0.3 | 2 | 0.2 | 1.50x | dropout |"
    assert tables.processes([row]).splitlines()[2] == expected
    assert tables.processes([row | {"loss_difference": [0.0, 3e-7]}]).endswith("| 1.50x | 0.0e+00; 3.0e-07 |")
    blocks = row | {"what": "orbit blocks", "case": "orbits", "nodes": 1200, "edges": 9000, "units": 4}
    expected = "| a block of orbit adjacencies, of 4 | power law, 1,200 nodes, 9,000 edges |  | 0.75 | 2 | 0.5 | 1.50x |  |"
    assert tables.processes([blocks]).splitlines()[2] == expected
