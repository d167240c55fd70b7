"""A few labels of each class to learn from: what k-shot means, drawn in a way that can be drawn again."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import Tensor

from graphkit.data.node_task import NodeTask
from graphkit.data.random_streams import SPLIT, permutation
from graphkit.errors import UserError

__all__ = ["FewShotSplit"]


@dataclasses.dataclass(frozen=True)
class FewShotSplit:
    """k labels a class for training, ``val_k`` for validation, every other labelled one for testing.

    A draw depends on (seed, class) only: the support of a smaller k is part of that of a larger one, and the same seed is the same
    draw for every method.

    Args:
        k: labels of each class.
        n_way: so many classes, drawn by the seed and numbered anew in ascending order; None: all.
        val_k: labels of each class to select an epoch by; 0: no validation labels at all.
        seed: number of the draw.

    Raises:
        UserError: for numbers out of range.

    Example:
        >>> parts = FewShotSplit(k=1, val_k=1).draw(torch.tensor([0, 1, 0, 1, 0, 1, -1]))
        >>> [len(parts[name]) for name in ("train", "valid", "test")]
        [2, 2, 2]
    """

    k: int
    n_way: int | None = None
    val_k: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        least = (("k", self.k, 1), ("n_way", 2 if self.n_way is None else self.n_way, 2), ("val_k", self.val_k, 0))
        for name, value, low in (*least, ("seed", self.seed, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise UserError(f"{name} is {value!r}, expected a whole number from {low}")

    def draw(self, y: Tensor, name: str = "the task") -> dict[str, Tensor]:
        """Places of train, valid and test among labels, and the classes that take part.

        Args:
            y: int64 ``[N]`` classes of nodes or graphs, -1 where unknown.
            name: how messages call the task.

        Returns:
            ``train``, ``valid``, ``test``: int64, ascending, disjoint; ``classes``: int64, ascending.

        Raises:
            UserError: for several labels a node, fewer classes than ``n_way``, or a class with too few members.
        """
        if y.dim() != 1 or y.is_floating_point():
            raise UserError(f"few-shot draws of {name} need one class each, int64 [N], not labels of {list(y.shape)}")
        classes = torch.unique(y[y >= 0])
        if self.n_way is not None:
            if self.n_way > len(classes):
                raise UserError(
                    f"n_way is {self.n_way}, but {name} has {len(classes)} classes; take fewer, or None for all"
                )
            drawn = permutation(len(classes), seed=self.seed, epoch=2**32, stream=SPLIT)[: self.n_way]
            classes = classes[drawn.sort().values]
        found: dict[str, list[Tensor]] = {"train": [], "valid": [], "test": []}
        for label in classes.tolist():
            members = (y == label).nonzero().flatten()
            need = self.k + self.val_k
            if len(members) < need:
                raise UserError(
                    f"class {label} of {name} has {len(members)} members, but k={self.k} and val_k={self.val_k} ask for {need}; "
                    "take fewer labels"
                )
            order = members[permutation(len(members), seed=self.seed, epoch=label, stream=SPLIT)]
            for part, places in zip(
                found, order.split([self.k, self.val_k, len(members) - need]), strict=True
            ):  # fmt: skip
                found[part].append(places)
        return {**{part: torch.cat(places).sort().values for part, places in found.items()}, "classes": classes}

    def of(self, task: Any) -> Any:
        """The task with this draw as its splits.

        Args:
            task: a :class:`graphkit.data.NodeTask` with one class a node, or a set of graphs with one class each.

        Raises:
            UserError: as :meth:`draw`, and for a task that has no labels to draw, such as links.

        Example:
            >>> from torch_geometric.data import Data
            >>> data = Data(edge_index=torch.tensor([[0], [1]]), y=torch.arange(12) % 3)
            >>> mask = torch.ones(12).bool()
            >>> task = NodeTask("toy", data, train=mask, valid=~mask, test=~mask)
            >>> FewShotSplit(k=2).of(task).statistics()["train"]
            6
        """
        if getattr(task, "level", None) == "graph":
            return self._of_graphs(task)
        if not isinstance(task, NodeTask):
            raise UserError(
                f"{type(task).__name__} has no labels to draw from; for links make the task with a small share of train edges"
            )
        parts = self.draw(task.y, task.name)
        classes = parts.pop("classes")
        y = torch.full_like(task.y, -1)
        for number, label in enumerate(classes.tolist()):
            y[task.y == label] = number
        data = task.data
        if self.n_way is None:
            y, count, names = task.y, task.out_channels, task.classes
        else:
            count = len(classes)
            names = None if task.classes is None else [task.classes[label] for label in classes.tolist()]
        data.y = y
        splits: dict[str, Any] = {part: parts[part] for part in ("train", "valid", "test")}
        about = {**task.provenance, "few_shot": dataclasses.asdict(self)}
        more: dict[str, Any] = {
            "direction": task.direction,
            "num_classes": count,
            "nodes": task.nodes,
            "classes": names,
            "ordered": task.ordered,
            "score": task.score,
        }
        drawn = NodeTask(task.name, data, **splits, directed=task.directed, provenance=about, **more)
        # the graph is that of the task, so what was computed from it stays valid
        drawn._graph, drawn._placed = task._graph, task._placed
        return drawn

    def _of_graphs(self, task: Any) -> Any:
        """A set of graphs with other masks; graphs and labels are shared."""
        if self.n_way is not None:
            raise UserError(f"n_way is {self.n_way}, but the classes of a set of graphs stay as they are; leave it out")
        parts = self.draw(task.truth(torch.arange(len(task))), task.name)
        drawn = copy.copy(task)
        drawn.num_folds, drawn._fold = 1, 0
        drawn.provenance = {**task.provenance, "few_shot": dataclasses.asdict(self)}
        drawn._masks = {}
        for part in ("train", "valid", "test"):
            drawn._masks[part] = torch.zeros(1, len(task), dtype=torch.bool)
            drawn._masks[part][0, parts[part]] = True
        return drawn
