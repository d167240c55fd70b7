"""The relational operator in plain torch: what it means, and what serves where no kernel is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphkit.ops import relational_scatter
from graphkit.ops._library import define, no_second_derivative

__all__ = ["MESSAGES", "REDUCES"]

MESSAGES = {"mul": 0, "add": 1, "rotate": 2, "min": 3}
REDUCES = {"sum": 0, "mean": 1, "max": 2, "min": 3, "pna": 4}
VARIANCE_FLOOR = 1e-6
_SUM, _MEAN, _MAX, _MIN, _PNA = range(5)
_NEED_X, _NEED_RELATION, _NEED_WEIGHT, _NEED_BOUNDARY = 1, 2, 4, 8


def _message(kind: int, x: Tensor, relation: Tensor) -> Tensor:
    if kind == 0:
        return x * relation
    if kind == 1:
        return x + relation
    if kind == 3:
        return torch.minimum(x, relation)
    (a, b), (c, d) = x.chunk(2, -1), relation.chunk(2, -1)
    return torch.cat([a * c - b * d, a * d + b * c], -1)


def _message_gradients(kind: int, g: Tensor, x: Tensor, relation: Tensor) -> tuple[Tensor, Tensor]:
    if kind == 0:
        return g * relation, g * x
    if kind == 1:
        return g, g.expand_as(g)
    if kind == 3:
        to_relation = relation < x
        return g.masked_fill(to_relation, 0), g.masked_fill(~to_relation, 0)
    (p, q), (a, b), (c, d) = g.chunk(2, -1), x.chunk(2, -1), relation.chunk(2, -1)
    return torch.cat([p * c + q * d, q * c - p * d], -1), torch.cat([p * a + q * b, q * a - p * b], -1)


class Edges:
    """The kept edges of one call with everything they carry, in the accumulator's dtype."""

    def __init__(self, ptr: Tensor, source: Tensor, kind: Tensor, weight: Tensor | None, keep: Tensor | None, x: Tensor,
                 relation: Tensor, message: int) -> None:  # fmt: skip
        self.dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        self.num_edges, self.num_nodes = len(source), len(ptr) - 1
        self.position = torch.arange(len(source), device=x.device)
        if keep is not None:
            self.position = keep.nonzero()[:, 0]
        target = torch.repeat_interleave(torch.arange(self.num_nodes, device=x.device), ptr.diff())
        self.target = target[self.position]
        self.source = source[self.position].long()
        self.kind = kind[self.position].long()
        self.weight = None if weight is None else weight[self.position].unsqueeze(-1)
        self.x = x[:, self.source].to(self.dtype)
        self.relation = relation[..., self.kind, :].to(self.dtype)
        self.plain = _message(message, self.x, self.relation)
        self.message = self.plain if self.weight is None else self.plain * self.weight


