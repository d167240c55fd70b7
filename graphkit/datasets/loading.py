"""A task by the name of its data set."""

from __future__ import annotations

import os
from typing import Any

from graphkit.data import KnowledgeGraphTask, OGBKnowledgeGraphTask
from graphkit.datasets.catalogue import card
from graphkit.datasets.download import obtain
from graphkit.datasets.processed import processed_path, read_processed, write_processed
from graphkit.datasets.readers import read
from graphkit.errors import UserError, nearest

__all__ = ["load"]

_OPTIONS = ("progress", "root", "valid_triples", "variant")


def load(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    variant: str | None = None,
    valid_triples: int | None = None,
    progress: bool = False,
    **options: Any,
) -> KnowledgeGraphTask:
    """The task of a data set.

    Files are looked for under ``root``; without one under ``GRAPHKIT_DATA``, in an installed distribution that carries
    them, in the cache, and at last on the network (never with ``GRAPHKIT_OFFLINE=1``). Wherever they come from, sizes
    and hashes are checked against the card. Nothing is written below a root; the processed form goes to the cache.
    Where a card knows no hash of a file, that of the first file seen is recorded in the cache and kept to.
    Ids follow the sorted names (OGB's data sets keep their own), so the same facts give the same task wherever the files
    come from.

    Args:
        name: name or alias, see :func:`graphkit.datasets.cards`, or the path of a card of your own.
        root: folder in the public layout; then nothing is fetched.
        variant: member of a family: ``load("countries", variant="s1")`` is ``load("countries/s1")``.
        valid_triples: for OGB's knowledge graphs, the size of a fixed sample (seed 1024) that stands for the validation
            split; None: all of it. The test split stays whole.
        progress: whether to show a bar while fetching.
        **options: none for the data sets so far; an unknown one is refused.

    Raises:
        UserError: for an unknown data set or option, and for files that are missing, altered or out of reach.

    Example:
        >>> load("umls").statistics()  # doctest: +SKIP
        {'entities': 135, 'relations': 46, 'train': 5216, 'valid': 652, 'test': 661}
    """
    entry = card(name, variant=variant)
    for option in options:
        raise UserError(f"{entry.name}: " + nearest(option, _OPTIONS, "option"))
    if valid_triples is not None and entry.task != "ogb_knowledge_graph":
        raise UserError(f"{entry.name} is validated on all of its validation split; leave out valid_triples")
    found = obtain(entry, root, progress=progress)
    hashes = {file.path: digest for file, _, digest in found}
    path = processed_path(entry, hashes)
    task = read_processed(path, entry.name)
    if task is None:
        task = read(entry, {file.path: place.path for file, place, _ in found if place.path is not None})
        write_processed(path, task)
    given = {"variant": variant, "valid_triples": valid_triples}
    task.provenance = {
        "card": entry.name,
        "title": entry.title,
        "source": entry.source,
        "licence": entry.licence,
        "citation": entry.citation,
        "options": {key: value for key, value in given.items() if value is not None},
        "files": {
            # "pinned": the card knows no hash, this is the one of the first use
            file.path: {"origin": place.origin, "sha256": digest, **({} if file.accepted else {"pinned": True})}
            for file, place, digest in found
        },
    }
    if isinstance(task, OGBKnowledgeGraphTask):
        task.provenance["candidates"] = task.candidates
        return task if valid_triples is None else task.sample_valid(valid_triples)
    return task
