"""What graphkit fetches, and what it wrote itself."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch
from random_texts import made_yaml
from reader import Reader, contents

__all__ = ["archive_readers", "own_readers"]


def archive_readers(room: Path) -> list[Reader]:
    """Fetching, but for the connection: the archive lies where the server's answer would."""
    from graphkit.datasets import archive as unpacking
    from graphkit.datasets.card import Card, CardFile
    from graphkit.datasets.locate import cache_folder
    from graphkit.datasets.pins import pin_path, pinned

    members = {"raw/edge.csv": b"0,1\n" * 20, "split/train.pt": b"x" * 300, "RELEASE_v1.txt": b"1"}
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"toy/{name}", content)
        archive.writestr("../outside", b"x")
    files = [CardFile(name, None, None, None) for name in members]
    card = Card(
        "toy",
        "toy",
        "link",
        "ogb_links",
        files,
        ["toy"],
        "",
        "",
        "",
        {},
        archive={"url": "https://example.org/toy.zip", "folder": "toy"},
    )

    def unpack(folder: Path, _: int) -> None:
        shutil.rmtree(cache_folder(), ignore_errors=True)
        before = unpacking.retrieve
        copy = folder / "fetched.zip"
        if (folder / "toy.zip").exists():
            copy.write_bytes((folder / "toy.zip").read_bytes())
        unpacking.retrieve = lambda *_, **__: copy
        offline = os.environ.pop("GRAPHKIT_OFFLINE", None)
        try:
            unpacking.unpack_archive(card)
        finally:
            unpacking.retrieve = before
            os.environ["GRAPHKIT_OFFLINE"] = offline or "0"

    def read_pin(folder: Path, _: int) -> Any:
        place = pin_path(card, files[0])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        if (folder / "pin.json").exists():
            shutil.copyfile(folder / "pin.json", place)
        return pinned(card, files[0])

    record = json.dumps({"data set": "toy", "file": "a", "bytes": 3, "sha256": "0" * 64, "address": None}).encode()
    return [
        Reader("archives", [{"toy.zip": held.getvalue()}], unpack, None),
        Reader("records of first use", [{"pin.json": record}], read_pin, None, 0.3),
    ]


def own_readers(room: Path) -> list[Reader]:
    """Files that graphkit itself wrote: caches, checkpoints, run directories, orbit blocks."""
    import graphkit as gk
    from graphkit.data import KnowledgeGraphTask
    from graphkit.data.orbit_files import read_orbit_adjacency, save_orbit_adjacency
    from graphkit.datasets.processed import read_processed, write_processed
    from graphkit.engine.checkpoint import read_metadata, read_tensors
    from graphkit.engine.config import load_config
    from graphkit.engine.orbit_blocks import write_orbit_blocks
    from graphkit.engine.pretrained_files import load_pretrained, save_pretrained
    from graphkit.engine.report import render
    from graphkit.engine.run import evaluate_run, run_experiment
    from graphkit.models import GMoPE
    from graphkit.ops import SimpleGraph, orbit_adjacency

    rows = [(f"e{i}", f"r{i % 2}", f"e{(i + 1) % 8}") for i in range(16)]
    write_processed(room / "processed.npz", KnowledgeGraphTask.from_names("toy", rows[:10], rows[10:13], rows[13:]))
    ring = SimpleGraph(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]), num_nodes=4)
    write_orbit_blocks(ring, room / "blocks", keys=[(2, 8, 8), (1, 8, 8)], memory=600)
    out = io.BytesIO()
    save_orbit_adjacency(out, orbit_adjacency(ring, num_nodes=4, keys=[(2, 8, 8)]), list("abcd"), ring)
    torch.manual_seed(0)
    save_pretrained(GMoPE(4, 8, num_experts=2), room / "pretrained.safetensors")
    triples = room / "triples.tsv"
    triples.write_text("".join("\t".join(row) + "\n" for row in rows))
    (room / "own.yaml").write_text(
        f"name: own\ndata: {{file: {triples}, valid: 0.2, test: 0.2}}\nmodel: {{name: DistMult, hidden_channels: 4}}\n"
        "train: {epochs: 2, lr: 0.1, checkpoint_every: 0}\nseeds: [0]\n"
    )
    run_experiment(load_config(room / "own.yaml"), room / "run")
    run = {
        name: data
        for name, data in contents(room / "run").items()
        if not name.startswith(".") and not name.endswith(".html")
    }
    tensors = {name: data for name, data in run.items() if name.endswith(".safetensors")}

    def safetensors_of(folder: Path, which: int) -> Any:
        path = next(folder.rglob("*.safetensors"), folder / "none.safetensors")
        return read_metadata(path), read_tensors(path)

    def report(folder: Path, which: int) -> Any:
        return [render([folder], format) for format in ("md", "csv", "json")]

    def resumed(folder: Path, which: int) -> Any:
        return list(evaluate_run(folder))

    assert gk is not None
    return [
        Reader(
            "processed forms",
            [{"a.npz": (room / "processed.npz").read_bytes()}],
            lambda folder, _: read_processed(folder / "a.npz", "toy"),
        ),
        Reader(
            "orbit adjacencies", [{"a.npz": out.getvalue()}], lambda folder, _: read_orbit_adjacency(folder / "a.npz")
        ),
        Reader("orbit blocks", [contents(room / "blocks")], lambda folder, _: read_orbit_adjacency(folder)),
        Reader("checkpoints", [{name: data} for name, data in tensors.items()], safetensors_of, None, 1.5),
        Reader(
            "pre-trained mixtures",
            [{"a.safetensors": (room / "pretrained.safetensors").read_bytes()}],
            lambda folder, _: load_pretrained(folder / "a.safetensors"),
            None,
            0.5,
        ),
        Reader("reports of run directories", [run], report, made_yaml, 0.4),
        Reader("evaluation of run directories", [run], resumed, made_yaml, 0.1),
    ]
