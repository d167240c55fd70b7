"""Splits of triples: parts held out at random, and entities parted into two graphs."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphkit.data.fact_index import triple_keys
from graphkit.data.random_streams import SPLIT, permutation
from graphkit.errors import UserError

__all__ = ["HeldOut", "check_shares", "entity_region", "hold_out"]


class HeldOut(NamedTuple):
    """Part of each triple, [n] int8: 0 stays, 1 is the first part held out, ...; and how many a part was to have.

    Example:
        >>> HeldOut(torch.tensor([0, 1, 0], dtype=torch.int8), [1]).counts
        [1]
    """

    part: Tensor
    wanted: list[int]

    @property
    def counts(self) -> list[int]:
        """Triples of each part held out.

        Example:
            >>> HeldOut(torch.tensor([0, 2, 1], dtype=torch.int8), [1, 1]).counts
            [1, 1]
        """
        return [int((self.part == number).sum()) for number in range(1, len(self.wanted) + 1)]


def hold_out(
    triples: Tensor,
    num_entities: int,
    num_relations: int,
    shares: Sequence[float],
    *,
    seed: int,
    together: Literal["mirror", "pair"] = "mirror",
) -> HeldOut:
    r"""Hold out triples at random, so that every entity and every relation keeps one of its triples.

    Triples that give each other away stay in one part: (h, r, t) and its mirror (t, r, h), or all triples between two
    entities. Groups are visited in random order; one is held out when each of its entities and relations still has a
    triple without it, until :math:`\sum_i round(n\,share_i)` triples are. Where too few qualify, they are dealt out in
    the proportion asked for. The result depends on the set of triples and the seed, not on their order in a file, as
    long as ids follow names.

    Args:
        triples: [n, 3] int64, distinct, sorted.
        num_entities: N.
        num_relations: R.
        shares: share of each part, above 0; together below 1.
        seed: seed of the random order.
        together: ``"mirror"`` or ``"pair"``.

    Raises:
        UserError: when nothing is left for a part.

    Example:
        >>> triples = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 0, 2], [1, 1, 2], [2, 0, 0], [2, 1, 0]])
        >>> hold_out(triples, 3, 2, [0.2, 0.2], seed=0).part.sort().values.tolist()
        [0, 0, 0, 0, 1, 2]
    """
    n = triples.size(0)
    wanted = [round(n * share) for share in shares]
    members, begin = _groups(triples, num_entities, num_relations, together)
    left_entity, left_relation = _uses(triples, num_entities, num_relations)
    rows = triples.tolist()
    taken: list[list[int]] = []
    room = sum(wanted)

    def count(chosen: list[int], change: int) -> None:
        for row in chosen:
            head, relation, tail = rows[row]
            left_entity[head] += change
            left_entity[tail] += change
            left_relation[relation] += change

    for group in permutation(len(begin) - 1, seed=seed, epoch=0, stream=SPLIT).tolist():
        if room == 0:
            break
        chosen = members[begin[group] : begin[group + 1]]
        if len(chosen) > room:
            continue
        count(chosen, -1)
        if all(left_entity[rows[i][0]] and left_relation[rows[i][1]] and left_entity[rows[i][2]] for i in chosen):
            taken.append(chosen)
            room -= len(chosen)
        else:
            count(chosen, +1)
    held = sum(wanted) - room
    result = HeldOut(_dealt(taken, n, [held * one // max(sum(wanted), 1) for one in wanted]), wanted)
    if 0 in result.counts:
        raise UserError(
            f"{n:,} triples are too few to hold out {' and '.join(f'{share:.0%}' for share in shares)}: of {held:,} every "
            "entity and relation keeps another triple; give more triples, larger shares, or a split of your own"
        )
    return result


def check_shares(**shares: float) -> None:
    """Refuse shares out of range.

    Raises:
        UserError: naming the share.
    """
    for name, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
            raise UserError(f"{name} is {share!r}, expected a share above 0 and below 1, such as 0.1")


def entity_region(triples: Tensor, num_entities: int, share: float, *, seed: int) -> Tensor:
    """A share of the entities that hang together, so that few triples lead out of them; [N] bool.

    The region grows from a random entity: next comes the entity with the largest part of its triples already inside,
    at random among equals; a new random entity where nothing is in reach. O(E log E).

    Args:
        triples: [n, 3] int64, distinct, sorted.
        num_entities: N.
        share: share of the entities, above 0 and below 1.
        seed: seed of the random order.

    Example:
        >>> two_pairs = torch.tensor([[0, 0, 1], [2, 0, 3]])
        >>> region = entity_region(two_pairs, 4, 0.5, seed=0).tolist()
        >>> region[0] == region[1] and region[2] == region[3]
        True
    """
    head, _, tail = triples[triples[:, 0] != triples[:, 2]].t()
    source, target = torch.cat([head, tail]), torch.cat([tail, head])
    order = torch.argsort(source, stable=True)
    neighbours = target[order].tolist()
    degree = torch.bincount(source, minlength=num_entities)
    begin = [0, *torch.cumsum(degree, 0).tolist()]
    random = permutation(num_entities, seed=seed, epoch=0, stream=SPLIT).tolist()
    place = {entity: i for i, entity in enumerate(random)}
    inside = [0] * num_entities
    region = torch.zeros(num_entities, dtype=torch.bool)
    wanted, grown, fresh = round(num_entities * share), 0, iter(random)
    reach: list[tuple[float, int, int]] = []
    while grown < wanted:
        # an entity may stand in the heap with older, lower parts too; the best one comes out first
        entity = heapq.heappop(reach)[2] if reach else next(fresh)
        if region[entity]:
            continue
        region[entity] = True
        grown += 1
        for other in neighbours[begin[entity] : begin[entity + 1]]:
            if not region[other]:
                inside[other] += 1
                heapq.heappush(reach, (-inside[other] / (begin[other + 1] - begin[other]), place[other], other))
    return region


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


def _dealt(groups: list[list[int]], n: int, sizes: list[int]) -> Tensor:
    """Groups dealt to the last part as long as they fit in, then to the one before, ...; the first takes the rest."""
    part = torch.zeros(n, dtype=torch.int8)
    room = list(sizes)
    for chosen in groups:
        number = next((i for i in range(len(room) - 1, 0, -1) if len(chosen) <= room[i]), 0)
        part[chosen] = number + 1
        room[number] -= len(chosen)
    return part
