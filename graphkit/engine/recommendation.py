"""Which models fit a graph, and why: rules on what an analysis has found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graphkit.analysis import AmudReport
from graphkit.analysis.depth_probe import DepthProbe
from graphkit.data import KnowledgeGraphTask
from graphkit.engine.node_subject import NodeSubject

__all__ = [
    "LinkFindings",
    "Recommendation",
    "labels_note",
    "recommend_for_links",
    "recommend_for_nodes",
    "relations_of",
]

_HOMOPHILOUS = 0.3  # adjusted homophily; published sets fall clearly on either side
_FAR = 8
_FEW_LABELS = 10


@dataclass(frozen=True)
class Recommendation:
    """A model, how to make it, and what speaks for it.

    Attributes:
        model: its name in ``graphkit.models``.
        reason: one sentence.
        sees: titles of the sections that the reason rests on.
        options: of the model.
        train: of the training.
        data: options of the task, such as reading the graph without its directions.
        baseline: whether it is what the others have to beat.

    Example:
        >>> Recommendation("MLP", "it does without edges", baseline=True).baseline
        True
    """

    model: str
    reason: str
    sees: Sequence[str] = ()
    options: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    baseline: bool = False


@dataclass(frozen=True)
class LinkFindings:
    """What the choice of a model for links goes by.

    Attributes:
        relations: kinds of relations; 0 or 1 without any.
        shared: share of the validation edges whose ends have a common neighbour in the train graph.
        features: whether nodes have features.

    Example:
        >>> LinkFindings(0, 0.4, True).shared
        0.4
    """

    relations: int
    shared: float
    features: bool


def recommend_for_nodes(subject: NodeSubject) -> list[Recommendation]:
    """Models for the labels of nodes, the most promising first, then the baselines.

    Rules: without features of their own, a model that learns from rows of the adjacency matrix; adjusted homophily of the training
    labels below 0.3 asks for layers that keep a node apart from its neighbours; signal in the directions asks for directed
    patterns; eight hops or more ask for depth.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> recommend_for_nodes(subject_of("cora", task="node"))[0].model  # doctest: +SKIP
        'GPRGNN'
    """
    task, found = subject.task, []
    rate = {"lr": 0.01, "weight_decay": 5e-4}
    bare = task.x is None or task.provenance.get("features") in ("degrees", "ids")  # numbers that stand in for features
    if bare:
        words = "nodes have no features of their own, and it reads their rows of the adjacency matrix"
        found.append(Recommendation("LINKX", words, ["Graph"], {"hidden_channels": 64}, rate))
    if task.x is None:
        return found
    report, amud, depth = subject.homophily, subject.amud, subject.depth
    adjusted = report.adjusted if report is not None else None
    if amud is not None and task.directed and not amud.storage_order and _directions_help(amud):
        gap = amud.gap
        words = f"score {amud.score:.2f} above {amud.theta:.2f}"
        if gap is not None:
            words = (
                f"a classifier gains {100 * gap.mean:.1f} ± {100 * gap.standard_error:.1f} points of accuracy by them"
            )
        found.append(
            Recommendation(
                "ADPA", f"the directions of edges carry signal ({words})", ["Direction"], {"hidden_channels": 64, "hops": 2}, rate
            )
        )  # fmt: skip
        found.append(
            Recommendation(
                "DirGNN",
                "it keeps what comes along edges apart from what comes against them",
                ["Direction"],
                {"hidden_channels": 64, "jumping_knowledge": "cat"},
                rate,
            )
        )
    far = isinstance(depth, DepthProbe) and depth.needed >= _FAR
    mixed = adjusted is not None and adjusted < _HOMOPHILOUS
    if adjusted is not None and not mixed:
        words = f"neighbours share labels (adjusted homophily {adjusted:.2f}), so averaging over them helps"
        found.append(
            Recommendation(
                "GPRGNN", f"{words}; it learns how much each hop counts", ["Homophily"], {"hidden_channels": 64}, rate
            )
        )
        found.append(
            Recommendation("GCN", words, ["Homophily"], {"hidden_channels": 64, "num_layers": 2}, rate, baseline=True)
        )
    if mixed:
        words = f"neighbours seldom share labels (adjusted homophily {adjusted:.2f})"
        found.append(
            Recommendation(
                "GraphSAGE", f"{words}, and it keeps a node's own features apart; residual layers with norm", ["Homophily"],
                {"hidden_channels": 64, "num_layers": 3, "norm": "layer", "residual": True, "dropout": 0.2}, {"lr": 0.005},
            )
        )  # fmt: skip
        found.append(
            Recommendation(
                "GCN",
                "the usual first choice, where neighbours are alike",
                ["Homophily"],
                {"hidden_channels": 64, "num_layers": 2},
                rate,
                baseline=True,
            )
        )
    if far and isinstance(depth, DepthProbe):
        found.append(
            Recommendation(
                "GraphMamba", f"{depth.needed} hops are needed for the best accuracy of the probe; it reads walks and all nodes",
                ["Hops needed"],
                {"hidden_channels": 64, "walk_length": min(8, depth.needed), "num_layers": 3, "dropout": 0.2},
                {"lr": 0.003, "optimizer": "adamw"},
            )
        )  # fmt: skip
    if not found:
        found.append(Recommendation("GraphSAGE", "it fits most graphs", ["Graph"], {"hidden_channels": 64}, rate))
    if bare and adjusted is None:
        words = "the usual first choice, here with degrees in place of features"
        found.append(Recommendation("GraphSAGE", words, ["Graph"], {"hidden_channels": 64}, rate, baseline=True))
    found.append(
        Recommendation(
            "MLP",
            "does without edges: what they are worth",
            ["Hops needed"] if depth is not None else [],
            {"hidden_channels": 64},
            rate,
            baseline=True,
        )
    )
    return found


def _directions_help(report: AmudReport) -> bool:
    """By the calibrated comparison of classifiers where there is one, else by the paper's rule."""
    if report.gap is not None:
        return report.gap.sure and report.gap.mean > 0
    return report.directed


