"""Labels of a user's own nodes: by name, or in a text file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit.data.triples import file_bytes, text_lines
from graphkit.errors import UserError, nearest

__all__ = ["class_labels", "text_labels"]


def text_labels(path: str | os.PathLike[str]) -> dict[str, str]:
    """Labels of a file with a line "node, class" each: separated by a tab, a comma or blanks; ``#`` begins a comment.

    Raises:
        UserError: naming file and line.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text_lines(file_bytes(path), str(path)), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        separator = next((mark for mark in ("\t", ",") if mark in line), None)
        parts = [part.strip() for part in line.split(separator)]
        if len(parts) != 2 or not all(parts):
            raise UserError(f"{path}, line {number}: expected a node and its class, but got {line!r}")
        if found.setdefault(parts[0], parts[1]) != parts[1]:
            raise UserError(f"{path}, line {number}: {parts[0]!r} has the class {found[parts[0]]!r} further up; give it one")
    return found


def class_labels(labels: Mapping[str, Any], entities: Sequence[str], name: str) -> tuple[Tensor, list[str]]:
    """Classes [N] int64 of the entities, -1 where unknown, and the sorted names of the classes.

    Raises:
        UserError: for a label of an entity that is none, of another type, or no label at all.

    Example:
        >>> class_labels({"a": "red", "c": "blue"}, ["a", "b", "c"], "toy")
        (tensor([ 1, -1,  0]), ['blue', 'red'])
    """
    if not labels:
        raise UserError(f"{name}: there are no labels; give the class of some entities by name")
    ids = {entity: number for number, entity in enumerate(entities)}
    for entity, label in labels.items():
        if entity not in ids:
            raise UserError(f"{name}: a label is given for {nearest(str(entity), ids, 'entity')}")
        if isinstance(label, bool) or not isinstance(label, (str, int)):
            raise UserError(f"{name}: the label of {entity!r} is {label!r}, expected a text or a whole number")
    numbers = all(isinstance(label, int) for label in labels.values())
    classes: list[Any] = sorted(set(labels.values())) if numbers else sorted({str(label) for label in labels.values()})
    place = {label: number for number, label in enumerate(classes)}
    y = torch.full((len(entities),), -1)
    for entity, label in labels.items():
        y[ids[entity]] = place[label if numbers else str(label)]
    return y, [str(label) for label in classes]
