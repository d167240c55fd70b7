"""Tables of a run's environment, whatever ``environment.json`` holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphkit.engine.report_blocks import Block, Table

__all__ = ["environment_blocks"]


def environment_blocks(environment: Mapping[str, Any], results: Sequence[Mapping[str, Any]] = ()) -> list[Block]:
    """One table per part of the environment (versions, hardware, data hashes, backends); loose values come first.

    Without an environment, the versions, device and threads that the results name are shown.

    Example:
        >>> [table.caption for table in environment_blocks({"threads": 2, "versions": {"torch": "2.13.0"}})]
        ['', 'Versions']
    """
    merged = dict(environment)
    if not merged:
        recorded = ("versions", "device", "threads")
        merged = {key: line[key] for line in results for key in recorded if line.get(key) is not None}
    loose = {key: value for key, value in merged.items() if not isinstance(value, Mapping)}
    parts = {key: value for key, value in merged.items() if isinstance(value, Mapping) and value}
    tables = [("", loose), *((_words(key), value) for key, value in parts.items())]
    return [
        Table(["", ""], [[name, value] for name, value in _flat(values)], caption=caption)
        for caption, values in tables
        if values
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}: ")
        elif isinstance(value, (list, tuple)):
            yield name, ", ".join(map(str, value)) or "none"
        elif value is not None:
            yield name, {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _words(key: str) -> str:
    words = str(key).replace("_", " ")
    if words in ("cpu", "gpu", "cuda"):
        return words.upper()
    return words[:1].upper() + words[1:]
