"""The table and the picture of accuracy and influence radius against layers, from the record of depth_curve.py.

    python experiments/city/depth_table.py              write both into docs/city-networks.md and docs/city-depth.svg
    python experiments/city/depth_table.py --check      change nothing; exit status 1 where the table is out of date
    python experiments/city/depth_table.py --print      only show the table

Runs under another protocol than depth_curve.PROTOCOL, such as tries with fewer epochs, are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import math
import statistics
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from graphkit.engine.run_directory import read_lines  # noqa: E402
from graphkit.files import atomic_write  # noqa: E402

PAGE, PICTURE = ROOT / "docs" / "city-networks.md", ROOT / "docs" / "city-depth.svg"
BEGIN, END = "<!-- depth:begin -->", "<!-- depth:end -->"
Row = dict[str, Any]
Cells = dict[tuple[str, str], dict[str, dict[int, list[Row]]]]

_specification = importlib.util.spec_from_file_location("depth_curve", Path(__file__).with_name("depth_curve.py"))
assert _specification is not None and _specification.loader is not None
depth_curve = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(depth_curve)


def cells(rows: Sequence[Row]) -> Cells:
    """Runs under the protocol, each once, by (city, split), model and depth."""
    found: Cells = {}
    seen = set()
    for row in rows:
        key = depth_curve.key_of(row)
        known = row["model"] in depth_curve.MODELS and row["options"] == depth_curve.MODELS[row["model"]]
        if known and row["protocol"] == depth_curve.PROTOCOL and key not in seen:
            seen.add(key)
            by_model = found.setdefault((row["city"], row["split"]), {})
            by_model.setdefault(row["model"], {}).setdefault(row["depth"], []).append(row)
    return found


def _spread(values: Sequence[float], digits: int) -> str:
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def table(by_model: dict[str, dict[int, list[Row]]]) -> str:
    """A line for each model and depth, in Markdown."""
    heads = (
        "model", "layers", "accuracy (%)", "class error", "Spearman", "R (hops)", "s.e. of R", "beyond 16 hops (%)", "epoch",
        "seconds a run", "seeds",
    )  # fmt: skip
    lines = [heads, ("---", *["---:"] * (len(heads) - 1))]
    for model in (name for name in depth_curve.MODELS if name in by_model):
        for depth, rows in sorted(by_model[model].items()):
            errors = [row["radius_error"] for row in rows]
            lines.append((
                model, str(depth), _spread([100 * row["test"]["accuracy"] for row in rows], 1),
                _spread([row["test"]["class_mae"] for row in rows], 2), _spread([row["test"]["spearman"] for row in rows], 3),
                _spread([row["radius"] for row in rows], 2), f"{math.sqrt(statistics.fmean(e * e for e in errors)):.2f}",
                f"{100 * statistics.fmean(row['beyond'] for row in rows):.1f}",
                f"{statistics.fmean(row['epoch'] for row in rows):.0f}",
                f"{statistics.fmean(row['seconds'] + row['radius_seconds'] for row in rows):.0f}", str(len(rows)),
            ))  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def gains(by_model: dict[str, dict[int, list[Row]]]) -> str:
    """What depth brings: accuracy of the deepest less that of the shallowest, by model."""
    said = []
    for model in (name for name in depth_curve.MODELS if name in by_model):
        depths = sorted(by_model[model])
        means = [statistics.fmean(100 * row["test"]["accuracy"] for row in by_model[model][depth]) for depth in depths]
        if len(depths) > 1:
            rises = "at every step" if all(a < b for a, b in pairwise(means)) else "not at every step"
            said.append(f"{model} {means[-1] - means[0]:+.1f} points from {depths[0]} to {depths[-1]} layers, {rises}")
    return f"Gains: {'; '.join(said)}." if said else ""


def text(rows: Sequence[Row]) -> str:
    """Everything that stands between the markers."""
    found = cells(rows)
    if not found:
        return "Not run yet."
    parts = []
    for (city, split), by_model in sorted(found.items()):
        one = next(iter(next(iter(by_model.values())).values()))[0]
        parts.append(
            f"{city}, {one['nodes']:,} junctions and {one['streets']:,} streets, split `{split}`; {one['device']}, "
            f"{one['threads']} thread{'s' if one['threads'] != 1 else ''}; mean ± standard deviation over seeds:"
        )
        parts += [table(by_model), gains(by_model)]
    parts.append(f"![Accuracy and R against the number of layers]({PICTURE.name})")
    return "\n\n".join(part for part in parts if part)


def picture(rows: Sequence[Row]) -> bytes | None:
    """Accuracy and R against layers as SVG, the same bytes for the same rows; None without any."""
    from graphkit.analysis.influence_plots import plot_depths

    found = cells(rows)
    if not found:
        return None
    accuracy: dict[str, dict[int, list[float]]] = {}
    radius: dict[str, dict[int, list[float]]] = {}
    for (city, split), by_model in sorted(found.items()):
        for model in (name for name in depth_curve.MODELS if name in by_model):
            label = model if len(found) == 1 else f"{model}, {city}, {split}"
            runs = by_model[model]
            accuracy[label] = {depth: [100 * row["test"]["accuracy"] for row in some] for depth, some in runs.items()}
            radius[label] = {depth: [row["radius"] for row in some] for depth, some in runs.items()}
    import matplotlib

    held = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "graphkit", "svg.fonttype": "path"}):
        plot_depths({"Accuracy on test (%)": accuracy, "R (hops)": radius}).savefig(
            held, format="svg", metadata={"Date": None}
        )
    return held.getvalue()


def main(
    argv: Sequence[str] | None = None, record: Path | None = None, page: Path = PAGE, image: Path = PICTURE
) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--print", action="store_true", dest="show")
    arguments = parser.parse_args(argv)
    rows = read_lines(record or depth_curve.RECORD)
    new = text(rows)
    if arguments.show:
        print(new)
        return 0
    before = page.read_text("utf-8")
    head, rest = before.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    after = f"{head}{BEGIN}\n{new}\n{END}{tail}"
    if arguments.check:
        if after != before:
            print(f"{page}: out of date; run python experiments/city/depth_table.py", file=sys.stderr)
        return int(after != before)
    drawn = picture(rows)
    if drawn is not None:
        with atomic_write(image) as file:
            file.write(drawn)
    with atomic_write(page) as file:
        file.write(after.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
