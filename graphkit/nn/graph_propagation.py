"""The propagation matrix of a graph convolution, apart from its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest
from graphkit.ops import CSRGraph, SimpleGraph, masked_spmm
from graphkit.ops.masked_spmm import masked_degree
from graphkit.ops.simple_graph import as_simple

__all__ = ["GraphPropagation"]

#: norm of the full graph, self-loops
_KINDS = {"gcn": ("sym", True), "sgc": ("sym", True), "sage": ("row", False), "gin": ("none", True)}


class GraphPropagation:
    r"""The matrix :math:`\hat A` of a convolution on an undirected graph, from which edges can be taken out.

    ======================  ====================================================
    ``"gcn"``, ``"sgc"``    :math:`(D + I)^{-1/2} (A + I) (D + I)^{-1/2}`
    ``"sage"``              :math:`D^{-1} A`, a row of zeros for a node without neighbours
    ``"gin"``               :math:`A + I`
    ======================  ====================================================

    Args:
        edge_index: int64 ``[2, E]``, a :class:`graphkit.ops.CSRGraph` or :class:`graphkit.ops.SimpleGraph`; taken as undirected,
            self-loops and copies of edges are dropped.
        kind: as above.
        num_nodes: N; may be left out for a graph that knows it.
        removed: uint8 ``[M]``, edges taken out, see :meth:`graphkit.ops.SimpleGraph.removed_by`.

    Raises:
        UserError: bad edges or an unknown kind.

    Example:
        >>> matrix = GraphPropagation(torch.tensor([[0], [1]]), "sage", num_nodes=3)
        >>> matrix(torch.tensor([[1.0], [2.0], [3.0]])).flatten().tolist()
        [2.0, 1.0, 0.0]
    """

    def __init__(
        self,
        edge_index: Tensor | CSRGraph | SimpleGraph,
        kind: str = "gcn",
        *,
        num_nodes: int | None = None,
        removed: Tensor | None = None,
    ) -> None:
        if kind not in _KINDS:
            raise UserError(nearest(str(kind), _KINDS, "convolution"))
        if num_nodes is None:
            if not isinstance(edge_index, (SimpleGraph, CSRGraph)):
                raise UserError("num_nodes is missing; pass it, or a SimpleGraph that knows it")
            num_nodes = edge_index.num_nodes
        self.graph, self.kind, self.removed = as_simple(edge_index, num_nodes), kind, removed
        self._scale: Tensor | None = None  # of a part of a graph, whose degrees are those of the whole

    @property
    def num_nodes(self) -> int:
        """Rows of the matrix.

        Example:
            >>> GraphPropagation(torch.tensor([[0], [1]]), num_nodes=3).num_nodes
            3
        """
        return self.graph.num_nodes

    def __call__(self, x: Tensor) -> Tensor:
        r""":math:`\hat A X` for x ``[N, F]``."""
        norm, loops = _KINDS[self.kind]
        options: dict[str, Any] = {"num_nodes": self.num_nodes, "self_loops": loops, "removed": self.removed}
        if self._scale is None:
            return masked_spmm(self.graph, x, norm=norm, **options)
        scale = self._scale.to(x.dtype)[:, None]
        return masked_spmm(self.graph, x * scale if norm == "sym" else x, **options) * scale

    def row_sums(self, dtype: torch.dtype = torch.float32) -> Tensor:
        r""":math:`\hat A 1`, ``[N]``: what a constant feature becomes.

        Example:
            >>> GraphPropagation(torch.tensor([[0], [1]]), "gin", num_nodes=3).row_sums().tolist()
            [2.0, 2.0, 1.0]
        """
        return self(torch.ones(self.num_nodes, 1, dtype=dtype, device=self.graph.ptr.device))[:, 0]

    def towards(self, nodes: Tensor, hops: int) -> tuple[Tensor, list[tuple[GraphPropagation, Tensor | None]]]:
        """What so many propagations need of the graph where only some nodes are asked for in the end.

        Args:
            nodes: int64 ``[n]``.
            hops: number of propagations.

        Returns:
            int64 ``[n']``, the nodes that the first propagation reads, in the order of its rows; and for each propagation the part
            of the matrix and which of its rows the next one reads (None: all). Those rows are the whole matrix's. The last rows
            are ``nodes``, in their order.

        Example:
            >>> path = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
            >>> matrix, x = GraphPropagation(path, "sage", num_nodes=5), torch.arange(5.0)[:, None]
            >>> inside, ((part, rows),) = matrix.towards(torch.tensor([0, 3]), 1)
            >>> inside.tolist(), part(x[inside])[rows].flatten().tolist()
            ([0, 1, 2, 3, 4], [1.0, 3.0])
        """
        if len(nodes) == self.num_nodes and bool((nodes.diff() == 1).all()):
            return nodes, [(self, None)] * hops
        row, col = self.graph.row(), self.graph.col.long()
        if self.removed is not None:
            kept = self.removed[self.graph.edge.long()] == 0
            row, col = row[kept], col[kept]
        norm, loops = _KINDS[self.kind]
        degree = masked_degree(self.graph, self.removed).double() + float(loops)
        scale = {"sym": degree.rsqrt(), "row": degree.reciprocal(), "none": torch.ones_like(degree)}[norm]
        scale = torch.where(degree > 0, scale, 0)
        wanted = nodes
        steps: list[tuple[GraphPropagation, Tensor | None]] = []
        for _ in range(hops):
            asked = torch.zeros(self.num_nodes, dtype=torch.bool, device=row.device)
            asked[wanted] = True
            edges = asked[row]
            inside = asked.clone()
            inside[col[edges]] = True
            chosen = inside.nonzero().flatten()
            number = torch.full((self.num_nodes,), -1, device=row.device)
            number[chosen] = torch.arange(len(chosen), device=row.device)
            between = torch.stack([number[row[edges]], number[col[edges]]])
            part = GraphPropagation(between, self.kind, num_nodes=len(chosen))
            part._scale = scale[chosen]
            steps.append((part, number[wanted]))
            wanted = chosen
        return wanted, steps[::-1]
