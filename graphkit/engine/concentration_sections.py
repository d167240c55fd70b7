"""The sections of an analysis that topological concentration fills."""

from __future__ import annotations

import numpy as np

from graphkit.analysis import ConcentrationReport
from graphkit.engine.analysis_subject import Subject
from graphkit.engine.concentration_plots import distribution_plot, quality_plot, shift_plot
from graphkit.engine.plots import can_plot
from graphkit.engine.report_blocks import Block, Drawing, Paragraph, Section, Table
from graphkit.engine.table_formats import DASH, number

__all__ = ["concentration_section", "quality_section", "shift_section"]

_NAMES = {
    "tc train": "concentration, train", "tc valid": "concentration, valid", "tc test": "concentration, test",
    "atc train": "concentration, train, estimated", "degree train": "degree, train", "degree valid": "degree, valid",
    "degree test": "degree, test", "density": "density of the neighbourhood", "clustering": "clustering coefficient",
}  # fmt: skip
_METRICS = {"recall": "Recall", "precision": "Precision", "f1": "F1", "hit": "Hit", "ndcg": "NDCG", "mrr": "MRR"}


def concentration_section(subject: Subject) -> Section | None:
    """Concentration by split.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> concentration_section(subject_of("cora")).title  # doctest: +SKIP
        'Topological concentration'
    """
    report = subject.report
    rows = []
    for split, values in report.concentration.items():
        inside = values[report.defined[split]]
        if len(inside):
            low, middle, high = (float(np.quantile(inside.numpy(), q)) for q in (0.25, 0.5, 0.75))
            shown = [number(v, 4) for v in (report.mean(split), low, middle, high)]
            counts = [f"{int((inside == 0).sum()):,}", f"{len(values) - len(inside):,}"]
            rows.append([split, f"{len(inside):,}", *shown, *counts])
    header = (
        "neighbours of",
        "nodes",
        "mean",
        "lower quartile",
        "median",
        "upper quartile",
        "of them at 0",
        "undefined",
    )
    hops = f"{report.hops} hop{'' if report.hops == 1 else 's'}"
    discount = f", discount {report.beta:.3g}" if report.hops > 1 else ""
    how = ", estimated from random features" if subject.approximate else ""
    blocks: list[Block] = [
        Paragraph(
            "How much the surroundings of a node overlap with those of its neighbours, from 0 to 1: where it is low, links "
            "are hard to predict. Walks are in the train edges; the mean is over the neighbours of each split. It is "
            "undefined, and left out, at nodes without a neighbour in the split or in train"
            + (", and for train at those with a single one." if report.norm == "source" else ".")
        ),
        Table(header, rows, numeric=range(1, 8), caption=f"{hops}, norm {report.norm}{discount}{how}"),
    ]
    blocks += [
        Paragraph(
            f"{count:,} nodes have a {split} edge but no train edge: no method that reads the graph can place them."
        )
        for split, count in report.unreached.items()
        if count
    ]
    if can_plot():
        values_of = {s: v[report.defined[s]].numpy() for s, v in report.concentration.items()}
        text = "Histogram of the concentration of the nodes, a line per split"
        blocks.append(Drawing("concentration", distribution_plot(values_of), text))
    return Section("Topological concentration", blocks)


def shift_section(subject: Subject) -> Section | None:
    """How concentration shifts from split to split, beside random splits of the same graph.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> shift_section(subject_of("cora")).title  # doctest: +SKIP
        'Distribution shift'
    """
    shifts = list(subject.report.shifts.values())
    if not shifts:
        return None
    rows = []
    for shift in shifts:
        control = [number(shift.control, 4, sign=True) or DASH, number(shift.control_deviation, 4) or DASH]
        mean = [f"{len(shift.values):,}", number(shift.mean, 4, sign=True), number(shift.standard_error, 4)]
        rows.append([f"{shift.earlier} less {shift.later}", *mean, *control])
    header = ("difference", "nodes", "mean", "standard error", "random splits", "their deviation")
    blocks: list[Block] = [
        Paragraph(
            "Concentration with regard to one split less that with regard to a later one, at the nodes where both are "
            "defined. Above what random splits of the same graph into the same sizes have, new neighbours share less with "
            "a node than old ones: a model meets in the later split what training has not shown."
        ),
        Table(header, rows, numeric=range(1, 6)),
    ]
    if can_plot():
        blocks.append(
            Drawing("shift", shift_plot(shifts), "Histograms of the difference of concentration between splits")
        )
    return Section("Distribution shift", blocks)


