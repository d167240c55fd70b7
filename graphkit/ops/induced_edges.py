"""The edges among the nodes of many small sets at once, without a mask of N or E entries for each."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import call, define, public
from graphkit.ops.csr import CSRGraph, as_csr

__all__ = ["induced_edges", "induced_edges_of"]

public("induced_edges", "induced_edges")

_ENTRIES = 2**22  # edges the body in torch looks at at once


def induced_edges(
    edge_index: Tensor | CSRGraph, ptr: Tensor, nodes: Tensor, *, num_nodes: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""The edges of the subgraphs that sets of nodes induce.

    .. math:: E(T) = \{ e : source(e) \in T, \; target(e) \in T \}

    Every stored edge counts: loops, copies and, in an undirected graph, both directions. A node u costs the smaller of its
    out-degree and \|T\| bisections in its row, so hubs are harmless.

    Args:
        edge_index: int64 ``[2, E]``, PyG's ``EdgeIndex`` or a :class:`CSRGraph`; with the last two the edges are sorted once.
        ptr: int64 ``[T + 1]``, rising from 0 to K: the first node of each set.
        nodes: int64 ``[K]``; the nodes of a set differ, in any order.
        num_nodes: N.

    Returns:
        edge_ptr: int64 ``[T + 1]``, the first edge of each set; source, target: int64, positions in the set; edge: int64,
        columns of ``edge_index``. Edges of a set are sorted by (source, target, column).

    Raises:
        UserError: bad edges or sets, ids out of range, a node twice in a set.

    Example:
        >>> edges = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 3]])
        >>> edge_ptr, source, target, edge = induced_edges(
        ...     edges, torch.tensor([0, 2, 5]), torch.tensor([2, 0, 3, 1, 2]), num_nodes=4)
        >>> edge_ptr.tolist(), source.tolist(), target.tolist(), edge.tolist()
        ([0, 1, 3], [0, 1, 2], [1, 2, 0], [2, 1, 3])
    """
    graph = as_csr(edge_index, num_nodes)
    ptr, nodes = _sets(graph, ptr, nodes)
    *found, repeated = induced_edges_of(graph, ptr, nodes)
    at = int(repeated)
    if at >= 0:
        raise UserError(f"set {at} holds a node twice, expected different ones; use torch.unique on each set")
    return found[0], found[1], found[2], found[3]


def induced_edges_of(graph: CSRGraph, ptr: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """:func:`induced_edges` of sets that are known to be good, and the first set with a node twice, int64 scalar, or -1."""
    return call("induced_edges", graph.t_ptr, graph.t_target, graph.t_edge, ptr, nodes)


def _sets(graph: CSRGraph, ptr: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
    plain = []
    for name, ids in (("ptr", ptr), ("nodes", nodes)):
        if not isinstance(ids, Tensor) or ids.dim() != 1 or ids.dtype != torch.int64:
            kind = f"{ids.dtype} {list(ids.shape)}" if isinstance(ids, Tensor) else type(ids).__name__
            raise UserError(f"{name} is {kind}, expected a one-dimensional int64 tensor")
        if ids.device != graph.device:
            raise UserError(f"{name} is on {ids.device}, the graph on {graph.device}; move them to one device")
        plain.append((ids.as_subclass(Tensor) if type(ids) is not Tensor else ids).contiguous())
    ptr, nodes = plain
    if not len(ptr) or int(ptr[0]) != 0 or int(ptr[-1]) != len(nodes) or bool((ptr.diff() < 0).any()):
        raise UserError(f"ptr does not rise from 0 to {len(nodes)}, the number of nodes in all sets")
    if len(nodes):
        low, high = (int(v) for v in nodes.aminmax())
        if low < 0 or high >= graph.num_nodes:
            raise UserError(f"nodes holds {low if low < 0 else high}, expected ids in [0, {graph.num_nodes})")
    return ptr, nodes


def _induced_edges(ptr: Tensor, col: Tensor, edge: Tensor, set_ptr: Tensor, nodes: Tensor) -> tuple[
    Tensor, Tensor, Tensor, Tensor, Tensor
]:  # fmt: skip
    degree, sets = ptr.diff(), len(set_ptr) - 1
    none = nodes.new_empty(0)
    counts, found = [none], [(none, none, none)]
    repeated = nodes.new_full((), -1)
    looked_at = torch.cat([none.new_zeros(1), (degree[nodes] + 1).cumsum(0)])[set_ptr]
    begin = 0
    while begin < sets:
        more = int(torch.searchsorted(looked_at, looked_at[begin] + _ENTRIES, right=True)) - 1
        end = min(max(more, begin + 1), sets)
        first, size = set_ptr[begin], set_ptr[begin : end + 1].diff()
        some = nodes[first : set_ptr[end]]
        of = torch.repeat_interleave(torch.arange(end - begin, device=nodes.device), size)
        place = torch.arange(len(some), device=nodes.device) - (set_ptr[begin:end] - first)[of]
        key, order = torch.sort(of * len(degree) + some)
        twice = (key[1:] == key[:-1]).nonzero()
        if len(twice) and int(repeated) < 0:
            repeated = begin + of[order[twice[0, 0]]]
        row = torch.repeat_interleave(torch.arange(len(some), device=nodes.device), degree[some])
        entry = torch.arange(len(row), device=nodes.device)
        entry = entry - (degree[some].cumsum(0) - degree[some])[row] + ptr[some][row]
        wanted = of[row] * len(degree) + col[entry].long()
        at = torch.searchsorted(key, wanted).clamp(max=max(len(key) - 1, 0))
        hit = (key[at] == wanted).nonzero().squeeze(1)
        row, target, entry = row[hit], place[order[at[hit]]], entry[hit]
        # entries of a row are sorted already; what is left is the order by the place of the target
        sort = torch.sort(row * (int(size.max()) + 1) + target, stable=True).indices
        counts.append(torch.bincount(of[row], minlength=end - begin))
        found.append((place[row[sort]], target[sort], edge[entry[sort]]))
        begin = end
    edge_ptr = torch.cat([none.new_zeros(1), torch.cat(counts).cumsum(0)])
    source, target, edges = (torch.cat(parts) for parts in zip(*found, strict=True))
    return edge_ptr, source, target, edges, repeated


def _fake(ptr: Tensor, col: Tensor, edge: Tensor, set_ptr: Tensor, nodes: Tensor) -> tuple[
    Tensor, Tensor, Tensor, Tensor, Tensor
]:  # fmt: skip
    found = torch.library.get_ctx().new_dynamic_size()
    return (
        torch.empty_like(set_ptr), nodes.new_empty(found), nodes.new_empty(found), nodes.new_empty(found),
        nodes.new_empty(()),
    )  # fmt: skip


define(
    "induced_edges(Tensor ptr, Tensor col, Tensor edge, Tensor set_ptr, Tensor nodes)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _induced_edges,
    fake=_fake,
)
