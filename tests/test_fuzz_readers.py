"""The fuzzer of all readers for a few seconds; experiments/faults/results/fuzz.json holds its long run."""

import json
import random
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "experiments" / "faults"))

import fuzz_readers  # noqa: E402

SLOW = {"experiments"}  # many milliseconds an input


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    from readers_under_test import readers

    return readers(tmp_path_factory.mktemp("valid") / "made", runs=False)


def test_two_thousand_inputs(found, monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    torch.set_num_threads(1)
    fuzz_readers.warm(found, tmp_path)
    quick = [reader for reader in found if reader.name not in SLOW]
    state = fuzz_readers.fuzz(quick, fuzz_readers.fresh(seed=1), seconds=120, inputs=2000)
    assert state["findings"] == []
    assert {one for one, done in state["readers"].items() if done["inputs"]} == {reader.name for reader in quick}
    assert sum(done["read"] for done in state["readers"].values()) > 50  # not everything is refused


def test_what_a_reader_has_no_business_with_is_noticed(found, tmp_path):
    from readers_under_test import Reader

    def bad(folder, which):
        kind = random.Random((folder / "a").read_bytes()).randrange(4)
        if kind == 0:
            raise KeyError("x")
        if kind == 1:
            (tmp_path / "outside").write_text("x")
        if kind == 2:
            Path("left").write_text("x")

    reader = Reader("bad", [{"a": b"some bytes"}], bad)
    state = fuzz_readers.fuzz([reader], fuzz_readers.fresh(seed=1), seconds=20, inputs=40, folder=tmp_path / "kept")
    kinds = {finding["kind"] for finding in state["findings"]}
    assert kinds == {"KeyError", "outside of its folder", "files left behind"}
    one = next(finding for finding in state["findings"] if finding["kind"] == "KeyError")
    assert (tmp_path / "kept" / one["files"] / "a").is_file()
    fuzz_readers.again([Reader("bad", reader.variants, lambda folder, which: None)], state)
    assert state["findings"] == [] and len(state["mended"]) == len(kinds)


def test_a_crash_costs_one_input(tmp_path):
    import ctypes

    from readers_under_test import Reader

    def crash(folder, which):
        if (folder / "a").read_bytes() != b"some bytes":
            ctypes.string_at(0)

    state = fuzz_readers.fuzz(
        [Reader("crash", [{"a": b"some bytes"}], crash)], fuzz_readers.fresh(seed=1), seconds=20, inputs=4
    )
    assert {finding["kind"] for finding in state["findings"]} == {"crash"} and state["inputs"] == 4


def test_the_committed_run_found_nothing_that_is_left():
    state = json.loads((ROOT / "experiments" / "faults" / "results" / "fuzz.json").read_text())
    assert state["findings"] == []
    assert state["inputs"] == sum(done["inputs"] for done in state["readers"].values())
