"""Time and memory of a call, measured the same way for everybody: rounds in turn, peak of the resident set above the start."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

from graphkit.engine.environment import cpu_model, git_commit

RESULTS = Path(__file__).parent / "results"


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def peak_of(call: Callable[[], object]) -> int:
    """Largest resident size during the call above that before it, in bytes, sampled every half millisecond."""
    gc.collect()
    # what earlier calls freed but the allocator kept would hide what this call needs
    ctypes.CDLL(None).malloc_trim(0)
    start, top, done = resident(), [0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            top[0] = max(top[0], resident())
            time.sleep(5e-4)

    thread = threading.Thread(target=watch)
    thread.start()
    result = call()
    top[0] = max(top[0], resident())
    done.set()
    thread.join()
    del result
    return max(top[0] - start, 0)


def measure(calls: dict[str, Callable[[], object]], rounds: int, *, in_a_row: bool = False) -> dict[str, dict[str, float]]:
    """Every call once for its memory, then `rounds` rounds of all calls in turn. Seconds: least, median, greatest.

    With ``in_a_row`` a timed call follows one of its own, as in a loop. For calls of few milliseconds: after those of others
    threads sleep, and waking them takes a virtual machine up to a millisecond.
    """
    memory = {name: peak_of(call) for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            if in_a_row:
                call()
            begin = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - begin)
    return {
        name: {
            "min": min(s), "median": statistics.median(s), "max": max(s), "peak_mib": memory[name] / 2**20, "rounds": rounds,
        }
        for name, s in seconds.items()
    }  # fmt: skip


def commit() -> str | None:
    """The commit that is measured; result files that differ do not count, a run writes several."""
    found = git_commit()
    if found is None or not found.endswith("-dirty"):
        return found
    command = [
        "git",
        "-C",
        str(RESULTS),
        "status",
        "--porcelain",
        "--",
        ":/",
        ":(top,exclude)experiments/bench/results",
    ]
    changed = subprocess.run(command, capture_output=True, text=True, check=True)
    return found if changed.stdout.strip() else found.removesuffix("-dirty")


def write(name: str, rows: list[dict[str, object]]) -> None:
    """Rows to results/NAME.json with what they were measured on."""
    RESULTS.mkdir(exist_ok=True)
    # glibc's settings decide whether a large result is memory seen for the first time, which some virtual machines make dear
    allocator = {name: value for name, value in sorted(os.environ.items()) if name.startswith("MALLOC_")}
    head = {
        "processor": cpu_model(), "threads": torch.get_num_threads(), "torch": torch.__version__,
        "python": platform.python_version(), "date": time.strftime("%Y-%m-%d"), "commit": commit(),
        **({"allocator": allocator} if allocator else {}),
    }  # fmt: skip
    text = json.dumps({"machine": head, "rows": rows}, indent=1)
    part = RESULTS / f".{name}.part"
    part.write_text(text + "\n")
    part.replace(RESULTS / f"{name}.json")