def _dense_boundary(x: Tensor, source: Tensor | None, boundary: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    if boundary is None or source is None:
        return None if boundary is None else boundary.to(dtype)
    dense = torch.zeros(x.shape, dtype=dtype, device=x.device)
    dense[torch.arange(len(x), device=x.device), source] = boundary.to(dtype)
    return dense


def _counts(edges: Edges, bounded: bool) -> Tensor:
    return torch.bincount(edges.target, minlength=edges.num_nodes).to(edges.dtype) + bounded


def _sum(edges: Edges, m: Tensor, boundary: Tensor | None) -> Tensor:
    total = m.new_zeros(m.shape[0], edges.num_nodes, m.shape[2]) if boundary is None else boundary
    return total.index_add(1, edges.target, m)


def _extreme(edges: Edges, boundary: Tensor | None, with_arg: bool, high: bool) -> tuple[Tensor, Tensor]:
    """Maximum or minimum and the lowest position that attains it; the boundary is position -1."""
    m = edges.message
    index = edges.target.view(1, -1, 1).expand_as(m)
    shape = (m.shape[0], edges.num_nodes, m.shape[2])
    best = m.new_full(shape, -torch.inf if high else torch.inf)
    best = best.scatter_reduce(1, index, m, "amax" if high else "amin")
    if boundary is not None:
        best = torch.maximum(best, boundary) if high else torch.minimum(best, boundary)
    arg = torch.full(shape, -1, dtype=torch.int64, device=m.device)
    if with_arg:
        here = edges.position.view(1, -1, 1).expand_as(m).where(m == best[:, edges.target], edges.num_edges)
        arg = torch.full_like(arg, edges.num_edges).scatter_reduce(1, index, here, "amin")
        if boundary is not None:
            arg = arg.masked_fill(best == boundary, -1)
        arg = arg.masked_fill(arg == edges.num_edges, -1)
    return best, arg.int()


def forward_of(
    total: Callable[..., Tensor], extreme: Callable[..., tuple[Tensor, Tensor]]
) -> Callable[..., tuple[Tensor, Tensor]]:
    """The forward over a sum and an extreme of its own: torch's here, torch-scatter's in another backend."""

    def forward(ptr: Tensor, source: Tensor, kind: Tensor, weight: Tensor | None, keep: Tensor | None, x: Tensor, relation: Tensor,
                boundary_source: Tensor | None, boundary: Tensor | None, t_ptr: Tensor, t_target: Tensor, t_position: Tensor,
                message: int, reduce: int, empty: float, with_arg: bool) -> tuple[Tensor, Tensor]:  # fmt: skip
        edges = Edges(ptr, source, kind, weight, keep, x, relation, message)
        first = _dense_boundary(x, boundary_source, boundary, edges.dtype)
        count = _counts(edges, first is not None).view(1, -1, 1)
        arg = torch.empty(0, dtype=torch.int32, device=x.device)
        if reduce in (_SUM, _MEAN):
            out = total(edges, edges.message, first)
            out = out / count if reduce == _MEAN else out
        elif reduce in (_MAX, _MIN):
            out, found = extreme(edges, first, with_arg, reduce == _MAX)
            arg = found if with_arg else arg
        else:
            mean = total(edges, edges.message, first) / count
            # about the mean as rounded, and then about what that missed
            deviation, rest = edges.message - mean[:, edges.target], None if first is None else first - mean
            variance = total(edges, deviation**2, None if rest is None else rest**2) / count
            variance = variance - (total(edges, deviation, rest) / count) ** 2
            high, at_high = extreme(edges, first, with_arg, True)
            low, at_low = extreme(edges, first, with_arg, False)
            out = torch.stack([mean, high, low, variance.clamp(min=VARIANCE_FLOOR).sqrt()], 2)
            arg = torch.stack([at_high, at_low], 2) if with_arg else arg
            count = count.unsqueeze(2)
        return out.masked_fill(count == 0, empty).to(x.dtype), arg

    return forward


def _gradient_of(m: Tensor, node: Tensor, position: Tensor, out: Tensor, arg: Tensor, grad: Tensor, share: Tensor,
                 reduce: int, dtype: torch.dtype) -> Tensor:  # fmt: skip
    """Gradient of messages m [B, M, D] at nodes [M]; PNA by the formula in relational.inc."""
    g, position = grad[:, node].to(dtype), position.view(1, -1, 1)
    if reduce == _SUM:
        return g
    if reduce == _MEAN:
        return g * share[node].view(1, -1, 1)
    if reduce in (_MAX, _MIN):
        return g.masked_fill(arg[:, node] != position, 0)
    mean, std = out[:, node, 0].to(dtype), out[:, node, 3].to(dtype)
    floor = torch.tensor(VARIANCE_FLOOR, dtype=dtype).sqrt().to(out.dtype).to(dtype)
    part = share[node].view(1, -1, 1)
    # a deviation at the floor, or below what the stored mean resolves, passes nothing on
    slope = (g[:, :, 3] * part / std).masked_fill((std <= floor) | (std <= mean.abs() * torch.finfo(out.dtype).eps), 0)
    return (
        g[:, :, 0] * part - slope * mean + slope * m
        + g[:, :, 1].masked_fill(arg[:, node, 0] != position, 0)
        + g[:, :, 2].masked_fill(arg[:, node, 1] != position, 0)
    )  # fmt: skip


def _backward(ptr: Tensor, source: Tensor, kind: Tensor, weight: Tensor | None, keep: Tensor | None, x: Tensor, relation: Tensor,
              boundary_source: Tensor | None, boundary: Tensor | None, t_ptr: Tensor, t_target: Tensor, t_position: Tensor,
              out: Tensor, arg: Tensor, grad: Tensor, message: int, reduce: int, needs: int,
              ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    edges = Edges(ptr, source, kind, weight, keep, x, relation, message)
    first = _dense_boundary(x, boundary_source, boundary, edges.dtype)
    share = 1 / _counts(edges, first is not None).clamp(min=1)
    g = _gradient_of(edges.message, edges.target, edges.position, out, arg, grad, share, reduce, edges.dtype)
    scaled = g if edges.weight is None else g * edges.weight
    gx, gr = _message_gradients(message, scaled, edges.x, edges.relation)
    # what is not needed is empty; results may not share memory
    grad_x, grad_boundary = x.new_empty(0), x.new_empty(0)
    grad_relation, grad_weight = (x.new_empty(0, dtype=edges.dtype) for _ in range(2))
    if needs & _NEED_X:
        grad_x = torch.zeros(x.shape, dtype=edges.dtype, device=x.device).index_add(1, edges.source, gx).to(x.dtype)
    if needs & _NEED_RELATION:
        grad_relation = torch.zeros(relation.shape, dtype=edges.dtype, device=x.device)
        grad_relation = grad_relation.index_add(-2, edges.kind, gr if relation.dim() == 3 else gr.sum(0))
    if needs & _NEED_WEIGHT:
        grad_weight = torch.zeros(edges.num_edges, dtype=edges.dtype, device=x.device)
        grad_weight[edges.position] = (g * edges.plain).sum((0, 2))
    if needs & _NEED_BOUNDARY and first is not None:
        nodes = torch.arange(edges.num_nodes, device=x.device)
        grad_boundary = _gradient_of(
            first, nodes, torch.full_like(nodes, -1), out, arg, grad, share, reduce, edges.dtype
        )
        if boundary_source is not None:
            grad_boundary = grad_boundary[torch.arange(len(x), device=x.device), boundary_source]
        grad_boundary = grad_boundary.to(x.dtype).contiguous()
    return grad_x, grad_relation, grad_weight, grad_boundary


def _fake_forward(ptr: Any, source: Any, kind: Any, weight: Any, keep: Any, x: Tensor, relation: Any, boundary_source: Any,
                  boundary: Any, t_ptr: Any, t_target: Any, t_position: Any, message: int, reduce: int, empty: float,
                  with_arg: bool) -> tuple[Tensor, Tensor]:  # fmt: skip
    batches, nodes, channels = x.shape
    pna = reduce == _PNA
    out = x.new_empty((batches, nodes, 4, channels) if pna else (batches, nodes, channels))
    if not with_arg or reduce in (_SUM, _MEAN):
        return out, x.new_empty(0, dtype=torch.int32)
    return out, x.new_empty((batches, nodes, 2, channels) if pna else (batches, nodes, channels), dtype=torch.int32)


def _fake_backward(ptr: Any, source: Tensor, kind: Any, weight: Any, keep: Any, x: Tensor, relation: Tensor, boundary_source: Any,
                   boundary: Any, t_ptr: Any, t_target: Any, t_position: Any, out: Any, arg: Any, grad: Any, message: int,
                   reduce: int, needs: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    real = torch.float64 if x.dtype == torch.float64 else torch.float32
    return (
        torch.empty_like(x) if needs & _NEED_X else x.new_empty(0),
        torch.empty_like(relation, dtype=real) if needs & _NEED_RELATION else x.new_empty(0, dtype=real),
        x.new_empty(source.shape, dtype=real) if needs & _NEED_WEIGHT else x.new_empty(0, dtype=real),
        torch.empty_like(boundary) if needs & _NEED_BOUNDARY else x.new_empty(0),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, message, reduce, _, _ = inputs
    out, arg = output
    ctx.mark_non_differentiable(arg)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, out if reduce == _PNA else out.new_empty(0), arg)
    ctx.message, ctx.reduce = message, reduce


def _autograd(operators: Any, ctx: Any, grad: Tensor | None, _: Any) -> tuple[Any, ...]:
    *inputs, out, arg = ctx.saved_tensors
    wanted = ctx.needs_input_grad
    needs = sum(
        flag
        for flag, index in ((_NEED_X, 5), (_NEED_RELATION, 6), (_NEED_WEIGHT, 3), (_NEED_BOUNDARY, 8))
        if wanted[index]
    )
    nothing: list[Any] = [None] * 16
    if grad is None or not needs:
        return tuple(nothing)
    x, relation = inputs[5], inputs[6]
    grad_x, grad_relation, grad_weight, grad_boundary = operators.relational_aggregate_backward(
        *inputs, out, arg, grad.contiguous(), ctx.message, ctx.reduce, needs
    )
    if needs & _NEED_X:
        nothing[5] = grad_x.view_as(x)
    if needs & _NEED_RELATION:
        nothing[6] = grad_relation.to(relation.dtype)
    if needs & _NEED_WEIGHT:
        nothing[3] = grad_weight
    if needs & _NEED_BOUNDARY:
        nothing[8] = grad_boundary
    return tuple(nothing)


_INPUTS = (
    "Tensor ptr, Tensor source, Tensor type, Tensor? weight, Tensor? keep, Tensor x, Tensor relation, Tensor? boundary_source, "
    "Tensor? boundary, Tensor t_ptr, Tensor t_target, Tensor t_position"
)

define(
    f"relational_aggregate_backward({_INPUTS}, Tensor out, Tensor arg, Tensor grad, int message, int reduce, int needs)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    _backward,
    fake=_fake_backward,
    backward=no_second_derivative,
)
define(
    f"relational_aggregate({_INPUTS}, int message, int reduce, float empty, bool with_arg) -> (Tensor, Tensor)",
    forward_of(_sum, _extreme),
    fake=_fake_forward,
    setup_context=_setup_context,
    backward=_autograd,
    scatter_body=forward_of(relational_scatter.total, relational_scatter.extreme),
)
