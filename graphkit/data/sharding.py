"""Rows divided among processes that work on the same thing."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

__all__ = ["Processes", "shard"]


class Processes(Protocol):
    """What sharded work asks of the processes; the engine has them.

    Example:
        >>> class One:
        ...     rank, size, local_size = 0, 1, 1
        ...     def gather(self, parts):
        ...         return parts
        >>> processes: Processes = One()
    """

    rank: int
    """Number of this process, from 0."""
    size: int
    """How many processes there are."""
    local_size: int
    """How many of them share this machine's memory."""

    def gather(self, parts: Tensor) -> Tensor:
        """The whole of a tensor of which every process has filled its own entries and left the others zero."""
        ...


def shard(total: int, rank: int, size: int) -> tuple[int, int]:
    """First row, and row after the last, of one process's share of ``total`` rows.

    Shares are contiguous, cover every row once and differ by at most one row; the first processes have the longer ones.

    Args:
        total: number of rows.
        rank: number of the process, from 0.
        size: number of processes.

    Example:
        >>> [shard(5, rank, 3) for rank in range(3)], shard(1, 1, 2)
        ([(0, 2), (2, 4), (4, 5)], (1, 1))
    """
    each, more = divmod(total, size)
    start = rank * each + min(rank, more)
    return start, start + each + (rank < more)
