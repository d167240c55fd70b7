"""Draws docs/images/explanation.svg: why the model of `make quickstart` believes a fact of UMLS.

python docs/draw_explanation.py            trains it for three epochs on the CPU, well under a minute
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import torch  # noqa: E402

import graphkit as gk  # noqa: E402
from graphkit.engine import load_config, run_experiment  # noqa: E402
from graphkit.engine.path_plot import paths_plot  # noqa: E402
from graphkit.files import atomic_write  # noqa: E402

FACT = ("steroid", "interacts_with", "eicosanoid")


def main() -> None:
    """Train, explain, draw."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run_experiment(load_config("nbfnet/quickstart"), out=folder)
        model = gk.load_model(folder)
    paths = model.explain(gk.load("umls"), *FACT, k=4)
    plot = paths_plot([(weight, path) for path, weight in paths])
    with atomic_write(HERE / "images" / "explanation.svg") as file:
        file.write(plot.svg)
    for path, weight in paths:
        print(f"{weight:.3f}", path)


if __name__ == "__main__":
    main()
