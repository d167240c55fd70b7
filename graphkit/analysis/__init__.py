"""What a graph is like before anything is trained on it, and where a trained model fails."""

from graphkit.analysis.node_link_quality import NodeLinkQuality, chance_level, node_link_quality, resource_allocation
from graphkit.analysis.topological_concentration import (
    NORMS,
    Estimate,
    WeightedConcentration,
    approximate_concentration,
    default_beta,
    split_concentration,
    topological_concentration,
)

__all__ = [
    "NORMS", "Estimate", "NodeLinkQuality", "WeightedConcentration", "approximate_concentration", "chance_level",
    "default_beta", "node_link_quality", "resource_allocation", "split_concentration", "topological_concentration",
]  # fmt: skip
