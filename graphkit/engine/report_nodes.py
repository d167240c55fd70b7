"""What a report says of the protocol of a task on labels, of nodes or of graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphkit.engine.run_record import RunRecord

__all__ = ["is_node_run", "node_protocol_entries"]


def is_node_run(run: RunRecord) -> bool:
    """Whether a run is about labels or values, of nodes or of graphs.

    Example:
        >>> is_node_run(read_run("runs/nodes/gcn-texas"))      # doctest: +SKIP
        True
    """
    return bool({"macro_f1", "mae"} & set(run.results[0]["metrics"]))


def node_protocol_entries(run: RunRecord) -> list[tuple[str, Any]]:
    """Lines of the section Protocol on split, direction and features, as far as the run has recorded them.

    Example:
        >>> node_protocol_entries(read_run("runs/nodes/gcn-texas"))[0]      # doctest: +SKIP
        ('Split', 'geom-gcn')
    """
    recorded = _part(run.environment, "data")
    split, direction = _part(recorded, "split"), _part(recorded, "direction")
    folds = split.get("folds")
    used = f"{len(run.folds)} of {folds} used, each with every seed" if run.folds and folds else None
    meaning = None
    if direction:
        meaning = (
            f"{'directed' if direction.get('directed') else 'undirected'}: {direction.get('why') or 'nothing is known'}"
        )
    drawn = f", drawn with seed {split.get('seed', 0)}" if str(split.get("name", ""))[:1].isdigit() else ""
    features = {
        "own": "as the data set has them", "rows": "each row divided by its sum", "ids": "the identity matrix",
        "degrees": "ln(1 + degree), in and out", "attributes": "what is known of nodes, then their labels",
        "standardized": "quantities at mean 0 and standard deviation 1",
    }  # fmt: skip
    return [
        ("Split", f"{split['name']}{drawn}" if "name" in split else None),
        ("Folds", used),
        ("Direction of edges", meaning),
        ("Features", features.get(str(recorded.get("features")))),
        ("Encodings", ", ".join(recorded.get("encodings") or ()) or None),
        ("Test", "read once for each training, after the epoch is chosen"),
    ]


def _part(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = record.get(key)
    return part if isinstance(part, Mapping) else {}