def quality_section(subject: Subject) -> Section | None:
    """Where prediction is good and where it fails, along concentration and degree.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> quality_section(subject_of("cora")).title  # doctest: +SKIP
        'Prediction by concentration'
    """
    report, metric = subject.report, f"recall@{subject.k}"
    if report.quality is None:
        return None
    groups = {
        name: report.by_quantile(metric, f"{key} train")
        for name, key in (("concentration", "tc"), ("degree", "degree"))
    }
    low = report.low_performers(metric)
    count = len(report.quality.nodes)
    drawn_from = f"{count:,} nodes drawn at random" if subject.sample else f"all {count:,} nodes with a test edge"
    blocks: list[Block] = [
        Paragraph(
            f"Predicted by {subject.scorer_name}, over {drawn_from}: every other node that is no known neighbour is a candidate."
        ),
        _overview(report),
    ]
    bounds = {"concentration": 4, "degree": 0}  # decimals
    for name, rows in groups.items():
        table = [
            [
                str(position),
                number(g.low, bounds[name]),
                number(g.high, bounds[name]),
                f"{g.nodes:,}",
                number(g.mean, 4),
                number(g.standard_error, 4),
            ]
            for position, g in enumerate(rows, start=1)
        ]
        header = ("group", "from", "to", "nodes", metric_label(metric), "standard error")
        blocks.append(Table(header, table, numeric=range(6), caption=f"By {name} in train"))
    if can_plot():
        text = f"{metric_label(metric)} by groups of nodes, and over the nodes lowest in concentration and in degree"
        blocks.append(Drawing("quality", quality_plot(groups, low, metric_label(metric)), text))
    tenth = next(row for row in low if abs(row.share - 0.1) < 1e-9)
    blocks.append(
        Paragraph(
            f"The tenth of the nodes that is lowest in concentration has {metric_label(metric)} {tenth.by_concentration:.4f}, "
            f"the tenth that is lowest in degree {tenth.by_degree:.4f}."
        )
    )
    blocks.append(_correlations(report))
    blocks.append(
        Paragraph(
            "Precision, F1, Hit and NDCG favour nodes with many test edges even under a random ranking; Recall does not.",
            note=True,
        )
    )
    return Section("Prediction by concentration", blocks)


def metric_label(metric: str) -> str:
    """A metric of nodes as people write it.

    Example:
        >>> metric_label("ndcg@20"), metric_label("mrr")
        ('NDCG@20', 'MRR')
    """
    name, at, k = metric.partition("@")
    return f"{_METRICS.get(name, name)}{at}{k}"


def _overview(report: ConcentrationReport) -> Table:
    quality = report.quality
    assert quality is not None
    rows = [
        [metric_label(name), number(quality.mean(name), 4), number(float(quality.chance[name].mean()), 4),
         number(float(quality.corrected(name).mean()), 4)]
        for name in quality.values
    ]  # fmt: skip
    caption = "Mean over the nodes; corrected: 0 is chance, 1 is perfect"
    return Table(("metric", "mean", "by chance", "corrected"), rows, numeric=(1, 2, 3), caption=caption)


def _correlations(report: ConcentrationReport) -> Table:
    quality = report.quality
    assert quality is not None
    found = {(one.predictor, one.metric): one for one in report.correlations()}
    rows = []
    for name in report.predictors:
        pairs = [found[name, metric] for metric in quality.values]
        text = [
            DASH
            if one.pearson is None or one.spearman is None
            else f"{number(one.pearson, 2)} / {number(one.spearman, 2)}"
            for one in pairs
        ]
        rows.append([_NAMES.get(name, name), *text])
    header = ("property of a node", *(metric_label(name) for name in quality.values))
    caption = "Correlation over the nodes, Pearson's / Spearman's"
    return Table(header, rows, numeric=range(1, len(header)), caption=caption)
