"""``graphkit run``."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphkit.cli.parser import CommandParser
from graphkit.cli.tables import console, print_table, result_table
from graphkit.errors import UserError

if TYPE_CHECKING:
    from graphkit.engine.config import Config
    from graphkit.engine.progress import Reporter

__all__ = ["main"]

_EPILOG = """\
Every option of the experiment can be overridden by its path:
  --train.lr 3e-3 --model.num_layers 4 --loader.batch_size=64
--print_config shows them all. Without CONFIG the experiments that ship with graphkit are listed."""


def main(words: list[str]) -> int:
    """Run an experiment."""
    overrides, rest = _split(words)
    parser = CommandParser("run", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="name of an experiment, or path of a YAML file")
    parser.add_argument("--out", metavar="DIR", help="run directory (default: runs/<name of the experiment>)")
    parser.add_argument("--data", metavar="FILE", help="graph of your own, as in graphkit run nbfnet/own --data x.tsv")
    parser.add_argument("--seeds", metavar="SEEDS", help="such as 0-9 or 0,3")
    parser.add_argument("--splits", metavar="SPLITS", help="of a task with several splits: all, or such as 0-4 or 0,3")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the directory")
    parser.add_argument(
        "--max_steps", metavar="N", help="stop each training after N steps; short for --train.max_steps"
    )
    parser.add_argument(
        "--tune", action="store_true", help="search the experiment's space by validation, write best.yaml"
    )
    parser.add_argument("--trials", type=int, metavar="N", help="with --tune: trials in all")
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="with --tune: begin no trial after M minutes of training"
    )
    parser.add_argument("--print_config", action="store_true", help="show the resolved experiment and leave")
    parser.add_argument("--list", action="store_true", help="list the experiments and leave")
    arguments = parser.parse(rest)
    if arguments.list or (arguments.config is None and not overrides):
        return _list()
    if arguments.config is None:
        raise UserError("name an experiment, as in graphkit run nbfnet/umls (graphkit run --list shows them)")
    for key, value in (
        ("data.file", arguments.data),
        ("seeds", arguments.seeds),
        ("splits", arguments.splits),
        ("train.max_steps", arguments.max_steps),
    ):
        if value is not None:
            overrides += [f"--{key}", value]

    from graphkit.engine.config import load_config
    from graphkit.engine.distributed import joined
    from graphkit.engine.run import default_out, run_experiment

    processes = joined()
    config = processes.in_turn(lambda: load_config(arguments.config, overrides))
    if arguments.print_config:
        sys.stdout.write(config.dump() if processes.first else "")
        return 0
    if arguments.tune:
        return _tune(config, arguments)
    for option in ("trials", "minutes"):
        if getattr(arguments, option) is not None:
            raise UserError(f"--{option} is the budget of a search; pass --tune with it")
    out = arguments.out or default_out(config)
    run_experiment(config, out, arguments.resume, reporter=_reporter)
    if not processes.first:
        return 0

    from graphkit.engine.result_table import result_rows
    from graphkit.engine.run_record import read_run

    record = read_run(out)
    result_table(result_rows(record.name, record.config, record.results), title=f"{record.name}, test split")
    _explained(out, record.seeds)
    console().print(f"report: {out}/report.html")
    return 0


def _tune(config: Config, arguments: argparse.Namespace) -> int:
    """Search, show the trials and say how to run the best one."""
    from graphkit.engine.run_directory import read_lines
    from graphkit.engine.tune import tune_experiment

    for option in ("trials", "minutes"):
        value = getattr(arguments, option)
        if value is not None and not value > 0:
            raise UserError(f"--{option} is {value}, expected a number above 0")
    out = Path(arguments.out or Path("runs") / f"{config.name}-tune")

    def told(line: dict[str, Any]) -> None:
        found = line["valid"]
        shown = line.get("error") or ", ".join(
            f"{name} {value:.4f}" for name, value in found.items() if name != "count"
        )
        sys.stderr.write(f"{_trial_name(line)}: {shown}  ({line['seconds']:.1f} s)\n")

    lines, _ = tune_experiment(config, out, trials=arguments.trials, minutes=arguments.minutes, told=told)
    _show_trials(lines, f"{config.name}: the best of {len(lines)} trials")
    finals = read_lines(out / "finalists.jsonl")
    if finals:
        _show_trials(finals, f"{config.name}: finalists, on all splits")
    console().print(f"best options: {out}/best.yaml (graphkit run {out}/best.yaml trains and tests them)")
    return 0


def _trial_name(line: dict[str, Any]) -> str:
    return "options as they are" if line["trial"] < 0 else f"{'finalist' if line.get('finalist') else 'trial'} {line['trial']}"


def _show_trials(lines: list[dict[str, Any]], title: str) -> None:
    """The ten best."""
    from graphkit.engine.tune import ranked

    select, options = lines[0]["select"], list(lines[-1]["options"])
    print_table(
        ("trial>", f"valid {select}>", *options, "time>"),
        [
            (
                _trial_name(line).removeprefix("trial ").removeprefix("finalist "),
                f"{line['valid'][select]:.4f}",
                *(line["options"].get(name, "") for name in options),
                f"{line['seconds']:.1f} s",
            )
            for line in ranked(lines, select)[:10]
        ],
        title,
    )


def _explained(out: str | Path, seeds: list[int]) -> None:
    """The heaviest path behind each test triple that the run explained."""
    from graphkit.engine.explanation_blocks import rank_text, triple_text
    from graphkit.engine.explanations import read_explanations, step_text

    rows = []
    for entry in next(iter(read_explanations(out, seeds).values()), []):
        best = entry["paths"][0] if entry["paths"] else None
        why = "no path within the layers of the model" if best is None else step_text(best["edges"])
        rows.append(
            (triple_text(entry["triple"]) + rank_text(entry["rank"]), f"{best['weight']:.3f}" if best else "", why)
        )
    if rows:
        print_table(("test triple", "weight>", "heaviest path"), rows, "explained predictions")


def _reporter() -> Reporter:
    from graphkit.engine.progress import BarReporter, PlainReporter

    return BarReporter() if sys.stderr.isatty() else PlainReporter()


def _list() -> int:
    from graphkit.engine.config import experiment_names
    from graphkit.engine.yaml_text import read_yaml
    from graphkit.shipped import shipped

    rows = []
    for name in experiment_names():
        values = read_yaml(shipped("experiments") / f"{name}.yaml")
        data, model = values.get("data") or {}, values.get("model") or {}
        rows.append((name, data.get("name") or "your own, --data FILE", model.get("name"), values.get("budget")))
    print_table(("experiment", "data", "model", "budget"), rows)
    return 0


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Overrides such as ``--train.lr 3e-3`` apart from the other words, so that their values are no CONFIG."""
    overrides, rest, left = [], [], list(words)
    while left:
        word = left.pop(0)
        if not re.match(r"--[A-Za-z_]\w*\.", word):
            rest.append(word)
            continue
        overrides.append(word)
        if "=" not in word and left:
            overrides.append(left.pop(0))
    return overrides, rest
