"""``gk.analyze``: what a graph is like, where prediction will be hard, which models to try."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphkit.analysis import resource_allocation
from graphkit.data import NodeTask
from graphkit.engine.analysis_sections import analysis_headline, analysis_sections
from graphkit.engine.analysis_subject import Subject, as_link_task, subject_of
from graphkit.engine.node_subject import NodeSubject
from graphkit.engine.report_blocks import Headline, Paragraph, Section, Table
from graphkit.engine.report_html import html_page
from graphkit.engine.run_directory import writing

__all__ = ["Analysis", "analyze"]


@dataclass(frozen=True)
class Analysis:
    """Sections of text, tables and plots.

    Attributes:
        headline: name and leading figure.
        sections: parts, by title in :meth:`section`.

    Example:
        >>> import graphkit as gk
        >>> gk.analyze("cora", task="node").section("Recommendation")  # doctest: +SKIP
        Section(title='Recommendation', ...)
    """

    headline: Headline
    sections: Sequence[Section]

    def section(self, title: str) -> Section:
        """A section by its title.

        Raises:
            KeyError: there is none.
        """
        for section in self.sections:
            if section.title == title:
                return section
        raise KeyError(title)

    def html(self) -> str:
        """One page with everything in it."""
        return html_page(self.headline, self.sections)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`html` to a file; a half-written one is never left behind."""
        with writing(Path(path)) as file:
            file.write(self.html().encode("utf-8"))

    def __str__(self) -> str:
        lines = [self.headline.title]
        for section in self.sections:
            lines += ["", section.title, "-" * len(section.title)]
            for block in section.blocks:
                if isinstance(block, Paragraph):
                    lines.append(block.text)
                elif isinstance(block, Table):
                    lines += [
                        "  ".join(row) for row in ([block.header] if any(block.header) else []) + list(block.rows)
                    ]
        return "\n".join(lines)


def analyze(graph: Any, *, task: str | None = None, minutes: float = 0.0, seed: int = 0, **settings: Any) -> Analysis:
    """What a graph is like and which models to try.

    Args:
        graph: a task, the name of a data set, the path of a file of edges, or the directory of a run.
        task: of a data set, ``"link"`` or ``"node"``.
        minutes: to spend on trying the recommended models on validation; 0: they are named, not tried.
        seed: of what is drawn at random.
        settings: as for :func:`graphkit.engine.analysis_subject.subject_of`.

    Raises:
        UserError: for a name that is none of these, options that do not apply, a graph without edges.

    Example:
        >>> import torch
        >>> from graphkit.data import LinkTask
        >>> ring = torch.stack([torch.arange(40), (torch.arange(40) + 1) % 40])
        >>> [section.title for section in analyze(LinkTask.from_edges("ring", ring, 40)).sections][:2]
        ['Graph', 'Orbits']
    """
    subject: Subject | NodeSubject
    if isinstance(graph, NodeTask):
        subject = NodeSubject(graph, seed=seed, minutes=minutes)
    elif isinstance(graph, (str, os.PathLike)):
        subject = subject_of(os.fspath(graph), task=task, seed=seed, minutes=minutes, **settings)
    else:
        links = as_link_task(graph)
        subject = Subject(
            links,
            resource_allocation(links),
            "resource allocation",
            seed=seed,
            minutes=minutes,
            source=graph,
            **settings,
        )
    return Analysis(analysis_headline(subject), analysis_sections(subject))
