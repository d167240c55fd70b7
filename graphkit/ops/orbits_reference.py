"""Orbit counts and orbit adjacencies in plain torch: the operators' declarations and their bodies.

Everything is algebra on three matrices: A (adjacency), T (triangles per edge) and G, the number of edges among the common
neighbours of a pair. G is 4-cliques on an edge and diamonds off the edges; it is the product of the list "common
neighbours of each edge" with its own transpose. Dense products are taken over a block of columns at a time, in float64,
which is exact below 2^53; no value here exceeds the square of the largest degree, which the callers bound.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from graphkit.ops._library import define

__all__ = ["EDGE_KEYS", "HOP3_BIT", "NEED_CLIQUES", "NEED_CYCLES", "NEED_LISTS", "NEED_SUPPORT", "PAIR_KEYS"]

Key = tuple[int, int, int]

#: keys of one edge; the position is the key's bit in ``orbit_edge_values``
EDGE_KEYS: tuple[Key, ...] = (
    (1, 0, 0), (1, 1, 2), (1, 2, 1), (1, 3, 3), (1, 4, 5), (1, 5, 4), (1, 5, 5), (1, 6, 7), (1, 7, 6), (1, 8, 8), (1, 9, 11),
    (1, 11, 9), (1, 10, 10), (1, 10, 11), (1, 11, 10), (1, 12, 13), (1, 13, 12), (1, 13, 13), (1, 14, 14),
)  # fmt: skip
#: keys of a pair at distance 2; the position is the key's bit in ``orbit_rows``
PAIR_KEYS: tuple[Key, ...] = (
    (2, 1, 1), (2, 4, 5), (2, 5, 4), (2, 6, 6), (2, 8, 8), (2, 9, 10), (2, 10, 9), (2, 12, 12),
)  # fmt: skip
HOP3_BIT = len(PAIR_KEYS)

NEED_CLIQUES, NEED_SUPPORT, NEED_CYCLES, NEED_LISTS = 1, 2, 4, 8

_CELLS = 1 << 24  # entries of a dense block


def _row(ptr: Tensor) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(ptr) - 1, device=ptr.device), ptr.diff())


def _matrix(ptr: Tensor, col: Tensor, values: Tensor, columns: int) -> Tensor:
    """A CSR matrix of float64 as COO: its product with a dense matrix exists on every device."""
    index = torch.stack([_row(ptr), col.long()])
    return torch.sparse_coo_tensor(
        index, values.double(), (len(ptr) - 1, columns), is_coalesced=True, check_invariants=False
    )


def _blocks(begin: int, end: int, height: int) -> Iterator[tuple[int, int]]:
    step = max(1, _CELLS // max(height, 1))
    for first in range(begin, end, step):
        yield first, min(first + step, end)


def _unit(begin: int, end: int, n: int, like: Tensor) -> Tensor:
    """Columns begin to end of the unit matrix."""
    out = torch.zeros(n, end - begin, dtype=torch.float64, device=like.device)
    out[torch.arange(begin, end, device=like.device), torch.arange(end - begin, device=like.device)] = 1
    return out


def _triangles(ptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The entry that is the lower copy of each edge [M], the edge of each entry [2M], and all triangles as
    (edge, opposite node) [3t] each."""
    n, row, col = len(ptr) - 1, _row(ptr), col.long()
    lower = row < col
    entry = lower.nonzero().squeeze(1)
    key = row * n + col  # sorted, for rows are
    edge_key = key[entry]
    edge = torch.searchsorted(edge_key, torch.where(lower, key, col * n + row))
    # every pair of entries of an upward row whose far ends are adjacent
    degree = ptr.diff()
    rank = torch.empty_like(degree)
    rank[torch.sort(degree, stable=True).indices] = torch.arange(n, device=ptr.device)
    keep = (rank[row] < rank[col]).nonzero().squeeze(1)
    start, far, of = row[keep], col[keep], edge[keep]
    size = torch.bincount(start, minlength=n)
    first = torch.cat([size.new_zeros(1), size.cumsum(0)])
    edges, nodes = [], []
    step = max(1, _CELLS // max(int(size.max()) if n else 1, 1))
    for begin in range(0, len(keep), step):
        left = torch.arange(begin, min(begin + step, len(keep)), device=ptr.device)
        count = first[start[left] + 1] - left - 1
        one = torch.repeat_interleave(left, count)
        two = (
            one
            + 1
            + torch.arange(len(one), device=ptr.device)
            - torch.repeat_interleave(count.cumsum(0) - count, count)
        )
        wanted = torch.minimum(far[one], far[two]) * n + torch.maximum(far[one], far[two])
        at = torch.searchsorted(edge_key, wanted)
        found = (
            (at < len(edge_key)) & (edge_key[at.clamp(max=max(len(edge_key) - 1, 0))] == wanted)
            if len(edge_key)
            else at < 0
        )
        one, two, third = one[found], two[found], at[found]
        edges += [of[one], of[two], third]
        nodes += [far[two], far[one], start[one]]
    none = ptr.new_empty(0)
    return entry, edge, torch.cat([none, *edges]), torch.cat([none, *nodes])


def _lists(key: Tensor, value: Tensor, count: int, span: int) -> tuple[Tensor, Tensor]:
    """CSR of (key, value) pairs, rows sorted."""
    order = torch.sort(key * span + value).indices
    size = torch.bincount(key, minlength=count)
    return torch.cat([size.new_zeros(1), size.cumsum(0)]), value[order].to(torch.int32)


def _edge_bases(
    ptr: Tensor, col: Tensor, need: int, wide: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    n, entries = len(ptr) - 1, len(col)
    row, far, degree = _row(ptr), col.long(), ptr.diff()
    _, edge, tri_edge, tri_node = _triangles(ptr, col)
    m = entries // 2
    per_edge = torch.bincount(tri_edge, minlength=m)
    triangles = per_edge[edge] if entries else edge
    com_ptr, com = _lists(tri_edge, tri_node, m, max(n, 1))
    base = torch.zeros(5, entries, dtype=torch.int64, device=ptr.device)
    if need & NEED_SUPPORT and entries:
        adjacency = _matrix(ptr, col, torch.ones(entries, device=ptr.device), n)
        weighted = _matrix(ptr, col, triangles, n)
        for begin, end in _blocks(0, n, n):
            inside = slice(int(ptr[begin]), int(ptr[end]))
            u, v = row[inside] - begin, far[inside]
            ones = adjacency @ _unit(begin, end, n, ptr)  # column u: the neighbours of u
            base[1, inside] = (weighted @ ones)[v, u].long()  # sum over w in com(u, v) of T(v, w)
            base[2, inside] = (adjacency @ (weighted @ _unit(begin, end, n, ptr)))[v, u].long()
            base[3, inside] = (adjacency @ (ones * degree.double()[:, None]))[v, u].long()
    if need & NEED_CYCLES and entries:
        adjacency = _matrix(ptr, col, torch.ones(entries, device=ptr.device), n)
        for begin, end in _blocks(0, n, n):
            inside = slice(int(ptr[begin]), int(ptr[end]))
            u, v = row[inside] - begin, far[inside]
            cube = adjacency @ (adjacency @ (adjacency @ _unit(begin, end, n, ptr)))
            base[4, inside] = cube[v, u].long() - (degree[row[inside]] + degree[v] - 1)
    if need & NEED_CLIQUES and entries:
        for begin, end in _blocks(0, n, max(n, m)):
            inside = slice(int(ptr[begin]), int(ptr[end]))
            base[0, inside] = _inner_edges(com_ptr, com, n, begin, end)[far[inside], row[inside] - begin].long()
    lists = (ptr.new_empty(0), col.new_empty(0), ptr.new_empty(0), col.new_empty(0))
    if need & NEED_LISTS:
        lists = (com_ptr, com, *_lists(tri_node, tri_edge, n, max(m, 1)))
    return triangles.to(torch.int32), base if wide else base.to(torch.int32), *lists


def _inner_edges(com_ptr: Tensor, com: Tensor, n: int, begin: int, end: int) -> Tensor:
    """Edges among the common neighbours of (v, u) for u in [begin, end), [n, end - begin]; the diagonal means nothing."""
    lists = _matrix(com_ptr, com, torch.ones(len(com), device=com.device), n)
    return lists.t() @ (lists @ _unit(begin, end, n, com))


def _fake_edge_bases(ptr: Tensor, col: Tensor, need: int, wide: bool) -> tuple[Tensor, ...]:
    dtype = torch.int64 if wide else torch.int32
    lists = [col.new_empty(0), col.new_empty(0)]
    sizes = [0, 0]
    if need & NEED_LISTS:
        total = torch.library.get_ctx().new_dynamic_size()
        lists = [col.new_empty(total), col.new_empty(total)]
        sizes = [col.shape[0] // 2 + 1, ptr.shape[0]]
    return (
        torch.empty_like(col), col.new_empty((5, col.shape[0]), dtype=dtype), ptr.new_empty(sizes[0]), lists[0],
        ptr.new_empty(sizes[1]), lists[1],
    )  # fmt: skip


def _every_edge_value(ptr: Tensor, col: Tensor, triangles: Tensor, bases: Tensor) -> list[Tensor]:
    """All of EDGE_KEYS, int64 ``[2M]`` each."""
    row, far, degree = _row(ptr), col.long(), ptr.diff()
    t, (k, s, r, d, q) = triangles.long(), bases.long().unbind(0)
    per_node = torch.zeros_like(degree).index_add_(0, row, t) // 2
    x, xt = degree[far] - 1 - t, degree[row] - 1 - t
    open_ends = torch.zeros_like(degree).index_add_(0, row, x)
    e, et = s - t - 2 * k, r - t - 2 * k
    b = q - e - et - 2 * k
    f, ft = per_node[far] - t - k - e, per_node[row] - t - k - et
    return [
        torch.ones_like(t), x, xt, t,
        open_ends[far] - xt - (d - t - s) - b, open_ends[row] - x - (d - t - r) - b, x * xt - b,
        x * (x - 1) // 2 - f, xt * (xt - 1) // 2 - ft, b, f, ft,
        d - s - r + 2 * k, t * x - e, t * xt - et, e, et, t * (t - 1) // 2 - k, k,
    ]  # fmt: skip


def _edge_values(ptr: Tensor, col: Tensor, triangles: Tensor, bases: Tensor, keys: int) -> list[Tensor]:
    values = _every_edge_value(ptr, col, triangles, bases)
    return [values[i].to(bases.dtype, copy=True) for i in range(len(EDGE_KEYS)) if keys >> i & 1]


def _fake_edge_values(ptr: Tensor, col: Tensor, triangles: Tensor, bases: Tensor, keys: int) -> list[Tensor]:
    return [bases.new_empty(col.shape[0]) for i in range(len(EDGE_KEYS)) if keys >> i & 1]


def _edge_counts(ptr: Tensor, col: Tensor, triangles: Tensor, bases: Tensor) -> tuple[Tensor, Tensor]:
    value = dict(zip(EDGE_KEYS, _every_edge_value(ptr, col, triangles, bases), strict=True))
    columns = [v if i == j else v + value[1, j, i] for (_, i, j), v in value.items() if i <= j and j > 0]
    row, far = _row(ptr), col.long()
    lower = row < far
    order = [(1, 2), (3, 3), (4, 5), (5, 5), (6, 7), (8, 8), (9, 11), (10, 10), (10, 11), (12, 13), (13, 13), (14, 14)]
    assert [(i, j) for _, i, j in EDGE_KEYS if i <= j and j > 0] == order
    return torch.stack([row[lower], far[lower]]), torch.stack(columns, 1)[lower]


def _fake_edge_counts(ptr: Tensor, col: Tensor, triangles: Tensor, bases: Tensor) -> tuple[Tensor, Tensor]:
    m = col.shape[0] // 2
    return ptr.new_empty(2, m), ptr.new_empty(m, 12)


def _node_counts(ptr: Tensor, col: Tensor) -> Tensor:
    triangles, bases, *_ = _edge_bases(ptr, col, NEED_CLIQUES | NEED_SUPPORT | NEED_CYCLES, True)
    value = dict(zip(EDGE_KEYS, _every_edge_value(ptr, col, triangles, bases), strict=True))
    # a row sum, and how often it counts each occurrence of the orbit
    source: list[tuple[Key, int]] = [
        ((1, 0, 0), 1), ((1, 1, 2), 1), ((1, 2, 1), 2), ((1, 3, 3), 2), ((1, 4, 5), 1), ((1, 5, 5), 1), ((1, 6, 7), 1),
        ((1, 7, 6), 3), ((1, 8, 8), 2), ((1, 9, 11), 1), ((1, 10, 10), 1), ((1, 11, 10), 2), ((1, 12, 13), 2),
        ((1, 13, 13), 1), ((1, 14, 14), 3),
    ]  # fmt: skip
    row, zero = _row(ptr), ptr.new_zeros(len(ptr) - 1)
    return torch.stack([zero.index_add(0, row, value[key]) // times for key, times in source], 1)


def _joined(blocks: list[tuple[Tensor, ...]], width: int, none: Tensor) -> list[Tensor]:
    return [torch.cat([none, *(block[i] for block in blocks)]) for i in range(width)]


def _rows(
    ptr: Tensor, col: Tensor, triangles: Tensor, com_ptr: Tensor, com: Tensor, opp_ptr: Tensor, opp: Tensor,
    begin: int, end: int, keys: int, wide: bool,
) -> tuple[Tensor, Tensor, list[Tensor], Tensor, Tensor, Tensor]:  # fmt: skip
    n, entries, degree, dtype = len(ptr) - 1, len(col), ptr.diff(), torch.int64 if wide else torch.int32
    hop3 = bool(keys >> HOP3_BIT & 1)
    pairs: list[tuple[Tensor, ...]] = []
    far: list[tuple[Tensor, ...]] = []
    if entries:
        adjacency = _matrix(ptr, col, torch.ones(entries, device=ptr.device), n)
        weighted = _matrix(ptr, col, triangles, n)
        d = degree.double()[:, None]
        for first, last in _blocks(begin, end, max(n, len(com_ptr))):
            unit = _unit(first, last, n, ptr)
            near = adjacency @ unit  # [v, u]
            apart = (near + unit) == 0
            c = (adjacency @ near) * apart
            at = c.t().nonzero()  # (u, v), sorted
            u, v = at.unbind(1)

            def of(matrix: Tensor, v: Tensor = v, u: Tensor = u) -> Tensor:
                return matrix[v, u].long()

            z = of(_inner_edges(com_ptr, com, n, first, last))
            y, yt, w = of(weighted @ near), of(adjacency @ (weighted @ unit)), of(adjacency @ (near * d))
            pairs.append((u + first, v, of(c), y, yt, w, z))
            if hop3:
                walks = (adjacency @ c) * apart
                walks[v, u] -= (y - 2 * z).double()
                at = walks.t().nonzero()
                far.append((at[:, 0] + first, at[:, 1], walks[at[:, 1], at[:, 0]].long()))
    none = ptr.new_empty(0)
    u, v, c, y, yt, w, z = _joined(pairs, 7, none)
    eight = c * (c - 1) // 2 - z
    value = [
        c, c * (degree[v] - 1) - y - 2 * eight, c * (degree[u] - 1) - yt - 2 * eight, w - 2 * c - y - yt + 2 * z, eight,
        y - 2 * z, yt - 2 * z, z,
    ]  # fmt: skip

    def pointers(rows: Tensor) -> Tensor:
        size = torch.bincount(rows - begin, minlength=end - begin)
        return torch.cat([size.new_zeros(1), size.cumsum(0)])

    third = [ptr.new_empty(0), col.new_empty(0), ptr.new_empty(0, dtype=dtype)]
    if hop3:
        u3, v3, x3 = _joined(far, 3, none)
        third = [pointers(u3), v3.to(torch.int32), x3.to(dtype)]
    chosen = [value[i].to(dtype) for i in range(len(PAIR_KEYS)) if keys >> i & 1]
    return pointers(u), v.to(torch.int32), chosen, third[0], third[1], third[2]


def _fake_rows(
    ptr: Tensor, col: Tensor, triangles: Tensor, com_ptr: Tensor, com: Tensor, opp_ptr: Tensor, opp: Tensor,
    begin: int, end: int, keys: int, wide: bool,
) -> tuple[Tensor, Tensor, list[Tensor], Tensor, Tensor, Tensor]:  # fmt: skip
    context, dtype = torch.library.get_ctx(), torch.int64 if wide else torch.int32
    size, pairs = context.new_dynamic_size(), context.new_dynamic_size()
    hop3 = bool(keys >> HOP3_BIT & 1)
    far = context.new_dynamic_size() if hop3 else 0
    return (
        ptr.new_empty(end - begin + 1), col.new_empty(size),
        [ptr.new_empty(pairs, dtype=dtype) for i in range(len(PAIR_KEYS)) if keys >> i & 1],
        ptr.new_empty(end - begin + 1 if hop3 else 0), col.new_empty(far), ptr.new_empty(far, dtype=dtype),
    )  # fmt: skip


define(
    "orbit_node_counts(Tensor ptr, Tensor col) -> Tensor",
    _node_counts,
    fake=lambda ptr, col: ptr.new_empty(ptr.shape[0] - 1, 15),
)
define(
    "orbit_edge_bases(Tensor ptr, Tensor col, int need, bool wide) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _edge_bases,
    fake=_fake_edge_bases,
)
define(
    "orbit_edge_values(Tensor ptr, Tensor col, Tensor triangles, Tensor bases, int keys) -> Tensor[]",
    _edge_values,
    fake=_fake_edge_values,
)
define(
    "orbit_edge_counts(Tensor ptr, Tensor col, Tensor triangles, Tensor bases) -> (Tensor, Tensor)",
    _edge_counts,
    fake=_fake_edge_counts,
)
define(
    "orbit_rows(Tensor ptr, Tensor col, Tensor triangles, Tensor com_ptr, Tensor com, Tensor opp_ptr, Tensor opp, int begin,"
    " int end, int keys, bool wide) -> (Tensor, Tensor, Tensor[], Tensor, Tensor, Tensor)",
    _rows,
    fake=_fake_rows,
)
