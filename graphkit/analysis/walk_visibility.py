"""Which orbit adjacencies random walks can see."""

from __future__ import annotations

from graphkit.errors import UserError
from graphkit.ops import ORBIT_KEYS
from graphkit.ops.orbits_reference import Key

__all__ = ["HIDDEN_KEYS", "VISIBLE_KEYS", "walk_coefficients"]

_TWO_STEPS: dict[Key, int] = {(2, 1, 1): 1, (1, 3, 3): 1}
_THREE_STEPS: dict[Key, int] = {
    (1, 0, 0): 1, (1, 1, 2): 1, (1, 2, 1): 1, (1, 3, 3): 2, (1, 8, 8): 1, (1, 12, 13): 1, (1, 13, 12): 1, (1, 14, 14): 2,
    (3, 4, 4): 1, (2, 9, 10): 1, (2, 10, 9): 1, (2, 12, 12): 2,
}  # fmt: skip

#: the 13 orbit adjacencies that walks of up to three steps see, only ever as sums
VISIBLE_KEYS: tuple[Key, ...] = tuple(key for key in ORBIT_KEYS if key in _TWO_STEPS or key in _THREE_STEPS)
#: the other 15: no walk of up to three steps begins and ends at such a pair because of them
HIDDEN_KEYS: tuple[Key, ...] = tuple(key for key in ORBIT_KEYS if key not in VISIBLE_KEYS)


def walk_coefficients(steps: int) -> dict[Key, int]:
    r"""How the number of walks between two different nodes is made of orbit adjacencies.

    .. math:: (A^s)_{uv} = \sum_{h,i,j} c_{s,h,i,j} \, M_{h,i,j}(u, v) \quad (u \neq v)

    Weights of the steps, such as the transition probabilities of DeepWalk, change the coefficients of single walks and not
    which orbit adjacencies take part. A walk with no node twice passes through all nodes of a graphlet, so that only
    pairs at the ends of a path through all of it count; walks that turn back add (1, 1, 2) and (1, 2, 1).

    Args:
        steps: s: 1, 2 or 3.

    Returns:
        ``{key: coefficient}``; what is not listed has 0.

    Raises:
        UserError: another number of steps.

    Example:
        >>> walk_coefficients(2)
        {(2, 1, 1): 1, (1, 3, 3): 1}
    """
    if steps not in (1, 2, 3):
        raise UserError(f"steps is {steps!r}, expected 1, 2 or 3: graphlets with four nodes have paths of three steps")
    return dict([{(1, 0, 0): 1}, _TWO_STEPS, _THREE_STEPS][steps - 1])
