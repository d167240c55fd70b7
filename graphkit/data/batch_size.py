"""How many queries fit in memory at once, and what to do when they do not."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphkit.data.message_graph import MessageGraph
from graphkit.errors import UserError

__all__ = ["available_memory", "in_batches", "is_out_of_memory", "queries_per_batch"]

_MOST = 256
# Half of what is free is left to the rest of the program and to what the estimate forgets.
_SHARE = 0.5
_UNKNOWN_MEMORY = 2**30


def available_memory(device: torch.device) -> int:
    """Bytes that are free on a device; 1 GiB where the system does not say.

    Example:
        >>> available_memory(torch.device("cpu")) > 0
        True
    """
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        # What torch's allocator holds without using it is free to the model as well.
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return _UNKNOWN_MEMORY


def queries_per_batch(model: Any, graph: MessageGraph) -> int:
    """Queries to score at once: what fits in half of the free memory, at least 1 and at most 256.

    ``model.query_bytes(graph)``, where the model has it, says how many bytes one query takes.

    Example:
        >>> queries_per_batch(object(), MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 2, 1))
        256
    """
    # Scores, their copy with the known answers set aside, and the comparisons.
    need = 16 * graph.num_nodes
    if hasattr(model, "query_bytes"):
        need += int(model.query_bytes(graph))
    return max(1, min(_MOST, int(available_memory(graph.device) * _SHARE) // max(need, 1)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device.

    Example:
        >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
        True
    """
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    # The CPU allocator says "can't allocate memory", cuBLAS says "CUBLAS_STATUS_ALLOC_FAILED".
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("allocate", "ALLOC_FAILED"))


def in_batches(
    total: int,
    size: int,
    run: Callable[[int, int], Tensor],
    graph: MessageGraph,
    progress: Callable[[int, int], object] | None = None,
) -> list[Tensor]:
    """``run(start, stop)`` over 0 .. total in pieces of ``size``, halved whenever memory runs out; what each gave.

    Args:
        total: how many there are.
        size: how many at once, at first.
        run: computes those from ``start`` up to ``stop``.
        graph: the message graph, for the device and the message.
        progress: called with (done, total).

    Raises:
        UserError: when a single one does not fit in memory.

    Example:
        >>> graph = MessageGraph.from_edges(torch.tensor([[0], [1]]), num_nodes=2)
        >>> in_batches(3, 2, lambda start, stop: torch.arange(start, stop), graph)
        [tensor([0, 1]), tensor([2])]
    """
    results, done = [], 0
    while done < total:
        stop = min(done + size, total)
        failed = None
        try:
            results.append(run(done, stop))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            failed = str(error)
        if failed is not None:
            # Outside of the handler, where the traceback no longer keeps the tensors of the failed try alive.
            if graph.device.type == "cuda":
                torch.cuda.empty_cache()
            if stop - done <= 1:
                raise UserError(
                    f"not even one query on a graph of {graph.num_nodes} nodes and {graph.num_edges} edges fits in "
                    f"memory; use a smaller model or a device with more memory ({failed})"
                )
            size = (stop - done) // 2
            continue
        done = stop
        if progress is not None:
            progress(done, total)
    return results
