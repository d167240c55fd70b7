"""What ``graphkit analyze`` looks at: a graph with its splits, and something that predicts its links."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphkit.analysis import ConcentrationReport, resource_allocation, tc_report
from graphkit.data import (
    EdgeTable,
    InductiveKnowledgeGraphTask,
    KnowledgeGraphTask,
    LinkTask,
    NodeTask,
    undirected_edges,
)
from graphkit.data.city_graph import CityGraph
from graphkit.data.non_edges import pair_numbers
from graphkit.datasets import card, load, task_kind
from graphkit.engine.node_subject import NodeSubject
from graphkit.engine.recorded import recorded_run
from graphkit.errors import UserError, nearest

__all__ = ["Subject", "as_link_task", "subject_of"]

_FILES = (".csv", ".graphml", ".gz", ".parquet", ".pq", ".tsv", ".txt")
_PAIRS = 1 << 31  # pairs ranked at most; above, nodes are sampled
_LEAST = 100  # nodes that are looked at in any case


@dataclass(frozen=True)
class Subject:
    """A link task, what is to predict its links, and the settings of the analysis.

    Attributes:
        task: the graph and its splits.
        scorer: as for :func:`graphkit.analysis.node_link_quality`.
        scorer_name: how the report calls it.
        hops, norm, approximate: of the topological concentration.
        k: cut-off of the metrics.
        seed: of what is drawn at random.
        minutes: for trying the recommended models on validation; 0: they are not tried.
        source: the task that was loaded, where this one was made from it; a knowledge graph, say.
        code: Python that loads the task, or ``source`` where that has relations; empty where it is not known.

    Example:
        >>> ring = torch.stack([torch.arange(40), (torch.arange(40) + 1) % 40])
        >>> task = LinkTask.from_edges("ring", ring, 40)
        >>> Subject(task, resource_allocation(task), "resource allocation").report.mean("train")
        0.0
    """

    task: LinkTask
    scorer: Any
    scorer_name: str
    hops: int = 1
    norm: str | None = None
    approximate: bool = False
    k: int = 20
    seed: int = 0
    minutes: float = 0.0
    source: Any = None
    code: str = ""

    @property
    def sample(self) -> int | None:
        """How many nodes are ranked for where all would take too long; None: all of them."""
        most = max(_LEAST, _PAIRS // max(self.task.num_nodes, 1))
        asked = torch.unique(self.task.test).numel()
        return most if asked > most else None

    @cached_property
    def report(self) -> ConcentrationReport:
        """Its topological concentration; made once."""
        return tc_report(
            self.task, self.scorer if self.task.test.size(1) else None, hops=self.hops, norm=self.norm,
            approximate=self.approximate, ks=(self.k,), sample=self.sample, seed=self.seed,
        )  # fmt: skip


def subject_of(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    split: str | None = None,
    split_seed: int | None = None,
    columns: dict[str, Any] | None = None,
    task: str | None = None,
    **settings: Any,
) -> Subject | NodeSubject:
    """The subject behind a name: a data set, a file of edges, or the directory of a run, whose model predicts then.

    Without a model, links are predicted by resource allocation, which needs no training.

    Args:
        name: name of a data set, path of a file of edges, or with ``task="node"`` of a city, or a run directory.
        root: folder with the files of data sets, in the public layout.
        split: percentages of train, valid and test where the split is made here; None: ``"85/5/10"``.
        split_seed: seed of that split; None: 0.
        columns: options of :meth:`EdgeTable.read` for a file.
        task: of a graph, ``"node"`` for its labels; None: its links. A run knows its own.
        **settings: of the :class:`Subject`.

    Raises:
        UserError: for a name that is none of these, options that do not apply, or data that are no graph of their own.

    Example:
        >>> subject_of("cora").task.name  # doctest: +SKIP
        'cora'
    """
    path, given = Path(name), {key: value for key, value in (columns or {}).items() if value is not None}
    made: dict[str, Any] = {
        key: value for key, value in (("split", split), ("split_seed", split_seed)) if value is not None
    }
    if task not in (None, "link", "node"):
        raise UserError(nearest(str(task), ("link", "node"), "task"))
    if path.is_dir():
        _refuse(f"{name} is the directory of a run, which knows its data", root=root, task=task, **made, **given)
        model, recorded, seed = recorded_run(path)
        model_name = f"{type(model).__name__} of {name}, seed {seed}"
        if isinstance(recorded, NodeTask):
            return NodeSubject(recorded, model, model_name, **_of_nodes(settings))
        if not isinstance(recorded, LinkTask):
            raise UserError(
                f"{name} is a run on {recorded.name}, a knowledge graph; graphkit analyze looks at models of links and of nodes"
            )
        return Subject(recorded, model, model_name, **settings)
    is_city = path.is_file() and path.suffix == ".npz"  # as ``graphkit data build-city`` writes it
    if is_city and task == "link":
        raise UserError(f"{name} is a city, whose nodes have labels; leave out --task")
    if task == "node" or is_city:
        if is_city:
            _refuse(f"{name} is a city with splits of its own", root=root, **made, **given)
            code = _call("gk.data.city_graph.CityGraph.load", name) + ".task()"
            return NodeSubject(CityGraph.load(path).task(), code=code, **_of_nodes(settings))
        if path.is_file() and path.suffix not in (".yaml", ".yml"):
            raise UserError(f"{name} is a file of edges, which has no labels; leave out --task")
        _refuse(f"{name} is a data set", **given)
        loaded = load(name, root=root, task="node", **made)
        return NodeSubject(loaded, code=_call("gk.load", name, root=root, task="node", **made), **_of_nodes(settings))
    if path.is_file() and path.suffix not in (".yaml", ".yml"):
        _refuse(f"{name} is a file", root=root)
        table = EdgeTable.read(path, **given)
        if bool((table.triples[:, 0] == table.triples[:, 2]).all()):
            raise UserError(f"{name} has no edge between two different nodes; an analysis needs a graph with edges")
        options: dict[str, Any] = {} if split is None else {"split": split}
        links = table.link_task(seed=split_seed or 0, **options)
        settings |= _of_file(table, name, given, {"seed": split_seed or 0, **options})
    elif path.suffix.lower() in _FILES:
        raise UserError(f"{name} does not exist; give the path of a file of edges, or the name of a data set")
    else:
        _refuse(f"{name} is a data set", **given)
        source, settings["code"] = _loaded(name, root, made)
        links = as_link_task(source)
        settings["source"] = source
    return Subject(links, resource_allocation(links), "resource allocation", **settings)


def _of_nodes(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that an analysis of labels has too."""
    return {key: settings[key] for key in ("seed", "minutes") if key in settings}


