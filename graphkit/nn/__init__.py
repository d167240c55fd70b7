"""Layers, usable alone inside anybody's PyG model."""

from graphkit.nn.bellman_ford import BellmanFordConv
from graphkit.nn.common_neighbor import CommonNeighborHead
from graphkit.nn.completed_neighbor import CompletedNeighborHead
from graphkit.nn.concentration_reweighting import ConcentrationReweighting, concentration_weights, propagation_weights
from graphkit.nn.directed_pattern_attention import DirectedPatternAttention, HopAttention
from graphkit.nn.directed_patterns import DirectedPattern, propagate_pattern
from graphkit.nn.edge_states import EdgeStates
from graphkit.nn.feature_projection import principal_projection
from graphkit.nn.gated_gcn import GatedGCNConv
from graphkit.nn.graph_readout import GraphReadout, pool_nodes
from graphkit.nn.link_encoder import LinkEncoder
from graphkit.nn.message_reweighting import MessageReweighting
from graphkit.nn.pair_flow import PairFlow
from graphkit.nn.path_search import Walk, heaviest_walks
from graphkit.nn.pattern_features import hop_decay, pattern_features
from graphkit.nn.pattern_words import pattern_words
from graphkit.nn.residual_layers import ResidualLayers
from graphkit.nn.semiring import SEMIRINGS, Semiring, bellman_ford

__all__ = [
    "SEMIRINGS",
    "BellmanFordConv",
    "CommonNeighborHead",
    "CompletedNeighborHead",
    "ConcentrationReweighting",
    "DirectedPattern",
    "DirectedPatternAttention",
    "EdgeStates",
    "GatedGCNConv",
    "GraphReadout",
    "HopAttention",
    "LinkEncoder",
    "MessageReweighting",
    "PairFlow",
    "ResidualLayers",
    "Semiring",
    "Walk",
    "bellman_ford",
    "concentration_weights",
    "heaviest_walks",
    "hop_decay",
    "pattern_features",
    "pattern_words",
    "pool_nodes",
    "principal_projection",
    "propagate_pattern",
    "propagation_weights",
]
