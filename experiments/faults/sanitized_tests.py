"""The tests of the kernels on a build with the compiler's sanitizers; `make sanitize` builds it and calls this.

Each file of tests runs in a process of its own: what a sanitizer keeps of freed memory does not add up, and a fault that ends a
process costs one file. Before that the sanitizer has to find planted faults (planted.cpp) and to pass a sound loop, or its
silence would mean nothing. Reports, counts and what they were made with go to results/sanitizers.json after each file; stopped,
the same command at the same commit goes on with the files that are left, which are named there until then.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / "results" / "sanitizers.json"

#: beside tests/ops: files elsewhere that call the kernels with inputs of their own
ELSEWHERE = (
    "tests/nn/test_bellman_ford.py", "tests/nn/test_common_neighbor.py", "tests/nn/test_completed_neighbor.py",
    "tests/nn/test_directed_patterns.py", "tests/nn/test_pair_flow.py", "tests/nn/test_walk_tokenizer.py",
    "tests/analysis/test_influence.py", "tests/analysis/test_topological_concentration.py",
    "tests/engine/test_orbit_blocks.py",
)  # fmt: skip
#: tests that cannot run on such a build, with the reason
LEFT_OUT: dict[str, str] = {}
#: planted faults by sanitizer, and what the report has to say; None: no report
PLANTED = {
    "address": {"overflow": "heap-buffer-overflow", "freed": "heap-use-after-free", "sound": None},
    "undefined": {"shift": "shift exponent"},
    "thread": {"race": "data race", "sound": None},
}
_SECONDS = 1200
_SUMMARY = re.compile(r"^SUMMARY: (\w+Sanitizer: .*)$", re.MULTILINE)
_UNDEFINED = re.compile(r"^\.*([^\s.]\S*: runtime error: .*)$", re.MULTILINE)  # behind dots of pytest


def environment(preload: Sequence[str], sanitizers: Sequence[str], reports: Path) -> dict[str, str]:
    """Variables under which Python has the sanitizer, whose reports go to files that begin with ``reports``."""
    shared = f"log_path={reports}"
    return {
        **os.environ,
        "LD_PRELOAD": " ".join(preload),
        "PYTHONPATH": ".",
        "OMP_NUM_THREADS": "4",
        # data races need threads; else the tests set their numbers themselves
        "GRAPHKIT_TEST_THREADS": "3" if "thread" in sanitizers else "1",
        # CPython never frees some of its memory, so leaks are not looked for; 64 MiB of freed memory are kept to see its use
        "ASAN_OPTIONS": f"{shared}:detect_leaks=0:quarantine_size_mb=64:allocator_may_return_null=1",
        "UBSAN_OPTIONS": f"{shared}:print_stacktrace=1",
        "TSAN_OPTIONS": f"{shared}:halt_on_error=0:history_size=4:suppressions={ROOT / 'cpp_ext' / 'sanitize_thread.txt'}",
    }


def findings(folder: Path, said: str = "") -> list[str]:
    """One line for each report in a folder, and of undefined behaviour in what a process said; repeated ones once.

    Beside the address sanitizer GCC's undefined one takes no path for its reports and writes them to standard error.
    """
    found: dict[str, None] = dict.fromkeys(line.replace(str(ROOT) + "/", "") for line in _UNDEFINED.findall(said))
    for path in sorted(folder.glob("report.*")):
        text = path.read_text("utf-8", "replace")
        lines = _UNDEFINED.findall(text) or _SUMMARY.findall(text) or text.strip().splitlines()[:1]
        found.update(dict.fromkeys(line.replace(str(ROOT) + "/", "") for line in lines))
    return list(found)


def planted(room: Path, sanitizers: Sequence[str], preload: Sequence[str]) -> dict[str, str]:
    """What the sanitizer said of every planted fault.

    Raises:
        SystemExit: where it missed one, or reported the sound loop.
    """
    said = {}
    for sanitizer in sanitizers:
        for fault, expected in PLANTED[sanitizer].items():
            with tempfile.TemporaryDirectory() as folder:
                code = f"import ctypes, torch; torch.set_num_threads(2); ctypes.CDLL('./planted.so').{fault}()"
                variables = environment(preload, sanitizers, Path(folder) / "report")
                done = subprocess.run(
                    [sys.executable, "-c", code], cwd=room, env=variables, capture_output=True, text=True
                )
                found = findings(Path(folder), done.stderr)
            right = not found and done.returncode == 0 if expected is None else any(expected in one for one in found)
            if not right:
                sys.exit(f"planted {fault}: expected {expected or 'no report'}, found {found or done.stderr[-2000:]}")
            said[fault] = expected or "no report"
    return said


def tested(file: str, room: Path, sanitizers: Sequence[str], preload: Sequence[str]) -> dict[str, Any]:
    """A file of tests in a process of its own: counts, seconds, greatest memory, reports, and how it ended where not well."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        left_out = [word for test in LEFT_OUT if test.startswith(file) for word in ("--deselect", test)]
        words = [
            "-q",
            "-s",
            "-n",
            "0",
            "-p",
            "no:cacheprovider",
            f"--junitxml={folder / 'counts.xml'}",
            *left_out,
            file,
        ]
        begin = time.monotonic()
        with (folder / "said").open("wb") as out:
            child = subprocess.Popen(
                [sys.executable, "-m", "pytest", *words], cwd=room, stdout=out, stderr=subprocess.STDOUT,
                env=environment(preload, sanitizers, folder / "report"),
            )  # fmt: skip
            over, status, used = os.wait4(child.pid, os.WNOHANG)
            while not over:
                time.sleep(0.1)
                if time.monotonic() - begin > _SECONDS:
                    child.kill()
                over, status, used = os.wait4(child.pid, os.WNOHANG)
            child.returncode = os.waitstatus_to_exitcode(status)
        said = (folder / "said").read_text("utf-8", "replace")
        row: dict[str, Any] = {
            **counts(folder / "counts.xml"), "seconds": round(time.monotonic() - begin, 1),
            "peak_mib": used.ru_maxrss // 1024, "findings": findings(folder, said),
        }  # fmt: skip
        # pytest's own 0: all passed, 5: nothing to run; a report has been counted already
        if child.returncode not in (0, 5) and not row["findings"]:
            row["ended"] = f"status {child.returncode}: {said[-3000:]}"
        return row


