"""Common and residual neighbours of pairs of nodes in plain torch: the bodies and gradients of the operators.

Every body expands the neighbours of one node of each pair and looks them up among those of the other by bisection over
the sorted keys ``row * N + col``; a block of pairs at a time, so that no more than ``_CELLS`` values exist at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from graphkit.ops._library import define, no_second_derivative

__all__ = ["COMMON", "RESIDUAL", "STRATEGIES"]

#: which sets ``neighbor_sets`` emits: N(i) and N(j); N(i) without N(j), then N(j) without N(i)
COMMON, RESIDUAL = 1, 2

#: ways to intersect two rows; "auto" chooses for each pair. They differ in time alone.
STRATEGIES = {"auto": 0, "merge": 1, "gallop": 2, "bitmap": 3, "probe": 4, "words": 5}

_CELLS = 1 << 24
_LOW = 0xFFFFFFFF


def _row(ptr: Tensor) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(ptr) - 1, device=ptr.device), ptr.diff())


def _pointers(count: Tensor) -> Tensor:
    return torch.cat([count.new_zeros(1), count.cumsum(0)])


def _blocks(size: Tensor, most: int) -> Iterator[tuple[int, int]]:
    """Runs of rows whose sizes add up to at most `most`, or of a single row."""
    total = size.cumsum(0)
    begin, before = 0, 0
    while begin < len(size):
        end = max(begin + 1, int(torch.searchsorted(total, before + most, right=True)))
        yield begin, end
        begin, before = end, int(total[end - 1])


class _Rows:
    """Rows of a graph, expanded and looked up."""

    def __init__(self, ptr: Tensor, col: Tensor, gone: Tensor | None) -> None:
        self.n, self.ptr, self.col, self.degree = len(ptr) - 1, ptr, col.long(), ptr.diff()
        self.gone = None if gone is None else gone.bool()
        self.key = _row(ptr) * self.n + self.col

    def expand(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Which of the nodes, and a neighbour of it that is left; sorted."""
        count = self.degree[nodes]
        which = torch.repeat_interleave(torch.arange(len(nodes), device=nodes.device), count)
        entry = torch.arange(len(which), device=nodes.device) + (self.ptr[nodes] - (count.cumsum(0) - count))[which]
        if self.gone is not None:
            keep = ~self.gone[entry]
            which, entry = which[keep], entry[keep]
        return which, self.col[entry]

    def has(self, nodes: Tensor, neighbors: Tensor) -> Tensor:
        """Whether each neighbour is (still) one of its node."""
        if not len(self.key):
            return torch.zeros_like(nodes, dtype=torch.bool)
        wanted = nodes * self.n + neighbors
        at = torch.searchsorted(self.key, wanted).clamp(max=len(self.key) - 1)
        found = self.key[at] == wanted
        return found if self.gone is None else found & ~self.gone[at]


