"""The house: imports point downwards, names say something, the package imports fast and silently."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "graphkit"
FLOORS = ["ops", "metrics", "data", "nn", "analysis", "datasets", "models", "engine", "cli"]  # from the ground up
GROUND = {"errors", "files", "shipped", "strict_yaml", "_version"}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(tree):
    """Modules of graphkit that a file imports, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "graphkit":
            inner = node.module.split(".")[1:]
            yield from [inner[0]] if inner else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("graphkit."))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    floor = path.relative_to(PACKAGE).parts[0]
    if floor not in FLOORS:
        return
    tree = ast.parse(path.read_text())
    for name in imported(tree):
        if name in FLOORS:
            # data knows its sorted graph: the operators are below everything
            assert FLOORS.index(name) <= FLOORS.index(floor), f"{floor} imports {name}"
        else:
            assert name in GROUND or name in {"UserError", "__version__"}, f"unknown room {name}"


def test_names_say_something():
    assert not [p for p in FILES if p.stem in {"utils", "util", "helpers", "helper", "misc", "common"}]


@pytest.mark.parametrize("room", ["ops", "metrics", "data", "nn", "analysis", "datasets", "models", "engine"])
def test_public_names_are_documented(room):
    module = importlib.import_module(f"graphkit.{room}")
    for name in module.__all__:
        thing = getattr(module, name)
        if callable(thing):
            assert (thing.__doc__ or "").strip(), f"graphkit.{room}.{name} has no docstring"


def test_import_is_silent_and_brings_nothing():
    code = "import sys, graphkit; print(sorted({'torch', 'numpy', 'pykeen', 'matplotlib', 'ogb'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n" and done.stderr == ""
