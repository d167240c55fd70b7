"""Splits of triples into train, valid and test."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphkit.data.fact_index import triple_keys
from graphkit.data.random_streams import permutation
from graphkit.errors import UserError

__all__ = ["HeldOut", "check_shares", "hold_out"]

_PASS = -1  # no training pass has this number, so a split shares no random word with the shuffles of a training


class HeldOut(NamedTuple):
    """A split: 0 for train, 1 for valid, 2 for test per triple [n] int8, and how many were to be held out.

    Example:
        >>> HeldOut(torch.zeros(3, dtype=torch.int8), 1, 1).wanted_test
        1
    """

    split: Tensor
    wanted_valid: int
    wanted_test: int

    def count(self, split: int) -> int:
        """Triples of a split."""
        return int((self.split == split).sum())


def hold_out(
    triples: Tensor,
    num_entities: int,
    num_relations: int,
    *,
    seed: int,
    valid: float,
    test: float,
    together: Literal["mirror", "pair"] = "mirror",
) -> HeldOut:
    r"""Hold out triples at random, so that every entity and every relation keeps a triple in train.

    Triples that give each other away stay on one side: (h, r, t) and its mirror (t, r, h), or all triples between two
    entities. Groups are visited in random order; one is held out when each of its entities and relations still has a
    train triple without it, until :math:`round(n\,valid) + round(n\,test)` triples are. Where too few qualify, the
    held-out ones are shared in the proportion asked for. The split depends on the set of triples and the seed, not on
    their order in a file, as long as ids follow names.

    Args:
        triples: [n, 3] int64, distinct.
        num_entities: N.
        num_relations: R.
        seed: seed of the random order.
        valid: share of valid, above 0.
        test: share of test, above 0; both together below 1.
        together: ``"mirror"`` or ``"pair"``.

    Raises:
        UserError: for shares out of range, or when nothing is left for a split.

    Example:
        >>> triples = torch.tensor([[0, 0, 1], [1, 0, 2], [2, 0, 0], [0, 1, 1], [1, 1, 2], [2, 1, 0]])
        >>> hold_out(triples, 3, 2, seed=0, valid=0.2, test=0.2).split.sort().values.tolist()
        [0, 0, 0, 0, 1, 2]
    """
    check_shares(valid, test)
    n = triples.size(0)
    wanted_valid, wanted_test = round(n * valid), round(n * test)
    members, begin = _groups(triples, num_entities, num_relations, together)
    left_entity, left_relation = _uses(triples, num_entities, num_relations)
    rows = triples.tolist()
    taken: list[list[int]] = []
    room = wanted_valid + wanted_test
    for group in permutation(len(begin) - 1, seed=seed, epoch=_PASS).tolist():
        if room == 0:
            break
        chosen = members[begin[group] : begin[group + 1]]
        if len(chosen) > room:
            continue
        for row in chosen:
            head, relation, tail = rows[row]
            left_entity[head] -= 1
            left_entity[tail] -= 1
            left_relation[relation] -= 1
        if all(left_entity[rows[i][0]] and left_relation[rows[i][1]] and left_entity[rows[i][2]] for i in chosen):
            taken.append(chosen)
            room -= len(chosen)
            continue
        for row in chosen:
            head, relation, tail = rows[row]
            left_entity[head] += 1
            left_entity[tail] += 1
            left_relation[relation] += 1
    held = wanted_valid + wanted_test - room
    split = _dealt(taken, n, held * wanted_test // max(wanted_valid + wanted_test, 1))
    result = HeldOut(split, wanted_valid, wanted_test)
    if not (result.count(1) and result.count(2)):
        raise UserError(
            f"{n:,} triples are too few for a split of {valid:g} valid and {test:g} test: {held:,} can be held out so "
            "that every entity and relation keeps a triple in train; give more triples, larger shares, or splits of "
            "your own"
        )
    return result


def check_shares(valid: float, test: float) -> None:
    """Refuse shares of valid and test out of range.

    Raises:
        UserError: naming the share.
    """
    for name, share in (("valid", valid), ("test", test)):
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
            raise UserError(f"{name} is {share!r}, expected a share of the triples above 0 and below 1, such as 0.1")
    if valid + test >= 1:
        raise UserError(f"valid={valid:g} and test={test:g} leave nothing for train; together they must be below 1")


def _groups(triples: Tensor, num_entities: int, num_relations: int, together: str) -> tuple[list[int], list[int]]:
    """Rows of each group one after the other, and where each group begins (with the end of the last)."""
    head, relation, tail = triples.t()
    kind = torch.zeros_like(relation) if together == "pair" else relation
    keys = triple_keys(torch.minimum(head, tail), kind, torch.maximum(head, tail), num_entities, num_relations).numpy()
    order = np.argsort(keys, kind="stable")
    begin = np.flatnonzero(np.diff(keys[order], prepend=-1))
    return order.tolist(), [*begin.tolist(), len(order)]


def _uses(triples: Tensor, num_entities: int, num_relations: int) -> tuple[list[int], list[int]]:
    """How often each entity and each relation occurs."""
    ends = torch.cat([triples[:, 0], triples[:, 2]])
    entities = torch.bincount(ends, minlength=num_entities)
    return entities.tolist(), torch.bincount(triples[:, 1], minlength=num_relations).tolist()


def _dealt(groups: list[list[int]], n: int, test: int) -> Tensor:
    """Groups dealt to test as long as they fit in, the others to valid."""
    split = torch.zeros(n, dtype=torch.int8)
    for chosen in groups:
        fits = len(chosen) <= test
        split[chosen] = 2 if fits else 1
        test -= len(chosen) if fits else 0
    return split
