"""What a run directory holds, read back and checked."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from graphkit.errors import UserError
from graphkit.strict_yaml import load_yaml

__all__ = ["RunRecord", "read_config", "read_epochs", "read_ranks", "read_results", "read_run"]


@dataclass(frozen=True)
class RunRecord:
    """A finished or unfinished run: its configuration, its environment and one result per seed and split.

    Attributes:
        folder: the run directory.
        name: name of the experiment; the folder's own name where the configuration has none.
        config: the resolved configuration; empty where ``config.yaml`` is missing.
        config_text: ``config.yaml`` as it stands.
        results: lines of ``results.jsonl``; where a seed and split stands twice, the later line.
        environment: ``environment.json``; empty where it is missing.
    """

    folder: Path
    name: str
    config: Mapping[str, Any]
    config_text: str
    results: list[dict[str, Any]]
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folds(self) -> list[int]:
        """Numbers of the splits that have a result, in ascending order; none where a task has one split."""
        return sorted({line["fold"] for line in self.results if line.get("fold") is not None})

    @property
    def seeds(self) -> list[int]:
        """Seeds that have a result, in ascending order."""
        return sorted({line["seed"] for line in self.results})


def read_run(folder: str | os.PathLike[str]) -> RunRecord:
    """Read a run directory.

    Raises:
        UserError: where the folder is no run directory, or one of its files is damaged (file and line are named).

    Example:
        >>> read_run("runs/nbfnet/umls").seeds           # doctest: +SKIP
        [0, 1, 2, 3, 4]
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a run directory: no such folder; give the folder that `graphkit run` wrote")
    results_file, config_file = folder / "results.jsonl", folder / "config.yaml"
    if not results_file.is_file():
        if config_file.is_file():
            raise UserError(
                f"{folder} has no results.jsonl: no seed has finished; continue the run with "
                f"`graphkit run {config_file} --out {folder} --resume`"
            )
        raise UserError(
            f"{folder} is not a run directory: expected config.yaml and results.jsonl in it; "
            "give the folder that `graphkit run` wrote"
        )
    results = read_results(results_file)
    if not results:
        raise UserError(f"{results_file} is empty: no seed has finished; continue the run with --resume")
    config, config_text = read_config(config_file) if config_file.is_file() else ({}, "")
    name = config.get("name") or next((line["experiment"] for line in results if line.get("experiment")), None)
    environment_file = folder / "environment.json"
    environment = _read_json(environment_file, dict) if environment_file.is_file() else {}
    return RunRecord(folder, str(name or folder.resolve().name), config, config_text, results, environment)


