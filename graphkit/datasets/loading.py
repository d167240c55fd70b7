"""A task by the name of its data set."""

from __future__ import annotations

import os
from typing import Any, Literal

from graphkit.data import LinkTask, OGBKnowledgeGraphTask
from graphkit.datasets.card import Card
from graphkit.datasets.catalogue import card
from graphkit.datasets.download import obtain
from graphkit.datasets.graph_loading import graph_task
from graphkit.datasets.heart_cache import cached_heart_negatives
from graphkit.datasets.node_loading import node_task, wanted_split
from graphkit.datasets.ogb_tasks import ogb_link_task, ogb_node_task
from graphkit.datasets.own_graph import own_graph
from graphkit.datasets.processed import processed_path, read_processed, write_processed
from graphkit.datasets.readers import read
from graphkit.datasets.stored_graph import StoredGraph
from graphkit.datasets.synthetic import generate
from graphkit.errors import UserError, nearest

__all__ = ["load", "task_kind"]

_OPTIONS = (
    "direction", "encodings", "features", "fold", "metrics", "num_negatives", "progress", "protocol", "root", "split",
    "split_seed", "task", "use_valedges",
    "valid_triples", "variant",
)  # fmt: skip
_OF_LINKS = ("protocol", "num_negatives", "use_valedges", "metrics")
_OF_NODES = ("fold", "direction", "features", "encodings")
_OF_GRAPHS = ("fold", "features", "encodings", "split", "split_seed")
_TASKS_OF = {"graph": ("link", "node")}  # data that serve tasks of several kinds; others are of their one kind


