"""Tables of a run's environment, whatever ``environment.json`` holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphkit.engine.report_blocks import Block, Table

__all__ = ["environment_blocks"]

_BYTES = frozenset({"ram", "gpus"})  # entries that hold sizes of memory where they are whole numbers


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
    if "backends" in parts and _all_text(parts["backends"]):
        parts["backends"] = _by_value(parts["backends"])
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
            yield name, ", ".join(_shown(key, one) for one in value) or "none"
        elif value is not None:
            yield name, _shown(key, value)


def _shown(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key in _BYTES and isinstance(value, int):
        return f"{value / 2**30:.1f} GiB"
    return str(value)


def _all_text(values: Mapping[str, Any]) -> bool:
    return all(isinstance(value, str) for value in values.values())


def _by_value(values: Mapping[str, str]) -> dict[str, list[str]]:
    """The names that share a value, by that value: forty operators mostly have one backend."""
    names: dict[str, list[str]] = {}
    for name, value in values.items():
        names.setdefault(value, []).append(name)
    return names


def _words(key: str) -> str:
    words = str(key).replace("_", " ")
    if words in ("cpu", "gpu", "cuda"):
        return words.upper()
    return words[:1].upper() + words[1:]
