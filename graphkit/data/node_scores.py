"""Scores of nodes, under the rules of an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.data.query_batches import evaluation_mode
from graphkit.errors import UserError

if TYPE_CHECKING:
    from graphkit.data.node_task import NodeTask

__all__ = ["score_nodes"]


@torch.no_grad()
def score_nodes(
    model: Any,
    task: NodeTask,
    nodes: Tensor,
    *,
    batch_size: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Tensor:
    """Scores [n, C] of nodes [n], on the CPU; the model is in evaluation mode meanwhile and gets its mode back.

    Args:
        model: has ``score_nodes(data, nodes [n]) -> [n, C]``.
        task: gives the graph, and the number of scores C that a node has to get.
        nodes: [n] int64.
        batch_size: nodes handed to the model at once; None: all. A model that computes the whole graph for any of its
            nodes is best asked once.
        progress: called with (done, in all).

    Raises:
        UserError: for no nodes, a bad batch size, scores of a wrong shape, or a NaN score (the node is named).

    Example:
        >>> from torch_geometric.data import Data
        >>> from graphkit.data import NodeTask
        >>> class Features:
        ...     def score_nodes(self, data, nodes):
        ...         return data.x[nodes]
        >>> data = Data(x=torch.eye(2), edge_index=torch.tensor([[0], [1]]), y=torch.tensor([0, 1]))
        >>> task = NodeTask("toy", data, train=torch.tensor([0, 1]), valid=torch.tensor([]), test=torch.tensor([]))
        >>> score_nodes(Features(), task, torch.tensor([1]))
        tensor([[0., 1.]])
    """
    if nodes.numel() == 0:
        raise UserError("there are no nodes to score; choose a split that has some")
    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1):
        raise UserError(f"batch_size is {batch_size!r}, expected None or a whole number from 1 upwards")
    parameter = next(iter(model.parameters()), None) if isinstance(model, torch.nn.Module) else None
    device = torch.device("cpu") if parameter is None else parameter.device
    data, channels, found = task.placed(device), task.out_channels, []
    with evaluation_mode(model):
        for part in nodes.split(batch_size or nodes.numel()):
            scores = model.score_nodes(data, part.to(device))
            if tuple(scores.shape) != (part.numel(), channels):
                raise UserError(
                    f"score_nodes returned {list(scores.shape)}, expected {channels} scores a node, "
                    f"[{part.numel()}, {channels}]"
                )
            found.append(scores.float().cpu())
            if progress is not None:
                progress(sum(map(len, found)), nodes.numel())
    whole = torch.cat(found)
    undefined = torch.isnan(whole).any(1).nonzero()
    if undefined.numel():
        raise UserError(
            f"the model gives NaN for node {int(nodes[int(undefined[0])])}; it has diverged: lower the learning rate or "
            "clip gradients, and look for values that are not finite in the features"
        )
    return whole