def read_config(path: str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    """The mapping in an experiment's YAML file, and the file's text.

    Raises:
        UserError: where the file is not UTF-8, not YAML or not a mapping.

    Example:
        >>> config, text = read_config("experiments/nbfnet/umls.yaml")     # doctest: +SKIP
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8")
        config = load_yaml(text)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise UserError(f"{path}{where}: not YAML ({getattr(error, 'problem', None) or 'unreadable'})") from error
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise UserError(f"{path}: expected a mapping at the top (name:, data:, model:, ...), found a {_kind(config)}")
    return config, text


def read_results(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Lines of a results file, checked; of several lines of one experiment, seed, fold and split the last counts.

    A line is a JSON object with at least ``seed`` (integer), ``split`` (text) and ``metrics`` (finite numbers by name).

    Raises:
        UserError: naming the file and the line number of the first damaged line.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "results.jsonl"
        >>> _ = path.write_text('{"seed": 0, "split": "test", "metrics": {"mrr": 0.5}}')
        >>> read_results(path)[0]["metrics"]
        {'mrr': 0.5}
    """
    path = Path(path)
    latest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for number, raw in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not raw.strip():
            continue
        line, fault = _parse(raw)
        fault = fault or _fault(line)
        if fault:
            raise UserError(f"{path}, line {number}: {fault}; remove the line or restore the file, then report again")
        assert line is not None
        latest[line.get("experiment"), line["seed"], line.get("fold"), line["split"]] = line
    return list(latest.values())


def read_epochs(folder: str | os.PathLike[str]) -> tuple[list[dict[str, Any]], int]:
    """Epoch events of ``log.jsonl`` by seed, fold and epoch, and the number of lines that could not be read.

    A kill may cut the last line of a log short, and a resumed run writes an epoch again: unreadable lines are counted,
    not refused, and the last line of a seed's epoch counts.

    Example:
        >>> epochs, damaged = read_epochs("runs/nbfnet/umls")     # doctest: +SKIP
    """
    path = Path(folder) / "log.jsonl"
    latest: dict[tuple[int, int, int], dict[str, Any]] = {}
    damaged = 0
    for raw in path.read_bytes().split(b"\n") if path.is_file() else ():
        if not raw.strip():
            continue
        line, fault = _parse(raw)
        if line is None or fault:
            damaged += 1
        elif line.get("event") == "epoch":
            if isinstance(line.get("seed"), int) and isinstance(line.get("epoch"), int):
                latest[line["seed"], line.get("fold") or 0, line["epoch"]] = line
            else:
                damaged += 1
    return [latest[key] for key in sorted(latest)], damaged


def read_ranks(folder: str | os.PathLike[str], seeds: Iterable[int]) -> dict[int, dict[str, np.ndarray]]:
    """Ranks of the test facts per seed: ``{seed: {"tail": [n], "head": [n]}}``; seeds without a file are left out.

    Raises:
        UserError: where a file is damaged.

    Example:
        >>> read_ranks("runs/nbfnet/umls", seeds=[0])[0]["tail"].min()      # doctest: +SKIP
        1
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    ranks: dict[int, dict[str, np.ndarray]] = {}
    sides: tuple[str, ...] = ("tail", "head")
    for seed in seeds:
        path = Path(folder) / f"seed-{seed}" / "test_ranks.safetensors"
        if path.is_file():
            try:
                arrays = load(path.read_bytes())
            except SafetensorError as error:
                raise UserError(f"{path} is damaged ({error}); evaluate the run again to write it anew") from error
            ranks[seed] = {side: arrays[side].reshape(-1) for side in sides if side in arrays}
    return ranks


def _read_json(path: Path, kind: type) -> Any:
    try:
        value = json.loads(path.read_bytes().decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"{path}{where}: not JSON; restore the file or run the experiment again") from error
    if not isinstance(value, kind):
        raise UserError(f"{path}: expected a {'mapping' if kind is dict else 'list'}, found a {_kind(value)}")
    return value


def _parse(raw: bytes) -> tuple[dict[str, Any] | None, str | None]:
    try:
        line = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return None, "not UTF-8 text"
    except json.JSONDecodeError as error:
        return None, f"not JSON ({error.msg} at column {error.colno})"
    return (line, None) if isinstance(line, dict) else (None, f"expected an object, found a {_kind(line)}")


def _fault(line: Mapping[str, Any] | None) -> str | None:
    if line is None:
        return "unreadable"
    if not isinstance(line.get("seed"), int) or isinstance(line["seed"], bool):
        return f"'seed' is {line.get('seed')!r}, expected an integer"
    name = line.get("experiment")
    if name is not None and not isinstance(name, str):
        return f"'experiment' is {name!r}, expected a name"
    fold = line.get("fold")
    if fold is not None and (not isinstance(fold, int) or isinstance(fold, bool)):
        return f"'fold' is {fold!r}, expected an integer"
    if not isinstance(line.get("split"), str):
        return f"'split' is {line.get('split')!r}, expected a name such as 'test'"
    metrics = line.get("metrics")
    if not isinstance(metrics, dict):
        return f"'metrics' is {metrics!r}, expected numbers by name"
    for key, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
            return f"metric {key!r} is {value!r}, expected a finite number"
    return None


def _kind(value: object) -> str:
    return {dict: "mapping", list: "list", str: "text", type(None): "null"}.get(type(value), type(value).__name__)
