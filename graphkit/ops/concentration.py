"""What topological concentration is made of: shared neighbours, overlaps of walks, products and softmax along edges."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops import concentration_reference  # noqa: F401  (declares the operators)
from graphkit.ops._library import call, public
from graphkit.ops.csr import CSRGraph, as_csr
from graphkit.ops.simple_graph import SimpleGraph, as_simple

__all__ = [
    "counter_normal", "edge_dot_mean", "edge_softmax", "edge_triangles", "neighbor_sum", "neighborhood_overlaps", "walk_overlap",
]  # fmt: skip

Edges = Tensor | CSRGraph | SimpleGraph

public("counter_normal", "counter_normal")
public("edge_dot_mean", "edge_dot_mean")
public("edge_softmax", "edge_softmax")
public("edge_triangles", "neighborhood_overlaps")
public("neighbor_sum", "neighbor_sum")
public("neighborhood_overlaps", "neighborhood_overlaps")
public("walk_overlap", "walk_overlap")


def edge_triangles(edge_index: Edges, *, num_nodes: int) -> tuple[Tensor, Tensor]:
    r"""How many triangles lie on each edge: the common neighbours of its ends.

    Args:
        edge_index: int64 ``[2, E]``, PyG's ``EdgeIndex``, a :class:`CSRGraph` or a :class:`SimpleGraph`; taken as undirected,
            without loops and copies.
        num_nodes: N.

    Returns:
        edges: int64 ``[2, M]``, each edge once, ``edges[0] < edges[1]``, sorted; counts: int32 ``[M]``.

    An edge costs the smaller degree of its ends, and at most N / 64 words where both ends are so dense that a bitmap is
    smaller than their rows.

    Raises:
        UserError: bad edges.

    Example:
        >>> edges, counts = edge_triangles(torch.tensor([[0, 1, 2, 2], [1, 2, 0, 3]]), num_nodes=4)
        >>> edges.t().tolist(), counts.tolist()
        ([[0, 1], [0, 2], [1, 2], [2, 3]], [1, 1, 1, 0])
    """
    graph = as_simple(edge_index, num_nodes)
    row, col = graph.row(), graph.col.long()
    upper = row < col
    return torch.stack([row[upper], col[upper]]), entry_overlaps(graph, graph, graph)[upper]


def neighborhood_overlaps(
    pairs: Edges, first: Edges, second: Edges | None = None, *, num_nodes: int
) -> tuple[Tensor, Tensor]:
    r""":math:`|N_i \cap N'_j|` for every pair (i, j), with N the neighbours in one graph and N' those in another.

    With one graph for all three these are the triangles on its edges; with the test edges as ``pairs`` the common training
    neighbours of the pairs to be predicted; with (train, test, train) the weights that topological concentration gives to
    messages. Pairs are edges of a graph of their own: for two arbitrary lists of nodes see the common neighbours of pairs.

    Args:
        pairs: the pairs, as undirected edges; both directions of each are answered.
        first: graph of the neighbours of i.
        second: graph of the neighbours of j; None: ``first``.
        num_nodes: N, of all three.

    Returns:
        edges: int64 ``[2, 2M]``, both directions of each pair, sorted; counts: int32 ``[2M]``.

    Raises:
        UserError: bad edges.

    Example:
        >>> train, test = torch.tensor([[0, 1, 2], [1, 2, 3]]), torch.tensor([[0], [2]])
        >>> edges, counts = neighborhood_overlaps(test, train, num_nodes=4)
        >>> edges.tolist(), counts.tolist()
        ([[0, 2], [2, 0]], [1, 1])
    """
    asked, one = as_simple(pairs, num_nodes), as_simple(first, num_nodes)
    two = one if second is None else as_simple(second, num_nodes)
    return torch.stack([asked.row(), asked.col.long()]), entry_overlaps(asked, one, two)


def entry_overlaps(pairs: SimpleGraph, first: SimpleGraph, second: SimpleGraph) -> Tensor:
    """:func:`neighborhood_overlaps` in the order of the entries of ``pairs``, int32 ``[2M]``."""
    return call("neighborhood_overlaps", pairs.ptr, pairs.col, first.ptr, first.col, second.ptr, second.col)


def walk_overlap(
    edge_index: Edges, *, num_nodes: int, hops: int, beta: float, pairs: Edges | None = None, memory: int = 2**28
) -> tuple[Tensor, Tensor]:
    r"""How much the walks of two nodes overlap.

    .. math:: \langle U_i, W_j \rangle, \quad U = \sum_{a=1}^{K} \beta^{a-1} A^a, \quad
        W = \sum_{b=1}^{K} \beta^{b-1}\, \mathbb 1[A^b > 0]

    Neither matrix is made: the walks of one source are counted into a dense array, and the reach of the targets is held for
    as many of them as ``memory`` allows.

    Args:
        edge_index, num_nodes: as for :func:`edge_triangles`.
        hops: K, at least 1.
        beta: the discount, at least 0.
        pairs: pairs (i, j) as undirected edges, both directions are answered; None: the edges of the graph.
        memory: bytes for the reach of the targets; 50 bytes a node and thread and the result come on top.

    Returns:
        edges: int64 ``[2, 2M]``, sorted; overlap: float64 ``[2M]``.

    Raises:
        UserError: bad edges, hops, beta or memory.

    Source:
        Wang et al., A topological perspective on demystifying GNN-based link prediction performance (ICLR 2024),
        the overlap in topological concentration, in separable form.

    Example:
        >>> triangle = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> walk_overlap(triangle, num_nodes=3, hops=2, beta=0.5)[1].unique().tolist()
        [4.5]
    """
    check_walks(hops, beta, memory)
    graph = as_simple(edge_index, num_nodes)
    asked = graph if pairs is None else as_simple(pairs, num_nodes)
    overlap = call("walk_overlap", graph.ptr, graph.col, asked.ptr, asked.col, hops, float(beta), memory)
    return torch.stack([asked.row(), asked.col.long()]), overlap


def check_walks(hops: int, beta: float, memory: int = 1) -> None:
    """Refuse parameters of walks that mean nothing.

    Raises:
        UserError: for hops below 1, a negative or infinite beta, or memory below 1.
    """
    if isinstance(hops, bool) or not isinstance(hops, int) or hops < 1:
        raise UserError(f"hops is {hops!r}, expected a whole number from 1 upwards")
    if isinstance(beta, bool) or not isinstance(beta, (int, float)) or not 0 <= beta < float("inf"):
        raise UserError(f"beta is {beta!r}, expected a number from 0 upwards; 1 / mean degree is the published choice")
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 1:
        raise UserError(f"memory is {memory!r}, expected a number of bytes from 1 upwards")


def neighbor_sum(edge_index: Edges, x: Tensor, *, num_nodes: int) -> Tensor:
    r"""Sum of the features of the neighbours, :math:`A x`; differentiable as often as wanted.

    Args:
        edge_index, num_nodes: as for :func:`edge_triangles`.
        x: float32 or float64 ``[N, D]``.

    Returns:
        ``[N, D]``, 0 for a node without neighbours.

    Raises:
        UserError: bad edges or features.

    Example:
        >>> neighbor_sum(torch.tensor([[0, 1], [1, 2]]), torch.tensor([[1.0], [2.0], [4.0]]), num_nodes=3).squeeze(1).tolist()
        [2.0, 5.0, 2.0]
    """
    graph = as_simple(edge_index, num_nodes)
    return call("neighbor_sum", graph.ptr, graph.col, _features(x, num_nodes))


def edge_dot_mean(edge_index: Edges, x: Tensor, *, num_nodes: int) -> Tensor:
    r"""Mean over the neighbours of the product of both ends, :math:`\frac{1}{d_i} \sum_{j \in N_i} \langle x_i, x_j \rangle`.

    The products are not stored: a row of D sums per thread is all the memory beside the result. Differentiable.

    Args:
        edge_index, num_nodes: as for :func:`edge_triangles`.
        x: float32 or float64 ``[N, D]``.

    Returns:
        ``[N]``, 0 for a node without neighbours.

    Raises:
        UserError: bad edges or features.

    Example:
        >>> edge_dot_mean(torch.tensor([[0, 1], [1, 2]]), torch.tensor([[1.0], [2.0], [4.0]]), num_nodes=3).tolist()
        [2.0, 5.0, 8.0]
    """
    graph = as_simple(edge_index, num_nodes)
    return call("edge_dot_mean", graph.ptr, graph.col, _features(x, num_nodes))


def _features(x: Tensor, num_nodes: int) -> Tensor:
    if not isinstance(x, Tensor) or x.dim() != 2 or x.shape[0] != num_nodes:
        shape = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise UserError(f"x is {shape}, expected a row for each of the {num_nodes} nodes: [N, D]")
    if x.dtype not in (torch.float32, torch.float64):
        raise UserError(f"x has dtype {x.dtype}, expected torch.float32 or torch.float64; convert it with .float()")
    return x.contiguous()


def edge_softmax(edge_index: Tensor | CSRGraph, score: Tensor, *, num_nodes: int) -> Tensor:
    r"""Softmax of the scores of the edges into each node; differentiable.

    .. math:: p_e = \exp(s_e) \Big/ \sum_{e' \to t(e)} \exp(s_{e'})

    Args:
        edge_index: int64 ``[2, E]``, PyG's ``EdgeIndex`` or a :class:`CSRGraph`; edges as stored, loops and copies count.
        score: float32 or float64 ``[E]`` or ``[E, H]``, for H heads.
        num_nodes: N.

    Returns:
        of the shape of ``score``; the edges into a node sum to 1. Sums are taken in float64.

    Raises:
        UserError: bad edges or scores.

    Example:
        >>> edge_softmax(torch.tensor([[0, 2, 1], [1, 1, 0]]), torch.zeros(3), num_nodes=3).tolist()
        [0.5, 0.5, 1.0]
    """
    graph = as_csr(edge_index, num_nodes)
    if not isinstance(score, Tensor) or score.dim() not in (1, 2) or score.shape[0] != graph.num_edges:
        shape = list(score.shape) if isinstance(score, Tensor) else type(score).__name__
        raise UserError(f"score is {shape}, expected one for each of the {graph.num_edges} edges: [E] or [E, H]")
    if score.dtype not in (torch.float32, torch.float64):
        raise UserError(f"score has dtype {score.dtype}, expected torch.float32 or torch.float64")
    by_target = call(
        "edge_softmax", graph.ptr, (score if score.dim() == 2 else score.unsqueeze(1))[graph.perm].contiguous()
    )
    place = torch.empty_like(graph.perm)
    place[graph.perm] = torch.arange(graph.num_edges, device=place.device)
    return by_target[place].reshape(score.shape)


def counter_normal(
    rows: int, columns: int, *, seed: int, stream: int = 0, first: int = 0, device: torch.device | str = "cpu"
) -> Tensor:
    """Standard normal numbers that depend on their place only: features that never need to be stored.

    A number is a function of (seed, stream, row, column), by Philox with 4 x 32 bits and the transform of Box and Muller,
    so any part of the table can be made again, in any order and on any device (up to the rounding of log and cos).

    Args:
        rows: number of rows, starting with row 0.
        columns: number of columns, a multiple of 4.
        seed: 64 bits.
        stream: 32 bits; tables of different streams are independent.
        first: first column, a multiple of 4.
        device: where to make them.

    Returns:
        float32 ``[rows, columns]``.

    Raises:
        UserError: sizes below 0, or columns that are not multiples of 4.

    Source:
        Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).

    Example:
        >>> whole = counter_normal(3, 8, seed=1)
        >>> torch.equal(whole[:, 4:], counter_normal(3, 4, seed=1, first=4))
        True
    """
    for name, value, unit in (("rows", rows, 1), ("columns", columns, 4), ("first", first, 4)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0 or value % unit:
            raise UserError(f"{name} is {value!r}, expected a whole number from 0 upwards that {unit} divides")
    return call("counter_normal", torch.empty(0, device=device), seed, stream, rows, first, columns)
