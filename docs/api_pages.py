"""Writes the pages of the API reference: one for each room of the package, with every public name.

`docs/conf.py` calls this before each build; the pages are not kept in the repository.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["ROOMS", "check", "page", "public_names", "write"]

ROOMS = ("ops", "nn", "models", "data", "datasets", "metrics", "analysis", "engine")
CONTENTS = {
    "ops": "Tensors in, tensors out: the operators, see [kernels](../kernels.md).",
    "nn": "Layers, usable alone inside any model of PyG.",
    "models": "Models, one paper a file, see [choose a model](../choose-a-model.md).",
    "data": "Tasks, splits with a leak check, negatives, loaders, graphs of your own.",
    "datasets": "Data sets by name, their cards, fetching and verification.",
    "metrics": "Metrics with explicit tie rules, see [how results are judged](../how-results-are-judged.md).",
    "analysis": "What a graph is like, before and after training.",
    "engine": "Training, evaluation, runs, experiments.",
}
TOP = "graphkit"


def public_names(room: str) -> list[str]:
    """The names of `__all__`, sorted without regard to case; of the top, those that are no rooms."""
    module = importlib.import_module(room)
    names = [name for name in module.__all__ if not isinstance(getattr(module, name), ModuleType)]
    return sorted((name for name in names if not name.startswith("_")), key=str.lower)


def page(room: str) -> str:
    """The page of a room in Markdown: a table of its names with their first lines, then all of them in full."""
    full = room if room == TOP else f"{TOP}.{room}"
    module = importlib.import_module(full)
    names = public_names(full)
    groups: dict[str, list[str]] = {"Functions": [], "Classes": [], "Constants": []}
    for name in names:
        thing = getattr(module, name)
        kind = "Classes" if inspect.isclass(thing) else "Functions" if inspect.isroutine(thing) else "Constants"
        groups[kind].append(name)
    text = [f"# {full}", "", CONTENTS.get(room, "What a script uses most."), ""]
    for kind, members in groups.items():
        if members:
            text += [f"## {kind}", "", "| | |", "| --- | --- |"]
            text += [f"| [`{name}`](#{full}.{name}) | {_first_line(module, name)} |" for name in members] + [""]
    directive = {"Functions": "autofunction", "Classes": "autoclass"}
    text += ["## In full", "", "```{eval-rst}", f".. module:: {full}", ""]
    for kind, members in groups.items():
        for name in members:
            if kind == "Constants":
                text += [f".. py:data:: {name}", "", f"   {_value(getattr(module, name))}", ""]
            else:
                text += [f".. {directive[kind]}:: {full}.{name}"]
                text += ["   :members:", ""] if kind == "Classes" else [""]
    return "\n".join([*text, "```", ""])


def _first_line(module: ModuleType, name: str) -> str:
    thing = getattr(module, name)
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return f"`{type(thing).__name__}`"
    words = (inspect.getdoc(thing) or "").split("\n")[0].replace("``", "`")
    words = re.sub(r":math:`([^`]*)`", r"$\1$", words)
    words = re.sub(r":\w+:`~?(?:graphkit\.)?([^`]*)`", r"`\1`", words)
    return words.replace("|", "\\|")


def _value(thing: Any) -> str:
    """What a constant holds, in a few words: the names or the values of a collection."""
    if isinstance(thing, Mapping):
        return "By name: " + ", ".join(f"``{key!r}``" for key in thing) + "."
    if isinstance(thing, tuple | list | set | frozenset):
        shown = sorted(thing, key=str) if isinstance(thing, set | frozenset) else thing
        return ", ".join(f"``{value!r}``" for value in shown) + "."
    return f"``{thing!r}``"


def write(folder: Path) -> None:
    """Write every page; one that has not changed stays as it is, so that a second build is quick."""
    folder.mkdir(exist_ok=True)
    for room in (TOP, *ROOMS):
        path, text = folder / f"{room}.md", page(room)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def check(app: Any, error: Exception | None) -> None:
    """After the build: a public name that no page describes is an error."""
    if error is not None or app.builder.name != "html":
        return
    described = app.env.domains["py"].objects
    missing = [
        f"{TOP}.{room}.{name}"
        for room in ROOMS
        for name in public_names(f"{TOP}.{room}")
        if f"{TOP}.{room}.{name}" not in described
    ]
    if missing:
        raise RuntimeError(f"the API reference lacks {', '.join(missing)}")
