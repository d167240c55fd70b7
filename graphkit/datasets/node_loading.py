"""Node classification on a stored graph: which edges, which features, which split."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit.data import NodeTask, directed_edges, edge_direction, encode_graph, split_nodes, standardize
from graphkit.data.degree_features import degree_features
from graphkit.datasets.card import Card
from graphkit.datasets.stored_graph import Masks, StoredGraph
from graphkit.errors import DataWarning, UserError, nearest

__all__ = ["DIRECTIONS", "FEATURES", "node_task", "wanted_split"]

DIRECTIONS = ("stored", "undirected")
FEATURES = ("degrees", "ids", "own", "rows", "standardized")
_FOLDS = 10  # of splits that are drawn here


def wanted_split(entry: Card, split: str | None) -> str:
    """The name of a split of a card, or the shares of one that is drawn; None is the card's first.

    Raises:
        UserError: for a name that the card does not have.

    Example:
        >>> from graphkit.datasets import card
        >>> wanted_split(card("cora"), None)
        'public'
    """
    if split is None:
        return next(iter(entry.splits), "60/20/20")
    if not isinstance(split, str):
        raise UserError(
            f"{entry.name}: split is {split!r}, expected a name such as '60/20/20'; fold= says which of several it is"
        )
    if split not in entry.splits and not re.match(r"\d", split):
        raise UserError(f"{entry.name}: {nearest(split, entry.splits, 'split')}; or shares such as '60/20/20'")
    return split


def node_task(
    entry: Card,
    graph: StoredGraph,
    provenance: Mapping[str, Any],
    *,
    split: str | None = None,
    split_seed: int | None = None,
    fold: int | None = None,
    direction: str | None = None,
    features: str | None = None,
    encodings: Sequence[str] | None = None,
) -> NodeTask:
    """The task on a graph, as :func:`graphkit.datasets.load` describes it.

    Raises:
        UserError: for a graph without labels, and options that are unknown or that the data do not have.
    """
    if graph.y is None:
        raise UserError(f"{entry.name} has no labels of its nodes; it serves task='link'")
    for what, value, known in (("direction", direction, DIRECTIONS), ("features", features, FEATURES)):
        if value is not None and value not in known:
            raise UserError(f"{entry.name}: {nearest(str(value), known, what)}")
    name = wanted_split(entry, split)
    masks = _masks(entry, graph, name, split_seed)
    directed = bool(entry.directed) if direction is None else direction == "stored"
    edges, said = _edges(entry, graph, directed)
    chosen = features or ("own" if graph.x is not None else "degrees")
    found = edge_direction(graph.edge_index, graph.num_nodes)
    x = _features(entry, graph, edges, chosen)
    if encodings:
        both = edges if directed else torch.cat([edges, edges.flip(0)], 1)
        x = torch.cat([x, encode_graph(directed_edges(both, graph.num_nodes), graph.num_nodes, encodings).values], 1)
    task = NodeTask.from_edges(
        entry.name, edges, graph.y, x=x, directed=directed, direction=said,
        fold=fold or 0, primary_metric=entry.metric, nodes=graph.nodes, classes=graph.classes,
        ordered=graph.ordered, score=graph.score, **masks,
    )  # fmt: skip
    if graph.pos is not None:
        task.graph().pos = graph.pos
    task.provenance = {
        **provenance,
        "direction": {
            "directed": directed, "read": direction or "as the card says", "why": said, "edges as stored": graph.edge_index.size(1),
            "reciprocity": round(found.reciprocity, 6), "ascending": round(found.ascending, 6),
        },
        "features": chosen,
        **({"encodings": list(encodings)} if encodings else {}),
        "split": {"name": name, "folds": task.num_folds, "seed": split_seed or 0, **task.fingerprint()},
    }  # fmt: skip
    return task


def _masks(entry: Card, graph: StoredGraph, name: str, seed: int | None) -> Masks:
    if name in graph.splits:
        if seed is not None:
            raise UserError(f"{entry.name}: the split {name!r} is given, not drawn; leave out split_seed")
        return graph.splits[name]
    if not re.match(r"\d", name):
        raise UserError(f"the files of {entry.name} do not hold the split {name!r} that its card names")
    assert graph.y is not None
    return split_nodes(graph.y, name, folds=entry.splits.get(name, _FOLDS), seed=seed or 0)


def _edges(entry: Card, graph: StoredGraph, directed: bool) -> tuple[Tensor, str]:
    """The edges as they are to be read, and what is known of their direction."""
    if not directed:
        return graph.edge_index, entry.direction
    if not entry.directed:
        found = edge_direction(graph.edge_index, graph.num_nodes)
        if found.undirected:
            raise UserError(
                f"{entry.name} holds every edge in both directions, so direction='stored' has nothing to read; leave it out"
            )
        warnings.warn(
            f"{entry.name}: the direction of its edges is that of storage and means nothing ({entry.direction}); figures "
            "that rest on it measure how the nodes were numbered",
            DataWarning,
            stacklevel=4,
        )
        return graph.edge_index, f"read as stored, although it means nothing: {entry.direction}"
    return graph.edge_index, entry.direction


def _features(entry: Card, graph: StoredGraph, edges: Tensor, chosen: str) -> Tensor:
    if chosen == "ids":
        return torch.eye(graph.num_nodes)
    if chosen == "degrees":
        return degree_features(edges, graph.num_nodes)
    if graph.x is None:
        raise UserError(f"{entry.name} has no features of its own; pass features='degrees' or 'ids'")
    if chosen == "rows":
        total = graph.x.sum(1, keepdim=True)
        return graph.x / torch.where(total == 0, 1.0, total)
    if chosen == "standardized":  # over all nodes: their features are seen, their labels play no part
        return standardize(graph.x, graph.numeric)
    return graph.x
