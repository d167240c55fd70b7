"""The sections of an analysis, each a function of its subject. To add one: write it and name it in ``SECTIONS``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from graphkit.engine.analysis_subject import Subject
from graphkit.engine.concentration_sections import concentration_section, quality_section, shift_section
from graphkit.engine.node_sections import node_headline, node_sections
from graphkit.engine.node_subject import NodeSubject
from graphkit.engine.orbit_sections import orbit_section
from graphkit.engine.plots import can_plot
from graphkit.engine.recommendation_section import recommendation_section
from graphkit.engine.report_blocks import Headline, Paragraph, Section, Table
from graphkit.engine.table_formats import number
from graphkit.errors import UserError
from graphkit.ops import SimpleGraph

__all__ = ["SECTIONS", "analysis_headline", "analysis_sections"]


def analysis_sections(subject: Subject | NodeSubject) -> list[Section]:
    """Sections of the analysis of a subject, in order; those that have nothing to show are left out.

    Raises:
        UserError: for a graph without edges, and as the analyses.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> [section.title for section in analysis_sections(subject_of("cora"))]  # doctest: +SKIP
        ['Graph', 'Orbits', 'Topological concentration', 'Distribution shift', 'Prediction by concentration']
    """
    if isinstance(subject, NodeSubject):
        return node_sections(subject)
    if subject.task.train.size(1) == 0:
        raise UserError(f"{subject.task.name} has no train edges; an analysis needs a graph with edges")
    found = [section for section in (build(subject) for build in SECTIONS) if section is not None]
    if not can_plot():
        note = 'Plots are left out: matplotlib is not installed (pip install "graphkit-torch[plots]").'
        found[-1] = Section(found[-1].title, [*found[-1].blocks, Paragraph(note, note=True)])
    return found


def analysis_headline(subject: Subject | NodeSubject) -> Headline:
    """Name and mean train concentration; of a graph with labelled nodes, :func:`node_headline`.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> analysis_headline(subject_of("cora")).metric  # doctest: +SKIP
        'concentration'
    """
    if isinstance(subject, NodeSubject):
        return node_headline(subject)
    report = subject.report
    beside = ", ".join(
        f"{split} {number(report.mean(split), 4)}" for split in ("valid", "test") if bool(report.degree[split].any())
    )
    return Headline(f"{report.name}: analysis", "concentration", number(report.mean("train"), 4), beside)


def graph_section(subject: Subject) -> Section | None:
    """Sizes, degrees and components.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> graph_section(subject_of("cora")).title  # doctest: +SKIP
        'Graph'
    """
    task = subject.task
    sizes = Table(("", ""), [[key, f"{value:,}"] for key, value in task.statistics().items()])
    edges = torch.cat([task.train, task.valid, task.test], 1)
    rows = []
    for name, some in (("train", task.train), ("valid", task.valid), ("test", task.test), ("all", edges)):
        graph = SimpleGraph(some, num_nodes=task.num_nodes)
        degree = graph.degree.double()
        entries = (np.ones(len(graph.col), dtype=np.int8), graph.col.numpy(), graph.ptr.numpy())
        parts, label = connected_components(csr_array(entries, shape=(task.num_nodes,) * 2), directed=False)
        largest = int(np.bincount(label).max()) if task.num_nodes else 0
        middle = float(degree.median()) if task.num_nodes else 0.0
        numbers = [
            number(float(degree.mean()), 2),
            f"{middle:.0f}",
            f"{graph.max_degree:,}",
            f"{int((degree == 0).sum()):,}",
        ]
        rows.append([name, f"{graph.num_edges:,}", *numbers, f"{parts:,}", f"{largest:,}"])
    header = (
        "edges of",
        "edges",
        "mean degree",
        "median",
        "largest",
        "isolated nodes",
        "components",
        "largest component",
    )
    return Section("Graph", [sizes, Table(header, rows, numeric=range(1, 8), caption="Degrees")])


SECTIONS: tuple[Callable[[Subject], Section | None], ...] = (
    graph_section,
    orbit_section,
    concentration_section,
    shift_section,
    quality_section,
    recommendation_section,
)
"""What an analysis consists of, in order."""
