"""Heads that score pairs of nodes by their states and by what lies between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.errors import UserError, nearest
from graphkit.nn.perceptron import Perceptron
from graphkit.ops import (
    CSRGraph,
    SimpleGraph,
    cn_pool,
    common_neighbor_count,
    common_neighbors,
    masked_spmm,
    residual_neighbors,
    weighted_pool,
)
from graphkit.ops.simple_graph import as_simple, check_pairs

__all__ = ["STRUCTURES", "CommonNeighborHead"]

STRUCTURES = ("none", "count", "concat_count", "pool", "second_order", "difference")


class CommonNeighborHead(nn.Module):
    r"""Scores of pairs from the product of their states and the states of their common neighbours.

    .. math:: s_{ij} = \mathrm{readout}\bigl(\beta\, f(p_{ij}) + g(h_i \circ h_j)\bigr), \quad
        p_{ij} = \sum_{u \in N(i) \cap N(j)} \tilde h_u, \quad \tilde h = h + m(h)

    f, g, m and the readout are perceptrons, :math:`\beta` a learned scalar. ``structure`` says what stands for p:

    ================  =============================================================================================
    ``none``          nothing: the auto-encoder GAE
    ``count``         the number of common neighbours: GAE+CN
    ``concat_count``  the same, concatenated to :math:`g(h_i \circ h_j)` instead of added
    ``pool``          the sum above: NCN
    ``second_order``  also :math:`f_2` of the sums over N(i) with N\ :sub:`2`\ (j) and over N\ :sub:`2`\ (i) with N(j),
                      N\ :sub:`2` being two steps away: NCN2
    ``difference``    also :math:`f_2` of the sum over the neighbours of i alone and of j alone: NCN-diff
    ================  =============================================================================================

    i and j are in none of these sets. s(i, j) = s(j, i) exactly in evaluation.

    Args:
        channels: F, width of the states.
        structure: see above.
        dropout: of all perceptrons.
        edge_dropout: in training, edges are left out of the sets with this probability, in both directions together: a
            common neighbour stays with (1 - p)^2. Sums are not rescaled.
        layer_norm: whether the perceptrons normalise.
        node_mlp: whether there is an m; without it :math:`\tilde h = h`.
        tail_activation: f and g end with an activation; else with a linear map.
        two_layer_readout: the readout has two hidden layers instead of one.
        beta: first value of :math:`\beta`.
        max_common: at most so many common neighbours of a pair are summed; more are sampled, without bias.
        compat: build NCN2 and NCN-diff as the released code does by a slip of its arguments: without edge dropout,
            with layer norm only where edge dropout was asked for, with ``tail_activation`` = ``layer_norm``, with no m
            and a short readout.

    Raises:
        UserError: an unknown structure, a width or probability out of range.

    Source:
        Wang, Yang, Zhang: Neural Common Neighbor with Completion for Link Prediction (ICLR 2024), equations 5-6 and
        the ablations of section 6.

    Example:
        >>> edges = torch.tensor([[0, 0, 1, 1], [2, 3, 2, 3]])
        >>> head = CommonNeighborHead(8)
        >>> head(torch.randn(4, 8), edges, torch.tensor([[0, 2], [1, 3]])).shape
        torch.Size([2])
    """

    def __init__(
        self,
        channels: int,
        *,
        structure: str = "pool",
        dropout: float = 0.0,
        edge_dropout: float = 0.0,
        layer_norm: bool = True,
        node_mlp: bool = True,
        tail_activation: bool = True,
        two_layer_readout: bool = False,
        beta: float = 1.0,
        max_common: int | None = None,
        compat: bool = False,
    ) -> None:
        super().__init__()
        if structure not in STRUCTURES:
            raise UserError(nearest(str(structure), STRUCTURES, "structure"))
        if channels < 1:
            raise UserError(f"channels is {channels}, expected at least 1")
        for name, value in (("dropout", dropout), ("edge_dropout", edge_dropout)):
            if not 0 <= value < 1:
                raise UserError(f"{name} is {value}, expected a probability of at least 0 and below 1")
        if compat and structure in ("second_order", "difference"):
            layer_norm, tail_activation, edge_dropout = edge_dropout > 0, layer_norm, 0.0
            node_mlp = two_layer_readout = False
            beta = 1.0
        self.structure, self.edge_dropout, self.max_common, self.compat = structure, edge_dropout, max_common, compat
        options = {"dropout": dropout, "layer_norm": layer_norm}
        width, tail = channels, "" if tail_activation else "l"

        def of_sums(inputs: int) -> Perceptron:
            return Perceptron([inputs, width, width, width], "ldrlndr" + tail, dropout=dropout, layer_norm=layer_norm)

        self.pair_mlp = Perceptron([width] * 3, "lndr" + tail, **options)  # type: ignore[arg-type]
        self.node_mlp = of_nodes(width, dropout, layer_norm) if node_mlp and self.pools else None
        self.pool_mlp = of_sums(width if self.pools else 1) if structure not in ("none", "concat_count") else None
        self.other_mlp = of_sums(width) if structure in ("second_order", "difference") else None
        self.beta = nn.Parameter(torch.tensor(float(beta))) if self.pool_mlp is not None else None
        hidden = "lndr" * (2 if two_layer_readout else 1)
        widths = [width + (structure == "concat_count"), *[width] * (2 if two_layer_readout else 1), 1]
        self.readout = Perceptron(widths, hidden + "l", **options)  # type: ignore[arg-type]

    @property
    def pools(self) -> bool:
        """Whether states of neighbours are summed, not only counted."""
        return self.structure in ("pool", "second_order", "difference")

    def pooled_states(self, x: Tensor) -> Tensor:
        """What is summed over neighbours, h + m(h); [N, F]."""
        return x if self.node_mlp is None else x + self.node_mlp(x)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | CSRGraph | SimpleGraph,
        pairs: Tensor,
        *,
        removed: Tensor | None = None,
        pooled: Tensor | None = None,
    ) -> Tensor:
        """Logits of pairs.

        Args:
            x: [N, F] states of the nodes.
            edge_index: the graph, undirected; int64 [2, E], or a form of it that the operators know.
            pairs: int64 [2, P]. A node paired with itself counts all its neighbours as common.
            removed: uint8 [M], edges that are taken out, see :meth:`graphkit.ops.SimpleGraph.removed_by`.
            pooled: ``pooled_states(x)`` where it is known already.

        Returns:
            [P].

        Raises:
            UserError: pairs or states that do not fit the graph.
        """
        graph = as_simple(edge_index, x.size(0))
        check_pairs(pairs, graph)
        pairs = torch.stack([torch.minimum(*pairs), torch.maximum(*pairs)])  # the same bits both ways round
        return self.logits(x, pooled, graph, pairs, self.without_dropped(graph, removed))

    def logits(
        self, x: Tensor, pooled: Tensor | None, graph: SimpleGraph, pairs: Tensor, removed: Tensor | None
    ) -> Tensor:
        """:meth:`forward` after its checks and its edge dropout."""
        return self.combined(x, pairs, *self.sums(x, pooled, graph, pairs, removed))

    def combined(self, x: Tensor, pairs: Tensor, pool: Tensor | None, other: Tensor | None) -> Tensor:
        """Logits from the states of both nodes and the sums over sets of neighbours."""
        return self._read_out(self.product(x, pairs), pool, other)

    def of_products(self, products: Tensor) -> Tensor:
        r"""Logits from products :math:`h_i \circ h_j` alone, as of pairs without common neighbours; [P, F] to [P]."""
        pool = (
            None
            if self.structure == "none"
            else products.new_zeros(len(products), products.size(1) if self.pools else 1)
        )
        return self._read_out(products, pool, pool if self.other_mlp is not None else None)

    def _read_out(self, product: Tensor, pool: Tensor | None, other: Tensor | None) -> Tensor:
        state = self.pair_mlp(product)
        if self.structure == "concat_count":
            assert pool is not None
            return self.readout(torch.cat([pool, state], 1)).squeeze(1)
        if self.pool_mlp is not None and self.beta is not None and pool is not None:
            state = state + self.beta * self.pool_mlp.of_mostly_zero(pool)
        if self.other_mlp is not None and other is not None:
            state = state + self.other_mlp.of_mostly_zero(other)
        return self.readout(state).squeeze(1)

    def product(self, x: Tensor, pairs: Tensor) -> Tensor:
        """h_i * h_j, [P, F]."""
        return F.embedding(pairs[0], x) * F.embedding(pairs[1], x)

    def sums(
        self, x: Tensor, pooled: Tensor | None, graph: SimpleGraph, pairs: Tensor, removed: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """The sum over common neighbours, or their number, and what a structure has besides."""
        n = graph.num_nodes
        if self.structure == "none":
            return None, None
        if not self.pools:
            count = common_neighbor_count(graph, pairs, num_nodes=n, removed=removed)
            return count.to(x.dtype).unsqueeze(1), None
        if self.structure == "pool" and pooled is None and self.node_mlp is not None and _few(graph, pairs):
            return self._pool_of_few(x, graph, pairs, removed), None
        pooled = self.pooled_states(x) if pooled is None else pooled
        pool = cn_pool(graph, pairs, pooled, num_nodes=n, removed=removed, cap=self.max_common, seed=self.draw())
        if self.structure == "second_order":
            return pool, _second_order(pooled, graph, pairs, removed)
        if self.structure == "difference":
            whole = pool if self.max_common is None else cn_pool(graph, pairs, pooled, num_nodes=n, removed=removed)
            return pool, _difference(pooled, whole, graph, pairs, removed)
        return pool, None

    def _pool_of_few(self, x: Tensor, graph: SimpleGraph, pairs: Tensor, removed: Tensor | None) -> Tensor:
        """The pool where m is needed at few nodes only: those that are a common neighbour of some pair."""
        ptr, node, *value = common_neighbors(
            graph, pairs, num_nodes=graph.num_nodes, removed=removed, cap=self.max_common, seed=self.draw()
        )
        seen = torch.zeros(graph.num_nodes, dtype=torch.bool, device=node.device)
        seen[node] = True
        place = seen.cumsum(0) - 1
        pooled = self.pooled_states(F.embedding(seen.nonzero().squeeze(1), x))
        return weighted_pool(ptr, place[node], value[0] if value else None, pooled)

    def without_dropped(self, graph: SimpleGraph, removed: Tensor | None) -> Tensor | None:
        """Removed edges and, in training, those that edge dropout takes out."""
        if not self.training or self.edge_dropout == 0:
            return removed
        dropped = torch.rand(graph.num_edges, device=graph.col.device) < self.edge_dropout
        return dropped if removed is None else dropped | removed.bool()

    def set_bytes(self, degree: float) -> float:
        """About how many bytes the sets of one pair take, for nodes of a degree; 0 where they are not stored."""
        if self.structure == "second_order":
            return 80 * degree
        return 16.0 * min(self.max_common or 0, degree)

    def draw(self) -> int:
        """Seed of sampled neighbours: a new one in training, always the same in evaluation."""
        return int(torch.randint(2**62, ())) if self.training and self.samples else 0

    @property
    def samples(self) -> bool:
        return self.max_common is not None


def of_nodes(width: int, dropout: float, layer_norm: bool) -> Perceptron:
    """m, the perceptron on the states of nodes."""
    return Perceptron([width] * 3, "ldrlndr", dropout=dropout, layer_norm=layer_norm)


def _few(graph: SimpleGraph, pairs: Tensor) -> bool:
    """Whether the pairs can have few common neighbours in all, measured against the number of nodes."""
    return int(graph.degree[pairs].amin(0).sum()) <= 4 * graph.num_nodes


def _difference(pooled: Tensor, common: Tensor, graph: SimpleGraph, pairs: Tensor, removed: Tensor | None) -> Tensor:
    """Sums over N(i) \\ N(j) and N(j) \\ N(i), as all neighbours less the common ones and less j and i."""
    around = masked_spmm(graph, pooled, num_nodes=graph.num_nodes, removed=removed)
    edge = graph.edge_ids(pairs)
    linked = edge >= 0
    if removed is not None and graph.num_edges:
        linked = linked & (removed[edge.clamp(min=0)] == 0)
    ends = F.embedding(pairs[0], around) + F.embedding(pairs[1], around) - 2 * common
    if not bool(linked.any()):
        return ends
    selves = F.embedding(pairs[0], pooled) + F.embedding(pairs[1], pooled)
    return ends - linked.unsqueeze(1).to(selves.dtype) * selves


def _second_order(pooled: Tensor, graph: SimpleGraph, pairs: Tensor, removed: Tensor | None) -> Tensor:
    """Sums over neighbours of i that are two steps from j, and the other way round; A^2 is never formed."""
    n, count = graph.num_nodes, pairs.shape[1]
    alone_ptr, alone, _ = residual_neighbors(graph, pairs, num_nodes=n, removed=removed)
    common_ptr, common = common_neighbors(graph, pairs, num_nodes=n, removed=removed)
    pair = torch.arange(count, device=pairs.device)
    shared = torch.repeat_interleave(pair, common_ptr.diff())
    side = torch.repeat_interleave(torch.arange(2 * count, device=pairs.device), alone_ptr.diff())
    row = torch.cat([side % count, shared, shared])
    node = torch.cat([alone, common, common])
    far = torch.cat([torch.cat([pairs[1], pairs[0]])[side], pairs[1][shared], pairs[0][shared]])
    key, place = torch.unique(torch.minimum(far, node) * n + torch.maximum(far, node), return_inverse=True)
    links = torch.stack([key // max(n, 1), key % max(n, 1)])
    near = common_neighbor_count(graph, links, num_nodes=n, removed=removed)[place] > 0
    row, node = row[near], node[near]
    order = torch.argsort(row, stable=True)
    ptr = F.pad(torch.bincount(row, minlength=count).cumsum(0), (1, 0))
    return weighted_pool(ptr, node[order], None, pooled)
