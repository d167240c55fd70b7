"""kill -9 at random moments: python experiments/faults/kill_test.py --kills 50

Trainings (``graphkit run`` and ``--resume``), fetching with the processed cache behind it, archives that are unpacked, and
blocks of orbit adjacencies. Each is killed at moments drawn from the time that it takes alone, started again, killed again,
and in the end left to itself; then all that it leaves must be what an uninterrupted one leaves: weights bit for bit, metrics,
log, files. Each process is a fork of this one, which has imported everything, so that a kill costs little more than the work
it undoes.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import http.server
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import load_file

import graphkit.engine.run
from graphkit import cli, datasets
from graphkit.data import EdgeTable
from graphkit.engine.orbit_blocks import write_orbit_blocks
from graphkit.ops import SimpleGraph

RESULTS = Path(__file__).resolve().parent / "results" / "kills.json"


@dataclass
class Work:
    """Something to be killed: ``begin`` does it in a folder, or goes on with it; ``outcome`` says what it left."""

    name: str
    begin: Callable[[Path], None]
    outcome: Callable[[Path], Any]
    share: float


def child(call: Callable[[], Any], log: Path) -> int:
    """Process number of a fork that makes the call."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        with log.open("ab", buffering=0) as out:
            os.dup2(out.fileno(), 1), os.dup2(out.fileno(), 2)
        status = int(call() or 0)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)


def until_done(call: Callable[[], Any], log: Path) -> float:
    """Seconds that the call took in a process of its own."""
    begin = time.monotonic()
    status = os.waitstatus_to_exitcode(os.waitpid(child(call, log), 0)[1])
    if status:
        sys.exit(f"failed with status {status}: {log.read_text()[-2000:]}")
    return time.monotonic() - begin


# Trainings


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in record.items()
        if "seconds" not in key and key not in ("time", "commit", "peak_memory")
    }


def training(config: Path, out: Path) -> int:
    words = ["run", str(config), "--out", str(out)]
    return cli.main([*words, "--resume"] if (out / "config.yaml").exists() else words)


def of_training(out: Path) -> Any:
    results = [without_times(json.loads(line)) for line in (out / "results.jsonl").read_text().splitlines()]
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    epochs = [
        (line["seed"], line["epoch"], line.get("loss"), line.get("valid"))
        for line in log
        if line.get("event") == "epoch"
    ]
    weights = {
        path.relative_to(out).as_posix(): hashlib.sha256(
            b"".join(one.numpy().tobytes() for _, one in sorted(load_file(path).items()))
        ).hexdigest()
        for path in sorted(out.rglob("*.safetensors"))
    }
    remains = [path.name for path in out.rglob(".*.part")]
    return json.loads(json.dumps([results, sorted(epochs, key=str), weights, remains]))


# Fetching


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def copyfile(self, source: Any, out: Any) -> None:  # slowly enough that a kill finds half a file
        while block := source.read(2**15):
            out.write(block)
            time.sleep(0.001)


