"""Topological concentration: how much the surroundings of a node overlap with those of its neighbours."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit.data import LinkTask
from graphkit.errors import UserError, nearest
from graphkit.ops import CSRGraph, SimpleGraph, counter_normal, edge_dot_mean, neighbor_sum
from graphkit.ops._library import call
from graphkit.ops.concentration import check_walks, entry_overlaps
from graphkit.ops.simple_graph import as_simple

__all__ = [
    "NORMS", "Estimate", "WeightedConcentration", "approximate_concentration", "default_beta", "split_concentration",
    "topological_concentration",
]  # fmt: skip

Edges = Tensor | CSRGraph | SimpleGraph

NORMS = ("source", "product", "min", "union")
"""What an overlap is divided by, see :func:`topological_concentration`."""
SIMILARITIES = ("dot", "cosine")

_CELLS = 1 << 25  # numbers of one table of random features


def topological_concentration(
    edge_index: Edges,
    *,
    num_nodes: int,
    hops: int = 1,
    approximate: bool = False,
    neighbors: Edges | None = None,
    norm: str | None = None,
    beta: float | None = None,
    through_edge: bool = True,
    dimensions: int = 32,
    draws: int = 8,
    seed: int = 0,
    max_sums: float = 1e12,
) -> Tensor:
    r"""Topological concentration (TC) of every node.

    .. math:: C_i = \frac{1}{|N_i|} \sum_{j \in N_i}
        \frac{\sum_{a,b=1}^{K} \beta^{a+b-2}\, |H_i^a \cap H_j^b|}{\sum_{a,b=1}^{K} \beta^{a+b-2}\, g(|H_i^a|, |H_j^b|)}

    H_i^a are the ends of all walks of a steps from i in the graph, with their multiplicities; an intersection counts the
    nodes that both reach, as often as i reaches them. A node without neighbours, or of which no two walks could meet, has 0.

    Args:
        edge_index: the (training) graph, int64 ``[2, E]``, PyG's ``EdgeIndex``, a :class:`CSRGraph` or a
            :class:`SimpleGraph`; undirected, without loops and copies.
        num_nodes: N.
        hops: K. One hop with the norm ``"source"`` is the local clustering coefficient.
        approximate: estimate from random features instead (ATC): :func:`approximate_concentration`, whose values follow the
            norm ``"product"``; ``dimensions``, ``draws`` and ``seed`` are for it alone.
        neighbors: edges over whose ends the mean is taken, such as the test edges; walks stay in ``edge_index``. None: the
            edges of the graph itself.
        norm: g(h, h'). ``"source"``, the default: h, less 1 for a = b = 1 where the mean is over the graph's own edges,
            since j, a neighbour of i, cannot be its own neighbour. ``"product"``: h h'; ``"min"``: the smaller;
            ``"union"``: h + h' less the intersection.
        beta: the discount; None: 1 / mean degree. It does nothing for one hop.
        through_edge: whether walks between i and j may take the edge (i, j) itself. With two hops or more they always
            meet then, by going there and back; without them forests have 0. For ``neighbors`` of another kind there is no
            such edge and this does nothing.
        max_sums: how many terms may be summed before the computation is refused (a billion take about a second).

    Returns:
        float64 ``[N]``.

    Raises:
        UserError: bad edges or parameters, or more than ``max_sums`` terms.

    Source:
        Wang et al., A topological perspective on demystifying GNN-based link prediction performance (ICLR 2024), the
        definition of TC. The double sum over hops is evaluated in separable form, :func:`graphkit.ops.walk_overlap`.

    Example:
        >>> paw = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 3]])
        >>> topological_concentration(paw, num_nodes=4).tolist()  # the local clustering coefficient
        [1.0, 1.0, 0.3333333333333333, 0.0]
    """
    graph = as_simple(edge_index, num_nodes)
    own = neighbors is None
    around = graph if neighbors is None else as_simple(neighbors, num_nodes)
    beta = default_beta(graph) if beta is None else beta
    check_walks(hops, beta)
    if norm is not None and norm not in NORMS:
        raise UserError(nearest(str(norm), NORMS, "norm"))
    if approximate:
        if norm not in (None, "product"):
            raise UserError(
                f"the estimate is of the norm 'product', got norm={norm!r}; leave it out or approximate=False"
            )
        return approximate_concentration(
            graph, num_nodes=num_nodes, hops=hops, neighbors=neighbors, beta=beta, dimensions=dimensions, draws=draws,
            seed=seed,
        ).value  # fmt: skip
    norm = norm or "source"
    apart = own and not through_edge and hops > 1
    if hops > 1:
        _check_cost(graph, around, hops, apart, max_sums)
    own_term = float(own)  # the one that "source" leaves out
    if apart:
        overlap, mine = call("walk_overlap_apart", graph.ptr, graph.col, hops, float(beta))
        theirs, own_term = mine[_reverse_entries(graph)], 0.0
    elif hops == 1 and norm == "source":
        # whole numbers until the last division
        shared = entry_overlaps(around, graph, graph).cumsum(0, dtype=torch.int64)
        total = torch.cat([shared.new_zeros(1), shared])[around.ptr].diff().double()
        size = around.degree * (graph.degree - int(own_term))
        return torch.where(size > 0, total / size.clamp(min=1), 0.0)
    else:
        if hops == 1:
            overlap = entry_overlaps(around, graph, graph).double()
        else:
            overlap = call("walk_overlap", graph.ptr, graph.col, around.ptr, around.col, hops, float(beta), 2**28)
        walks = _walk_counts(graph, hops)
        mine, theirs = walks[around.row()], walks[around.col.long()]
    size = _normaliser(norm, overlap, mine, theirs, float(beta), own_term)
    share = torch.where(size > 0, overlap / torch.where(size > 0, size, 1.0), 0.0)
    if own and norm == "source":
        share = torch.where(graph.degree[graph.row()] > 1, share, 0.0)  # nobody to share with
    return torch.segment_reduce(share, "sum", offsets=around.ptr) / around.degree.clamp(min=1)


def default_beta(edge_index: Edges, num_nodes: int | None = None) -> float:
    """1 / mean degree, the published discount; 0 for a graph without edges.

    Example:
        >>> default_beta(torch.tensor([[0, 1], [1, 2]]), num_nodes=4)
        1.0
    """
    graph = edge_index if isinstance(edge_index, SimpleGraph) else as_simple(edge_index, int(num_nodes or 0))
    return graph.num_nodes / (2 * graph.num_edges) if graph.num_edges else 0.0


def _walk_counts(graph: SimpleGraph, hops: int) -> Tensor:
    """How many walks of 1 .. K steps leave each node, float64 [N, K]."""
    counts = [torch.ones(graph.num_nodes, 1, dtype=torch.float64, device=graph.ptr.device)]
    for _ in range(hops):
        counts.append(neighbor_sum(graph, counts[-1], num_nodes=graph.num_nodes))
    return torch.cat(counts[1:], 1)


def _normaliser(norm: str, overlap: Tensor, mine: Tensor, theirs: Tensor, beta: float, own_term: float) -> Tensor:
    """The sum over hops of g, for every pair; mine, theirs: walks by their length, [E, K]."""
    hops = mine.shape[1]
    discount = torch.tensor([beta**a for a in range(hops)], dtype=torch.float64, device=mine.device)
    of_mine, of_theirs, all_hops = mine @ discount, theirs @ discount, float(discount.sum())
    if norm == "source":
        return all_hops * of_mine - own_term
    if norm == "product":
        return of_mine * of_theirs
    if norm == "union":
        return all_hops * (of_mine + of_theirs) - overlap
    size = torch.zeros_like(overlap)
    for a in range(hops):
        for b in range(hops):
            size += beta ** (a + b) * torch.minimum(mine[:, a], theirs[:, b])
    return size


def _reverse_entries(graph: SimpleGraph) -> Tensor:
    """The entry (j, i) of every entry (i, j)."""
    return torch.sort(graph.col, stable=True).indices


def _check_cost(graph: SimpleGraph, around: SimpleGraph, hops: int, apart: bool, max_sums: float) -> None:
    """Refuse what would take hours, by a bound on the terms to be summed."""
    walks = _walk_counts(graph, hops)
    if apart:
        terms = float((graph.degree * 2 * walks[:, 1:].clamp(max=2 * graph.num_edges).sum(1)).sum())
    else:
        terms = float((around.degree * walks[:, 1:].clamp(max=graph.num_nodes / 2).sum(1)).sum())
    if terms > max_sums:
        raise UserError(
            f"{hops} hops on this graph sum up to {terms:.1e} terms, more than max_sums={max_sums:.1e}; use "
            "approximate=True or fewer hops, or raise max_sums (a billion terms take about a second)"
        )


# ---------------------------------------------------------------- estimates


class Estimate(NamedTuple):
    """Values with what is known of their error.

    Attributes:
        value: float64 ``[N]``, mean over the draws.
        standard_error: float64 ``[N]``, of that mean, from the spread of the draws.

    Example:
        >>> Estimate(torch.zeros(2), torch.zeros(2)).value.tolist()
        [0.0, 0.0]
    """

    value: Tensor
    standard_error: Tensor


def approximate_concentration(
    edge_index: Edges,
    *,
    num_nodes: int,
    hops: int = 1,
    neighbors: Edges | None = None,
    beta: float | None = None,
    similarity: str = "dot",
    dimensions: int = 32,
    draws: int = 8,
    seed: int = 0,
) -> Estimate:
    r"""Topological concentration estimated from random features (ATC), in time linear in the edges.

    .. math:: Z = \sum_{k=1}^{K} \beta^{k-1} (D^{-1} A)^k R, \quad R_{ud} \sim \mathcal N(0, 1), \qquad
        \tilde C_i = \frac{1}{|N_i|} \sum_{j \in N_i} \varphi(Z_i, Z_j)

    For one hop and the dot product the expectation is exactly the TC of norm ``"product"``, and one pair has the variance
    :math:`(\|\tilde A_i\|^2 \|\tilde A_j\|^2 + \langle \tilde A_i, \tilde A_j\rangle^2) / D`.

    Features are a function of (seed, draw, node, column) and never kept: memory is two to four tables of at most 2^25
    numbers, however many columns there are.

    Args:
        edge_index, num_nodes, hops, neighbors, beta: as for :func:`topological_concentration`.
        similarity: phi: ``"dot"``, the product divided by D, or ``"cosine"``.
        dimensions: D of one draw, a multiple of 4.
        draws: independent draws, at least 2, whose mean is the estimate; with the dot product all that matters to the value
            is D times draws.
        seed: of the features.

    Returns:
        :class:`Estimate`; a node without neighbours has 0, exactly.

    Raises:
        UserError: bad edges or parameters.

    Source:
        Wang et al. (ICLR 2024), the approximation ATC.

    Example:
        >>> triangle = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> found = approximate_concentration(triangle, num_nodes=3, draws=64)
        >>> bool(((found.value - 0.25).abs() < 4 * found.standard_error).all())
        True
    """
    graph = as_simple(edge_index, num_nodes)
    around = graph if neighbors is None else as_simple(neighbors, num_nodes)
    beta = default_beta(graph) if beta is None else beta
    check_walks(hops, beta)
    if similarity not in SIMILARITIES:
        raise UserError(nearest(str(similarity), SIMILARITIES, "similarity"))
    for name, value, least in (("dimensions", dimensions, 4), ("draws", draws, 2)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UserError(f"{name} is {value!r}, expected a whole number from {least} upwards")
    if dimensions % 4:
        raise UserError(f"dimensions is {dimensions}, expected a multiple of 4")
    width = max(4, min(dimensions, _CELLS // max(num_nodes, 1) // 4 * 4))
    found = []
    for draw in range(draws):
        parts = [(first, min(width, dimensions - first)) for first in range(0, dimensions, width)]
        total = torch.zeros(num_nodes, dtype=torch.float64, device=graph.ptr.device)
        scale: Tensor | None = None
        if similarity == "cosine":
            for first, columns in parts:
                total += _propagated(graph, hops, beta, seed, draw, first, columns).double().square().sum(1)
            scale = total.clamp(min=1e-30).rsqrt().float().unsqueeze(1)
            total = torch.zeros_like(total)
        for first, columns in parts:
            z = _propagated(graph, hops, beta, seed, draw, first, columns)
            total += edge_dot_mean(around, z if scale is None else z * scale, num_nodes=num_nodes).double()
        found.append(total if similarity == "cosine" else total / dimensions)
    values = torch.stack(found)
    mean = values.mean(0)
    return Estimate(mean, ((values - mean).square().sum(0) / (draws - 1) / draws).sqrt())


def _propagated(graph: SimpleGraph, hops: int, beta: float, seed: int, draw: int, first: int, columns: int) -> Tensor:
    step = counter_normal(graph.num_nodes, columns, seed=seed, stream=draw, first=first, device=graph.ptr.device)
    inverse = (1 / graph.degree.clamp(min=1).float()).unsqueeze(1)
    total = None
    for k in range(hops):
        step = neighbor_sum(graph, step, num_nodes=graph.num_nodes).mul_(inverse)
        total = (
            step.clone() if total is None and hops > 1 else step if total is None else total.add_(step, alpha=beta**k)
        )
    assert total is not None
    return total


# ---------------------------------------------------------------- weights and splits


class WeightedConcentration:
    r"""One-hop concentration under message weights; the shared neighbours are counted once, at the beginning.

    .. math:: \tilde C_i(\omega) = \sum_{j \in N_i} \hat\omega_{ij} \frac{|N^t_i \cap N_j|}{|N^t_i|}, \qquad
        \hat\omega_{ij} = \omega_{ij} \Big/ \sum_{j' \in N_i} \omega_{ij'}

    Equal weights give :func:`topological_concentration` with one hop. Linear in the normalised weights and differentiable.

    Args:
        edge_index: messages, int64 ``[2, E]`` from ``edge_index[0]`` to ``edge_index[1]``; loops are left out.
        num_nodes: N.
        neighbors: edges of the split t; None: the graph's own, and then :math:`|N_i| - 1` divides, as it does there.
        compat: divide by :math:`|N_i|` for the graph's own edges too, as the released code does when it logs training.

    Raises:
        UserError: bad edges.

    Source:
        Wang et al. (ICLR 2024), the concentration logged while edges are re-weighted.

    Example:
        >>> both = torch.tensor([[0, 1, 2, 2, 1, 2, 0, 3], [1, 2, 0, 3, 0, 1, 2, 2]])  # a paw
        >>> WeightedConcentration(both, num_nodes=4)(torch.ones(8)).tolist()
        [1.0, 1.0, 0.3333333432674408, 0.0]
    """

    def __init__(
        self, edge_index: Tensor, *, num_nodes: int, neighbors: Edges | None = None, compat: bool = False
    ) -> None:
        graph = as_simple(edge_index, num_nodes)
        around = graph if neighbors is None else as_simple(neighbors, num_nodes)
        source, target = edge_index.as_subclass(Tensor) if type(edge_index) is not Tensor else edge_index
        key = graph.row() * num_nodes + graph.col.long()  # sorted
        kept = source != target
        share = torch.zeros(len(source), dtype=torch.float64, device=source.device)
        if len(key):
            entry = torch.searchsorted(key, target * num_nodes + source).clamp(max=len(key) - 1)
            size = around.degree - int(neighbors is None and not compat)
            shared = entry_overlaps(graph, around, graph)[entry].double()
            share = torch.where(kept & (size[target] > 0), shared / size[target].clamp(min=1), 0.0)
        self.num_nodes, self.target, self.kept, self.share = num_nodes, target, kept, share

    def __call__(self, weight: Tensor) -> Tensor:
        """The concentration ``[N]`` under weights ``[E]``, in the dtype of the weights; 0 where no message arrives.

        Raises:
            UserError: not one weight an edge.
        """
        if tuple(weight.shape) != tuple(self.target.shape):
            raise UserError(f"weight is {list(weight.shape)}, expected one for each of the {len(self.target)} edges")
        kept = weight * self.kept
        none = weight.new_zeros(self.num_nodes)
        total = none.index_add(0, self.target, kept)
        shared = none.index_add(0, self.target, kept * self.share.to(weight.dtype))
        return torch.where(total != 0, shared / torch.where(total != 0, total, 1.0), 0.0)


def split_concentration(task: LinkTask, **options: Any) -> dict[str, Tensor]:
    """The concentration of every node with regard to its neighbours of each split; walks are in the train edges throughout.

    Args:
        task: edges of train, valid and test.
        **options: those of :func:`topological_concentration`.

    Returns:
        ``{"train": [N], "valid": [N], "test": [N]}``, float64.

    Raises:
        UserError: as there.

    Example:
        >>> task = LinkTask("toy", 4, torch.tensor([[0, 1], [1, 2]]), torch.tensor([[0], [2]]), torch.tensor([[2], [3]]))
        >>> split_concentration(task)["valid"].tolist()  # 0 and 2 share their neighbour 1
        [1.0, 0.0, 1.0, 0.0]
    """
    if "neighbors" in options:
        raise UserError("neighbors is what split_concentration chooses; call topological_concentration for others")
    return concentration_of_parts(task.train, {"valid": task.valid, "test": task.test}, task.num_nodes, **options)


def concentration_of_parts(
    train: Tensor, others: dict[str, Tensor], num_nodes: int, **options: Any
) -> dict[str, Tensor]:
    """:func:`split_concentration` of edges that are no task: ``"train"`` and, by name, the others."""
    graph = SimpleGraph(train, num_nodes=num_nodes)
    found = {"train": topological_concentration(graph, num_nodes=num_nodes, **options)}
    for name, edges in others.items():
        found[name] = topological_concentration(graph, num_nodes=num_nodes, neighbors=edges, **options)
    return found
