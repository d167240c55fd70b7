"""Features of named nodes."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit.data.edge_text import text_table
from graphkit.errors import DataWarning, UserError

__all__ = ["feature_tensor", "text_features"]


def text_features(data: bytes, path: str | os.PathLike[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Features by node from a text file: the name of a node, then its numbers; the first line may name the columns.

    Raises:
        UserError: for a file without numbers, or a node twice.
    """
    _, rows = text_table(data, path, columns={}, header=False)
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for number, row in rows:
        if len(row) < 2:
            raise UserError(f"{path}, line {number}: expected the name of a node and its features")
        if not names:
            header = not all(map(_is_number, row[1:]))
            names = row[1:] if header else [f"feature {i}" for i in range(len(row) - 1)]
            if header:
                continue
        if row[0] in found:
            raise UserError(f"{path}, line {number}: the node {row[0]!r} has features already")
        found[row[0]] = row[1:]
    if not found:
        raise UserError(f"{path} holds no features; expected one node a line: its name, then numbers")
    return found, names


def feature_tensor(values: Mapping[str, Sequence[Any]], entities: Sequence[str], where: str) -> Tensor:
    """Features [N, F] float32 in the order of the entities.

    Raises:
        UserError: for an entity without features, or a value that is no finite number.

    Example:
        >>> feature_tensor({"b": [2], "a": ["1.5"]}, ["a", "b"], "x").tolist()
        [[1.5], [2.0]]
    """
    lacking = [entity for entity in entities if entity not in values]
    if lacking:
        raise UserError(f"{where}: {len(lacking):,} entities have no features, such as {lacking[0]!r}; give each a row")
    strangers = len(values) - len(entities)
    if strangers:
        known = set(entities)
        example = next(name for name in values if name not in known)
        warnings.warn(
            f"{where}: features of {strangers:,} nodes that no edge names, such as {example!r}, are left out",
            DataWarning,
            stacklevel=2,
        )
    rows = []
    for entity in entities:
        bad = next((value for value in values[entity] if not _is_number(value)), None)
        if bad is not None:
            raise UserError(f"{where}: {entity!r} has the feature {bad!r}, expected a finite number")
        rows.append([float(value) for value in values[entity]])
    return torch.tensor(rows, dtype=torch.float32)


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
