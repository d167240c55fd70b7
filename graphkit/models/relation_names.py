"""Names of relations and of their inverses."""

from __future__ import annotations

from typing import Any

from graphkit.errors import UserError

__all__ = ["INVERSE", "relation_name", "relation_number"]

#: what the name of an inverse relation ends in
INVERSE = "^-1"


def relation_name(task: Any, number: int) -> str:
    """Name of relation ``number`` in [0, 2R); those of inverses end in ``^-1``.

    Example:
        >>> from graphkit.data import KnowledgeGraphTask
        >>> task = KnowledgeGraphTask.from_names("toy", [("a", "r", "b")], [], [])
        >>> relation_name(task, 0), relation_name(task, 1)
        ('r', 'r^-1')
    """
    base = len(task.relations)
    return task.relations[number] if number < base else task.relations[number - base] + INVERSE


def relation_number(task: Any, name_or_id: str | int) -> int:
    """Number in [0, 2R) of a relation given by id or name; a name that ends in ``^-1`` may mean an inverse.

    Raises:
        UserError: for an unknown name (the nearest one is suggested) or an id out of range.

    Example:
        >>> from graphkit.data import KnowledgeGraphTask
        >>> relation_number(KnowledgeGraphTask.from_names("toy", [("a", "r", "b")], [], []), "r^-1")
        1
    """
    if isinstance(name_or_id, str) and name_or_id.endswith(INVERSE):
        try:
            return task.relation_id(name_or_id)  # a data set may have such a name of its own
        except UserError:
            return task.relation_id(name_or_id.removesuffix(INVERSE)) + len(task.relations)
    return task.relation_id(name_or_id)
