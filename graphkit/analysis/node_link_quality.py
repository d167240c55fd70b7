"""How well the links of each single node are predicted, and what chance alone would give that node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import gammaln
from torch import Tensor

from graphkit.data import LinkTask, score_pairs
from graphkit.data.random_streams import EVALUATION, permutation
from graphkit.errors import UserError
from graphkit.metrics.ranking import check_k
from graphkit.ops import SimpleGraph, neighbor_sum

__all__ = ["METRICS", "NodeLinkQuality", "chance_level", "node_link_quality", "resource_allocation"]

METRICS = ("recall", "precision", "f1", "hit", "ndcg")
"""Metrics at K; beside them ``"mrr"``, the inverse rank of the best-ranked neighbour."""

Scorer = Any  # a table, a function of nodes, or a model with score_pairs

_PAIRS = 1 << 20  # pairs scored at once


@dataclass(frozen=True)
class NodeLinkQuality:
    """Link prediction metrics of every node that has a link to be predicted.

    Attributes:
        split: whose links were to be found.
        ks: cut-offs K.
        nodes: int64 ``[n]``, the nodes with at least one link of the split.
        relevant: int64 ``[n]``, m, how many such links.
        candidates: int64 ``[n]``, how many nodes were ranked.
        values: float64 ``[n]`` by metric: ``"recall@20"``, ``"precision@20"``, ``"f1@20"``, ``"hit@20"``, ``"ndcg@20"``, ...
            and ``"mrr"``.
        chance: the same under a random ranking.
        best: the same under a perfect ranking.

    Example:
        >>> ring = torch.stack([torch.arange(20), (torch.arange(20) + 1) % 20])
        >>> found = node_link_quality(LinkTask.from_edges("ring", ring, 20), torch.zeros(20, 20), ks=(5,))
        >>> sorted(found.values)
        ['f1@5', 'hit@5', 'mrr', 'ndcg@5', 'precision@5', 'recall@5']
    """

    split: str
    ks: tuple[int, ...]
    nodes: Tensor
    relevant: Tensor
    candidates: Tensor
    values: dict[str, Tensor]
    chance: dict[str, Tensor]
    best: dict[str, Tensor]

    def corrected(self, metric: str) -> Tensor:
        """A metric on the scale on which a random ranking has 0 and a perfect one 1, [n]; 0 where the two are the same."""
        room = self.best[metric] - self.chance[metric]
        gained = self.values[metric] - self.chance[metric]
        return torch.where(room > 1e-12, gained / room.clamp(min=1e-12), 0.0)

    def mean(self, metric: str) -> float:
        """Mean over the nodes."""
        return float(self.values[metric].mean())


def node_link_quality(
    task: LinkTask,
    scorer: Scorer,
    *,
    split: str = "test",
    ks: Sequence[int] = (5, 10, 20, 50, 100),
    filtered: bool = True,
    sample: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
) -> NodeLinkQuality:
    r"""Rank all nodes as neighbours of each node and measure where its links of a split stand.

    With m such links, n candidates and ranks that tied candidates share (their mean):
    recall@K is the share of the m within the first K, precision@K their number over K, f1@K the harmonic mean of both,
    hit@K whether there is one, :math:`ndcg@K = \sum_{r \le K} 1/\log_2(r + 1)` over that of min(m, K) perfect ranks, and mrr
    the inverse of the best rank. A node itself is no candidate.

    Args:
        task: edges and their splits.
        scorer: what scores pairs: a model with ``score_pairs(graph, pairs)``, a function of nodes ``[B]`` that gives scores
            ``[B, N]`` of all nodes as their neighbours, or such a table, ``[N, N]``.
        split: ``"test"``, ``"valid"`` or ``"train"``.
        ks: cut-offs.
        filtered: whether neighbours in earlier splits (train; for test valid too) are no candidates. Leave it off where pairs
            repeat from split to split.
        sample: look at no more than so many nodes, drawn at random; None: at all that have a link of the split.
        seed: of the sample.
        batch_size: nodes ranked at once; None: as many as make about a million pairs.

    Raises:
        UserError: for a split without edges, bad cut-offs, or scores of a wrong shape or with NaN.

    Source:
        Wang et al., A topological perspective on demystifying GNN-based link prediction performance (ICLR 2024), the
        metrics of nodes; the expectations under chance are those of sampling without replacement.

    Example:
        >>> task = LinkTask("toy", 4, torch.tensor([[0], [1]]), torch.tensor([[2], [3]]), torch.tensor([[1], [2]]))
        >>> scores = torch.tensor([[0, 1, 2, 3.0]]).expand(4, 4)  # everybody prefers node 3
        >>> found = node_link_quality(task, scores, ks=(1,))
        >>> found.nodes.tolist(), found.values["mrr"].tolist()  # node 2 knows 3 already, node 1 knows 0
        ([1, 2], [0.5, 1.0])
    """
    cuts = _checked_ks(ks)
    if task.edges(split).size(1) == 0:
        raise UserError(f"{task.name} has no {split} edges to look at; choose another split")
    n = task.num_nodes
    wanted = SimpleGraph(task.edges(split), num_nodes=n)
    earlier = ("train", "valid", "test")[: ("train", "valid", "test").index(split)] if filtered else ()
    known = torch.cat([task.edges(one) for one in earlier], 1) if earlier else torch.empty(2, 0, dtype=torch.int64)
    hidden = SimpleGraph(known, num_nodes=n)
    parts: list[dict[str, Tensor]] = []
    step = max(1, _PAIRS // max(n, 1)) if batch_size is None else batch_size
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise UserError(f"batch_size is {batch_size!r}, expected None or a whole number from 1 upwards")
    asked = wanted.degree.nonzero().squeeze(1)
    if sample is not None:
        if isinstance(sample, bool) or not isinstance(sample, int) or sample < 1:
            raise UserError(f"sample is {sample!r}, expected None or a whole number of nodes from 1 upwards")
        asked = asked[permutation(len(asked), seed=seed, epoch=0, stream=EVALUATION)[:sample]].sort().values
    for nodes, scores in _scored(task, scorer, split, asked, step):
        parts.append(_measured(nodes, scores, wanted, hidden, cuts))
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    nodes, relevant, candidates = (joined.pop(name) for name in ("nodes", "relevant", "candidates"))
    return NodeLinkQuality(
        split,
        cuts,
        nodes,
        relevant,
        candidates,
        joined,
        chance_level(relevant, candidates, cuts),
        _best(relevant, cuts),
    )


def _checked_ks(ks: Sequence[int]) -> tuple[int, ...]:
    cuts = tuple(ks)
    for k in cuts:
        check_k(k)
    if not cuts:
        raise UserError("ks is empty; name at least one cut-off, such as ks=(20,)")
    return cuts


def _scored(task: LinkTask, scorer: Scorer, split: str, nodes: Tensor, step: int) -> Iterator[tuple[Tensor, Tensor]]:
    n = task.num_nodes
    table = isinstance(scorer, Tensor)
    if not table and not callable(scorer) and not hasattr(scorer, "score_pairs"):
        raise UserError(
            f"the scorer is {type(scorer).__name__}, expected a model with score_pairs, a function of nodes, or a table [N, N]"
        )
    if table and tuple(scorer.shape) != (n, n):
        raise UserError(f"the scores are {list(scorer.shape)}, expected one for each pair of nodes: [{n}, {n}]")
    for first in range(0, len(nodes), step):
        some = nodes[first : first + step]
        if table:
            scores = scorer[some]
        elif hasattr(scorer, "score_pairs"):
            pairs = torch.stack([some.repeat_interleave(n), torch.arange(n).repeat(len(some))])
            other = pairs[0] != pairs[1]  # a model need not know what to say of a node and itself
            scores = torch.zeros(len(some) * n, dtype=torch.float64)
            scores[other] = score_pairs(scorer, task.graph(split), pairs[:, other]).double()
            scores = scores.reshape(len(some), n)
        else:
            scores = scorer(some)
        if not isinstance(scores, Tensor) or tuple(scores.shape) != (len(some), n):
            shape = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise UserError(f"the scorer gives {shape} for {len(some)} nodes, expected [{len(some)}, {n}]")
        scores = scores.detach().to("cpu", torch.float64).clone()
        scores[torch.arange(len(some)), some] = 0.0
        if bool(torch.isnan(scores).any()):
            row, column = torch.isnan(scores).nonzero()[0].tolist()
            raise UserError(
                f"the score of the pair ({int(some[row])}, {column}) is NaN; check the model for divergence"
            )
        yield some, scores


def _entries(graph: SimpleGraph, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """(position in nodes, neighbour) of every neighbour."""
    count = graph.degree[nodes]
    row = torch.repeat_interleave(torch.arange(len(nodes)), count)
    offset = torch.arange(len(row)) - torch.repeat_interleave(count.cumsum(0) - count, count)
    return row, graph.col[graph.ptr[nodes][row] + offset].long()


def _measured(
    nodes: Tensor, scores: Tensor, wanted: SimpleGraph, hidden: SimpleGraph, ks: tuple[int, ...]
) -> dict[str, Tensor]:
    row, column = _entries(wanted, nodes)
    out = torch.zeros_like(scores, dtype=torch.bool)
    out[torch.arange(len(nodes)), nodes] = True
    out[_entries(hidden, nodes)] = True
    keep = ~out[row, column]  # a link that an earlier split has is not to be found again
    row, column = row[keep], column[keep]
    at = scores[row, column]
    ordered = scores.masked_fill(out, -torch.inf).sort(1).values
    above = _count_at(ordered, row, at, right=True)
    level = _count_at(ordered, row, at, right=False) - above
    level -= torch.where(at == -torch.inf, out.sum(1)[row], 0)  # those taken out stand among the lowest
    rank = 1.0 + above.double() + (level.double() - 1) / 2

    size = len(nodes)
    relevant = torch.bincount(row, minlength=size)
    best = torch.full((size,), torch.inf, dtype=torch.float64).scatter_reduce(0, row, rank, "amin")
    found: dict[str, Tensor] = {}
    for k in ks:
        inside = (rank <= k).double()
        hits = torch.zeros(size, dtype=torch.float64).index_add_(0, row, inside)
        gain = torch.zeros(size, dtype=torch.float64).index_add_(0, row, inside / torch.log2(rank + 1))
        found[f"recall@{k}"] = hits / relevant.clamp(min=1)
        found[f"precision@{k}"] = hits / k
        found[f"f1@{k}"] = 2 * hits / (relevant + k)
        found[f"hit@{k}"] = (hits > 0).double()
        found[f"ndcg@{k}"] = gain / _discounts(k)[relevant.clamp(max=k)].clamp(min=1e-300)
    found["mrr"] = 1 / best
    kept = relevant > 0
    result = {"nodes": nodes, "relevant": relevant, "candidates": (~out).sum(1), **found}
    return {name: value[kept] for name, value in result.items()}


def _count_at(ordered: Tensor, row: Tensor, at: Tensor, *, right: bool) -> Tensor:
    """How many of each row score more (right), or at least as much, as the values ``at`` that belong to rows."""
    n = ordered.shape[1]
    low, high = torch.zeros_like(row), torch.full_like(row, n)
    while bool((low < high).any()):
        middle = (low + high) // 2
        value = ordered[row, middle.clamp(max=n - 1)]
        below = (value <= at) if right else (value < at)
        open_ = low < high
        low, high = torch.where(open_ & below, middle + 1, low), torch.where(open_ & ~below, middle, high)
    return n - low


def _discounts(k: int) -> Tensor:
    """Sum of the first 0, 1, ..., k discounts 1 / log2(r + 1)."""
    each = 1 / torch.log2(torch.arange(2, k + 2, dtype=torch.float64))
    return torch.cat([each.new_zeros(1), each.cumsum(0)])


def _best(relevant: Tensor, ks: tuple[int, ...]) -> dict[str, Tensor]:
    m, one = relevant.double(), torch.ones(len(relevant), dtype=torch.float64)
    best = {"mrr": one}
    for k in ks:
        top = m.clamp(max=k)
        values = (top / m, top / k, 2 * top / (m + k), one, one)
        best.update({f"{metric}@{k}": value for metric, value in zip(METRICS, values, strict=True)})
    return best


def chance_level(relevant: Tensor, candidates: Tensor, ks: Sequence[int]) -> dict[str, Tensor]:
    r"""Expectations of the metrics under a random ranking of n candidates of which m are relevant.

    .. math:: E[R@K] = \tfrac{K}{n}, \quad E[P@K] = \tfrac{m}{n}, \quad E[F1@K] = \tfrac{2Km}{n(K + m)}, \quad
        E[Hit@K] = 1 - \binom{n - m}{K} \Big/ \binom{n}{K}, \quad
        E[NDCG@K] = \tfrac{m}{n} \frac{\sum_{r \le K} 1 / \log_2(r + 1)}{\sum_{r \le \min(m, K)} 1 / \log_2(r + 1)}

    and :math:`E[MRR] = \sum_r \frac1r \binom{n - r}{m - 1} / \binom{n}{m}`. Recall alone does not depend on m: metrics that do
    favour nodes of high degree, whatever the model. For K above n, n stands for K (for E[P@K] with the factor n / K).

    Args:
        relevant: m, int64 ``[n]``, at least 1.
        candidates: n, int64 ``[n]``, at least m.
        ks: cut-offs.

    Returns:
        float64 by metric, as in :class:`NodeLinkQuality`.

    Raises:
        UserError: for m below 1 or above n.

    Example:
        >>> {name: float(value) for name, value in chance_level(torch.tensor([1]), torch.tensor([4]), (2,)).items()}
        {'mrr': 0.52083..., 'recall@2': 0.5, 'precision@2': 0.25, 'f1@2': 0.333..., 'hit@2': 0.5, 'ndcg@2': 0.407...}
    """
    if bool(((relevant < 1) | (relevant > candidates)).any()):
        raise UserError("a node must have at least one relevant candidate, and no more relevant ones than candidates")
    m, n = relevant.double(), candidates.double()
    found = {"mrr": _expected_inverse_rank(relevant, candidates)}
    for k in _checked_ks(ks):
        top = n.clamp(max=k)
        hits = top * m / n
        miss = _log_choose(n - m, top) - _log_choose(n, top)
        gain = m / n * _discounts(k)[candidates.clamp(max=k)] / _discounts(k)[relevant.clamp(max=k)]
        values = (hits / m, hits / k, 2 * hits / (m + k), torch.where(n - m < top, 1.0, 1 - miss.exp()), gain)
        found.update({f"{metric}@{k}": value for metric, value in zip(METRICS, values, strict=True)})
    return found


def _log_choose(n: Tensor, k: Tensor) -> Tensor:
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma((n - k).clamp(min=0) + 1)


def _expected_inverse_rank(relevant: Tensor, candidates: Tensor) -> Tensor:
    """E[1 / best rank]; once for every different pair (m, n)."""
    cases, which = torch.unique(torch.stack([relevant, candidates]), dim=1, return_inverse=True)
    means = []
    for m, n in cases.t().tolist():
        rank = np.arange(1, n - m + 2, dtype=np.float64)
        chance = gammaln(n - rank + 1) - gammaln(n - rank - m + 2) - (gammaln(n + 1) - gammaln(n - m + 1)) + np.log(m)
        means.append(float((np.exp(chance) / rank).sum()))
    return torch.tensor(means, dtype=torch.float64)[which]


def resource_allocation(task: LinkTask) -> Callable[[Tensor], Tensor]:
    r"""A predictor that needs no training: :math:`\sum_{w \in N_u \cap N_v} 1 / d_w` over the train edges.

    Args:
        task: its train edges.

    Returns:
        a function of nodes ``[B]`` that gives scores ``[B, N]``, for :func:`node_link_quality`.

    Source:
        Zhou, Lue, Zhang, Predicting missing links via local information (European Physical Journal B 2009).

    Example:
        >>> task = LinkTask("toy", 4, torch.tensor([[0, 1], [1, 2]]), torch.tensor([[0], [2]]), torch.tensor([[2], [3]]))
        >>> resource_allocation(task)(torch.tensor([0])).tolist()
        [[0.5, 0.0, 0.5, 0.0]]
    """
    graph = SimpleGraph(task.train, num_nodes=task.num_nodes)
    share = 1 / graph.degree.clamp(min=1).double()

    def scores(nodes: Tensor) -> Tensor:
        row, column = _entries(graph, nodes)
        spread = torch.zeros(task.num_nodes, len(nodes), dtype=torch.float64)
        spread[column, row] = share[column]
        return neighbor_sum(graph, spread, num_nodes=task.num_nodes).t()

    return scores
