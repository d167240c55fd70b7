"""Orbit adjacencies of a graph, or of some of its rows, as sparse tensors; refused where they would not fit."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import call
from graphkit.ops.orbit_keys import HOP3, INT32, needed_sums, pair_keys
from graphkit.ops.orbit_memory import reservable_ranges, row_bound, row_bytes
from graphkit.ops.orbits_reference import EDGE_KEYS, HOP3_BIT, NEED_LISTS, PAIR_KEYS, Key
from graphkit.ops.simple_graph import SimpleGraph

__all__ = ["check_memory", "csr_tensor", "edge_bases", "edge_matrices", "edge_values", "row_matrices", "small_pointers"]

_SAMPLES = 32  # rows


def edge_bases(graph: SimpleGraph, need: int, wide: bool) -> tuple[Tensor, ...]:
    """The edge sums that `need` asks for; what was computed for this graph before is used again."""
    known: dict[int, tuple[Tensor, ...]] = graph.derived.setdefault(("bases", wide), {})
    for had, kept in known.items():
        if had & need == need:
            return kept
    for had in known:
        need |= had
    known.clear()
    known[need] = made = call("orbit_edge_bases", graph.ptr, graph.col, need, wide)
    return made


def small_pointers(pointers: Tensor, entries: int) -> Tensor:
    return pointers.to(torch.int32) if entries <= INT32 else pointers


def csr_tensor(crow: Tensor, col: Tensor, values: Tensor, columns: int) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*CSR tensor support is in beta.*")
        return torch.sparse_csr_tensor(
            crow, col if col.dtype == crow.dtype else col.to(crow.dtype), values, (len(crow) - 1, columns),
            check_invariants=False,
        )  # fmt: skip


def edge_values(graph: SimpleGraph, wanted: list[Key], wide: bool) -> dict[Key, Tensor]:
    keys = [key for key in EDGE_KEYS if key in wanted]
    if not keys:
        return {}
    triangles, bases, *_ = edge_bases(graph, needed_sums(wanted), wide)
    bits = sum(1 << EDGE_KEYS.index(key) for key in keys)
    return dict(zip(keys, call("orbit_edge_values", graph.ptr, graph.col, triangles, bases, bits), strict=True))


def edge_matrices(graph: SimpleGraph, wanted: list[Key], wide: bool, dtype: torch.dtype) -> dict[Key, Tensor]:
    crow = small_pointers(graph.ptr, len(graph.col))
    values = edge_values(graph, wanted, wide)
    return {key: csr_tensor(crow, graph.col, value.to(dtype), graph.num_nodes) for key, value in values.items()}


def counted_rows(graph: SimpleGraph, begin: int, end: int, bits: int, wide: bool) -> tuple[Any, ...]:
    triangles, _, *lists = edge_bases(graph, NEED_LISTS, wide)
    return call("orbit_rows", graph.ptr, graph.col, triangles, *lists, begin, end, bits, wide)


def _used(values: Tensor, size: int) -> Tensor:
    """The first entries, in storage of that size: what lies behind was reserved and never touched."""
    if values.device.type != "cpu":
        return values if len(values) == size else values[:size].clone()
    return torch.from_numpy(values.numpy()[:size])


def row_matrices(
    graph: SimpleGraph, begin: int, end: int, bits: int, wide: bool, dtype: torch.dtype
) -> dict[Key, Tensor]:
    keys = [key for i, key in enumerate(PAIR_KEYS) if bits >> i & 1]
    hop3 = bool(bits >> HOP3_BIT & 1)
    parts = [counted_rows(graph, first, last, bits, wide) for first, last in reservable_ranges(graph, begin, end, bits, wide)]
    out: dict[Key, Tensor] = {}
    if keys:
        crow, col = _joined([(p[0], p[1]) for p in parts])
        for k, key in enumerate(keys):
            values = [p[2][k] for p in parts]
            out[key] = csr_tensor(
                crow, col, (values[0] if len(values) == 1 else torch.cat(values)).to(dtype), graph.num_nodes
            )
    if hop3:
        crow, col = _joined([(p[3], p[4]) for p in parts])
        values = [_used(p[5], int(p[3][-1])) for p in parts]
        out[HOP3] = csr_tensor(crow, col, (values[0] if len(values) == 1 else torch.cat(values)).to(dtype), graph.num_nodes)
    return out


def _joined(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Pointers and columns of consecutive blocks of rows as one, in one integer dtype."""
    sizes = [int(crow[-1]) for crow, _ in parts]
    col = [_used(col, size) for (_, col), size in zip(parts, sizes, strict=True)]
    crow, before = [parts[0][0][:1]], 0
    for (pointers, _), size in zip(parts, sizes, strict=True):
        crow.append(pointers[1:] + before)
        before += size
    return small_pointers(torch.cat(crow), before), col[0] if len(col) == 1 else torch.cat(col)


def check_memory(graph: SimpleGraph, wanted: list[Key], allowed: int, is_free: bool, wide: bool) -> None:
    """Refuses what would not fit: by the bounds if they are small enough, else by rows spread over the graph."""
    if int(row_bytes(graph, wanted, wide).sum()) <= allowed:
        return
    _, hop3 = pair_keys(wanted)
    bounds = {hop: row_bound(graph, hop) for hop in ((2, 3) if hop3 else (2,))}
    edge_bases(graph, needed_sums(wanted) | NEED_LISTS, wide)
    # rows are sampled where the bounds are: equal steps of their running sum
    running = torch.stack(list(bounds.values())).sum(0).cumsum(0)
    spread = torch.arange(_SAMPLES, dtype=torch.float64, device=running.device).add(0.5).div(_SAMPLES)
    at = torch.searchsorted(running, (spread * int(running[-1])).long()).clamp(max=graph.num_nodes - 1)
    ratios: dict[int, float] = dict.fromkeys(bounds, 0.0)
    for row in at.tolist():
        crow2, _, _, crow3, *_ = counted_rows(graph, row, row + 1, 1 << HOP3_BIT if hop3 else 0, wide)
        for hop, crow in zip(bounds, (crow2, crow3), strict=False):
            ratios[hop] += int(crow[-1]) / max(int(bounds[hop][row]), 1) / len(at)
    stored = {hop: (bound * ratios[hop]).long() for hop, bound in bounds.items()}
    expected = int(row_bytes(graph, wanted, wide, stored).sum())
    if expected > allowed:
        limit = "free" if is_free else "allowed"
        raise UserError(
            f"the {len(wanted)} orbit adjacencies would take about {expected / 2**30:.2f} GiB, but {allowed / 2**30:.2f} GiB"
            f" are {limit}; ask for fewer keys or use orbit_adjacency_blocks"
        )
