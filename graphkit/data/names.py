"""Names and ids of entities and relations."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest

__all__ = ["identify", "numbered", "sorted_names", "triple_ids"]


def numbered(names: list[str], what: str, task: str) -> dict[str, int]:
    """Position of each name.

    Raises:
        UserError: for a name that occurs twice.

    Example:
        >>> numbered(["a", "b"], "entity", "toy")
        {'a': 0, 'b': 1}
    """
    ids = {name: i for i, name in enumerate(names)}
    if len(ids) != len(names):
        twice = next(name for i, name in enumerate(names) if ids[name] != i)
        raise UserError(f"the {what} name {twice!r} occurs twice in {task}; names must be unique")
    return ids


def identify(name_or_id: str | int, ids: dict[str, int], what: str) -> int:
    """Id for a name or an id. A string is always a name, even one of digits.

    Raises:
        UserError: for an unknown name (the nearest one is suggested), an id out of range, or neither.

    Example:
        >>> identify("b", {"a": 0, "b": 1}, "entity")
        1
    """
    if isinstance(name_or_id, str):
        if name_or_id not in ids:
            raise UserError(nearest(name_or_id, ids, what))
        return ids[name_or_id]
    try:
        number = operator.index(name_or_id)
    except TypeError:
        raise UserError(f"{name_or_id!r} is no {what}; give its name or its id") from None
    if not 0 <= number < len(ids):
        raise UserError(f"{what} id {number} is out of range; ids are 0 .. {len(ids) - 1}")
    return number


def sorted_names(splits: Iterable[Iterable[Sequence[str]]]) -> tuple[list[str], list[str]]:
    """The entities and the relations of triples of names, each sorted by code point.

    Example:
        >>> sorted_names([[("b", "r", "a")], [("c", "q", "a")]])
        (['a', 'b', 'c'], ['q', 'r'])
    """
    entities: set[str] = set()
    relations: set[str] = set()
    for rows in splits:
        for head, relation, tail in rows:
            entities.update((head, tail))
            relations.add(relation)
    return sorted(entities), sorted(relations)


def triple_ids(rows: Iterable[Sequence[str]], entities: Sequence[str], relations: Sequence[str]) -> Tensor:
    """Ids [n, 3] int64 of triples of names.

    Raises:
        KeyError: for a name that is not listed.

    Example:
        >>> triple_ids([("b", "r", "a")], ["a", "b"], ["r"]).tolist()
        [[1, 0, 0]]
    """
    entity_id = {entity: i for i, entity in enumerate(entities)}
    relation_id = {relation: i for i, relation in enumerate(relations)}
    ids = [(entity_id[head], relation_id[relation], entity_id[tail]) for head, relation, tail in rows]
    return torch.tensor(ids, dtype=torch.int64).reshape(-1, 3)
