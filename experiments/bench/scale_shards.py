"""Work divided into parts as several machines would have it, done here part by part, and compared with the whole.

Two kinds: the graph is in every part and the work is divided (queries, pairs, start nodes, sequences, rows); or the nodes are
divided, and a part has its own nodes, the nodes within some hops of them (ghosts) and the edges among these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from scale_cases import CHANNELS, RELATIONS, entries, simple, some_pairs, streets
from torch import Tensor

from graphkit import ops
from graphkit.data import shard

Row = dict[str, Any]
EDGES = 3000


def agreement(whole: Tensor, joined: Tensor, parts: int, ghosts: float | None = None) -> Row:
    same = whole.shape == joined.shape
    error = float((whole.double() - joined.double()).abs().max()) if same and whole.numel() else float(not same)
    return {"parts": parts, "equal": same and torch.equal(whole, joined), "largest_difference": error, "ghosts": ghosts}


def ranges(total: int, parts: int) -> list[slice]:
    return [slice(*shard(total, part, parts)) for part in range(parts)]


def owners(nodes: int, parts: int) -> Tensor:
    """Which part a node belongs to: nodes at random, since ids of power-law graphs say nothing."""
    return torch.randint(parts, (nodes,), generator=torch.Generator().manual_seed(8))


def within(both: Tensor, nodes: int, mine: Tensor, hops: int) -> Tensor:
    """Mask of the nodes that are at most so many hops from those of a mask, against the edges."""
    near = mine.clone()
    for _ in range(hops):
        near[both[0][near[both[1]]]] = True
    return near


def part_of(both: Tensor, nodes: int, mine: Tensor, hops: int) -> tuple[Tensor, Tensor, Tensor]:
    """A part's nodes, in ascending order, its edges by their places, and the edges' columns in the whole."""
    near = within(both, nodes, mine, hops)
    kept = (near[both[0]] & near[both[1]]).nonzero().flatten()
    place = near.cumsum(0) - 1
    return near.nonzero().flatten(), place[both[:, kept]], kept


# ---------------------------------------------------------------- the graph everywhere, the work divided


def queries(parts: int) -> Row:
    """A layer of NBFNet for 8 queries: every query is alone."""
    both, nodes = entries(EDGES)
    generator = torch.Generator().manual_seed(0)
    graph = ops.CSRGraph(both, num_nodes=nodes)
    kind = torch.randint(RELATIONS, (both.shape[1],), generator=generator)
    x = torch.randn(8, nodes, CHANNELS, generator=generator)
    relation = torch.randn(8, RELATIONS, CHANNELS, generator=generator)

    def layer(some: slice) -> Tensor:
        return ops.relational_spmm(graph, kind, x[some], relation[some], num_nodes=nodes)

    return agreement(layer(slice(None)), torch.cat([layer(some) for some in ranges(8, parts)]), parts)


def pairs(parts: int) -> Row:
    """Features pooled over the common neighbours of 200 pairs."""
    graph = simple(EDGES)
    asked = some_pairs(graph, 200)
    x = torch.randn(graph.num_nodes, CHANNELS, generator=torch.Generator().manual_seed(0))
    divided = [ops.cn_pool(graph, asked[:, some], x, num_nodes=graph.num_nodes) for some in ranges(200, parts)]
    return agreement(ops.cn_pool(graph, asked, x, num_nodes=graph.num_nodes), torch.cat(divided), parts)


def orbit_rows(parts: int) -> Row:
    """Rows of three orbit adjacencies."""
    graph = simple(EDGES)
    keys = [(1, 0, 0), (2, 1, 1), (3, 4, 4)]
    whole = ops.orbit_adjacency(graph, num_nodes=graph.num_nodes, keys=keys)
    rows = [(some.start, some.stop) for some in ranges(graph.num_nodes, parts)]
    found = {key: [] for key in keys}
    for one in rows:  # as a process would: its rows alone
        for _, _, block in ops.orbit_adjacency_blocks(graph, num_nodes=graph.num_nodes, keys=keys, rows=[one]):
            for key in keys:
                found[key].append(block[key])
    pieces = [(whole[key].values(), torch.cat([block.values() for block in found[key]])) for key in keys]
    pieces += [(whole[key].col_indices(), torch.cat([block.col_indices() for block in found[key]])) for key in keys]
    return agreement(torch.cat([a.long() for a, _ in pieces]), torch.cat([b.long() for _, b in pieces]), parts)


def starts(parts: int) -> Row:
    """Walks: their draws are named by the start, not by the batch."""
    both, nodes = entries(EDGES)
    graph, start = ops.CSRGraph(both, num_nodes=nodes), torch.arange(nodes)

    def walk(some: slice) -> Tensor:
        return ops.sample_walks(graph, start[some], num_nodes=nodes, length=6, walks=4, seed=0)

    return agreement(walk(slice(None)), torch.cat([walk(some) for some in ranges(nodes, parts)]), parts)


def sequences(parts: int) -> Row:
    """A selective scan over 16 sequences."""
    generator = torch.Generator().manual_seed(0)
    u, delta = torch.randn(16, 20, 8, generator=generator), torch.rand(16, 20, 8, generator=generator)
    a, (b, c) = -torch.rand(8, 4, generator=generator), torch.randn(2, 16, 20, 4, generator=generator)

    def scanned(some: slice) -> Tensor:
        return ops.selective_scan(u[some], delta[some], a, b[some], c[some])

    return agreement(scanned(slice(None)), torch.cat([scanned(some) for some in ranges(16, parts)]), parts)


# ---------------------------------------------------------------- the nodes divided, with ghosts


def divided(both: Tensor, nodes: int, parts: int, hops: int, value: Callable[..., Tensor]) -> tuple[Tensor, float]:
    """Values of all nodes, each from the part that it belongs to, and the ghosts for each node of a part's own."""
    owner, found, ghosts = owners(nodes, parts), [], 0
    for part in range(parts):
        mine = owner == part
        ids, edges, kept = part_of(both, nodes, mine, hops)
        found.append((ids[mine[ids]], value(ids, edges, kept)[mine[ids]]))
        ghosts += int((~mine[ids]).sum())
    order = torch.cat([ids for ids, _ in found]).argsort()
    return torch.cat([values for _, values in found])[order], ghosts / nodes


