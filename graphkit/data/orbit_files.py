"""Files of orbit counts and orbit adjacencies: npz that numpy alone can read, text for counts, folders of blocks of rows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from graphkit.data.compressed_sparse import check_compressed
from graphkit.errors import UserError
from graphkit.files import ARRAY_DAMAGE
from graphkit.ops import ORBIT_KEYS, SimpleGraph
from graphkit.ops.orbits_reference import Key

if TYPE_CHECKING:
    import scipy.sparse

__all__ = [
    "MANIFEST", "block_file", "block_manifest", "key_text", "parse_keys", "read_orbit_adjacency", "read_orbit_blocks",
    "save_orbit_adjacency", "save_orbit_counts", "write_orbit_table",
]  # fmt: skip

MANIFEST = "manifest.json"
_FORMAT = "graphkit orbit blocks 1"


def key_text(key: Key) -> str:
    """A key as text.

    Example:
        >>> key_text((2, 9, 10))
        '2:9:10'
    """
    return ":".join(map(str, key))


def parse_keys(text: str) -> list[Key]:
    """Keys from ``all`` or ``hop:i:j,hop:i:j``.

    Raises:
        UserError: for anything else; the valid keys are listed.

    Example:
        >>> parse_keys("2:9:10,1:3:3"), len(parse_keys("all"))
        ([(2, 9, 10), (1, 3, 3)], 28)
    """
    if text.strip() == "all":
        return list(ORBIT_KEYS)
    known = {key_text(key): key for key in ORBIT_KEYS}
    words = [word.strip() for word in text.split(",") if word.strip()]
    wrong = next((word for word in words if word not in known), None)
    if wrong is not None or not words:
        raise UserError(
            f"unknown orbit adjacency {wrong if words else text!r}, expected all, or some of {', '.join(known)} with commas"
            " between them"
        )
    return list(dict.fromkeys(known[word] for word in words))


def save_orbit_counts(file: IO[bytes], counts: Mapping[str, Tensor], names: Sequence[str], graph: SimpleGraph) -> None:
    """Write counts with the names of the nodes as npz: ``names``, the arrays of ``counts``, and what was dropped.

    Example:
        >>> import io
        >>> import torch
        >>> from graphkit.ops import orbit_counts
        >>> graph, file = SimpleGraph(torch.tensor([[0], [1]]), num_nodes=2), io.BytesIO()
        >>> save_orbit_counts(file, {"counts": orbit_counts(graph, num_nodes=2)}, ["a", "b"], graph)
        >>> _ = file.seek(0)
        >>> np.load(file)["counts"][:, 0].tolist()
        [1, 1]
    """
    arrays = {name: value.numpy() for name, value in counts.items()}
    np.savez(file, names=np.array(names, dtype=np.str_), **arrays, **_dropped(graph))  # type: ignore[arg-type]


def write_orbit_table(file: IO[bytes], counts: Tensor, names: Sequence[str], delimiter: str) -> None:
    """Write node counts as text: a header ``node orbit_0 ... orbit_14``, then one node a line.

    Raises:
        UserError: for a name that holds the delimiter, a quote or a line break where tabs stand between fields.

    Example:
        >>> import io
        >>> import torch
        >>> file = io.BytesIO()
        >>> write_orbit_table(file, torch.tensor([[3, 0]]), ["rome"], "\\t")
        >>> file.getvalue()
        b'node\\torbit_0\\torbit_1\\nrome\\t3\\t0\\n'
    """
    head = ["node", *(f"orbit_{orbit}" for orbit in range(counts.shape[1]))]
    file.write((delimiter.join(head) + "\n").encode())
    for name, row in zip(names, counts.tolist(), strict=True):
        if any(character in name for character in (delimiter, "\n", "\r", '"')):
            if delimiter == "\t":
                raise UserError(f"the name {name!r} does not fit into a field between tabs; write .csv or .npz")
            doubled = name.replace('"', '""')
            name = f'"{doubled}"'
        file.write((delimiter.join([name, *map(str, row)]) + "\n").encode())


def save_orbit_adjacency(
    file: IO[bytes], matrices: Mapping[Key, Tensor], names: Sequence[str] | None, graph: SimpleGraph
) -> None:
    """Write orbit adjacencies, or a block of their rows, as npz.

    The pattern of hop h is stored once, as ``indptr_h`` and ``indices_h``; the values of a key as ``data_h_i_j``; ``shape``
    and, with ``names``, the names of the nodes. :func:`read_orbit_adjacency` makes matrices of them again.

    Example:
        >>> import io
        >>> import torch
        >>> from graphkit.ops import orbit_adjacency
        >>> graph, file = SimpleGraph(torch.tensor([[0, 1], [1, 2]]), num_nodes=3), io.BytesIO()
        >>> save_orbit_adjacency(file, orbit_adjacency(graph, num_nodes=3, keys=[(2, 1, 1)]), ["a", "b", "c"], graph)
        >>> _ = file.seek(0)
        >>> sorted(np.load(file))[:4]
        ['data_2_1_1', 'duplicates', 'indices_2', 'indptr_2']
    """
    arrays: dict[str, Any] = {}
    for key, matrix in matrices.items():
        arrays[f"indptr_{key[0]}"] = matrix.crow_indices().numpy()
        arrays[f"indices_{key[0]}"] = matrix.col_indices().numpy()
        arrays["data_{}_{}_{}".format(*key)] = matrix.values().numpy()
        arrays["shape"] = np.array(matrix.shape)
    if names is not None:
        arrays["names"] = np.array(names, dtype=np.str_)
    np.savez(file, **arrays, **_dropped(graph))


def read_orbit_adjacency(
    path: str | os.PathLike[str], keys: Sequence[Key] | None = None
) -> dict[Key, scipy.sparse.csr_array]:
    """Orbit adjacencies from a file or a folder of blocks that ``graphkit orbits`` wrote.

    Args:
        path: ``.npz`` file or folder.
        keys: which ones; None: all that are there.

    Returns:
        ``{key: scipy csr_array [N, N]}``; arrays are not shared, no zero is stored.

    Raises:
        UserError: not such a file or folder, a folder whose blocks are not complete, a key that is not there.

    Example:
        >>> read_orbit_adjacency("network.npz")[2, 9, 10]  # doctest: +SKIP
    """
    import scipy.sparse

    if Path(path).is_dir():
        parts = [block for _, _, block in read_orbit_blocks(path, keys)]
        if not parts:  # no node, no block
            there = parse_keys(",".join(read_manifest(Path(path))["keys"])) if keys is None else keys
            return {key: scipy.sparse.csr_array((0, 0), dtype=np.int32) for key in there}
        return {key: scipy.sparse.vstack([part.pop(key) for part in parts], format="csr") for key in list(parts[0])}
    return _read(Path(path), keys)


def read_orbit_blocks(
    path: str | os.PathLike[str], keys: Sequence[Key] | None = None
) -> Iterator[tuple[int, int, dict[Key, scipy.sparse.csr_array]]]:
    """The blocks of rows in a folder that ``graphkit orbits`` wrote, one after the other.

    Args:
        path: the folder.
        keys: which orbit adjacencies; None: all that are there.

    Yields:
        ``(row_start, row_end, {key: scipy csr_array [row_end - row_start, N]})``, rows rising.

    Raises:
        UserError: no such folder, or blocks are missing.

    Example:
        >>> for start, end, block in read_orbit_blocks("network-orbits"):  # doctest: +SKIP
        ...     print(start, end, block[2, 9, 10].nnz)
    """
    folder = Path(path)
    blocks = read_manifest(folder)["blocks"]
    missing = [block for block in blocks if not block_file(folder, *block).exists()]
    if missing:
        raise UserError(
            f"{folder} lacks {len(missing)} of {len(blocks)} blocks; give the command that began it again to go on"
        )
    for begin, end in blocks:
        yield begin, end, _read(block_file(folder, begin, end), keys)


def block_file(folder: Path, begin: int, end: int) -> Path:
    """File of the rows from begin to before end.

    Example:
        >>> block_file(Path("out"), 0, 250).as_posix()
        'out/rows-0000000000-0000000250.npz'
    """
    return folder / f"rows-{begin:010d}-{end:010d}.npz"


def block_manifest(
    graph: SimpleGraph, keys: Sequence[Key], blocks: Sequence[tuple[int, int]], names: Sequence[str] | None
) -> dict[str, Any]:
    """What a folder of blocks says of itself: graph, keys, blocks.

    Example:
        >>> import torch
        >>> graph = SimpleGraph(torch.tensor([[0], [1]]), num_nodes=2)
        >>> block_manifest(graph, [(1, 0, 0)], [(0, 2)], None)["keys"]
        ['1:0:0']
    """
    seen = hashlib.sha256(graph.ptr.numpy().tobytes())
    seen.update(graph.col.numpy().tobytes())
    for name in names or ():
        seen.update(name.encode() + b"\n")
    return {
        "format": _FORMAT,
        "nodes": graph.num_nodes,
        "edges": graph.num_edges,
        "sha256": seen.hexdigest(),
        **{name: int(value) for name, value in graph.info._asdict().items()},
        "keys": [key_text(key) for key in keys],
        "blocks": [list(block) for block in blocks],
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of blocks.

    Raises:
        UserError: when there is none.
    """
    try:
        found = json.loads((folder / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} holds no blocks of orbit adjacencies (it has no {MANIFEST})") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{folder / MANIFEST} cannot be read ({error}); remove the folder and count again") from None
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise UserError(f"{folder / MANIFEST} is not one that graphkit orbits wrote; choose another folder")
    blocks, keys = found.get("blocks"), found.get("keys")
    ends = [block for block in blocks if isinstance(block, list)] if isinstance(blocks, list) else []
    whole = isinstance(blocks, list) and len(ends) == len(blocks) and isinstance(keys, list) and "sha256" in found
    if not whole or any(len(block) != 2 or any(type(end) is not int or end < 0 for end in block) for block in ends):
        raise UserError(f"{folder / MANIFEST} is damaged; remove the folder and count again")
    return found


