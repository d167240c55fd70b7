"""Hard negatives of each edge's own, by the recipe of HeaRT."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.data.heart_scores import feature_cosine, personalized_pagerank, resource_allocation, rounded
from graphkit.data.random_streams import EVALUATION, permutation
from graphkit.errors import UserError

__all__ = ["heart_negatives"]

_DENSE_ARRAYS = 12  # of a block of nodes, [block, N] of 8 bytes, alive at once


def heart_negatives(
    train: Tensor,
    valid: Tensor,
    test: Tensor,
    num_nodes: int,
    *,
    x: Tensor | None = None,
    num_negatives: int = 500,
    restart: float = 0.15,
    tolerance: float | None = None,
    seed: int = 42,
    memory: int = 2**29,
) -> tuple[Tensor, Tensor]:
    r"""Negatives of the valid and the test edges: the half of them keeps one node of the edge, the half the other.

    From a node u, all others are ranked by resource allocation, by personalised PageRank (both on the train edges) and,
    where there are features, by their cosine. A rank is 1 + the number of nodes that score more; a score of 0 has none. A
    node counts with the smallest of its ranks; nodes that share it, and those without any, follow in an order drawn for u
    with the seed. The negatives of (u, v) that keep u are the first of this list that are neither u nor v nor joined with
    u by a known edge: one of train for valid, of train or valid for test.

    Args:
        train: [2, a] int64, whose graph is ranked on.
        valid: [2, b] int64.
        test: [2, c] int64.
        num_nodes: N.
        x: [N, F] features, or None.
        num_negatives: negatives an edge, an even number; 500 in the paper.
        restart: restart probability of PageRank.
        tolerance: that of PageRank; None: 1e-7 up to 10,000 nodes, 1e-5 above.
        seed: what the order of equals depends on.
        memory: bytes to use for intermediate results, about.

    Returns:
        [2, b, num_negatives] and [2, c, num_negatives] int64: pairs (u, w), then pairs (w, v).

    Raises:
        UserError: for an odd number of negatives, or a node with fewer candidates than asked for.

    Source:
        Li et al.: Evaluating Graph Neural Networks for Link Prediction: Current Pitfalls and New Benchmarking (NeurIPS
        2023), section 4.1. The order of equals is this function's own.

    Example:
        >>> ring = torch.stack([torch.arange(12), (torch.arange(12) + 1) % 12])
        >>> negatives, _ = heart_negatives(ring[:, 1:], ring[:, :1], ring[:, :0], 12, num_negatives=4)
        >>> negatives.shape, bool((negatives[0, 0, :2] == 0).all()), bool((negatives[1, 0, 2:] == 1).all())
        (torch.Size([2, 1, 4]), True, True)
    """
    if isinstance(num_negatives, bool) or not isinstance(num_negatives, int) or num_negatives < 2 or num_negatives % 2:
        raise UserError(f"num_negatives is {num_negatives!r}, expected an even number: half of them keep each node")
    side = num_negatives // 2
    tolerance = tolerance if tolerance is not None else 1e-7 if num_nodes <= 10_000 else 1e-5
    adjacency = _adjacency(train, num_nodes)
    known = (adjacency, _adjacency(torch.cat([train, valid], 1), num_nodes))
    features = _features(x)
    made = tuple(np.empty((2, edges.size(1), side), dtype=np.int64) for edges in (valid, test))
    kept, partner, which, row = _questions(valid, test)
    nodes, first = np.unique(kept, return_index=True)
    last = np.append(first[1:], kept.size)
    block = max(1, int(memory // (8 * _DENSE_ARRAYS * max(num_nodes, 1))))
    for start in range(0, nodes.size, block):
        some = nodes[start : start + block]
        length = int(side + 2 + np.diff(known[1].indptr)[some].max())
        scores = [
            resource_allocation(adjacency, some),
            personalized_pagerank(adjacency, some, restart=restart, tolerance=tolerance),
            *([] if features is None else [feature_cosine(features, some)]),
        ]
        order = _order(scores, some, min(length, num_nodes), seed)
        for place, node in enumerate(some):
            lists = [_candidates(order[place], node, graph) for graph in known]
            for question in range(first[start + place], last[start + place]):
                split, end = divmod(int(which[question]), 2)
                candidates = lists[split][lists[split] != partner[question]][:side]
                if candidates.size < side:
                    raise UserError(
                        f"node {node} has only {candidates.size} candidates that are no known neighbours, "
                        f"but {side} negatives are to keep it; take a smaller num_negatives or a sparser graph"
                    )
                made[split][end, row[question]] = candidates
    return _pairs(valid, made[0]), _pairs(test, made[1])


def _adjacency(edges: Tensor, num_nodes: int) -> Any:
    """Both directions of every edge once, as a CSR matrix of ones with sorted columns."""
    from scipy.sparse import csr_matrix

    both = torch.cat([edges, edges.flip(0)], 1).numpy()
    matrix = csr_matrix((np.ones(both.shape[1]), (both[0], both[1])), shape=(num_nodes, num_nodes))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def _features(x: Tensor | None) -> Any:
    from scipy.sparse import csr_matrix

    return None if x is None or x.size(1) == 0 else csr_matrix(x.detach().cpu().to(torch.float64).numpy())


def _questions(valid: Tensor, test: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Per node to keep, in ascending order: the node, its partner, 2 split + end, and the row in the split."""
    columns = []
    for split, edges in enumerate((valid, test)):
        ends = edges.numpy()
        for end in (0, 1):
            count = ends.shape[1]
            columns.append(np.stack([ends[end], ends[1 - end], np.full(count, 2 * split + end), np.arange(count)]))
    joint = np.concatenate(columns, 1)
    kept, partner, which, row = joint[:, np.argsort(joint[0], kind="stable")]
    return kept, partner, which, row


def _order(scores: list[np.ndarray], nodes: np.ndarray, length: int, seed: int) -> np.ndarray:
    """The first ``length`` nodes of each row's list; the row's own node comes last of all."""
    size = scores[0].shape[1]
    own = (np.arange(nodes.size), nodes)
    best = np.full(scores[0].shape, size + 1, dtype=np.int64)
    for table in scores:
        table[own] = 0.0
        np.minimum(best, _ranks(rounded(table)), out=best)
    best[own] = size + 2
    drawn = [permutation(size, seed=seed, epoch=int(node), stream=EVALUATION).numpy() for node in nodes]
    keys = torch.from_numpy(best * size + np.stack(drawn))
    return torch.topk(keys, length, 1, largest=False, sorted=True).indices.numpy()


def _ranks(scores: np.ndarray) -> np.ndarray:
    """1 + the number of entries of the row that are larger; one more than there are entries where a score is not above 0."""
    table = torch.from_numpy(np.ascontiguousarray(scores))
    up_to = torch.searchsorted(torch.sort(table, 1).values, table, right=True)
    return torch.where(table > 0, table.size(1) - up_to + 1, table.size(1) + 1).numpy()


def _candidates(order: np.ndarray, node: int, known: Any) -> np.ndarray:
    neighbours = known.indices[known.indptr[node] : known.indptr[node + 1]]
    return order[~np.isin(order, neighbours) & (order != node)]


def _pairs(edges: Tensor, others: np.ndarray) -> Tensor:
    """[2, P, side] other nodes, of the pairs that keep the first and the second node of an edge -> [2, P, 2 side]."""
    first, second = torch.from_numpy(others)
    u, v = edges.unsqueeze(2)
    return torch.cat([torch.stack([u.expand_as(first), first]), torch.stack([second, v.expand_as(second)])], 2)
