"""Feeds every reader of files with damaged and hostile ones: python experiments/faults/fuzz_readers.py --seconds 55

An input is a whole set of files, one or a few of them changed or made up at random; number and seed give it again. A reader
may accept it or raise UserError. Anything else is a finding: another exception, a crash of the interpreter, more than five
seconds, more than 600 MB, a file opened for writing outside of its folder, a program started, a connection opened. Findings are
kept with their files below results/findings. Each call goes on where the one before ended; --fresh begins anew.

    python experiments/faults/fuzz_readers.py --reader "OGB links" --input 1234      # one input again, with its traceback
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import torch  # noqa: E402
from mutations import changed  # noqa: E402
from readers_under_test import Files, Reader, readers  # noqa: E402

from graphkit.errors import UserError  # noqa: E402

RESULTS = HERE / "results" / "fuzz.json"
SECONDS, MEMORY = 5.0, 600 * 2**20
BATCH = 250  # inputs of one child; a crash costs at most these


class TooSlow(BaseException):
    """No reader may catch it."""


def inputs_of(reader: Reader, number: int, seed: int) -> tuple[int, Files, list[str]]:
    """Variant, changed files and removed ones of an input."""
    rng = random.Random(f"{seed}/{reader.name}/{number}")
    which = rng.randrange(len(reader.variants))
    files = reader.variants[which]
    names = list(files)
    if number < len(reader.variants):
        return number, {}, []  # first the files as they are
    if rng.random() < 0.02:
        return which, {}, [rng.choice(names)]
    others = [files[name] for name in rng.sample(names, min(3, len(names)))]
    count = 1 if rng.random() < 0.85 else min(len(names), rng.randint(2, 3))
    found: Files = {}
    for name in rng.sample(names, count):
        if reader.made is not None and rng.random() < 0.2:
            found[name] = reader.made(rng, name.rpartition(".")[2])
        else:
            found[name] = changed(files[name], rng, others)
    return which, found, []


class Room:
    """A folder for a child with the files of a reader, one of whose inputs is in place at a time."""

    def __init__(self, reader: Reader, path: Path) -> None:
        self.reader, self.path = reader, path
        for which, files in enumerate(reader.variants):
            for name, data in files.items():
                self._write(which, name, data)

    def _write(self, which: int, name: str, data: bytes) -> None:
        place = self.path / f"v{which}" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    def prepare(self, number: int, seed: int) -> tuple[int, list[str]]:
        which, found, removed = inputs_of(self.reader, number, seed)
        for name, data in found.items():
            self._write(which, name, data)
        for name in removed:
            (self.path / f"v{which}" / name).unlink()
        return which, [*found, *removed]

    def restore(self, which: int, names: list[str]) -> None:
        for name in names:
            self._write(which, name, self.reader.variants[which][name])

    def read(self, which: int) -> Any:
        return self.reader.read(self.path / f"v{which}", which)


class Watch:
    """Notes what a reader has no business with, by Python's audit events."""

    def __init__(self, allowed: Path) -> None:
        self.allowed, self.seen, self.on = str(allowed) + os.sep, "", False
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = (isinstance(mode, str) and any(letter in mode for letter in "wax+")) or (
                mode is None and flags is not None and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            )
            if writes and not isinstance(path, int):
                self._inside(event, path)
        elif event in (
            "os.remove",
            "os.mkdir",
            "os.rmdir",
            "os.symlink",
            "os.link",
            "os.rename",
            "shutil.rmtree",
            "os.truncate",
        ):
            for path in arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
                self._inside(event, path)
        elif event.partition(".")[0] in ("socket", "subprocess", "ftplib", "urllib", "http") or event in (
            "os.system", "os.exec", "os.fork", "os.posix_spawn", "pty.spawn",
        ):  # fmt: skip
            self.seen = self.seen or f"{event} {arguments!r:.200}"

    def _inside(self, event: str, path: Any) -> None:
        whole = os.path.realpath(os.fsdecode(path))
        if not (whole + os.sep).startswith(self.allowed) and whole != os.devnull:
            self.seen = self.seen or f"{event} {whole}"


