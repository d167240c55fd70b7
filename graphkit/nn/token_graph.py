"""Means over the neighbours of a token, along the graph that a router is given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops import CSRGraph, relational_spmm

__all__ = ["edges_of", "neighbor_mean"]


def edges_of(adj: Any, num_tokens: int) -> tuple[CSRGraph, Tensor | None]:
    """The sorted graph of the tokens, and the weights of its edges as given: None, ``[E]`` or ``[E, heads]``.

    Args:
        adj: as :attr:`graphkit.nn.RouteInput.adj`.
        num_tokens: T.

    Raises:
        UserError: no graph, bad edges, weights that do not fit or are negative.

    Example:
        >>> graph, weight = edges_of((torch.tensor([[0], [1]]), torch.ones(1)), 2)
        >>> graph.num_edges, weight.tolist()
        (1, [1.0])
    """
    if adj is None:
        raise UserError("this router looks at neighbours, but RouteInput.adj is None; pass the edges of the tokens")
    edges, weight = adj if isinstance(adj, (tuple, list)) else (adj, None)
    graph = edges if isinstance(edges, CSRGraph) else CSRGraph(edges, num_nodes=num_tokens)
    if graph.num_nodes != num_tokens:
        raise UserError(
            f"RouteInput.adj is a graph of {graph.num_nodes} nodes, expected one of the {num_tokens} tokens"
        )
    if weight is not None:
        if weight.dim() not in (1, 2) or len(weight) != graph.num_edges:
            raise UserError(
                f"the weights in RouteInput.adj are {list(weight.shape)}, expected one for each of the {graph.num_edges} "
                "edges: [E] or [E, heads]"
            )
        if bool((weight.detach() < 0).any()):
            raise UserError(
                "the weights in RouteInput.adj are negative somewhere; a mean over neighbours needs weights >= 0"
            )
    return graph, weight


def neighbor_mean(graph: CSRGraph, x: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Row-stochastic propagation: the weighted mean over the edges into each token.

    .. math:: (P x)_i = \frac{\sum_{e = (j \to i)} w_e x_j}{\sum_{e \to i} w_e}

    A token that no edge reaches, or none with a weight above 0, keeps its row.

    Args:
        graph: the graph of the tokens.
        x: ``[T, D]``; narrower types than float32 are widened to it.
        weight: w, ``[E]``, not negative; None: ones. Differentiable.

    Example:
        >>> graph = CSRGraph(torch.tensor([[0, 1], [2, 2]]), num_nodes=3)
        >>> neighbor_mean(graph, torch.tensor([[1.0], [3.0], [9.0]])).flatten().tolist()
        [1.0, 3.0, 2.0]
    """
    x = x if x.dtype == torch.float64 else x.float()
    target = graph.edge_index[1]
    weight = x.new_ones(graph.num_edges) if weight is None else weight.to(x.dtype)
    total = x.new_zeros(graph.num_nodes).index_add(0, target, weight)
    reached = total.detach() > 0
    share = weight / torch.where(reached, total, torch.ones_like(total))[target]
    mean = relational_spmm(
        graph, torch.zeros_like(target), x.unsqueeze(0), x.new_ones(1, x.size(1)), num_nodes=graph.num_nodes, edge_weight=share
    )[0]  # fmt: skip
    return torch.where(reached.unsqueeze(1), mean, x)
