"""In which order the nodes of a graph are read as a sequence."""

from __future__ import annotations

from typing import Literal

import networkx
import torch
from torch import Tensor

from graphkit.errors import UserError, nearest

__all__ = ["Importance", "Ties", "node_importance", "node_order"]

Importance = Literal["degree", "degree_desc", "pagerank", "ppr", "kcore", "key", "given", "random"]
Ties = Literal["key", "random", "struct"]
_KINDS = ("degree", "degree_desc", "pagerank", "ppr", "kcore", "key", "given", "random")
_TIES = ("key", "random", "struct")


def node_importance(
    edge_index: Tensor,
    num_nodes: int,
    by: Importance = "degree",
    *,
    seeds: Tensor | None = None,
    damping: float = 0.85,
    steps: int = 50,
) -> Tensor:
    r"""A number for each node, larger for one that is to be read later.

    ``"degree"`` counts edges into a node, ``"degree_desc"`` is its negative; ``"pagerank"`` and ``"ppr"`` (restarting in
    ``seeds``) are :math:`p = (1 - c) r + c P^T p` after ``steps`` steps with c = ``damping``; ``"kcore"`` is the largest k for
    which the node is in the k-core of the undirected graph.

    Args:
        edge_index: int64 ``[2, E]``, both directions of an undirected edge.
        num_nodes: N.
        by: which of these.
        seeds: int64 ``[n]``, for ``"ppr"``.
        damping: c.
        steps: of the iteration.

    Returns:
        float64 ``[N]``.

    Raises:
        UserError: for another kind, or no seeds for ``"ppr"``.

    Example:
        >>> node_importance(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3).tolist()
        [1.0, 2.0, 1.0]
    """
    source, target = edge_index
    into = torch.zeros(num_nodes, dtype=torch.float64, device=edge_index.device)
    if by in ("degree", "degree_desc"):
        degree = into.index_add(0, target, torch.ones_like(target, dtype=torch.float64))
        return degree if by == "degree" else -degree
    if by in ("pagerank", "ppr"):
        restart = torch.ones_like(into)
        if by == "ppr":
            if seeds is None or not seeds.numel():
                raise UserError(
                    "order 'ppr' restarts in seeds, but none are given; pass some nodes, or take 'pagerank'"
                )
            restart = torch.zeros_like(into)
            restart[seeds] = 1
        restart = restart / restart.sum()
        out = into.index_add(0, source, torch.ones_like(source, dtype=torch.float64))
        weight, p = 1 / out[source], restart
        for _ in range(steps):
            lost = p[out == 0].sum()  # nodes without edges restart
            p = (1 - damping + damping * lost) * restart + damping * into.index_add(0, target, weight * p[source])
        return p
    if by == "kcore":
        graph = networkx.Graph()
        graph.add_nodes_from(range(num_nodes))
        graph.add_edges_from(edge_index[:, source != target].t().tolist())
        core = networkx.core_number(graph)
        return torch.tensor([core[v] for v in range(num_nodes)], dtype=torch.float64, device=edge_index.device)
    raise UserError(nearest(str(by), _KINDS, "order"))


def node_order(
    edge_index: Tensor,
    num_nodes: int,
    *,
    by: Importance = "degree",
    ties: Ties = "key",
    importance: Tensor | None = None,
    batch: Tensor | None = None,
    node_key: Tensor | None = None,
    seeds: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Nodes from the least to the most important, one graph after the other.

    Degrees of most graphs are full of ties, and breaking them by the number of a node makes a model depend on how nodes
    happen to be numbered. ``"key"`` breaks them by a key that travels with the node, ``"random"`` adds noise from [0, 1) to
    the importance (which reorders whole numbers among equals only), ``"struct"`` goes by the sum of the neighbours' degrees,
    then the core number, then the key.

    Args:
        edge_index: int64 ``[2, E]``.
        num_nodes: N.
        by: see :func:`node_importance`; ``"key"`` goes by the key alone, for graphs whose nodes have an order of their own, such as
            chains; ``"given"`` reads ``importance``, ``"random"`` shuffles.
        ties: what decides between equals.
        importance: ``[N]``, computed before, or of one's own with ``"given"``.
        batch: int64 ``[N]``, the graph of each node, ascending; None: there is one.
        node_key: int64 ``[N]``; None: the number of the node.
        seeds: for ``"ppr"``.
        generator: of the noise; None: torch's own.

    Returns:
        int64 ``[N]``, a permutation.

    Raises:
        UserError: for another order or other ties, or ``"given"`` without ``importance``.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> node_order(path, 3).tolist()
        [0, 2, 1]
    """
    if by not in _KINDS:
        raise UserError(nearest(str(by), _KINDS, "order"))
    if ties not in _TIES:
        raise UserError(nearest(str(ties), _TIES, "ties"))
    if by == "given" and importance is None:
        raise UserError("order 'given' needs the importance of the nodes, [N]")
    device = edge_index.device

    def noise() -> Tensor:
        drawn = torch.rand(
            num_nodes, dtype=torch.float64, generator=generator, device=generator.device if generator else None
        )
        return drawn.to(device)

    if by == "random":
        value = noise()
    elif by == "key":
        value = torch.zeros(num_nodes, dtype=torch.float64, device=device)
    elif importance is not None:
        value = importance.to(torch.float64)
    else:
        value = node_importance(edge_index, num_nodes, by, seeds=seeds)
    if ties == "random" and by not in ("random", "key"):
        value = value + noise()
    keys = [] if node_key is None else [node_key]
    if ties == "struct" and by != "key":
        degree = node_importance(edge_index, num_nodes, "degree")
        around = torch.zeros_like(degree).index_add(0, edge_index[1], degree[edge_index[0]])
        keys += [node_importance(edge_index, num_nodes, "kcore"), around]
    keys.append(value)
    if batch is not None:
        keys.append(batch)
    order = torch.arange(num_nodes, device=device)
    for key in keys:  # from the least to the most significant, each sort stable
        order = order[torch.argsort(key[order], stable=True)]
    return order