def counts(report: Path) -> dict[str, Any]:
    """Tests that passed, were skipped, and failed (by name), from pytest's report."""
    if not report.exists():
        return {"passed": 0, "skipped": 0, "failed": []}
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    names = [f"{case.get('classname')}::{case.get('name')}" for case in failed]
    return {"passed": len(cases) - len(failed) - skipped, "skipped": skipped, "failed": names}


def files() -> list[str]:
    """Files of tests that reach the kernels of the CPU."""
    own = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "ops").glob("test_*.py"))
    own = [file for file in own if not file.endswith("_cuda.py")]
    return sorted(own, key=lambda file: file.endswith(("_registration.py", "_third_party.py"))) + list(ELSEWHERE)


def version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def commit() -> str:
    """The commit that is tested; results that differ do not count."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    where = [":/", ":(top,exclude)experiments/*results*"]
    command = ["git", "-C", str(ROOT), "status", "--porcelain", "--", *where]
    changed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return f"{found}-dirty" if changed else found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--room", type=Path, required=True, help="the folder that holds the build")
    parser.add_argument("--sanitize", required=True, help="such as address,undefined")
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--preload", nargs="+", default=[], help="libraries that are loaded before Python")
    parser.add_argument("--tests", nargs="+", help="these files alone; the results are printed, not written")
    arguments = parser.parse_args()
    sanitizers, room = arguments.sanitize.split(","), arguments.room.resolve()
    import torch

    record: dict[str, Any] = {
        "compiler": version(arguments.compiler), "python": platform.python_version(), "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"), "commit": commit(), "left_out": LEFT_OUT,
        "planted": planted(room, sanitizers, arguments.preload), "files": {},
    }  # fmt: skip
    print(f"planted faults: {record['planted']}", flush=True)
    wanted, before = arguments.tests or files(), {} if arguments.tests else done_before(arguments.sanitize, record)
    for file in wanted:
        record["files"][file] = before.get(file) or tested(file, room, sanitizers, arguments.preload)
        print(f"{file}: {json.dumps(record['files'][file])}", flush=True)
        summed(record, [one for one in wanted if one not in record["files"]])
        if not arguments.tests:
            written(arguments.sanitize, record)
    print(f"{arguments.sanitize}: {record['passed']} passed, {record['skipped']} skipped, {record['failed']} failed, "
          f"{len(record['findings'])} findings")  # fmt: skip
    return int(bool(record["failed"] or record["findings"] or any("ended" in row for row in record["files"].values())))


def summed(record: dict[str, Any], left: list[str]) -> None:
    """Bring the sums of a record up to date, and what is left to do."""
    rows = record["files"].values()
    record |= {key: sum(row[key] for row in rows) for key in ("passed", "skipped")}
    record["failed"] = sum(len(row["failed"]) for row in rows)
    record["findings"] = list(dict.fromkeys(one for row in rows for one in row["findings"]))
    record["not_run"] = left


def done_before(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """Files that an unfinished run of the same commit, compiler and libraries has done."""
    old = json.loads(RESULTS.read_text()).get(name, {}) if RESULTS.exists() else {}
    same = all(old.get(key) == record[key] for key in ("commit", "compiler", "python", "torch", "left_out"))
    return old["files"] if same and old.get("not_run") and not record["commit"].endswith("-dirty") else {}


def written(name: str, record: dict[str, Any]) -> None:
    """The record among those of the other sanitizers; nobody ever sees half a file."""
    whole = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    part = RESULTS.with_suffix(".part")
    part.write_text(json.dumps({**whole, name: record}, indent=1, sort_keys=True) + "\n")
    part.replace(RESULTS)


if __name__ == "__main__":
    sys.exit(main())
