"""The section of an analysis on orbits: in which small shapes the nodes of a graph stand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from graphkit.engine.analysis_subject import Subject
from graphkit.engine.plots import PLOT_STYLE, Plot, can_plot, drawn
from graphkit.engine.report_blocks import Block, Drawing, Paragraph, Section, Table
from graphkit.engine.table_formats import number
from graphkit.errors import UserError
from graphkit.ops import SimpleGraph, orbit_counts

__all__ = ["orbit_section", "orbits_plot"]

#: where a node stands on each orbit, 0 to 14
_PLACES = (
    "edge", "3-path, end", "3-path, middle", "triangle", "4-path, end", "4-path, middle", "star, leaf", "star, centre",
    "4-cycle", "paw, tail", "paw, far corner", "paw, corner with the tail", "diamond, degree 2", "diamond, degree 3",
    "4-clique",
)  # fmt: skip


def orbit_section(subject: Subject) -> Section | None:
    """How many induced subgraphs with up to four nodes the nodes are in, by place; over the edges of all splits.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> orbit_section(subject_of("cora")).title  # doctest: +SKIP
        'Orbits'
    """
    task = subject.task
    graph = SimpleGraph(torch.cat([task.train, task.valid, task.test], 1), num_nodes=task.num_nodes)
    try:
        counts = orbit_counts(graph, num_nodes=task.num_nodes).numpy()
    except UserError as error:  # a graph so dense that counts might overflow
        return Section("Orbits", [Paragraph(f"Not counted: {error}.")])
    rows = []
    for orbit, place in enumerate(_PLACES):
        column = counts[:, orbit]
        shown = [f"{float(column.mean()):,.1f}", f"{int(np.median(column)):,}", f"{int(column.max()):,}"]
        rows.append([f"{orbit}", place, number(100 * float((column > 0).mean()), 1), *shown])
    words = (
        "In how many induced subgraphs with two to four nodes a node stands, by its place in them; exact, over the edges of "
        "all splits. Many triangles and cliques (orbits 3 and 10 to 14) mean that links close; paths and stars (4 to 7) alone "
        "mean a tree-like graph."
    )
    header = ("orbit", "place of the node", "nodes on it (%)", "mean count", "median", "largest")
    blocks: list[Block] = [Paragraph(words), Table(header, rows, numeric=range(2, 6))]
    if can_plot():
        what = "How many nodes are on each orbit, and how often on the average."
        blocks.append(Drawing("orbits", orbits_plot(counts.mean(0), (counts > 0).mean(0)), what))
    return Section("Orbits", blocks)


def orbits_plot(mean: Sequence[float] | np.ndarray, share: Sequence[float] | np.ndarray) -> Plot:
    """Mean count of each orbit on a logarithmic axis, and the share of nodes that are on it.

    Args:
        mean: 15 means over the nodes.
        share: 15 shares of nodes, 0 to 1.

    Example:
        >>> orbits_plot(np.ones(15), np.ones(15)).png[1:4]
        b'PNG'
    """
    import matplotlib
    from matplotlib.figure import Figure

    orbits = np.arange(len(_PLACES))
    with matplotlib.rc_context(PLOT_STYLE):
        figure = Figure(figsize=(8.6, 3.1), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.bar(orbits, mean, color="#0072B2", width=0.7)
        left.set_yscale("symlog", linthresh=0.1)
        left.set(xlabel="Orbit", ylabel="Mean count of a node", xticks=orbits)
        right.bar(orbits, 100 * np.asarray(share), color="#E69F00", width=0.7)
        right.set(xlabel="Orbit", ylabel="Nodes on it (%)", xticks=orbits, ylim=(0, 100))
        return drawn(figure)
