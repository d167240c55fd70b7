"""Link prediction and node classification on graphs: published methods, exact evaluation, native kernels.

Submodules and the names below are imported when they are first used, so ``import graphkit`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from graphkit._version import __version__
from graphkit.errors import UserError

if TYPE_CHECKING:
    from graphkit import analysis, data, datasets, engine, metrics, models, nn, ops
    from graphkit.datasets import load
    from graphkit.engine.analyze import analyze
    from graphkit.engine.evaluate import evaluate, load_model
    from graphkit.engine.fit import fit
    from graphkit.engine.pretrain import pretrain
    from graphkit.engine.prompt_tuning import tune

_SUBMODULES = ("analysis", "data", "datasets", "engine", "metrics", "models", "nn", "ops")
_NAMES = {
    "load": "datasets", "fit": "engine", "evaluate": "engine", "load_model": "engine", "pretrain": "engine",
    "tune": "engine.prompt_tuning", "analyze": "engine.analyze",
}  # fmt: skip

__all__ = [
    "UserError", "__version__", "analysis", "analyze", "data", "datasets", "engine", "evaluate", "fit", "load", "load_model",
    "metrics", "models", "nn", "ops", "pretrain", "tune",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"graphkit.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"graphkit.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'graphkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
