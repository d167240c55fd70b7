"""Mixers of routing probabilities: tokens of a graph do not choose their experts independently."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphkit.errors import UserError, nearest
from graphkit.nn.routing import RouteInput
from graphkit.nn.token_graph import edges_of, neighbor_mean
from graphkit.ops import edge_softmax

__all__ = ["MIXERS", "AdjacencyMixer", "AttentionMixer", "IdentityMixer", "ProbMixer", "SimilarityMixer"]

_ALL_PAIRS = 4096  # tokens up to which every pair may be compared at once


class ProbMixer(nn.Module):
    r"""A mixer: ``(probs [T, M], RouteInput) -> probs [T, M]``, a mean over tokens for each row.

    .. math:: \tilde r_i = \sum_j S_{ij} r_j, \qquad S = \beta P + (1 - \beta) I

    P is row-stochastic; a token that it reaches from nowhere keeps its row. With ``of="logits"`` logarithms are mixed instead,
    which is a geometric mean brought back to sum 1. Mixing probabilities never lowers their entropy (Jensen): rows become
    flatter, whatever the graph. On graphs whose neighbours differ a large beta can hurt: learn it, and look at it.

    Args:
        channels: d, width of the tokens' states.
        beta: weight of the neighbours, from 0 to 1.
        learn_beta: whether it is learned, through a sigmoid (then strictly between 0 and 1).
        of: ``"probs"`` or ``"logits"``.

    Raises:
        UserError: a beta out of range, an unknown ``of``; when called, a graph that is missing or does not fit.

    Example:
        >>> mixer = AdjacencyMixer(4, beta=0.25, learn_beta=True)
        >>> round(float(mixer.beta.detach()), 4)
        0.25
    """

    def __init__(self, channels: int, *, beta: float = 0.5, learn_beta: bool = False, of: str = "probs") -> None:
        super().__init__()
        inside = isinstance(beta, (int, float)) and not isinstance(beta, bool)
        if not inside or not (0 < beta < 1 if learn_beta else 0 <= beta <= 1):
            raise UserError(
                f"beta is {beta!r}, expected a number {'strictly between 0 and' if learn_beta else 'from 0 to'} 1"
            )
        if of not in ("probs", "logits"):
            raise UserError(nearest(str(of), ("probs", "logits"), "quantity to mix"))
        self.channels, self.of = channels, of
        self.raw_beta = nn.Parameter(torch.tensor(math.log(beta / (1 - beta)))) if learn_beta else None
        self._beta = float(beta)

    @property
    def beta(self) -> Tensor:
        """The weight of the neighbours, a scalar."""
        return torch.tensor(self._beta) if self.raw_beta is None else self.raw_beta.sigmoid()

    def forward(self, probs: Tensor, input: RouteInput) -> Tensor:
        if self.raw_beta is None and self._beta == 0:
            return probs
        if self.of == "logits":
            mixed = self._blend(probs.clamp(min=torch.finfo(probs.dtype).tiny).log(), input)
            return mixed.softmax(-1)
        return self._blend(probs, input)

    def neighbors(self, x: Tensor, input: RouteInput) -> Tensor:
        """P x for ``x`` ``[T, D]``."""
        raise NotImplementedError

    def _blend(self, x: Tensor, input: RouteInput) -> Tensor:
        beta = self._beta if self.raw_beta is None else self.raw_beta.sigmoid().to(x.dtype)
        return beta * self.neighbors(x, input).to(x.dtype) + (1 - beta) * x

    def extra_repr(self) -> str:
        return f"beta={float(self.beta.detach()):.3g}, of={self.of!r}"


class IdentityMixer(ProbMixer):
    """Leaves probabilities as they are.

    Example:
        >>> p = torch.full((1, 2), 0.5)
        >>> IdentityMixer(4)(p, RouteInput(torch.ones(1, 4))) is p
        True
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, beta=0.0)


class AdjacencyMixer(ProbMixer):
    """P is the mean over the edges into a token, weighted where ``RouteInput.adj`` has weights.

    The graph of the tokens is given here, not estimated; that is graphkit's adaptation of the paper.
    For link tasks the graph must not hold the held-out edges.

    Args:
        channels, beta, learn_beta, of: as in :class:`ProbMixer`.

    Source:
        After Nguyen et al., Improving routing in sparse mixture of experts with graph of tokens (arXiv 2505.00792, ICML 2025).

    Example:
        >>> mixer = AdjacencyMixer(1, beta=1.0)
        >>> mixer(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), RouteInput(torch.ones(2, 1), torch.tensor([[0], [1]]))).tolist()
        [[1.0, 0.0], [1.0, 0.0]]
    """

    def neighbors(self, x: Tensor, input: RouteInput) -> Tensor:
        graph, weight = edges_of(input.adj, len(x))
        return neighbor_mean(graph, x, weight.mean(1) if weight is not None and weight.dim() == 2 else weight)


