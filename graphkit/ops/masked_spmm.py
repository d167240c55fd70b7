"""Aggregation over an undirected graph from which edges are taken out for a while: nothing is rebuilt."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest
from graphkit.ops._library import call, define, no_second_derivative, public
from graphkit.ops.csr import CSRGraph
from graphkit.ops.simple_graph import SimpleGraph, as_simple

__all__ = ["masked_degree", "masked_spmm"]

public("masked_spmm", "masked_spmm")
public("masked_degree", "simple_graph_mask")

_NORMS, _REDUCES = ("none", "sym", "row"), ("sum", "mean", "max")


def masked_degree(
    edge_index: Tensor | CSRGraph | SimpleGraph, removed: Tensor | None = None, *, num_nodes: int | None = None
) -> Tensor:
    """Neighbours of each node that are left when edges are taken out.

    Args:
        edge_index: int64 ``[2, E]``, PyG's ``EdgeIndex``, a :class:`CSRGraph` or a :class:`SimpleGraph`.
        removed: bool or uint8 ``[M]``, flags of removed edges as :meth:`SimpleGraph.removed_by` makes them.
        num_nodes: N; may be left out for a graph that knows it.

    Returns:
        int64 ``[N]``.

    Raises:
        UserError: bad edges, flags that do not fit.

    Example:
        >>> graph = SimpleGraph(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
        >>> masked_degree(graph, graph.removed_by(torch.tensor([[1], [0]]))).tolist()
        [0, 1, 1]
    """
    if num_nodes is None:
        if not isinstance(edge_index, (SimpleGraph, CSRGraph)):
            raise UserError("num_nodes is missing; pass it, or a SimpleGraph that knows it")
        num_nodes = edge_index.num_nodes
    graph = as_simple(edge_index, num_nodes)
    return graph.degree if removed is None else graph.masked(removed).degree


def masked_spmm(
    edge_index: Tensor | CSRGraph | SimpleGraph,
    x: Tensor,
    *,
    num_nodes: int,
    norm: str = "none",
    self_loops: bool = False,
    reduce: str = "sum",
    edge_weight: Tensor | None = None,
    removed: Tensor | None = None,
) -> Tensor:
    r"""Aggregation of the neighbours that are left.

    .. math:: out = D_1 (W + \lambda I) D_2\, x

    W holds the weights (or 1) of the edges that are left, :math:`\lambda` is 1 with self-loops, else 0. With D the row sums
    of :math:`W + \lambda I`: ``"sym"`` takes :math:`D_1 = D_2 = D^{-1/2}`, ``"row"`` :math:`D_1 = D^{-1}`, ``"none"`` neither.
    A row sum that is not positive counts as infinite. ``reduce="mean"`` is ``norm="row"``; ``reduce="max"`` takes the largest
    value of each channel (0 for nodes without neighbours) and goes without norm and weights.

    Args:
        edge_index: int64 ``[2, E]``, PyG's ``EdgeIndex``, a :class:`CSRGraph` or a :class:`SimpleGraph`; taken as undirected.
        x: ``[N, F]``, float32, float64 or bfloat16 (accumulated in float32).
        num_nodes: N.
        norm: ``"none"``, ``"sym"`` or ``"row"``.
        self_loops: whether a node is among its neighbours.
        reduce: ``"sum"``, ``"mean"`` or ``"max"``.
        edge_weight: ``[2 M]``, one for each entry of the :class:`SimpleGraph`: the two directions may differ. Differentiable,
            through the row sums too. 0 for entries dropped at random.
        removed: bool or uint8 ``[M]``, flags of removed edges as :meth:`SimpleGraph.removed_by` makes them; row sums are those
            of the graph that is left.

    Returns:
        ``[N, F]`` in the dtype of ``x``. Equal values share a maximum: its gradient goes to the first node among them.

    Raises:
        UserError: bad edges, shapes or dtypes that do not fit, an unknown norm or reduce.

    Source:
        Kipf and Welling, Semi-supervised classification with graph convolutional networks (ICLR 2017), eq. 2.

    Example:
        >>> graph = SimpleGraph(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
        >>> x = torch.tensor([[1.0], [10.0], [100.0]])
        >>> masked_spmm(graph, x, num_nodes=3).flatten().tolist()
        [10.0, 101.0, 10.0]
        >>> removed = graph.removed_by(torch.tensor([[0], [1]]))
        >>> masked_spmm(graph, x, num_nodes=3, norm="row", self_loops=True, removed=removed).flatten().tolist()
        [1.0, 55.0, 55.0]
    """
    graph = as_simple(edge_index, num_nodes)
    if norm not in _NORMS:
        raise UserError(nearest(str(norm), _NORMS, "norm"))
    if reduce not in _REDUCES:
        raise UserError(nearest(str(reduce), _REDUCES, "reduce"))
    check_features("x", x, graph)
    if reduce != "sum" and norm != "none":
        raise UserError(f"reduce={reduce!r} goes with norm='none', not {norm!r}")
    masked = None if removed is None else graph.masked(removed)
    gone = None if masked is None else masked.gone
    if reduce == "max":
        if edge_weight is not None:
            raise UserError("reduce='max' takes no edge_weight; take entries out with removed")
        wide = x.to(torch.float32) if x.dtype == torch.bfloat16 else x
        return call("masked_max", graph.ptr, graph.col, gone, wide.contiguous(), bool(self_loops))[0].to(x.dtype)
    norm, loop, real = "row" if reduce == "mean" else norm, float(self_loops), accumulator(x)
    reverse = None
    if edge_weight is not None:
        _check_weight(edge_weight, graph)
        edge_weight, reverse = edge_weight.to(real).contiguous(), graph.reverse

    def product(dense: Tensor, before: Tensor | None, after: Tensor | None) -> Tensor:
        arguments = (graph.ptr, graph.col, gone, dense.contiguous(), before, after, edge_weight, reverse, loop)
        return call("masked_spmm", *arguments)

    if norm == "none":
        return product(x, None, None)
    if edge_weight is not None:
        total = product(torch.ones(num_nodes, 1, dtype=real, device=x.device), None, None).squeeze(1)
    else:
        total = (graph.degree if masked is None else masked.degree).to(real) + loop
    positive = total > 0
    safe = torch.where(positive, total, 1)
    scale = torch.where(positive, safe.rsqrt() if norm == "sym" else safe.reciprocal(), 0)
    if not scale.requires_grad:
        return product(x, scale if norm == "sym" else None, scale)
    # the kernel's scales are constants
    scaled = (x.to(real) * scale[:, None]).to(x.dtype) if norm == "sym" else x
    return (product(scaled, None, None).to(real) * scale[:, None]).to(x.dtype)


def accumulator(x: Tensor) -> torch.dtype:
    """float64 for float64, else float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def check_features(name: str, x: Tensor, graph: SimpleGraph) -> None:
    """UserError unless x is ``[N, F]`` of a dtype that the kernels take, on the graph's device."""
    if not isinstance(x, Tensor) or x.dim() != 2 or x.shape[0] != graph.num_nodes:
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise UserError(f"{name} is {shape}, expected a tensor [{graph.num_nodes}, F], one row per node")
    if x.dtype not in (torch.float32, torch.float64, torch.bfloat16):
        raise UserError(f"{name} has dtype {x.dtype}, expected float32, float64 or bfloat16")
    if x.device != graph.ptr.device:
        raise UserError(f"{name} is on {x.device}, the graph on {graph.ptr.device}; move them to one device")


def _check_weight(edge_weight: Tensor, graph: SimpleGraph) -> None:
    entries = len(graph.col)
    if not isinstance(edge_weight, Tensor) or edge_weight.shape != (entries,):
        shape = tuple(edge_weight.shape) if isinstance(edge_weight, Tensor) else type(edge_weight).__name__
        raise UserError(f"edge_weight is {shape}, expected [{entries}], one value per entry of the SimpleGraph")
    if edge_weight.dtype not in (torch.float32, torch.float64, torch.bfloat16):
        raise UserError(f"edge_weight has dtype {edge_weight.dtype}, expected float32, float64 or bfloat16")
    if edge_weight.device != graph.col.device:
        raise UserError(
            f"edge_weight is on {edge_weight.device}, the graph on {graph.col.device}; move them to one device"
        )


# ---------------------------------------------------------------- bodies in torch

_CELLS = 1 << 24


def _row(ptr: Tensor) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(ptr) - 1, device=ptr.device), ptr.diff())


