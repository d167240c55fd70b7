"""The figures on faults in the docs are those of the committed results."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).resolve().parent.parent / "experiments" / "faults"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(FAULTS))
    return importlib.import_module


def test_tables_are_up_to_date():
    command = [sys.executable, str(FAULTS / "write_fault_tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_sanitizer_that_has_not_run_is_named(module):
    tables = module("write_fault_tables")
    row = {"passed": 3, "skipped": 1, "failed": [], "findings": []}
    record = {
        "files": {"a": row, "b": {**row, "ended": "status -9: killed\nmore"}},
        "passed": 6,
        "skipped": 2,
        "failed": 0,
    }
    record |= {
        "findings": ["x"],
        "left_out": {"tests/c.py": "too large"},
        "planted": {"race": "data race", "sound": "no report"},
    }
    record |= {"compiler": "g++ 12", "torch": "2.13", "date": "2026-11-30", "commit": "abc"}
    lines = tables.sanitized({"thread": record}).splitlines()
    assert lines[2].startswith("| address,undefined | addresses, undefined behaviour | not run |")
    expected = (
        "| thread | data races | 2 | 6 | 2 | 0 | 1 | 1 | all 1 found | g++ 12, torch 2.13, 2026-11-30, commit abc |"
    )
    assert lines[3] == expected
    assert lines[-2:] == ["* `b`: status -9: killed", "* `tests/c.py`: too large"]


def test_reports_and_counts_are_read(module, tmp_path):
    tests = module("sanitized_tests")
    (tmp_path / "report.1").write_text(
        "== WARNING\nSUMMARY: ThreadSanitizer: data race a.cpp:3 in f\nSUMMARY: ThreadSanitizer: data race a.cpp:3 in f\n"
    )
    (tmp_path / "report.2").write_text(
        f"{tests.ROOT}/b.cpp:7:1: runtime error: shift exponent 40\nSUMMARY: UndefinedBehaviorSanitizer: x\n"
    )
    found = ["ThreadSanitizer: data race a.cpp:3 in f", "b.cpp:7:1: runtime error: shift exponent 40"]
    assert tests.findings(tmp_path) == found
    said = f"12 passed\n..{tests.ROOT}/c.cpp:9:2: runtime error: signed integer overflow\n"
    assert tests.findings(tmp_path, said) == ["c.cpp:9:2: runtime error: signed integer overflow", *found]
    (tmp_path / "counts.xml").write_text(
        "<testsuites><testsuite><testcase classname='a' name='x'/><testcase classname='a' name='y'><failure/></testcase>"
        "<testcase classname='a' name='z'><skipped/></testcase></testsuite></testsuites>"
    )
    assert tests.counts(tmp_path / "counts.xml") == {"passed": 1, "skipped": 1, "failed": ["a::y"]}
    assert tests.counts(tmp_path / "none.xml")["passed"] == 0


def test_every_file_of_tests_is_there(module):
    tests = module("sanitized_tests")
    assert all((tests.ROOT / file).is_file() for file in tests.files())
    assert all((tests.ROOT / name.partition("::")[0]).is_file() for name in tests.LEFT_OUT)


def test_a_stopped_run_goes_on_at_the_same_commit(module, tmp_path, monkeypatch):
    tests = module("sanitized_tests")
    monkeypatch.setattr(tests, "RESULTS", tmp_path / "sanitizers.json")
    record = {"commit": "abc", "compiler": "g++", "python": "3", "torch": "2", "left_out": {}}
    record["files"] = {"a.py": {"passed": 2, "skipped": 1, "failed": ["x"], "findings": ["y", "y"]}}
    tests.summed(record, ["b.py"])
    assert (record["passed"], record["skipped"], record["failed"], record["findings"]) == (2, 1, 1, ["y"])
    tests.written("address", {"passed": 0})
    tests.written("thread", record)
    assert tests.done_before("thread", record) == record["files"] and not tests.done_before("address", record)
    assert not tests.done_before("thread", {**record, "commit": "def"})
    tests.summed(record, [])
    tests.written("thread", record)
    assert not tests.done_before("thread", record), "a finished one begins anew"