class AttentionMixer(ProbMixer):
    """P is the attention of the layer before: ``RouteInput.adj`` is ``(edges, coefficients [E] or [E, heads])``.

    Args:
        channels, beta, learn_beta, of: as in :class:`ProbMixer`; beta = 1 takes the neighbours alone.
        heads: ``"mean"`` or ``"max"`` over the heads of an edge; rows are brought back to sum 1.

    Source:
        After Nguyen et al. (arXiv 2505.00792); the shape of the formula is unconfirmed.

    Example:
        >>> mixer = AttentionMixer(1, beta=1.0)
        >>> adj = (torch.tensor([[0, 1], [1, 1]]), torch.tensor([[0.5, 0.1], [0.5, 0.9]]))
        >>> mixer(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), RouteInput(torch.ones(2, 1), adj))[1]
        tensor([0.3000, 0.7000])
    """

    def __init__(
        self, channels: int, *, heads: str = "mean", beta: float = 1.0, learn_beta: bool = False, of: str = "probs"
    ) -> None:
        super().__init__(channels, beta=beta, learn_beta=learn_beta, of=of)
        if heads not in ("mean", "max"):
            raise UserError(nearest(str(heads), ("mean", "max"), "reduction over heads"))
        self.heads = heads

    def neighbors(self, x: Tensor, input: RouteInput) -> Tensor:
        graph, weight = edges_of(input.adj, len(x))
        if weight is None:
            raise UserError(
                "the attention mixer needs coefficients; pass RouteInput.adj as (edges, coefficients [E] or [E, heads])"
            )
        if weight.dim() == 2:
            weight = weight.mean(1) if self.heads == "mean" else weight.amax(1)
        return neighbor_mean(graph, x, weight)


class SimilarityMixer(ProbMixer):
    r"""P compares tokens by their states.

    .. math:: P_{ij} = \operatorname{softmax}_j \Big( \frac{h_i^T W_s h_j}{\tau} \Big)

    j runs over all tokens of the same graph (``RouteInput.batch``), over the ``topn`` most similar of them, or over
    the edges into i.

    Args:
        channels: d.
        tau: temperature.
        topn: how many tokens a token looks at; None: all, of at most 4096.
        over: ``"tokens"``, or ``"edges"`` for those along ``RouteInput.adj``.
        beta, learn_beta, of: as in :class:`ProbMixer`; beta = 1 as in the paper.

    Attributes:
        metric: :math:`W_s`, ``[d, d]``, learned; begins as the identity over sqrt(d).

    Source:
        After Nguyen et al. (arXiv 2505.00792); the shape of the formula is unconfirmed.

    Example:
        >>> mixer = SimilarityMixer(1, tau=0.01)
        >>> h = torch.tensor([[1.0], [1.0], [-1.0]])
        >>> mixer(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), RouteInput(h)).tolist()
        [[0.5, 0.5], [0.5, 0.5], [0.0, 1.0]]
    """

    def __init__(
        self,
        channels: int,
        *,
        tau: float = 1.0,
        topn: int | None = None,
        over: str = "tokens",
        beta: float = 1.0,
        learn_beta: bool = False,
        of: str = "probs",
    ) -> None:
        super().__init__(channels, beta=beta, learn_beta=learn_beta, of=of)
        if not isinstance(tau, (int, float)) or not tau > 0:
            raise UserError(f"tau is {tau!r}, expected a number above 0")
        if over not in ("tokens", "edges"):
            raise UserError(nearest(str(over), ("tokens", "edges"), "set to compare over"))
        if topn is not None and (isinstance(topn, bool) or not isinstance(topn, int) or topn < 1):
            raise UserError(f"topn is {topn!r}, expected a whole number from 1 upwards, or None for all tokens")
        self.tau, self.topn, self.over = tau, topn, over
        self.metric = nn.Parameter(torch.eye(channels) / channels**0.5)

    def neighbors(self, x: Tensor, input: RouteInput) -> Tensor:
        h = input.h.to(x.dtype)
        asked = h @ self.metric.to(x.dtype) / self.tau
        if self.over == "edges":
            graph, _ = edges_of(input.adj, len(x))
            source, target = graph.edge_index
            score = (asked[target] * h[source]).sum(1)
            return neighbor_mean(graph, x, edge_softmax(graph, score, num_nodes=len(x)))
        count = len(x)
        if self.topn is None and count > _ALL_PAIRS:
            raise UserError(
                f"the similarity mixer would compare all pairs of {count:,} tokens, expected at most {_ALL_PAIRS:,}; "
                "set topn, or over='edges'"
            )
        if not count:
            return x
        if self.topn is None or self.topn >= count:
            return self._scores(asked, h, input.batch, slice(0, count)).softmax(1) @ x
        source, step = [], max(1, _ALL_PAIRS**2 // count)
        with torch.no_grad():
            for first in range(0, count, step):
                rows = slice(first, min(first + step, count))
                source.append(self._scores(asked, h, input.batch, rows).topk(self.topn, dim=1).indices)
        found = torch.cat(source)
        score = (asked.unsqueeze(1) * h[found]).sum(2)
        if input.batch is not None:
            score = score.masked_fill(input.batch[found] != input.batch.unsqueeze(1), -torch.inf)
        return (score.softmax(1).unsqueeze(2) * x[found]).sum(1)

    @staticmethod
    def _scores(asked: Tensor, h: Tensor, batch: Tensor | None, rows: slice) -> Tensor:
        score = asked[rows] @ h.t()
        if batch is not None:
            score = score.masked_fill(batch[rows].unsqueeze(1) != batch.unsqueeze(0), -torch.inf)
        return score


#: mixers by name
MIXERS: dict[str, Callable[..., ProbMixer]] = {
    "identity": IdentityMixer,
    "adjacency": AdjacencyMixer,
    "attention": AttentionMixer,
    "similarity": SimilarityMixer,
}