def layer(parts: int) -> Row:
    """A layer of messages: ghosts of one hop, whose states come from their owners before each layer."""
    both, nodes = entries(EDGES)
    generator = torch.Generator().manual_seed(0)
    kind = torch.randint(RELATIONS, (both.shape[1],), generator=generator)
    x = torch.randn(1, nodes, CHANNELS, generator=generator)
    relation = torch.randn(RELATIONS, CHANNELS, generator=generator)
    whole = ops.relational_spmm(both, kind, x, relation, num_nodes=nodes)[0]

    def value(ids: Tensor, edges: Tensor, kept: Tensor) -> Tensor:
        return ops.relational_spmm(edges, kind[kept], x[:, ids].contiguous(), relation, num_nodes=len(ids))[0]

    joined, ghosts = divided(both, nodes, parts, 1, value)
    return agreement(whole, joined, parts, ghosts)


def orbit_count(parts: int) -> Row:
    """Orbit counts: a graphlet of four nodes lies within three hops of each of them."""
    both, nodes = entries(EDGES)
    joined, ghosts = divided(
        both, nodes, parts, 3, lambda ids, edges, kept: ops.orbit_counts(edges, num_nodes=len(ids))
    )
    return agreement(ops.orbit_counts(both, num_nodes=nodes), joined, parts, ghosts)


def eccentricity(parts: int) -> Row:
    """Eccentricity in balls of 4 hops on a grid: ghosts of 4 hops."""
    both, weight, nodes = streets(EDGES)

    def value(ids: Tensor, edges: Tensor, kept: Tensor) -> Tensor:
        return ops.khop_eccentricity(edges, num_nodes=len(ids), k=4, weight=weight[kept])

    joined, ghosts = divided(both, nodes, parts, 4, value)
    return agreement(ops.khop_eccentricity(both, num_nodes=nodes, k=4, weight=weight), joined, parts, ghosts)


CHECKS: dict[str, Callable[[int], Row]] = {
    "queries": queries,
    "pairs": pairs,
    "orbit_rows": orbit_rows,
    "starts": starts,
    "sequences": sequences,
    "layer": layer,
    "orbit_count": orbit_count,
    "ball": eccentricity,
}


def ghosts(edges: int) -> Iterator[Row]:
    """Ghosts for each node of a part's own, on a power-law graph (nodes at random) and a grid (strips)."""
    power, nodes = entries(edges)
    road, _, junctions = streets(edges)
    for name, both, count in (("power law", power, nodes), ("grid", road, junctions)):
        # the nodes of the grid bear ids at random: hops from one corner make the strips
        order = ops.hop_distance(both, torch.tensor([0]), num_nodes=count)[0] if name == "grid" else None
        for parts in (2, 8, 64):
            owner = owners(count, parts) if order is None else (order.argsort().argsort() * parts) // count
            for hops in (1, 3):
                needed = sum(int(within(both, count, owner == part, hops).sum()) for part in range(parts))
                yield {"graph": name, "edges": edges, "parts": parts, "hops": hops, "per_node": needed / count - 1}
