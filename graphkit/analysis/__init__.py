"""What a graph is like before anything is trained on it, and where a trained model fails."""

from graphkit.analysis.amud import AmudReport, amud
from graphkit.analysis.direction_gap import DirectionGap, direction_gap
from graphkit.analysis.guidance import Guidance, guidance_score
from graphkit.analysis.pattern_statistics import PatternStatistics, amud_report

__all__ = [
    "AmudReport", "DirectionGap", "Guidance", "PatternStatistics", "amud", "amud_report", "direction_gap", "guidance_score",
]  # fmt: skip
