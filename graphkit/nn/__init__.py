"""Layers, usable alone inside anybody's PyG model."""

from graphkit.nn.bellman_ford import BellmanFordConv
from graphkit.nn.common_neighbor import CommonNeighborHead
from graphkit.nn.completed_neighbor import CompletedNeighborHead
from graphkit.nn.concentration_reweighting import ConcentrationReweighting, concentration_weights, propagation_weights
from graphkit.nn.confidence_aggregation import ConfidenceAggregator, confidence_weights
from graphkit.nn.directed_pattern_attention import DirectedPatternAttention, HopAttention
from graphkit.nn.directed_patterns import DirectedPattern, propagate_pattern
from graphkit.nn.expert_bank import ExpertBank
from graphkit.nn.feature_aligner import FeatureAligner
from graphkit.nn.feature_projection import principal_projection
from graphkit.nn.graph_propagation import GraphPropagation
from graphkit.nn.link_encoder import LinkEncoder
from graphkit.nn.loss_router import LossRouter
from graphkit.nn.message_reweighting import MessageReweighting
from graphkit.nn.pair_flow import PairFlow
from graphkit.nn.path_search import Walk, heaviest_walks
from graphkit.nn.pattern_features import hop_decay, pattern_features
from graphkit.nn.pattern_words import pattern_words
from graphkit.nn.pretraining_objectives import OBJECTIVES, pretraining_objective
from graphkit.nn.prompt_bank import PromptBank, prompt_orthogonality
from graphkit.nn.routing import RouteOutput
from graphkit.nn.semiring import SEMIRINGS, Semiring, bellman_ford
from graphkit.nn.structural_features import structural_features

__all__ = [
    "OBJECTIVES",
    "SEMIRINGS",
    "BellmanFordConv",
    "CommonNeighborHead",
    "CompletedNeighborHead",
    "ConcentrationReweighting",
    "ConfidenceAggregator",
    "DirectedPattern",
    "DirectedPatternAttention",
    "ExpertBank",
    "FeatureAligner",
    "GraphPropagation",
    "HopAttention",
    "LinkEncoder",
    "LossRouter",
    "MessageReweighting",
    "PairFlow",
    "PromptBank",
    "RouteOutput",
    "Semiring",
    "Walk",
    "bellman_ford",
    "concentration_weights",
    "confidence_weights",
    "heaviest_walks",
    "hop_decay",
    "pattern_features",
    "pattern_words",
    "pretraining_objective",
    "principal_projection",
    "prompt_orthogonality",
    "propagate_pattern",
    "propagation_weights",
    "structural_features",
]
