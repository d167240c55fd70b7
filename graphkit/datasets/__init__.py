"""Data sets by name: cards, verified files, safe readers."""

from graphkit.datasets.card import Card, CardFile
from graphkit.datasets.catalogue import card, cards
from graphkit.datasets.download import fetch
from graphkit.datasets.integrity import verify
from graphkit.datasets.loading import load, task_kind
from graphkit.datasets.locate import Place, where
from graphkit.datasets.own_graph import load_own_graph, pinned

__all__ = [
    "Card", "CardFile", "Place", "card", "cards", "fetch", "load", "load_own_graph", "pinned", "task_kind", "verify",
    "where",
]  # fmt: skip