def _read(path: Path, keys: Sequence[Key] | None) -> dict[Key, scipy.sparse.csr_array]:
    import scipy.sparse

    try:
        with np.load(path, allow_pickle=False) as data:
            there = [key for key in ORBIT_KEYS if "data_{}_{}_{}".format(*key) in data]
            if not there or "shape" not in data:
                raise UserError(f"{path} holds no orbit adjacencies; graphkit orbits --adjacency writes them")
            wanted = there if keys is None else list(keys)
            absent = next((key for key in wanted if key not in there), None)
            if absent is not None:
                raise UserError(f"{path} has no {key_text(absent)}, it has {', '.join(map(key_text, there))}")
            patterns = {
                hop: (data[f"indices_{hop}"], data[f"indptr_{hop}"]) for hop in {key[0] for key in wanted}
            }  # fmt: skip
            shape, out = tuple(int(size) for size in data["shape"]), {}
            for key in wanted:
                values = data["data_{}_{}_{}".format(*key)]
                out[key] = scipy.sparse.csr_array((values, *patterns[key[0]]), shape=shape, copy=True)
                check_compressed(out[key])  # before anything follows its pointers
                out[key].eliminate_zeros()
            return out
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except ARRAY_DAMAGE as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} cannot be read as orbit adjacencies ({error})") from None


def _dropped(graph: SimpleGraph) -> dict[str, Any]:
    return {name: np.array(value) for name, value in graph.info._asdict().items()}