def _refuse(what: str, **options: Any) -> None:
    for option, value in options.items():
        if value is not None:
            raise UserError(f"{what}; leave out --{option}")


def _loaded(name: str, root: Any, made: dict[str, Any]) -> tuple[Any, str]:
    """The task and the Python that loads it."""
    entry = card(name)
    try:
        task_kind(entry, "link")
    except UserError:
        _refuse(f"{name} has a split of its own", **made)
        return load(name, root=root), _call("gk.load", name, root=root)
    return load(name, root=root, task="link", **made), _call("gk.load", name, root=root, task="link", **made)


def _of_file(table: EdgeTable, name: str, given: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """What the recommendation goes by for a file of edges: with relations, it is a knowledge graph."""
    if len(table.relations) > 1 and table.splits is None:
        try:
            source = table.knowledge_graph_task(seed=options["seed"])
        except UserError:  # too few facts to split
            pass
        else:
            return {"source": source, "code": _call("gk.load", file=name, **given, seed=options["seed"])}
    return {"code": _call(f"{_call('gk.data.EdgeTable.read', name, **given)}.link_task", **options)}


def _call(function: str, *values: Any, **options: Any) -> str:
    """A call as it is written in Python, without options that are None."""

    def written(value: Any) -> str:
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
        return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)

    said = [written(value) for value in values]
    said += [f"{key}={written(value)}" for key, value in options.items() if value is not None]
    return f"{function}({', '.join(said)})"


def as_link_task(task: Any) -> LinkTask:
    """A task as link prediction without relations and directions.

    Of a knowledge graph, two entities are linked in the first split that has a fact between them.

    Raises:
        UserError: for an inductive task, whose splits have different nodes, and what is no task on links.

    Example:
        >>> facts = torch.tensor([[0, 0, 1], [1, 1, 0], [1, 0, 2]])
        >>> as_link_task(KnowledgeGraphTask("kg", facts[:2], facts[2:], facts[1:2], ["a", "b", "c"], ["r", "s"])).statistics()
        {'nodes': 3, 'edges': 2, 'features': 0, 'train': 1, 'valid': 1, 'test': 0}
    """
    if isinstance(task, LinkTask):
        return task
    if isinstance(task, InductiveKnowledgeGraphTask) or not isinstance(task, KnowledgeGraphTask):
        kind = (
            "tests on entities that no training has seen"
            if isinstance(task, InductiveKnowledgeGraphTask)
            else "has no links"
        )
        raise UserError(f"{getattr(task, 'name', task)} {kind}; graphkit analyze needs one graph whose edges are split")
    parts: list[Tensor] = []
    for facts in (task.train, task.valid, task.test):
        edges = undirected_edges(facts[:, [0, 2]].t())
        seen = pair_numbers(torch.cat(parts, 1)) if parts else edges[0, :0]
        parts.append(edges[:, ~torch.isin(pair_numbers(edges), seen)])
    return LinkTask(task.name, task.num_entities, *parts)
