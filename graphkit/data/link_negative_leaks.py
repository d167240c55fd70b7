"""Checks of the fixed negatives of an undirected graph: what is among them that should not be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from graphkit.data.leaks import SPLITS, LeakError
from graphkit.data.non_edges import NonEdges, pair_numbers

if TYPE_CHECKING:
    from graphkit.data.link_task import LinkTask

__all__ = ["check_link_negatives", "failure", "repeated"]

Check = tuple[str, int, str]


def failure(task: LinkTask, what: str, pairs: Tensor, bad: Tensor) -> LeakError:
    """What a check has to say about those of the pairs [2, P] that are bad [P]; one of them is shown."""
    u, v = pairs[:, int(bad.nonzero()[0])].tolist()
    shown = f"({u}, {v})" if task.nodes is None else f"({task.nodes[u]}, {task.nodes[v]})"
    return LeakError(f"{task.name}: {what}: {int(bad.sum()):,} cases, such as {shown}; remove them before you train")


def repeated(numbers: Tensor) -> Tensor:
    """Which numbers have occurred before.

    Example:
        >>> repeated(torch.tensor([3, 1, 3])).tolist()
        [False, False, True]
    """
    again = np.ones(numbers.numel(), dtype=bool)
    again[np.unique(numbers.numpy(), return_index=True)[1]] = False
    return torch.from_numpy(again)


def check_link_negatives(task: LinkTask, split: str, warnings: list[Check]) -> list[Check]:
    """Self-loops, edges and repeats among the negatives of a split, and rows that belong to other edges.

    What the negatives are known to avoid is refused; what else is found among them is added to the warnings.

    Raises:
        LeakError: naming what is among the negatives and should not be.
    """
    kept = task.negatives_avoid == "nothing"  # published as they are
    negatives = task.negatives(split)
    pairs = negatives.flatten(1)

    def found(what: str, bad: Tensor, *, allowed: bool = kept) -> None:
        if not bool(bad.any()):
            return
        if not allowed:
            raise failure(task, what, pairs, bad)
        warnings.append((what, int(bad.sum()), "they are in the published files" if kept else "as the protocol has it"))

    loops = pairs[0] == pairs[1]
    found(f"negatives of {split} join a node with itself", loops)
    before, known = SPLITS[: SPLITS.index(split)], task.known_edges(split)
    if task.negatives_avoid != "split":
        known = torch.cat([task.edges(earlier) for earlier in before], 1)
        own = NonEdges.of(task.edges(split), task.num_nodes).is_edge(pairs)
        found(f"negatives of {split} are {split} edges, in either direction", own, allowed=True)
    edges = NonEdges.of(known, task.num_nodes).is_edge(pairs)
    of = "its graph" if task.negatives_avoid == "split" else " or ".join(before)
    found(f"negatives of {split} are edges of {of}, in either direction", edges)
    found(f"negatives of {split} stand there more than once", _again(negatives))
    rows = _rows_belong(task, split, warnings)
    if kept:
        return rows
    names = [*before, split] if task.negatives_avoid == "split" else list(before)
    known_as = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return [(f"no negative of {split} is an edge, none stands twice", pairs.size(1), f"edges of {known_as}"), *rows]


def _again(negatives: Tensor) -> Tensor:
    """Which pairs [n], or [P K] of all rows, have stood before: in the pool, or in the row of their edge."""
    low, high = negatives.min(0).values, negatives.max(0).values
    numbers = pair_numbers(torch.stack([low, high])).masked_fill(low == high, -1)  # self-loops have been counted
    if negatives.dim() == 2:
        return repeated(numbers) & (low != high)
    order = torch.argsort(numbers, dim=1, stable=True)
    ranked = numbers.gather(1, order)
    same = torch.zeros_like(ranked, dtype=torch.bool)
    same[:, 1:] = (ranked[:, 1:] == ranked[:, :-1]) & (ranked[:, 1:] >= 0)
    return torch.zeros_like(same).scatter_(1, order, same).flatten()


def _rows_belong(task: LinkTask, split: str, warnings: list[Check]) -> list[Check]:
    """Negatives of an edge's own keep one of its two nodes; rows in another order than the edges do not."""
    if not task.is_personal(split):
        return []
    negatives, (u, v) = task.negatives(split), task.edges(split).unsqueeze(2).unbind(0)
    strangers = ((negatives != u) & (negatives != v)).all(0)
    what = f"every negative of {split} keeps a node of its edge"
    if bool(strangers.any()):
        warnings.append((f"negatives of {split} keep no node of their edge", int(strangers.sum()), "check the order"))
        return []
    return [(what, strangers.numel(), f"{negatives.size(2):,} of each")]
