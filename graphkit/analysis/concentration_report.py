"""Topological concentration of a link task beside the quality of the prediction, node by node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from scipy import stats
from torch import Tensor

from graphkit.analysis.node_link_quality import NodeLinkQuality, Scorer, node_link_quality
from graphkit.analysis.topological_concentration import (
    approximate_concentration,
    concentration_of_parts,
    default_beta,
    split_concentration,
    topological_concentration,
)
from graphkit.data import LinkTask
from graphkit.data.random_streams import SPLIT, permutation
from graphkit.errors import UserError, nearest
from graphkit.ops import SimpleGraph

__all__ = ["ConcentrationReport", "Correlation", "Group", "LowPerformers", "Shift", "tc_report"]

SPLITS = ("train", "valid", "test")
SHARES = tuple(percent / 100 for percent in range(1, 31))
SHIFTS = (("train", "valid"), ("train", "test"), ("valid", "test"))


class Correlation(NamedTuple):
    """How a property of nodes goes along with a metric; None where one of the two is the same for all nodes.

    Example:
        >>> Correlation("tc train", "recall@20", 0.5, None).pearson
        0.5
    """

    predictor: str
    metric: str
    pearson: float | None
    spearman: float | None


class Group(NamedTuple):
    """Nodes whose property lies in [low, high], and the mean of a metric over them with its standard error.

    Example:
        >>> Group(0.0, 0.1, 12, 0.4, 0.05).nodes
        12
    """

    low: float
    high: float
    nodes: int
    mean: float
    standard_error: float


class LowPerformers(NamedTuple):
    """Mean of a metric over the share of nodes that is lowest in concentration, and lowest in degree.

    Example:
        >>> LowPerformers(0.1, 0.2, 0.3).by_degree
        0.3
    """

    share: float
    by_concentration: float
    by_degree: float


class Shift(NamedTuple):
    """Concentration with regard to one split less that with regard to another, at the nodes where both are defined.

    Attributes:
        earlier, later: the two splits.
        values: float64 ``[n]``, the difference at each such node.
        mean, standard_error: over these nodes, as if they were independent; they are not quite, an edge counts at both ends.
        control: the mean for random splits of the same graph into the same sizes, averaged over several; None: not made.
        control_deviation: of the mean from one random split to the next; 0 for a single one. What a shift is to be held
            against.

    Example:
        >>> Shift("train", "test", torch.tensor([0.1]), 0.1, 0.0, None, None).mean
        0.1
    """

    earlier: str
    later: str
    values: Tensor
    mean: float
    standard_error: float
    control: float | None
    control_deviation: float | None


@dataclass(frozen=True)
class ConcentrationReport:
    """What :func:`tc_report` found.

    Attributes:
        name: of the task.
        hops, beta, norm: of the concentration.
        concentration: float64 ``[N]`` by split.
        estimate: float64 ``[N]``, the same for train from random features (ATC), or None.
        defined: bool ``[N]`` by split, where it is more than a convention: at nodes with a neighbour in the split and one in
            train; for train with the norm ``"source"`` two, as a single one has nobody to share with. Elsewhere it is 0.
        degree: int64 ``[N]`` by split.
        clustering, density: float64 ``[N]``: local clustering, and density of a node's neighbourhood with the node in it.
        without_neighbors: how many nodes have no neighbour in a split, by split.
        unreached: how many nodes have a neighbour in valid or test but none in train, by split: nothing can be said of them.
        shifts: :class:`Shift` by ``"train-valid"``, ``"train-test"``, ``"valid-test"``, where both splits have edges.
        quality: of the prediction, or None.

    Example:
        >>> ring = torch.stack([torch.arange(20), (torch.arange(20) + 1) % 20])
        >>> tc_report(LinkTask.from_edges("ring", ring, 20)).concentration["train"].max().item()
        0.0
    """

    name: str
    hops: int
    beta: float
    norm: str
    concentration: dict[str, Tensor]
    estimate: Tensor | None
    defined: dict[str, Tensor]
    degree: dict[str, Tensor]
    clustering: Tensor
    density: Tensor
    without_neighbors: dict[str, int]
    unreached: dict[str, int]
    shifts: dict[str, Shift]
    quality: NodeLinkQuality | None = None
    predictors: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def mean(self, split: str) -> float:
        """Mean concentration over the nodes where it is defined; 0 where there is none."""
        return _mean_and_error(self.concentration[split][self.defined[split]])[0]

    def correlations(self, metrics: Sequence[str] | None = None) -> list[Correlation]:
        """Every property of nodes with every metric, over the nodes that have a link to be predicted.

        Args:
            metrics: names as in :class:`NodeLinkQuality`; None: all.

        Raises:
            UserError: for a report without a prediction, or an unknown metric.
        """
        quality = self._quality()
        found = []
        for name, values in self.predictors.items():
            for metric in quality.values if metrics is None else metrics:
                found.append(Correlation(name, metric, *_correlated(values[quality.nodes], self._values(metric))))
        return found

    def by_quantile(self, metric: str, predictor: str = "tc train", groups: int = 5) -> list[Group]:
        """A metric over groups of nodes that a property sorts, of about equal size; nodes of one value stay together.

        Args:
            metric: name as in :class:`NodeLinkQuality`.
            predictor: name of a property, see ``predictors``.
            groups: how many; fewer where values repeat.

        Raises:
            UserError: for a report without a prediction, or an unknown name.
        """
        if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
            raise UserError(f"groups is {groups!r}, expected a whole number from 1 upwards")
        if predictor not in self.predictors:
            raise UserError(nearest(str(predictor), self.predictors, "property of nodes"))
        values, result = self.predictors[predictor][self._quality().nodes].double(), self._values(metric)
        ordered = values.sort().values
        last = [len(ordered) * g // groups - 1 for g in range(1, groups + 1)]
        ends = torch.unique(ordered[[place for place in last if place >= 0]])
        which, found = torch.searchsorted(ends, values), []
        for group in range(len(ends)):
            kept = which == group
            mean, error = _mean_and_error(result[kept])
            low, high = (float(v) for v in values[kept].aminmax())
            found.append(Group(low, high, int(kept.sum()), mean, error))
        return found

    def low_performers(self, metric: str, shares: Sequence[float] = SHARES) -> list[LowPerformers]:
        """The nodes of least train concentration beside those of least train degree, and how well each group is predicted.

        Where nodes tie at the border of a group, they count in part, so that the order of the nodes does not matter.

        Raises:
            UserError: for a report without a prediction, an unknown metric, or a share outside (0, 1].
        """
        nodes, result = self._quality().nodes, self._values(metric)
        found = []
        for share in shares:
            if not 0 < share <= 1:
                raise UserError(f"a share is {share!r}, expected a number above 0 and up to 1")
            of_both = [
                _mean_of_lowest(self.predictors[name][nodes].double(), result, share)
                for name in ("tc train", "degree train")
            ]
            found.append(LowPerformers(share, *of_both))
        return found

    def _quality(self) -> NodeLinkQuality:
        if self.quality is None:
            raise UserError("the report was made without a prediction; hand tc_report a model or scores")
        return self.quality

    def _values(self, metric: str) -> Tensor:
        values = self._quality().values
        if metric not in values:
            raise UserError(nearest(str(metric), values, "metric"))
        return values[metric]


def tc_report(
    task: LinkTask,
    scorer: Scorer | None = None,
    *,
    split: str = "test",
    hops: int = 1,
    norm: str | None = None,
    beta: float | None = None,
    approximate: bool = False,
    estimate: bool = True,
    ks: Sequence[int] = (5, 10, 20, 50, 100),
    filtered: bool = True,
    sample: int | None = None,
    controls: int = 3,
    seed: int = 0,
) -> ConcentrationReport:
    """Concentration of every node with regard to each split, its shift between splits, and how it goes along with quality.

    Args:
        task: edges and their splits; walks are in the train edges.
        scorer: what is to be looked at, as for :func:`node_link_quality`: a model, a function of nodes, or a table of scores;
            None: the graph alone.
        split: whose links are predicted.
        hops, norm, beta: of the concentration, see :func:`topological_concentration`.
        approximate: estimate the concentration of all splits from random features, for graphs where it is too dear.
        estimate: whether to estimate that of train beside the exact one, to correlate it too.
        ks: cut-offs of the metrics.
        filtered, sample: as for :func:`node_link_quality`.
        controls: random splits of the same graph that the shift is compared with; 0: none.
        seed: of the random splits, of the features and of the sample.

    Returns:
        :class:`ConcentrationReport`.

    Raises:
        UserError: as the functions named above.

    Source:
        Wang et al., A topological perspective on demystifying GNN-based link prediction performance (ICLR 2024),
        the analyses of concentration, degree and shift.

    Example:
        >>> from graphkit.analysis import resource_allocation
        >>> generator = torch.Generator().manual_seed(0)
        >>> edges = torch.randint(30, (2, 120), generator=generator)
        >>> task = LinkTask.from_edges("toy", edges, 30, split="70/10/20")
        >>> report = tc_report(task, resource_allocation(task), ks=(5,))
        >>> sum(group.nodes for group in report.by_quantile("recall@5")) == len(report.quality.nodes)
        True
    """
    if isinstance(controls, bool) or not isinstance(controls, int) or controls < 0:
        raise UserError(f"controls is {controls!r}, expected a whole number from 0 upwards")
    graph = SimpleGraph(task.train, num_nodes=task.num_nodes)
    beta = default_beta(graph) if beta is None else beta
    options: dict[str, Any] = {"hops": hops, "norm": norm, "approximate": approximate, "seed": seed, "beta": beta}
    quality = None
    if scorer is not None:
        quality = node_link_quality(task, scorer, split=split, ks=ks, filtered=filtered, sample=sample, seed=seed)
    found = split_concentration(task, **options)
    degree = {one: _degree(task.edges(one), task.num_nodes) for one in SPLITS}
    clustering = topological_concentration(graph, num_nodes=task.num_nodes)
    d = graph.degree.double()
    density = (d + clustering * d * (d - 1) / 2) / (d * (d + 1) / 2).clamp(min=1)
    about = None
    if estimate and not approximate:
        about = approximate_concentration(graph, num_nodes=task.num_nodes, hops=hops, beta=beta, seed=seed).value
    predictors = {f"tc {one}": found[one] for one in SPLITS}
    predictors |= {} if about is None else {"atc train": about}
    predictors |= {f"degree {one}": degree[one] for one in SPLITS}
    predictors |= {"density": density, "clustering": clustering}
    return ConcentrationReport(
        name=task.name,
        hops=hops,
        beta=beta,
        norm="product" if approximate else norm or "source",
        concentration=found,
        estimate=about,
        defined=_defined(degree, options),
        degree=degree,
        clustering=clustering,
        density=density,
        without_neighbors={one: int((degree[one] == 0).sum()) for one in SPLITS},
        unreached={one: int(((degree[one] > 0) & (degree["train"] == 0)).sum()) for one in ("valid", "test")},
        shifts=_shifts(task, found, controls, seed, options),
        quality=quality,
        predictors=predictors,
    )


def _degree(edges: Tensor, num_nodes: int) -> Tensor:
    return SimpleGraph(edges, num_nodes=num_nodes).degree


def _defined(degree: dict[str, Tensor], options: dict[str, Any]) -> dict[str, Tensor]:
    source = options["norm"] in (None, "source") and not options["approximate"]
    reached = degree["train"] > 0
    masks = {one: reached & (degree[one] > 0) for one in ("valid", "test")}
    return {"train": degree["train"] > int(source), **masks}


def _shifts(
    task: LinkTask, found: dict[str, Tensor], controls: int, seed: int, options: dict[str, Any]
) -> dict[str, Shift]:
    parts = [task.edges(one) for one in SPLITS]
    values = _differences(found, parts, task.num_nodes, options)
    pooled, sizes, random = torch.cat(parts, 1), [part.size(1) for part in parts], []
    for control in range(controls if values else 0):
        order = permutation(pooled.size(1), seed=seed, epoch=control, stream=SPLIT)
        train, valid, test = (pooled[:, some] for some in order.split(sizes))
        other = concentration_of_parts(train, {"valid": valid, "test": test}, task.num_nodes, **options)
        random.append(_differences(other, [train, valid, test], task.num_nodes, options))
    shifts = {}
    for pair, difference in values.items():
        mean, error = _mean_and_error(difference)
        control_mean = deviation = None
        if random:
            drawn = torch.tensor([_mean_and_error(one[pair])[0] for one in random], dtype=torch.float64)
            control_mean, deviation = float(drawn.mean()), float(drawn.std()) if len(random) > 1 else 0.0
        shifts["-".join(pair)] = Shift(*pair, difference, mean, error, control_mean, deviation)
    return shifts


def _differences(
    found: dict[str, Tensor], parts: list[Tensor], num_nodes: int, options: dict[str, Any]
) -> dict[tuple[str, str], Tensor]:
    """At the nodes where both are defined, for every two splits that have edges."""
    defined = _defined({one: _degree(part, num_nodes) for one, part in zip(SPLITS, parts, strict=True)}, options)
    sizes = {one: part.size(1) for one, part in zip(SPLITS, parts, strict=True)}
    return {
        (earlier, later): (found[earlier] - found[later])[defined[earlier] & defined[later]]
        for earlier, later in SHIFTS
        if sizes[earlier] and sizes[later]
    }


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    """Mean and standard error; 0 of too few values."""
    count = len(values)
    return float(values.mean()) if count else 0.0, float(values.std() / count**0.5) if count > 1 else 0.0


def _correlated(one: Tensor, two: Tensor) -> tuple[float | None, float | None]:
    one, two = one.double(), two.double()
    if len(one) < 2 or bool((one == one[0]).all()) or bool((two == two[0]).all()):
        return None, None
    ranked = [torch.from_numpy(stats.rankdata(values.numpy())) for values in (one, two)]
    return _pearson(one, two), _pearson(*ranked)


def _pearson(one: Tensor, two: Tensor) -> float:
    one, two = one - one.mean(), two - two.mean()
    return float(((one @ two) / (one.norm() * two.norm())).clamp(-1, 1))


def _mean_of_lowest(values: Tensor, result: Tensor, share: float) -> float:
    """Mean of the result over the lowest share of the values; the group that ties at the border counts in part."""
    count = max(1, round(share * len(values)))
    border = values.sort().values[count - 1]
    below, at = values < border, values == border
    inside = int(below.sum())
    return float((result[below].sum() + (count - inside) * result[at].mean()) / count)
