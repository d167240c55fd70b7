"""Features for graphs that have none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest
from graphkit.nn.graph_propagation import GraphPropagation

__all__ = ["structural_features"]

_KINDS = ("degree", "return")


def structural_features(graph: Any, num_nodes: int, kind: str = "degree", *, channels: int = 16) -> Tensor:
    r"""Features of nodes from the structure alone.

    ``"degree"``: one-hot :math:`\min(\lfloor \log_2 (1 + d_v) \rfloor, channels - 1)`. ``"return"``: the chances
    :math:`(D^{-1} A)^k_{vv}` that a walk is back after k = 1 .. channels steps (exact, N^2 memory; for small graphs).

    Args:
        graph: edges int64 ``[2, E]`` or a simple graph; taken as undirected.
        num_nodes: N.
        kind: as above.
        channels: width.

    Returns:
        float32 ``[N, channels]``.

    Raises:
        UserError: for an unknown kind, or more than 20,000 nodes with ``"return"``.

    Example:
        >>> structural_features(torch.tensor([[0, 1], [1, 2]]), 3, channels=3).argmax(1).tolist()
        [1, 1, 1]
    """
    if kind not in _KINDS:
        raise UserError(nearest(str(kind), _KINDS, "kind of structural features"))
    walk = GraphPropagation(graph, "sage", num_nodes=num_nodes)
    if kind == "degree":
        # whole numbers: frexp of d + 1 gives floor(log2) + 1 without rounding
        level = torch.frexp(walk.graph.degree.double() + 1).exponent.long() - 1
        return torch.nn.functional.one_hot(level.clamp(max=channels - 1), channels).float()
    if num_nodes > 20_000:
        raise UserError(f"return probabilities of {num_nodes:,} nodes need too much memory; take kind='degree'")
    power, found = torch.eye(num_nodes, dtype=torch.float64), []
    for _ in range(channels):
        power = walk(power)
        found.append(power.diagonal().clone())
    return torch.stack(found, 1).float()
