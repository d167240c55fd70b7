"""What a report is made of, free of any format (paragraphs, tables, plots, code in sections), and its Markdown form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphkit.engine.plots import Plot
from graphkit.engine.table_formats import markdown_escape, markdown_table

__all__ = ["Block", "Code", "Drawing", "Headline", "Paragraph", "Section", "Table", "anchor_of", "markdown_page"]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text; a note is set smaller, ``sees`` are titles of sections that it rests on."""

    text: str
    note: bool = False
    sees: Sequence[str] = ()


@dataclass(frozen=True)
class Table:
    """A table of plain text; ``numeric`` are the columns set flush right, ``badges`` the column of verdicts, if any."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[int] = ()
    badges: int | None = None
    caption: str = ""


@dataclass(frozen=True)
class Drawing:
    """A plot with the words that stand in for it; ``name`` is its file name without an ending."""

    name: str
    plot: Plot
    alternative: str
    caption: str = ""


@dataclass(frozen=True)
class Code:
    """Lines to be read as they stand."""

    text: str
    language: str = ""


Block = Paragraph | Table | Drawing | Code


@dataclass(frozen=True)
class Section:
    """A part of a report under its own heading."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """The title as the target of a link."""
        return anchor_of(self.title)


def anchor_of(title: str) -> str:
    """What a link to the section of a title names.

    Example:
        >>> anchor_of("Hops needed")
        'hops-needed'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


@dataclass(frozen=True)
class Headline:
    """The one figure that a report leads with."""

    title: str
    metric: str = ""
    figure: str = ""
    beside: str = ""
    verdict: str = ""


def markdown_page(headline: Headline, sections: Sequence[Section], *, plots: Mapping[str, str]) -> str:
    """A report in Markdown.

    Args:
        headline: title and leading figure.
        sections: parts of the report.
        plots: relative path of each plot's file by the name of its drawing.

    Example:
        >>> print(markdown_page(Headline("umls"), [Section("Result", [Paragraph("None yet.")])], plots={}))
        # umls
        <BLANKLINE>
        ## Result
        <BLANKLINE>
        None yet.
        <BLANKLINE>
    """
    parts = [f"# {markdown_escape(headline.title)}"]
    if headline.figure:
        tail = "; ".join(markdown_escape(text) for text in (headline.beside, headline.verdict) if text)
        parts.append(
            f"**{markdown_escape(headline.metric)} {markdown_escape(headline.figure)}**"
            + (f" ({tail})" if tail else "")
        )
    for section in sections:
        parts.append(f"## {markdown_escape(section.title)}")
        parts += [_block(block, plots) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _block(block: Block, plots: Mapping[str, str]) -> str:
    if isinstance(block, Paragraph):
        sees = ", ".join(f"[{markdown_escape(title)}](#{anchor_of(title)})" for title in block.sees)
        return f"{markdown_escape(block.text.removesuffix('.'))} (see {sees})." if sees else markdown_escape(block.text)
    if isinstance(block, Table):
        caption = f"{markdown_escape(block.caption)}\n\n" if block.caption else ""
        return caption + markdown_table(block.header, block.rows, block.numeric)
    if isinstance(block, Drawing):
        caption = f"\n\n{markdown_escape(block.caption)}" if block.caption else ""
        return f"![{markdown_escape(block.alternative)}]({plots[block.name]}){caption}"
    # a fence longer than any run of backticks inside cannot be closed from inside
    longest = max((len(run) for run in re.findall("`+", block.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{block.language}\n{block.text.rstrip()}\n{fence}"