def where(error: BaseException) -> str:
    """The last line of graphkit's own in a traceback, and the very last one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/graphkit/" in frame.filename]
    shown = [*own[-1:], *frames[-1:]]
    return " / ".join(
        dict.fromkeys(f"{frame.filename.rpartition('/')[2]}:{frame.name}:{frame.lineno}" for frame in shown)
    )


def child(reader: Reader, numbers: range, seed: int, place: Path, board: mmap.mmap, answer: int) -> None:
    """Reads the inputs and leaves one line of JSON: counts and findings."""

    def too_slow(*_: Any) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, too_slow)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    place = place.resolve()
    os.environ["TMPDIR"] = tempfile.tempdir = str(place / "tmp")
    os.environ["GRAPHKIT_CACHE"] = str(place / "cache")
    (place / "tmp").mkdir(parents=True)
    (place / "cwd").mkdir()
    os.chdir(place / "cwd")
    room, watch = Room(reader, place / "files"), Watch(place)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**31,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**28,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1), os.dup2(quiet, 2)
    faulthandler.disable()
    warnings.simplefilter("ignore")
    counts, findings, slowest = {"read": 0, "refused": 0}, [], 0.0
    for number in numbers:
        struct.pack_into("<q", board, 0, number)
        which, names = room.prepare(number, seed)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        kind, told, place_of = "", "", ""
        begin = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        watch.on = True
        try:
            room.read(which)
        except UserError as error:
            counts["refused"] += 1
            if len(str(error)) > 20000:
                kind, told, place_of = "message of more than 20 000 characters", str(error)[:100], where(error)
            elif number < len(reader.variants) and reader.valid:
                kind, told, place_of = "refused a valid file", str(error), where(error)
        except TooSlow as error:
            kind, place_of = f"more than {SECONDS:g} s", where(error)
        except BaseException as error:
            kind, told, place_of = type(error).__name__, str(error)[:200], where(error)
        else:
            counts["read"] += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            watch.on = False
        took = time.monotonic() - begin
        slowest = max(slowest, took)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if not kind and grown > MEMORY:
            kind, told = "memory", f"{grown / 2**20:.0f} MiB more"
        if watch.seen:
            kind, told, watch.seen = "outside of its folder", watch.seen, ""
        elif not kind and (any((place / "cwd").iterdir()) or any((place / "tmp").iterdir())):
            kind, told = "files left behind", str([*(place / "cwd").iterdir(), *(place / "tmp").iterdir()])[:200]
            for left in [*(place / "cwd").iterdir(), *(place / "tmp").iterdir()]:
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
        if kind:
            findings.append(
                {"reader": reader.name, "kind": kind, "told": told, "where": place_of, "input": number, "seed": seed}
            )
        room.restore(which, names)
    with os.fdopen(answer, "w") as file:
        json.dump({**counts, "findings": findings, "slowest": slowest}, file)


def batch(reader: Reader, begin: int, end: int, seed: int, board: mmap.mmap) -> Iterator[dict[str, Any]]:
    """Results of inputs in children; after one that died, another goes on behind the input it died of."""
    while begin < end:
        receive, send = os.pipe()
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            struct.pack_into("<q", board, 0, begin)
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    os.close(receive)
                    child(reader, range(begin, end), seed, Path(folder), board, send)
                    status = 0
                finally:
                    os._exit(status)
            os.close(send)
            last, since, hung = -1, time.monotonic(), False
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                at = struct.unpack_from("<q", board, 0)[0]
                if at != last:
                    last, since = at, time.monotonic()
                elif time.monotonic() - since > 4 * SECONDS:  # code that no signal interrupts
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    hung = True
                    break
                time.sleep(0.002)
            with os.fdopen(receive) as file:
                text = file.read()
        if text:
            yield {**json.loads(text), "inputs": end - begin}
            return
        at = struct.unpack_from("<q", board, 0)[0]
        found = {
            "reader": reader.name,
            "kind": "hang" if hung else "crash",
            "told": "",
            "where": "",
            "input": at,
            "seed": seed,
        }
        yield {"read": 0, "refused": 0, "findings": [found], "slowest": 0.0, "inputs": at + 1 - begin}
        begin = at + 1


def keep(reader: Reader, finding: dict[str, Any], folder: Path) -> str:
    """The files of a finding, for a look at them."""
    name = "".join(
        letter if letter.isalnum() else "-" for letter in f"{reader.name}-{finding['kind']}-{finding['input']}"
    ).lower()
    which, found, removed = inputs_of(reader, finding["input"], finding["seed"])
    for file, data in {**reader.variants[which], **found}.items():
        if file not in removed:
            place = folder / name / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    return name


def fuzz(
    found: list[Reader], state: dict[str, Any], *, seconds: float, inputs: int | None = None, folder: Path | None = None
) -> dict[str, Any]:
    """Goes round the readers until the time is over or they have that many inputs in all; returns the state, brought up to date."""
    board, deadline = mmap.mmap(-1, 8), time.monotonic() + seconds
    total = sum(reader.share for reader in found)
    known = {(one["reader"], one["kind"], one["where"]) for one in state["findings"]}
    gc.freeze()  # children then copy less of the parent's memory
    while time.monotonic() < deadline:
        # the reader that is farthest behind its share
        behind = {
            reader.name: state["readers"].get(reader.name, {}).get("inputs", 0) / reader.share for reader in found
        }
        reader = min(found, key=lambda one: behind[one.name])
        done = state["readers"].setdefault(
            reader.name, {"inputs": 0, "read": 0, "refused": 0, "seconds": 0.0, "slowest": 0.0}
        )
        if inputs is not None and behind[reader.name] * total >= inputs:
            break
        start = time.monotonic()
        rate = (done["inputs"] + 20) / (done["seconds"] + 0.5)
        size = int(
            min(BATCH, max(20, 3 * rate), 30 + done["inputs"])
        )  # about three seconds, and everybody soon has a turn
        count = size if inputs is None else min(size, max(1, int(inputs * reader.share / total) - done["inputs"]))
        for result in batch(reader, done["inputs"], done["inputs"] + count, state["seed"], board):
            for key in ("inputs", "read", "refused"):
                done[key] += result[key]
            done["slowest"] = max(done["slowest"], round(result["slowest"], 3))
            for finding in result["findings"]:
                key = finding["reader"], finding["kind"], finding["where"]
                if key not in known:
                    known.add(key)
                    saved = {} if folder is None else {"files": keep(reader, finding, folder)}
                    state["findings"].append({**finding, **saved})
        done["seconds"] = round(done["seconds"] + time.monotonic() - start, 2)
    state["inputs"] = sum(one["inputs"] for one in state["readers"].values())
    state["seconds"] = round(sum(one["seconds"] for one in state["readers"].values()), 1)
    return state


def again(found: list[Reader], state: dict[str, Any]) -> None:
    """Tries the inputs of earlier findings again; those that are none any more are noted as mended."""
    board, open_ones = mmap.mmap(-1, 8), []
    by_name = {reader.name: reader for reader in found}
    for finding in state["findings"]:
        reader, number = by_name.get(finding["reader"]), finding["input"]
        if reader is None or any(
            result["findings"] for result in batch(reader, number, number + 1, finding["seed"], board)
        ):
            open_ones.append(finding)
        else:
            state["mended"].append({key: finding[key] for key in ("reader", "kind", "told", "where", "input", "seed")})
    state["findings"] = open_ones


def warm(found: list[Reader], folder: Path) -> None:
    """Reads the files as they are, so that what readers import late is there before the children are made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for reader in found:
            room = Room(reader, folder / reader.name.replace(" ", "-"))
            for which in range(len(reader.variants)):
                try:
                    room.read(which)
                except Exception as error:
                    print(
                        f"{reader.name}: the valid files {which} are not read: {type(error).__name__} {error}",
                        flush=True,
                    )


