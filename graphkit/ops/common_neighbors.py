"""Common and residual neighbours of many pairs of nodes: as sets, as counts, and pooled without the sets."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest
from graphkit.ops._library import call, public
from graphkit.ops.common_neighbors_reference import COMMON, RESIDUAL, STRATEGIES
from graphkit.ops.csr import CSRGraph
from graphkit.ops.masked_spmm import accumulator, check_features
from graphkit.ops.simple_graph import SimpleGraph, as_simple, check_pairs

__all__ = [
    "cn_complete", "cn_pool", "common_neighbor_count", "common_neighbors", "force_strategy", "residual_neighbors",
    "weighted_pool",
]  # fmt: skip

public("common_neighbors", "neighbor_sets")
public("residual_neighbors", "neighbor_sets")
public("common_neighbor_count", "common_neighbor_count")
public("cn_pool", "cn_pool")
public("weighted_pool", "weighted_pool")
public("cn_complete", "cn_pool")

Edges = Tensor | CSRGraph | SimpleGraph

_WEIGHTS = ("one", "degree", "log_degree")
_STRATEGY: contextvars.ContextVar[str] = contextvars.ContextVar("graphkit_intersection", default="auto")


@contextlib.contextmanager
def force_strategy(strategy: str) -> Iterator[None]:
    """Within the context rows are intersected in one way; for tests and measurements, as results do not depend on it.

    Args:
        strategy: ``"auto"``, ``"merge"``, ``"gallop"``, ``"bitmap"`` (of one row at a time), ``"probe"`` or ``"words"`` (of
            all rows at once: N^2 bits).

    Raises:
        UserError: an unknown strategy.

    Example:
        >>> with force_strategy("merge"):
        ...     common_neighbors(torch.tensor([[0, 1], [1, 2]]), torch.tensor([[0], [2]]), num_nodes=3)
        (tensor([0, 1]), tensor([1]))
    """
    if strategy not in STRATEGIES:
        raise UserError(nearest(str(strategy), STRATEGIES, "strategy"))
    token = _STRATEGY.set(strategy)
    try:
        yield
    finally:
        _STRATEGY.reset(token)


class _Call:
    """Checked arguments that all operators on pairs begin with."""

    def __init__(self, edge_index: Edges, pairs: Tensor, num_nodes: int, removed: Tensor | None) -> None:
        self.graph = as_simple(edge_index, num_nodes)
        self.pairs = check_pairs(pairs, self.graph)
        self.masked = None if removed is None else self.graph.masked(removed)
        self.strategy = STRATEGIES[_STRATEGY.get()]

    def __iter__(self) -> Iterator[Tensor | None]:
        gone, degree = self.masked or (None, None)
        return iter((self.graph.ptr, self.graph.col, gone, degree, self.pairs))

    def sets(self, which: int, cap: int | None, seed: int, counter: int) -> tuple[Tensor, Tensor, Tensor]:
        arguments = (*self, which, *_sampling(cap, seed, counter), self.strategy)
        if cap is not None and self.pairs.is_cuda:  # the kernel there does not sample
            return torch.ops.graphkit_python.neighbor_sets(*arguments)
        return call("neighbor_sets", *arguments)

    def degree(self) -> Tensor:
        return self.graph.degree if self.masked is None else self.masked.degree


def common_neighbors(
    edge_index: Edges,
    pairs: Tensor,
    *,
    num_nodes: int,
    removed: Tensor | None = None,
    cap: int | None = None,
    seed: int = 0,
    counter: int = 0,
) -> tuple[Tensor, ...]:
    r"""The common neighbours of each pair, :math:`C_{ij} = N(i) \cap N(j)`.

    The graph is taken as undirected; loops and copies of edges are dropped. A pair (i, i) has all neighbours of i.

    Args:
        edge_index: int64 ``[2, E]``, PyG's ``EdgeIndex``, a :class:`CSRGraph` or a :class:`SimpleGraph`; with the last three
            the sorted form is made once.
        pairs: int64 ``[2, P]``, in any order, copies allowed.
        num_nodes: N.
        removed: bool or uint8 ``[M]``, flags of edges that are taken out, as :meth:`SimpleGraph.removed_by` makes them.
        cap: longer rows are sampled, see :func:`residual_neighbors`; then values come with the nodes.
        seed, counter: of the sampling.

    Returns:
        ptr: int64 ``[P + 1]``; node: int64, the common neighbours of pair p at ``ptr[p]`` to ``ptr[p + 1]``, sorted. With
        ``cap`` also value: float32, one for each node.

    Raises:
        UserError: bad edges, pairs or flags; ids out of range.

    Source:
        Wang, Yang, Zhang, Neural common neighbor with completion for link prediction (ICLR 2024), section 3.

    Example:
        >>> edges = torch.tensor([[0, 0, 1, 1, 2], [2, 3, 2, 3, 3]])
        >>> ptr, node = common_neighbors(edges, torch.tensor([[0, 2, 1], [1, 3, 1]]), num_nodes=4)
        >>> ptr.tolist(), node.tolist()
        ([0, 2, 4, 6], [2, 3, 0, 1, 2, 3])
    """
    of = _Call(edge_index, pairs, num_nodes, removed)
    ptr, node, value = of.sets(COMMON, cap, seed, counter)
    return (ptr, node) if cap is None else (ptr, node, value)


def residual_neighbors(
    edge_index: Edges,
    pairs: Tensor,
    *,
    num_nodes: int,
    removed: Tensor | None = None,
    cap: int | None = None,
    seed: int = 0,
    counter: int = 0,
) -> tuple[Tensor, Tensor, Tensor | None]:
    r"""The neighbours of one node of a pair alone: :math:`N(i) \setminus N(j)` and :math:`N(j) \setminus N(i)`.

    i and j themselves are left out, also where they are neighbours of each other.

    Args:
        edge_index, pairs, num_nodes, removed: as for :func:`common_neighbors`.
        cap: rows longer than this are replaced by as many draws with replacement, each of value length / cap; copies of
            a node are added up. The sum of values times anything has the expectation of the full sum. Rows up to the cap
            are kept whole, with values 1.
        seed, counter: name the draws, together with the nodes of the pair and the side: a pair draws the same in any
            batch, at any place, with any number of threads, and (j, i) draws as (i, j) does. Change the counter from
            step to step. 0 <= counter < 2^32.

    Returns:
        ptr: int64 ``[2 P + 1]``, rows 0 to P - 1 for i, rows P to 2 P - 1 for j; node: int64, sorted in each row; value:
        float32, one for each node, or None without a cap.

    Raises:
        UserError: bad edges, pairs, flags, cap or counter; ids out of range.

    Source:
        Wang, Yang, Zhang, Neural common neighbor with completion for link prediction (ICLR 2024), section 4. Draws:
        Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).

    Example:
        >>> edges = torch.tensor([[0, 0, 0, 1, 1], [1, 2, 3, 3, 4]])
        >>> ptr, node, _ = residual_neighbors(edges, torch.tensor([[0], [1]]), num_nodes=5)
        >>> ptr.tolist(), node.tolist()
        ([0, 1, 2], [2, 4])
    """
    of = _Call(edge_index, pairs, num_nodes, removed)
    ptr, node, value = of.sets(RESIDUAL, cap, seed, counter)
    return ptr, node, None if cap is None else value


def common_neighbor_count(
    edge_index: Edges,
    pairs: Tensor,
    *,
    num_nodes: int,
    weight: Tensor | str | None = None,
    removed: Tensor | None = None,
) -> Tensor:
    r"""How many common neighbours each pair has, or the sum of their weights.

    Args:
        edge_index, pairs, num_nodes, removed: as for :func:`common_neighbors`.
        weight: ``[N]``, float32 or float64, or a name as for :func:`cn_pool`: ``"degree"`` is resource allocation,
            ``"log_degree"`` is Adamic-Adar, in float32.

    Returns:
        int64 ``[P]``; with weights ``[P]`` in their dtype, differentiable.

    Raises:
        UserError: bad edges, pairs, flags or weights; ids out of range.

    Example:
        >>> edges = torch.tensor([[0, 0, 1, 1, 2], [2, 3, 2, 3, 3]])
        >>> pairs = torch.tensor([[0], [1]])
        >>> common_neighbor_count(edges, pairs, num_nodes=4).tolist()
        [2]
        >>> common_neighbor_count(edges, pairs, num_nodes=4, weight=torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist()
        [7.0]
    """
    of = _Call(edge_index, pairs, num_nodes, removed)
    if weight is None:
        return call("common_neighbor_count", *of, of.strategy)
    values = _node_weight(
        of, weight, torch.float64 if getattr(weight, "dtype", None) == torch.float64 else torch.float32
    )
    if values is None:
        return call("common_neighbor_count", *of, of.strategy).to(torch.float32)
    return call("cn_pool", *of, values[:, None].contiguous(), None, of.strategy).squeeze(1)


def cn_pool(
    edge_index: Edges,
    pairs: Tensor,
    x: Tensor,
    *,
    num_nodes: int,
    weight: Tensor | str | None = None,
    removed: Tensor | None = None,
    cap: int | None = None,
    seed: int = 0,
    counter: int = 0,
) -> Tensor:
    r"""Features summed over the common neighbours of each pair.

    .. math:: out_p = \sum_{u \in N(i_p) \cap N(j_p)} \omega_u\, x_u

    Memory is that of x and of the result, whatever the degrees: the sets are kept for the gradient where they are sure to have
    no more nodes than the result has numbers, else they are found again. Terms are added in the order of u in the result, in
    the order of the pairs in the gradient of x: neither depends on the number of threads or on how the rows are intersected.

    Args:
        edge_index, pairs, num_nodes, removed: as for :func:`common_neighbors`.
        x: ``[N, F]``, float32, float64 or bfloat16 (accumulated in float32).
        weight: ω, ``[N]``, or ``"one"`` (also None), ``"degree"`` (1 / degree, resource allocation) or ``"log_degree"``
            (1 / ln degree, Adamic-Adar; 0 below degree 2, which only pairs (i, i) meet). Degrees are those without the
            removed edges.
        cap, seed, counter: rows longer than the cap are sampled, see :func:`residual_neighbors`; the samples are stored,
            up to P times cap of them.

    Returns:
        ``[P, F]`` in the dtype of ``x``; differentiable with respect to x and a weight tensor.

    Raises:
        UserError: bad edges, pairs, flags, weights or features; ids out of range.

    Source:
        Wang, Yang, Zhang, Neural common neighbor with completion for link prediction (ICLR 2024), eq. 5.

    Example:
        >>> edges = torch.tensor([[0, 0, 1, 1, 2], [2, 3, 2, 3, 3]])
        >>> x = torch.tensor([[1.0], [10.0], [100.0], [1000.0]])
        >>> cn_pool(edges, torch.tensor([[0, 2], [1, 3]]), x, num_nodes=4).tolist()
        [[1100.0], [11.0]]
    """
    of = _Call(edge_index, pairs, num_nodes, removed)
    check_features("x", x, of.graph)
    values = _node_weight(of, weight, accumulator(x))
    if cap is not None:
        ptr, node, value = of.sets(COMMON, cap, seed, counter)
        weights = value.to(accumulator(x)) if values is None else value.to(accumulator(x)) * values[node]
        return call("weighted_pool", ptr, node, weights, x.contiguous(), len(ptr) - 1)
    if torch.is_grad_enabled() and x.requires_grad and not x.is_cuda:
        return call("cn_pool_with_sets", *of, x.contiguous(), values, of.strategy)[0]
    return call("cn_pool", *of, x.contiguous(), values, of.strategy)


def weighted_pool(ptr: Tensor, node: Tensor, value: Tensor | None, x: Tensor) -> Tensor:
    r"""Weighted features summed over ragged rows of nodes.

    .. math:: out_r = \sum_{k = ptr_r}^{ptr_{r + 1} - 1} value_k\, x_{node_k}

    Args:
        ptr: int64 ``[P + 1]``, rising from 0 to K.
        node: int64 ``[K]``, in ``[0, N)``.
        value: ``[K]``, or None for ones.
        x: ``[N, F]``, float32, float64 or bfloat16 (accumulated in float32).

    Returns:
        ``[P, F]`` in the dtype of ``x``; differentiable with respect to value and x. Results do not depend on the number of
        threads.

    Raises:
        UserError: shapes or dtypes that do not fit, nodes out of range.

    Example:
        >>> ptr, node, value = torch.tensor([0, 2, 2, 3]), torch.tensor([0, 1, 1]), torch.tensor([1.0, 2.0, 0.5])
        >>> weighted_pool(ptr, node, value, torch.tensor([[1.0], [10.0]])).tolist()
        [[21.0], [0.0], [5.0]]
    """
    value = _check_ragged(ptr, node, value, x)
    return call("weighted_pool", ptr.contiguous(), node.contiguous(), value, x.contiguous(), len(ptr) - 1)


def cn_complete(
    edge_index: Edges,
    pairs: Tensor,
    x: Tensor,
    residual: tuple[Tensor, Tensor],
    value: Tensor | None,
    *,
    num_nodes: int,
    removed: Tensor | None = None,
) -> Tensor:
    r"""Features summed over common neighbours and, weighted, over residual ones.

    .. math:: out_p = \sum_{u \in N(i) \cap N(j)} x_u + \sum_{u \in N(i) \setminus N(j)} v_{pu}\, x_u
        + \sum_{u \in N(j) \setminus N(i)} v_{pu}\, x_u

    Args:
        edge_index, pairs, x, num_nodes, removed: as for :func:`cn_pool`.
        residual: (ptr int64 ``[2 P + 1]``, node int64 ``[K]``) of :func:`residual_neighbors`.
        value: ``[K]``, probabilities that the missing links exist (times the values of a sample), or None for ones.

    Returns:
        ``[P, F]`` in the dtype of ``x``; differentiable with respect to x and value.

    Raises:
        UserError: as :func:`cn_pool` and :func:`weighted_pool`.

    Source:
        Wang, Yang, Zhang, Neural common neighbor with completion for link prediction (ICLR 2024), eq. 7.

    Example:
        >>> edges = torch.tensor([[0, 0, 0, 1, 1], [1, 2, 3, 3, 4]])
        >>> pairs, x = torch.tensor([[0], [1]]), torch.tensor([[0.0], [0.0], [1.0], [10.0], [100.0]])
        >>> ptr, node, _ = residual_neighbors(edges, pairs, num_nodes=5)
        >>> cn_complete(edges, pairs, x, (ptr, node), torch.tensor([0.5, 0.25]), num_nodes=5).tolist()
        [[35.5]]
    """
    of = _Call(edge_index, pairs, num_nodes, removed)
    check_features("x", x, of.graph)
    ptr, node = residual
    count = of.pairs.shape[1]
    if not isinstance(ptr, Tensor) or ptr.shape != (2 * count + 1,):
        shape = tuple(ptr.shape) if isinstance(ptr, Tensor) else type(ptr).__name__
        raise UserError(
            f"residual ptr is {shape}, expected [{2 * count + 1}], as residual_neighbors gives it for these pairs"
        )
    value = _check_ragged(ptr, node, value, x)
    common = call("cn_pool", *of, x.contiguous(), None, of.strategy)
    return common + call("weighted_pool", ptr.contiguous(), node.contiguous(), value, x.contiguous(), count)


# ---------------------------------------------------------------- checks


def _sampling(cap: int | None, seed: int, counter: int) -> tuple[int, int, int]:
    if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or not 0 < cap < 2**31):
        raise UserError(f"cap is {cap!r}, expected a whole number from 1 to 2^31 - 1, or None for no cap")
    if not 0 <= counter < 2**32:
        raise UserError(f"counter is {counter}, expected a number in [0, 2^32); put the rest into the seed")
    signed = seed % 2**64
    return cap or 0, signed - 2**64 if signed >= 2**63 else signed, counter


def _node_weight(of: _Call, weight: Tensor | str | None, dtype: torch.dtype) -> Tensor | None:
    if weight is None:
        return None
    if isinstance(weight, str):
        if weight not in _WEIGHTS:
            raise UserError(nearest(weight, _WEIGHTS, "weight"))
        if weight == "one":
            return None
        degree = of.degree().to(torch.float64)
        scale = degree if weight == "degree" else degree.log()
        return torch.where(scale > 0, 1 / scale, 0).to(dtype)
    if not isinstance(weight, Tensor) or weight.shape != (of.graph.num_nodes,):
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise UserError(f"weight is {shape}, expected a tensor [{of.graph.num_nodes}] or one of {', '.join(_WEIGHTS)}")
    if not weight.is_floating_point():
        raise UserError(f"weight has dtype {weight.dtype}, expected a floating-point one; convert it with .float()")
    if weight.device != of.graph.ptr.device:
        raise UserError(f"weight is on {weight.device}, the graph on {of.graph.ptr.device}; move them to one device")
    return weight.to(dtype).contiguous()


def _check_ragged(ptr: Tensor, node: Tensor, value: Tensor | None, x: Tensor) -> Tensor | None:
    for name, ids in (("ptr", ptr), ("node", node)):
        if not isinstance(ids, Tensor) or ids.dim() != 1 or ids.dtype != torch.int64:
            kind = f"{ids.dtype} {tuple(ids.shape)}" if isinstance(ids, Tensor) else type(ids).__name__
            raise UserError(f"{name} is {kind}, expected a one-dimensional int64 tensor")
    if not isinstance(x, Tensor) or x.dim() != 2 or x.dtype not in (torch.float32, torch.float64, torch.bfloat16):
        kind = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise UserError(f"x is {kind}, expected [N, F] of float32, float64 or bfloat16")
    if not len(ptr) or int(ptr[0]) != 0 or int(ptr[-1]) != len(node) or bool((ptr.diff() < 0).any()):
        raise UserError(f"ptr does not rise from 0 to {len(node)}, the number of nodes in all rows")
    if len(node):
        low, high = (int(v) for v in node.aminmax())
        if low < 0 or high >= len(x):
            raise UserError(f"node holds {low if low < 0 else high}, expected ids in [0, {len(x)}), the rows of x")
    if value is None:
        return None
    if not isinstance(value, Tensor) or value.shape != node.shape or not value.is_floating_point():
        kind = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise UserError(f"value is {kind}, expected floating-point [{len(node)}], one value per node")
    return value.to(accumulator(x)).contiguous()
