"""Models: one paper a file."""

from __future__ import annotations

from graphkit.models.adpa import ADPA
from graphkit.models.base import Model
from graphkit.models.dir_gnn import DirGNN
from graphkit.models.entity_prediction import EntityPrediction
from graphkit.models.kge import ComplEx, DistMult, RotatE, TransE
from graphkit.models.linkx import LINKX
from graphkit.models.nbfnet import NBFNet
from graphkit.models.node_baselines import APPNP, GAT, GCN, GPRGNN, MLP, SGC, GraphSAGE
from graphkit.models.node_classifier import NodeClassifier, label_loss
from graphkit.models.path_explanation import PathExplanation

__all__ = [
    "ADPA",
    "APPNP",
    "GAT",
    "GCN",
    "GPRGNN",
    "LINKX",
    "MLP",
    "SGC",
    "SIZES",
    "ComplEx",
    "DirGNN",
    "DistMult",
    "EntityPrediction",
    "GraphSAGE",
    "Model",
    "NBFNet",
    "NodeClassifier",
    "PathExplanation",
    "RotatE",
    "TransE",
    "label_loss",
    "registry",
]

_MODELS: tuple[type[Model], ...] = (
    NBFNet, DistMult, ComplEx, RotatE, TransE,
    MLP, GCN, GraphSAGE, GAT, SGC, APPNP, GPRGNN, DirGNN, LINKX, ADPA,
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