def fresh(seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "limit": {"seconds": SECONDS, "bytes": MEMORY},
        "inputs": 0,
        "seconds": 0.0,
        "findings": [],
        "mended": [],
        "readers": {},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=55.0)
    parser.add_argument("--inputs", type=int, help="stop when there are that many in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    parser.add_argument("--reader", action="append", help="only this one; may be given several times")
    parser.add_argument("--input", type=int, help="run one input of --reader again and show its traceback")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["GRAPHKIT_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory(prefix="fuzz-valid-") as valid:
        os.environ["GRAPHKIT_CACHE"] = f"{valid}/cache"
        found = readers(Path(valid))
        if arguments.reader:
            found = [reader for reader in found if reader.name in arguments.reader]
            if not found:
                sys.exit(
                    f"no reader {arguments.reader}; there are {', '.join(reader.name for reader in readers(Path(valid) / 'again'))}"
                )
        if arguments.input is not None:
            with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
                room = Room(found[0], Path(folder))
                which, names = room.prepare(arguments.input, arguments.seed)
                print(f"variant {which}, changed: {', '.join(names)}")
                print(repr(room.read(which))[:2000])
            return
        warm(found, Path(valid) / "warm")
        state = fresh(arguments.seed)
        if RESULTS.exists() and not arguments.fresh:
            state = json.loads(RESULTS.read_text())
        again(found, state)
        fuzz(found, state, seconds=arguments.seconds, inputs=arguments.inputs, folder=RESULTS.parent / "findings")
    state["versions"] = {"python": sys.version.split()[0], "torch": torch.__version__}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(state, indent=1) + "\n")
    for name, one in state["readers"].items():
        print(
            f"{name}: {one['inputs']} inputs, {one['read']} read, {one['refused']} refused, "
            f"{one['inputs'] / max(one['seconds'], 0.01):.0f} a second, slowest {one['slowest']} s"
        )
    print(f"{state['inputs']} inputs in {state['seconds']} s, {len(state['findings'])} findings")
    for finding in state["findings"]:
        print(
            f"  {finding['reader']}: {finding['kind']} {finding['told'][:110]!r} at {finding['where']} (input {finding['input']})"
        )


if __name__ == "__main__":
    main()
