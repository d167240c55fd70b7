"""The generalized Bellman-Ford iteration without any learning: classic path quantities through one recursion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest
from graphkit.ops import CSRGraph, relational_spmm
from graphkit.ops.csr import as_csr

__all__ = ["SEMIRINGS", "Semiring", "bellman_ford"]


@dataclass(frozen=True)
class Semiring:
    """A commutative sum with its identity and a product with its identity; the product distributes over the sum.

    Attributes:
        message: the product, as :func:`graphkit.ops.relational_spmm` names it.
        reduce: the sum.
        zero: identity of the sum, the value of "no path".
        one: identity of the product, the value of the empty path.

    Example:
        >>> longest = Semiring("add", "max", -math.inf, 0.0)
        >>> edges, length = torch.tensor([[0, 1, 0], [1, 2, 2]]), torch.tensor([1.0, 1.0, 1.5])
        >>> bellman_ford(edges, torch.tensor([0]), longest, 2, length, num_nodes=3)
        tensor([[0., 1., 2.]])
    """

    message: str
    reduce: str
    zero: float
    one: float


#: The semirings of NBFNet's Table 1: Katz index and personalised PageRank; distance; widest path; most reliable path.
SEMIRINGS = {
    "sum_product": Semiring("mul", "sum", 0.0, 1.0),
    "min_plus": Semiring("add", "min", math.inf, 0.0),
    "max_min": Semiring("min", "max", -math.inf, math.inf),
    "max_times": Semiring("mul", "max", 0.0, 1.0),
}


def bellman_ford(
    graph: Tensor | CSRGraph,
    source: Tensor,
    semiring: str | Semiring,
    T: int,
    edge_value: Tensor,
    *,
    num_nodes: int,
) -> Tensor:
    r"""The sum over all walks of at most T edges from each source, of the product of their edge values.

    .. math:: h^{(0)}(u, v) = [u = v], \quad
        h^{(t)}(u, v) = \bigoplus_{e = (x \to v)} h^{(t-1)}(u, x) \otimes w_e \;\oplus\; h^{(0)}(u, v)

    Args:
        graph: int64 ``[2, E]`` (source, target) or a :class:`~graphkit.ops.CSRGraph`.
        source: int64 ``[B]``, start nodes u.
        semiring: ``"sum_product"``, ``"min_plus"``, ``"max_min"``, ``"max_times"``, or a :class:`Semiring`.
        T: number of iterations, the longest walk in edges.
        edge_value: ``[E]`` floating point; differentiable.
        num_nodes: N.

    Returns:
        ``[B, N]`` in the dtype of ``edge_value``; unreachable nodes hold the semiring's zero, a real infinity for
        ``min_plus`` and ``max_min``.

    Raises:
        UserError: unknown semiring, negative T, shapes that do not fit.

    Source:
        Zhu et al., Neural Bellman-Ford Networks (NeurIPS 2021), eqs. 3-4 and Table 1.

    Example:
        >>> path = torch.tensor([[0, 1], [1, 2]])
        >>> bellman_ford(path, torch.tensor([0]), "min_plus", 2, torch.tensor([2.0, 3.0]), num_nodes=4)
        tensor([[0., 2., 5., inf]])
    """
    if isinstance(semiring, str):
        if semiring not in SEMIRINGS:
            raise UserError(nearest(semiring, SEMIRINGS, "semiring"))
        semiring = SEMIRINGS[semiring]
    if T < 0:
        raise UserError(f"T is {T}, expected a number of iterations of at least 0")
    csr = as_csr(graph, num_nodes)
    if edge_value.shape != (csr.num_edges,) or not edge_value.is_floating_point():
        raise UserError(
            f"edge_value is {edge_value.dtype} {tuple(edge_value.shape)}, expected one floating point value for each of "
            f"the {csr.num_edges} edges"
        )
    batches = len(source)
    if batches and not (int(source.min()) >= 0 and int(source.max()) < num_nodes):
        raise UserError(f"source holds an id outside [0, {num_nodes})")
    boundary = torch.full((batches, num_nodes, 1), semiring.zero, dtype=edge_value.dtype, device=edge_value.device)
    boundary[torch.arange(batches, device=source.device), source] = semiring.one
    # every edge is its own relation: the edge value takes the place of the relation's vector
    kind = torch.arange(csr.num_edges, device=edge_value.device)
    state = boundary
    for _ in range(T):
        state = relational_spmm(
            csr, kind, state, edge_value.unsqueeze(-1), num_nodes=num_nodes, message=semiring.message,
            reduce=semiring.reduce, boundary=boundary,
        )  # fmt: skip
    return state.squeeze(-1)
