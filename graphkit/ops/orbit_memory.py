"""How many bytes rows of orbit adjacencies take at most, and ranges of rows that fit."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from graphkit.ops.orbit_keys import pair_keys
from graphkit.ops.orbits_reference import HOP3_BIT, Key
from graphkit.ops.simple_graph import SimpleGraph

__all__ = ["cut_rows", "free_memory", "reservable_ranges", "row_bound", "row_bytes", "row_sums"]


def free_memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:")), None)
    except OSError:
        return None


def row_bound(graph: SimpleGraph, hop: int) -> Tensor:
    """Upper bound of the stored entries of each row at hop 2, or of (3, 4, 4), int64 ``[N]``."""
    return torch.minimum(graph.num_nodes - 1 - graph.degree, _walks(graph, hop))


def _walks(graph: SimpleGraph, steps: int) -> Tensor:
    """Walks from each node that do not turn back in their last step; only as far as a caller needs them."""
    kept: Tensor | None = graph.derived.get(("walks", steps))
    if kept is None:
        rest = graph.degree - 1 if steps == 2 else _walks(graph, steps - 1)
        graph.derived["walks", steps] = kept = row_sums(graph.ptr, rest.index_select(0, graph.col))
    return kept


def row_sums(ptr: Tensor, values: Tensor) -> Tensor:
    total = values.new_zeros(len(values) + 1)
    torch.cumsum(values, 0, out=total[1:])
    return total[ptr].diff()


def row_bytes(graph: SimpleGraph, wanted: list[Key], wide: bool, rows: dict[int, Tensor] | None = None) -> Tensor:
    """Bytes that the rows of the result take at most, int64 ``[N]``; or exactly, from the stored entries of each row."""
    size = 8 if wide else 4
    pairs, hop3 = pair_keys(wanted)

    def stored(hop: int) -> Tensor:
        return row_bound(graph, hop) if rows is None else rows[hop]

    total = graph.degree * size * sum(key[0] == 1 for key in wanted) + 16
    if pairs or hop3:
        total = total + stored(2) * (4 + size * len(pairs))
    return total + stored(3) * (4 + size) if hop3 else total


def cut_rows(per_row: Tensor, most: int) -> list[int] | None:
    """Ends of runs of rows with at most `most` bytes each; None if a row takes more."""
    if not len(per_row):
        return []
    if int(per_row.max()) > most:
        return None
    total = per_row.cpu().cumsum(0)
    ends: list[int] = []
    before = 0
    while not ends or ends[-1] < len(per_row):
        end = int(torch.searchsorted(total, torch.tensor(before + most), right=True))
        ends.append(end)
        before = int(total[end - 1])
    return ends


def reservable_ranges(graph: SimpleGraph, begin: int, end: int, bits: int, wide: bool) -> list[tuple[int, int]]:
    """Ranges of rows whose bounds the system lets a process reserve; nearly always all rows at once."""
    if graph.ptr.is_cuda:  # nothing is reserved there: rows are counted before they are listed
        return [(begin, end)]
    try:
        most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        most = 2**33
    larger = row_bound(graph, 2)[begin:end]
    if bits >> HOP3_BIT & 1:
        larger = torch.maximum(larger, row_bound(graph, 3)[begin:end])
    larger = larger * (8 if wide else 4)
    if int(larger.sum()) <= most:
        return [(begin, end)]
    ends = cut_rows(larger, max(most, int(larger.max()))) or []
    return [(begin + first, begin + last) for first, last in zip([0, *ends], ends, strict=False)]
