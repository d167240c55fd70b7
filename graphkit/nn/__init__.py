"""Layers, usable alone inside anybody's PyG model."""

from graphkit.nn.bellman_ford import BellmanFordConv
from graphkit.nn.bimamba import BiMamba
from graphkit.nn.common_neighbor import CommonNeighborHead
from graphkit.nn.completed_neighbor import CompletedNeighborHead
from graphkit.nn.concentration_reweighting import ConcentrationReweighting, concentration_weights, propagation_weights
from graphkit.nn.confidence_aggregation import ConfidenceAggregator, confidence_weights
from graphkit.nn.directed_pattern_attention import DirectedPatternAttention, HopAttention
from graphkit.nn.directed_patterns import DirectedPattern, propagate_pattern
from graphkit.nn.edge_states import EdgeStates
from graphkit.nn.expert_bank import ExpertBank
from graphkit.nn.feature_aligner import FeatureAligner
from graphkit.nn.feature_projection import principal_projection
from graphkit.nn.gated_gcn import GatedGCNConv
from graphkit.nn.graph_mamba_encoder import GraphMambaEncoder
from graphkit.nn.graph_propagation import GraphPropagation
from graphkit.nn.graph_readout import GraphReadout, pool_nodes
from graphkit.nn.link_encoder import LinkEncoder
from graphkit.nn.loss_router import LossRouter
from graphkit.nn.message_reweighting import MessageReweighting
from graphkit.nn.mixture import ExpertList, Mixture
from graphkit.nn.node_order import node_importance, node_order
from graphkit.nn.pair_flow import PairFlow
from graphkit.nn.path_search import Walk, heaviest_walks
from graphkit.nn.pattern_features import hop_decay, pattern_features
from graphkit.nn.pattern_words import pattern_words
from graphkit.nn.pretraining_objectives import OBJECTIVES, pretraining_objective
from graphkit.nn.prompt_bank import PromptBank, prompt_orthogonality
from graphkit.nn.residual_layers import ResidualLayers
from graphkit.nn.router import Router
from graphkit.nn.routing import RouteInput, RouteOutput
from graphkit.nn.selective_state import SelectiveStateSpace
from graphkit.nn.semiring import SEMIRINGS, Semiring, bellman_ford
from graphkit.nn.simple_attention import SimpleAttention
from graphkit.nn.structural_features import structural_features
from graphkit.nn.token_encoder import GatedTokenEncoder, WalkFeatureEncoder
from graphkit.nn.walk_tokenizer import WalkTokenizer

__all__ = [
    "OBJECTIVES",
    "SEMIRINGS",
    "BellmanFordConv",
    "BiMamba",
    "CommonNeighborHead",
    "CompletedNeighborHead",
    "ConcentrationReweighting",
    "ConfidenceAggregator",
    "DirectedPattern",
    "DirectedPatternAttention",
    "EdgeStates",
    "ExpertBank",
    "ExpertList",
    "FeatureAligner",
    "GatedGCNConv",
    "GatedTokenEncoder",
    "GraphMambaEncoder",
    "GraphPropagation",
    "GraphReadout",
    "HopAttention",
    "LinkEncoder",
    "LossRouter",
    "MessageReweighting",
    "Mixture",
    "PairFlow",
    "PromptBank",
    "ResidualLayers",
    "RouteInput",
    "RouteOutput",
    "Router",
    "SelectiveStateSpace",
    "Semiring",
    "SimpleAttention",
    "Walk",
    "WalkFeatureEncoder",
    "WalkTokenizer",
    "bellman_ford",
    "concentration_weights",
    "confidence_weights",
    "heaviest_walks",
    "hop_decay",
    "node_importance",
    "node_order",
    "pattern_features",
    "pattern_words",
    "pool_nodes",
    "pretraining_objective",
    "principal_projection",
    "prompt_orthogonality",
    "propagate_pattern",
    "propagation_weights",
    "structural_features",
]
