"""A report as one HTML file that stands alone: no script, no font, no picture from anywhere else."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape

from graphkit.engine.plots import Plot
from graphkit.engine.report_blocks import Block, Drawing, Headline, Paragraph, Section, Table, anchor_of
from graphkit.engine.report_style import STYLE

__all__ = ["html_page"]

# the browser itself then refuses whatever might slip in from the files of a run
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_PIXELS = 100  # per inch of a drawing


def html_page(headline: Headline, sections: Sequence[Section]) -> str:
    """A report in HTML; all text is escaped.

    Example:
        >>> "&lt;b&gt;" in html_page(Headline("<b>"), [])
        True
    """
    links = "".join(f'<a href="#{section.anchor}">{escape(section.title)}</a>' for section in sections)
    body = "\n".join(
        f'<section id="{section.anchor}">\n<h2>{escape(section.title)}</h2>\n'
        + "\n".join(_block(block) for block in section.blocks)
        + "\n</section>"
        for section in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(headline.title)}: report</title>
<style>
{STYLE}
</style>
</head>
<body>
<header>
<div class="heading">
<h1>{escape(headline.title)}</h1>
{_figure(headline)}
</div>
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{body}
</main>
</body>
</html>
"""


def _figure(headline: Headline) -> str:
    if not headline.figure:
        return ""
    badge = _badge(headline.verdict) if headline.verdict else ""
    return (
        f'<p class="figure"><span class="metric">{escape(headline.metric)}</span> '
        f'<strong>{escape(headline.figure)}</strong> <span class="beside">{escape(headline.beside)}</span> {badge}</p>'
    )


def _block(block: Block) -> str:
    if isinstance(block, Paragraph):
        sees = ", ".join(f'<a href="#{anchor_of(title)}">{escape(title)}</a>' for title in block.sees)
        text = f"{escape(block.text.removesuffix('.'))} (see {sees})." if sees else escape(block.text)
        return f"<p{' class=note' * block.note}>{text}</p>"
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Drawing):
        picture = base64.b64encode(block.plot.svg).decode("ascii")
        caption = f"<figcaption>{escape(block.caption)}</figcaption>" if block.caption else ""
        source = f"data:image/svg+xml;base64,{picture}"
        image = f'<img alt="{escape(block.alternative)}"{_width(block.plot)} src="{source}">'
        return f'<figure><div class="frame" tabindex="0">{image}</div>{caption}</figure>'
    return f"<pre><code>{escape(block.text.rstrip())}</code></pre>"


def _width(plot: Plot) -> str:
    """The size a drawing was made for, so that letters have one size on a page, whatever the width of a drawing."""
    found = re.search(rb'<svg\b[^>]*?\swidth="([\d.]+)pt"', plot.svg)
    if not found:
        return ""
    pixels = min(round(float(found[1]) / 72 * _PIXELS), 860)
    # on a narrow screen letters stay readable, and the drawing scrolls inside its frame
    return f' style="width: {pixels}px; min-width: {min(pixels, 600)}px"'


def _table(table: Table) -> str:
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    plain = not any(table.header)
    head = "" if plain else "<thead><tr>" + "".join(_cells(table, table.header, "th")) + "</tr></thead>"
    rows = "\n".join(f"<tr>{''.join(_cells(table, row, 'td'))}</tr>" for row in table.rows)
    kind = "pairs" if plain else "grid"
    # a wide table scrolls inside its frame; tabindex lets the keyboard reach it
    return (
        f'<div class="frame" tabindex="0"><table class="{kind}">{caption}{head}<tbody>\n{rows}\n</tbody></table></div>'
    )


def _cells(table: Table, row: Sequence[str], tag: str) -> list[str]:
    shown = []
    for position, text in enumerate(row):
        kind = ' class="number"' if position in table.numeric else ""
        badge = tag == "td" and position == table.badges
        if tag == "th" and len(text) > 1 and text[:2].isalpha():  # not a symbol such as r or R^2
            text = text[0].upper() + text[1:]
        shown.append(f"<{tag}{kind}>{_badge(text) if badge else escape(text)}</{tag}>")
    return shown


def _badge(verdict: str) -> str:
    kind = {
        "matches": "matches",
        "above": "better",
        "below (better)": "better",
        "below": "worse",
        "above (worse)": "worse",
    }.get(verdict)
    if kind is None:
        return f'<span class="note">{escape(verdict)}</span>'
    return f'<span class="badge {kind}">{escape(verdict)}</span>'
