"""Tasks from OGB's arrays, under the rules of its leaderboards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from graphkit.data import LinkTask, NodeTask
from graphkit.datasets.card import Card
from graphkit.datasets.ogb_graph import OGBGraph, OGBTypedGraph
from graphkit.datasets.ogb_links import OGBLinks, read_ogb_links
from graphkit.datasets.ogb_nodes import read_ogb_nodes

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["ogb_link_task", "ogb_node_task"]

_POOLED = ("hits@20", "hits@50", "hits@100")
_PERSONAL = ("mrr", "hits@1", "hits@3", "hits@10")


def ogb_link_task(
    entry: Card,
    paths: dict[str, Path],
    *,
    use_valedges: bool = False,
    metrics: Sequence[str] | None = None,
    provenance: dict[str, Any] | None = None,
) -> LinkTask:
    """The link task of one of OGB's data sets: its split, its negatives, and its metric first.

    Args:
        entry: the card; its options say which metric is OGB's, and what the edges are like.
        paths: the files by their path below the folder of the data set.
        use_valedges: whether valid edges carry messages when test is scored. OGB's rules allow it for ogbl-collab alone.
        metrics: what is measured; None: OGB's metric and those of its kind.
        provenance: where the data come from.

    Raises:
        UserError: for files that do not hold what is expected.

    Example:
        >>> ogb_link_task(card("ogbl-ddi"), paths).primary_metric  # doctest: +SKIP
        'hits@20'
    """
    options = entry.options
    links = read_ogb_links(entry.name, paths, both_directions=bool(options.get("both_directions")))
    others = _PERSONAL if links.personal else _POOLED
    edges, dropped = _without_loops(links)
    given = {"self-loops dropped from train": dropped} if dropped else {}
    return LinkTask(
        entry.name, links.num_nodes, edges, links.edges["valid"], links.edges["test"],
        x=links.x, nodes=links.names,
        valid_negatives=_pairs(links, "valid"), test_negatives=_pairs(links, "test"),
        negatives_avoid=options.get("negatives_avoid", "nothing"),
        metrics=metrics or tuple(dict.fromkeys((str(options["metric"]), *others))),
        use_valedges=use_valedges, repeats=bool(options.get("repeats")), directed=bool(options.get("directed")),
        provenance={**(provenance or {}), **given},
    )  # fmt: skip


def ogb_node_task(entry: Card, paths: dict[str, Path], *, provenance: dict[str, Any] | None = None) -> NodeTask:
    """The node task of one of OGB's data sets: its graph, labels and split, and its metric first.

    Edges that OGB stores once for both directions are given both, each beside its opposite. Nodes without features that have
    edges with some get the mean over their edges, as in OGB's baselines (ogbn-proteins). Of typed nodes (ogbn-mag) those of
    the first type come first, types in the order of their names; ``node_type`` [N] and ``edge_type`` [E] number the types,
    edges keep their direction, and where a type has no features its rows of ``x`` are zero.

    Args:
        entry: the card; its options say which metric is OGB's.
        paths: the files by their path below the folder of the data set.
        provenance: where the data come from.

    Raises:
        UserError: for files that do not hold what is expected.

    Example:
        >>> ogb_node_task(card("ogbn-arxiv"), paths).statistics()["classes"]  # doctest: +SKIP
        40
    """
    both = bool(entry.options.get("both_directions"))
    nodes = read_ogb_nodes(entry.name, paths, both_directions=both)
    graph = nodes.graph
    if isinstance(graph, OGBGraph):
        data, first = _plain_data(graph, both), 0
        data.y = torch.from_numpy(np.require(nodes.labels, requirements="W"))
    else:
        start = dict(zip(graph.num_nodes, np.cumsum([0, *graph.num_nodes.values()]).tolist(), strict=False))
        data, first = _typed_data(graph, start), start[str(nodes.kind)]
        data.y = torch.full((int(data.num_nodes or 0), nodes.labels.shape[1]), -1)
        data.y[first : first + len(nodes.labels)] = torch.from_numpy(nodes.labels.astype(np.int64))
    split = {part: torch.from_numpy(numbers + first) for part, numbers in nodes.split.items()}
    return NodeTask(
        entry.name, data, directed=not both, primary_metric=str(entry.options["metric"]), provenance=provenance,
        train=split["train"], valid=split["valid"], test=split["test"],
        direction="one direction stored for both" if both else "as stored, from the source to the target",
    )  # fmt: skip


def _plain_data(graph: OGBGraph, both: bool) -> Data:
    from torch_geometric.data import Data

    edges = _beside_opposite(torch.from_numpy(np.require(graph.edge_index, requirements="W")), both)
    data = Data(edge_index=edges, num_nodes=graph.num_nodes)
    for name, values in graph.node.items():
        data["x" if name == "node_feat" else name] = torch.from_numpy(np.require(values, requirements="W"))
    for name, values in graph.edge.items():
        one = torch.from_numpy(np.require(values, requirements="W"))
        data["edge_attr" if name == "edge_feat" else name] = one.repeat_interleave(2, 0) if both else one
    if data.x is None and data.edge_attr is not None:
        total = data.edge_attr.new_zeros(graph.num_nodes, data.edge_attr.size(1))
        total.index_add_(0, edges[1], data.edge_attr)
        degree = torch.bincount(edges[1], minlength=graph.num_nodes)
        data.x = total / degree.clamp(min=1).unsqueeze(1)
    return data


def _beside_opposite(edges: torch.Tensor, both: bool) -> torch.Tensor:
    """[2, 2E]: every edge followed by its opposite, or the edges as they are."""
    return torch.stack([edges, edges.flip(0)], 2).reshape(2, -1) if both else edges


def _typed_data(graph: OGBTypedGraph, start: dict[str, int]) -> Data:
    from torch_geometric.data import Data

    counts = list(graph.num_nodes.values())
    edges = [
        torch.from_numpy(pairs + np.array([[start[source]], [start[target]]]))
        for (source, _, target), pairs in graph.edge_index.items()
    ]
    data = Data(edge_index=torch.cat(edges, 1), num_nodes=sum(counts))
    data.edge_type = torch.repeat_interleave(torch.tensor([one.size(1) for one in edges]))
    data.node_type = torch.repeat_interleave(torch.tensor(counts))
    for name, by_kind in graph.node.items():
        width = max(values.shape[1] for values in by_kind.values())
        dtype = torch.float32 if name == "node_feat" else torch.int64
        whole = torch.zeros(sum(counts), width, dtype=dtype)
        for kind, values in by_kind.items():
            whole[start[kind] : start[kind] + len(values), : values.shape[1]] = torch.from_numpy(values)
        data["x" if name == "node_feat" else name] = whole
    return data


def _without_loops(links: OGBLinks) -> tuple[torch.Tensor, int]:
    """Train edges between two different nodes, and how many there were besides."""
    train = links.edges["train"]
    loops = train[0] == train[1]
    dropped = int(loops.sum())
    return (train[:, ~loops], dropped) if dropped else (train, 0)


def _pairs(links: OGBLinks, split: str) -> torch.Tensor:
    """[2, n] of one pool, or [2, P, K] with the source of each edge before its K targets."""
    negatives = links.negatives[split]
    if not links.personal:
        return negatives
    return torch.stack([links.edges[split][0].unsqueeze(1).expand_as(negatives), negatives])
