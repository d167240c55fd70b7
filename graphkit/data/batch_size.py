"""How many queries fit in memory at once."""

from __future__ import annotations

import os
from typing import Any

import torch

from graphkit.data.message_graph import MessageGraph

__all__ = ["available_memory", "is_out_of_memory", "queries_per_batch"]

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
