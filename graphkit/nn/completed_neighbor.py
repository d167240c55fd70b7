"""A head that completes common neighbours by the links it expects to be missing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.errors import UserError
from graphkit.nn.common_neighbor import CommonNeighborHead
from graphkit.ops import SimpleGraph, cn_complete, cn_pool, residual_neighbors, weighted_pool

__all__ = ["CompletedNeighborHead", "completion_probability"]

# floats in one layer of the perceptrons while inner links are scored, unless split_size says else: what a cache of the
# CPU holds, and what keeps a GPU busy
_ROW_VALUES = {"cpu": 2**19, "cuda": 2**24}


def completion_probability(
    logit: Tensor, *, scale: float, offset: float, log_prior: Tensor | float = 0.0, weight: float = 1.0
) -> Tensor:
    r"""Calibrated probability of a missing link, times a weight.

    .. math:: P = \alpha\, \sigma(s (\ell - o) + \ln p_t) = \alpha \frac{p_t p_0}{p_t p_0 + 1 - p_0}, \quad
        p_0 = \sigma(s (\ell - o))

    Args:
        logit: :math:`\ell`, any shape.
        scale: s.
        offset: o, the logit that counts as even odds.
        log_prior: :math:`\ln p_t`, a number or a tensor.
        weight: :math:`\alpha`; P may exceed 1 where it does.

    Example:
        >>> completion_probability(torch.tensor([3.0]), scale=5.0, offset=3.0, weight=0.5)
        tensor([0.2500])
    """
    return weight * torch.sigmoid(scale * (logit - offset) + log_prior)


class CompletedNeighborHead(CommonNeighborHead):
    r"""Scores of pairs from their common neighbours and from those that one missing link would make common.

    .. math:: p_{ij} = \sum_{u \in N(i) \cap N(j)} \tilde h_u + \sum_{u \in N(i) \setminus N(j)} P_{ju} \tilde h_u
        + \sum_{u \in N(j) \setminus N(i)} P_{iu} \tilde h_u

    P is :func:`completion_probability` of the logit that this same head gives the missing link, of depth k - 1 for a head
    of depth k; depth 0 is :class:`CommonNeighborHead`. No gradient flows through inner logits. i and j are in no set.

    A missing link that several pairs ask for is scored once. Without dropout that is exact; with dropout the pairs share
    one draw, whose expectation is the same.

    Args:
        channels: F, width of the states.
        structure: ``"pool"``, or ``"count"``, where p is the expected number of common neighbours.
        depth: k.
        scale, offset: of the logits.
        prior: :math:`p_t`, above 0.
        weight: :math:`\alpha`.
        learn_prior: p_t is a sigmoid of a perceptron of h_i * h_j instead; ``prior`` is its first value.
        max_residual: in training, at most so many neighbours of either node alone take part; more are sampled, without
            bias. None: all.
        max_residual_eval: the same in evaluation.
        split_size: missing links scored at once; changes memory only. None: by the width.
        compat: as the released code: inner logits take :math:`\tilde h` in place of h (and of it the perceptron m
            again), drop edges once more, and are computed for every occurrence of a missing link in training.
        options: of :class:`CommonNeighborHead`.

    Raises:
        UserError: as :class:`CommonNeighborHead`, for another structure, or a number out of range.

    Source:
        Wang, Yang, Zhang: Neural Common Neighbor with Completion for Link Prediction (ICLR 2024), equations 7-8.

    Example:
        >>> edges = torch.tensor([[0, 0, 1, 3], [2, 3, 2, 4]])
        >>> head = CompletedNeighborHead(8, depth=2)
        >>> head(torch.randn(5, 8), edges, torch.tensor([[0, 2], [1, 3]])).shape
        torch.Size([2])
    """

    def __init__(
        self,
        channels: int,
        *,
        structure: str = "pool",
        depth: int = 1,
        scale: float = 5.0,
        offset: float = 3.0,
        prior: float = 0.5,
        weight: float = 1.0,
        learn_prior: bool = False,
        max_residual: int | None = None,
        max_residual_eval: int | None = None,
        split_size: int | None = None,
        **options: Any,
    ) -> None:
        if structure not in ("pool", "count"):
            raise UserError(f"structure is {structure!r}; completion serves 'pool' (NCNC) and 'count'")
        if depth < 0 or prior <= 0 or weight < 0:
            raise UserError(f"depth is {depth}, prior {prior}, weight {weight}; expected 0 or more, above 0, 0 or more")
        if learn_prior and prior >= 1:
            raise UserError(f"prior is {prior}; a learned prior starts at a probability below 1")
        if split_size is not None and split_size < 1:
            raise UserError(f"split_size is {split_size}, expected None or a whole number from 1 upwards")
        super().__init__(channels, structure=structure, **options)
        self.depth, self.scale, self.offset, self.weight = depth, scale, offset, weight
        self.max_residual, self.max_residual_eval = max_residual, max_residual_eval
        self.split_size = split_size
        self.log_prior = float(torch.tensor(prior, dtype=torch.float64).log())
        self.prior_mlp = None
        if learn_prior:
            last = nn.Linear(channels, 1)
            nn.init.zeros_(last.weight)
            nn.init.constant_(last.bias, float(torch.logit(torch.tensor(prior))))
            self.prior_mlp = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), last)

    @property
    def samples(self) -> bool:
        return self.max_common is not None or self.max_residual is not None

    def set_bytes(self, degree: float) -> float:
        if self.depth < 1:
            return super().set_bytes(degree)
        # nodes, rows and values of the sets, and the sort that finds equal missing links
        return super().set_bytes(degree) + 120 * min(2 * degree, 2 * (self.max_residual_eval or degree))

    def logits(
        self,
        x: Tensor,
        pooled: Tensor | None,
        graph: SimpleGraph,
        pairs: Tensor,
        removed: Tensor | None,
        depth: int | None = None,
    ) -> Tensor:
        depth = self.depth if depth is None else depth
        if depth < 1:
            return super().logits(x, pooled, graph, pairs, removed)
        pooled = self.pooled_states(x) if pooled is None else pooled
        ptr, node, probability = self.completion(x, pooled, graph, pairs, removed, depth)
        summed = pooled if self.pools else x.new_ones(graph.num_nodes, 1)
        if self.max_common is None:
            pool = cn_complete(
                graph, pairs, summed, (ptr, node), probability, num_nodes=graph.num_nodes, removed=removed
            )
        else:
            pool = cn_pool(
                graph, pairs, summed, num_nodes=graph.num_nodes, removed=removed, cap=self.max_common, seed=self.draw()
            )
            pool = pool + weighted_pool(ptr, node, probability, summed).view(2, *pool.shape).sum(0)
        return self.combined(x, pairs, pool, None)

    def completion(
        self,
        x: Tensor,
        pooled: Tensor,
        graph: SimpleGraph,
        pairs: Tensor,
        removed: Tensor | None,
        depth: int = 1,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The neighbours of either node alone and how probable it is that each is a common one.

        Args:
            x: [N, F] states.
            pooled: ``pooled_states(x)``.
            graph: the graph.
            pairs: int64 [2, P].
            removed: uint8 or bool [M], edges that are taken out, or None.
            depth: k.

        Returns:
            ptr: int64 [2 P + 1] and node: int64 [K], as :func:`graphkit.ops.residual_neighbors` gives them; P: [K].
        """
        cap = self.max_residual if self.training else self.max_residual_eval
        ptr, node, value = residual_neighbors(
            graph, pairs, num_nodes=graph.num_nodes, removed=removed, cap=cap, seed=self.draw()
        )
        side = torch.repeat_interleave(torch.arange(len(ptr) - 1, device=ptr.device), ptr.diff())
        missing = torch.stack([torch.cat([pairs[1], pairs[0]])[side], node])
        logit = self._inner(x, pooled, graph, missing, removed, depth - 1)
        log_prior: Tensor | float = self.log_prior
        if self.prior_mlp is not None:
            log_prior = F.logsigmoid(self.prior_mlp(self.product(x, pairs))).squeeze(1)[side % pairs.shape[1]]
        probability = completion_probability(
            logit, scale=self.scale, offset=self.offset, log_prior=log_prior, weight=self.weight
        )
        return ptr, node, probability if value is None else probability * value

    @torch.no_grad()
    def _inner(
        self, x: Tensor, pooled: Tensor, graph: SimpleGraph, links: Tensor, removed: Tensor | None, depth: int
    ) -> Tensor:
        """Logits [K] of missing links [2, K]."""
        low, high = torch.minimum(*links), torch.maximum(*links)
        place = None
        if self.compat:
            x, pooled = pooled, self.pooled_states(pooled)
            removed = self.without_dropped(graph, removed)
        if not (self.compat and self.training):
            n = max(graph.num_nodes, 1)
            key, place = torch.unique(low * n + high, return_inverse=True)
            low, high = key // n, key % n
        links = torch.stack([low, high])
        size = self.split_size or max(1, _ROW_VALUES.get(x.device.type, 2**24) // x.size(1))
        parts = [self.logits(x, pooled, graph, part, removed, depth) for part in links.split(size, 1)]
        found = torch.cat(parts) if parts else x.new_zeros(0)
        return found if place is None else found[place]