def serve(folder: Path) -> tuple[int, int]:
    """Port and process of a server of a folder."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    pid = os.fork()
    if pid == 0:
        server.serve_forever()
        os._exit(0)
    port = server.server_port
    server.socket.close()
    return port, pid


def card_of(folder: Path, port: int, files: dict[str, bytes], **changes: Any) -> Path:
    content = {
        "name": "served",
        "title": "made up",
        "task": "knowledge_graph",
        "reader": "triples",
        "folders": ["served"],
        "files": [
            {
                "path": name,
                "url": f"http://127.0.0.1:{port}/{name}",
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            for name, data in files.items()
        ],
        "licence": "CC0",
        "citation": "nobody",
        "source": "made up",
        "statistics": {},
        **changes,
    }
    path = folder / f"{'archive' if 'archive' in changes else 'files'}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def fetching(card: Path, cache: Path) -> None:
    os.environ["GRAPHKIT_CACHE"] = str(cache)
    os.environ.pop("GRAPHKIT_OFFLINE", None)
    os.environ.pop("GRAPHKIT_DATA", None)
    datasets.fetch(str(card))
    datasets.load(str(card))


def of_cache(card: Path, cache: Path) -> Any:
    os.environ["GRAPHKIT_CACHE"] = str(cache)
    assert all(whole for _, whole, _ in datasets.verify(str(card)))
    task = datasets.load(str(card))
    whole = {
        path.relative_to(cache).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((cache / "raw").rglob("*.txt"))
    }
    processed = {}
    for path in sorted((cache / "processed").glob("*.npz")):
        with np.load(path) as arrays:
            processed[path.name] = {name: hashlib.sha256(arrays[name].tobytes()).hexdigest() for name in arrays.files}
    triples = {
        split: hashlib.sha256(task.triples(split).numpy().tobytes()).hexdigest() for split in ("train", "valid", "test")
    }
    return [triples, task.entities, task.relations, whole, processed]


# Orbit blocks


def of_blocks(folder: Path) -> Any:
    found = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            found[path.name] = {name: hashlib.sha256(arrays[name].tobytes()).hexdigest() for name in arrays.files}
    return [found, json.loads((folder / "manifest.json").read_text()), [path.name for path in folder.glob(".*.part")]]


def works(room: Path) -> tuple[list[Work], int]:
    rng = random.Random(0)
    triples = [(f"e{rng.randrange(40)}", f"r{i % 3}", f"e{rng.randrange(40)}") for i in range(300)]
    (room / "triples.tsv").write_text("".join("\t".join(row) + "\n" for row in triples))
    configs = {
        "DistMult": "model: {name: DistMult, hidden_channels: 8}\n"
        "train: {epochs: 40, lr: 0.05, checkpoint_every: 0.02}\nseeds: [0, 1]\n",
        "NBFNet": "model: {name: NBFNet, hidden_channels: 4, num_layers: 2}\nloader: {batch_size: 32, num_negatives: 4}\n"
        "train: {epochs: 4, lr: 0.01, checkpoint_every: 0.02, evaluate_every: 2}\nseeds: [0]\n",
    }
    found = []
    for name, text in configs.items():
        config = room / f"{name.lower()}.yaml"
        config.write_text(f"name: {name.lower()}\ndata: {{file: {room}/triples.tsv, valid: 0.1, test: 0.1}}\n{text}")
        found.append(Work(f"training of {name}", functools.partial(training, config), of_training, 0.2))
    names = [f"entity-{i}-{rng.randrange(10**12):012d}" for i in range(4000)]
    files = {
        f"{split}.txt": "".join(
            f"{rng.choice(names)}\tr{rng.randrange(5)}\t{rng.choice(names)}\n" for _ in range(count)
        ).encode()
        for split, count in (("train", 30000), ("valid", 2000), ("test", 2000))
    }
    served = room / "served"
    served.mkdir()
    for name, data in files.items():
        (served / name).write_bytes(data)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(f"inner/{name}", data)
    (served / "served.zip").write_bytes(out.getvalue())
    port, server = serve(served)
    single = card_of(room, port, files)
    packed = card_of(room, port, files, archive={"url": f"http://127.0.0.1:{port}/served.zip", "folder": "inner"})
    for name, card in (("fetching of files", single), ("fetching of an archive", packed)):
        found.append(Work(name, functools.partial(fetching, card), functools.partial(of_cache, card), 0.2))
    edges = torch.tensor([[rng.randrange(250), rng.randrange(250)] for _ in range(2500)]).t()
    graph = SimpleGraph(edges, num_nodes=250)

    def blocks(folder: Path) -> None:
        write_orbit_blocks(graph, folder, memory=2**21)

    found.append(Work("orbit blocks", blocks, of_blocks, 0.2))
    return found, server


def killed(work: Work, room: Path, kills: int, rng: random.Random, length: float, log: Path) -> dict[str, Any]:
    """One folder, killed so often and then left to itself."""
    folder, done, moments = room / "killed", 0, []
    while done < kills:
        pid = child(lambda: work.begin(folder), log)
        moment = rng.uniform(0.02, 0.95) * length
        deadline = time.monotonic() + moment
        status: int | None = None
        while time.monotonic() < deadline and status is None:
            over, code = os.waitpid(pid, os.WNOHANG)
            status = os.waitstatus_to_exitcode(code) if over else None
            time.sleep(0.001)
        if status is None:
            os.kill(pid, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == -signal.SIGKILL:
            done += 1
            moments.append(round(moment, 3))
        elif status == 0:  # through before its moment came: again from the beginning
            shutil.rmtree(folder)
            length *= 0.9
        else:
            return {
                "work": work.name,
                "kills": done,
                "moments": moments,
                "fault": f"status {status}: {log.read_text()[-500:]}",
            }
    before = time.monotonic()
    if os.waitstatus_to_exitcode(os.waitpid(child(lambda: work.begin(folder), log), 0)[1]):
        return {"work": work.name, "kills": done, "moments": moments, "fault": log.read_text()[-500:]}
    left = [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ("tmp" in path.name or path.name.endswith(".part"))
    ]
    return {
        "work": work.name,
        "kills": done,
        "moments": moments,
        "seconds_to_end": round(time.monotonic() - before, 2),
        "left_over": left,
    }


def run(kills: int, seed: int, size: int = 5) -> dict[str, Any]:
    """So many kills over all the works, in folders of a few kills each."""
    torch.set_num_threads(1)
    rng, trials = random.Random(seed), []
    alone: dict[str, float] = {}
    assert graphkit.engine.run and EdgeTable  # imported before the forks
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        found, server = works(Path(place))
        try:
            for work in found:
                room, log = Path(place) / work.name.replace(" ", "-"), Path(place) / "log"
                room.mkdir()
                log.write_bytes(b"")
                length = until_done(lambda work=work, room=room: work.begin(room / "whole"), log)  # type: ignore[misc]
                wanted = work.outcome(room / "whole")
                alone[work.name] = round(length, 2)
                left = max(1, round(kills * work.share))
                while left:
                    trial = killed(work, room, min(size, left), rng, length, log)
                    trial["equal"] = "fault" not in trial and work.outcome(room / "killed") == wanted
                    trials.append(trial)
                    shutil.rmtree(room / "killed", ignore_errors=True)
                    left -= min(size, left)
        finally:
            os.kill(server, signal.SIGKILL)
            os.waitpid(server, 0)
    return {
        "seed": seed,
        "kills": sum(trial["kills"] for trial in trials),
        "survived": sum(trial["kills"] for trial in trials if trial["equal"]),
        "seconds_alone": alone,
        "trials": trials,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    found = run(arguments.kills, arguments.seed)
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    for trial in found["trials"]:
        print(
            trial["work"],
            trial["kills"],
            "kills,",
            "equal" if trial["equal"] else f"NOT EQUAL {trial.get('fault', '')}",
            trial.get("left_over", ""),
        )
    print(f"{found['survived']} of {found['kills']} kills survived")


if __name__ == "__main__":
    main()
