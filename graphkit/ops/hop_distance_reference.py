"""Breadth-first searches in plain torch, level by level, and what declares the operators of :mod:`graphkit.ops.hop_distance`."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops._library import define

_CELLS = 1 << 24  # entries of dense intermediate results


def _hop_graph(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    source, target = edge_index
    perm = torch.sort(target * num_nodes + source, stable=True).indices
    order = torch.sort(source[perm], stable=True).indices
    return (
        _pointers(target, num_nodes), source[perm].to(torch.int32), perm,
        _pointers(source, num_nodes), target[perm][order].to(torch.int32),
    )  # fmt: skip


def _pointers(ids: Tensor, count: int) -> Tensor:
    return torch.nn.functional.pad(torch.bincount(ids, minlength=count).cumsum(0), (1, 0))


def _row(ptr: Tensor) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(ptr) - 1, device=ptr.device), ptr.diff())


def _steps(ptr: Tensor, source: Tensor, t_ptr: Tensor, target: Tensor, direction: int) -> tuple[Tensor, Tensor]:
    """Pairs (here, next): a search at ``here`` finds ``next``."""
    into = (_row(ptr), source.long())
    out = (_row(t_ptr), target.long())
    chosen = {0: [into], 1: [out], 2: [into, out]}[direction]
    return torch.cat([here for here, _ in chosen]), torch.cat([there for _, there in chosen])


def _hop_distance(
    ptr: Tensor, source: Tensor, t_ptr: Tensor, t_target: Tensor, seeds: Tensor, hops: int, direction: int
) -> Tensor:
    n, count = len(ptr) - 1, len(seeds)
    here, there = _steps(ptr, source, t_ptr, t_target, direction)
    out = torch.full((count, n), -1, dtype=torch.int32, device=ptr.device)
    step = max(1, _CELLS // max(len(here), n, 1))
    for begin in range(0, count, step):
        part = out[begin : begin + step]
        rows = torch.arange(len(part), device=ptr.device)
        front = torch.zeros(part.shape, dtype=torch.uint8, device=ptr.device)
        front[rows, seeds[begin : begin + step]] = 1
        hop = 0
        while bool(front.any()):
            part[front.bool()] = hop
            if hop == hops:
                break
            reached = torch.zeros_like(front).scatter_reduce(1, there.expand(len(part), -1), front[:, here], "amax")
            front, hop = reached * (part < 0), hop + 1
    return out


def _hop_balls(
    ptr: Tensor, source: Tensor, t_ptr: Tensor, t_target: Tensor, seeds: Tensor, hops: int, direction: int
) -> tuple[Tensor, Tensor, Tensor]:
    n, sizes, nodes, levels = len(ptr) - 1, [], [], []
    for part in seeds.split(max(1, _CELLS // max(n, 1))):
        distance = _hop_distance(ptr, source, t_ptr, t_target, part, hops, direction)
        row, node = (distance >= 0).nonzero(as_tuple=True)
        hop = distance[row, node].long()
        order = torch.sort(row * (n + 1) + hop, stable=True).indices  # within a hop by id, as they stand
        sizes.append(torch.bincount(row, minlength=len(part)))
        nodes.append(node[order])
        levels.append(hop[order])
    empty = seeds.new_empty(0)
    ends = torch.cat([empty, *sizes]).cumsum(0)
    return torch.nn.functional.pad(ends, (1, 0)), torch.cat([empty, *nodes]), torch.cat([empty, *levels])


def _ball_edges(
    ptr: Tensor, source: Tensor, perm: Tensor, set_ptr: Tensor, nodes: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n, owner = len(ptr) - 1, _row(set_ptr)
    degree = (ptr[1:] - ptr[:-1])[nodes]
    place = torch.repeat_interleave(torch.arange(len(nodes), device=ptr.device), degree)
    offset = torch.arange(len(place), device=ptr.device) - (degree.cumsum(0) - degree)[place]
    entry = ptr[nodes[place]] + offset
    members, order = torch.sort(owner * n + nodes)
    wanted = owner[place] * n + source[entry].long()
    found = torch.searchsorted(members, wanted).clamp(max=max(len(members) - 1, 0))
    inside = members[found] == wanted if len(members) else torch.zeros(0, dtype=torch.bool, device=ptr.device)
    counts = torch.bincount(owner[place[inside]], minlength=len(set_ptr) - 1)
    ends = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    return ends, order[found[inside]], place[inside], perm[entry[inside]]


def _hop_bincount(
    ptr: Tensor,
    source: Tensor,
    t_ptr: Tensor,
    t_target: Tensor,
    seeds: Tensor,
    values: Tensor,
    hops: int,
    direction: int,
) -> Tensor:
    n = len(ptr) - 1
    out = torch.zeros(len(seeds), hops + 2, dtype=torch.float64, device=ptr.device)
    step = max(1, _CELLS // max(n, 1))
    for begin in range(0, len(seeds), step):
        distance = _hop_distance(ptr, source, t_ptr, t_target, seeds[begin : begin + step], hops, direction).long()
        place = torch.where(distance < 0, hops + 1, distance)
        weight = torch.ones((), dtype=torch.float64) if values.dim() == 1 else values[begin : begin + step].double()
        out[begin : begin + step].scatter_add_(1, place, weight.to(ptr.device).expand(place.shape))
    return out


def _fake_balls(ptr: Tensor, source: Tensor, t_ptr: Tensor, t_target: Tensor, seeds: Tensor, hops: int, direction: int):  # type: ignore[no-untyped-def]
    found = torch.library.get_ctx().new_dynamic_size()
    return seeds.new_empty(len(seeds) + 1), seeds.new_empty(found), seeds.new_empty(found)


def _fake_edges(ptr: Tensor, source: Tensor, perm: Tensor, set_ptr: Tensor, nodes: Tensor):  # type: ignore[no-untyped-def]
    found = torch.library.get_ctx().new_dynamic_size()
    return (set_ptr.new_empty(set_ptr.shape), *(nodes.new_empty(found) for _ in range(3)))


_GRAPH = "Tensor ptr, Tensor source, Tensor t_ptr, Tensor t_target, Tensor seeds"

define(
    "hop_graph(Tensor edge_index, int num_nodes) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _hop_graph,
    fake=lambda edge_index, num_nodes: (
        edge_index.new_empty(num_nodes + 1),
        edge_index.new_empty(edge_index.shape[1], dtype=torch.int32),
        edge_index.new_empty(edge_index.shape[1]),
        edge_index.new_empty(num_nodes + 1),
        edge_index.new_empty(edge_index.shape[1], dtype=torch.int32),
    ),
)
define(f"hop_balls({_GRAPH}, int hops, int direction) -> (Tensor, Tensor, Tensor)", _hop_balls, fake=_fake_balls)
define(
    "ball_edges(Tensor ptr, Tensor source, Tensor perm, Tensor set_ptr, Tensor nodes) -> (Tensor, Tensor, Tensor, Tensor)",
    _ball_edges,
    fake=_fake_edges,
)
define(
    f"hop_distance({_GRAPH}, int hops, int direction) -> Tensor",
    _hop_distance,
    fake=lambda ptr, source, t_ptr, t_target, seeds, *rest: source.new_empty(len(seeds), ptr.shape[0] - 1),
)
define(
    f"hop_bincount({_GRAPH}, Tensor values, int hops, int direction) -> Tensor",
    _hop_bincount,
    fake=lambda ptr, source, t_ptr, t_target, seeds, values, hops, direction: seeds.new_empty(
        len(seeds), hops + 2, dtype=torch.float64
    ),
)
