"""Models: one paper a file."""

from __future__ import annotations

from graphkit.models.adpa import ADPA
from graphkit.models.base import Model
from graphkit.models.cheb_net import ChebNet
from graphkit.models.dir_gnn import DirGNN
from graphkit.models.entity_prediction import EntityPrediction
from graphkit.models.gated_gcn import GatedGCN
from graphkit.models.gmope import GMoPE
from graphkit.models.gps import GPS
from graphkit.models.graph_classifier import GraphClassifier
from graphkit.models.graph_mamba import GraphMamba
from graphkit.models.graph_mamba_links import GraphMambaLinks
from graphkit.models.heuristics import (
    AdamicAdar,
    CommonNeighbors,
    Jaccard,
    PreferentialAttachment,
    ResourceAllocation,
)
from graphkit.models.kge import ComplEx, DistMult, RotatE, TransE
from graphkit.models.linkx import LINKX
from graphkit.models.nbfnet import NBFNet
from graphkit.models.ncn import NCN, NCNC
from graphkit.models.node_baselines import GAT, GCN, GIN, MLP, GraphSAGE
from graphkit.models.node_classifier import NodeClassifier, label_loss, target_loss
from graphkit.models.path_explanation import PathExplanation
from graphkit.models.path_heuristics import Katz, PersonalizedPageRank, ShortestPath
from graphkit.models.propagation_baselines import APPNP, GPRGNN, SGC
from graphkit.models.sgformer import SGFormer

__all__ = [
    "ADPA",
    "APPNP",
    "GAT",
    "GCN",
    "GIN",
    "GPRGNN",
    "GPS",
    "LINKX",
    "MLP",
    "NCN",
    "NCNC",
    "SGC",
    "SIZES",
    "AdamicAdar",
    "ChebNet",
    "CommonNeighbors",
    "ComplEx",
    "DirGNN",
    "DistMult",
    "EntityPrediction",
    "GMoPE",
    "GatedGCN",
    "GraphClassifier",
    "GraphMamba",
    "GraphMambaLinks",
    "GraphSAGE",
    "Jaccard",
    "Katz",
    "Model",
    "NBFNet",
    "NodeClassifier",
    "PathExplanation",
    "PersonalizedPageRank",
    "PreferentialAttachment",
    "ResourceAllocation",
    "RotatE",
    "SGFormer",
    "ShortestPath",
    "TransE",
    "label_loss",
    "registry",
    "target_loss",
]

_MODELS: tuple[type[Model], ...] = (
    NBFNet, NCN, NCNC, DistMult, ComplEx, RotatE, TransE, CommonNeighbors, AdamicAdar, ResourceAllocation, Jaccard,
    PreferentialAttachment, Katz, ShortestPath, PersonalizedPageRank,
    MLP, GCN, GraphMamba, GraphMambaLinks, GraphSAGE, GAT, SGC, APPNP, GPRGNN, DirGNN, LINKX, ADPA, GIN, GatedGCN, GPS,
    ChebNet, SGFormer, GMoPE,
)  # fmt: skip

#: constructor arguments that come from a task, never from an experiment file
SIZES = frozenset(name for model in _MODELS for name in model.sizes)


def registry() -> dict[str, type[Model]]:
    """The models by name.

    Example:
        >>> registry()["NBFNet"].__name__
        'NBFNet'
    """
    return {model.__name__: model for model in _MODELS}
