"""Overlaps, walks, products along edges and softmax over rows in plain torch: the operators' declarations and their bodies.

Graphs are :class:`graphkit.ops.SimpleGraph` taken apart: ``ptr`` int64 [N + 1] and ``col`` int32 [2M], symmetric, rows sorted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from graphkit.ops._library import define, no_second_derivative

__all__: list[str] = []

_CELLS = 1 << 22  # entries of a dense block
_WORD = 0xFFFFFFFF


def _row(ptr: Tensor) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(ptr) - 1, device=ptr.device), ptr.diff())


def _matrix(ptr: Tensor, col: Tensor, dtype: torch.dtype) -> Tensor:
    """The adjacency matrix as COO: its product with a dense matrix exists on every device."""
    n, ones = len(ptr) - 1, torch.ones(len(col), dtype=dtype, device=ptr.device)
    return torch.sparse_coo_tensor(
        torch.stack([_row(ptr), col.long()]), ones, (n, n), is_coalesced=True, check_invariants=False
    )


def _ranges(count: int, step: int) -> Iterator[tuple[int, int]]:
    for first in range(0, count, max(step, 1)):
        yield first, min(first + max(step, 1), count)


# ---------------------------------------------------------------- overlaps


def _neighborhood_overlaps(
    pair_ptr: Tensor, pair_col: Tensor, a_ptr: Tensor, a_col: Tensor, b_ptr: Tensor, b_col: Tensor
) -> Tensor:
    n, out = len(pair_ptr) - 1, torch.zeros(len(pair_col), dtype=torch.int32, device=pair_ptr.device)
    source, target = _row(pair_ptr), pair_col.long()
    size = torch.stack([a_ptr.diff()[source], b_ptr.diff()[target]])
    sides = ((a_ptr, a_col, source, b_ptr, b_col, target), (b_ptr, b_col, target, a_ptr, a_col, source))
    for shorter, (ptr, col, mine, other_ptr, other_col, theirs) in enumerate(sides):
        # list the shorter neighbourhood, look it up in the longer one
        listed = (size[0] <= size[1]) if shorter == 0 else (size[0] > size[1])
        entries = (listed & (size[shorter] > 0)).nonzero().squeeze(1)
        key = _row(other_ptr) * n + other_col.long()
        if len(key) == 0:
            continue
        room = torch.cumsum(size[shorter][entries], 0)
        begin = 0
        while begin < len(entries):
            before = int(room[begin - 1]) if begin else 0
            end = max(begin + 1, int(torch.searchsorted(room, before + _CELLS, right=True)))
            chosen = entries[begin:end]
            count = size[shorter][chosen]
            owner = torch.repeat_interleave(chosen, count)
            offset = torch.arange(len(owner), device=owner.device)
            offset = offset - torch.repeat_interleave(count.cumsum(0) - count, count)
            wanted = theirs[owner] * n + col[ptr[mine[owner]] + offset].long()
            found = key[torch.searchsorted(key, wanted).clamp(max=len(key) - 1)] == wanted
            out.index_add_(0, owner, found.to(torch.int32))
            begin = end
    return out


define(
    "neighborhood_overlaps(Tensor pair_ptr, Tensor pair_col, Tensor a_ptr, Tensor a_col, Tensor b_ptr, Tensor b_col) -> Tensor",
    _neighborhood_overlaps,
    fake=lambda pair_ptr, pair_col, *graphs: torch.empty_like(pair_col),
)


# ---------------------------------------------------------------- walks


def _one_hot(nodes: Tensor, n: int) -> Tensor:
    out = torch.zeros(n, len(nodes), dtype=torch.float64, device=nodes.device)
    out[nodes, torch.arange(len(nodes), device=nodes.device)] = 1
    return out


def _walks_and_reach(matrix: Tensor, nodes: Tensor, hops: int, beta: float) -> tuple[Tensor, Tensor]:
    """U and W of some nodes, [n, nodes] each."""
    walks = reach = _one_hot(nodes, matrix.shape[0])
    counted, reached = torch.zeros_like(walks), torch.zeros_like(reach)
    for a in range(hops):
        walks, reach = matrix @ walks, ((matrix @ reach) > 0).double()
        counted, reached = counted + beta**a * walks, reached + beta**a * reach
    return counted, reached


def _walk_overlap(
    ptr: Tensor, col: Tensor, pair_ptr: Tensor, pair_col: Tensor, hops: int, beta: float, memory: int
) -> Tensor:
    n, matrix = len(ptr) - 1, _matrix(ptr, col, torch.float64)
    source, target = _row(pair_ptr), pair_col.long()
    out = torch.zeros(len(target), dtype=torch.float64, device=ptr.device)
    step = max(1, _CELLS // max(n, 1))
    for first, last in _ranges(n, step):
        _, reached = _walks_and_reach(matrix, torch.arange(first, last, device=ptr.device), hops, beta)
        entries = ((target >= first) & (target < last)).nonzero().squeeze(1)
        for begin, end in _ranges(len(entries), step):
            chosen = entries[begin:end]
            nodes, position = torch.unique(source[chosen], return_inverse=True)
            counted, _ = _walks_and_reach(matrix, nodes, hops, beta)
            out[chosen] = (counted[:, position] * reached[:, target[chosen] - first]).sum(0)
    return out


define(
    "walk_overlap(Tensor ptr, Tensor col, Tensor pair_ptr, Tensor pair_col, int hops, float beta, int memory) -> Tensor",
    _walk_overlap,
    fake=lambda ptr, col, pair_ptr, pair_col, *rest: pair_col.new_empty(pair_col.shape, dtype=torch.float64),
)


def _walk_overlap_apart(ptr: Tensor, col: Tensor, hops: int, beta: float) -> tuple[Tensor, Tensor]:
    n, matrix = len(ptr) - 1, _matrix(ptr, col, torch.float64)
    source, target = _row(ptr), col.long()
    out = torch.zeros(len(target), dtype=torch.float64, device=ptr.device)
    sizes = out.new_zeros(len(target), hops)
    for first, last in _ranges(len(target), _CELLS // max(n, 1)):
        i, j = source[first:last], target[first:last]
        place = torch.arange(len(i), device=ptr.device)

        def step(state: Tensor, i: Tensor = i, j: Tensor = j, place: Tensor = place) -> Tensor:
            moved = matrix @ state
            moved[j, place] -= state[i, place]
            moved[i, place] -= state[j, place]
            return moved

        walks, reach = _one_hot(i, n), _one_hot(j, n)
        counted, reached = torch.zeros_like(walks), torch.zeros_like(reach)
        for a in range(hops):
            walks, reach = step(walks), (step(reach) > 0).double()
            sizes[first:last, a] = walks.sum(0)
            counted, reached = counted + beta**a * walks, reached + beta**a * reach
        out[first:last] = (counted * reached).sum(0)
    return out, sizes


define(
    "walk_overlap_apart(Tensor ptr, Tensor col, int hops, float beta) -> (Tensor, Tensor)",
    _walk_overlap_apart,
    fake=lambda ptr, col, hops, beta: (
        col.new_empty(col.shape, dtype=torch.float64),
        col.new_empty(col.shape[0], hops, dtype=torch.float64),
    ),
)


# ---------------------------------------------------------------- sums and products


def _neighbor_sum(ptr: Tensor, col: Tensor, x: Tensor) -> Tensor:
    return _matrix(ptr, col, x.dtype) @ x


def _keep_graph(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _neighbor_sum_backward(operators: Any, ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
    ptr, col, _ = ctx.saved_tensors
    return None, None, operators.neighbor_sum(ptr, col, grad.contiguous())  # the graph is symmetric


define(
    "neighbor_sum(Tensor ptr, Tensor col, Tensor x) -> Tensor",
    _neighbor_sum,
    fake=lambda ptr, col, x: torch.empty_like(x),
    setup_context=_keep_graph,
    backward=_neighbor_sum_backward,
)


def _edge_dot_mean(ptr: Tensor, col: Tensor, x: Tensor) -> Tensor:
    dots = (x.double() * _neighbor_sum(ptr, col, x).double()).sum(1)
    return (dots / ptr.diff().clamp(min=1)).to(x.dtype)


def _edge_dot_mean_backward(operators: Any, ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
    ptr, col, x = ctx.saved_tensors
    share = (grad / ptr.diff().clamp(min=1)).unsqueeze(1)
    own, others = operators.neighbor_sum(ptr, col, x), operators.neighbor_sum(ptr, col, (share * x).contiguous())
    return None, None, share * own + others


define(
    "edge_dot_mean(Tensor ptr, Tensor col, Tensor x) -> Tensor",
    _edge_dot_mean,
    fake=lambda ptr, col, x: x.new_empty(x.shape[0]),
    setup_context=_keep_graph,
    backward=_edge_dot_mean_backward,
)


# ---------------------------------------------------------------- softmax over rows


def _row_sums(ptr: Tensor, values: Tensor) -> Tensor:
    row = _row(ptr)
    return torch.zeros(len(ptr) - 1, values.shape[1], dtype=values.dtype, device=values.device).index_add_(
        0, row, values
    )


def _edge_softmax(ptr: Tensor, value: Tensor) -> Tensor:
    row = _row(ptr)
    top = value.new_full((len(ptr) - 1, value.shape[1]), -math.inf)
    top = top.scatter_reduce(0, row.unsqueeze(1).expand_as(value), value, "amax")
    weight = torch.exp(value - top[row]).double()
    return (weight / _row_sums(ptr, weight)[row]).to(value.dtype)


def _edge_softmax_gradient(ptr: Tensor, softmax: Tensor, grad: Tensor) -> Tensor:
    p, g = softmax.double(), grad.double()
    return (p * (g - _row_sums(ptr, p * g)[_row(ptr)])).to(softmax.dtype)


define(
    "edge_softmax_backward(Tensor ptr, Tensor softmax, Tensor grad) -> Tensor",
    _edge_softmax_gradient,
    fake=lambda ptr, softmax, grad: torch.empty_like(softmax),
    setup_context=lambda ctx, inputs, output: None,
    backward=no_second_derivative,
)


def _keep_softmax(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0], output)


def _edge_softmax_backward(operators: Any, ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
    return None, operators.edge_softmax_backward(*ctx.saved_tensors, grad.contiguous())


define(
    "edge_softmax(Tensor ptr, Tensor value) -> Tensor",
    _edge_softmax,
    fake=lambda ptr, value: torch.empty_like(value),
    setup_context=_keep_softmax,
    backward=_edge_softmax_backward,
)


# ---------------------------------------------------------------- random features


def _philox(counter: list[Tensor], k0: int, k1: int) -> list[Tensor]:
    """Philox with 4 x 32 bits and 10 rounds, in int64; products wrap, as those of the words of C do."""
    c = counter
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32 & _WORD) ^ c[1] ^ k0, b & _WORD, (a >> 32 & _WORD) ^ c[3] ^ k1, a & _WORD]
        k0, k1 = (k0 + 0x9E3779B9) & _WORD, (k1 + 0xBB67AE85) & _WORD
    return c


def _counter_normal(like: Tensor, seed: int, stream: int, rows: int, first: int, columns: int) -> Tensor:
    row = torch.arange(rows, device=like.device).unsqueeze(1)
    group = first // 4 + torch.arange(columns // 4, device=like.device).unsqueeze(0)
    low, high, group, stream_ = torch.broadcast_tensors(
        row & _WORD, row >> 32, group, torch.full_like(row, stream & _WORD)
    )
    unit = [
        ((w >> 9).float() + 0.5) * 2.0**-23
        for w in _philox([low, high, group, stream_], seed & _WORD, seed >> 32 & _WORD)
    ]
    out = []
    for half in (0, 2):
        radius, angle = torch.sqrt(-2 * torch.log(unit[half])), 2 * math.pi * unit[half + 1]
        out += [radius * torch.cos(angle), radius * torch.sin(angle)]
    return torch.stack(out, 2).reshape(rows, columns)


define(
    "counter_normal(Tensor like, int seed, int stream, int rows, int first, int columns) -> Tensor",
    _counter_normal,
    fake=lambda like, seed, stream, rows, first, columns: like.new_empty(rows, columns, dtype=torch.float32),
)
