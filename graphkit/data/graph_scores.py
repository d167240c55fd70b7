"""Scores of graphs, or of their nodes, under the rules of an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.data.graph_batch import GraphBatch
from graphkit.data.query_batches import evaluation_mode
from graphkit.errors import UserError

if TYPE_CHECKING:
    from graphkit.data.graph_task import GraphTask

__all__ = ["score_graphs"]


@torch.no_grad()
def score_graphs(
    model: Any,
    task: GraphTask,
    graphs: Tensor,
    *,
    batch_size: int = 64,
    progress: Callable[[int, int], object] | None = None,
) -> Tensor:
    """Scores of graphs in their order, on the CPU; the model is in evaluation mode meanwhile and gets its mode back.

    Args:
        model: has ``score_graphs(data) -> [B, C]`` for PyG's batch of B graphs; for a task on nodes
            ``score_nodes(data, nodes [n]) -> [n, C]``.
        task: gives the graphs, and the number of scores C.
        graphs: [G] int64.
        batch_size: graphs handed to the model at once.
        progress: called with (graphs done, in all).

    Returns:
        [G, C]; for a task on nodes a row for each node with a label.

    Raises:
        UserError: for a model of another kind, no graphs, a bad batch size, scores of a wrong shape, or a NaN score.

    Example:
        >>> from torch_geometric.data import Data
        >>> from graphkit.data import GraphTask
        >>> class Sizes:
        ...     def score_graphs(self, data):
        ...         return torch.bincount(data.batch)[:, None] * torch.tensor([[1.0, 0.0]])
        >>> edge = torch.tensor([[0, 1], [1, 0]])
        >>> graphs = [Data(x=torch.ones(2 + k, 1), edge_index=edge, y=torch.tensor([k])) for k in (0, 1)]
        >>> task = GraphTask("toy", graphs, train=torch.tensor([0, 1]), valid=torch.tensor([]), test=torch.tensor([]))
        >>> score_graphs(Sizes(), task, torch.tensor([1, 0])).tolist()
        [[3.0, 0.0], [2.0, 0.0]]
    """
    asked = "score_graphs" if task.level == "graph" else "score_nodes"
    if not callable(getattr(model, asked, None)):
        raise UserError(
            f"{type(model).__name__} has no {asked}, but {task.name} is about {task.level}s; choose a model of them"
        )
    if graphs.numel() == 0:
        raise UserError("there are no graphs to score; choose a split that has some")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise UserError(f"batch_size is {batch_size!r}, expected a whole number from 1 upwards")
    parameter = next(iter(model.parameters()), None) if isinstance(model, torch.nn.Module) else None
    device = torch.device("cpu") if parameter is None else parameter.device
    found: list[Tensor] = []
    done = 0
    with evaluation_mode(model):
        for part in graphs.split(batch_size):
            batch = GraphBatch(task, part, device=device)
            scores = (
                model.score_graphs(batch.data) if task.level == "graph" else model.score_nodes(batch.data, batch.index)
            )
            wanted = (batch.index.numel(), task.out_channels)
            if tuple(scores.shape) != wanted:
                raise UserError(f"{asked} returned {list(scores.shape)}, expected {list(wanted)}")
            scores = scores.float().cpu()
            undefined = torch.isnan(scores).any(1).nonzero()
            if undefined.numel():
                row = int(undefined[0])
                graph = part[row] if task.level == "graph" else part[int(batch.data.batch[batch.index[row]])]
                raise UserError(
                    f"the model gives NaN for graph {int(graph)}; it has diverged: lower the learning rate or clip "
                    "gradients, and look for values that are not finite in the features"
                )
            found.append(scores)
            done += part.numel()
            if progress is not None:
                progress(done, graphs.numel())
    return torch.cat(found)
