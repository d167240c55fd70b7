"""Explained triples as parts of a report: the drawing of their paths, and the paths in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphkit.engine.explanations import step_text
from graphkit.engine.path_plot import paths_plot
from graphkit.engine.plots import can_plot
from graphkit.engine.report_blocks import Block, Drawing, Paragraph, Table
from graphkit.engine.table_formats import number

_ARROW = ("\u2500[", "]\u2192")  # no line breaks inside, as hyphens would allow

__all__ = ["explanation_blocks", "explanations_blocks", "rank_text", "triple_text"]

_WEIGHT_RULE = (
    "Weight: mean derivative of the score by the weights of the path's edges, each in its layer. Dashed steps and names "
    "that end in ^-1 go along a relation backwards."
)
_EXCLUDED = " A triple that is a fact of the graph was taken out of it first, with its inverse."


def explanations_blocks(entries: Sequence[Mapping[str, Any]]) -> list[Block]:
    """All that a report shows of some explained triples.

    Args:
        entries: as :func:`graphkit.engine.explanations.explained` gives them.

    Example:
        >>> len(explanations_blocks([{"triple": ["a", "r", "b"], "rank": 1, "paths": []}]))
        2
    """
    excluded = all(entry.get("exclude_triple", True) for entry in entries)
    blocks: list[Block] = [Paragraph(_WEIGHT_RULE + (_EXCLUDED if excluded else ""), note=True)]
    for place, entry in enumerate(entries, start=1):
        blocks += explanation_blocks(entry, f"paths-{place}")
    return blocks


def explanation_blocks(entry: Mapping[str, Any], name: str) -> list[Block]:
    """An explained triple: its paths in words and, where matplotlib is there, drawn.

    Args:
        entry: as :func:`graphkit.engine.explanations.explained` gives it.
        name: file name of the drawing.

    Example:
        >>> explanation_blocks({"triple": ["a", "r", "b"], "rank": 3, "paths": []}, "paths")[0].text
        '(a, r, b), tail ranked 3: no path joins them within the layers of the model.'
    """
    title = f"{triple_text(entry['triple'])}{rank_text(entry['rank'])}"
    if not entry["paths"]:
        return [Paragraph(f"{title}: no path joins them within the layers of the model.")]
    rows = [[number(float(path["weight"]), 3), step_text(path["edges"], _ARROW)] for path in entry["paths"]]
    blocks: list[Block] = [Table(["", ""], rows, caption=title)]
    if can_plot():
        paths = [(float(path["weight"]), path["edges"]) for path in entry["paths"]]
        blocks.append(Drawing(name, paths_plot(paths), f"The paths of {triple_text(entry['triple'])}"))
    return blocks


def triple_text(triple: Sequence[str]) -> str:
    """A triple in brackets.

    Example:
        >>> triple_text(["a", "r", "b"])
        '(a, r, b)'
    """
    return f"({', '.join(map(str, triple))})"


def rank_text(rank: int | None) -> str:
    """How the tail was ranked, to stand behind the triple.

    Example:
        >>> rank_text(3), rank_text(None)
        (', tail ranked 3', ', a fact of the message graph')
    """
    return ", a fact of the message graph" if rank is None else f", tail ranked {rank}"