def labels_note(subject: NodeSubject) -> str:
    """What to do with few labels, or nothing."""
    task = subject.task
    each = int(task.mask("train").sum()) / max(task.out_channels, 1)
    if each >= _FEW_LABELS:
        return ""
    return (
        f"There are {each:.1f} training labels a class. With so few, a model that was trained without labels on related graphs "
        "and adapted by prompts is worth a try (GMoPE), beside one trained from scratch."
    )


def recommend_for_links(findings: LinkFindings) -> list[Recommendation]:
    """Models for missing links, the most promising first, then the baselines.

    Rules: relations ask for paths (NBFNet) and embeddings; without them, held-out edges whose ends share neighbours ask for
    common neighbours (NCN), and where many share none for their completion (NCNC).

    Example:
        >>> recommend_for_links(LinkFindings(relations=0, shared=0.9, features=True))[0].model
        'NCN'
    """
    found = []
    if findings.relations > 1:
        found.append(
            Recommendation(
                "NBFNet",
                f"{findings.relations} kinds of relations: it reasons over paths, and says which",
                ["Graph"],
                {"hidden_channels": 32, "num_layers": 6},
                {"lr": 0.005},
            )
        )
        found.append(
            Recommendation(
                "ComplEx",
                "an embedding of entities and relations, fast to train",
                ["Graph"],
                {"hidden_channels": 128},
                {"lr": 0.01},
                baseline=True,
            )
        )
        return found
    share = f"{100 * findings.shared:.0f} % of the validation edges join nodes with a common neighbour"
    if findings.shared >= 0.5:
        found.append(
            Recommendation(
                "NCN",
                f"{share}, and it learns from who these are",
                ["Topological concentration"],
                {"hidden_channels": 64},
                {"lr": 0.004},
            )
        )
    else:
        found.append(
            Recommendation(
                "NCNC",
                f"only {share}; it completes missing common neighbours",
                ["Topological concentration"],
                {"hidden_channels": 64},
                {"lr": 0.004},
            )
        )
        found.append(
            Recommendation(
                "NCN",
                "the same without completion, several times faster",
                ["Topological concentration"],
                {"hidden_channels": 64},
                {"lr": 0.004},
            )
        )
    for name in ("ResourceAllocation", "CommonNeighbors", "Katz"):
        found.append(
            Recommendation(
                name, "no training at all: what learning has to beat", ["Prediction by concentration"], baseline=True
            )
        )
    return found


def relations_of(source: Any) -> int:
    """Relations of what was loaded; 0 without any.

    Example:
        >>> relations_of(None)
        0
    """
    return source.num_relations if isinstance(source, KnowledgeGraphTask) else 0
