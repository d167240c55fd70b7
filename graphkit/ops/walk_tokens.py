"""The sets of nodes that random walks of every length around a node visit: ragged, ordered from the widest to the narrowest."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import call, define, public
from graphkit.ops.induced_edges import induced_edges_of
from graphkit.ops.walks import (
    LONGEST_WALK,
    MOST_REPEATS,
    MOST_WALKS,
    Edges,
    check_whole,
    draw_name,
    walk_positions,
    walk_request,
)

__all__ = ["WalkTokens", "walk_tokens"]

public("walk_tokens", "walk_tokens")

_CELLS = 2**22  # positions of walks that the body in torch holds at once


class WalkTokens(NamedTuple):
    """Tokens of S nodes, m s for each, from the widest to the narrowest.

    Token (length i, repeat j) of a node, i = 1..m, j = 1..s, is in slot (m - i) s + (s - j) of the node. The token of length 0,
    the node itself, is not stored.

    Attributes:
        ptr: int64 ``[S m s + 1]``, the first node of each token.
        nodes: int64 ``[K]``; the node itself comes first, then the others in the order in which walk 0, walk 1, ... meet them.
        walks: int64 ``[S, m s, M, m + 1]``, the walks themselves, -1 past their end; or None.
        edge_ptr: int64 ``[S m s + 1]``, the first induced edge of each token; or None.
        edge_source, edge_target: int64, positions in the token; or None.
        edge_id: int64, columns of ``edge_index``; or None.

    Example:
        >>> tokens = walk_tokens(torch.tensor([[0, 1], [1, 2]]), torch.tensor([0]), num_nodes=3, walk_length=2, walks=1,
        ...                      repeats=1, seed=0)
        >>> tokens.ptr.tolist(), tokens.nodes.tolist()
        ([0, 3, 5], [0, 1, 2, 0, 1])
    """

    ptr: Tensor
    nodes: Tensor
    walks: Tensor | None = None
    edge_ptr: Tensor | None = None
    edge_source: Tensor | None = None
    edge_target: Tensor | None = None
    edge_id: Tensor | None = None

    def permute(self, order: Tensor) -> WalkTokens:
        """The tokens in another order.

        Args:
            order: int64 ``[S m s]``, a permutation: which token comes first, second, ...

        Raises:
            UserError: another shape or dtype.

        Example:
            >>> tokens = WalkTokens(torch.tensor([0, 1, 3]), torch.tensor([5, 6, 7])).permute(torch.tensor([1, 0]))
            >>> tokens.ptr.tolist(), tokens.nodes.tolist()
            ([0, 2, 3], [6, 7, 5])
        """
        if order.shape != (len(self.ptr) - 1,) or order.dtype != torch.int64:
            raise UserError(f"order is {order.dtype} {list(order.shape)}, expected int64 [{len(self.ptr) - 1}]")
        ptr, entry = _rows_in(self.ptr, order)
        walks = None if self.walks is None else self.walks.flatten(0, 1)[order].view_as(self.walks)
        if self.edge_ptr is None:
            return WalkTokens(ptr, self.nodes[entry], walks)
        edge_ptr, edge = _rows_in(self.edge_ptr, order)
        columns = (self.edge_source, self.edge_target, self.edge_id)
        return WalkTokens(ptr, self.nodes[entry], walks, edge_ptr, *(None if c is None else c[edge] for c in columns))


def _rows_in(ptr: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    size = ptr.diff()[order]
    moved = torch.cat([ptr.new_zeros(1), size.cumsum(0)])
    shift = torch.repeat_interleave(ptr[:-1][order] - moved[:-1], size)
    return moved, torch.arange(len(shift), device=ptr.device) + shift


def walk_tokens(
    edge_index: Edges,
    start: Tensor,
    *,
    num_nodes: int,
    walk_length: int,
    walks: int,
    repeats: int,
    seed: int,
    counter: int = 0,
    node_key: Tensor | None = None,
    return_walks: bool = False,
    return_edges: bool = False,
) -> WalkTokens:
    r"""Tokens of nodes for Graph Mamba: the nodes that M random walks of each length visit.

    .. math:: T_i^j(v) = \{v\} \cup \bigcup_{k < M} \{ w_1, \dots, w_i : w = \text{walk } k \text{ of } (i, j) \}, \qquad
        i = 1..m, \; j = 1..s

    The walks of token (i, j) are those of :func:`sample_walks` with ``length=i, repeat=j - 1``; all m s tokens of a node are
    drawn independently, so a narrow token need not lie in a wide one. A token has at most 1 + M i nodes.

    Args:
        edge_index: int64 ``[2, E]``, PyG's ``EdgeIndex`` or a :class:`CSRGraph`; edges are followed as stored.
        start: int64 ``[S]``, the nodes whose tokens are wanted.
        num_nodes: N.
        walk_length: m, the steps of the longest walks, 0 to 255; 0 gives no tokens.
        walks: M, walks for a token, 1 to 4096.
        repeats: s, tokens of each length, 0 to 4096; 0 gives no tokens.
        seed, counter, node_key: as for :func:`sample_walks`.
        return_walks: also return the walks.
        return_edges: also return the edges among the nodes of each token, see :func:`induced_edges`.

    Returns:
        :class:`WalkTokens`.

    Raises:
        UserError: bad edges, starts or keys; a number outside its range.

    Source:
        Behrouz, Hashemi, Graph Mamba: towards learning on graphs with state space models (KDD 2024), section 4.1 and
        Algorithm 1; where text and algorithm disagree see docs/walk-tokens.md.

    Example:
        >>> edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> tokens = walk_tokens(edges, torch.tensor([0]), num_nodes=3, walk_length=2, walks=8, repeats=1, seed=0,
        ...                      return_edges=True)
        >>> [sorted(t.tolist()) for t in tokens.nodes.split(tokens.ptr.diff().tolist())]
        [[0, 1, 2], [0, 1]]
        >>> tokens.edge_ptr.tolist()
        [0, 4, 6]
    """
    check_whole("walk_length", walk_length, 0, LONGEST_WALK, "a draw has 8 bits for the length")
    check_whole("walks", walks, 1, MOST_WALKS, "a draw has 12 bits for the walk")
    check_whole("repeats", repeats, 0, MOST_REPEATS, "a draw has 12 bits for the repeat")
    of = walk_request(edge_index, start, num_nodes=num_nodes, seed=seed, counter=counter, node_key=node_key)
    ptr, nodes, kept = call(
        "walk_tokens", *of.rows, of.start, of.key, walk_length, walks, repeats, of.seed, of.counter, return_walks
    )
    trace = kept if return_walks else None
    if not return_edges:
        return WalkTokens(ptr, nodes, trace)
    return WalkTokens(ptr, nodes, trace, *induced_edges_of(of.graph, ptr, nodes)[:4])


def _walk_tokens(ptr: Tensor, col: Tensor, start: Tensor, key: Tensor | None, longest: int, walks: int, repeats: int,
                 seed: int, counter: int, keep_walks: bool) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    device, slots = start.device, longest * repeats
    length = torch.arange(longest, 0, -1, device=device).repeat_interleave(repeats)
    repeat = torch.arange(repeats - 1, -1, -1, device=device).repeat(longest)
    name = draw_name(length[:, None], repeat[:, None], torch.arange(walks, device=device)).flatten()
    steps = length.repeat_interleave(walks)
    sizes, nodes, kept = [], [start.new_empty(0)], [start.new_empty(0, slots, walks, longest + 1)]
    per_start = max(slots * walks * (longest + 1), 1)
    for some in start.split(max(_CELLS // per_start, 1)) if start.numel() * slots else ():
        first = some.repeat_interleave(slots * walks)
        found = walk_positions(ptr, col, first, first if key is None else key[first], name.repeat(len(some)),
                               steps.repeat(len(some)), seed, counter)  # fmt: skip
        token = found.view(len(some) * slots, -1)
        is_first = _first_of_its_kind(token)
        sizes.append(is_first.sum(1))
        nodes.append(token[is_first])
        if keep_walks:
            kept.append(found.view(len(some), slots, walks, -1))
    size = torch.cat(sizes) if sizes else start.new_zeros(0)
    trace = torch.cat(kept).view(len(start) if keep_walks else 0, slots, walks, longest + 1)
    return torch.cat([size.new_zeros(1), size.cumsum(0)]), torch.cat(nodes), trace


def _first_of_its_kind(rows: Tensor) -> Tensor:
    """Where a number at least 0 stands for the first time in its row."""
    value, order = torch.sort(rows, dim=1, stable=True)
    new = value >= 0
    new[:, 1:] &= value[:, 1:] != value[:, :-1]
    return torch.zeros_like(new).scatter_(1, order, new)


def _fake(ptr: Tensor, col: Tensor, start: Tensor, key: Tensor | None, longest: int, walks: int, repeats: int, seed: int,
          counter: int, keep_walks: bool) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    count, slots = start.shape[0], longest * repeats
    visited = torch.library.get_ctx().new_dynamic_size()
    kept = start.new_empty(count if keep_walks else 0, slots, walks, longest + 1)
    return start.new_empty(count * slots + 1), start.new_empty(visited), kept


define(
    "walk_tokens(Tensor ptr, Tensor col, Tensor start, Tensor? key, int longest, int walks, int repeats, int seed, int counter,"
    " bool keep_walks) -> (Tensor, Tensor, Tensor)",
    _walk_tokens,
    fake=_fake,
)