def _spmm(ptr: Tensor, col: Tensor, gone: Tensor | None, x: Tensor, in_scale: Tensor | None, out_scale: Tensor | None,
          edge_weight: Tensor | None, reverse: Tensor | None, loop: float) -> Tensor:  # fmt: skip
    real = accumulator(x)
    dense = x.to(real) if in_scale is None else x.to(real) * in_scale[:, None]
    values = torch.ones(len(col), dtype=real, device=x.device) if edge_weight is None else edge_weight
    row, far = _row(ptr), col.long()
    if gone is not None:
        keep = gone == 0
        row, far, values = row[keep], far[keep], values[keep]
    n = len(ptr) - 1
    matrix = torch.sparse_coo_tensor(torch.stack([row, far]), values, (n, n), is_coalesced=True, check_invariants=False)
    out = matrix @ dense
    out = out + loop * dense if loop else out  # zero times what is no number would be none either
    return (out if out_scale is None else out * out_scale[:, None]).to(x.dtype)


def _sddmm(ptr: Tensor, col: Tensor, gone: Tensor | None, left: Tensor, right: Tensor, left_scale: Tensor | None,
           right_scale: Tensor | None) -> Tensor:  # fmt: skip
    real = accumulator(left)
    out = torch.zeros(len(col), dtype=real, device=col.device)
    step = max(1, _CELLS // max(left.shape[1], 1))
    for rows, cols, part in zip(_row(ptr).split(step), col.split(step), out.split(step), strict=True):
        far = cols.long()
        value = (left[rows].to(real) * right[far].to(real)).sum(1)
        value = value if left_scale is None else value * left_scale[rows]
        part.copy_(value if right_scale is None else value * right_scale[far])
    return out if gone is None else out.masked_fill(gone != 0, 0)


def _max(ptr: Tensor, col: Tensor, gone: Tensor | None, x: Tensor, loop: bool) -> tuple[Tensor, Tensor]:
    n, channels = x.shape
    row, far = _row(ptr), col.long()
    if gone is not None:
        row, far = row[gone == 0], far[gone == 0]
    if loop:
        nodes = torch.arange(n, device=x.device)
        row, far = torch.cat([row, nodes]), torch.cat([far, nodes])
    index, messages = row[:, None].expand(-1, channels), x[far]
    highest = torch.full_like(x, -torch.inf).scatter_reduce(0, index, messages, "amax")
    # the first node among those that share the maximum
    who = torch.where((messages == highest[row]) | messages.isnan(), far[:, None], n)
    arg = torch.full((n, channels), n, device=x.device).scatter_reduce(0, index, who, "amin")
    none = arg == n
    return highest.masked_fill(none, 0), arg.masked_fill(none, -1).to(torch.int32)


def _max_backward(ptr: Tensor, col: Tensor, gone: Tensor | None, arg: Tensor, grad: Tensor, loop: bool) -> Tensor:
    out = torch.zeros_like(grad)
    return out.scatter_add(0, arg.long().clamp(min=0), grad.masked_fill(arg < 0, 0))


def _setup_spmm(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ptr, col, gone, x, in_scale, out_scale, edge_weight, reverse, ctx.loop = inputs
    ctx.save_for_backward(
        ptr, col, gone, x if ctx.needs_input_grad[6] else None, in_scale, out_scale, edge_weight, reverse
    )


def _spmm_gradient(operators: Any, ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    ptr, col, gone, x, in_scale, out_scale, edge_weight, reverse = ctx.saved_tensors
    grad = grad.contiguous()
    grad_x = grad_weight = None
    if ctx.needs_input_grad[3]:
        back = None if edge_weight is None else edge_weight[reverse.long()]
        grad_x = operators.masked_spmm(ptr, col, gone, grad, out_scale, in_scale, back, reverse, ctx.loop)
    if ctx.needs_input_grad[6]:
        grad_weight = operators.masked_sddmm(ptr, col, gone, grad, x, out_scale, in_scale)
    return None, None, None, grad_x, None, None, grad_weight, None, None


def _setup_max(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:3], output[1])
    ctx.loop = inputs[4]


def _max_gradient(operators: Any, ctx: Any, grad: Tensor | None, _: Any) -> tuple[Any, ...]:
    if grad is None:
        return (None,) * 5
    return None, None, None, operators.masked_max_backward(*ctx.saved_tensors, grad.contiguous(), ctx.loop), None


define(
    "masked_sddmm(Tensor ptr, Tensor col, Tensor? gone, Tensor left, Tensor right, Tensor? left_scale, Tensor? right_scale)"
    " -> Tensor",
    _sddmm,
    fake=lambda ptr, col, gone, left, *_: left.new_empty(col.shape[0], dtype=accumulator(left)),
    backward=no_second_derivative,
)
define(
    "masked_spmm(Tensor ptr, Tensor col, Tensor? gone, Tensor x, Tensor? in_scale, Tensor? out_scale, Tensor? edge_weight,"
    " Tensor? reverse, float loop) -> Tensor",
    _spmm,
    fake=lambda ptr, col, gone, x, *_: torch.empty_like(x),
    setup_context=_setup_spmm,
    backward=_spmm_gradient,
)
define(
    "masked_max_backward(Tensor ptr, Tensor col, Tensor? gone, Tensor arg, Tensor grad, bool loop) -> Tensor",
    _max_backward,
    fake=lambda ptr, col, gone, arg, grad, loop: torch.empty_like(grad),
    backward=no_second_derivative,
)
define(
    "masked_max(Tensor ptr, Tensor col, Tensor? gone, Tensor x, bool loop) -> (Tensor, Tensor)",
    _max,
    fake=lambda ptr, col, gone, x, loop: (torch.empty_like(x), torch.empty_like(x, dtype=torch.int32)),
    setup_context=_setup_max,
    backward=_max_gradient,
)
