"""Orbit adjacencies times a vector, by products of sparse matrices and without the orbit adjacency."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import public
from graphkit.ops.orbit_keys import EXACT, INT32, check_keys
from graphkit.ops.orbit_matrices import csr_tensor, edge_bases, small_pointers
from graphkit.ops.orbit_memory import row_sums
from graphkit.ops.orbits import Edges, orbit_adjacency_blocks
from graphkit.ops.orbits_reference import NEED_CLIQUES, NEED_CYCLES, NEED_LISTS, NEED_SUPPORT, Key
from graphkit.ops.simple_graph import SimpleGraph, as_simple

__all__ = ["orbit_adjacency_matvec"]

_BLOCK_BYTES = 2**28  # for products that go row block by row block

public("orbit_adjacency_matvec", "orbit_edge_bases")


def orbit_adjacency_matvec(edge_index: Edges, vector: Tensor, *, num_nodes: int, key: Key) -> Tensor:
    """An orbit adjacency times a vector, without the matrix where it is linear in products of sparse matrices.

    That holds for all keys but (2, 8, 8), (2, 4, 5) and (2, 5, 4), whose rows are made block by block and dropped. What
    the products need is kept on a :class:`SimpleGraph`, ``CSRGraph`` or ``EdgeIndex``: pass one of these, not a plain
    tensor, to multiply again and again.

    Args:
        edge_index, num_nodes: as for :func:`orbit_counts`.
        vector: ``[N]`` or ``[N, D]``, int64 or int32 (exact), float64, or float32 (computed in float64). Differentiable.
        key: one of ORBIT_KEYS.

    Returns:
        ``M[key] @ vector``, in the shape and dtype of ``vector``.

    Raises:
        UserError: bad edges, an unknown key, a vector that does not fit.

    Example:
        >>> path = torch.tensor([[0, 1, 2], [1, 2, 3]])
        >>> orbit_adjacency_matvec(path, torch.tensor([1, 10, 100, 1000]), num_nodes=4, key=(3, 4, 4)).tolist()
        [1000, 0, 0, 1]
    """
    graph, wanted = as_simple(edge_index, num_nodes), check_keys([key])[0]
    if not isinstance(vector, Tensor) or vector.dim() not in (1, 2) or vector.shape[0] != num_nodes:
        shape = tuple(vector.shape) if isinstance(vector, Tensor) else type(vector).__name__
        raise UserError(f"vector is {shape}, expected a tensor [{num_nodes}] or [{num_nodes}, D], one row per node")
    if vector.dtype not in EXACT:
        raise UserError(f"vector has dtype {vector.dtype}, expected int32, int64, float32 or float64")
    if vector.device != graph.ptr.device:
        raise UserError(f"vector is on {vector.device}, the graph on {graph.ptr.device}; move them to one device")
    return _Product.apply(vector, graph, wanted)


class _Product(torch.autograd.Function):
    """Linear: the gradient is the product with the transpose, which is the key with its orbits swapped."""

    @staticmethod
    def forward(ctx: Any, vector: Tensor, graph: SimpleGraph, key: Key) -> Tensor:
        ctx.graph, ctx.key = graph, key
        work = vector.detach().to(torch.float64 if vector.is_floating_point() else torch.int64)
        out = multiply(graph, key, work[:, None] if work.dim() == 1 else work)
        return out.view(vector.shape).to(vector.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        hop, i, j = ctx.key
        return _Product.apply(grads[0], ctx.graph, (hop, j, i)), None, None


class _SparseProducts:
    """Sparse matrices of one graph as functions of a dense matrix [N, D]."""

    def __init__(self, graph: SimpleGraph, dtype: torch.dtype) -> None:
        self.graph, self.dtype = graph, dtype
        self.wide = graph.max_degree**2 > INT32
        self.triangles, bases, self.com_ptr, self.com, self.opp_ptr, self.opp = edge_bases(
            graph, NEED_CLIQUES | NEED_SUPPORT | NEED_CYCLES | NEED_LISTS, self.wide
        )
        self.cliques, self.support, self.support_t, self.degrees, self.cycles = bases.unbind(0)
        self.t = row_sums(graph.ptr, self.triangles.long()) // 2
        self.kept: dict[str, Tensor] = {}

    def csr(self, name: str, ptr: Tensor, col: Tensor, values: Tensor | None, columns: int, x: Tensor) -> Tensor:
        if not x.is_floating_point():
            row = torch.repeat_interleave(torch.arange(len(ptr) - 1, device=ptr.device), ptr.diff())
            terms = x[col.long()] if values is None else x[col.long()] * values.long()[:, None]
            return x.new_zeros(len(ptr) - 1, x.shape[1]).index_add_(0, row, terms)
        if name not in self.kept:
            weights = torch.ones(len(col), dtype=self.dtype, device=col.device) if values is None else values.to(self.dtype)
            self.kept[name] = csr_tensor(small_pointers(ptr, len(col)), col, weights, columns)
        return self.kept[name] @ x

    def edges(self, name: str, values: Tensor | None, x: Tensor) -> Tensor:
        return self.csr(name, self.graph.ptr, self.graph.col, values, self.graph.num_nodes, x)

    def adjacency(self, x: Tensor) -> Tensor:
        return self.edges("A", None, x)

    def triangle(self, x: Tensor) -> Tensor:
        return self.edges("T", self.triangles, x)

    def scale(self, factor: Tensor, x: Tensor) -> Tensor:
        return factor.to(x.dtype)[:, None] * x

    def common(self, x: Tensor) -> Tensor:
        """(2, 1, 1): common neighbours of pairs that are not adjacent."""
        return self.adjacency(self.adjacency(x)) - self.scale(self.graph.degree, x) - self.triangle(x)

    def diamonds(self, x: Tensor) -> Tensor:
        """(2, 12, 12), from the lists of common neighbours: their product also counts 4-cliques, and the diagonal."""
        lists = self.csr("com", self.com_ptr, self.com, None, self.graph.num_nodes, x)
        both = (
            self.csr("opp", self.opp_ptr, self.opp, None, max(self.graph.num_edges, 1), lists) if len(lists) else x * 0
        )
        return both - self.scale(self.t, x) - self.edges("K", self.cliques, x)

    def tails(self, x: Tensor) -> Tensor:
        """(2, 9, 10)"""
        out = self.adjacency(self.triangle(x)) - self.scale(2 * self.t, x) - self.edges("S", self.support, x)
        return out - 2 * self.diamonds(x)

    def tails_t(self, x: Tensor) -> Tensor:
        """(2, 10, 9)"""
        out = self.triangle(self.adjacency(x)) - self.scale(2 * self.t, x) - self.edges("R", self.support_t, x)
        return out - 2 * self.diamonds(x)

    def leaves(self, x: Tensor) -> Tensor:
        """(2, 6, 6)"""
        others = self.graph.degree - 2
        own = row_sums(self.graph.ptr, others.index_select(0, self.graph.col))
        out = self.adjacency(self.scale(others, self.adjacency(x))) - self.scale(own, x)
        out = out - self.edges("D", self.degrees - 2 * self.triangles, x)
        return out - self.tails(x) - self.tails_t(x) - 2 * self.diamonds(x)

    def ends(self, x: Tensor) -> Tensor:
        """(3, 4, 4): three steps, the first two to a node at distance 2, less the walks that come back to an edge."""
        open_ends = self.graph.degree[self.graph.col.long()] - 1 - self.triangles  # (1, 1, 2)
        rims = self.support - self.triangles - 2 * self.cliques  # (1, 12, 13)
        rims_t = self.support_t - self.triangles - 2 * self.cliques
        cycles = self.cycles - rims - rims_t - 2 * self.cliques  # (1, 8, 8)
        return self.common(self.adjacency(x)) - self.edges("H", open_ends + cycles + rims, x) - self.tails(x)


_IMPLICIT = {
    (2, 1, 1): _SparseProducts.common,
    (2, 12, 12): _SparseProducts.diamonds,
    (2, 9, 10): _SparseProducts.tails,
    (2, 10, 9): _SparseProducts.tails_t,
    (2, 6, 6): _SparseProducts.leaves,
    (3, 4, 4): _SparseProducts.ends,
}


def multiply(graph: SimpleGraph, key: Key, x: Tensor) -> Tensor:
    if key in _IMPLICIT:
        name = ("products", x.dtype)
        if name not in graph.derived:
            graph.derived[name] = _SparseProducts(graph, x.dtype)
        return _IMPLICIT[key](graph.derived[name], x)
    out = x.new_zeros(x.shape)
    for begin, end, block in orbit_adjacency_blocks(graph, num_nodes=graph.num_nodes, keys=[key], memory=_BLOCK_BYTES):
        matrix = block[key]
        if x.is_floating_point():
            out[begin:end] = csr_tensor(matrix.crow_indices(), matrix.col_indices(), matrix.values().to(x.dtype), len(x)) @ x
        else:
            rows = torch.repeat_interleave(
                torch.arange(begin, end, device=x.device), matrix.crow_indices().diff().long()
            )
            out.index_add_(0, rows, x[matrix.col_indices().long()] * matrix.values().to(x.dtype)[:, None])
    return out
