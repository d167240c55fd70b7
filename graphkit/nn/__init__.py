"""Layers, usable alone inside anybody's PyG model."""

from graphkit.nn.bellman_ford import BellmanFordConv
from graphkit.nn.semiring import SEMIRINGS, Semiring, bellman_ford

__all__ = ["SEMIRINGS", "BellmanFordConv", "Semiring", "bellman_ford"]
