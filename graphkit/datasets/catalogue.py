"""All cards, and one by name."""

from __future__ import annotations

from functools import cache

from graphkit.datasets.card import Card
from graphkit.errors import UserError, nearest
from graphkit.shipped import shipped

__all__ = ["card", "cards"]


def cards() -> list[Card]:
    """All cards that ship with graphkit, by name.

    Example:
        >>> "umls" in [card.name for card in cards()]
        True
    """
    return [_card_at(str(path)) for path in sorted(shipped("cards").glob("*.yaml"))]


@cache
def _card_at(path: str) -> Card:
    return Card.read(path)


def card(name: str, *, variant: str | None = None) -> Card:
    """The card of a data set by name, alias or the path of a card of your own (``*.yaml``).

    Case does not matter. A family is named by path, ``"countries/s1"``, or by argument, ``variant="s1"``.

    Raises:
        UserError: for an unknown name (the nearest one is suggested), a family without its variant, or a bad card.

    Example:
        >>> card("countries", variant="S1").name
        'countries/s1'
    """
    if name.endswith((".yaml", ".yml")):
        return Card.read(name)
    known = {}
    for entry in cards():
        known.update({alias.lower(): entry for alias in (entry.name, *entry.aliases)})
    wanted = name.lower() if variant is None else f"{name}/{variant}".lower()
    if wanted in known:
        return known[wanted]
    variants = sorted({entry.name for entry in known.values() if entry.name.startswith(f"{name.lower()}/")})
    if variant is None and variants:
        raise UserError(f"{name!r} is a family of data sets; name one of {', '.join(map(repr, variants))}")
    if variant is not None and name.lower() in known and not variants:
        raise UserError(f"the data set {name!r} has no variants; leave out variant={variant!r}")
    raise UserError(nearest(wanted, known, "data set"))
