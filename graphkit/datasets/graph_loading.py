"""A task on many stored graphs: which features, which encodings, which split."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from graphkit.data import GraphTask, split_graphs
from graphkit.data.degree_features import degree_features
from graphkit.datasets.card import Card
from graphkit.datasets.node_loading import wanted_split
from graphkit.datasets.stored_graphs import StoredGraphs
from graphkit.errors import UserError, nearest

__all__ = ["GRAPH_FEATURES", "graph_task"]

GRAPH_FEATURES = ("attributes", "degrees", "own", "standardized")


def graph_task(
    entry: Card,
    stored: StoredGraphs,
    provenance: Mapping[str, Any],
    *,
    split: str | None = None,
    split_seed: int | None = None,
    fold: int | None = None,
    features: str | None = None,
    encodings: Sequence[str] | None = None,
) -> GraphTask:
    """The task on many graphs, as :func:`graphkit.datasets.load` describes it.

    Raises:
        UserError: for options that are unknown or that the data do not have.
    """
    if features is not None and features not in GRAPH_FEATURES:
        raise UserError(f"{entry.name}: {nearest(str(features), GRAPH_FEATURES, 'features')}")
    name = wanted_split(entry, split)
    if name in stored.splits:
        if split_seed is not None and entry.reader != "generated":
            raise UserError(f"{entry.name}: the split {name!r} is given, not drawn; leave out split_seed")
        parts: dict[str, Any] = stored.splits[name]
    elif re.match(r"\d", name):
        y = torch.cat([graph.y.reshape(1, -1) for graph in stored.graphs]) if stored.level == "graph" else None
        # nodes have classes, their graphs none to keep in proportion
        y = torch.zeros(len(stored.graphs), dtype=torch.int64) if y is None else y
        y = y[:, 0] if stored.target == "classes" and y.dim() == 2 else y
        parts = split_graphs(y, name, folds=entry.splits.get(name), seed=split_seed or 0)
    else:
        raise UserError(f"the files of {entry.name} do not hold the split {name!r} that its card names")
    graphs, chosen = _with_features(entry, stored, features)
    if chosen == "standardized":
        if stored.categories or torch.as_tensor(parts["train"]).dim() != 1:
            raise UserError(
                f"{entry.name}: features='standardized' needs numbers and one split; take another split or features"
            )
        graphs = _standardized(graphs, torch.as_tensor(parts["train"]))
    categories = dict(stored.categories)
    if chosen not in ("own", "standardized"):
        categories.pop("x", None)
    task = GraphTask(
        entry.name, graphs, fold=fold or 0, level=stored.level, target=stored.target, primary_metric=entry.metric,
        categories=categories, encodings=encodings or (), classes=stored.classes, **parts,
    )  # fmt: skip
    task.provenance = {
        **provenance, "features": chosen, "encodings": list(encodings or ()), "level": stored.level,
        "split": {"name": name, "folds": task.num_folds, "seed": split_seed or 0, **task.fingerprint()},
    }  # fmt: skip
    return task


def _standardized(graphs: list[Any], train: torch.Tensor) -> list[Any]:
    """Features of nodes and edges with mean 0 and deviation 1 over the graphs of train; constant columns become 0."""
    whole = [copy.copy(graph) for graph in graphs]
    for key in ("x", "edge_attr"):
        if key in graphs[0]:
            seen = torch.cat([graphs[number][key] for number in train.tolist()]).double()
            middle, spread = seen.mean(0), seen.std(0, correction=0)
            spread = torch.where(spread > 0, spread, 1.0)
            for graph in whole:
                graph[key] = ((graph[key] - middle) / spread).float()
    return whole


def _with_features(entry: Card, stored: StoredGraphs, features: str | None) -> tuple[list[Any], str]:
    """The graphs with the features asked for, and what these are."""
    own = "x" in stored.graphs[0]
    chosen = features or ("own" if own else "attributes" if stored.attributes is not None else "degrees")
    if chosen in ("own", "standardized"):
        if not own:
            raise UserError(f"{entry.name} has no labels of its nodes; pass features='degrees' or 'attributes'")
        return stored.graphs, chosen
    if chosen == "attributes" and stored.attributes is None:
        raise UserError(f"{entry.name} has no attributes of its nodes; pass features='own' or 'degrees'")
    graphs = []
    for number, graph in enumerate(stored.graphs):
        graph = copy.copy(graph)
        if chosen == "degrees":
            graph.x = degree_features(graph.edge_index, int(graph.num_nodes))
        elif stored.attributes is not None:
            beside = [stored.attributes[number], *([graph.x] if own else [])]
            graph.x = torch.cat(beside, 1)
        graphs.append(graph)
    return graphs, chosen
