"""AMUD: whether the directions of a graph's edges carry signal about its labels, in one call and one sentence."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.analysis.direction_gap import DirectionGap, direction_gap
from graphkit.analysis.guidance import Rule, guidance_score
from graphkit.analysis.pattern_statistics import PatternStatistics, amud_report
from graphkit.errors import DataWarning, UserError
from graphkit.ops.directed import DirectedGraph, as_directed

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AmudReport", "amud"]

# Beyond this many multiplications of the propagation, the direction gap is left to be asked for.
_GAP_WORK = 2 * 10**10


@dataclass(frozen=True)
class AmudReport:
    """What AMUD found.

    Attributes:
        statistics: :class:`PatternStatistics` by pattern name.
        score: guidance score; experimental, see :func:`graphkit.analysis.guidance_score`.
        directed: whether the score is above theta: the paper's rule.
        theta: the threshold.
        profile, orders, nodes: what was correlated, and of how many nodes the pairs were counted.
        reciprocity: share of edges whose reverse is there too.
        storage_order: whether the directions look like the order in which an undirected list was stored.
        gap: calibrated comparison of classifiers, or None where it was not made.
        sentence: what was found and how sure it is.

    Example:
        >>> from torch_geometric.data import Data
        >>> edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> report = amud(Data(edge_index=edges, y=torch.tensor([0, 1, 0])))
        >>> report.sentence
        'Every edge has its reverse: there is no direction to keep, so nothing to decide; treat the graph as undirected.'
    """

    statistics: dict[str, PatternStatistics]
    score: float
    directed: bool
    theta: float
    profile: str
    orders: tuple[int, ...]
    nodes: int
    reciprocity: float
    storage_order: bool
    gap: DirectionGap | None
    sentence: str

    @property
    def patterns(self) -> dict[str, float]:
        """Correlation r by pattern name: ``{"AA": r, "AA^T": r, ...}``."""
        return {name: found.r for name, found in self.statistics.items()}

    def __str__(self) -> str:
        lines = [
            self.sentence,
            f"pairs of {self.nodes} nodes, profile {self.profile!r}, reciprocity {self.reciprocity:.3f}",
        ]
        width = max((len(name) for name in self.statistics), default=0)
        for name, found in self.statistics.items():
            estimated = "" if found.exact else "  (variance estimated)"
            lines.append(f"  {name:<{width}}  r {found.r:+.4f}  R^2 {found.r2:.6f}  cov {found.cov:+.3e}{estimated}")
        return "\n".join(lines)


def amud(
    data: Any,
    *,
    profile: str = "agree",
    orders: Sequence[int] = (1, 2),
    mask: Tensor | str | None = "train",
    diagonal: str = "drop",
    rule: str | Rule = "gap",
    theta: float = 0.5,
    gap: bool | None = None,
    seed: int = 0,
    **options: Any,
) -> AmudReport:
    """Does the direction of edges carry signal? Correlations of directed patterns, guidance score, calibrated gap.

    Args:
        data: a ``NodeTask``, or PyG's ``Data`` with ``edge_index``, ``y``, and where there are any ``x`` and ``train_mask``.
        profile: ``"agree"`` (equal labels), ``"feature"`` (cosine) or ``"label_id"`` (as released; depends on class names).
        orders: lengths of the patterns, 1 to 4; 2 is needed for the score.
        mask: ``"train"`` counts pairs of training nodes alone, so that no held-out label is read; where the data have no
            training nodes, and with None, all labels are read, and the sentence says so. Or a bool tensor ``[N]``.
            Without labels in the profile (``"feature"``) all nodes count.
        diagonal: as :func:`amud_report`; ``"drop_symmetric"`` reproduces the released statistics.
        rule, theta: as :func:`guidance_score`.
        gap: whether to fit the classifiers of :func:`direction_gap`; None: where there are features, labels and time.
        seed: of random probes and folds.
        options: ``exact_walks`` and ``probes`` of :func:`amud_report`.

    Returns:
        :class:`AmudReport`; print it for a table. ``directed`` is the paper's rule; where ``gap`` is there, it is the better
        evidence, and the sentence weighs both.

    Warns:
        DataWarning: all edges lead from smaller to larger ids (or all back) and none has its reverse: such "directions" are
            an artefact of storage, and every figure here measures how the nodes were numbered.

    Raises:
        UserError: no labels where they are needed, labels, features or mask that do not fit.

    Source:
        Sun et al., Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node Classification (ICDE 2024).

    Example:
        >>> from torch_geometric.data import Data
        >>> edges = torch.tensor([[5, 4, 3, 2, 1, 0], [0, 0, 1, 1, 5, 4]])
        >>> report = amud(Data(edge_index=edges, y=torch.tensor([0, 1, 0, 0, 1, 1])))
        >>> list(report.patterns), report.directed
        (['A', 'A^T', 'AA', 'AA^T', 'A^TA', 'A^TA^T'], False)
    """
    known, x, y, graph, said = _read(data)
    orders = tuple(orders)
    if not orders or any(not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= 4 for k in orders):
        raise UserError(f"orders is {orders}, expected lengths of patterns from 1 to 4, such as (1, 2)")
    inside, leaky = _mask(known, mask, graph.num_nodes)
    counted = None if profile == "feature" and isinstance(mask, str) else inside
    statistics = amud_report(
        graph, y, num_nodes=graph.num_nodes, x=x, profile=profile, orders=orders, mask=counted, diagonal=diagonal, seed=seed,
        **options,
    )  # fmt: skip
    storage = graph.num_edges > 1 and not graph.info.reciprocal and graph.info.ascending in (0, graph.num_edges)
    if storage:
        warnings.warn(
            f"all {graph.num_edges:,} edges lead from the smaller to the larger id (or all back) and none has its reverse: that is "
            "how an undirected list is stored, not a direction; find the source's true directions, or symmetrise the graph",
            DataWarning,
            stacklevel=2,
        )
    symmetric = graph.is_symmetric
    guide = guidance_score(statistics, rule=rule, theta=theta) if 2 in orders else None
    score = 0.0 if guide is None or symmetric else guide.score
    measured = None
    if gap or (gap is None and not symmetric and _affordable(graph, x, y, inside)):
        if x is None or y is None:
            raise UserError("the direction gap needs features and labels; give data.x and data.y, or pass gap=False")
        measured = direction_gap(graph, x, y, inside, num_nodes=graph.num_nodes, seed=seed)
    directed = score > theta
    nodes = int((torch.ones(graph.num_nodes, dtype=torch.bool) if counted is None else counted).sum())
    if y is not None and profile != "feature":
        nodes = int(((y >= 0) if counted is None else (y >= 0) & counted).sum())
    sentence = _sentence(
        graph, said, storage, guide is not None, score, directed, theta, measured, leaky and profile != "feature"
    )
    reciprocity = graph.info.reciprocal / graph.num_edges if graph.num_edges else 1.0
    return AmudReport(
        statistics, score, directed, theta, profile, orders, nodes, reciprocity, storage, measured, sentence
    )


def _read(data: Any) -> tuple[Any, Tensor | None, Tensor | None, DirectedGraph, bool | None]:
    """Container, features, labels, graph, and whether a task says that it is directed."""
    said = None
    if hasattr(data, "nodes_of"):  # a task
        said, data = bool(data.directed), data.data
    edge_index = getattr(data, "edge_index", None)
    if edge_index is None:
        raise UserError(
            f"{type(data).__name__} has no edge_index; expected a NodeTask or PyG's Data with edge_index and y"
        )
    y, x = getattr(data, "y", None), getattr(data, "x", None)
    if y is not None:
        if y.dim() == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.dim() != 1 or y.is_floating_point():
            raise UserError(
                f"y is {y.dtype} {list(y.shape)}, expected one class per node, int64 [N]; with several labels a node pass one "
                "of them, or use profile='feature'"
            )
        y = y.cpu().long()
        if y.numel() and int(y.min()) < -1:
            raise UserError(f"y holds the class {int(y.min())}, expected classes from 0, and -1 where unknown")
    num_nodes = len(y) if y is not None else len(x) if x is not None else int(data.num_nodes)
    if x is not None and len(x) != num_nodes:
        raise UserError(
            f"x has {len(x)} rows and y {num_nodes} labels; give one of each per node, label -1 where unknown"
        )
    return data, x, y, as_directed(edge_index, num_nodes), said


def _mask(data: Any, mask: Tensor | str | None, num_nodes: int) -> tuple[Tensor | None, bool]:
    """Nodes whose labels may be read, and whether held-out ones may be among them."""
    if mask is None:
        return None, True
    if isinstance(mask, str):
        if mask != "train":
            raise UserError(f"mask is {mask!r}, expected 'train', a bool tensor [N], or None for all labels")
        found: Tensor | None = getattr(data, "train_mask", None)
        if found is None:
            return None, True
        mask = found[:, 0] if found.dim() == 2 else found
    assert isinstance(mask, Tensor)
    if mask.shape != (num_nodes,) or mask.dtype != torch.bool:
        raise UserError(f"mask is {mask.dtype} {list(mask.shape)}, expected bool [{num_nodes}], one entry per node")
    return mask.cpu(), False


def _affordable(graph: DirectedGraph, x: Tensor | None, y: Tensor | None, inside: Tensor | None) -> bool:
    if x is None or y is None or 13 * graph.num_edges * x.shape[1] > _GAP_WORK or not bool(torch.isfinite(x).all()):
        return False
    labels = y[(y >= 0) if inside is None else (y >= 0) & inside]
    return len(labels) >= 20 and len(labels.unique()) > 1


def _sentence(graph: DirectedGraph, said: bool | None, storage: bool, scored: bool, score: float, directed: bool, theta: float,
              gap: DirectionGap | None, leaky: bool) -> str:  # fmt: skip
    if graph.num_edges == 0:
        return "The graph has no edges, so there is nothing to decide."
    if graph.is_symmetric or said is False:
        given = "The graph is given as undirected" if said is False else "Every edge has its reverse"
        return f"{given}: there is no direction to keep, so nothing to decide; treat the graph as undirected."
    side = "above" if directed else "not above"
    by_score = (
        f"the guidance score is {score:.2f}, {side} {theta:g} (experimental)"
        if scored
        else "no guidance score without order 2"
    )
    labels = ", held-out labels read" if leaky else ""
    if gap is None:
        advice = (
            "The correlations speak for keeping the directions"
            if directed
            else "The correlations do not speak for directions"
        )
        text = f"{advice}: {by_score}{labels}; how sure that is was not measured, pass features and gap=True."
    else:
        points, error = 100 * gap.mean, 100 * gap.standard_error
        gained = f"{'gains' if points >= 0 else 'loses'} {abs(points):.1f} points"
        measured = f"a linear classifier {gained} with them (standard error {error:.1f}{labels})"
        found = "The directions carry signal" if gap.mean > 0 else "Neighbourhoods tell more without the directions"
        against = gap.sure and scored and directed != (gap.mean > 0)
        text = f"{found if gap.sure else 'Whether the directions help is open'}: {measured}; {by_score}"
        text += ", against the measurement." if against else "."
    if storage:
        return f"The directions look like storage order, not data, so do not trust this: {text[0].lower()}{text[1:]}"
    return text
