"""The 28 orbit adjacencies by key: multiplicities, what counting them needs, the integers that hold them."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from graphkit.errors import UserError
from graphkit.ops.orbits_reference import NEED_CLIQUES, NEED_CYCLES, NEED_LISTS, NEED_SUPPORT, Key
from graphkit.ops.simple_graph import SimpleGraph

__all__ = ["EXACT", "HOP3", "INT32", "ORBIT_KEYS", "check_keys", "needed_sums", "orbit_multiplicity", "pair_keys", "value_dtype"]

#: the 28 orbit adjacencies (hop, i, j), graphlet after graphlet
ORBIT_KEYS: tuple[Key, ...] = (
    (1, 0, 0), (1, 1, 2), (1, 2, 1), (2, 1, 1), (1, 3, 3), (1, 4, 5), (1, 5, 4), (1, 5, 5), (2, 4, 5), (2, 5, 4), (3, 4, 4),
    (1, 6, 7), (1, 7, 6), (2, 6, 6), (1, 8, 8), (2, 8, 8), (1, 9, 11), (1, 11, 9), (1, 10, 10), (1, 10, 11), (1, 11, 10),
    (2, 9, 10), (2, 10, 9), (1, 12, 13), (1, 13, 12), (1, 13, 13), (2, 12, 12), (1, 14, 14),
)  # fmt: skip

_MULTIPLICITY = {
    (1, 2, 1): 2, (1, 3, 3): 2, (1, 7, 6): 3, (2, 6, 6): 2, (1, 8, 8): 2, (1, 11, 10): 2, (2, 9, 10): 2, (1, 12, 13): 2,
    (1, 13, 12): 2, (1, 14, 14): 3,
}  # fmt: skip

#: the one key of hop 3
HOP3: Key = (3, 4, 4)
#: largest integer up to which a dtype holds every integer
EXACT = {
    torch.int32: 2**31 - 1, torch.int64: 2**63 - 1, torch.float32: 2**24, torch.float64: 2**53,
}  # fmt: skip
INT32 = 2**31 - 1
_NEEDS = {
    **dict.fromkeys([(1, 13, 13), (1, 14, 14)], NEED_CLIQUES),
    **dict.fromkeys(
        [(1, 12, 13), (1, 13, 12), (1, 10, 10), (1, 10, 11), (1, 11, 10), (1, 9, 11), (1, 11, 9), (1, 6, 7), (1, 7, 6)],
        NEED_CLIQUES | NEED_SUPPORT,
    ),
    **dict.fromkeys([(1, 8, 8), (1, 5, 5), (1, 4, 5), (1, 5, 4)], NEED_CLIQUES | NEED_SUPPORT | NEED_CYCLES),
}


def orbit_multiplicity(key: Key) -> int:
    """How many nodes on orbit j lie at distance h from one node on orbit i in the graphlet of a key (h, i, j).

    The row sum of an orbit adjacency is this times the orbit count: ``M[h, i, j].sum(1) = mult * orbit_counts[:, i]``.

    Raises:
        UserError: not one of ORBIT_KEYS.

    Example:
        >>> orbit_multiplicity((1, 7, 6)), orbit_multiplicity((1, 6, 7))  # a star has three leaves and one centre
        (3, 1)
    """
    return _MULTIPLICITY.get(check_keys([key])[0], 1)


def check_keys(keys: Iterable[Key] | None) -> list[Key]:
    if keys is None:
        return list(ORBIT_KEYS)
    known = set(ORBIT_KEYS)
    wanted: dict[Key, None] = {}
    for key in keys:
        try:
            hop, i, j = (int(part) for part in key)
        except (TypeError, ValueError):
            raise UserError(f"orbit key {key!r}, expected (hop, i, j) such as (1, 4, 5)") from None
        if (hop, i, j) not in known:
            raise UserError(
                f"unknown orbit key {(hop, i, j)}, expected one of "
                + ", ".join(":".join(map(str, k)) for k in ORBIT_KEYS)
            )
        wanted[hop, i, j] = None
    return list(wanted)


def pair_keys(wanted: list[Key]) -> tuple[list[Key], bool]:
    return [key for key in wanted if key[0] == 2], HOP3 in wanted


def needed_sums(wanted: list[Key]) -> int:
    """The sums that all keys together need, so that triangles are listed once."""
    need = NEED_LISTS if any(key[0] > 1 for key in wanted) else 0
    for key in wanted:
        need |= _NEEDS.get(key, 0)
    return need


def value_dtype(graph: SimpleGraph, dtype: torch.dtype | None) -> tuple[bool, torch.dtype]:
    """Whether the counting needs 64 bits, and the dtype of the result."""
    bound = graph.max_degree**2
    wide = bound > INT32
    if dtype is None:
        dtype = torch.int64 if wide else torch.int32
    if dtype not in EXACT:
        raise UserError(f"dtype is {dtype}, expected torch.int32, int64, float32 or float64")
    if bound > EXACT[dtype]:
        raise UserError(
            f"a node has {graph.max_degree} neighbours, so values may reach {bound}, which {dtype} does not hold exactly; use"
            " a wider dtype, or none to let it be chosen"
        )
    return wide, dtype
