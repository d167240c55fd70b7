"""Layers, usable alone inside anybody's PyG model."""

from graphkit.nn.bellman_ford import BellmanFordConv
from graphkit.nn.concentration_reweighting import (
    ConcentrationReweighting,
    concentration_weights,
    propagation_weights,
)
from graphkit.nn.pair_flow import PairFlow
from graphkit.nn.path_search import Walk, heaviest_walks
from graphkit.nn.semiring import SEMIRINGS, Semiring, bellman_ford

__all__ = [
    "SEMIRINGS", "BellmanFordConv", "ConcentrationReweighting", "PairFlow", "Semiring", "Walk", "bellman_ford",
    "concentration_weights", "heaviest_walks", "propagation_weights",
]  # fmt: skip
