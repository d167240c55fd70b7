"""Scores of node pairs, under the rules of an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphkit.data.message_graph import MessageGraph
from graphkit.data.query_batches import device_of, evaluation_mode
from graphkit.errors import UserError

__all__ = ["score_pairs"]


@torch.no_grad()
def score_pairs(
    model: Any,
    graph: MessageGraph,
    pairs: Tensor,
    *,
    batch_size: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Tensor:
    """Scores [P] of pairs [2, P], on the CPU; the model is in evaluation mode meanwhile and gets its mode back.

    Args:
        model: has ``score_pairs(graph, pairs [2, P]) -> [P]``. It is handed all pairs at once, so that it can compute
            what they share once; ``batch_size`` and ``progress`` are passed on.
        graph: message graph, on any device.
        pairs: [2, P] int64.
        batch_size: how much to compute at once, in the model's own unit; None: by free memory.
        progress: called with (done, in all).

    Raises:
        UserError: for no pairs, a bad batch size, scores of a wrong shape, or a NaN score (the pair is named).

    Example:
        >>> class SumOfIds:
        ...     def score_pairs(self, graph, pairs, *, batch_size=None, progress=None):
        ...         return pairs.sum(0).float()
        >>> graph = MessageGraph.from_edges(torch.tensor([[0], [1]]), num_nodes=3)
        >>> score_pairs(SumOfIds(), graph, torch.tensor([[0, 1], [1, 2]]))
        tensor([1., 3.])
    """
    if pairs.size(1) == 0:
        raise UserError("there are no pairs to score; choose a split that has some")
    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1):
        raise UserError(f"batch_size is {batch_size!r}, expected None or a whole number from 1 upwards")
    graph = graph.to(device_of(model, graph))
    with evaluation_mode(model):
        scores = model.score_pairs(graph, pairs.to(graph.device), batch_size=batch_size, progress=progress)
    if tuple(scores.shape) != (pairs.size(1),):
        raise UserError(f"score_pairs returned {list(scores.shape)}, expected one score a pair, [{pairs.size(1)}]")
    undefined = torch.isnan(scores).nonzero()
    if undefined.numel():
        u, v = pairs[:, int(undefined[0])].tolist()
        raise UserError(
            f"the model gives NaN for the pair ({u}, {v}); it has diverged: lower the learning rate or clip gradients"
        )
    return scores.cpu()
