"""The experiments of a checkout and the results that are committed for them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from graphkit.engine.run_record import read_config, read_results  # noqa: E402
from graphkit.errors import UserError, nearest  # noqa: E402

NO_EXPERIMENTS = frozenset({"results", "bench"})


@dataclass(frozen=True)
class Experiment:
    """An experiment's file, its configuration and its committed results."""

    path: Path
    config: dict[str, Any]
    results: list[dict[str, Any]]

    @property
    def own_data(self) -> bool:
        """Whether it runs on a graph of the user's own; the results stay with the user."""
        data = self.config.get("data")
        return isinstance(data, dict) and "file" in data


def committed(root: Path) -> dict[str, Experiment]:
    """Every experiment by name, those on data of one's own among them.

    Raises:
        UserError: for a file that cannot be read, a name used twice, or results of an unknown experiment.
    """
    found: dict[str, Experiment] = {}
    for path in sorted((root / "experiments").glob("*/*.yaml")):
        if path.parent.name in NO_EXPERIMENTS:
            continue
        config, _ = read_config(path)
        name = config.get("name")
        if not name:
            raise UserError(f"{path}: an experiment needs a 'name', such as {path.parent.name}/{path.stem}")
        if name in found:
            raise UserError(f"{path}: the name {name!r} is taken by another experiment; give it a name of its own")
        found[str(name)] = Experiment(path, config, [])
    known = [name for name, experiment in found.items() if not experiment.own_data]
    taken: dict[tuple[str, int, int | None, str], Path] = {}
    for path in sorted((root / "experiments" / "results").glob("*.jsonl")):
        for line in read_results(path):
            name = str(line.get("experiment"))
            if name not in known:
                raise UserError(f"{path}: {nearest(name, known, 'experiment')}; results need experiments/{name}.yaml")
            fold = line.get("fold")
            key = name, line["seed"], fold, line["split"]
            if key in taken:
                which = f"seed {line['seed']}" + (f", fold {fold}," if fold is not None else "")
                raise UserError(
                    f"{path}: {which} of {name} ({line['split']}) stands in {taken[key].name} too; keep one"
                )
            taken[key] = path
            found[name].results.append(line)
    return {name: found[name] for name in sorted(found)}
