"""Uniform random walks whose draws are named by numbers: the same for any batch, order of calls, threads and device."""

from __future__ import annotations

import weakref
from typing import NamedTuple

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import call, define, public
from graphkit.ops.common_neighbors_reference import philox
from graphkit.ops.csr import CSRGraph, as_csr

__all__ = ["WalkRequest", "check_whole", "draw_name", "sample_walks", "walk_positions", "walk_request"]

public("sample_walks", "sample_walks")

Edges = Tensor | CSRGraph

#: limits of the fields in which a draw is named
LONGEST_WALK, MOST_WALKS, MOST_REPEATS = 255, 2**12, 2**12
_LOW = 2**32 - 1
_KEY_BITS = 48
_AT_ONCE = 2**18  # walks the body in torch advances together


def sample_walks(
    edge_index: Edges,
    start: Tensor,
    *,
    num_nodes: int,
    length: int,
    walks: int,
    seed: int,
    counter: int = 0,
    node_key: Tensor | None = None,
    repeat: int = 0,
) -> Tensor:
    r"""Uniform random walks along the edges as stored, from source to target.

    .. math:: w_{t+1} = N(w_t)_{\lfloor x\, |N(w_t)| / 2^{32} \rfloor}

    N(v) are the targets of the edges from v, sorted, copies and loops included; x is a word of 32 random bits. A node without
    out-edges stays where it is. A word is named by (seed, counter, key of the start, length, repeat, walk, step): a
    walk does not depend on the other starts, on the number of threads or on what was drawn before.

    Args:
        edge_index: int64 ``[2, E]``, PyG's ``EdgeIndex`` or a :class:`CSRGraph`; with the last two the edges are sorted once.
            Pass both directions of an undirected graph.
        start: int64 ``[S]``, in any order, copies allowed (they walk alike).
        num_nodes: N.
        length: steps of a walk, 0 to 255.
        walks: M, walks from each start, 1 to 4096.
        seed: 0 to 2^64 - 1.
        counter: 0 to 2^32 - 1; another counter gives other walks.
        node_key: int64 ``[N]`` in ``[0, 2^48)``, names of the nodes, their ids by default. They name the draws and order the
            neighbours (ties by id), so walks follow the nodes when ids change and keys move along.
        repeat: 0 to 4095, which of several independent sets of walks; :func:`walk_tokens` uses it.

    Returns:
        int64 ``[S, walks, length + 1]``, the start first.

    Raises:
        UserError: bad edges, starts or keys; a number outside its range.

    Source:
        Draws: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011), Philox-4x32 with ten rounds.

    Example:
        >>> edges = torch.tensor([[0, 1], [1, 2]])
        >>> sample_walks(edges, torch.tensor([0, 2]), num_nodes=3, length=3, walks=1, seed=0).tolist()
        [[[0, 1, 2, 2]], [[2, 2, 2, 2]]]
    """
    check_whole("length", length, 0, LONGEST_WALK, "a draw has 8 bits for the length")
    check_whole("walks", walks, 1, MOST_WALKS, "a draw has 12 bits for the walk")
    check_whole("repeat", repeat, 0, MOST_REPEATS - 1, "a draw has 12 bits for the repeat")
    of = walk_request(edge_index, start, num_nodes=num_nodes, seed=seed, counter=counter, node_key=node_key)
    return call("sample_walks", *of.rows, of.start, of.key, length, walks, repeat, of.seed, of.counter)


# ---------------------------------------------------------------- checks


class WalkRequest(NamedTuple):
    """Checked arguments with which the operators on walks begin."""

    graph: CSRGraph
    rows: tuple[Tensor, Tensor]
    start: Tensor
    key: Tensor | None
    seed: int
    counter: int