def _common(rows: _Rows, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """(which pair, common neighbour), sorted."""
    shorter = rows.degree[pairs].argmin(0, keepdim=True)
    short, long = pairs.gather(0, shorter)[0], pairs.gather(0, 1 - shorter)[0]
    pair, node = rows.expand(short)
    keep = rows.has(long[pair], node)
    return pair[keep], node[keep]


def _residual(rows: _Rows, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """(which pair, neighbour of `own` alone), sorted."""
    pair, node = rows.expand(own)
    keep = ~rows.has(other[pair], node) & (node != other[pair])
    return pair[keep], node[keep]


def _common_blocks(rows: _Rows, pairs: Tensor, width: int) -> Iterator[tuple[Tensor, Tensor]]:
    size = rows.degree[pairs].amin(0) * max(width, 1) + 1
    for begin, end in _blocks(size, _CELLS):
        pair, node = _common(rows, pairs[:, begin:end])
        yield pair + begin, node


# ---------------------------------------------------------------- sampling


def philox(counter: Tensor, seed: int) -> Tensor:
    """Philox-4x32 with ten rounds.

    Args:
        counter: int64 ``[n, 4]``, words of 32 bits.
        seed: 64 bits.

    Returns:
        int64 ``[n, 4]``, words of 32 bits.

    Source:
        Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    """
    c0, c1, c2, c3 = counter.unbind(1)
    k0, k1 = seed & _LOW, seed >> 32 & _LOW
    for _ in range(10):
        one, two = c0 * 0xD2511F53, c2 * 0xCD9E8D57  # modulo 2^64: the bits are those of the unsigned product
        c0, c1, c2, c3 = (two >> 32 & _LOW) ^ c1 ^ k0, two & _LOW, (one >> 32 & _LOW) ^ c3 ^ k1, one & _LOW
        k0, k1 = k0 + 0x9E3779B9 & _LOW, k1 + 0xBB67AE85 & _LOW
    return torch.stack([c0, c1, c2, c3], 1)


def _sample(
    pair: Tensor, node: Tensor, own: Tensor, other: Tensor, kind: int, cap: int, seed: int, counter: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows longer than the cap replaced by `cap` draws with replacement, as (pair, node, value), sorted."""
    length = torch.bincount(pair, minlength=len(own))
    first = length.cumsum(0) - length
    long = (length > cap).nonzero().squeeze(1)
    keep = length[pair] <= cap
    ones = torch.ones(int(keep.sum()), dtype=torch.float32, device=pair.device)
    if not len(long):
        return pair, node, ones
    calls = (cap + 3) // 4
    call = torch.arange(calls, device=pair.device).repeat(len(long))
    of = long.repeat_interleave(calls)
    words = philox(torch.stack([call, own[of] | kind << 31, other[of], torch.full_like(of, counter)], 1), seed)
    draw = words.view(len(long), 4 * calls)[:, :cap] * length[long, None] >> 32
    picked, count = torch.unique(first[long, None] + draw, return_counts=True)
    of = pair[picked]
    value = ((count * length[of]).double() / cap).float()
    pair, node = torch.cat([pair[keep], of]), torch.cat([node[keep], node[picked]])
    value = torch.cat([ones, value])
    order = torch.sort(pair, stable=True).indices
    return pair[order], node[order], value[order]


# ---------------------------------------------------------------- bodies


def _neighbor_sets(ptr: Tensor, col: Tensor, gone: Tensor | None, degree: Tensor | None, pairs: Tensor, sets: int, cap: int,
                   seed: int, counter: int, strategy: int) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    rows = _Rows(ptr, col, gone)
    i, j = pairs
    none = (ptr.new_empty(0), ptr.new_empty(0), ptr.new_empty(0, dtype=torch.float32))
    if sets == COMMON:
        jobs = [(torch.minimum(i, j), torch.maximum(i, j))]
    else:
        jobs = [(i, j), (j, i)]
    parts = [none]
    count = []
    for own, other in jobs:
        size = rows.degree[pairs].amin(0) if sets == COMMON else rows.degree[own]
        found = [none]
        for begin, end in _blocks(size + 1, _CELLS):
            a, b = own[begin:end], other[begin:end]
            pair, node = _common(rows, torch.stack([a, b])) if sets == COMMON else _residual(rows, a, b)
            if cap:
                pair, node, value = _sample(pair, node, a, b, sets == RESIDUAL, cap, seed, counter)
            else:
                value = none[2]
            found.append((pair + begin, node, value))
        count.append(torch.bincount(torch.cat([f[0] for f in found]), minlength=len(own)))
        parts += found
    return _pointers(torch.cat(count)), torch.cat([p[1] for p in parts]), torch.cat([p[2] for p in parts])


def _count(
    ptr: Tensor, col: Tensor, gone: Tensor | None, degree: Tensor | None, pairs: Tensor, strategy: int
) -> Tensor:
    total = pairs.new_zeros(pairs.shape[1])
    for pair, _ in _common_blocks(_Rows(ptr, col, gone), pairs, 1):
        total += torch.bincount(pair, minlength=len(total))
    return total


def _real(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _pool(ptr: Tensor, col: Tensor, gone: Tensor | None, degree: Tensor | None, pairs: Tensor, x: Tensor, weight: Tensor | None,
          strategy: int) -> Tensor:  # fmt: skip
    out = x.new_zeros(pairs.shape[1], x.shape[1], dtype=_real(x))
    for pair, node in _common_blocks(_Rows(ptr, col, gone), pairs, x.shape[1]):
        values = x[node].to(out.dtype)
        out.index_add_(0, pair, values if weight is None else values * weight[node, None])
    return out.to(x.dtype)


def _pool_with_sets(ptr: Tensor, col: Tensor, gone: Tensor | None, degree: Tensor | None, pairs: Tensor, x: Tensor,
                    weight: Tensor | None, strategy: int) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    out = _pool(ptr, col, gone, degree, pairs, x, weight, strategy)
    if int(ptr.diff()[pairs].amin(0).sum()) > out.numel():
        return out, pairs.new_empty(0), pairs.new_empty(0)
    return out, *_neighbor_sets(ptr, col, gone, degree, pairs, COMMON, 0, 0, 0, strategy)[:2]


def _spread(ptr: Tensor, col: Tensor, gone: Tensor | None, degree: Tensor | None, pairs: Tensor, grad: Tensor,
            strategy: int) -> Tensor:  # fmt: skip
    out = grad.new_zeros(len(ptr) - 1, grad.shape[1])
    for pair, node in _common_blocks(_Rows(ptr, col, gone), pairs, grad.shape[1]):
        out.index_add_(0, node, grad[pair])
    return out


def _ragged_blocks(ptr: Tensor, width: int) -> Iterator[tuple[Tensor, slice]]:
    """(row of each entry, entries) of blocks of rows."""
    row = _row(ptr)
    for begin, end in _blocks(ptr.diff() * max(width, 1) + 1, _CELLS):
        part = slice(int(ptr[begin]), int(ptr[end]))
        yield row[part], part


def _weighted_pool(ptr: Tensor, node: Tensor, value: Tensor | None, x: Tensor, rows: int) -> Tensor:
    out = x.new_zeros(rows, x.shape[1], dtype=_real(x))
    for row, part in _ragged_blocks(ptr, x.shape[1]):
        values = x[node[part]].to(out.dtype)
        out.index_add_(0, row % max(rows, 1), values if value is None else values * value[part, None])
    return out.to(x.dtype)


def _weighted_pool_backward(ptr: Tensor, node: Tensor, value: Tensor | None, x: Tensor, grad: Tensor, need_value: bool,
                            need_x: bool) -> tuple[Tensor, Tensor]:  # fmt: skip
    grad_value = grad.new_zeros(len(node) if need_value else 0)
    grad_x = grad.new_zeros(x.shape if need_x else (0,))
    rows = max(len(grad), 1)
    for row, part in _ragged_blocks(ptr, x.shape[1]):
        g = grad[row % rows]
        if need_value:
            grad_value[part] = (g * x[node[part]].to(grad.dtype)).sum(1)
        if need_x:
            grad_x.index_add_(0, node[part], g if value is None else g * value[part, None])
    return grad_value, grad_x


# ---------------------------------------------------------------- fakes and gradients


def _fake_sets(
    ptr: Tensor, col: Any, gone: Any, degree: Any, pairs: Tensor, sets: int, cap: int, *_: Any
) -> tuple[Tensor, ...]:
    size = torch.library.get_ctx().new_dynamic_size()
    rows = pairs.shape[1] * (1 if sets == COMMON else 2)
    return pairs.new_empty(rows + 1), pairs.new_empty(size), pairs.new_empty(size if cap else 0, dtype=torch.float32)


def _fake_pool_with_sets(
    ptr: Tensor, col: Any, gone: Any, degree: Any, pairs: Tensor, x: Tensor, *_: Any
) -> tuple[Tensor, ...]:
    rows, size = torch.library.get_ctx().new_dynamic_size(), torch.library.get_ctx().new_dynamic_size()
    return x.new_empty(pairs.shape[1], x.shape[1]), pairs.new_empty(rows), pairs.new_empty(size)


def _setup_pool(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *graph, x, weight, ctx.strategy = inputs
    ctx.dtype = x.dtype
    ctx.save_for_backward(*graph, x if weight is not None and ctx.needs_input_grad[6] else None, weight)


def _pool_gradient(operators: Any, ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    *graph, x, weight = ctx.saved_tensors
    total = operators.cn_spread(*graph, grad.to(_real(grad)).contiguous(), ctx.strategy)
    return _weighted_gradient(ctx, total, x, weight)


def _setup_pool_with_sets(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *graph, x, weight, ctx.strategy = inputs
    ctx.dtype = x.dtype
    ctx.save_for_backward(*graph, x, weight, *output[1:])


def _pool_with_sets_gradient(operators: Any, ctx: Any, grad: Tensor, *_: Any) -> tuple[Any, ...]:
    *graph, x, weight, ptr, node = ctx.saved_tensors
    grad = grad.to(_real(grad)).contiguous()
    if len(ptr) and not torch.is_grad_enabled():  # a graph of the gradient needs the operator that has one itself
        total = operators.weighted_pool_backward(ptr, node, None, x, grad, False, True)[1]
    else:
        total = operators.cn_spread(*graph, grad, ctx.strategy)
    return _weighted_gradient(ctx, total, x, weight)


def _weighted_gradient(ctx: Any, total: Tensor, x: Tensor, weight: Tensor | None) -> tuple[Any, ...]:
    """From the gradients of the pairs summed over those that a node is common to."""
    grad_x = grad_weight = None
    if ctx.needs_input_grad[5]:
        grad_x = (total if weight is None else total * weight[:, None]).to(ctx.dtype)
    if ctx.needs_input_grad[6]:
        grad_weight = (total * x.to(total.dtype)).sum(1)
    return *[None] * 5, grad_x, grad_weight, None


def _setup_spread(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *graph, _, ctx.strategy = inputs
    ctx.save_for_backward(*graph)


def _spread_gradient(operators: Any, ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return *[None] * 5, operators.cn_pool(*ctx.saved_tensors, grad.contiguous(), None, ctx.strategy), None


def _setup_weighted_pool(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4])


def _weighted_pool_gradient(operators: Any, ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x = ctx.saved_tensors[3]
    needs = ctx.needs_input_grad[2:4]
    grad_value, grad_x = operators.weighted_pool_backward(*ctx.saved_tensors, grad.to(_real(x)).contiguous(), *needs)
    return None, None, grad_value if needs[0] else None, grad_x.to(x.dtype) if needs[1] else None, None


_GRAPH = "Tensor ptr, Tensor col, Tensor? gone, Tensor? degree, Tensor pairs"

define(
    f"neighbor_sets({_GRAPH}, int sets, int cap, int seed, int counter, int strategy) -> (Tensor, Tensor, Tensor)",
    _neighbor_sets,
    fake=_fake_sets,
)
define(
    f"common_neighbor_count({_GRAPH}, int strategy) -> Tensor",
    _count,
    fake=lambda ptr, col, gone, degree, pairs, strategy: pairs.new_empty(pairs.shape[1]),
)
define(
    f"cn_pool({_GRAPH}, Tensor x, Tensor? weight, int strategy) -> Tensor",
    _pool,
    fake=lambda ptr, col, gone, degree, pairs, x, weight, strategy: x.new_empty(pairs.shape[1], x.shape[1]),
    setup_context=_setup_pool,
    backward=_pool_gradient,
)
define(
    f"cn_pool_with_sets({_GRAPH}, Tensor x, Tensor? weight, int strategy) -> (Tensor, Tensor, Tensor)",
    _pool_with_sets,
    fake=_fake_pool_with_sets,
    setup_context=_setup_pool_with_sets,
    backward=_pool_with_sets_gradient,
)
define(
    f"cn_spread({_GRAPH}, Tensor grad, int strategy) -> Tensor",
    _spread,
    fake=lambda ptr, col, gone, degree, pairs, grad, strategy: grad.new_empty(ptr.shape[0] - 1, grad.shape[1]),
    setup_context=_setup_spread,
    backward=_spread_gradient,
)
define(
    "weighted_pool_backward(Tensor ptr, Tensor node, Tensor? value, Tensor x, Tensor grad, bool need_value, bool need_x)"
    " -> (Tensor, Tensor)",
    _weighted_pool_backward,
    fake=lambda ptr, node, value, x, grad, need_value, need_x: (
        grad.new_empty(node.shape[0] if need_value else 0),
        grad.new_empty(x.shape if need_x else (0,)),
    ),
    backward=no_second_derivative,
)
define(
    "weighted_pool(Tensor ptr, Tensor node, Tensor? value, Tensor x, int rows) -> Tensor",
    _weighted_pool,
    fake=lambda ptr, node, value, x, rows: x.new_empty(rows, x.shape[1]),
    setup_context=_setup_weighted_pool,
    backward=_weighted_pool_gradient,
)
