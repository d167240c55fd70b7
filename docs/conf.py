"""How the site is built: `make docs`, or `sphinx-build -W -n docs build/site`. No network is needed, nor to read it."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import api_pages  # noqa: E402

from graphkit import __version__  # noqa: E402

project = "graphkit"
author = "the authors of graphkit"
copyright = "the authors of graphkit, MIT licence"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "formulae"]
root_doc = "index"
exclude_patterns = ["build"]

myst_enable_extensions = ["dollarmath", "attrs_inline"]
myst_heading_anchors = 4  # a heading is linked to by its words, as on GitHub
highlight_language = "text"  # indented blocks hold commands, equations and files alike
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"

autodoc_typehints = "none"  # the signature shows them
autodoc_member_order = "groupwise"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes are listed; the members that follow them are the same ones
napoleon_custom_sections = [("Source", "notes_style"), ("Sources", "notes_style")]
python_display_short_literal_types = True
# What other libraries define is not looked up (that would need the network); what graphkit defines has to be there.
nitpick_ignore_regex = [(r"py:.*", r"(?!graphkit).*")]

suppress_warnings = ["ref.python"]  # an attribute that several classes have, such as ptr, links to none

html_theme = "furo"
html_title = "graphkit"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options: dict[str, Any] = {
    "light_css_variables": {"color-brand-primary": "#0b5cad", "color-brand-content": "#0b5cad"},
    "dark_css_variables": {"color-brand-primary": "#7cc0ff", "color-brand-content": "#7cc0ff"},
}


def join_names(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Arguments that share one explanation may take several lines; napoleon wants their names on one."""
    at = 0
    while at + 1 < len(lines):
        line, following = lines[at], lines[at + 1]
        if re.fullmatch(r" {4}(\w+, )*\w+,", line) and following.startswith(" " * 8):
            lines[at : at + 2] = [f"{line} {following.strip()}"]
        else:
            at += 1


def keep_letters(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """An explanation that is one letter, as ``num_nodes: N.``, is no item of a numbered list."""
    lines[:] = [re.sub(r"^( +\w+: )(\w\.)(?= |$)", r"\1\\\2", line) for line in lines]


def resolve(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """A reference to where a thing is defined leads to where it is public; what is not public stays plain text.

    A name that does not exist stays unresolved, and the build reports it.
    """
    target = node.get("reftarget", "")
    parts = target.split(".")
    if node.get("refdomain") != "py" or parts[0] != "graphkit":
        return None
    if len(parts) > 3:
        public = ".".join((*parts[:2], *parts[3:]))
        found = env.domains["py"].resolve_xref(
            env, node["refdoc"], app.builder, node["reftype"], public, node, contnode
        )
        if found is not None:
            return found
    return contnode if exists(target) else None


def exists(path: str) -> bool:
    """Whether a dotted path names a module or something in one."""
    parts = path.split(".")
    for at in range(len(parts), 0, -1):
        try:
            thing: Any = importlib.import_module(".".join(parts[:at]))
        except ModuleNotFoundError:
            continue
        for part in parts[at:]:
            if not hasattr(thing, part):
                return False
            thing = getattr(thing, part)
        return True
    return False


def setup(app: Any) -> None:
    """The pages of the reference are written before the build, and the built ones are checked for every public name."""
    app.connect("config-inited", lambda app, config: api_pages.write(HERE / "api"))
    for handler in (join_names, keep_letters):
        app.connect("autodoc-process-docstring", handler, priority=400)  # before napoleon
    app.connect("missing-reference", resolve)
    app.connect("build-finished", api_pages.check)