def load(
    name: str | None = None,
    *,
    file: str | dict[str, str] | None = None,
    root: str | os.PathLike[str] | None = None,
    variant: str | None = None,
    task: str | None = None,
    protocol: str | None = None,
    split: str | None = None,
    split_seed: int | Literal["seed"] | None = None,
    num_negatives: int | None = None,
    use_valedges: bool | None = None,
    metrics: list[str] | None = None,
    fold: int | None = None,
    direction: str | None = None,
    features: str | None = None,
    encodings: list[str] | None = None,
    valid_triples: int | None = None,
    progress: bool = False,
    **options: Any,
) -> Any:
    """The task of a data set: a :class:`KnowledgeGraphTask`; of a graph a :class:`LinkTask` or a :class:`NodeTask`; of
    many graphs a :class:`GraphTask`.

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
        task: for graphs, what they are to be used for: ``"link"`` or ``"node"``.
        protocol: for ``"link"``, how edges are divided and what they are told from, see
            :data:`graphkit.data.PROTOCOLS`: ``"random"``, ``"ncn"``, ``"pooled"``, ``"heart"``, ``"nbfnet"`` or
            ``"nbfnet-all"``; None: ``"random"``.
        split: for ``"link"``, percentages of train, valid and test edges; None: those of the protocol, ``"85/5/10"`` or
            for ``"ncn"`` ``"70/10/20"``. For ``"node"``, one of the card's splits, or shares of one that is drawn, see
            :func:`graphkit.data.split_nodes`; None: the card's first. For many graphs likewise, see
            :func:`graphkit.data.split_graphs`.
        split_seed: seed of a split that is drawn, for ``"link"`` of the negatives of valid and test too, of
            generated data of everything; None: 0. In an
            experiment file, ``seed`` draws a split for each seed of the run.
        num_negatives: for ``"link"``, negatives an edge of valid and test; None: 1, for the protocol ``"heart"`` 500.
        use_valedges: for ``"link"``, whether the valid edges carry messages when test is scored; None: no. Of OGB's
            data sets its rules allow it for ogbl-collab alone.
        metrics: for ``"link"``, what is measured, such as ``["hits@50", "auc"]``; the first one selects the epoch. None: the
            metrics of the protocol.
        fold: for ``"node"`` and many graphs, which of several splits, from 0; None: the first.
        direction: for ``"node"``, ``"undirected"`` (both directions of every edge) or ``"stored"`` (as the files have them, with a
            warning where that means nothing); None: what the card says.
        features: for ``"node"``, ``"own"`` (as they are), ``"rows"`` (each row divided by its sum), ``"standardized"`` (columns
            of quantities at mean 0 and deviation 1), ``"degrees"`` (ln(1 + degree), in and out) or ``"ids"`` (the identity matrix);
            None: its own, else degrees. For many graphs ``"own"`` (labels of nodes), ``"attributes"`` (what else is known of
            nodes, then the labels), ``"degrees"`` or ``"standardized"`` (mean 0 and deviation 1 over train).
        encodings: for ``"node"`` and many graphs, what stands beside the features, such as ``["laplacian:8",
            "random_walk:16"]``, see :func:`graphkit.data.encode_graph`; of many graphs training flips the signs of eigenvectors.
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
        foreign = {
            "name": name, "root": root, "variant": variant, "task": task, "split_seed": split_seed, "protocol": protocol,
            "num_negatives": num_negatives, "use_valedges": use_valedges, "metrics": metrics,
            "fold": fold, "direction": direction, "features": features, "encodings": encodings,
        }  # fmt: skip
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
    if split_seed == "seed":
        raise UserError(
            "split_seed is 'seed', which means the seed of a run; outside of an experiment file give a number"
        )
    given: dict[str, Any] = {
        "split": split, "split_seed": split_seed,
        "protocol": protocol, "num_negatives": num_negatives, "use_valedges": use_valedges, "metrics": metrics,
        "fold": fold, "direction": direction, "features": features, "encodings": encodings,
    }  # fmt: skip
    given = {option: value for option, value in given.items() if value is not None}
    _check_options(entry, kind, list(given))
    if valid_triples is not None and kind != "ogb_knowledge_graph":
        raise UserError(f"{entry.name} is validated on all of its validation split; leave out valid_triples")
    chosen = {"variant": variant, "valid_triples": valid_triples, **given}
    entry = entry.for_split(wanted_split(entry, split) if kind in ("graphs", "node") else None)
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
    if entry.reader == "ogb_links":
        provenance = {**provenance, "task": kind}
        return ogb_link_task(entry, paths, provenance=provenance, **given)
    if entry.reader == "ogb_nodes":
        return ogb_node_task(entry, paths, provenance={**provenance, "task": kind})
    if kind == "link":
        graph: StoredGraph = read(entry, paths)
        return LinkTask.from_edges(
            entry.name, graph.edge_index, graph.num_nodes, x=graph.x, provenance={**provenance, "task": kind},
            heart=cached_heart_negatives, **given,
        )  # fmt: skip
    if kind == "node":
        return node_task(entry, read(entry, paths), {**provenance, "task": kind}, **given)
    if kind == "graphs":
        stored = generate(entry.options, split_seed or 0) if entry.reader == "generated" else read(entry, paths)
        return graph_task(entry, stored, {**provenance, "task": kind}, **given)
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


def _check_options(entry: Card, kind: str, given: list[str]) -> None:
    """Refuses options of another kind of task, and of splits and protocols that the data set itself fixes."""
    for other, what, options in (
        ("link", "the prediction of links", _OF_LINKS),
        ("node", "the classification of nodes", _OF_NODES),
    ):
        if kind in ("link", "node") and kind != other and (wrong := [option for option in given if option in options]):
            raise UserError(f"{', '.join(wrong)}: for {what} only; leave out, or pass task={other!r}")
    if kind == "graphs":
        if unfit := [option for option in given if option not in _OF_GRAPHS]:
            raise UserError(f"{entry.name} is about whole graphs, or the nodes of many; leave out {', '.join(unfit)}")
        return
    free = {"ogb_links": ["use_valedges", "metrics"], "ogb_nodes": []}.get(entry.reader, given)
    if unfit := [option for option in given if kind not in ("link", "node") or option not in free]:
        raise UserError(f"{entry.name} has a split of its own; leave out {', '.join(unfit)}")


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
