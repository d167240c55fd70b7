"""A graph of the user's own in place of a data set: files by path, pinned by their hashes."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from graphkit.data import EdgeTable, KnowledgeGraphTask
from graphkit.data.triples import file_bytes
from graphkit.datasets.integrity import sha256 as sha256_of
from graphkit.errors import UserError, nearest

__all__ = ["load_own_graph", "own_graph", "pinned"]

Files = str | dict[str, str]


def load_own_graph(
    file: str | dict[str, str] | None = None,
    *,
    sha256: str | dict[str, str] | None = None,
    head: int | str | None = None,
    relation: int | str | None = None,
    tail: int | str | None = None,
    split: int | str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    comments: bool = True,
    seed: int = 0,
    valid: float = 0.1,
    test: float = 0.1,
    together: Literal["mirror", "pair"] = "mirror",
    inductive: bool = False,
    test_entities: float = 0.3,
) -> KnowledgeGraphTask:
    """The task on a graph of one's own, see :meth:`EdgeTable.read` and :meth:`EdgeTable.knowledge_graph_task`.

    Args:
        file: path of the file, or one per split, ``{"train": ..., "valid": ..., "test": ...}``, and ``"test_facts"`` for
            an inductive one.
        sha256: what the file must hash to, in the same form; None: anything.
        head: column of the heads.
        relation: column of the relations.
        tail: column of the tails.
        split: column of the splits.
        delimiter: what stands between fields.
        header: whether the first line names the columns.
        comments: whether lines that begin with ``#`` are left out.
        seed: seed of the split.
        valid: share of validation.
        test: share of test.
        together: what stays on one side of the split.
        inductive: whether the test has a graph of its own.
        test_entities: share of the entities in that graph.

    Raises:
        UserError: for no file, a missing one, or one whose hash is another than the pinned one (both are named).

    Example:
        >>> load_own_graph("triples.tsv", seed=1).statistics()  # doctest: +SKIP
        {'entities': 135, 'relations': 46, 'train': 5216, 'valid': 652, 'test': 661}
    """
    if file is None:
        raise UserError(
            "no data: give the file of your graph, as in graphkit run nbfnet/own --data triples.tsv, or "
            "data: {file: triples.tsv} in an experiment of your own"
        )
    _check_hashes(file, sha256)
    table = EdgeTable.read(
        file, head=head, relation=relation, tail=tail, split=split, delimiter=delimiter, header=header,
        comment="#" if comments else None,
    )  # fmt: skip
    return table.knowledge_graph_task(
        seed=seed, valid=valid, test=test, together=together, inductive=inductive, test_entities=test_entities
    )


def own_graph(file: str | dict[str, str] | None, options: Mapping[str, Any]) -> KnowledgeGraphTask:
    """:func:`load_own_graph` with options by name.

    Raises:
        UserError: for an unknown option (the nearest one is suggested), and as there.
    """
    known = [name for name in inspect.signature(load_own_graph).parameters if name != "file"]
    for option in options:
        if option not in known:
            raise UserError("a graph of your own: " + nearest(option, known, "option"))
    return load_own_graph(file, **options)


def pinned(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of :func:`load_own_graph` with absolute paths and with hashes, so that they give this task or none.

    Hashes that are given already stay, whatever the files hold now.

    Raises:
        UserError: for a file that cannot be read.

    Example:
        >>> pinned({"file": None, "sha256": None})
        {'file': None, 'sha256': None}
    """
    file, digest = options["file"], options.get("sha256")
    if isinstance(file, dict):
        file = {split: os.path.abspath(path) for split, path in file.items()}
        digest = digest or {split: _sha256(path) for split, path in file.items()}
    elif file is not None:
        file = os.path.abspath(file)
        digest = digest or _sha256(file)
    return {**options, "file": file, "sha256": digest}


def _check_hashes(file: Files, expected: Files | None) -> None:
    if expected is None:
        return
    if isinstance(file, dict) != isinstance(expected, dict):
        raise UserError(f"sha256 is {expected!r} and file is {file!r}; give both as text, or both by split")
    files = file if isinstance(file, dict) else {"": file}
    digests = expected if isinstance(expected, dict) else {"": expected}
    for split, path in files.items():
        if split not in digests:
            raise UserError(f"sha256 names no hash for {split}; give one for each file, or none at all")
        digest = digests[split]
        if not Path(path).exists():
            raise UserError(f"{path} does not exist; expected the file with sha256 {digest}; put it back in its place")
        found = _sha256(path)
        if found != digest:
            raise UserError(
                f"{path} has changed: expected sha256 {digest}, found {found}; restore the file, or begin a new run "
                "with it"
            )


def _sha256(path: str) -> str:
    if not Path(path).is_file():
        file_bytes(path)  # says what is wrong
    try:
        return sha256_of(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
