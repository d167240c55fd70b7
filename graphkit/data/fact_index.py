"""Which entities complete a query: sorted lists of the known answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.errors import UserError

__all__ = ["FactIndex", "triple_keys"]


def triple_keys(head: Tensor, relation: Tensor, tail: Tensor, num_entities: int, num_relations: int) -> Tensor:
    """One int64 per triple, ordered as (head, relation, tail): (head * num_relations + relation) * N + tail.

    Raises:
        UserError: when N * num_relations * N does not fit in 63 bits.

    Example:
        >>> triple_keys(torch.tensor([1]), torch.tensor([0]), torch.tensor([2]), 3, 2)
        tensor([8])
    """
    if num_entities * num_entities * num_relations >= 2**63:
        raise UserError(
            f"{num_entities} entities with {num_relations} relations are too many to number all triples in 63 bits"
        )
    return (head * num_relations + relation) * num_entities + tail


@dataclass(frozen=True, eq=False)
class FactIndex:
    """For every query (head, relation) among the facts, the sorted list of its answers, in CSR form.

    Relations run over [0, 2R): (t, r + R) lists the heads of (?, r, t).

    Args:
        num_entities: N.
        num_relations: 2R, inverses counted.
        query: [Q] int64, sorted, head * 2R + relation.
        ptr: [Q + 1] int64, where the answers of a query begin.
        key: [M] int64, sorted, the facts and their inverses as numbered by :func:`triple_keys`.
        entity: [M] int64, answers, sorted in each query, without duplicates.
        gap_key: [M] int64, sorted; for answer j of query q: q * (N + 1) + (number of non-answers below the answer).

    Example:
        >>> index = FactIndex.build(torch.tensor([[0, 0, 1], [0, 0, 2]]), num_entities=3, num_base_relations=1)
        >>> begin, count = index.find(torch.tensor([0]), torch.tensor([0]))
        >>> index.entity[int(begin) : int(begin + count)].tolist()
        [1, 2]
    """

    num_entities: int
    num_relations: int
    query: Tensor
    ptr: Tensor
    key: Tensor
    entity: Tensor
    gap_key: Tensor

    @classmethod
    def build(cls, facts: Tensor, num_entities: int, num_base_relations: int) -> FactIndex:
        """Index of facts [n, 3] and their inverses; duplicates count once. O(n log n).

        Raises:
            UserError: when the triples cannot be numbered in 63 bits.
        """
        head, relation, tail = facts.cpu().t()
        keys = triple_keys(
            torch.cat([head, tail]),
            torch.cat([relation, relation + num_base_relations]),
            torch.cat([tail, head]),
            num_entities,
            2 * num_base_relations,
        ).numpy()
        keys = np.unique(keys)
        row_key, entity = np.divmod(keys, max(num_entities, 1))
        starts = np.flatnonzero(np.diff(row_key, prepend=-1))
        ptr = np.append(starts, len(keys))
        count = np.diff(ptr)
        row = np.repeat(np.arange(len(starts)), count)
        gap = entity - (np.arange(len(keys)) - np.repeat(starts, count))
        return cls(
            num_entities,
            2 * num_base_relations,
            torch.from_numpy(row_key[starts]),
            torch.from_numpy(ptr.astype(np.int64)),
            torch.from_numpy(keys),
            torch.from_numpy(entity),
            torch.from_numpy(row * (num_entities + 1) + gap),
        )

    def to(self, device: Any) -> FactIndex:
        """The index on a device."""
        tensors = (x.to(device) for x in (self.query, self.ptr, self.key, self.entity, self.gap_key))
        return FactIndex(self.num_entities, self.num_relations, *tensors)

    def _row(self, head: Tensor, relation: Tensor) -> tuple[Tensor, Tensor]:
        """Row of each query and whether there is one; row 0 stands in where there is none."""
        if self.query.numel() == 0:
            return torch.zeros_like(head), torch.zeros_like(head, dtype=torch.bool)
        key = head * self.num_relations + relation
        row = torch.searchsorted(self.query, key).clamp_(max=self.query.numel() - 1)
        found = self.query[row] == key
        return torch.where(found, row, 0), found

    def find(self, head: Tensor, relation: Tensor) -> tuple[Tensor, Tensor]:
        """Where the answers of each query [Q] begin in ``entity``, and how many there are; both [Q] int64."""
        row, found = self._row(head, relation)
        if self.query.numel() == 0:
            return row, torch.zeros_like(row)
        begin = self.ptr[row]
        return begin, torch.where(found, self.ptr[row + 1] - begin, 0)

    def answers(self, head: Tensor, relation: Tensor) -> tuple[Tensor, Tensor]:
        """All answers of the queries [Q]: (which query [M], entity [M]), both int64."""
        begin, count = self.find(head, relation)
        which = torch.repeat_interleave(torch.arange(head.numel(), device=head.device), count)
        before = torch.cumsum(count, 0) - count
        position = torch.arange(which.numel(), device=head.device) + (begin - before)[which]
        return which, self.entity[position]

    def contains(self, head: Tensor, relation: Tensor, tail: Tensor) -> Tensor:
        """Whether each triple [P] is a fact; bool [P]."""
        if self.key.numel() == 0:
            return torch.zeros_like(head, dtype=torch.bool)
        key = triple_keys(head, relation, tail, self.num_entities, self.num_relations)
        position = torch.searchsorted(self.key, key).clamp_(max=self.key.numel() - 1)
        return self.key[position] == key

    def nth_other(self, head: Tensor, relation: Tensor, n: Tensor) -> Tensor:
        """The n-th entity, from 0, that does not answer the query.

        With answers e_0 < e_1 < ..., e_j has e_j - j non-answers below it; so the n-th non-answer is n plus the number
        of j with e_j - j <= n. One binary search over all queries at once.

        Args:
            head: [Q] int64.
            relation: [Q] int64 in [0, 2R).
            n: [Q, k] int64, below the number of non-answers of the query.

        Returns:
            [Q, k] int64.
        """
        row, found = self._row(head, relation)
        if self.query.numel() == 0:
            return n
        key = (row * (self.num_entities + 1)).unsqueeze(1) + n
        passed = torch.searchsorted(self.gap_key, key, right=True) - self.ptr[row].unsqueeze(1)
        return n + torch.where(found.unsqueeze(1), passed, 0)

    def others_between(self, head: Tensor, relation: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The entities in [low, high) that do not answer the query, as places for :meth:`nth_other`.

        Args:
            head: [Q] int64.
            relation: [Q] int64 in [0, 2R).
            low: [Q] int64, first entity.
            high: [Q] int64, one past the last entity.

        Returns:
            (which non-answer of the query is the first of them [Q], how many there are [Q]), both int64.

        Example:
            >>> index = FactIndex.build(torch.tensor([[0, 0, 1], [0, 0, 3]]), num_entities=6, num_base_relations=1)
            >>> zero = torch.tensor([0])
            >>> index.others_between(zero, zero, torch.tensor([2]), torch.tensor([5]))
            (tensor([1]), tensor([2]))
        """
        start, first, last = (
            torch.searchsorted(self.key, triple_keys(head, relation, entity, self.num_entities, self.num_relations))
            for entity in (torch.zeros_like(low), low, high)
        )
        return low - (first - start), (high - low) - (last - first)
