"""From the correlations of directed patterns to advice: keep the directions of the edges, or drop them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from graphkit.analysis.pattern_statistics import PatternStatistics
from graphkit.errors import UserError, nearest

__all__ = ["RULES", "Guidance", "guidance_score"]

Rule = Callable[[Mapping[str, float]], float]

_ALIKE, _MIXED = ("AA", "A^TA^T"), ("AA^T", "A^TA")


class Guidance(NamedTuple):
    """Advice of AMUD.

    Attributes:
        score: S; larger speaks for keeping the directions.
        directed: whether it is above the threshold.

    Example:
        >>> Guidance(score=0.7, directed=True).directed
        True
    """

    score: float
    directed: bool


def _gap(r2: Mapping[str, float]) -> float:
    total = sum(r2.values())
    return abs(sum(r2[w] for w in _MIXED) - sum(r2[w] for w in _ALIKE)) / total if total > 0 else 0.0


def _spread(r2: Mapping[str, float]) -> float:
    largest = max(r2.values())
    return 1 - min(r2.values()) / largest if largest > 0 else 0.0


RULES: dict[str, Rule] = {"gap": _gap, "spread": _spread}


def guidance_score(
    report: Mapping[str, PatternStatistics], *, rule: str | Rule = "gap", theta: float = 0.5
) -> Guidance:
    r"""The guidance score S of a report and what it advises. Experimental.

    S > 0.5 is the paper's rule, but the exact formula of S was not available to this library, and neither candidate groups
    the paper's data sets as the paper does. Rely on :func:`graphkit.analysis.direction_gap` where there are features.

    .. math:: S_{gap} = \frac{|R^2_{AA^\top} + R^2_{A^\top A} - R^2_{AA} - R^2_{A^\top A^\top}|}{\sum R^2}, \qquad
        S_{spread} = 1 - \frac{\min R^2}{\max R^2}

    Both run over the four patterns of order 2 and are 0 on a symmetric graph, unless the report dropped diagonals of some
    patterns alone. Reversing all edges changes neither.

    Args:
        report: of :func:`graphkit.analysis.amud_report`, with order 2.
        rule: ``"gap"``, ``"spread"``, or a function of the R^2 by pattern name.
        theta: threshold.

    Raises:
        UserError: an unknown rule, or a report without order 2.

    Source:
        Sun et al., Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node Classification (ICDE 2024).

    Example:
        >>> report = {name: PatternStatistics(0.0, r, r * r, True)
        ...           for name, r in {"AA": 0.1, "AA^T": 0.3, "A^TA": 0.1, "A^TA^T": 0.1}.items()}
        >>> round(guidance_score(report).score, 4), guidance_score(report).directed
        (0.6667, True)
    """
    missing = [name for name in (*_ALIKE, *_MIXED) if name not in report]
    if missing:
        raise UserError(
            f"the report lacks {', '.join(missing)}; the guidance score needs order 2, pass orders=(2,) or (1, 2)"
        )
    if not callable(rule) and rule not in RULES:
        raise UserError(nearest(str(rule), RULES, "rule"))
    function = rule if callable(rule) else RULES[rule]
    score = float(function({name: report[name].r2 for name in ("AA", "AA^T", "A^TA", "A^TA^T")}))
    return Guidance(score, score > theta)
