"""Which nodes a measurement is made at: given, drawn at random, or drawn in proportion to strata."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest
from graphkit.ops import HopGraph

__all__ = ["measured_nodes"]

_DRAWN = 1000


def measured_nodes(
    data: Any, graph: HopGraph, nodes: Any, *, stratify: str | Tensor | None = None, seed: int = 0
) -> Tensor:
    """Ids int64 ``[S]`` of nodes, as given or drawn without repeats.

    Args:
        data: PyG's container; ``stratify="class"`` reads ``y``.
        graph: its edges.
        nodes: ids, a bool mask ``[N]``, a number of nodes to draw, or None for 1000.
        stratify: see :func:`graphkit.analysis.influence`.
        seed: of the draw.

    Raises:
        UserError: ids out of range, no node, an unknown stratum.

    Example:
        >>> graph = HopGraph(torch.zeros(2, 0, dtype=torch.int64), num_nodes=6)
        >>> measured_nodes(None, graph, 2, stratify=torch.tensor([0, 0, 0, 1, 1, 1])).tolist()
        [2, 5]
    """
    n = graph.num_nodes
    if isinstance(nodes, Tensor) or (nodes is not None and not isinstance(nodes, int)):
        chosen = torch.as_tensor(nodes).cpu()
        if chosen.dtype == torch.bool and chosen.shape == (n,):
            chosen = chosen.nonzero().flatten()
        if chosen.dim() != 1 or chosen.dtype not in (torch.int64, torch.int32) or not len(chosen):
            raise UserError(
                f"nodes are {chosen.dtype} {list(chosen.shape)}, expected ids int64 [S], one at least, a bool mask [{n}], or "
                "how many to draw"
            )
        low, high = (int(v) for v in chosen.aminmax())
        if low < 0 or high >= n:
            raise UserError(f"nodes hold id {low if low < 0 else high}, expected ids in [0, {n})")
        return chosen.long()
    count = min(_DRAWN, n) if nodes is None else nodes
    if isinstance(count, bool) or not 1 <= count <= n:
        raise UserError(f"nodes is {nodes}, expected a number from 1 to {n}, that of the graph's nodes, or ids")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    if stratify is None:
        return order[:count]
    strata = _strata(data, graph, stratify)
    # in random order, the k-th node of a stratum of m stands at (k + 1/2) / m: the first ones are in proportion
    rank = torch.empty(n, dtype=torch.float64)
    for stratum in strata.unique():
        members = order[strata[order] == stratum]
        rank[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    return order[torch.sort(rank[order], stable=True).indices[:count]]


def _strata(data: Any, graph: HopGraph, stratify: str | Tensor) -> Tensor:
    if isinstance(stratify, Tensor):
        if stratify.shape != (graph.num_nodes,):
            raise UserError(
                f"stratify is {list(stratify.shape)}, expected a stratum for each node, [{graph.num_nodes}]"
            )
        return stratify.cpu()
    if stratify == "degree":
        return torch.log2(1 + graph.ptr.diff().double()).long()
    if stratify != "class":
        raise UserError(nearest(str(stratify), ("class", "degree"), "stratify"))
    y = getattr(data, "y", None)
    if not isinstance(y, Tensor) or y.dim() != 1:
        raise UserError(
            "stratify is 'class', but data has no y with a class for each node; give strata as a tensor [N]"
        )
    return y.cpu()
