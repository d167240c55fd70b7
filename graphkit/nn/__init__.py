"""Layers, usable alone inside anybody's PyG model."""

from graphkit.nn.bellman_ford import BellmanFordConv
from graphkit.nn.bimamba import BiMamba
from graphkit.nn.common_neighbor import CommonNeighborHead
from graphkit.nn.completed_neighbor import CompletedNeighborHead
from graphkit.nn.concentration_reweighting import ConcentrationReweighting, concentration_weights, propagation_weights
from graphkit.nn.directed_pattern_attention import DirectedPatternAttention, HopAttention
from graphkit.nn.directed_patterns import DirectedPattern, propagate_pattern
from graphkit.nn.edge_states import EdgeStates
from graphkit.nn.feature_projection import principal_projection
from graphkit.nn.gated_gcn import GatedGCNConv
from graphkit.nn.graph_mamba_encoder import GraphMambaEncoder
from graphkit.nn.graph_readout import GraphReadout, Pooling, pool_nodes
from graphkit.nn.link_encoder import LinkEncoder
from graphkit.nn.message_reweighting import MessageReweighting
from graphkit.nn.node_order import node_importance, node_order
from graphkit.nn.pair_flow import PairFlow
from graphkit.nn.path_search import Walk, heaviest_walks
from graphkit.nn.pattern_features import hop_decay, pattern_features
from graphkit.nn.pattern_words import pattern_words
from graphkit.nn.residual_layers import ResidualLayers
from graphkit.nn.selective_state import SelectiveStateSpace
from graphkit.nn.semiring import SEMIRINGS, Semiring, bellman_ford
from graphkit.nn.token_encoder import GatedTokenEncoder, WalkFeatureEncoder
from graphkit.nn.walk_tokenizer import WalkTokenizer

__all__ = [
    "SEMIRINGS",
    "BellmanFordConv",
    "BiMamba",
    "CommonNeighborHead",
    "CompletedNeighborHead",
    "ConcentrationReweighting",
    "DirectedPattern",
    "DirectedPatternAttention",
    "EdgeStates",
    "GatedGCNConv",
    "GatedTokenEncoder",
    "GraphMambaEncoder",
    "GraphReadout",
    "HopAttention",
    "LinkEncoder",
    "MessageReweighting",
    "PairFlow",
    "Pooling",
    "ResidualLayers",
    "SelectiveStateSpace",
    "Semiring",
    "Walk",
    "WalkFeatureEncoder",
    "WalkTokenizer",
    "bellman_ford",
    "concentration_weights",
    "heaviest_walks",
    "hop_decay",
    "node_importance",
    "node_order",
    "pattern_features",
    "pattern_words",
    "pool_nodes",
    "principal_projection",
    "propagate_pattern",
    "propagation_weights",
]
