"""Experiments as typed YAML: Python signatures are the schema."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from graphkit.data import (
    GraphTask,
    InductiveKnowledgeGraphTask,
    KnowledgeGraphTask,
    LinkTask,
    NodeTask,
    OGBKnowledgeGraphTask,
)
from graphkit.datasets import Card, load_own_graph, pinned, task_kind
from graphkit.datasets import card as find_card
from graphkit.datasets import load as datasets_load
from graphkit.engine.fit import fit
from graphkit.engine.options import check_ranges
from graphkit.engine.schema import typed_options
from graphkit.engine.yaml_text import dump_yaml, parse_value, read_yaml
from graphkit.errors import UserError, nearest
from graphkit.models import SIZES, registry
from graphkit.shipped import shipped

__all__ = ["Config", "experiment_names", "load_config", "parse_seeds"]

_RUN_OWNS = (
    "model", "task", "seed", "out", "resume", "reporter", "loader", "evaluation", "select", "labels", "splits", "score_test",
)  # fmt: skip
_TASKS = {  # by the kind of task
    "graphs": GraphTask,
    "inductive_knowledge_graph": InductiveKnowledgeGraphTask,
    "knowledge_graph": KnowledgeGraphTask,
    "link": LinkTask,
    "node": NodeTask,
    "ogb_knowledge_graph": OGBKnowledgeGraphTask,
}
_AS_WRITTEN = re.compile(r"seeds|splits|data\.file(\.\w+)?|data\.delimiter")  # text on the command line, never YAML
_LOADER_OWNS = ("self", "split", "seed", "epoch", "start", "steps")


@dataclasses.dataclass(frozen=True)
class Config:
    """A resolved experiment: every option has its value.

    Args:
        name: name of the experiment.
        reference: the published figures it is compared with.
        protocol: ``select`` (validation metric, None for the task's own) and ``ties``.
        data: ``name`` and further options of ``graphkit.load``, among them ``split_seed: seed``, which draws the split anew
            with the seed of each training; or ``file``, a graph of one's own, its ``sha256`` and
            further options of :func:`graphkit.datasets.load_own_graph`.
        loader: options of ``task.loader``.
        model: ``name`` and the constructor's options, without sizes that the task gives.
        train: options of ``graphkit.fit``.
        seeds: one training each.
        budget: how long it takes and where, in words.
        splits: of a task with several splits, ``"all"`` or the numbers of those to train on, each with every seed; None: the one
            that ``data`` names with ``fold``.
        submission: what a leaderboard asks for and a run cannot know: ``method``, ``code``, ``paper``, ``contact``,
            ``external_data`` and ``official``.
        tune: for ``graphkit run --tune``, ``space`` (option by its path -> values, see :func:`graphkit.engine.tune.drawn`),
            ``trials``, ``minutes``, ``splits`` and ``finalists``.
    """

    name: str
    reference: dict[str, Any]
    protocol: dict[str, Any]
    data: dict[str, Any]
    loader: dict[str, Any]
    model: dict[str, Any]
    train: dict[str, Any]
    seeds: list[int]
    budget: str | None = None
    splits: str | list[int] | None = None
    submission: dict[str, Any] = dataclasses.field(default_factory=dict)
    tune: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The experiment as plain values; without ``splits``, ``submission`` and ``tune`` where it has none."""
        values = dataclasses.asdict(self)
        return {key: value for key, value in values.items() if value or key not in ("splits", "submission", "tune")}

    def changed(self, options: Mapping[str, Any], *, without_tune: bool = False) -> Config:
        """The experiment with some options changed, checked again.

        Args:
            options: values by path, such as ``{"train.lr": 0.01}``.
            without_tune: whether to leave the search space out.

        Raises:
            UserError: for an option that there is not, or a wrong type.

        Example:
            >>> load_config("nbfnet/umls").changed({"train.lr": 0.02}).train["lr"]  # doctest: +SKIP
            0.02
        """
        values = copy.deepcopy(self.to_dict())
        for key, value in options.items():
            section, _, name = str(key).partition(".")
            if not name or not isinstance(values.get(section), dict) or section in ("tune", "reference"):
                raise UserError(f"{key}: expected the path of an option, such as train.lr or model.dropout")
            values[section][name] = value
        if without_tune:
            values.pop("tune", None)
        return _resolve(values, Path(self.name), set())

    @property
    def split_per_seed(self) -> bool:
        """Whether every seed has a split of its own, ``data: {split_seed: seed}``."""
        return self.data.get("split_seed") == "seed"

    def data_for(self, seed: int) -> dict[str, Any]:
        """Options of ``graphkit.load`` for one seed; they differ where the split is drawn anew for each.

        Example:
            >>> Config("x", {}, {}, {"name": "cora", "split_seed": "seed"}, {}, {}, {}, [0, 1]).data_for(1)
            {'name': 'cora', 'split_seed': 1}
        """
        return {**self.data, "split_seed": seed} if self.split_per_seed else self.data

    def dump(self) -> str:
        """The experiment as YAML; loading it gives the same experiment."""
        return dump_yaml(self.to_dict())


def load_config(name_or_path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read an experiment, apply overrides, check every key and type, and fill in the defaults.

    Args:
        name_or_path: a name among the shipped experiments such as ``"nbfnet/umls"``, or the path of a YAML file.
        overrides: words as on a command line: ``["--train.lr", "3e-3", "--model.num_layers=4", "--seeds", "0-9"]``.

    Raises:
        UserError: for an unknown experiment, an unknown key at any level (with the nearest known one), a wrong type
            (with the expected one), or a value out of range.

    Example:
        >>> load_config("nbfnet/umls", ["--seeds", "0-2"]).seeds  # doctest: +SKIP
        [0, 1, 2]
    """
    path = find_experiment(name_or_path)
    values = read_yaml(path)
    changed = set()
    for key, text in split_overrides(overrides):
        _override(values, key, text)
        changed.add(key)
    return _resolve(values, path, changed)


def experiment_names() -> list[str]:
    """Names of the shipped experiments."""
    folder = shipped("experiments")
    names = (path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
    return sorted(name for name in names if not name.startswith(("results/", "bench/")))


def find_experiment(name_or_path: str | Path) -> Path:
    """The file of an experiment.

    Raises:
        UserError: when it is neither a file nor the name of a shipped experiment.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml"):
        raise UserError(f"there is no file {path}; give the path of a YAML file or the name of an experiment")
    if path.as_posix() in experiment_names():
        return shipped("experiments") / f"{path.as_posix()}.yaml"
    hint = "graphkit run --list shows them; a file of your own is given by its path"
    raise UserError(f"{nearest(path.as_posix(), experiment_names(), 'experiment')} ({hint})")


def split_overrides(words: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of dotted key and text from ``--key value`` and ``--key=value``.

    Raises:
        UserError: for a word that is no override or lacks its value.

    Example:
        >>> split_overrides(["--train.lr", "-1", "--seeds=0-9"])
        [('train.lr', '-1'), ('seeds', '0-9')]
    """
    pairs, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise UserError(f"{word!r} was not expected; an override looks like --train.lr 3e-3")
        key, equals, text = word[2:].partition("=")
        if not equals:
            if not rest or re.match(r"--[a-z]", rest[0]):
                raise UserError(f"--{key} needs a value, as in --train.lr 3e-3")
            text = rest.pop(0)
        pairs.append((key, text))
    return pairs


def parse_seeds(value: Any) -> list[int]:
    """Seeds from a list, a number, or text such as ``"0-4,7"``.

    Raises:
        UserError: for anything else, a seed twice, or none.

    Example:
        >>> parse_seeds("0-4,7")
        [0, 1, 2, 3, 4, 7]
    """
    parts = value if isinstance(value, list) else str(value).split(",")
    seeds: list[int] = []
    for part in parts:
        found = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", str(part))
        last = found and int(found.group(2) or found.group(1))
        if not found or last is None or last < int(found.group(1)):
            raise UserError(
                f"seeds is {value!r}, expected whole numbers of at least 0 such as [0, 1, 2], or 0-9, or 0,3"
            )
        seeds.extend(range(int(found.group(1)), last + 1))
    if not seeds or len(set(seeds)) != len(seeds):
        raise UserError(f"seeds is {value!r}, which names {'a seed twice' if seeds else 'no seed'}")
    return seeds


def _override(values: dict[str, Any], key: str, text: str) -> None:
    *sections, last = key.split(".")
    place = values
    for section in sections:
        inner = place.setdefault(section, {})
        if inner is None:
            inner = place[section] = {}
        if not isinstance(inner, dict):
            raise UserError(f"--{key}: {section} is {inner!r} and has no options below it")
        place = inner
    place[last] = text if _AS_WRITTEN.fullmatch(key) else parse_value(text)
    if key.startswith("data.file"):
        values["data"].pop("sha256", None)  # that of the file that stood here before


def _reference(
    *,
    paper: str | None = None,
    url: str | None = None,
    table: str | int | None = None,
    figure: str | int | None = None,
    metrics: dict[str, Any] | None = None,
    std: dict[str, Any] | None = None,
    seeds: str | int | None = None,
    beside: list[dict[str, Any]] | None = None,
    smaller_run: bool | str | None = None,
    note: str | None = None,
) -> None:
    """Schema of the section ``reference``."""


def _protocol(*, select: str | None = None, ties: Literal["pessimistic", "optimistic", "mean"] = "pessimistic") -> None:
    """Schema of the section ``protocol``."""


def _submission(
    *,
    method: str | None = None,
    code: str | None = None,
    paper: str | None = None,
    contact: str | None = None,
    external_data: bool | str | None = None,
    official: bool | None = None,
) -> None:
    """Schema of the section ``submission``."""


def _resolve(values: dict[str, Any], path: Path, changed: set[str]) -> Config:
    def where(key: str) -> str:
        return f"--{key}" if key in changed else f"{path}: {key}"

    known = [field.name for field in dataclasses.fields(Config)]
    for key in values:
        if key not in known:
            below = next((one for one in changed if one.startswith(f"{key}.")), str(key))
            raise UserError(f"{where(below)}: {nearest(str(key), known, 'section')}")
    sections: dict[str, dict[str, Any]] = {}
    for key in ("reference", "protocol", "data", "loader", "model", "train", "submission"):
        sections[key] = _section(values.get(key), where(key))

    def options(key: str, schema: Callable[..., Any], without: Iterable[str] = ()) -> dict[str, Any]:
        given = {name: value for name, value in sections[key].items() if name != "name" or key not in ("data", "model")}
        return typed_options(
            schema, given, what=f"option of {key}", where=lambda name: where(f"{key}.{name}"), without=tuple(without)
        )

    model_name = _model_name(sections["model"], where)
    data, task_class = _data(sections["data"], options, where)
    budget = values.get("budget")
    if budget is not None and not isinstance(budget, str):
        raise UserError(f"{where('budget')} is {budget!r}, expected text")
    given_name = values.get("name", path.stem)
    if not isinstance(given_name, str) or not re.fullmatch(r"\w[\w.\-]*(/\w[\w.\-]*)*", given_name):
        raise UserError(f"{where('name')} is {given_name!r}, expected words of letters, digits, - and _ joined by /")
    try:
        seeds = parse_seeds(values.get("seeds", [0]))
    except UserError as error:
        raise UserError(f"{where('seeds')}: {error}") from error
    reference, train = options("reference", _reference), options("train", fit, _RUN_OWNS)
    submission = options("submission", _submission)
    check_ranges(train, lambda name: where(f"train.{name}"))
    return Config(
        name=given_name,
        # as written: figures may be text, "0.850", where a trailing zero says how precise the paper is
        reference={key: sections["reference"][key] for key in reference if key in sections["reference"]},
        protocol=options("protocol", _protocol),
        data=data,
        loader=options("loader", task_class.loader, _LOADER_OWNS),
        model={"name": model_name, **options("model", registry()[model_name], SIZES)},
        train=train,
        seeds=seeds,
        budget=budget,
        splits=_splits(values.get("splits"), data, where),
        submission={key: submission[key] for key in submission if submission[key] is not None},
        tune=_tune_section(values.get("tune"), data, where),
    )


def _splits(value: Any, data: dict[str, Any], where: Callable[[str], str]) -> str | list[int] | None:
    if value is None:
        return None
    if "fold" in data:
        raise UserError(f"{where('splits')} is {value!r}, but data names fold {data['fold']}; leave one of the two out")
    if value == "all":
        return value
    try:
        return parse_seeds(value)
    except UserError:
        raise UserError(
            f"{where('splits')} is {value!r}, expected all, or numbers of splits such as [0, 1, 2], or 0-4, or 0,3, each once"
        ) from None


def _tune(
    *,
    space: dict[str, Any],
    trials: int | None = None,
    minutes: float | None = None,
    splits: list[int] | None = None,
    finalists: int | None = None,
) -> None:
    """Schema of the section ``tune``."""


def _tune_section(value: Any, data: dict[str, Any], where: Callable[[str], str]) -> dict[str, Any] | None:
    if value is None:
        return None
    given = _section(value, where("tune"))
    if "splits" in given:
        given = {**given, "splits": _splits(given["splits"], data, lambda name: where(f"tune.{name}"))}
        if given["splits"] == "all":
            raise UserError(
                f"{where('tune.splits')} is 'all', expected numbers of splits; without it the experiment's own are used"
            )
    found = typed_options(_tune, given, what="option of tune", where=lambda name: where(f"tune.{name}"))
    if found["finalists"] is not None and found["splits"] is None:
        raise UserError(f"{where('tune.finalists')} needs tune.splits: fewer for the trials than for those that are left")
    for name in ("trials", "minutes", "finalists"):
        if found[name] is not None and not found[name] > 0:
            raise UserError(f"{where(f'tune.{name}')} is {found[name]!r}, expected a number above 0")
    return {name: option for name, option in found.items() if option is not None}


def _section(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{where} is {value!r}, expected a mapping of options")
    return value


def _data(
    section: dict[str, Any], options: Callable[..., dict[str, Any]], where: Callable[[str], str]
) -> tuple[dict[str, Any], Any]:
    """What :func:`graphkit.load` gets, and the class of the task that it gives."""
    if "file" not in section:
        card = _card(section, where)
        data = options("data", datasets_load, ("name", "file", "progress"))
        given = {"name": section["name"], **{key: data[key] for key in data if key in section}}
        return given, _task_class(card, data, where)
    if "name" in section:
        raise UserError(
            f"{where('data.file')}: this experiment is about the data set {section['name']!r}; for a graph of your own run "
            "nbfnet/own, or write data: {file: ...} without a name in an experiment of your own"
        )
    own = options("data", load_own_graph)
    try:
        own = pinned(own)
    except UserError as error:
        raise UserError(f"{where('data.file')}: {error}") from error
    kind = "inductive_knowledge_graph" if own["inductive"] else "knowledge_graph"
    return {key: own[key] for key in own if own[key] is not None or key == "file"}, _TASKS[kind]


def _card(section: dict[str, Any], where: Callable[[str], str]) -> Card:
    name = section.get("name")
    if not isinstance(name, str):
        raise UserError(f"{where('data.name')} is {name!r}, expected the name of a data set, such as 'umls'")
    try:
        return find_card(name, variant=section.get("variant"))
    except UserError as error:
        raise UserError(f"{where('data.name')}: {error}") from error


def _model_name(section: dict[str, Any], where: Callable[[str], str]) -> str:
    name, known = section.get("name"), registry()
    if not isinstance(name, str):
        raise UserError(f"{where('model.name')} is {name!r}, expected one of {', '.join(sorted(known))}")
    if name not in known:
        raise UserError(f"{where('model.name')}: {nearest(name, known, 'model')}")
    return name


def _task_class(card: Card, data: dict[str, Any], where: Callable[[str], str]) -> Any:
    """The class whose ``loader`` has the options of a data set."""
    try:
        return _TASKS[task_kind(card, data["task"])]
    except UserError as error:
        raise UserError(f"{where('data.task')}: {error}") from error
