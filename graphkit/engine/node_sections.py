"""The sections of an analysis of a graph with labelled nodes, each a function of its subject."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from graphkit.analysis import homophily
from graphkit.data import score_nodes
from graphkit.engine.node_plots import depth_plot, error_map, influence_plot, label_map
from graphkit.engine.node_subject import NodeSubject
from graphkit.engine.plots import can_plot
from graphkit.engine.recommendation_section import recommendation_section
from graphkit.engine.report_blocks import Block, Drawing, Headline, Paragraph, Section, Table
from graphkit.engine.table_formats import number
from graphkit.errors import DataWarning, UserError

__all__ = ["NODE_SECTIONS", "node_headline", "node_sections"]

_SHOWN = 20  # classes in a table


def node_sections(subject: NodeSubject) -> list[Section]:
    """Sections of the analysis, in order; those that have nothing to show are left out.

    Raises:
        UserError: for a graph without edges.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> [section.title for section in node_sections(subject_of("cora", task="node"))]  # doctest: +SKIP
        ['Graph', 'Homophily', 'Direction', 'Hops needed']
    """
    if subject.task.edge_index.size(1) == 0:
        raise UserError(f"{subject.task.name} has no edges; an analysis needs a graph with edges")
    found = [section for section in (build(subject) for build in NODE_SECTIONS) if section is not None]
    if not can_plot():
        note = 'Plots are left out: matplotlib is not installed (pip install "graphkit-torch[plots]").'
        found[-1] = Section(found[-1].title, [*found[-1].blocks, Paragraph(note, note=True)])
    return found


def node_headline(subject: NodeSubject) -> Headline:
    """Name, and the radius of the model or the size of the graph.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> node_headline(subject_of("cora", task="node")).title  # doctest: +SKIP
        'cora: analysis'
    """
    task, report = subject.task, subject.influence
    if report is None:
        return Headline(f"{task.name}: analysis", "nodes", f"{task.num_nodes:,}", f"{task.out_channels} classes")
    beside = f"standard error {number(report.radius_error, 3)}, {len(report.nodes):,} nodes"
    return Headline(f"{task.name}: analysis", "influence radius", number(report.radius, 3), beside)


def graph_section(subject: NodeSubject) -> Section | None:
    """Sizes, degrees, components and classes.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> graph_section(subject_of("cora", task="node")).title  # doctest: +SKIP
        'Graph'
    """
    task = subject.task
    n, (source, target) = task.num_nodes, task.edge_index
    sizes = Table(("", ""), [[key, f"{value:,}"] for key, value in task.statistics().items()])
    entries = csr_array((np.ones(len(source), dtype=np.int8), (source.numpy(), target.numpy())), shape=(n, n))
    parts, label = connected_components(entries, directed=False)
    rows = []
    for name, ends in (("in", target), ("out", source)) if task.directed else (("degree", target),):
        degree = torch.bincount(ends, minlength=n).double()
        shown = [number(float(degree.mean()), 2), f"{degree.median():.0f}", f"{int(degree.max()):,}"]
        rows.append([name, *shown, f"{int((degree == 0).sum()):,}"])
    header = ("edges", "mean", "median", "largest", "nodes without")
    largest = f"the largest of {int(np.bincount(label).max()):,} nodes"
    caption = f"Degrees; {parts:,} connected parts, {largest}" if parts > 1 else "Degrees; the graph is connected"
    blocks: list[Block] = [sizes, Table(header, rows, numeric=range(1, 5), caption=caption)]
    if not task.multi_label:
        counts = {
            s: torch.bincount(task.y[task.nodes_of(s)], minlength=task.out_channels) for s in ("train", "valid", "test")
        }
        names = task.classes or [str(k) for k in range(task.out_channels)]
        table = [
            [names[k], *(f"{int(count[k]):,}" for count in counts.values())] for k in range(min(_SHOWN, len(names)))
        ]
        more = f"; {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        blocks.append(Table(("class", *counts), table, numeric=(1, 2, 3), caption=f"Nodes by class{more}"))
    return Section("Graph", blocks)


def homophily_section(subject: NodeSubject) -> Section | None:
    """Whether neighbours share labels, by every usual definition, on training labels and on all.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> homophily_section(subject_of("cora", task="node")).title  # doctest: +SKIP
        'Homophily'
    """
    task = subject.task
    if subject.homophily is None:
        return None
    found = {"training labels": subject.homophily, "all labels": homophily(task)}
    names = ("edge", "node", "class_insensitive", "adjusted", "informativeness")
    rows = [[n.replace("_", "-"), *(number(getattr(one, n), 4) for one in found.values())] for n in names]
    rows.append(["edges between labelled nodes", *(f"{one.edges:,}" for one in found.values())])
    directed = [one.directed for one in found.values()]
    if all(one is not None for one in directed):
        kept = [one for one in directed if one is not None]
        rows += [
            [f"pattern {word}", *(number(one.patterns.get(word, 0.0), 4) for one in kept)] for word in kept[0].patterns
        ]
    words = (
        "How often neighbours share a label. Adjusted homophily is 0 where they meet by chance; informativeness tells what a "
        "neighbour's label says of a node's, be it the same or not. A choice of model should look at training labels alone."
    )
    return Section("Homophily", [Paragraph(words), Table(("measure", *found), rows, numeric=(1, 2))])


def direction_section(subject: NodeSubject) -> Section | None:
    """Whether the direction of edges carries signal (AMUD).

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> direction_section(subject_of("cora", task="node")).title  # doctest: +SKIP
        'Direction'
    """
    if subject.task.multi_label:
        return None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DataWarning)
        report = subject.amud
    assert report is not None
    notes = [str(one.message) for one in said if issubclass(one.category, DataWarning)]
    blocks: list[Block] = [Paragraph(report.sentence), *(Paragraph(note, note=True) for note in notes)]
    rows = [[word, number(one.r, 4, sign=True), number(one.r2, 6)] for word, one in report.statistics.items()]
    if any(one.r for one in report.statistics.values()):
        caption = "Correlation of being reached by a pattern with having the same label"
        blocks.append(Table(("pattern", "r", "R^2"), rows, numeric=(1, 2), caption=caption))
    return Section("Direction", blocks)


def depth_section(subject: NodeSubject) -> Section | None:
    """Accuracy of a quick classifier on features of fewer or more hops.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> depth_section(subject_of("cora", task="node")).title  # doctest: +SKIP
        'Hops needed'
    """
    probe = subject.depth
    if probe is None:
        return None
    if isinstance(probe, UserError):
        return Section("Hops needed", [Paragraph(f"Not probed: {probe}.")])
    rows = [
        [str(d), number(100 * a, 1), number(100 * probe.error(a), 1), number(100 * b, 1)]
        for d, a, b in zip(probe.depths, probe.together, probe.alone, strict=True)
    ]
    words = (
        f"A ridge classifier on features that were averaged over neighbours so many times, learned from {probe.train:,} training "
        f"nodes and tried on {probe.valid:,} validation nodes. {_hops(probe.needed)} within one standard error of the best. It "
        "shows whether distance helps at all; trained networks may do better at every depth."
    )
    header = ("hops", "accuracy (%)", "standard error", "last hop alone (%)")
    blocks: list[Block] = [Paragraph(words), Table(header, rows, numeric=range(4))]
    if can_plot():
        blocks.append(Drawing("depth", depth_plot(probe), "Accuracy on validation nodes against hops"))
    return Section("Hops needed", blocks)


def influence_section(subject: NodeSubject) -> Section | None:
    """How far the model of a run looks.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> influence_section(subject_of("runs/cora", task="node")).title  # doctest: +SKIP
        'Influence radius'
    """
    report = subject.influence
    if report is None:
        return None
    reach = (
        f"It can look {report.receptive_hops} hop{'' if report.receptive_hops == 1 else 's'} at most."
        if report.receptive_hops is not None
        else f"It was measured on the whole graph: {report.reason}."
    )
    words = (
        f"Influence of features at each hop on the scores of {subject.model_name}: sums of the absolute entries of the Jacobian, "
        f"at {len(report.nodes):,} nodes drawn at random. R, the mean hop weighted by influence, is {number(report.radius, 3)} "
        f"with a standard error of {number(report.radius_error, 3)} over the nodes. {reach}"
    )
    rows = [
        [str(hop), number(100 * float(share), 2), number(float(mean), 4), number(float(error), 4)]
        for hop, (share, mean, error) in enumerate(
            zip(report.shares, report.per_hop, report.per_hop_error, strict=True)
        )
        if float(mean) > 0
    ]
    if report.truncated_share > 0:
        rows.append([f"beyond {len(report.per_hop) - 1}", number(100 * report.truncated_share, 2), "", ""])
    header = ("hop", "share (%)", "influence", "standard error")
    blocks: list[Block] = [Paragraph(words), Table(header, rows, numeric=range(4))]
    if can_plot():
        text = "Influence by hop, relative to hop 0, with a band of 95 %"
        blocks.append(Drawing("influence", influence_plot({type(subject.model).__name__: report}), text))
    return Section("Influence radius", blocks)


def map_section(subject: NodeSubject) -> Section | None:
    """Maps of the nodes by label and, with a model, by error, where the data have positions.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> map_section(subject_of("city/sample", task="node")).title  # doctest: +SKIP
        'Maps'
    """
    task, pos = subject.task, subject.positions
    if pos is None or task.multi_label or not can_plot():
        return None
    text = "Map of the nodes, coloured by label"
    blocks: list[Block] = [Drawing("labels", label_map(pos.numpy(), task.y.numpy(), task.classes), text)]
    held_out = torch.cat([task.nodes_of("valid"), task.nodes_of("test")])
    if subject.model is not None and len(held_out):
        wrong = score_nodes(subject.model, task, held_out).argmax(1) != task.y[held_out]
        share = number(100 * float(wrong.double().mean()), 1)
        words = f"{subject.model_name} is wrong at {share} % of the {len(held_out):,} nodes of valid and test, see the second map."
        blocks.insert(0, Paragraph(words))
        text = "Map of the nodes of valid and test, coloured by whether the model is wrong"
        blocks.append(Drawing("errors", error_map(pos[held_out].numpy(), wrong.numpy()), text))
    return Section("Maps", blocks)


def _hops(count: int) -> str:
    return "1 hop is" if count == 1 else f"{count} hops are"


NODE_SECTIONS: tuple[Callable[[NodeSubject], Section | None], ...] = (
    graph_section,
    homophily_section,
    direction_section,
    depth_section,
    influence_section,
    map_section,
    recommendation_section,
)
"""What an analysis of a graph with labelled nodes consists of, in order."""
