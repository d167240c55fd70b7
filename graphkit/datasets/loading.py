"""A task by the name of its data set."""

from __future__ import annotations

import os
from typing import Any

from graphkit.data import LinkTask, OGBKnowledgeGraphTask
from graphkit.datasets.card import Card
from graphkit.datasets.catalogue import card
from graphkit.datasets.download import obtain
from graphkit.datasets.own_graph import own_graph
from graphkit.datasets.processed import processed_path, read_processed, write_processed
from graphkit.datasets.readers import read
from graphkit.datasets.stored_graph import StoredGraph
from graphkit.errors import UserError, nearest

__all__ = ["load", "task_kind"]

_OPTIONS = ("progress", "root", "split", "split_seed", "task", "valid_triples", "variant")
_TASKS_OF = {"graph": ("link",)}  # data that serve tasks of several kinds; others are of their one kind


def load(
    name: str | None = None,
    *,
    file: str | dict[str, str] | None = None,
    root: str | os.PathLike[str] | None = None,
    variant: str | None = None,
    task: str | None = None,
    split: str | None = None,
    split_seed: int | None = None,
    valid_triples: int | None = None,
    progress: bool = False,
    **options: Any,
) -> Any:
    """The task of a data set: a :class:`KnowledgeGraphTask`, or a :class:`LinkTask` for ``task="link"``.

    Files are looked for under ``root``; without one under ``GRAPHKIT_DATA``, in an installed distribution that carries
    them, in the cache, and at last on the network (never with ``GRAPHKIT_OFFLINE=1``). Wherever they come from, sizes
    and hashes are checked against the card. Nothing is written below a root; the processed form goes to the cache.
    Where a card knows no hash of a file, that of the first file seen is recorded in the cache and kept to.
    Ids follow the sorted names (OGB's data sets keep their own), so the same facts give the same task wherever the files
    come from.

    Args:
        name: name or alias, see :func:`graphkit.datasets.cards`, or the path of a card of your own.
        file: instead of a name, a graph of your own: a file, or one per split; the further options are then those of
            :func:`graphkit.datasets.load_own_graph`.
        root: folder in the public layout; then nothing is fetched.
        variant: member of a family: ``load("countries", variant="s1")`` is ``load("countries/s1")``.
        task: for graphs, what they are to be used for: ``"link"``.
        split: for ``"link"``, percentages of train, valid and test edges; None: ``"85/5/10"``.
        split_seed: for ``"link"``, seed of the split and of the negatives of valid and test; None: 0.
        valid_triples: for OGB's knowledge graphs, the size of a fixed sample (seed 1024) that stands for the validation
            split; None: all of it. The test split stays whole.
        progress: whether to show a bar while fetching.
        **options: none for the data sets so far, those of a graph of your own; an unknown one is refused.

    Raises:
        UserError: for an unknown data set or option, a task that the data do not serve, and for files that are missing,
            altered or out of reach.

    Example:
        >>> load("umls").statistics()  # doctest: +SKIP
        {'entities': 135, 'relations': 46, 'train': 5216, 'valid': 652, 'test': 661}
    """
    if name is None or file is not None:
        foreign = {"name": name, "root": root, "variant": variant, "task": task, "split_seed": split_seed}
        for option, value in foreign.items():
            if value is not None:
                raise UserError(
                    f"{option}={value!r} is about a data set and file={file!r} is a graph of your own; give one of the two"
                )
        return own_graph(file, options if split is None else {**options, "split": split})
    entry = card(name, variant=variant)
    for option in options:
        raise UserError(f"{entry.name}: " + nearest(option, _OPTIONS, "option"))
    kind = task_kind(entry, task)
    given: dict[str, Any] = {"split": split, "split_seed": split_seed}
    given = {option: value for option, value in given.items() if value is not None}
    if kind != "link" and given:
        raise UserError(f"{entry.name} has a split of its own; leave out {', '.join(given)}")
    if valid_triples is not None and kind != "ogb_knowledge_graph":
        raise UserError(f"{entry.name} is validated on all of its validation split; leave out valid_triples")
    chosen = {"variant": variant, "valid_triples": valid_triples, **given}
    found = obtain(entry, root, progress=progress)
    hashes = {file.path: digest for file, _, digest in found}
    paths = {file.path: place.path for file, place, _ in found if place.path is not None}
    provenance = {
        "card": entry.name,
        "title": entry.title,
        "source": entry.source,
        "licence": entry.licence,
        "citation": entry.citation,
        "options": {key: value for key, value in chosen.items() if value is not None},
        "files": {
            # "pinned": the card knows no hash, this is the one of the first use
            file.path: {"origin": place.origin, "sha256": digest, **({} if file.accepted else {"pinned": True})}
            for file, place, digest in found
        },
    }
    if kind == "link":
        graph: StoredGraph = read(entry, paths)
        return LinkTask.from_edges(
            entry.name, graph.edges, graph.num_nodes, x=graph.x, provenance={**provenance, "task": kind}, **given
        )
    path = processed_path(entry, hashes)
    result = read_processed(path, entry.name)
    if result is None:
        result = read(entry, paths)
        write_processed(path, result)
    result.provenance = provenance
    if isinstance(result, OGBKnowledgeGraphTask):
        result.provenance["candidates"] = result.candidates
        return result if valid_triples is None else result.sample_valid(valid_triples)
    return result


def task_kind(entry: Card, task: str | None) -> str:
    """The kind of task that a data set is to serve.

    Raises:
        UserError: for a task that it does not serve, or none where there is a choice.

    Example:
        >>> task_kind(card("umls"), None)
        'knowledge_graph'
    """
    kinds = _TASKS_OF.get(entry.task, (entry.task,))
    if task is None and entry.task in _TASKS_OF:
        choices = " or ".join(f"task={kind!r}" for kind in kinds)
        raise UserError(f"{entry.name} is a graph and says nothing of what to predict; pass {choices}")
    if task is not None and task not in kinds:
        raise UserError(f"{entry.name} does not serve the task {task!r}; it serves {', '.join(map(repr, kinds))}")
    return kinds[0] if task is None else task
