"""What a graph is like before anything is trained on it, and where a trained model fails."""

from graphkit.analysis.amud import AmudReport, amud
from graphkit.analysis.concentration_report import (
    ConcentrationReport,
    Correlation,
    Group,
    LowPerformers,
    Shift,
    tc_report,
)
from graphkit.analysis.direction_gap import DirectionGap, direction_gap
from graphkit.analysis.expert_similarity import expert_cka, linear_cka, prompt_cosines
from graphkit.analysis.guidance import Guidance, guidance_score
from graphkit.analysis.homophily import DirectedHomophily, Homophily, homophily
from graphkit.analysis.influence import influence, total_influence
from graphkit.analysis.influence_report import InfluenceReport
from graphkit.analysis.mixture_gains import MixtureGains, calibration_error, mixture_gains
from graphkit.analysis.node_link_quality import NodeLinkQuality, chance_level, node_link_quality, resource_allocation
from graphkit.analysis.pattern_statistics import PatternStatistics, amud_report
from graphkit.analysis.routing_monitor import RoutingMonitor, effective_experts, routing_entropy
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
    "NORMS",
    "AmudReport",
    "ConcentrationReport",
    "Correlation",
    "DirectedHomophily",
    "DirectionGap",
    "Estimate",
    "Group",
    "Guidance",
    "Homophily",
    "InfluenceReport",
    "LowPerformers",
    "MixtureGains",
    "NodeLinkQuality",
    "PatternStatistics",
    "RoutingMonitor",
    "Shift",
    "WeightedConcentration",
    "amud",
    "amud_report",
    "approximate_concentration",
    "calibration_error",
    "chance_level",
    "default_beta",
    "direction_gap",
    "effective_experts",
    "expert_cka",
    "guidance_score",
    "homophily",
    "influence",
    "linear_cka",
    "mixture_gains",
    "node_link_quality",
    "prompt_cosines",
    "resource_allocation",
    "routing_entropy",
    "split_concentration",
    "tc_report",
    "topological_concentration",
    "total_influence",
]
