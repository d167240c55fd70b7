"""Data sets by name: cards, verified files, safe readers."""

from graphkit.datasets.card import Card, CardFile
from graphkit.datasets.catalogue import card, cards
from graphkit.datasets.city_build import build_city
from graphkit.datasets.city_network import CityNetwork
from graphkit.datasets.city_streets import Streets
from graphkit.datasets.city_synthetic import synthetic_streets
from graphkit.datasets.download import fetch
from graphkit.datasets.integrity import verify
from graphkit.datasets.loading import load, task_kind
from graphkit.datasets.locate import Place, where
from graphkit.datasets.own_graph import load_own_graph, pinned
from graphkit.datasets.synthetic import chain_copy, path_parity

__all__ = [
    "Card",
    "CardFile",
    "CityNetwork",
    "Place",
    "Streets",
    "build_city",
    "card",
    "cards",
    "chain_copy",
    "fetch",
    "load",
    "load_own_graph",
    "path_parity",
    "pinned",
    "synthetic_streets",
    "task_kind",
    "verify",
    "where",
]  # fmt: skip
