"""What is written down of a link task: what an evaluation rests on, and hashes that tell two tasks apart."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from graphkit.data.leaks import SPLITS
from graphkit.errors import UserError
from graphkit.metrics import check_link_metrics

if TYPE_CHECKING:
    from graphkit.data.link_task import LinkTask

__all__ = ["check_task_metrics", "fingerprint", "protocol_record"]


def protocol_record(task: LinkTask) -> dict[str, Any]:
    """Metrics, tie rules, negatives and message graph of an evaluation, as plain values.

    Example:
        >>> import torch
        >>> from graphkit.data import LinkTask
        >>> task = LinkTask("toy", 4, torch.tensor([[0], [1]]), torch.tensor([[2], [3]]), torch.tensor([[1], [2]]))
        >>> protocol_record(task)["negatives"]["test"]
        '1 per edge, drawn with seed 0, pooled'
    """
    negatives = {}
    for split in ("valid", "test"):
        given = task.given_negatives(split)
        if given is None:
            negatives[split] = f"{task.num_negatives} per edge, drawn with seed {task.negative_seed}, pooled"
        elif task.is_personal(split):
            negatives[split] = f"{given.size(2):,} of each edge's own, fixed"
        else:
            negatives[split] = f"{given.size(1):,} in one pool, fixed"
    loops = {split: links.size(1) for split, links in task.self_links.items()}
    return {
        "metrics": list(task.metrics), "ties": task.ties, "negatives": negatives,
        "negatives_avoid": task.negatives_avoid, "use_valedges": task.use_valedges, "repeats": task.repeats,
        **({"self_links": loops} if loops else {}),
    }  # fmt: skip


def check_task_metrics(task: LinkTask) -> None:
    """Refuse metrics that the negatives of valid or test do not define.

    Raises:
        UserError: naming the task, the split and the metric.
    """
    check_link_metrics(task.metrics)
    for split in ("valid", "test"):
        edges = task.edges(split).size(1)
        if edges:
            given = task.given_negatives(split)
            count = edges * task.num_negatives if given is None else given.size(-1)
            try:
                check_link_metrics(task.metrics, personal=task.is_personal(split), negatives=count)
            except UserError as error:
                raise UserError(f"{task.name}, {split}: {error}") from None


def fingerprint(task: LinkTask) -> dict[str, str]:
    """SHA-256 of the edges of each split and of the fixed negatives, see :meth:`LinkTask.fingerprint`."""
    parts = {split: task.edges(split) for split in SPLITS}
    parts |= {f"{split}_negatives": task.negatives(split) for split in ("valid", "test")}
    parts |= {f"{split}_self_links": links for split, links in task.self_links.items()}
    return {
        name: hashlib.sha256(pairs.flatten(1).t().contiguous().numpy().astype("<i8").tobytes()).hexdigest()
        for name, pairs in parts.items()
    }
