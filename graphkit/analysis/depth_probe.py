"""How many hops the labels of a graph need: a classifier without training loops, on features from fewer or more hops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphkit.analysis.direction_gap import _accuracy, _normalised
from graphkit.analysis.message_sums import MessageSums
from graphkit.errors import UserError

__all__ = ["DepthProbe", "depth_probe"]

_COLUMNS = 256  # of the features that are propagated at a time


@dataclass(frozen=True)
class DepthProbe:
    r"""Accuracy on validation nodes by depth.

    Attributes:
        depths: hops.
        together: accuracy with the features of all hops up to each depth.
        alone: accuracy with those of the last hop alone, as SGC sees them.
        train, valid: how many nodes the classifier learned from and was tried on.

    Example:
        >>> DepthProbe((0, 1, 2), (0.5, 0.79, 0.8), (0.5, 0.75, 0.7), 100, 100).needed
        1
    """

    depths: tuple[int, ...]
    together: tuple[float, ...]
    alone: tuple[float, ...]
    train: int
    valid: int

    def error(self, accuracy: float) -> float:
        """Standard error of an accuracy on so many nodes."""
        return (accuracy * (1 - accuracy) / max(self.valid, 1)) ** 0.5

    @property
    def best(self) -> tuple[float, ...]:
        """The better of both accuracies at each depth."""
        return tuple(map(max, self.together, self.alone))

    @property
    def needed(self) -> int:
        """The smallest depth whose better accuracy is within one standard error of the best."""
        top = max(self.best)
        return next(d for d, a in zip(self.depths, self.best, strict=True) if a >= top - self.error(top))


def depth_probe(task: Any, depths: Sequence[int] = (0, 1, 2, 4, 8), *, most: int = 2000, seed: int = 0) -> DepthProbe:
    r"""Accuracy of a ridge classifier on :math:`X, \hat A X, .., \hat A^K X` for several depths K.

    .. math:: \hat A = \tilde D^{-1/2} (A + A^T + I) \tilde D^{-1/2}

    The graph is taken as undirected. The penalty is chosen by leave-one-out error on training nodes. No
    gradient steps: seconds for a graph of a million nodes.
    It tells whether distance helps at all; trained networks may do better at every depth.

    Args:
        task: a :class:`graphkit.data.NodeTask` with features and one class a node.
        depths: hops, rising.
        most: nodes of train and of valid that are used, drawn where there are more.
        seed: of the draw.

    Raises:
        UserError: several labels a node, no features, too few training or validation nodes, depths that do not rise.

    Example:
        >>> from torch_geometric.data import Data
        >>> from graphkit.data import NodeTask
        >>> ring = torch.stack([torch.arange(60), (torch.arange(60) + 1) % 60])
        >>> y = (torch.arange(60) % 2)
        >>> data = Data(x=torch.eye(2)[y], edge_index=torch.cat([ring, ring.flip(0)], 1), y=y)
        >>> task = NodeTask("ring", data, train=torch.arange(30), valid=torch.arange(30, 50), test=torch.arange(50, 60))
        >>> depth_probe(task, (0, 1)).together
        (1.0, 1.0)
    """
    chosen = tuple(depths)
    if not chosen or list(chosen) != sorted(set(chosen)) or any(not isinstance(d, int) or d < 0 for d in chosen):
        raise UserError(f"depths are {depths}, expected whole numbers from 0 upwards, each larger than the one before")
    if task.multi_label:
        raise UserError(f"{task.name} has several labels a node; a depth probe needs one class a node")
    generator = torch.Generator().manual_seed(seed)
    parts = [_drawn(task.nodes_of(split), most, generator) for split in ("train", "valid")]
    if min(len(part) for part in parts) < 2 or len(task.y[parts[0]].unique()) < 2:
        raise UserError(
            f"{task.name} has {len(parts[0])} training and {len(parts[1])} validation nodes; a depth probe needs two of both, "
            "and two classes to learn"
        )
    nodes = torch.cat(parts)
    grams = _grams(_symmetric(task.edge_index, task.num_nodes), task.x, task.in_channels, nodes, chosen[-1])
    kernels = [_normalised([gram]) for gram in grams]
    held_out, labels = torch.arange(len(nodes)) >= len(parts[0]), task.y[nodes]
    # a label that only validation has cannot be learned, but it has a number
    labels = torch.unique(labels, return_inverse=True)[1]
    together = [_accuracy(torch.stack(kernels[: d + 1]).mean(0), labels, held_out) for d in chosen]
    alone = [_accuracy(kernels[d], labels, held_out) for d in chosen]
    return DepthProbe(chosen, tuple(together), tuple(alone), len(parts[0]), len(parts[1]))


def _drawn(nodes: Tensor, most: int, generator: torch.Generator) -> Tensor:
    return nodes if len(nodes) <= most else nodes[torch.randperm(len(nodes), generator=generator)[:most]]


def _symmetric(edge_index: Tensor, n: int) -> MessageSums:
    from torch_geometric.nn.conv.gcn_conv import gcn_norm
    from torch_geometric.utils import to_undirected

    edges, weight = gcn_norm(to_undirected(edge_index, num_nodes=n), None, n, dtype=torch.float32)
    order = torch.sort(edges[1], stable=True).indices
    return MessageSums(edges[:, order], weight[order], rows=n, columns=n)


def _grams(sums: MessageSums, x: Tensor, channels: int, nodes: Tensor, depth: int) -> list[Tensor]:
    """Inner products [n, n] of the features of some nodes after 0, 1, .. hops."""
    found = [torch.zeros(len(nodes), len(nodes), dtype=torch.float64) for _ in range(depth + 1)]
    for begin in range(0, channels, _COLUMNS):
        part = x[:, begin : begin + _COLUMNS].float()
        part = part - part.mean(0)
        for hop in range(depth + 1):
            part = sums(part) if hop else part
            rows = part[nodes].double()
            found[hop] += rows @ rows.t()
    return found
