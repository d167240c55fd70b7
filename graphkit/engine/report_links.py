"""What a report says of the protocol of a link task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphkit.engine.run_record import RunRecord
from graphkit.engine.table_formats import metric_name

__all__ = ["is_link_run", "link_protocol_entries"]


def is_link_run(run: RunRecord) -> bool:
    """Whether a run is about edges, and not about facts: its results then tell edges from negatives.

    Example:
        >>> is_link_run(read_run("runs/nbfnet/cora"))      # doctest: +SKIP
        True
    """
    first = run.results[0]
    return isinstance(first.get("ties"), Mapping) or "auc" in first["metrics"]


def link_protocol_entries(run: RunRecord) -> list[tuple[str, Any]]:
    """Lines of the section Protocol on split, negatives, ties and messages, as far as the run has recorded them.

    Example:
        >>> link_protocol_entries(read_run("runs/nbfnet/cora"))[1][0]      # doctest: +SKIP
        'Split'
    """
    recorded, data = _part(run.environment, "data"), _part(run.config, "data")
    protocol = _part(recorded, "protocol")
    entries = [
        ("Protocol", f"{protocol['name']}: {protocol['about']}" if "name" in protocol else None),
        ("Split", _split(_part(recorded, "split"), data)),
    ]
    for split, what in _part(protocol, "negatives").items():
        entries.append((f"Negatives of {split}", what))
    for metric, rule in (run.results[0].get("ties") or {}).items():
        entries.append((f"Ties, {metric_name(metric)}", rule))
    if protocol.get("use_valedges"):
        entries.append(("Messages at test", "train and valid edges (use_valedges)"))
    if protocol.get("repeats"):
        entries.append(("Repeated edges", "positives as often as they occur, one edge of the message graph"))
    return entries


def _split(drawn: Mapping[str, Any], data: Mapping[str, Any]) -> str | None:
    shares = drawn.get("shares") or data.get("split")
    if not shares:
        return drawn.get("kind")
    seed = data.get("split_seed", drawn.get("seed", 0))
    return f"{shares} of the edges at random, " + (
        "anew with the seed of each run" if seed == "seed" else f"seed {seed}"
    )


def _part(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = record.get(key)
    return part if isinstance(part, Mapping) else {}
