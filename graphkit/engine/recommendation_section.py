"""The last section of an analysis: which models to try, why, and how they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graphkit.engine.bake_off import Trial, bake_off
from graphkit.engine.node_subject import NodeSubject
from graphkit.engine.recommendation import (
    LinkFindings,
    Recommendation,
    labels_note,
    recommend_for_links,
    recommend_for_nodes,
    relations_of,
)
from graphkit.engine.report_blocks import Block, Code, Paragraph, Section, Table
from graphkit.engine.table_formats import metric_name, number
from graphkit.ops import common_neighbor_count

if TYPE_CHECKING:
    from graphkit.engine.analysis_subject import Subject

__all__ = ["recommendation_section"]

_EDGES = 100_000  # validation edges that are looked at


def recommendation_section(subject: Subject | NodeSubject) -> Section | None:
    """What to try first and why, with the sections that say so; with minutes to spend, how it does on validation.

    Example:
        >>> from graphkit.engine.analysis_subject import subject_of
        >>> recommendation_section(subject_of("cora", task="node")).title  # doctest: +SKIP
        'Recommendation'
    """
    note = ""
    if isinstance(subject, NodeSubject):
        found = recommend_for_nodes(subject)
        task: Any = subject.task
        note = labels_note(subject)
    else:
        task = subject.source if relations_of(subject.source) > 1 else subject.task
        found = recommend_for_links(_findings(subject))
    blocks: list[Block] = [
        Paragraph(
            "Rules of thumb on what is said above; a try on validation settles it. Test labels were not looked at."
        )
    ]
    blocks += [Paragraph(f"{_title(one)}: {one.reason}.", sees=one.sees) for one in found]
    if note:
        blocks.append(Paragraph(note))
    if subject.minutes > 0:
        blocks += _tried(found, bake_off(task, found, minutes=subject.minutes, seed=subject.seed))
    else:
        blocks.append(Code(_script(subject.code, found), "python"))
    return Section("Recommendation", blocks)


def _title(one: Recommendation) -> str:
    return f"{one.model} (baseline)" if one.baseline else one.model


def _findings(subject: Subject) -> LinkFindings:
    task = subject.task
    edges = task.valid if task.valid.size(1) else task.train
    edges = edges[:, :_EDGES]
    counts = common_neighbor_count(task.graph("train").simple, edges, num_nodes=task.num_nodes)
    shared = float((counts > 0).double().mean()) if counts.numel() else 0.0
    return LinkFindings(relations_of(subject.source), shared, task.x is not None)


def _tried(found: Sequence[Recommendation], trials: Sequence[Trial]) -> list[Block]:
    done = [trial for trial in trials if trial.value is not None]
    rows = [
        [
            _title(trial.recommendation), number(trial.value, 4) if trial.value is not None else trial.note,
            str(trial.epochs) if trial.value is not None else "", f"{trial.seconds:.0f}",
        ]
        for trial in sorted(trials, key=lambda t: -(t.value if t.value is not None else float("-inf")))
    ]  # fmt: skip
    if not done:
        return [
            Paragraph("No model could be trained in the time; give more minutes."),
            Table(("model", "validation", "epochs", "seconds"), rows, numeric=(1, 2, 3)),
        ]
    best = max(done, key=lambda trial: trial.value or 0.0)
    agrees = not best.recommendation.baseline
    words = (
        f"Tried on validation: {best.recommendation.model} is best, as recommended."
        if agrees
        else f"Tried on validation: the baseline {best.recommendation.model} is best: the recommendation does not hold "
        "here, or the time was too short."
    )
    caption = f"{metric_name(done[0].metric)} on validation, one seed, options as recommended (not searched)"
    return [
        Paragraph(words),
        Table(("model", "validation", "epochs", "seconds"), rows, numeric=(1, 2, 3), caption=caption),
    ]


def _script(code: str, found: Sequence[Recommendation]) -> str:
    """Python that trains the first recommendation; a task that came as an object, or of a run, is at hand already."""
    first = found[0]
    options = "".join(f", {key}={value!r}" for key, value in first.options.items())
    train = "".join(f", {key}={value!r}" for key, value in first.train.items())
    task = f"task = {code}" if code else "# task: the one that was analysed"
    return (
        f"import graphkit as gk\nfrom graphkit.models import {first.model}\n\n{task}\n"
        f"run = gk.fit({first.model}.for_task(task{options}), task, epochs=100{train})\nprint(run.valid)"
    )
