"""Layers, usable alone inside anybody's PyG model."""

from graphkit.nn.bellman_ford import BellmanFordConv
from graphkit.nn.common_neighbor import CommonNeighborHead
from graphkit.nn.completed_neighbor import CompletedNeighborHead
from graphkit.nn.link_encoder import LinkEncoder
from graphkit.nn.pair_flow import PairFlow
from graphkit.nn.path_search import Walk, heaviest_walks
from graphkit.nn.semiring import SEMIRINGS, Semiring, bellman_ford

__all__ = [
    "SEMIRINGS", "BellmanFordConv", "CommonNeighborHead", "CompletedNeighborHead", "LinkEncoder", "PairFlow", "Semiring", "Walk",
    "bellman_ford", "heaviest_walks",
]  # fmt: skip
