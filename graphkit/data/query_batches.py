"""Scoring many queries a batch at a time, within the memory there is."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from graphkit.data.batch_size import BLOCK, is_out_of_memory, queries_per_batch
from graphkit.data.message_graph import MessageGraph
from graphkit.data.sharding import Processes, shard
from graphkit.errors import UserError

__all__ = ["device_of", "evaluation_mode", "in_batches", "scores_of", "share_of"]


def in_batches(
    model: Any,
    graph: MessageGraph,
    total: int,
    work: Callable[[int, int], object],
    *,
    batch_size: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    local_size: int = 1,
) -> None:
    """Call ``work(start, stop)`` for consecutive ranges of queries; whenever memory runs out, for half as many.

    Args:
        model: says how many bytes a query takes, see :func:`graphkit.data.batch_size.queries_per_batch`.
        graph: message graph, on the device where the work is done.
        total: number of queries.
        work: scores the queries in [start, stop) and keeps what it wants; called again for a part of the range when it
            ran out of memory.
        batch_size: queries at once; None: by free memory, at most 256.
        progress: called with (queries done, queries in all).
        local_size: processes that share this machine's memory.

    Raises:
        UserError: for a batch size below 1, or when a single query does not fit in memory.

    Example:
        >>> graph = MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 2, 1)
        >>> in_batches(None, graph, 5, lambda start, stop: print(start, stop), batch_size=3)
        0 3
        3 5
    """
    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1):
        raise UserError(f"batch_size is {batch_size!r}, expected None or a whole number from 1 upwards")
    size = queries_per_batch(model, graph, local_size) if batch_size is None else batch_size
    done = 0
    while done < total:
        stop = min(done + size, total)
        try:
            work(done, stop)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            failed: str | None = str(error)
        else:
            failed = None
        if failed is not None:
            # Outside of the handler, where the traceback no longer keeps the tensors of the failed try alive.
            size = _halved(stop - done, graph, failed)
            continue
        done = stop
        if progress is not None:
            progress(done, total)


def share_of(total: int, processes: Processes | None) -> tuple[int, int]:
    """The queries [start, stop) of this process, in whole blocks where there are enough for an even division.

    Example:
        >>> share_of(5, None)
        (0, 5)
    """
    if processes is None:
        return 0, total
    block = BLOCK if total >= 4 * BLOCK * processes.size else 1
    start, stop = shard(-(-total // block), processes.rank, processes.size)
    return start * block, min(stop * block, total)


def _halved(size: int, graph: MessageGraph, failed: str) -> int:
    if graph.device.type == "cuda":
        torch.cuda.empty_cache()
    if size <= 1:
        raise UserError(
            f"not even one query on a graph of {graph.num_nodes} nodes and {graph.num_edges} edges fits in memory; "
            f"use a smaller model or a device with more memory ({failed})"
        )
    return size // 2


def scores_of(model: Any, graph: MessageGraph, heads: Tensor, relations: Tensor) -> Tensor:
    """``model.score_queries``, checked: floating point [q, N] without NaN.

    Raises:
        UserError: for scores of a wrong shape, or a NaN score (the query is named).

    Example:
        >>> class Constant:
        ...     def score_queries(self, graph, heads, relations):
        ...         return torch.zeros(len(heads), graph.num_nodes)
        >>> graph = MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 2, 1)
        >>> scores_of(Constant(), graph, torch.tensor([0]), torch.tensor([0]))
        tensor([[0., 0.]])
    """
    scores = model.score_queries(graph, heads, relations)
    expected = (heads.numel(), graph.num_nodes)
    if tuple(scores.shape) != expected:
        raise UserError(f"score_queries returned {list(scores.shape)}, expected [queries, entities] = {list(expected)}")
    if not scores.is_floating_point():
        scores = scores.double()
    undefined = torch.isnan(scores).any(1)
    if bool(undefined.any()):
        bad = int(undefined.nonzero()[0, 0])
        raise UserError(
            f"the model gives NaN for the query (head {int(heads[bad])}, relation {int(relations[bad])}); "
            "it has diverged: lower the learning rate or clip gradients"
        )
    return scores


def device_of(model: Any, graph: MessageGraph) -> torch.device:
    """Where the model's parameters lie; a model without any works where the graph is.

    Example:
        >>> device_of(torch.nn.Linear(1, 1), MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 2, 1))
        device(type='cpu')
    """
    if isinstance(model, torch.nn.Module):
        for tensor in itertools.chain(model.parameters(), model.buffers()):
            return tensor.device
    return graph.device


@contextlib.contextmanager
def evaluation_mode(model: Any) -> Iterator[None]:
    """``model.eval()`` meanwhile; every submodule gets its own mode back.

    Example:
        >>> model = torch.nn.Dropout()
        >>> with evaluation_mode(model):
        ...     print(model.training)
        False
        >>> model.training
        True
    """
    if not isinstance(model, torch.nn.Module):
        yield
        return
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
