"""Orbit adjacencies of large graphs, written as blocks of rows by one or several processes that may be stopped at any time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from graphkit.data.orbit_files import (
    MANIFEST,
    block_file,
    block_manifest,
    read_manifest,
    save_orbit_adjacency,
)
from graphkit.engine.distributed import OneProcess, joined
from graphkit.engine.run_directory import RunDirectory, writing
from graphkit.errors import UserError
from graphkit.ops import ORBIT_KEYS, SimpleGraph, orbit_adjacency_blocks, orbit_row_blocks
from graphkit.ops.orbits_reference import Key

__all__ = ["write_orbit_blocks"]

_THEN = "give the same command again, which goes on"


def write_orbit_blocks(
    graph: SimpleGraph,
    folder: str | os.PathLike[str],
    *,
    keys: Iterable[Key] | None = None,
    names: Sequence[str] | None = None,
    memory: int = 2**28,
    processes: OneProcess | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write orbit adjacencies as a folder of blocks of rows; what is there already is not made again.

    The folder holds ``manifest.json``, ``names.npz`` and a file for each block, written under a temporary name and
    renamed: a file that is there is whole. The blocks depend on the graph, the keys and ``memory``, not on the number of
    processes: each process takes every n-th of the missing ones, and together they write what one alone writes.
    :func:`graphkit.data.orbit_files.read_orbit_blocks` reads them.

    Args:
        graph: :class:`SimpleGraph`, the same in all processes.
        folder: where the blocks go.
        keys: (hop, i, j); None: all 28.
        names: of the nodes.
        memory: bytes for blocks in each process, see :func:`graphkit.ops.orbit_adjacency_blocks`.
        processes: those that share the work; None: those of torchrun, or this one alone.
        progress: called with (rows done, rows to do) of this process.

    Returns:
        The folder.

    Raises:
        UserError: a folder that holds something else, or blocks of another graph or of other keys; a full disk, after
            which the same call goes on; memory for less than one row.

    Example:
        >>> import torch
        >>> ring = SimpleGraph(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]), num_nodes=4)
        >>> folder = write_orbit_blocks(ring, "ring", keys=[(2, 8, 8)])
        >>> sorted(file.name for file in folder.iterdir() if file.name[0] != ".")
        ['manifest.json', 'rows-0000000000-0000000004.npz']
    """
    processes, path = processes or joined(), Path(folder)
    wanted = list(ORBIT_KEYS if keys is None else keys)
    blocks = orbit_row_blocks(graph, num_nodes=graph.num_nodes, keys=wanted, memory=memory)
    with processes.around_first(RunDirectory(path).locked()):
        missing = processes.on_first(lambda: _open(path, graph, wanted, blocks, names))
        mine = missing[processes.rank :: processes.size]
        done, total = 0, sum(end - begin for begin, end in mine)
        if progress is not None:
            progress(done, total)
        for begin, end, block in orbit_adjacency_blocks(graph, num_nodes=graph.num_nodes, keys=wanted, rows=mine):
            with writing(block_file(path, begin, end), _THEN) as file:
                save_orbit_adjacency(file, block, None, graph)
            done += end - begin
            if progress is not None:
                progress(done, total)
        processes.gather(graph.ptr.new_zeros(1))  # nobody leaves before all are done
    return path


def _open(
    path: Path, graph: SimpleGraph, keys: list[Key], blocks: list[tuple[int, int]], names: Sequence[str] | None
) -> list[tuple[int, int]]:
    """The blocks that are missing in a folder, which is made where it is new."""
    manifest = block_manifest(graph, keys, blocks, names)
    if (path / MANIFEST).exists():
        found = read_manifest(path)
        for part, what in (("sha256", "another graph"), ("keys", "other keys")):
            if found[part] != manifest[part]:
                there = f" ({', '.join(found['keys'])})" if part == "keys" else ""
                raise UserError(f"{path} holds blocks of {what}{there}; choose another folder, or remove this one")
        blocks = [(int(begin), int(end)) for begin, end in found["blocks"]]  # as they were cut with the memory of then
    else:
        if RunDirectory(path).has_content():
            raise UserError(f"{path} holds something else; give a new or an empty folder")
        if names is not None:
            with writing(path / "names.npz", _THEN) as file:
                np.savez(file, names=np.array(names, dtype=np.str_))
        with writing(path / MANIFEST, _THEN) as file:
            file.write((json.dumps(manifest, indent=1) + "\n").encode())
    return [block for block in blocks if not block_file(path, *block).exists()]