def check_whole(name: str, value: int, low: int, high: int, why: str) -> None:
    """UserError unless ``value`` is a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"{name} is {value!r}, expected a whole number from {low} to {high}: {why}")


def walk_request(
    edge_index: Edges, start: Tensor, *, num_nodes: int, seed: int, counter: int, node_key: Tensor | None
) -> WalkRequest:
    """Checks what the operators on walks share."""
    check_whole("seed", seed, 0, 2**64 - 1, "it is a key of 64 bits")
    check_whole("counter", counter, 0, _LOW, "it has 32 bits; put the rest into the seed")
    graph = as_csr(edge_index, num_nodes)
    start = _ids("start", start, graph)
    if start.numel():
        low, high = (int(v) for v in start.aminmax())
        if low < 0 or high >= num_nodes:
            raise UserError(f"start holds node id {low if low < 0 else high}, expected ids in [0, {num_nodes})")
    key, col = None, graph.t_target
    if node_key is not None:
        key = _ids("node_key", node_key, graph)
        if len(key) != num_nodes:
            raise UserError(f"node_key has {len(key)} entries, expected one for each of the {num_nodes} nodes")
        low, high = (int(v) for v in key.aminmax()) if len(key) else (0, 0)
        if low < 0 or high >= 2**_KEY_BITS:
            raise UserError(
                f"node_key holds {low if low < 0 else high}, expected keys in [0, 2^48); number the nodes anew"
            )
        col = _columns_by_key(graph, node_key, key)
    return WalkRequest(graph, (graph.t_ptr, col), start, key, seed - 2**64 if seed >= 2**63 else seed, counter)


def _ids(name: str, ids: Tensor, graph: CSRGraph) -> Tensor:
    if not isinstance(ids, Tensor) or ids.dim() != 1:
        shape = list(ids.shape) if isinstance(ids, Tensor) else type(ids).__name__
        raise UserError(f"{name} is {shape}, expected a one-dimensional int64 tensor")
    if ids.dtype != torch.int64:
        raise UserError(f"{name} has dtype {ids.dtype}, expected torch.int64; convert it with .long()")
    if ids.device != graph.device:
        raise UserError(f"{name} is on {ids.device}, the graph on {graph.device}; move them to one device")
    return (ids.as_subclass(Tensor) if type(ids) is not Tensor else ids).contiguous()


def _columns_by_key(graph: CSRGraph, given: Tensor, key: Tensor) -> Tensor:
    """The targets of every row in the order of their keys, int32 ``[E]``; kept on the graph while the keys live unchanged."""
    version = None if given.is_inference() else given._version  # what inference mode made counts no versions
    kept = getattr(graph, "_by_key", None)
    if kept is not None and kept[0]() is given and version is not None and kept[1] == version:
        return kept[2]
    with torch.inference_mode(False):
        rank = torch.unique(key, return_inverse=True)[1]
        source = torch.repeat_interleave(
            torch.arange(graph.num_nodes, device=key.device), graph.t_ptr.diff(), output_size=graph.num_edges
        )
        place = source * max(graph.num_nodes, 1) + rank[graph.t_target.long()]
        col = graph.t_target[torch.sort(place, stable=True).indices]
    graph._by_key = (weakref.ref(given), version, col)  # type: ignore[attr-defined]
    return col


# ---------------------------------------------------------------- body


def draw_name(length: Tensor | int, repeat: Tensor | int, walk: Tensor) -> Tensor:
    """Word 2 of the counter: length (8 bits), repeat (12), walk (12), from the high bits to the low ones. Frozen."""
    return length << 24 | repeat << 12 | walk


def walk_positions(
    ptr: Tensor, col: Tensor, start: Tensor, key: Tensor, name: Tensor, length: Tensor, seed: int, counter: int
) -> Tensor:
    """Walks of unequal lengths, int64 ``[n, longest + 1]``, -1 past the end of a walk; everything else is ``[n]``."""
    longest = int(length.max()) if len(length) else 0
    out = start.new_full((len(start), longest + 1), -1)
    out[:, 0] = here = start
    degree, last = ptr.diff(), len(col) - 1
    words = name
    for step in range(longest):
        if step % 4 == 0:
            block = (key >> 32) << 16 | step // 4
            words = philox(torch.stack([key & _LOW, torch.full_like(key, counter), name, block], 1), seed)
        choices = degree[here]
        if last >= 0:
            place = ptr[here] + (words[:, step % 4] * choices >> 32)
            here = torch.where(choices > 0, col[place.clamp(max=last)].long(), here)
        out[:, step + 1] = torch.where(step < length, here, -1)
    return out


def _sample_walks(ptr: Tensor, col: Tensor, start: Tensor, key: Tensor | None, length: int, walks: int, repeat: int,
                  seed: int, counter: int) -> Tensor:  # fmt: skip
    walk = torch.arange(walks, device=start.device)
    parts = [start.new_empty(0, walks, length + 1)]
    for some in start.split(max(_AT_ONCE // walks, 1)) if len(start) else ():
        first = some.repeat_interleave(walks)
        name = draw_name(length, repeat, walk).repeat(len(some))
        steps = torch.full_like(first, length)
        found = walk_positions(ptr, col, first, first if key is None else key[first], name, steps, seed, counter)
        parts.append(found.view(len(some), walks, -1))
    return torch.cat(parts)


define(
    "sample_walks(Tensor ptr, Tensor col, Tensor start, Tensor? key, int length, int walks, int repeat, int seed, int counter)"
    " -> Tensor",
    _sample_walks,
    fake=lambda ptr, col, start, key, length, walks, repeat, seed, counter: start.new_empty(
        start.shape[0], walks, length + 1
    ),
)
