"""Models: one paper a file."""

from __future__ import annotations

from graphkit.models.base import Model
from graphkit.models.entity_prediction import EntityPrediction
from graphkit.models.heuristics import (
    AdamicAdar,
    CommonNeighbors,
    Jaccard,
    PreferentialAttachment,
    ResourceAllocation,
)
from graphkit.models.kge import ComplEx, DistMult, RotatE, TransE
from graphkit.models.nbfnet import NBFNet
from graphkit.models.ncn import NCN, NCNC
from graphkit.models.path_explanation import PathExplanation
from graphkit.models.path_heuristics import Katz, PersonalizedPageRank, ShortestPath

__all__ = [
    "NCN",
    "NCNC",
    "SIZES",
    "AdamicAdar",
    "CommonNeighbors",
    "ComplEx",
    "DistMult",
    "EntityPrediction",
    "Jaccard",
    "Katz",
    "Model",
    "NBFNet",
    "PathExplanation",
    "PersonalizedPageRank",
    "PreferentialAttachment",
    "ResourceAllocation",
    "RotatE",
    "ShortestPath",
    "TransE",
    "registry",
]

_MODELS: tuple[type[Model], ...] = (
    NBFNet, NCN, NCNC, DistMult, ComplEx, RotatE, TransE, CommonNeighbors, AdamicAdar, ResourceAllocation, Jaccard,
    PreferentialAttachment, Katz, ShortestPath, PersonalizedPageRank,
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
