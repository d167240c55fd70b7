"""What a graph is like before anything is trained on it, and where a trained model fails."""

from graphkit.analysis.concentration_report import (
    ConcentrationReport,
    Correlation,
    Group,
    LowPerformers,
    Shift,
    tc_report,
)
from graphkit.analysis.homophily import DirectedHomophily, Homophily, homophily
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
    "NORMS", "ConcentrationReport", "Correlation", "DirectedHomophily", "Estimate", "Group", "Homophily",
    "LowPerformers", "NodeLinkQuality", "Shift", "WeightedConcentration", "approximate_concentration", "chance_level",
    "default_beta", "homophily", "node_link_quality", "resource_allocation", "split_concentration", "tc_report",
    "topological_concentration",
]  # fmt: skip
