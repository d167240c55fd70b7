"""Formulae of the site as MathML, written when it is built: every browser draws it, without a script and without a network."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

__all__ = ["mathml", "setup"]

_LOG = logging.getLogger(__name__)


def mathml(formula: str, *, display: bool = False) -> str:
    """A formula as a ``<math>`` element with the source for readers of the text.

    Raises:
        ValueError: a command, or an alignment, that the converter does not know.

    Example:
        >>> mathml("x_i")[:40]
        '<math xmlns="http://www.w3.org/1998/Math'
    """
    found = convert(formula, display="block" if display else "inline")
    left = re.search(r">(\\[^<]*|&)<", found)
    if left:
        raise ValueError(f"{left[1]} is not known to latex2mathml, in: {formula}")
    return found.replace("<math ", f'<math alttext="{escape(formula)}" ', 1)


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_drawn(node, display=False))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{_drawn(node, display=True)}</div>\n')
    raise nodes.SkipNode


def _drawn(node: nodes.Element, *, display: bool) -> str:
    try:
        return mathml(node.astext(), display=display)
    except Exception as error:  # whatever the converter raises on a formula is a fault of that formula
        _LOG.warning("formula: %s", error, location=node)
        return f"<code>{escape(node.astext())}</code>"


def setup(app: Any) -> dict[str, bool]:
    """Make known to Sphinx as the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
